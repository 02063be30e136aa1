"""The functions f_i of a form's rows, in two kinds behind one protocol: box-constrained quadratic rows and smooth rows.

Arrays are (b, m) for a batch of b problems and m rows, or (b, 1) where all rows are alike; z = A w without the offset.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from hw4opt.form.gap_cost import row_slack
from hw4opt.terms import Likelihood, Smooth
from hw4opt.terms.base import EPS, Array

CONSTRAINT_ROUNDING = 1e-14  # of the largest z: a constraint violated by no more is met


class RowFunctions(ABC):
    """Convex functions f_i, each of its own z_i.

    Attributes of both kinds: `shift`, where z counts from; `open`, (b, m) or (b, 1) bool, rows that depend on z (the
    others have weight 0, or are linear); `all_open`; and `largest_curvature`, an upper bound of f''.
    """

    @abstractmethod
    def value(self, z: Array) -> Array:
        """f(z); infinite outside the domain."""

    @abstractmethod
    def excess(self, z: Array) -> Array:
        """f(z) - min f."""

    @abstractmethod
    def gradient(self, z: Array) -> Array:
        """u in ∂f(z), the one nearest to 0 at a breakpoint; infinite outside the domain."""

    @abstractmethod
    def curvature(self, z: Array) -> Array:
        """f''(z); 0 at breakpoints and beyond them."""

    @abstractmethod
    def slack(self, z: Array, u: Array, price: Array) -> Array:
        """f(z) + f*(u) - z u for u in the domain of f*; a violated constraint costs `price` times the violation."""

    @abstractmethod
    def clip_dual(self, u: Array) -> Array:
        """The nearest u in the domain of f*."""

    @abstractmethod
    def prox(self, v: Array, step: Array) -> Array:
        """argmin over z of f(z) + (z - v)²/(2 step)."""

    @abstractmethod
    def prox_dual(self, z: Array, center: Array, step: Array) -> Array:
        """argmin over u of f*(u) - z u + step (u - center)²/2; of step 0 the gradient."""

    @abstractmethod
    def prox_dual_slope(self, z: Array, center: Array, step: Array, u: Array) -> Array:
        """The derivative of `prox_dual`, whose value is u, by z."""

    @abstractmethod
    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> Self:
        """Some rows of some problems."""

    @abstractmethod
    def in_units(self, size: Array, worth: Array) -> Self:
        """The rows f(size·z)/worth, (b, 1) each."""


def _cut(array: Array, columns: slice | np.ndarray, batch: np.ndarray | slice) -> Array:
    array = array[batch]
    return array if array.shape[1] == 1 else array[:, columns]


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
        """The rows of the parts, of that many rows each, behind each other."""
        if len(parts) == 1:
            return parts[0]

        def joined(arrays: Sequence[Array]) -> Array:
            return np.concatenate(
                [np.broadcast_to(a, (len(a), m)) for a, m in zip(arrays, counts, strict=True)], axis=1
            )

        columns = zip(*((one.quadratic, one.shift, one.low, one.high) for one in parts), strict=True)
        return cls(*(joined(arrays) for arrays in columns))

    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> BoxRows:
        arrays = (self.quadratic, self.shift, self.low, self.high)
        return BoxRows(*(_cut(array, columns, batch) for array in arrays))

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
        return bool(self.open.all())

    @cached_property
    def low_bounded(self) -> bool:
        """Whether u of some open row is bounded below."""
        return bool((np.isfinite(self.low) & self.open).any())

    @cached_property
    def high_bounded(self) -> bool:
        """Whether u of some open row is bounded above."""
        return bool((np.isfinite(self.high) & self.open).any())

    @cached_property
    def one_sided(self) -> np.ndarray:
        """(b, m) or (b, 1) bool: constraints, rows that are infinite on one side of shift."""
        return (np.isinf(self.low) | np.isinf(self.high)) & (self.quadratic == 0)

    @cached_property
    def has_constraints(self) -> bool:
        """Whether some row is infinite on one side."""
        return bool(self.one_sided.any())

    @cached_property
    def _half_bounded(self) -> np.ndarray:
        return np.isinf(self.low) | np.isinf(self.high)

    @cached_property
    def _any_half_bounded(self) -> bool:
        return bool(self._half_bounded.any())

    @cached_property
    def _all_curved(self) -> bool:
        return bool((self.quadratic > 0).all())

    @cached_property
    def _none_curved(self) -> bool:
        return not self.quadratic.any()

    @property
    def largest_curvature(self) -> Array:
        with np.errstate(divide="ignore"):
            return np.where(self.open, 1.0 / self.quadratic, 0.0)

    def violation(self, z: Array) -> Array:
        """How far z lies outside the domain of f; 0 for rows without constraint."""
        v = z - self.shift
        outside = np.where(np.isinf(self.high), v, np.where(np.isinf(self.low), -v, 0.0))
        return np.where(self.one_sided, np.maximum(outside, 0.0), 0.0)

    def value(self, z: Array) -> Array:
        v = z - self.shift
        u = self._gradient(v)
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(u), (v - 0.5 * self.quadratic * u) * u, np.inf)

    def excess(self, z: Array) -> Array:
        return self.value(z)

    def gradient(self, z: Array) -> Array:
        return self._gradient(z - self.shift)

    def _gradient(self, v: Array) -> Array:
        if self._all_curved:
            free = v / self.quadratic
        else:
            steep = np.where(v > 0, np.inf, np.where(v < 0, -np.inf, 0.0))
            with np.errstate(divide="ignore", invalid="ignore"):
                free = steep if self._none_curved else np.where(self.quadratic > 0, v / self.quadratic, steep)
        return np.minimum(np.maximum(free, self.low), self.high)

    def curvature(self, z: Array) -> Array:
        zero = np.zeros((1, 1))
        return self.prox_dual_slope(z, zero, zero, self.gradient(z))

    def slack(self, z: Array, u: Array, price: Array) -> Array:
        v = z - self.shift
        p = self._gradient(v)
        if self._any_half_bounded:
            met = self._half_bounded & (np.abs(v) <= CONSTRAINT_ROUNDING * np.abs(z).max(axis=1, keepdims=True))
            v = np.where(met, 0.0, v)
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


@dataclass(frozen=True, eq=False)
class SmoothRows(RowFunctions):
    """A smooth loss: f(z) = weights·ℓ(z + offset, targets); a row of weight 0 counts nothing, though its ℓ be
    infinite."""

    term: Smooth
    targets: Array
    offset: Array
    weights: Array

    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> SmoothRows:
        arrays = (self.targets, self.offset, self.weights)
        return SmoothRows(self.term, *(_cut(array, columns, batch) for array in arrays))

    def in_units(self, size: Array, worth: Array) -> SmoothRows:
        """Only the loss's unit: its own z has one already, so size must be 1."""
        return SmoothRows(self.term, self.targets, self.offset, self.weights / worth)

    @property
    def shift(self) -> Array:
        return -self.offset

    @property
    def open(self) -> np.ndarray:
        return self.weights > 0

    @property
    def largest_curvature(self) -> Array:
        return self.weights * self.term.steepest

    @property
    def settles_existence(self) -> bool:
        """Whether a fit without ridge first settles that a minimum exists."""
        return isinstance(self.term, Likelihood) and self.term.existence

    @cached_property
    def all_open(self) -> bool:
        """Whether every row has a weight."""
        return bool((self.weights > 0).all())

    def _weighted(self, values: Array) -> Array:
        if self.all_open:
            return self.weights * values
        with np.errstate(invalid="ignore"):
            return np.where(self.weights > 0, self.weights * values, 0.0)

    def value(self, z: Array) -> Array:
        return self._weighted(self.term.pointwise(z + self.offset, self.targets))

    def excess(self, z: Array) -> Array:
        return self._weighted(self.term.excess(z + self.offset, self.targets))

    def gradient(self, z: Array) -> Array:
        return self._weighted(self.term.gradient(z + self.offset, self.targets))

    def curvature(self, z: Array) -> Array:
        return self._weighted(self.term.curvature(z + self.offset, self.targets))

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """f, f' and f'' of each row."""
        value, slope, bend = self.term.derivatives(z + self.offset, self.targets)
        return self._weighted(value), self._weighted(slope), self._weighted(bend)

    def slack(self, z: Array, u: Array, price: Array | float = 0.0) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(self.weights > 0, u / self.weights, 0.0)
        return self._weighted(self.term.slack(z + self.offset, p, self.targets))

    def slack_rounding(self, z: Array, u: Array, slack: Array) -> Array:
        """What rounding of its own formula may do to the slack of each row."""
        p = u / np.where(self.weights > 0, self.weights, 1.0)
        return self._weighted(self.term.slack_rounding(z + self.offset, p, self.targets)) + EPS * slack

    def clip_dual(self, u: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            clipped = self.weights * self.term.clip_dual(u / self.weights, self.targets)
            return np.where(self.weights > 0, clipped, 0.0)

    def prox(self, v: Array, step: Array) -> Array:
        moved = self.term.prox(v + self.offset, step * self.weights, self.targets) - self.offset
        return np.where(self.weights > 0, moved, v)

    def prox_dual(self, z: Array, center: Array, step: Array) -> Array:
        if not np.any(step):
            return self.gradient(z)
        v = z + step * center
        return (v - self.prox(v, step)) / step

    def prox_dual_slope(self, z: Array, center: Array, step: Array, u: Array) -> Array:
        curvature = self.curvature(z + step * (center - u))
        return curvature / (1.0 + step * curvature)


Rows = BoxRows | SmoothRows
