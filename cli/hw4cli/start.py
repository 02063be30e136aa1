"""Entry points of both programs. Everything else is imported after the Ctrl-C handler is installed."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def hw4opt() -> int:
    """The command hw4opt."""
    _interruptible("hw4opt")
    from hw4cli.opt.app import main

    return main()


def hw4nets() -> int:
    """The command hw4nets."""
    _interruptible("hw4nets")
    from hw4cli.nets.app import main

    return main()


def _interruptible(program: str) -> None:
    """Let Ctrl-C print a sentence and exit until `program.run` handles it."""

    def end(number: int, frame: FrameType | None) -> None:
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{program}: interrupted\n".encode())
        os._exit(130)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored by the parent process
        signal.signal(signal.SIGINT, end)
