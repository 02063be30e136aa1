"""What a gap over rows in blocks is relative to: gap_scale.py's quantities, exact, by passes over the targets alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.blocks.objective import rows_of_loss
from hw4opt.blocks.order_statistics import order_statistics
from hw4opt.blocks.rows import DataRows, RowSource
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


def trivial_fit(model: Model, survey: Survey, source: RowSource) -> Trivial:
    """By some reads of targets, weights and offsets."""
    smooth = isinstance(model.loss, Smooth)

    def targets(rows: DataRows) -> Array:
        return rows.y if rows.offset is None else rows.y - rows.offset

    def first() -> Iterator[Sequence[Array]]:
        for rows in survey.blocks(source, False):
            yield rows.y[:0] if smooth else targets(rows), rows.y[:0] if rows.weights is None else rows.weights

    ranked, weights = order_statistics(first, [_quarters, _lower_median])
    low, middle, high = ranked or [0.0, 0.0, 0.0]
    level = middle if model.intercept else 0.0
    most = max(LARGEST_SHARE * weights[0], float(survey.largest_weights[1])) if weights else np.inf
    constant = _constant_fit(model, survey, source, level) if model.intercept else np.zeros((1, 1))
    found = Trivial(level, _spread(low, high, survey, source, smooth), most, constant)

    def second() -> Iterator[Sequence[Array]]:
        for rows in survey.blocks(source, False):
            lost = found.share(rows.weights) * rows_of_loss(model, rows, level).excess(constant)[0]
            apart = np.abs(targets(rows)[: 0 if smooth else None] - level)
            yield lost[lost > 0], apart[apart > 0]

    counted: list[int] = []
    lost, apart = order_statistics(second, [lambda count: counted.append(count) or _lower_median(count), _lower_median])
    least = MIN_EXPLAINED_SHARE * counted[0] * lost[0] if lost else 0.0
    return replace(found, least=least, z_scale=apart[0] if apart else 1.0)


def _constant_fit(model: Model, survey: Survey, source: RowSource, level: float) -> Array:
    """The constant of least loss, among the same rows as in memory."""
    places, first, some = spread_rows(survey.count), 0, []
    for rows in survey.blocks(source, False):
        some.append(rows.cut(places[(places >= first) & (places < first + len(rows))] - first))
        first += len(rows)
    return constant_fit(rows_of_loss(model, DataRows.join(some), level))


def _quarters(count: int) -> list[int]:
    quarter = (count - 1) // 4
    return [quarter, (count - 1) // 2, count - 1 - quarter]


def _lower_median(count: int) -> list[int]:
    return [(count - 1) // 2]


def _spread(low: float, high: float, survey: Survey, source: RowSource, smooth: bool) -> float:
    """The interquartile range, or the range where that is 0; 1 where it is, too."""
    if smooth:
        return 1.0
    if high > low:
        return high - low
    ends = [
        (float(one.min()), float(one.max()))
        for rows in survey.blocks(source, False)
        for one in (rows.y if rows.offset is None else rows.y - rows.offset,)
    ]
    return max(high for _, high in ends) - min(low for low, _ in ends) or 1.0
