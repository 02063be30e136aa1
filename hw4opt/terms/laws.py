"""Laws of counts with the log of a rate as parameter, p(y) = exp((y - least) z - c(z))/y!, for the losses and mixtures
that fit them.

Both are one-parameter exponential families (McCullagh and Nelder 1989, ch. 2): with μ = exp z,

    Poisson           y = 0, 1, …    c(z) = μ                              mean μ,               variance μ
    zero-truncated    y = 1, 2, …    c(z) = log((exp μ - 1)/μ)             mean μ/(1 - exp -μ),  variance mean (1 + μ -
                      mean)

A law has `cumulant` c, `rise` c' (the mean less the least count), `variance` c'', the `inverse` of c', the `conjugate`
c*, and `divergence` c(z) + c*(m) - z m, each to nearly full relative precision.

With t = μ/2, the second is c = t + log(sinh t/t), c' = t + (t coth t - 1), c'' = c' + 1 - (t/sinh t)²: sums of positive
parts, each computed from its series where t is small. So c''/c' lies in [1, 1.234], Newton's method on log c' = log m
contracts from any start, and |z - z*| is at most the error of log c'. (Johnson, Kemp and Kotz 2005, §4.10.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cache
from typing import ClassVar

import numpy as np

from hw4opt.terms.base import Array

MAX_SERIES_T = 1.0  # t up to which series replace differences that would cancel
SERIES_ORDERS = range(1, 11)  # n of the terms t²ⁿ/(2n + 1)!
MAX_SERIES_RATIO = 1e-3  # |m/μ - 1| up to which the divergence of Poisson's law is computed from its series,
MAX_LOG_RATIO = 0.5  # … and up to which from that ratio; beyond, from the logarithms
MAX_INTEGRAL_RATIO = 0.25  # |m/c' - 1| up to which the divergence is an integral from one parameter to the other
NEGLIGIBLE_DECAY_T = 350.0  # t from which exp(-2 t) is negligible relative to 1
INVERSE_STEPS = 30  # largest number of Newton steps
QUADRATURE_NODES = 6  # of Gauss's rule


class Law(ABC):
    """A law of counts; arrays of any shape, z the log of the rate, m = mean - least ≥ 0."""

    least: ClassVar[float]  # the smallest count
    self_concordance: ClassVar[float]  # c with |c'''| ≤ c · c''

    @abstractmethod
    def cumulant(self, z: Array) -> Array:
        """c(z)."""

    @abstractmethod
    def rise(self, z: Array) -> Array:
        """c'(z): the mean less the least count."""

    @abstractmethod
    def variance(self, z: Array) -> Array:
        """c''(z)."""

    @abstractmethod
    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """c, c' and c'', which may share memory."""

    @abstractmethod
    def inverse(self, m: Array) -> Array:
        """The z with c'(z) = m; -inf at 0."""

    @abstractmethod
    def conjugate(self, m: Array) -> Array:
        """c*(m) = sup m z - c(z), for m ≥ 0."""

    @abstractmethod
    def divergence(self, z: Array, m: Array, lacking: Array) -> Array:
        """c(z) + c*(m) - z m, m ≥ 0, with lacking = m - c'(z) given more accurately than by subtraction."""


