"""How a command of `hw4opt` ends: its exit status, and its sentence on stderr."""

from __future__ import annotations

from hw4cli import endings
from hw4cli.endings import Exit

__all__ = ["Exit", "say"]


def say(sentence: str) -> None:
    """One sentence on stderr, on one line."""
    endings.say("hw4opt", sentence)
