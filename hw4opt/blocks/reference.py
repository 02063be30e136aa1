"""What a gap over rows in blocks is relative to: gap_scale.py's quantities, exact, by passes over the targets alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.blocks.objective import rows_of_loss
from hw4opt.blocks.order_statistics import Ranks, order_statistics
from hw4opt.blocks.rows import BlockSums, DataRows
from hw4opt.blocks.survey import Survey
from hw4opt.form.gap_scale import LARGEST_SHARE, MIN_EXPLAINED_SHARE, constant_fit, spread_rows
from hw4opt.problem import Model
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class Trivial:
    """The trivial fit beside which a gap is judged, and typical sizes.

    level        what a free intercept is measured from: the lower median of the targets of a residual loss, else 0
    spread       a unit of y: the interquartile range of the targets; 1 for smooth losses
    most         what a weight counts at most, where it is larger;  constant (1, 1)  the best constant, among
                 some rows; 0 without intercept
    least        the smallest gap_scale;  z_scale  the median of the |targets| from the level on; 1 for smooth losses
    """

    level: float
    spread: float
    most: float
    constant: Array
    least: float = 0.0
    z_scale: float = 1.0

    def share(self, weights: Array | None) -> Array:
        """By what each row counts."""
        if weights is None:
            return np.ones(1)
        return np.minimum(self.most / weights, 1.0)


def trivial_fit(model: Model, survey: Survey, sums: BlockSums) -> Trivial:
    """By some reads of targets, weights and offsets."""
    smooth = isinstance(model.loss, Smooth)

    def statistics(of: Callable[[DataRows], Sequence[Array]], ranks: Sequence[Ranks]) -> list[list[float]]:
        return order_statistics(
            lambda act, combine: survey.total(sums, lambda rows: act(of(rows)), combine, with_x=False), ranks
        )

    def first(rows: DataRows) -> Sequence[Array]:
        return rows.y[:0] if smooth else _targets(rows), rows.y[:0] if rows.weights is None else rows.weights

    ranked, weights = statistics(first, [_quarters, _lower_median])
    low, middle, high = ranked or [0.0, 0.0, 0.0]
    level = middle if model.intercept else 0.0
    most = max(LARGEST_SHARE * weights[0], float(survey.largest_weights[1])) if weights else np.inf
    constant = _constant_fit(model, survey, sums, level) if model.intercept else np.zeros((1, 1))
    found = Trivial(level, _spread(low, high, survey, sums, smooth), most, constant)

    def second(rows: DataRows) -> Sequence[Array]:
        lost = found.share(rows.weights) * rows_of_loss(model, rows, level).excess(constant)[0]
        apart = np.abs(_targets(rows)[: 0 if smooth else None] - level)
        return lost[lost > 0], apart[apart > 0]

    counted: list[int] = []
    lost, apart = statistics(second, [lambda count: counted.append(count) or _lower_median(count), _lower_median])
    least = MIN_EXPLAINED_SHARE * counted[0] * lost[0] if lost else 0.0
    return replace(found, least=least, z_scale=apart[0] if apart else 1.0)


def _targets(rows: DataRows) -> Array:
    """What the fit without offset is to reach."""
    return rows.y if rows.offset is None else rows.y - rows.offset


def _constant_fit(model: Model, survey: Survey, sums: BlockSums, level: float) -> Array:
    """The constant of least loss, among the same rows as in memory."""
    places, first, before = spread_rows(survey.count), survey.first, survey.before

    def some(rows: DataRows) -> DataRows:
        assert rows.numbers is not None
        low = int(before[np.searchsorted(first, rows.numbers[0], side="right") - 1])
        return rows.cut(places[(places >= low) & (places < low + len(rows))] - low)

    found = survey.total(sums, some, lambda one, other: DataRows.join([one, other]), with_x=False)
    assert found is not None
    return constant_fit(rows_of_loss(model, found, level))


def _quarters(count: int) -> list[int]:
    quarter = (count - 1) // 4
    return [quarter, (count - 1) // 2, count - 1 - quarter]


def _lower_median(count: int) -> list[int]:
    return [(count - 1) // 2]


def _spread(low: float, high: float, survey: Survey, sums: BlockSums, smooth: bool) -> float:
    """The interquartile range, or the range where that is 0; 1 where it is, too."""
    if smooth:
        return 1.0
    if high > low:
        return high - low
    ends = survey.total(
        sums,
        lambda rows: (float(_targets(rows).min()), float(_targets(rows).max())),
        lambda one, other: (min(one[0], other[0]), max(one[1], other[1])),
        with_x=False,
    )
    assert ends is not None
    return ends[1] - ends[0] or 1.0
