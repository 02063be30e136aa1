"""Columns of a table as features, also for new rows: numbers, levels of text as 0/1 columns, dates as time since the
first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hw4opt.errors import InputError, ModelFileError, listed, shortened
from hw4opt.tables.table import Table, number
from hw4opt.tables.times import DAY, SECOND, Times, moment_text
from hw4opt.terms.base import Array

MOST_LEVELS = 1_000
FARTHEST = 10**28  # nanoseconds from 1970 that a file can hold


@dataclass(frozen=True)
class Numbers:
    """A column of numbers."""

    name: str
    kind: ClassVar[str] = "numbers"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def values(self, table: Table, name: str, here: np.ndarray) -> Array:
        """(n, 1)."""
        return table.numbers(name, here)[:, None]


@dataclass(frozen=True)
class Levels:
    """A column of text as 0/1 columns, one per level; with `dropped`, all columns are 0 at the first level."""

    name: str
    levels: tuple[str, ...]
    dropped: bool
    kind: ClassVar[str] = "levels"

    @classmethod
    def of(cls, table: Table, name: str, here: np.ndarray, dropped: bool) -> Levels:
        """The levels in the rows that count, sorted: as numbers if all are, else as text."""
        found = set(_levels(table, name, here)) - {""}
        if len(found) < 2 or len(found) > MOST_LEVELS:
            some = f"{len(found):,} levels" if len(found) != 1 else f"one level only ({shortened(next(iter(found)))!r})"
            raise InputError(f"column {name!r} has {some}; a categorical column needs 2 to {MOST_LEVELS:,}")
        values = {level: number(level) for level in found}
        plain = all(math.isfinite(value) for value in values.values())
        return cls(name, tuple(sorted(found, key=lambda level: (values[level] if plain else 0.0, level))), dropped)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={level}" for level in self.levels[self.dropped :])

    def values(self, table: Table, name: str, here: np.ndarray) -> Array:
        """(n, levels), less one if the first is dropped; raises `InputError` for the first unseen level and its row."""
        place = {level: at for at, level in enumerate(self.levels)}
        codes = np.fromiter((place.get(level, -1) for level in _levels(table, name, here)), dtype=int, count=len(table))
        if (unseen := here & (codes < 0)).any():
            row = int(np.argmax(unseen))
            level = table.text(name)[row].strip()
            held = f"holds the level {shortened(level)!r}" if level else "is empty"
            raise InputError(f"column {name!r} {held} in row {row}; the levels fitted are {listed(self.levels)}", row)
        return self._from_codes(codes)

    def _from_codes(self, codes: np.ndarray) -> Array:
        """The columns from the index of each row's level, -1 in rows that do not count."""
        found = (codes[:, None] == np.arange(int(self.dropped), len(self.levels))).astype(float)
        found[codes < 0] = np.nan
        return found


@dataclass(frozen=True)
class Codes(Levels):
    """A column of levels as one column of numbers: their indices, from 0."""

    kind: ClassVar[str] = "codes"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def _from_codes(self, codes: np.ndarray) -> Array:
        return np.where(codes < 0, np.nan, codes)[:, None]


def _levels(table: Table, name: str, here: np.ndarray) -> list[str]:
    """The cells as levels; "" in rows that do not count."""
    return [cell.strip() if counts else "" for cell, counts in zip(table.text(name), here.tolist(), strict=True)]


@dataclass(frozen=True)
class Moments:
    """A column of dates as days, or of date-times as seconds, since `first`: nanoseconds since 1970."""

    name: str
    first: int
    dates: bool
    zoned: bool
    kind: ClassVar[str] = "moments"

    @classmethod
    def of(cls, table: Table, name: str, here: np.ndarray) -> Moments:
        """The feature, measured from the earliest time in the rows that count."""
        times = _times(table, name, here)
        held = [one for one, counts in zip(times.nanoseconds, here.tolist(), strict=True) if counts and one is not None]
        return cls(name, min(held), times.dates, bool(times.zoned[here].any()))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def unit(self) -> str:
        """The unit in words, as in "days since 2026-01-31"."""
        since = moment_text(self.first, self.dates) + ("Z" if self.zoned else "")
        return f"{'days' if self.dates else 'seconds'} since {since}"

    def values(self, table: Table, name: str, here: np.ndarray) -> Array:
        """(n, 1); raises `InputError` with column and row of the first cell that is not a time, or that names a time
        zone where others do not."""
        times, unit = _times(table, name, here), DAY if self.dates else SECOND
        if (other := here & (times.zoned != self.zoned)).any() and not times.dates:
            row = int(np.argmax(other))
            words = "names no time zone and others do" if self.zoned else "names a time zone and others name none"
            cell = table.text(name)[row]
            raise InputError(f"column {name!r} {words} (row {row}, {cell!r}); give every row one, or none", row)
        found = (math.nan if one is None else (one - self.first) / unit for one in times.nanoseconds)
        return np.fromiter(found, dtype=float, count=len(times))[:, None]


def _times(table: Table, name: str, here: np.ndarray) -> Times:
    times = table.times(name)
    if (wrong := here & ~times.here).any():
        table.refuse(
            name,
            int(np.argmax(wrong)),
            "give dates as in 2026-01-31 or 2026-01-31T12:30:00Z (ISO 8601), or drop the row",
        )
    return times


Column = Numbers | Levels | Moments  # and codes, which are levels
KINDS: Mapping[str, type[Column]] = {kind.kind: kind for kind in (Numbers, Levels, Codes, Moments)}


@dataclass(frozen=True)
class Features:
    """How the columns of a table become features."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name in column.names)

    def matrix(self, table: Table, here: np.ndarray | None = None, names: Sequence[str] | None = None) -> Array:
        """(n, d) of the features, finite in the rows `here` (default: all). Raises `InputError`.

        names    of the columns in this table, if they differ
        """
        here = np.ones(len(table), dtype=bool) if here is None else here
        own = [column.name for column in self.columns] if names is None else names
        blocks = [column.values(table, name, here) for column, name in zip(self.columns, own, strict=True)]
        return np.hstack(blocks) if blocks else np.empty((len(table), 0))

    def stored(self) -> list[dict[str, Any]]:
        """The record for a model file."""
        return [{"kind": column.kind, **vars(column)} for column in self.columns]

    @classmethod
    def load(cls, stored: Any) -> Features:
        """The features of a record of `stored`; raises `ModelFileError` for any other."""
        try:
            columns = [_load(**one) for one in stored]
        except (TypeError, KeyError, ValueError) as error:
            raise ModelFileError(
                "the model file is damaged: its feature columns are not as this hw4opt writes them"
            ) from error
        return cls(tuple(columns))


def _load(kind: str, **fields: Any) -> Column:
    if kind in (Levels.kind, Codes.kind):
        fields["levels"] = tuple(fields["levels"])
    wanted = {"name": str, "levels": tuple, "first": int, "dates": bool, "zoned": bool, "dropped": bool}
    right = all(type(value) is wanted[key] for key, value in fields.items())
    right = (
        right
        and all(type(level) is str for level in fields.get("levels", ()))
        and abs(fields.get("first", 0)) < FARTHEST
    )
    if not right:
        raise ValueError
    return KINDS[kind](**fields)
