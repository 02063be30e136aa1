"""The library's sentences on mixtures in the command line's words: moods that count from 1, and rows of the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from hw4cli.translate import with_row
from hw4opt import InputError
from hw4opt.mixture.result import MixtureResult

COMPONENTS = re.compile(r"\bcomponent(s?)\b(?: (\d+(?:, \d+)*))?")
ADVICE = "take the log of an exposure first"


def with_moods(sentence: str) -> str:
    """The sentence with moods for components, counted from 1, and the option for an exposure."""
    return COMPONENTS.sub(_mood, sentence).replace(ADVICE, "an exposure itself goes to --exposure")


def _mood(match: re.Match[str]) -> str:
    numbers = "" if match[2] is None else " " + ", ".join(str(int(number) + 1) for number in match[2].split(", "))
    return f"mood{match[1]}{numbers}"


def result_with_moods(result: MixtureResult) -> MixtureResult:
    """The result with its sentences on moods."""
    reason = result.uncertainty.reason
    return replace(
        result,
        message=with_moods(result.message),
        uncertainty=replace(result.uncertainty, reason=None if reason is None else with_moods(reason)),
        warnings=tuple(map(with_moods, result.warnings)),
    )


@contextmanager
def errors_of_table(rows: np.ndarray) -> Iterator[None]:
    """Raise an `InputError` again on moods and with the row of the table; rows: those that the library was given."""
    try:
        yield
    except InputError as error:
        if error.row is None:
            raise InputError(with_moods(str(error))) from error
        row = int(rows[error.row])
        raise InputError(with_moods(with_row(str(error), error.row, row)), row) from error
