"""Parse option values: `NAME:param=value,…`, `NAME=WEIGHT`, `NAME=LOW:HIGH:COUNT`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw4opt.errors import InputError, UnknownNameError, shortened
from hw4opt.kernels import KERNELS, Kernel, Precomputed, find_kernel
from hw4opt.terms import AUTO, Term, find, load, parameters
from hw4opt.validation.arguments import whole_of

MAX_RANGE_POINTS = 1_000_000
EVERYWHERE = "everywhere"  # of a constraint: at every x, or, as everywhere=LOW..HIGH, at every x of a range


@dataclass(frozen=True)
class Spec:
    """`NAME:param=value,…` parsed into its name and parameters; `text` is the value as typed."""

    text: str
    name: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class LogRange:
    """NAME=LOW:HIGH:COUNT, log-spaced."""

    name: str
    low: float
    high: float
    count: int

    @property
    def axis(self) -> tuple[float, float, int]:
        return self.low, self.high, self.count


def parse_spec(option: str, text: str, short: str | None = None) -> Spec:
    """Parse `NAME:param=value,…`; with `short`, NAME=VALUE sets the parameter of that name."""
    head, colon, rest = text.partition(":")
    name, equals, value = (part.strip() for part in head.partition("="))
    pairs = [pair.strip() for pair in rest.split(",")] if colon else []
    if equals:
        if short is None:
            raise InputError(f"{option} {text}: give parameters after a colon, as in {name}:parameter={value or 1}")
        pairs.insert(0, f"{short}={value}")
    parameters: dict[str, str] = {}
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        if not key or not (value or pair == EVERYWHERE):
            raise InputError(f"{option} {text}: {pair!r} is no parameter=value")
        if key in parameters:
            raise InputError(f"{option} {text}: {key} is given twice")
        parameters[key] = value
    return Spec(text, name, parameters)


def parse_range(option: str, text: str) -> LogRange:
    """Parse NAME=LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT ≥ 2."""
    name, _, rest = (part.strip() for part in text.partition("="))
    parts = rest.split(":")
    try:
        low, high, count = float(parts[0]), float(parts[1]), whole_of(parts[2])
        if not (
            name
            and len(parts) == 3
            and 0 < low < high < math.inf
            and count is not None
            and 2 <= count <= MAX_RANGE_POINTS
        ):
            raise ValueError
    except (ValueError, IndexError):
        advice = (
            f"give NAME=LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT ≥ 2 (≤ {MAX_RANGE_POINTS:,}), as in ridge=0.01:1:5"
        )
        raise InputError(f"{option} {shortened(text)}: {advice}") from None
    return LogRange(name, low, high, count)


def number(option: str, spec: Spec, key: str) -> float:
    """The value of the parameter as a number."""
    try:
        return float(spec.parameters[key])
    except ValueError:
        raise InputError(f"{option} {spec.text}: {key} is {spec.parameters[key]!r}; give a number") from None


def term_of(kind: str, option: str, spec: Spec, columns: Sequence[str] = ()) -> Term:
    """The loss, regularizer or constraint of that name; the parameter `column` is the header of one of `columns`."""
    term = load(kind, spec.name)
    known = parameters(term)
    for key in spec.parameters:
        if key not in known:
            raise UnknownNameError(f"parameter of {spec.name}", key, known or ("none",))
    automatic = automatic_parameters(term, spec)
    values = {key: _value(option, spec, key, columns) for key in spec.parameters.keys() - automatic}
    return find(kind, spec.name, **values, **dict.fromkeys(automatic, AUTO))


def _value(option: str, spec: Spec, key: str, columns: Sequence[str]) -> Any:
    if key == "column":
        return _column_index(spec.parameters[key], columns)
    return _range(option, spec) if key == EVERYWHERE else number(option, spec, key)


def _range(option: str, spec: Spec) -> bool | tuple[float, ...]:
    """True, or the ends of LOW..HIGH."""
    text = spec.parameters[EVERYWHERE]
    if not text:
        return True
    try:
        low, high = map(float, text.split(".."))
    except ValueError:
        example = f"give {EVERYWHERE}, or a range as in {EVERYWHERE}=0..120"
        raise InputError(f"{option} {spec.text}: {EVERYWHERE} is {text!r}; {example}") from None
    return low, high


def automatic_parameters(term: Term | type[Term], spec: Spec) -> set[str]:
    """The parameters that the data determine, as in huber:delta=auto."""
    return {key for key in getattr(term, "automatic", ()) if spec.parameters.get(key) == AUTO}


def _column_index(name: str, columns: Sequence[str]) -> int:
    if name not in columns:
        raise UnknownNameError("x column", name, columns)
    return list(columns).index(name)


def kernel_of(option: str, spec: Spec, gamma: float) -> Kernel:
    """The kernel of that name with that gamma."""
    if spec.name == Precomputed.name:
        raise InputError(
            f"{option} {spec.text}: a precomputed Gram matrix is for Python; there are {', '.join(kernel_names())}"
        )
    if spec.name not in KERNELS:
        raise UnknownNameError("kernel", spec.name, kernel_names())
    if "gamma" in spec.parameters:
        raise InputError(
            f"{option} {spec.text}: give gamma as an option of its own, --gamma {spec.parameters['gamma']}"
        )
    return find_kernel(spec.name, gamma=gamma, **{key: number(option, spec, key) for key in spec.parameters})


def kernel_names() -> list[str]:
    """The kernels that the command line offers."""
    return [name for name in KERNELS if name != Precomputed.name]
