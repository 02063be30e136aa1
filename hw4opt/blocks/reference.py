"""The reference for gap_scale over rows in blocks: the quantities of form/gap_scale.py, exact, by passes over targets,
weights and offsets without x."""

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
    """The trivial fit of gap_scale, and typical sizes.

    level        constant that f is relative to with a free intercept: the lower median of the targets of a residual
                 loss, else 0
    spread       interquartile range of the targets; 1 for smooth losses
    most         bound of the weights in sums;  constant (1, 1)  the best constant z⁰; 0 without intercept
    least        smallest possible gap_scale;  z_scale  median of |target - level|; 1 for smooth losses
    """

    level: float
    spread: float
    most: float
    constant: Array
    least: float = 0.0
    z_scale: float = 1.0

    def share(self, weights: Array | None) -> Array:
        """The factor of each row that limits its weight to `most`."""
        if weights is None:
            return np.ones(1)
        return np.minimum(self.most / weights, 1.0)


def trivial_fit(model: Model, survey: Survey, sums: BlockSums) -> Trivial:
    """The trivial fit, by some reads of targets, weights and offsets."""
    smooth = isinstance(model.loss, Smooth)

    def statistics(of: Callable[[DataRows], Sequence[Array]], ranks: Sequence[Ranks]) -> list[list[float]]:
        return order_statistics(
            lambda act, combine: survey.total(sums, lambda rows: act(of(rows)), combine, with_x=False), ranks
        )

    def targets_and_weights(rows: DataRows) -> Sequence[Array]:
        return rows.y[:0] if smooth else _targets(rows), rows.y[:0] if rows.weights is None else rows.weights

    ranked, weights = statistics(targets_and_weights, [_quarters, _lower_median])
    low, middle, high = ranked or [0.0, 0.0, 0.0]
    level = middle if model.intercept else 0.0
    max_weight = max(LARGEST_SHARE * weights[0], float(survey.largest_weights[1])) if weights else np.inf
    constant = _constant_fit(model, survey, sums, level) if model.intercept else np.zeros((1, 1))
    found = Trivial(level, _spread(low, high, survey, sums, smooth), max_weight, constant)

    def losses_and_distances(rows: DataRows) -> Sequence[Array]:
        losses = found.share(rows.weights) * rows_of_loss(model, rows, level).excess(constant)[0]
        distances = np.abs(_targets(rows)[: 0 if smooth else None] - level)
        return losses[losses > 0], distances[distances > 0]

    counts: list[int] = []
    losses, distances = statistics(
        losses_and_distances, [lambda count: counts.append(count) or _lower_median(count), _lower_median]
    )
    least = MIN_EXPLAINED_SHARE * counts[0] * losses[0] if losses else 0.0
    return replace(found, least=least, z_scale=distances[0] if distances else 1.0)


def _targets(rows: DataRows) -> Array:
    """The targets minus the offset."""
    return rows.y if rows.offset is None else rows.y - rows.offset


def _constant_fit(model: Model, survey: Survey, sums: BlockSums, level: float) -> Array:
    """The constant of least loss on the same subset of rows as in memory, (1, 1)."""
    indices, first, before = spread_rows(survey.count), survey.first, survey.before

    def selected(rows: DataRows) -> DataRows:
        assert rows.numbers is not None
        low = int(before[np.searchsorted(first, rows.numbers[0], side="right") - 1])
        return rows.cut(indices[(indices >= low) & (indices < low + len(rows))] - low)

    found = survey.total(sums, selected, lambda one, other: DataRows.join([one, other]), with_x=False)
    assert found is not None
    return constant_fit(rows_of_loss(model, found, level))


def _quarters(count: int) -> list[int]:
    quarter = (count - 1) // 4
    return [quarter, (count - 1) // 2, count - 1 - quarter]


def _lower_median(count: int) -> list[int]:
    return [(count - 1) // 2]


def _spread(low: float, high: float, survey: Survey, sums: BlockSums, smooth: bool) -> float:
    """The interquartile range; the range if that is 0; 1 if both are."""
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
