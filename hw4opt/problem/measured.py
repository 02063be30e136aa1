"""Data in the units of a design: rows of weight 0 left out, columns centered and scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.problem.data import Data
from hw4opt.problem.noise import noise_size
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import ReadOnly, read_only
from hw4opt.validation.frozen import cached_property

FAR_FROM_ZERO = 4.0  # ranges of a column: beyond, an intercept makes up for a center, so that differences keep digits


@dataclass(frozen=True, eq=False)
class MeasuredData(ReadOnly):
    """What depends on the data and the kind of design only: problems that differ in hyper-parameters share it.

    is_gram      x is the Gram matrix of a precomputed kernel
    is_linear    the design is linear in x
    """

    data: Data
    is_gram: bool
    is_linear: bool
    intercept: bool
    standardize: bool

    @property
    def active_x(self) -> Array:
        """The rows of x with a weight above 0 (and of a Gram matrix, the columns too)."""
        x, active = self.data.x, self.data.active
        if active is None:
            return x
        return x[np.ix_(active, active)] if self.is_gram else x[active]

    @cached_property
    def x(self) -> Array:
        """The rows in use, in the units of the design."""
        return read_only(self.measure(self.active_x))

    def measure(self, x: Array) -> Array:
        """Rows (m, d) in the units of the design."""
        center, spread = self.scaling
        if self.standardize:
            return (x - center) / spread
        return x - center if center.any() else x

    @cached_property
    def scaling(self) -> tuple[Array, Array]:
        """Center and spread of the x columns: mean and standard deviation with `standardize`, else 0 and 1.

        A column of a linear design with intercept that lies many times its range from 0 is centered at its middle:
        the intercept compensates, and the fit is the same up to rounding.
        """
        x = self.active_x
        if not self.standardize:
            return read_only((self._far_centers(x), np.ones(x.shape[1])))
        spread = x.std(axis=0)
        center = np.zeros(x.shape[1]) if self.is_linear and not self.intercept else x.mean(axis=0)
        spread = np.where(np.ptp(x, axis=0) > 0, spread, 1.0)  # of a constant column, the rounding of its mean
        return read_only((center, spread))

    def _far_centers(self, x: Array) -> Array:
        if not self.is_linear or not self.intercept:
            return np.zeros(x.shape[1])
        low, high = x.min(axis=0), x.max(axis=0)
        far = np.maximum(np.abs(low), np.abs(high)) > FAR_FROM_ZERO * (high - low)
        return np.where(far, low + 0.5 * (high - low), 0.0)

    @cached_property
    def noise(self) -> float:
        """A robust size of the noise in y (less the offset) over the rows in use, in units of y; 1 if all are equal."""
        return noise_size(self.active_x, self.data.active_residual_targets) or 1.0

    @cached_property
    def median_target(self) -> float:
        """A median of the targets (less the offset) over the rows in use."""
        targets = self.data.active_residual_targets
        middle = (len(targets) - 1) // 2
        return float(np.partition(targets, middle)[middle])
