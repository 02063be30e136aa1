"""Checks of scalar arguments: one rule for every public callable, taken from its annotations."""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, ParamSpec, TypeGuard, TypeVar, get_origin

import numpy as np

from hw4opt.errors import LONGEST_TEXT, InputError, shown

MAX_WHOLE_NUMBER_DIGITS = 18  # of a whole number in a text: every such number fits into 64 bits

P = ParamSpec("P")
R = TypeVar("R")
Rule = tuple[str, Callable[[Any], bool]]  # in words, and the test of a value
RealNumber = int | float | np.integer[Any] | np.floating[Any]


NUMBERS = (int, float, np.integer, np.floating)


def is_number(value: object) -> TypeGuard[RealNumber]:
    """Whether this is a real number that a double holds: infinite numbers are accepted, NaN and bool are not."""
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, NUMBERS):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:
        return False


def is_finite(value: object) -> TypeGuard[RealNumber]:
    """Whether this is a finite real number."""
    return is_number(value) and bool(abs(value) < math.inf)


def whole_of(text: str) -> int | None:
    """The whole number, 0 or more, that a text of decimal digits stands for; None for any other text, and for more than
    18 digits."""
    short = len(text.lstrip("0")) <= MAX_WHOLE_NUMBER_DIGITS and len(text) <= LONGEST_TEXT
    return int(text) if short and text.isdecimal() else None


def check_whole(owner: str, name: str, value: object, *, low: float, high: float) -> None:
    """Raise `InputError` unless `value` is a whole number from low to high."""
    if not (is_number(value) and low <= value <= high and value == int(value)):
        raise InputError(f"{owner}: {name} is {shown(value)}; it must be a whole number between {low} and {high}")


def check_parameter(
    owner: str, name: str, value: object, *, low: float = -math.inf, high: float = math.inf, strict: bool = False
) -> None:
    """Raise `InputError` unless `value` is a finite number in [low, high] (open at both ends if `strict`)."""
    fits = is_finite(value) and low <= value <= high
    if not fits or (strict and value in (low, high)):
        between = (
            f"{'above' if strict else 'at least'} {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        )
        raise InputError(
            f"{owner}: {name} is {shown(value)}; it must be a number" + ("" if low == -math.inf else f" {between}")
        )


def check_seed(seed: int) -> None:
    """Raise `InputError` for a seed that NumPy does not take."""
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be 0 or more")


def check_word(name: str, value: object, known: Iterable[str]) -> None:
    """Raise `InputError` unless `value` is one of the known words."""
    *others, last = known
    if not isinstance(value, str) or value not in (*others, last):
        raise InputError(f"{name} is {shown(value)}; there are {', '.join(others)} and {last}")


def check_argument(name: str, value: object, annotation: str, namespace: Mapping[str, Any]) -> None:
    """Raise `InputError` for a value that is not of the annotated kind; kinds without a rule here accept anything.

    bool, int, float, str, a path, None, a class, a Sequence and what it holds, a Mapping and its keys, a Callable, and
    their unions. A float is any real number, infinite ones included; a bool is not a whole number.
    """
    _check(name, value, _rule_of(annotation, namespace))


def _check(name: str, value: object, rule: Rule | None) -> None:
    if rule is not None and not rule[1](value):
        raise InputError(f"{name} is {shown(value)}; it must be {rule[0]}")


def _rule_of(annotation: str, namespace: Mapping[str, Any]) -> Rule | None:
    """The rule of a union; None, which accepts anything, if one of its members has none."""
    rules = [_rule(word, namespace) for word in _union(annotation)]
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None
    if len(known) == 1:
        return known[0]
    each = [fits for _, fits in known]
    return " or ".join(dict.fromkeys(wanted for wanted, _ in known)), lambda value: any(fits(value) for fits in each)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with every argument checked against its annotation before it is called."""
    parameters = inspect.signature(function).parameters.values()
    kinds = {
        one.name: one.annotation
        for one in parameters
        if isinstance(one.annotation, str) and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }
    places = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]

    @functools.cache
    def rules() -> dict[str, Rule | None]:  # not before the first call: an annotation may name what is defined later
        return {name: _rule_of(kind, function.__globals__) for name, kind in kinds.items()}

    @functools.wraps(function)
    def call(*args: P.args, **named: P.kwargs) -> R:
        known = rules()
        for name, value in (*zip(places, args), *named.items()):  # noqa: B905 (of *args, the first have names)
            _check(name, value, known.get(name))
        return function(*args, **named)

    return call


def check_fields(record: Any) -> None:
    """Raise `InputError` for a field of a dataclass that is not of the annotated kind."""
    namespace = vars(inspect.getmodule(type(record)))
    for item in fields(record):
        check_argument(item.name, getattr(record, item.name), str(item.type), namespace)


NAME_BYTES = 255  # of a file or folder: the limit of common file systems


def _is_path(value: str | os.PathLike[Any]) -> bool:
    try:
        name = os.fsencode(value)
    except (TypeError, ValueError):
        return False
    return b"\0" not in name and all(len(part) <= NAME_BYTES for part in name.split(os.fsencode(os.sep)))


RULES: dict[str, Rule] = {
    "None": ("None", lambda value: value is None),
    "bool": ("True or False", lambda value: isinstance(value, bool | np.bool_)),
    "int": ("a whole number", lambda value: isinstance(value, int | np.integer) and is_number(value)),
    "float": ("a number", is_number),
    "str": ("a string", lambda value: isinstance(value, str)),
    "Path": (
        f"a path of names up to {NAME_BYTES} bytes",
        lambda value: isinstance(value, str | os.PathLike) and _is_path(value),
    ),
    "Sequence": (
        "a sequence",
        lambda value: isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim == 1),
    ),
    "Mapping": ("a mapping", lambda value: isinstance(value, Mapping)),
    "dict": ("a dictionary", lambda value: isinstance(value, dict)),
    "Callable": ("a function", callable),
}


@functools.cache
def _union(annotation: str) -> tuple[str, ...]:
    """The members of a union: the parts between bars outside brackets."""
    words, depth = [""], 0
    for letter in annotation.replace(" ", ""):
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and not depth:
            words.append("")
        else:
            words[-1] += letter
    return tuple("Path" if word == "str" and "Path" in annotation.split(" | ") else word for word in words)


def _rule(word: str, namespace: Mapping[str, Any]) -> Rule | None:
    head, _, inner = word.removesuffix("]").partition("[")
    if head not in RULES:
        kind = namespace.get(head)
        if get_origin(kind) is Callable:
            return RULES["Callable"]
        return (
            (f"{'an' if head[0] in 'AEIOU' else 'a'} {head}", lambda value: isinstance(value, kind))
            if isinstance(kind, type)
            else None
        )
    wanted, fits = RULES[head]
    held = inner if head == "Sequence" else inner.partition(",")[0] if head in ("Mapping", "dict") else ""
    rules = [_rule(one, namespace) for one in _union(held)] if held else [None]
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return wanted, fits
    each = " or ".join(one for one, _ in known)

    def holds(value: Any) -> bool:
        if not fits(value) or isinstance(value, str):
            return False
        return isinstance(value, range) or all(any(rule(one) for _, rule in known) for one in value)

    return f"{wanted} of which each is {each}", holds
