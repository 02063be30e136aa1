"""Files that are never half-written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hw4opt.errors import InputError

# bytes of a name's stem and suffix in that of its temporary file, which is never too long where the name is not
KEPT_NAME_BYTES = 100  # of a file's stem and suffix, in the name of its temporary file


class _UnwrittenError(OSError):
    """Names the file that was to be written, not its temporary one."""


def check_writable(path: str | Path) -> None:
    """Raise `InputError` now if a file could not be put there later."""
    path = Path(path)
    try:
        _check(path, path.parent)
    except OSError as error:  # a name that is too long, a loop of links
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _check(path: Path, folder: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file; give a file name")
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write {path}: permission denied")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes otherwise; OSError
    names `path`."""
    path = Path(path)
    check_writable(path)
    stem, suffix = _affixes(path)
    temporary = path.parent / f".{stem}.{os.urandom(4).hex()}{suffix}"
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except _UnwrittenError:  # of another file, within this block
        raise
    except OSError as error:  # a full disk, say
        raise _UnwrittenError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one piece."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_with(path: str | Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file (a figure, say) that then becomes `path`."""
    with replacing(path) as temporary:
        write(temporary)


def _affixes(path: Path) -> list[str]:
    """Stem and suffix of the name, cut where they are long."""
    return [os.fsencode(part)[:KEPT_NAME_BYTES].decode(errors="ignore") for part in (path.stem, path.suffix)]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
