"""Twice differentiable losses, given by values and derivatives of each row, and likelihoods."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.terms.base import Loss
from hw4opt.validation.arrays import Array, broadcast, real_array

FENCHEL_ROUNDING = 1e-12  # of z u and f: the rounding of a Fenchel-Young slack of 0


class Smooth(Loss):
    """A twice differentiable loss of z = fitted with targets y.

    |f'''| ≤ c f'', c the `self_concordance`, so that damped Newton steps are safe.   (Bach 2010.)
    """

    targets: ClassVar[bool] = True
    steepest: ClassVar[float] = np.inf  # an upper bound of f''
    steepening: ClassVar[bool] = (
        False  # whether f'' is nondecreasing in z: then no Newton step downwards is too long for a row
    )

    @property
    def self_concordance(self) -> float:
        """The c of |f'''| ≤ c f''."""
        return 1.0

    @abstractmethod
    def gradient(self, z: Array, y: Array) -> Array:
        """f'(z) of each row."""

    @abstractmethod
    def curvature(self, z: Array, y: Array) -> Array:
        """f''(z) of each row."""

    def derivatives(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """f, f' and f'' of each row, computed together."""
        return self.pointwise(z, y), self.gradient(z, y), self.curvature(z, y)

    @abstractmethod
    def conjugate_pointwise(self, u: Array, y: Array) -> Array:
        """f*(u) of each row; infinite outside the domain."""

    @abstractmethod
    def clip_dual(self, u: Array, y: Array) -> Array:
        """The nearest u in the domain of f*."""

    @abstractmethod
    def check_targets(self, y: Array) -> Array:
        """The targets in the form that the formulas use; raises `InputError`."""

    def guess(self, y: Array) -> Array:
        """z near which each row's loss is small: where Newton's method starts."""
        return np.zeros_like(y)

    def slack(self, z: Array, u: Array, y: Array) -> Array:
        """f(z) + f*(u) - z u of each row, u in the domain of f*; infinite if it is negative, since f* is then not f's
        conjugate."""
        value = self.pointwise(z, y)
        each_row = value + self.conjugate_pointwise(u, y) - z * u
        return np.where(each_row < -FENCHEL_ROUNDING * (np.abs(z * u) + value + 1), np.inf, np.maximum(each_row, 0.0))

    def excess(self, z: Array, y: Array) -> Array:
        """f(z) - min f of each row: f(z) + f*(0)."""
        return self.slack(z, np.zeros_like(z), y)

    def slack_rounding(self, z: Array, u: Array, y: Array) -> Array:
        """A bound of the rounding of `slack` beyond its last digit: that of the three parts of f(z) + f*(u) - z u."""
        return 4 * np.finfo(float).eps * (np.abs(z * u) + np.abs(self.pointwise(z, y)))

    @abstractmethod
    def model(self, cp: Any, z: Any, y: Array | float = 1.0) -> Any: ...

    def value(self, z: ArrayLike, y: ArrayLike = 1.0) -> float:
        return float(self.pointwise(z, y).sum())

    def conjugate(self, u: ArrayLike, y: ArrayLike = 1.0) -> float:
        return float(self.conjugate_pointwise(real_array("u", u), real_array("y", y)).sum())

    def prox(self, v: ArrayLike, step: float | Array, y: ArrayLike = 1.0) -> Array:
        """argmin f(z) + (z - v)²/(2 step): z + step f'(z) = v by Newton's method inside a shrinking bracket."""
        v, y, step = broadcast(v=v, y=y, step=step)
        pull = step * self.gradient(v, y)
        low, high = np.minimum(v, v - pull), np.maximum(v, v - pull)
        z = 0.5 * (low + high)
        for _ in range(100):
            residual = z - v + step * self.gradient(z, y)
            low, high = np.where(residual < 0, z, low), np.where(residual > 0, z, high)
            newton = z - residual / (1 + step * self.curvature(z, y))
            inside = (newton >= low) & (newton <= high)
            z, last = np.where(inside, newton, 0.5 * (low + high)), z
            if np.all(np.abs(z - last) <= 1e-15 * (1 + np.abs(z))):
                break
        return z


class Likelihood(Smooth):
    """A smooth loss that is minus a log-likelihood of the targets, up to a constant.

    Its fits have a log-likelihood, a deviance, a dispersion, standard errors and means.
    """

    existence: ClassVar[bool] = False  # whether a fit without ridge first checks that the likelihood has a maximum
    expected: ClassVar[str] = "mean of"  # the meaning of `mean`, in words
    classifies: ClassVar[bool] = False  # whether the targets are class labels, which have no intervals

    @abstractmethod
    def mean(self, z: Array) -> Array:
        """The expected target at linear predictor z."""

    def observed(self, y: Array) -> Array:
        """The targets on the scale of `mean`."""
        return y

    def without_offset(self, y: Array, offset: Array) -> Array:
        """The targets on the scale of `mean`, for an offset of 0."""
        return self.observed(y)

    def normalizer(self, y: Array) -> Array:
        """The constant of each row's log-likelihood, which is -(loss + normalizer)."""
        return np.zeros_like(y)

    def least(self, y: Array) -> Array:
        """Minus the largest log-likelihood of each row over z; at any z it is -(excess + least)."""
        return self.normalizer(y) - self.conjugate_pointwise(np.zeros_like(y), y)

    def deviance(self, z: Array, y: Array) -> Array:
        """Twice the largest log-likelihood of each row less that at z."""
        return 2 * self.excess(z, y)
