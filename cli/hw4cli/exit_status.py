"""Exit statuses, and messages on stderr."""

from __future__ import annotations

import sys
from contextlib import suppress
from enum import IntEnum

from hw4cli.texts import one_line
from hw4cli.translate import translate


class Exit(IntEnum):
    """Exit statuses of every command."""

    CERTIFIED = 0
    UNPROVEN = 1
    WRONG = 2
    INTERRUPTED = 130


def say(program: str, sentence: str) -> None:
    """Print one sentence on stderr, on one line; a closed or full stderr is ignored."""
    with suppress(OSError, ValueError):
        print(f"{program}: {one_line(translate(sentence)).removesuffix('.')}", file=sys.stderr, flush=True)
