"""The library's sentences in the command line's words: it names Python's parameters, which are options here."""

from __future__ import annotations

import re
from typing import Any

PARAMETER = re.compile(r"`([a-z][a-z_]*)(?:=([^`]*))?`")  # as in `tol`, `intercept=False` or `grid={'ridge': (low, high, count)}`
RANGE = re.compile(r"\{'([^']*)': \(([^)]*)\)\}")
OPTIONS = {"max_bytes": "--max-input", "seconds": "--search-seconds"}  # those that are not named alike
SENTENCES = ("message", "notes", "warnings")  # keys of a JSON that hold sentences, beside those that end in _reason


def with_options(sentence: str) -> str:
    """The sentence with its parameters, which stand in backquotes, as options: `max_iterations` as --max-iterations."""
    return PARAMETER.sub(_option, sentence)


def holds_sentences(key: str) -> bool:
    """Whether sentences stand under this key of a JSON."""
    return key in SENTENCES or key.endswith("_reason")


def sentences_with_options(value: Any) -> Any:
    """A sentence or a list of them with options in place of parameters; None stays None."""
    if isinstance(value, str):
        return with_options(value)
    return [with_options(one) for one in value] if isinstance(value, list | tuple) else value


def _option(match: re.Match[str]) -> str:
    name, value = match.groups()
    option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
    if value in (None, "True"):
        return option
    if value == "False":
        return f"--no-{option.removeprefix('--')}"
    if (span := RANGE.fullmatch(value)) is not None:
        value = f"{span[1]}={':'.join(bound.strip().upper() for bound in span[2].split(','))}"
    return f"{option} {value}"
