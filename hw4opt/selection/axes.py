"""The axes of a search and the settings tried on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hw4opt.errors import InputError, shown
from hw4opt.problem import HyperparameterKey
from hw4opt.validation.arguments import is_finite

MOST_POINTS = 1_000_000

Setting = dict[str, float]


@dataclass(frozen=True)
class Axis:
    """One hyper-parameter's range.

    count      points, of a range that the user named: it is never left
    reach      (lowest, highest) that the search may go on to where its best lies on the edge of a default range
    """

    name: str
    low: float
    high: float
    count: int | None = None
    reach: tuple[float, float] | None = None

    @classmethod
    def given(cls, name: str, span: Sequence[float]) -> Axis:
        """The axis of a range (low, high, count) that the user named; raises `InputError`."""
        values = tuple(span) if isinstance(span, Sequence) else ()
        if len(values) == 3 and all(map(is_finite, values)):
            low, high, count = values
            if 0 < low <= high and count == int(count) and 1 <= count <= MOST_POINTS:
                return cls(name, float(low), float(high), int(count))
        raise InputError(
            f"grid of {name} is {shown(span)}; (low, high, count) needs 0 < LOW ≤ HIGH and a COUNT "
            f"from 1 to {MOST_POINTS:,}"
        )

    @property
    def key(self) -> HyperparameterKey:
        """The name, taken apart."""
        return HyperparameterKey.parse(self.name)

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and highest value that may be tried."""
        return (self.low, self.high) if self.reach is None else self.reach

    def points(self, default: int) -> int:
        """How many points the axis has in a grid: as named, else `default` and at least one a decade."""
        return self.count or max(default, int(math.log10(self.high / self.low)) + 1)


@dataclass(frozen=True)
class Tried:
    """A setting with its score and standard error, and whether every held-out fit behind them is proven.

    dropped    the score is a bound, above that of another setting, and the standard error is NaN
    """

    setting: Setting
    score: float
    standard_error: float
    proven: bool = True
    dropped: bool = False

    @property
    def row(self) -> dict[str, float]:
        """As the table of a selection shows it."""
        row = {**self.setting, "score": self.score, "standard_error": self.standard_error}
        if self.dropped:
            row |= {"standard_error": math.nan, "dropped": True}  # this very NaN: equal tables compare equal
        return row if self.proven else row | {"unproven": True}

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """What to compare by: a finite score before others, a proven one before others, then the lower one."""
        finite = math.isfinite(self.score)
        return not finite, not self.proven, self.score if finite else math.inf


def lowest(tried: Sequence[Tried]) -> Tried:
    """The setting of lowest score among the proven ones, or among all where none is."""
    return min(tried, key=lambda one: one.rank)


def product(grids: Mapping[str, Sequence[float]]) -> list[Setting]:
    """Every combination of the values of the axes."""
    return [dict(zip(grids, values, strict=True)) for values in itertools.product(*grids.values())]
