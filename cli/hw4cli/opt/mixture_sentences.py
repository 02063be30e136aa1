"""The library's sentences on mixtures in the command line's words: options, and moods and rows that count from 1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from hw4opt import InputError
from hw4opt.mixture.result import MixtureResult

OPTIONS = {  # by the library's words
    "an exposure itself is given by its logarithm": "an exposure itself goes to --exposure",
    "another seed": "another --seed",
    "drop it, or give intercept=False": "drop it, or the intercept (--no-intercept)",
    "intercept=False": "--no-intercept",
    "more seconds": "more seconds (--search-seconds)",
    "quasi=True": "--quasi",
    "ridge=W holds it back": "a ridge (--ridge W) holds it back",
    "ridge=W": "--ridge W",
}
NUMBERED = re.compile(r"component(s?) (\d+(?:, \d+)*)")
ROW = re.compile(r"\bin row (\d+)")


def in_option_words(sentence: str) -> str:
    """The sentence with moods for components, numbered from 1, and options for arguments."""
    for words, option in OPTIONS.items():
        sentence = sentence.replace(words, option)
    sentence = NUMBERED.sub(lambda found: f"mood{found[1]} {_from_one(found[2])}", sentence)
    return re.sub(r"\bcomponent(s?)\b", r"mood\1", sentence)


def with_option_words(result: MixtureResult) -> MixtureResult:
    """The result with its sentences in the words of the command line."""
    uncertainty = result.uncertainty
    if uncertainty.reason is not None:
        uncertainty = replace(uncertainty, reason=in_option_words(uncertainty.reason))
    return replace(
        result,
        message=in_option_words(result.message),
        uncertainty=uncertainty,
        warnings=tuple(map(in_option_words, result.warnings)),
    )


def _from_one(numbers: str) -> str:
    return ", ".join(str(int(number) + 1) for number in numbers.split(", "))


@contextmanager
def errors_in_option_words(rows: np.ndarray) -> Iterator[None]:
    """Raise an `InputError` again in the command line's words; rows: the table's rows that the library was given."""
    try:
        yield
    except InputError as error:
        sentence = ROW.sub(lambda found: f"in row {rows[int(found[1])] + 1}", str(error))
        raise InputError(in_option_words(sentence)) from error
