"""The scale of duality gaps: the part of the objective that the fit explains.

    gap_scale = max(min(P̂, max(E, R)), 1e-4 L)
    P̂ = Σ_i r_i + penalties of w,                r_i = f_i(z_i) - min f_i              of the loss's rows
    E = Σ_i (ℓ_i - r_i) - penalties of w + gap,  ℓ_i = f_i(z⁰_i) - min f_i
    R = ridge · (interquartile range of the targets)²/max k(x, x)
    L = (number of ℓ_i > 0) · (the median of the positive ℓ_i)

R is the ridge penalty of a function as large as the targets' spread: a gap of tol · R proves every prediction to √tol
of that spread, for any fit. It matters if constraints that the trivial fit violates make E negative. z⁰ is the best
constant if an intercept is free, else f = 0. In both sums the largest row counts as the second largest; a weight counts
at most as 100 times the median weight, or as the second largest if that is more (the median of quickly decaying weights
is not meaningful). So no row, however large its target or weight, raises the scale above that of the others; and a
level, or a constant part of a loss, is not part of these sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form.box_rows import BoxRows
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.form.term_rows import TermRows
from hw4opt.terms.base import Array

MIN_EXPLAINED_SHARE = 1e-4  # of L: the scale of a fit that explains nothing
LARGEST_SHARE = 100.0  # largest weight, in medians
CONSTANT_FIT_ROWS = 512  # rows among which the best constant is searched
CONSTANT_FIT_STEPS = 8  # of Newton's method to the best constant of a smooth loss
MAX_CONSTANT_FIT_STEP = 2.0  # in z


@dataclass(frozen=True, eq=False)
class Reference:
    """The trivial fit: the losses of its rows, ℓ_i (b, n), L and R (b,), and the weight of each row in sums, (b, n)."""

    lost: Array
    floor: Array
    charged: Array
    share: Array

    def cut(self, batch: np.ndarray) -> Reference:
        return Reference(self.lost[batch], self.floor[batch], self.charged[batch], self.share[batch])

    def in_units(self, worth: Array) -> Reference:
        """That of f/worth, (b, 1)."""
        return Reference(self.lost / worth, self.floor / worth[:, 0], self.charged / worth[:, 0], self.share)

    @property
    def least(self) -> Array:
        """The smallest gap_scale that there can be, (b,)."""
        return MIN_EXPLAINED_SHARE * self.floor

    def scale(self, excess: Array, penalties: Array, gap: Array) -> Array:
        """gap_scale (b,) of points with these r (b, n), penalties and gaps (b,)."""
        left = self.share * excess
        with np.errstate(invalid="ignore"):  # a point outside every domain explains nothing
            remains, lost = _without_largest(np.concatenate([left, self.lost - left])).reshape(2, -1)
            return scale_of(remains, lost, penalties, gap, self.charged, self.least)


def relative_gap(gap: Array, scale: Array | float) -> Array:
    """gap / gap_scale; where the fit has nothing to explain (gap_scale 0), 0 for a gap of 0, else infinite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(gap == 0, 0.0, gap / scale)


def scale_of(remains: Array, lost: Array, penalties: Array, gap: Array, charged: Array, least: Array) -> Array:
    """gap_scale (b,) from Σ r_i and Σ (ℓ_i - r_i) without their largest, the penalties, the gap, R, and its least."""
    return np.fmax(np.fmin(remains + penalties, np.fmax(lost - penalties + gap, charged)), least)


def reference(loss: TermRows, free_level: bool, charged: Array, curves: int = 1) -> Reference:
    """The trivial fit of the loss; `free_level`: a constant per curve has no penalty;  charged (b,): R."""
    constant = np.zeros((len(loss.offset), 1))
    if free_level:
        count = loss.count // curves
        constants = [constant_fit(loss, curve * count, count) for curve in range(curves)]
        constant = constants[0] if curves == 1 else np.repeat(np.concatenate(constants, axis=1), count, axis=1)
    lost = loss.excess(constant)
    share = np.ones(lost.shape)
    if loss.weights.shape[1] > 1:
        share = _share(loss.weights)
        lost *= share
    median, count = _median_and_count(lost)
    return Reference(lost, count * median, charged, share)


def _without_largest(rows: Array) -> Array:
    """Their sum, (b,), with the largest replaced by the second largest."""
    if rows.shape[1] < 2:
        return rows.sum(axis=1)
    return np.minimum(rows, np.partition(rows, -2, axis=1)[:, -2:-1]).sum(axis=1)


