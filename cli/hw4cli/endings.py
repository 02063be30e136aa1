"""How a command of either program ends: its exit status, and its sentence on stderr."""

from __future__ import annotations

import sys
from enum import IntEnum


class Exit(IntEnum):
    """The exit statuses of every command."""

    CERTIFIED = 0
    UNPROVEN = 1
    WRONG = 2
    INTERRUPTED = 130


def say(program: str, sentence: str) -> None:
    """One sentence on stderr, on one line."""
    print(f"{program}: {' '.join(sentence.split()).removesuffix('.')}", file=sys.stderr)
