"""How a command of either program ends: its exit status, and its sentence on stderr."""

from __future__ import annotations

import sys
from contextlib import suppress
from enum import IntEnum

from hw4cli.texts import one_line
from hw4cli.translate import translate


class Exit(IntEnum):
    """The exit statuses of every command."""

    CERTIFIED = 0
    UNPROVEN = 1
    WRONG = 2
    INTERRUPTED = 130


def say(program: str, sentence: str) -> None:
    """One sentence on stderr, on one line; where that is closed or full, nobody can be told."""
    with suppress(OSError, ValueError):
        print(f"{program}: {one_line(translate(sentence)).removesuffix('.')}", file=sys.stderr, flush=True)
