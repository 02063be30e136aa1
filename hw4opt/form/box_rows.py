"""Box-constrained quadratic rows: every piecewise linear-quadratic function of a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from hw4opt.form.gap_cost import row_slack
from hw4opt.form.rows import RowFunctions, cut_rows
from hw4opt.running.array_files import large_array
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property, set_fields

CONSTRAINT_ROUNDING = 1e-14  # of the largest z: a smaller violation of a constraint counts as 0


@dataclass(frozen=True, eq=False)
class BoxRows(RowFunctions):
    """f*(u) = ½ quadratic u² + shift u on low ≤ u ≤ high, so f(z) = max over that interval of (z - shift) u - ½
    quadratic u².

    Bounds may be infinite; low = high = 0 is a row that takes no part.
    """

    quadratic: Array
    shift: Array
    low: Array
    high: Array

    @classmethod
    def join(cls, parts: Sequence[BoxRows], counts: Sequence[int]) -> BoxRows:
        """The rows of the parts, of the given numbers of rows, concatenated, (b, m) in total."""
        found = large_array(4, len(parts[0].shift), sum(counts))
        for part, (low, high) in zip(parts, pairwise([0, *accumulate(counts)]), strict=True):
            for place, array in enumerate((part.quadratic, part.shift, part.low, part.high)):
                found[place, :, low:high] = array
        joined = cls(*found)
        set_fields(joined, table=found)
        return joined

    @cached_property
    def table(self) -> Array:
        """quadratic, shift, low and high stacked, (4, b, m)."""
        arrays = self.quadratic, self.shift, self.low, self.high
        return np.array(np.broadcast_arrays(*arrays))

    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> BoxRows:
        arrays = (self.quadratic, self.shift, self.low, self.high)
        return BoxRows(*(cut_rows(array, columns, batch) for array in arrays))

    def in_units(self, size: Array, worth: Array) -> BoxRows:
        rate = size / worth
        quadratic = self.quadratic * (worth / np.square(size))
        return BoxRows(quadratic, self.shift / size, self.low * rate, self.high * rate)

    def without(self, absent: np.ndarray) -> BoxRows:
        """Where `absent` (b, m), the row takes no part."""
        low, high = (np.where(absent, 0.0, bound) for bound in (self.low, self.high))
        return BoxRows(self.quadratic, self.shift, low, high)

    def weighted(self, weights: Array) -> BoxRows:
        """The rows weights·f, weights (b, m) or (b, 1) above 0."""
        return BoxRows(self.quadratic / weights, self.shift, self.low * weights, self.high * weights)

    @cached_property
    def open(self) -> np.ndarray:
        return self.low < self.high

    @cached_property
    def all_open(self) -> bool:
        """Whether every row depends on z."""
        return _every(self.open)

    @cached_property
    def low_bounded(self) -> bool:
        """Whether u of some open row is bounded below."""
        return _some(np.isfinite(self.low) & self.open)

    @cached_property
    def high_bounded(self) -> bool:
        """Whether u of some open row is bounded above."""
        return _some(np.isfinite(self.high) & self.open)

    @cached_property
    def flat(self) -> np.ndarray:
        """(b, m) or (b, 1) bool: rows without curvature."""
        return self.quadratic == 0

    @cached_property
    def one_sided(self) -> np.ndarray:
        """(b, m) or (b, 1) bool: constraints, rows that are infinite on one side of shift."""
        return self._half_bounded & self.flat

    @cached_property
    def has_constraints(self) -> bool:
        """Whether some row is infinite on one side."""
        return not self.all_curved and _some(self.one_sided)

    @cached_property
    def _half_bounded(self) -> np.ndarray:
        return np.isinf(self.low) | np.isinf(self.high)

    @cached_property
    def _any_half_bounded(self) -> bool:
        return _some(self._half_bounded)

    @cached_property
    def all_curved(self) -> bool:
        """Whether every row has curvature somewhere."""
        return _every(self.quadratic > 0)

    @cached_property
    def none_curved(self) -> bool:
        """Whether every row is linear, or piecewise linear."""
        return not _some(self.quadratic)

    @property
    def largest_curvature(self) -> Array:
        with np.errstate(divide="ignore"):
            return np.where(self.open, 1.0 / self.quadratic, 0.0)

    def value(self, z: Array) -> Array:
        v = z - self.shift
        u = self._gradient(v)
        inside = np.isfinite(u)
        if inside.all():
            return (v - 0.5 * self.quadratic * u) * u
        with np.errstate(invalid="ignore"):
            return np.where(inside, (v - 0.5 * self.quadratic * u) * u, np.inf)

    def excess(self, z: Array) -> Array:
        return self.value(z)

    def gradient(self, z: Array) -> Array:
        return self._gradient(z - self.shift)

    def _gradient(self, v: Array) -> Array:
        if self.all_curved:
            free = v / self.quadratic
        else:
            steep = np.where(v > 0, np.inf, np.where(v < 0, -np.inf, 0.0))
            with np.errstate(divide="ignore", invalid="ignore"):
                free = steep if self.none_curved else np.where(self.quadratic > 0, v / self.quadratic, steep)
        return np.minimum(np.maximum(free, self.low), self.high)

    def curvature(self, z: Array) -> Array:
        zero = np.zeros((1, 1))
        return self.prox_dual_slope(z, zero, zero, self.gradient(z))

    def slack(self, z: Array, u: Array, price: Array, rounding: Array | float = 0.0) -> Array:
        v = z - self.shift
        p = self._gradient(v)
        if self._any_half_bounded:
            rounding = np.maximum(rounding, CONSTRAINT_ROUNDING * np.abs(z).max(axis=1, keepdims=True))
            v = np.where(self._half_bounded & (np.abs(v) <= rounding), 0.0, v)
        return row_slack(p, u, v, self.quadratic, price)

    def clip_dual(self, u: Array) -> Array:
        return np.minimum(np.maximum(u, self.low), self.high)

    def prox(self, v: Array, step: Array) -> Array:
        return v - step * self.prox_dual(v, np.zeros((1, 1)), step)

    def prox_dual(self, z: Array, center: Array, step: Array) -> Array:
        free = (z - self.shift + step * center) / (self.quadratic + step)
        return np.minimum(np.maximum(free, self.low), self.high)

    def prox_dual_slope(self, z: Array, center: Array, step: Array, u: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.where((u > self.low) & (u < self.high), 1.0 / (self.quadratic + step), 0.0)


def _every(flags: Array) -> bool:
    """Whether all are set; fast for the one flag of a (1, 1) array."""
    return bool(flags.item() if flags.size == 1 else flags.all())


def _some(flags: Array) -> bool:
    """Whether one is set; fast for one flag."""
    return bool(flags.item() if flags.size == 1 else flags.any())
