"""The rows of a smooth loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.form.box_rows import BoxRows
from hw4opt.form.rows import RowFunctions, cut_rows
from hw4opt.terms import Likelihood, Smooth
from hw4opt.terms.base import EPS, Array
from hw4opt.validation.frozen import cached_property

LEAST_CURVATURE, LARGEST_SLOPE = 1e-290, 1e290  # of a row that is not a line, and of one whose exponential overflows


@dataclass(frozen=True, eq=False)
class SmoothRows(RowFunctions):
    """A smooth loss: f(z) = weights·ℓ(z + offset, targets); a row of weight 0 contributes 0, even if its ℓ is
    infinite."""

    term: Smooth
    targets: Array
    offset: Array
    weights: Array

    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> SmoothRows:
        arrays = (self.targets, self.offset, self.weights)
        return SmoothRows(self.term, *(cut_rows(array, columns, batch) for array in arrays))

    def in_units(self, size: Array, worth: Array) -> SmoothRows:
        """Change only the unit of the loss: z of a smooth loss has its own unit, so size must be 1."""
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
        """Whether a fit without ridge first checks that a minimum exists."""
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

    def quadratic_at(self, z: Array, far: np.ndarray) -> BoxRows:
        """The second-order expansions of f at z; linear where f'' vanishes there.

        If a step may be `far` (b, 1), their curvature is at least that of the quadratic through the row's minimum: a
        row of bounded slope has almost no curvature far away, and would not limit the step.
        """
        slope, bend = (np.clip(one, -LARGEST_SLOPE, LARGEST_SLOPE) for one in (self.gradient(z), self.curvature(z)))
        if far.any():
            apart = np.abs(z + self.offset - self.term.guess(self.targets))
            chord = np.abs(slope) / np.where(apart > 0, apart, np.inf)
            bend = np.where(far, np.maximum(bend, chord), bend)
        flat = ~(bend > LEAST_CURVATURE)
        quadratic = 1.0 / np.where(flat, 1.0, bend)
        low, high = (np.where(flat, slope, end) for end in (-np.inf, np.inf))
        return BoxRows(quadratic, z - quadratic * slope, low, high)

    def slack(self, z: Array, u: Array, price: Array | float = 0.0, rounding: Array | float = 0.0) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(self.weights > 0, u / self.weights, 0.0)
        return self._weighted(self.term.slack(z + self.offset, p, self.targets))

    def slack_rounding(self, z: Array, u: Array, slack: Array) -> Array:
        """A bound of the rounding of each row's slack by its own formula."""
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
