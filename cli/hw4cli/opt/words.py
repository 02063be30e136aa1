"""The small language of the options: `NAME:param=value,…`, `NAME=WEIGHT`, `NAME=LOW:HIGH:COUNT`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hw4opt.errors import InputError, UnknownNameError, shortened
from hw4opt.kernels import KERNELS, Kernel, Precomputed, find_kernel
from hw4opt.terms import AUTO, Term, find, load, parameters
from hw4opt.validation.arguments import whole_of

MOST_POINTS = 1_000_000  # of a range
EVERYWHERE = "everywhere"  # a shape at every x: a later version


@dataclass(frozen=True)
class Word:
    """One option's value taken apart; `text` is what was typed."""

    text: str
    name: str
    given: dict[str, str]


@dataclass(frozen=True)
class Range:
    """NAME=LOW:HIGH:COUNT, log-spaced."""

    name: str
    low: float
    high: float
    count: int

    @property
    def axis(self) -> tuple[float, float, int]:
        return self.low, self.high, self.count


def parse_word(option: str, text: str, short: str | None = None) -> Word:
    """Take `NAME:param=value,…` apart; with `short`, NAME=VALUE sets the parameter of that name."""
    head, colon, rest = text.partition(":")
    name, equals, value = (part.strip() for part in head.partition("="))
    pairs = [pair.strip() for pair in rest.split(",")] if colon else []
    if equals:
        if short is None:
            raise InputError(f"{option} {text}: give parameters after a colon, as in {name}:parameter={value or 1}")
        pairs.insert(0, f"{short}={value}")
    given: dict[str, str] = {}
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        if key == EVERYWHERE and not value:
            raise InputError(f"{option} {text}: a shape that holds at every x comes in a later version; {name} holds it at the data rows")
        if not key or not value:
            raise InputError(f"{option} {text}: {pair!r} is no parameter=value")
        if key in given:
            raise InputError(f"{option} {text}: {key} is given twice")
        given[key] = value
    return Word(text, name, given)


def parse_range(option: str, text: str) -> Range:
    """NAME=LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT ≥ 2."""
    name, _, rest = (part.strip() for part in text.partition("="))
    parts = rest.split(":")
    try:
        low, high, count = float(parts[0]), float(parts[1]), whole_of(parts[2])
        if not (name and len(parts) == 3 and 0 < low < high < math.inf and count is not None and 2 <= count <= MOST_POINTS):
            raise ValueError
    except (ValueError, IndexError):
        said = f"give NAME=LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT ≥ 2 (at most {MOST_POINTS:,}), as in ridge=0.01:1:5"
        raise InputError(f"{option} {shortened(text)}: {said}") from None
    return Range(name, low, high, count)


def number(option: str, word: Word, key: str) -> float:
    """The value of a parameter as a number."""
    try:
        return float(word.given[key])
    except ValueError:
        raise InputError(f"{option} {word.text}: {key} is {word.given[key]!r}; give a number") from None


def term_of(kind: str, option: str, word: Word, columns: Sequence[str] = ()) -> Term:
    """The loss, regularizer or constraint of that name; a `column` is named by its header among `columns`."""
    term = load(kind, word.name)
    known = parameters(term)
    for key in word.given:
        if key not in known:
            raise UnknownNameError(f"parameter of {word.name}", key, known or ("none",))
    automatic = automatic_parameters(term, word)
    values = {
        key: _place(word.given[key], columns) if key == "column" else number(option, word, key) for key in word.given.keys() - automatic
    }
    return find(kind, word.name, **values, **dict.fromkeys(automatic, AUTO))


def automatic_parameters(term: Term | type[Term], word: Word) -> set[str]:
    """The parameters that the word leaves to the data, as in huber:delta=auto."""
    return {key for key in getattr(term, "automatic", ()) if word.given.get(key) == AUTO}


def _place(name: str, columns: Sequence[str]) -> int:
    if name not in columns:
        raise UnknownNameError("x column", name, columns)
    return list(columns).index(name)


def kernel_of(option: str, word: Word, gamma: float) -> Kernel:
    """The kernel of that name with that gamma."""
    if word.name == Precomputed.name:
        raise InputError(f"{option} {word.text}: a precomputed Gram matrix is for Python; there are {', '.join(kernel_names())}")
    if word.name not in KERNELS:
        raise UnknownNameError("kernel", word.name, kernel_names())
    if "gamma" in word.given:
        raise InputError(f"{option} {word.text}: give gamma as an option of its own, --gamma {word.given['gamma']}")
    return find_kernel(word.name, gamma=gamma, **{key: number(option, word, key) for key in word.given})


def kernel_names() -> list[str]:
    """The kernels of the command line."""
    return [name for name in KERNELS if name != Precomputed.name]
