"""One tree of exceptions; every message is a sentence that says what the user can do."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Sequence

LONGEST_TEXT = 60  # characters of a name or a value in a sentence
MOST_NAMES = 20  # names in a list


def listed(names: Iterable[str]) -> str:
    """The names as a message lists them, as in "a, b, c and 99,997 more": at most 20, each cut at 60 characters."""
    names = names if isinstance(names, Sequence) else list(names)
    shown = ", ".join(map(shortened, itertools.islice(names, MOST_NAMES)))
    return shown + (f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else "")


def shortened(text: str) -> str:
    """The text as a message quotes it: only the beginning of a long one."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def shown(value: object) -> str:
    """A value as a message shows it: its repr, cut if it is long."""
    try:
        text = repr(value)
    except Exception:  # an object's own error, or an integer of more digits than Python prints
        text = f"a value of type {type(value).__name__}"
    return shortened(" ".join(text.split()))


class Hw4Error(Exception):
    """Root of every error this package raises on purpose."""


class InputError(Hw4Error, ValueError):
    """Data, an option or a parameter is wrong; the message names it and says what is accepted.

    row    the row (from 0) that the message names as "row 3", None if it names none; the command line counts from 1
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class UnknownNameError(InputError):
    """A loss, regularizer, constraint, kernel, solver or column of that name does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name[:LONGEST_TEXT], known, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        super().__init__(f"no {kind} {shown(name)}{hint}; there are {listed(known)}")


class RefusedError(Hw4Error):
    """A solver cannot take this problem; the message says what it needs and what in the problem prevents it."""


class ModelFileError(Hw4Error):
    """A model file is damaged, or newer than this package."""


class CoreError(Hw4Error, ImportError):
    """The compiled core is missing and cannot be built, or does not run on this machine."""


class NotCertifiedError(Hw4Error):
    """Raised by `Result.raise_for_status` if the answer is not certified."""


def size_text(count: float) -> str:
    """A number of bytes in the unit that is read at a glance: 15.4 kB, 2.05 GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return counted(round(count), "byte")


def counted(count: int, noun: str) -> str:
    """A count and its noun: 1 setting, 12 settings."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
