"""Frozen records of settings with checks: a setting's default, limits and description are defined once.

The command line, TOML files and the search use them, so that a new field is an option everywhere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hw4nets.errors import InputError, UnknownNameError

MAX_VALUE_CHARACTERS = 100  # characters of a wrong value in a message


@dataclass(frozen=True)
class Range:
    """The interval of a search: low … high, whole numbers if both are, uniform in the logarithm with `log`."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def setting(
    default: Any,
    text: str,
    *,
    choices: Sequence[str] = (),
    limits: tuple[float, float] = (-math.inf, math.inf),
    search: Any = None,
    metavar: str = "",
) -> Any:
    """A field: its default, its description, the accepted words or interval, and the `Range` or values to search.

    metavar   the placeholder of its value in help texts
    """
    about = {"text": text, "choices": tuple(choices), "limits": limits, "search": search, "metavar": metavar}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class Settings:
    """Base of `Config` and of every network."""

    def __post_init__(self) -> None:
        for item in settings_of(type(self)):
            object.__setattr__(self, item.name, checked(item, getattr(self, item.name)))

    @classmethod
    def of(cls, what: str, given: Mapping[str, Any], **fixed: Any) -> Self:
        """The record of names and values; raises `UnknownNameError`, which lists the known names.

        what    the owner of the settings, for messages
        fixed   fields that are not settings
        """
        names = [item.name for item in settings_of(cls)]
        for name in given:
            if name not in names:
                if not names:
                    raise InputError(f"{what} has no options; leave {name} out")
                raise UnknownNameError(f"option of {what}", name, names)
        return cls(**given, **fixed)

    def values(self) -> dict[str, Any]:
        """Names and values, tuples as lists, as in TOML."""
        pairs = ((item.name, getattr(self, item.name)) for item in settings_of(type(self)))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs}


def settings_of(record: type[Settings]) -> list[dataclasses.Field[Any]]:
    """The fields made with `setting`, in order."""
    return [item for item in dataclasses.fields(record) if "text" in item.metadata]


def checked(item: dataclasses.Field[Any], value: Any) -> Any:
    """The value in the field's type; raises `InputError` with the field and the accepted values."""
    kind = type(item.default)
    if isinstance(item.default, tuple):
        if not isinstance(value, list | tuple) or not value:
            raise InputError(
                f"{item.name} is {shown(value)}; give whole numbers, as in {','.join(map(str, item.default))}"
            )
        return tuple(_number(item, number, int) for number in value)
    if kind in (int, float):
        return _number(item, value, kind)
    if not isinstance(value, kind):
        raise InputError(f"{item.name} is {shown(value)}; give {'true or false' if kind is bool else 'a word'}")
    if item.metadata["choices"] and value not in item.metadata["choices"]:
        raise UnknownNameError(item.name, value, item.metadata["choices"])
    return value


def shown(value: Any) -> str:
    """A value as a message shows it, cut if it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python shows
        return "a number of thousands of digits"
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"


def _number(item: dataclasses.Field[Any], value: Any, kind: type) -> Any:
    low, high = item.metadata["limits"]
    if (
        isinstance(value, bool)
        or not isinstance(value, int if kind is int else int | float)
        or not low <= value <= high
    ):
        number = "a whole number" if kind is int else "a number"
        bounds = (
            f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more" if math.isfinite(low) else ""
        )
        raise InputError(f"{item.name} is {shown(value)}; it must be {number} {bounds}".rstrip())
    return kind(value)
