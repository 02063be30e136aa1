"""Entry point of `hw4nets`."""

import sys
from importlib.util import find_spec


def main() -> int:
    """Say in one sentence why there is nothing to run; the exit status is that of a usage error."""
    print(f"hw4nets: {_reason()}", file=sys.stderr)
    return 2


def _reason() -> str:
    if find_spec("torch") is None:
        return "torch is not installed; it comes with the extra: pip install 'hw4opt[nets]'"
    return "no command exists yet in this version"


if __name__ == "__main__":
    sys.exit(main())