class PoissonLaw(Law):
    """P(Y = y) = μ^y exp(-μ)/y!."""

    least, self_concordance = 0.0, 1.0

    def cumulant(self, z: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.exp(z)

    rise = variance = cumulant

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        mean = self.cumulant(z)
        return mean, mean, mean

    def inverse(self, m: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(m)

    def conjugate(self, m: Array) -> Array:
        return np.where(m > 0, m * np.log(np.where(m > 0, m, 1.0)), 0.0) - m

    def divergence(self, z: Array, m: Array, lacking: Array) -> Array:
        """μ - m + m log(m/μ), from m/μ - 1, so that no terms of the size of the counts cancel."""
        z, m, lacking = np.broadcast_arrays(z, m, lacking)
        mean = self.cumulant(z)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            r = lacking / mean
            found = mean * (r * r * (0.5 - r * (1 / 6 - r / 12)))
            if (some := ~(np.abs(r) <= MAX_SERIES_RATIO)).any():  # near an optimum there are none
                found[some] = self._far(r[some], mean[some], z[some], m[some])
        return np.maximum(found, 0.0)

    @staticmethod
    def _far(r: Array, mean: Array, z: Array, m: Array) -> Array:
        m = np.maximum(m, 0.0)
        far = mean - m + np.where(m > 0, m * (np.log(m) - z), 0.0)
        return np.where(np.abs(r) <= MAX_LOG_RATIO, mean * ((1 + r) * np.log1p(r) - r), far)


class ZeroTruncatedLaw(Law):
    """P(Y = y) = μ^y exp(-μ)/(y! (1 - exp -μ)), y ≥ 1."""

    least, self_concordance = 1.0, 1.286

    def cumulant(self, z: Array) -> Array:
        t = _half_rate(z)
        return t + _log_sinhc(t)

    def rise(self, z: Array) -> Array:
        t = _half_rate(z)
        return t + _coth_part(t)

    def variance(self, z: Array) -> Array:
        return self.derivatives(z)[2]

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        t = _half_rate(z)
        rise = t + _coth_part(t)
        return t + _log_sinhc(t), rise, rise + _variance_part(t)

    def inverse(self, m: Array) -> Array:
        some = np.where(m > 0, m, 1.0)
        target = np.log(some)
        z = target + np.log1p(1 / (some + 1))
        for _ in range(INVERSE_STEPS):
            t = _half_rate(z)
            rise = t + _coth_part(t)
            move = (np.log(rise) - target) / (1 + _variance_part(t) / rise)
            z = z - move
            if np.all(np.abs(move) <= 1e-15 * (1 + np.abs(z))):
                break
        return np.where(m > 0, z, -np.inf)

    def conjugate(self, m: Array) -> Array:
        z = self.inverse(m)
        return np.where(m > 0, m * np.where(m > 0, z, 0.0) - self.cumulant(z), 0.0)

    def divergence(self, z: Array, m: Array, lacking: Array) -> Array:
        """An integral if m is near c'(z), else the sum over the parts of c.

        With z' = z + δ, c'(z') = m, the divergence is ∫₀^δ s c''(z + s) ds. If m is near, δ is computed from
        δ ∫₀¹ c''(z + s δ) ds = lacking, and both integrals by Gauss's rule, without cancellation; else the divergences
        of the parts of c, which are positive, are added.
        """
        z, m, lacking = np.broadcast_arrays(z, m, lacking)
        rise = self.rise(z)
        found = np.full(z.shape, np.inf)  # where the mean at z is beyond floating point
        near = (np.abs(lacking) <= MAX_INTEGRAL_RATIO * rise) & (rise > 0) & np.isfinite(rise)
        far = ~near & np.isfinite(rise)
        found[near] = self._near(z[near], lacking[near])
        found[far] = self._far(z[far], m[far])
        return found

    def _near(self, z: Array, lacking: Array) -> Array:
        delta = lacking / self.variance(z)
        for _ in range(INVERSE_STEPS):
            mean = sum(weight * self.variance(z + node * delta) for node, weight in _quadrature())
            move = (delta * mean - lacking) / self.variance(z + delta)
            delta = delta - move
            if np.all(np.abs(move) <= 1e-14 * np.abs(delta)):
                break
        return delta * delta * sum(weight * node * self.variance(z + node * delta) for node, weight in _quadrature())

    def _far(self, z: Array, m: Array) -> Array:
        t, other = _half_rate(z), self.inverse(m)
        t_other = _half_rate(other)
        with np.errstate(invalid="ignore"):
            delta = np.where(m > 0, other - z, 0.0)
            return (t - t_other + t_other * delta) + (_log_sinhc(t) - _log_sinhc(t_other) + _coth_part(t_other) * delta)


POISSON_LAW, ZERO_TRUNCATED_LAW = PoissonLaw(), ZeroTruncatedLaw()


def law_of(truncated: bool) -> Law:
    """The law of counts, or of those that are at least 1."""
    return ZERO_TRUNCATED_LAW if truncated else POISSON_LAW


@cache
def _quadrature() -> list[tuple[float, float]]:
    """(node, weight) of Gauss's rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE_NODES)  # on [-1, 1]
    return list(zip(0.5 * (nodes + 1), 0.5 * weights, strict=True))


def _half_rate(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return 0.5 * np.exp(z)


def _series(t: Array, weight: int) -> Array:
    """Σ_n (2n)^weight t^2n/(2n + 1)!, n ≥ 1, for small t."""
    square, total = np.square(np.minimum(t, MAX_SERIES_T)), np.zeros_like(t)
    for n in reversed(SERIES_ORDERS):
        total += (2 * n) ** weight / math.factorial(2 * n + 1)
        total *= square
    return total


def _log_sinhc(t: Array) -> Array:
    """log(sinh t/t)."""
    large = np.clip(t, MAX_SERIES_T, 1e308)
    return np.where(
        t <= MAX_SERIES_T, np.log1p(_series(t, 0)), large + np.log1p(-_decay(large)) - (math.log(2) + np.log(large))
    )


def _coth_part(t: Array) -> Array:
    """t coth t - 1."""
    large = np.maximum(t, MAX_SERIES_T)
    ratio = _decay(large)
    return np.where(t <= MAX_SERIES_T, _series(t, 1) / (1 + _series(t, 0)), large * (1 + ratio) / (1 - ratio) - 1)


def _variance_part(t: Array) -> Array:
    """1 - (t/sinh t)²."""
    large, series = np.maximum(t, MAX_SERIES_T), _series(t, 0)
    ratio = _decay(large)
    beyond = 1 - ratio * np.square(2 * np.minimum(large, NEGLIGIBLE_DECAY_T) / (1 - ratio))
    return np.where(t <= MAX_SERIES_T, series * (2 + series) / np.square(1 + series), beyond)


def _decay(t: Array) -> Array:
    """exp(-2 t), without underflow for large t."""
    return np.exp(-2 * np.minimum(t, NEGLIGIBLE_DECAY_T))
