"""Translate the library's sentences for the command line: options for Python's parameters, rows counted from 1."""

from __future__ import annotations

import re
from typing import Any

# as in `tol`, `intercept=False`, `device='cpu'` or `grid={'ridge': (low, high, count)}`
PARAMETER = re.compile(r"`([a-z][a-z_]*)(?:=([^`]*))?`")
QUOTES = "'\""
RANGE = re.compile(r"\{'([^']*)': \(([^)]*)\)\}")
ROWS_FROM_ZERO = re.compile(r"\(counted from 0: (\d+(?:, \d+)*)")
OPTIONS = {  # parameters of hw4opt and hw4nets whose options have another name
    "drop": "--missing drop",
    "folder": "--out",
    "max_bytes": "--max-input",
    "seconds": "--search-seconds",
    "source": "--data",
    "space": "--vary",
}
SENTENCES = ("message", "notes", "warnings")  # keys of a JSON that hold sentences, beside those that end in _reason


def translate(sentence: str, row: int | None = None) -> str:
    """Parameters, which stand in backquotes, become options, and rows count from 1. What is translated stays as it is.

    row    the row (from 0) that the sentence names as "row 3": `InputError.row`
    """
    if row is not None:
        sentence = with_row(sentence, row, row + 1)
    return ROWS_FROM_ZERO.sub(_rows_from_one, PARAMETER.sub(_option, sentence))


def with_row(sentence: str, row: int, number: int) -> str:
    """The sentence with another number for the row that it names."""
    if not (named := [*re.finditer(rf"\brow {row}\b", sentence)]):
        return sentence
    place = named[-1]  # names and cells of the user's stand before it
    return f"{sentence[: place.start()]}row {number}{sentence[place.end() :]}"


def holds_sentences(key: str) -> bool:
    """Whether sentences stand under this key of a JSON."""
    return key in SENTENCES or key.endswith("_reason")


def translate_each(value: Any) -> Any:
    """A sentence or a list of sentences, translated; None stays None."""
    if isinstance(value, str):
        return translate(value)
    return [translate(one) for one in value] if isinstance(value, list | tuple) else value


def _option(match: re.Match[str]) -> str:
    name, value = match.groups()
    option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
    if value in (None, "True"):
        return option
    if value == "False":
        return f"--no-{option.removeprefix('--')}"
    if (span := RANGE.fullmatch(value)) is not None:
        value = f"{span[1]}={':'.join(bound.strip().upper() for bound in span[2].split(','))}"
    return f"{option} {value.strip(QUOTES)}"


def _rows_from_one(match: re.Match[str]) -> str:
    rows = [str(int(row) + 1) for row in match[1].split(", ")]
    return f"(row{'' if len(rows) == 1 else 's'} {', '.join(rows)}"
