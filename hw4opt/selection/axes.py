"""The axes of a search and the settings on them."""

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

    count      number of points of a range that the user gave; the search never leaves it
    reach      (lowest, highest) value that the search may extend a default range to if its best lies on the edge
    """

    name: str
    low: float
    high: float
    count: int | None = None
    reach: tuple[float, float] | None = None

    @classmethod
    def given(cls, name: str, span: Sequence[float]) -> Axis:
        """The axis of a range (low, high, count) that the user gave; raises `InputError`."""
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
        """The parts of the name."""
        return HyperparameterKey.parse(self.name)

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and highest value that may be tried."""
        return (self.low, self.high) if self.reach is None else self.reach

    def points(self, default: int) -> int:
        """The number of grid points: as given, else `default` and at least one per decade."""
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
        """The row in the table of a selection."""
        row = {**self.setting, "score": self.score, "standard_error": self.standard_error}
        if self.dropped:
            row |= {"standard_error": math.nan, "dropped": True}  # the same object: equal tables compare equal
        return row if self.proven else row | {"unproven": True}

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The sort key: finite scores first, proven ones first among those, then the lower score."""
        finite = math.isfinite(self.score)
        return not finite, not self.proven, self.score if finite else math.inf


def lowest(tried: Sequence[Tried]) -> Tried:
    """The setting of lowest score among the proven ones, or among all if none is proven."""
    return min(tried, key=lambda one: one.rank)


def product(grids: Mapping[str, Sequence[float]]) -> list[Setting]:
    """Every combination of the values of the axes."""
    return [dict(zip(grids, values, strict=True)) for values in itertools.product(*grids.values())]
