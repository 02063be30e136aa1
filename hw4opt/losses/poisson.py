"""The term `poisson`."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, shown
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array
from hw4opt.terms.laws import Law, law_of
from hw4opt.validation.arguments import is_number
from hw4opt.validation.arrays import broadcast, real_array

MODERATE_COUNT = 1e6  # counts whose loss keeps nine digits relative to y log y
LARGE_COUNT = 100.0  # count from which four terms of Stirling's series are exact, and truncation at 0 is negligible
RATE_HALVINGS = 10  # of the truncated law's cvxpy model
SERIES_TERMS = 8  # of the series that is left after them


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Σ exp(z_i) - y_i z_i,  z = fitted (log of the rate, offset included) of shape (n,), counts y = 0, 1, …; with
    `quasi` any y ≥ 0.

    This is -log Π λ^y e^(-λ)/y! at λ = exp(z), without the constant Σ log y_i!. It is convex in w: f'' = exp(z) > 0 row
    by row, and z = Xw + offset is affine, so the Hessian Xᵀ diag(exp z) X is positive semidefinite everywhere. Every
    local maximum of the likelihood is therefore a global one, unique if X has full column rank, and Newton's method
    with a line search finds it. Whether a maximum exists is checked by hw4opt.proof.existence. Conjugate: μ log μ - μ
    with μ = u + y ≥ 0.   (Assignment 1a; McCullagh and Nelder 1989, ch. 6.)

    With `truncated` only rows with y ≥ 1 were observed, y = 1, 2, …; with `quasi` any y ≥ 1:
        Σ log(exp(exp z_i) - 1) - y_i z_i,    that is -log Π λ^y e^(-λ)/(y! (1 - e^(-λ))), without Σ log y_i!
    f'' is the variance of that law, so it is convex, too; its mean is λ/(1 - e^(-λ)).   (hw4opt.terms.laws)
    """

    name: ClassVar[str] = "poisson"
    usage: ClassVar[str] = "poisson (truncated=1: counts of at least 1)"
    existence: ClassVar[bool] = True
    steepening: ClassVar[bool] = True

    quasi: bool = False
    truncated: bool = False

    def __post_init__(self) -> None:
        for name, meaning in (
            ("quasi", "whole counts) or 1 (fractions, too"),
            ("truncated", "any count) or 1 (counts of at least 1"),
        ):
            value = getattr(self, name)
            if not (isinstance(value, bool | np.bool_) or is_number(value)) or value not in (False, True):
                raise InputError(f"poisson: {name} is {shown(value)}; it must be 0 ({meaning})")

    @property
    def law(self) -> Law:
        """The law of the counts."""
        return law_of(self.truncated)

    @property
    def self_concordance(self) -> float:
        """c with |f'''| ≤ c f''."""
        return self.law.self_concordance

    def check_targets(self, y: Array) -> Array:
        row = int(np.argmin(y))  # a NaN comes first
        if not y[row] >= self.law.least:
            kind = "counts of at least 1, being truncated" if self.truncated else "counts, 0 or more"
            raise InputError(f"poisson needs {kind}; y holds {y[row]:g} in row {row}", row)
        fraction = y != np.floor(y)
        if not self.quasi and fraction.any():
            row = int(np.argmax(fraction))
            raise InputError(
                f"poisson needs whole counts; y holds {y[row]:g} in row {row}; `quasi=True` takes fractions", row
            )
        return y

    def pointwise(self, z: ArrayLike, y: ArrayLike = 1.0) -> Array:
        z = real_array("z", z)
        return self.law.cumulant(z) - self._above(real_array("y", y)) * z

    def gradient(self, z: Array, y: Array) -> Array:
        return self.law.rise(z) - self._above(y)

    def curvature(self, z: Array, y: Array) -> Array:
        return self.law.variance(z) + np.zeros_like(y)

    def derivatives(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        cumulant, rise, variance = self.law.derivatives(z)
        above = self._above(y)
        return cumulant - above * z, rise - above, variance

    def conjugate_pointwise(self, u: Array, y: Array) -> Array:
        m = u + self._above(y)
        return np.where(m >= 0, self.law.conjugate(np.maximum(m, 0.0)), np.inf)

    def slack(self, z: Array, u: Array, y: Array) -> Array:
        """The divergence of the law between the mean at z and u + y."""
        above = self._above(y)
        return self.law.divergence(z, np.maximum(u + above, 0.0), u - (self.law.rise(z) - above))

    def excess(self, z: Array, y: Array) -> Array:
        """Half the deviance; computed from its parts as long as they are at most MODERATE_COUNT."""
        if not y.max(initial=0.0) <= MODERATE_COUNT:
            return self.slack(z, np.zeros_like(z), y)
        above = self._above(y)
        return np.maximum(self.law.cumulant(z) - above * z + self.law.conjugate(above), 0.0)

    def slack_rounding(self, z: Array, u: Array, y: Array) -> Array:
        """The rounding of the slack: about the distance of the two parameters times that of the mean at z and of u +
        y."""
        rise, above = self.law.rise(z), self._above(y)
        lacking = u - (rise - above)
        if not self.truncated:
            return 4 * np.finfo(float).eps * np.abs(lacking)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            way = np.where(u > -above, np.abs(np.log1p(lacking / rise)), 0.0)  # a bound of it, because c'' ≥ c'
            return 4 * np.finfo(float).eps * (np.abs(u) + above + rise) * way

    def clip_dual(self, u: Array, y: Array) -> Array:
        return np.maximum(u, -self._above(y))

    def prox(self, v: ArrayLike, step: float | Array, y: ArrayLike = 1.0) -> Array:
        """z + step c'(z) = v + step (y - least): Newton's method from the right, where it decreases monotonically,
        since c' is convex and increasing."""
        v, y, step = broadcast(v=v, y=y, step=step)
        level = v + step * self._above(y)
        z = _log_prox(level, 0.5 * step if self.truncated else step)  # c' ≥ μ/2
        if not self.truncated:
            return z
        for _ in range(100):
            _, rise, variance = self.law.derivatives(z)
            z, last = z - (z + step * rise - level) / (1 + step * variance), z
            if np.all(np.abs(z - last) <= 1e-15 * (1 + np.abs(z))):
                break
        return z

    def guess(self, y: Array) -> Array:
        return self.law.inverse(self._above(y) + 0.5)

    def mean(self, z: Array) -> Array:
        return self.law.least + self.law.rise(z)

    def without_offset(self, y: Array, offset: Array) -> Array:
        """The mean of an exactly fitted row without its offset: counts per unit of exposure."""
        return self.mean(self.law.inverse(self._above(y)) - offset)

    def normalizer(self, y: Array) -> Array:
        """log y!"""
        values, place = np.unique(y, return_inverse=True)
        return np.array([math.lgamma(value + 1) for value in values.tolist()])[place]

    def least(self, y: Array) -> Array:
        """½ log(2π y) + δ(y) with Stirling's error δ, without cancellation of terms of the size of log y!.   (Loader
        2000.)"""
        large = np.maximum(y, LARGE_COUNT)
        square = large * large
        error = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / large
        return np.where(
            y > LARGE_COUNT, 0.5 * np.log(2 * np.pi * large) + error, super().least(np.minimum(y, LARGE_COUNT))
        )

    def deviance(self, z: Array, y: Array) -> Array:
        """2 (y log(y/μ) - y + μ) of each row; for the truncated law, twice the loss less its minimum over z."""
        return 2 * self.slack(z, np.zeros_like(z), y)

    def model(self, cp: Any, z: Any, y: Array | float = 1.0) -> Any:
        """exp z - y z. Truncated, with s = exp(z)/2^10: log((e^s - 1)/s) + z + Σ_j log(1 + e^(2^j s)) - 10 log 2 - y z,
        j = 0 … 9."""
        if not self.truncated:
            return cp.exp(z) - cp.multiply(y, z)
        rate = cp.exp(z)
        halved = [cp.logistic(rate / 2.0**j) for j in range(1, RATE_HALVINGS + 1)]
        terms = [k * (z - RATE_HALVINGS * math.log(2)) - math.lgamma(k + 2) for k in range(SERIES_TERMS)]
        rest = cp.log_sum_exp(cp.vstack(terms), axis=0)
        return sum(halved) + rest - RATE_HALVINGS * math.log(2) - cp.multiply(y - 1, z)

    def _above(self, y: ArrayLike) -> Array:
        """The counts less the least count of the law."""
        return np.asarray(y, dtype=float) - self.law.least if self.truncated else np.asarray(y, dtype=float)


def _log_prox(level: Array, step: Array) -> Array:
    """z + step exp(z) = level, or θ + exp θ = level + log step with θ = z + log step: Newton from the right, where it
    decreases monotonically."""
    log_step = np.log(np.where(step > 0, step, 1.0))
    aim = level + log_step
    theta = np.where(aim > 1, np.log(np.maximum(aim, 1.0)), aim)
    for _ in range(100):
        theta, last = theta - (theta + np.exp(theta) - aim) / (1 + np.exp(theta)), theta
        if np.all(np.abs(theta - last) <= 1e-15 * (1 + np.abs(theta))):
            break
    return np.where(step > 0, theta - log_step, level)
