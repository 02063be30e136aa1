"""Exit statuses, and the sentences that a command of `hw4opt` prints on stderr."""

from __future__ import annotations

from hw4cli import exit_status
from hw4cli.exit_status import Exit

__all__ = ["Exit", "say"]


def say(sentence: str) -> None:
    """Print one sentence on stderr, on one line."""
    exit_status.say("hw4opt", sentence)
