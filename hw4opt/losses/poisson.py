"""The term `poisson`."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.arguments import is_number
from hw4opt.arrays import broadcast, real_array
from hw4opt.errors import InputError, shown
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array

NEAR = 0.5  # |μ'/μ - 1| up to which the slack is taken from that ratio, and beyond from the logarithms themselves
MODERATE = 1e6  # counts whose loss keeps nine digits beside y log y
TINY = 1e-3  # … and up to which (1 + r) log(1 + r) - r comes from its series


@dataclass(frozen=True)
class Poisson(Smooth):
    """Σ exp(z_i) - y_i z_i,  z = fitted (log of the mean, offset included) of shape (n,), counts y = 0, 1, …; with `quasi` any y ≥ 0.

    This is -log Π λ^y e^(-λ)/y! at λ = exp(z), without Σ log y_i!, which no fit can change. It is convex in w: f'' = exp(z) > 0 row by
    row, and z = Xw + offset is affine, so the Hessian Xᵀ diag(exp z) X is positive semidefinite everywhere. Every local maximum of the
    likelihood is therefore a global one, unique where X has full column rank, and Newton's method with a line search finds it; that a
    maximum exists at all is another question (hw4opt.poisson.existence).
    Conjugate: μ log μ - μ with μ = u + y ≥ 0.   (Assignment 1a; McCullagh and Nelder 1989, ch. 6.)
    """

    existence: ClassVar[bool] = True
    steepening: ClassVar[bool] = True

    quasi: bool = False

    def __post_init__(self) -> None:
        if not (isinstance(self.quasi, bool | np.bool_) or is_number(self.quasi)) or self.quasi not in (False, True):
            raise InputError(f"poisson: quasi is {shown(self.quasi)}; it must be 0 (counts) or 1 (any target of 0 or more)")

    def check_targets(self, y: Array) -> Array:
        row = int(np.argmin(y))  # a NaN comes first
        if not y[row] >= 0:
            raise InputError(f"poisson needs counts, 0 or more; y holds {y[row]:g} in row {row}")
        fraction = y != np.floor(y)
        if not self.quasi and fraction.any():
            row = int(np.argmax(fraction))
            raise InputError(f"poisson needs whole counts; y holds {y[row]:g} in row {row}; quasi=True (--quasi) takes fractions")
        return y

    def pointwise(self, z: ArrayLike, y: ArrayLike = 1.0) -> Array:
        z = real_array("z", z)
        return self.mean(z) - real_array("y", y) * z

    def gradient(self, z: Array, y: Array) -> Array:
        return self.mean(z) - y

    def curvature(self, z: Array, y: Array) -> Array:
        return self.mean(z) + np.zeros_like(y)

    def derivatives(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        mean = self.mean(z)
        return mean - y * z, mean - y, mean

    def conjugate_pointwise(self, u: Array, y: Array) -> Array:
        mean = u + y
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(mean > 0, mean * np.log(mean), 0.0) - mean
        return np.where(mean >= 0, value, np.inf)

    def slack(self, z: Array, u: Array, y: Array) -> Array:
        """μ - μ' + μ' log(μ'/μ) with μ = exp(z), μ' = u + y: from μ'/μ - 1, so that nothing of the size of y cancels."""
        z, u, y = np.broadcast_arrays(z, u, y)
        mean = self.mean(z)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            r = (u - (mean - y)) / mean
            found = mean * (r * r * (0.5 - r * (1 / 6 - r / 12)))
            if (some := ~(np.abs(r) <= TINY)).any():  # near an optimum there are none
                found[some] = self._far_slack(r[some], mean[some], z[some], u[some] + y[some])
        return np.maximum(found, 0.0)

    def excess(self, z: Array, y: Array) -> Array:
        """exp z - y + y (log y - z): half the deviance; from the parts themselves as long as they are no larger than MODERATE."""
        if not y.max(initial=0.0) <= MODERATE:
            return self.slack(z, np.zeros_like(z), y)
        return np.maximum(self.mean(z) - y + y * (np.log(np.where(y > 0, y, 1.0)) - z), 0.0)

    def slack_rounding(self, z: Array, u: Array, y: Array) -> Array:
        """μ - μ' is off by the last digit of u + y and of exp(z), and the slack by log(μ'/μ) times that, about."""
        mean = self.mean(z)
        return 4 * np.finfo(float).eps * np.abs(u + y - mean)

    @staticmethod
    def _far_slack(r: Array, mean: Array, z: Array, other: Array) -> Array:
        other = np.maximum(other, 0.0)
        far = mean - other + np.where(other > 0, other * (np.log(other) - z), 0.0)
        return np.where(np.abs(r) <= NEAR, mean * ((1 + r) * np.log1p(r) - r), far)

    def clip_dual(self, u: Array, y: Array) -> Array:
        return np.maximum(u, -y)

    def prox(self, v: ArrayLike, step: float | Array, y: ArrayLike = 1.0) -> Array:
        """z + step exp(z) = v + step y =: c, or θ + exp θ = c + log step with θ = z + log step: Newton from the right, where it falls."""
        v, y, step = broadcast(v=v, y=y, step=step)
        log_step = np.log(np.where(step > 0, step, 1.0))
        level = v + step * y + log_step
        theta = np.where(level > 1, np.log(np.maximum(level, 1.0)), level)
        for _ in range(100):
            theta, last = theta - (theta + np.exp(theta) - level) / (1 + np.exp(theta)), theta
            if np.all(np.abs(theta - last) <= 1e-15 * (1 + np.abs(theta))):
                break
        return np.where(step > 0, theta - log_step, v)

    def guess(self, y: Array) -> Array:
        return np.log(y + 0.5)

    def mean(self, z: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.exp(z)

    def without_offset(self, y: Array, offset: Array) -> Array:
        """Counts per unit of exposure."""
        return y * self.mean(-offset)

    def normalizer(self, y: Array) -> Array:
        """log y!"""
        values, place = np.unique(y, return_inverse=True)
        return np.array([math.lgamma(value + 1) for value in values.tolist()])[place]

    def deviance(self, z: Array, y: Array) -> Array:
        """2 (y log(y/μ) - y + μ) of each row."""
        return 2 * self.slack(z, np.zeros_like(z), y)

    def model(self, cp: Any, z: Any, y: Array | float = 1.0) -> Any:
        return cp.exp(z) - cp.multiply(y, z)