def _share(weights: Array) -> Array:
    """The factor of each row that limits its weight to 100 medians, or the second largest if that is more."""
    second = -np.partition(-weights, 1, axis=1)[:, 1:2]
    most = np.maximum(LARGEST_SHARE * median_of_positive(weights)[:, None], second)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weights > most, most / weights, 1.0)


def median_of_positive(values: Array) -> Array:
    """The lower median of the positive entries of every line, (b,); 0 where there is none."""
    return _median_and_count(values)[0]


def _median_and_count(values: Array) -> tuple[Array, np.ndarray]:
    """The lower median of the positive entries of every line, and how many these are, (b,)."""
    size, count = values.shape[1], (values > 0).sum(axis=1)
    first = int(count[0])
    if (count == first).all():
        place = min(size - first + max((first - 1) // 2, 0), size - 1)
        return np.partition(values, place, axis=1)[:, place], count
    place = np.minimum(size - count + np.maximum((count - 1) // 2, 0), size - 1)
    return np.sort(values, axis=1)[np.arange(len(values)), place], count


def spread_rows(count: int) -> np.ndarray:
    """The indices of the rows among which the best constant is searched."""
    return np.linspace(0, count - 1, min(count, CONSTANT_FIT_ROWS)).astype(int)


def constant_fit(loss: TermRows, first: int = 0, count: int | None = None) -> Array:
    """The constant of least loss on `count` rows (None: all) from `first` on, (b, 1), by a sample if there are many."""
    some = first + spread_rows(loss.count if count is None else count)
    if (smooth := loss.smooth) is not None:
        return smooth_constant(smooth.cut(some))
    return _zero_of_slopes([box.cut(some) for box in loss.boxes], len(some))


def smooth_constant(rows: SmoothRows, steps: int = CONSTANT_FIT_STEPS) -> Array:
    """The z of least loss that is the same in every row, (b, 1): by Newton's method, no step longer than
    MAX_CONSTANT_FIT_STEP."""
    weights = np.broadcast_to(rows.weights, rows.targets.shape)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    c = (weights * (rows.term.guess(rows.targets) - rows.offset)).sum(axis=1, keepdims=True) / total
    for _ in range(steps):
        z = np.broadcast_to(c, rows.targets.shape)
        slope, curvature = (one.sum(axis=1, keepdims=True) for one in (rows.gradient(z), rows.curvature(z)))
        c = c - np.clip(slope / np.maximum(curvature, 1e-300), -MAX_CONSTANT_FIT_STEP, MAX_CONSTANT_FIT_STEP)
    return c


def _zero_of_slopes(boxes: Sequence[BoxRows], count: int) -> Array:
    """The zero of Σ f'(c), (b, 1), an increasing piecewise linear function, found by walking its breakpoints.

    A row adds low, from t + q low on (c - t)/q, and from t + q high on high; without curvature it jumps from low to
    high at t.
    """
    b = len(boxes[0].shift)
    places, jumps, bends = [], [], []
    rise, level = np.zeros((b, 1)), np.zeros((b, 1))
    for box in boxes:
        q, t, low, high = (np.broadcast_to(one, (b, count)) for one in (box.quadratic, box.shift, box.low, box.high))
        rate = np.where(box.open, 1.0 / np.where(q > 0, q, np.inf), 0.0)
        if not (box.low_bounded and box.high_bounded):
            slope = np.where(box.open, -rate * t, low)
            rise, level = rise + rate.sum(axis=1, keepdims=True), level + slope.sum(axis=1, keepdims=True)
            continue
        level = level + low.sum(axis=1, keepdims=True)
        places += [t + q * low, t + q * high]
        jumps += [np.where(q > 0, 0.0, high - low), np.zeros((b, count))]
        bends += [rate, -rate]
    if not places:
        return -level / np.maximum(rise, 1e-300)
    order = np.argsort(np.concatenate(places, axis=1), axis=1, kind="stable")
    place, jump, bend = (
        np.take_along_axis(np.concatenate(one, axis=1), order, axis=1) for one in (places, jumps, bends)
    )
    slope = rise + np.cumsum(bend, axis=1)  # after each place
    before = np.concatenate([rise, slope[:, :-1]], axis=1)
    steps = np.diff(place, axis=1, prepend=place[:, :1])
    start = level + rise * place[:, :1]
    at = start + np.cumsum(before * steps, axis=1) + np.cumsum(jump, axis=1) - jump  # just below each place
    first = (at + jump >= 0).argmax(axis=1)[:, None]
    low_end, rate, where = (np.take_along_axis(one, first, axis=1) for one in (at, before, place))
    return where - np.where(low_end > 0, low_end, 0.0) / np.where(rate > 0, rate, 1.0)
