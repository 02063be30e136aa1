"""Base classes of terms.

A term is a closed convex function f of a vector z, with four faces: `value`, `prox`, `conjugate`, and `model`, its cvxpy expression,
which is written by hand so that it can contradict the other three.

Piecewise linear-quadratic terms are given by a table: f*(u) = Σ_i ½ q u_i² + t u_i on l ≤ u_i ≤ h, or a sum of two such functions of
the same z (bounds, epsilon-insensitive). Value, prox and conjugate are derived here, once.   (Rockafellar and Wets 1998, ch. 11.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.validation.arguments import check_parameter
from hw4opt.validation.arrays import Array, broadcast, real_array

AUTO = "auto"  # in place of a number: a parameter that follows the data
ROUNDING = 1e-12  # of z u and f: what a Fenchel-Young slack of 0 may come out as


@dataclass(frozen=True)
class Values:
    """The term acts on the fitted values, one row a data row."""


@dataclass(frozen=True)
class Differences:
    """The term acts on D^order f over the distinct sorted x.

    Row j = (order-1)!·(x_{j+order} - x_j)·f[x_j, …, x_{j+order}] (divided difference): order 1 is f_{j+1} - f_j, order 2 the change of
    slope.   (Tibshirani 2014.)
    """

    order: int = 1


@dataclass(frozen=True)
class Slope:
    """The term acts on ∂f/∂x_column at the data rows."""

    column: int


@dataclass(frozen=True)
class Coefficients:
    """The term acts on the coefficients of a linear design (the intercept excluded): of the columns as the design measures them, or of
    the raw ones."""

    raw: bool = False


Acts = Values | Differences | Slope | Coefficients


class Term(ABC):
    """A convex function of a vector, named by the file that holds it."""

    @property
    def name(self) -> str:
        """The name on the command line: the name of the term's file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def label(self) -> str:
        """What tells the term from others of its name in a problem: the name, and the x column where the term acts along one of several."""
        return f"{self.name}:column={self.acts.column}" if isinstance(self.acts, Slope) else self.name

    @property
    def acts(self) -> Acts:
        """Which linear functionals of the fit the term acts on."""
        return Values()

    @abstractmethod
    def value(self, z: ArrayLike) -> float:
        """f(z), a sum over rows; infinite outside the domain."""

    @abstractmethod
    def prox(self, v: ArrayLike, step: float) -> Array:
        """argmin over z of f(z) + ‖z - v‖²/(2 step), shape of `v`."""

    @abstractmethod
    def conjugate(self, u: ArrayLike) -> float:
        """f*(u) = sup over z of ⟨u, z⟩ - f(z); infinite outside the domain."""

    @abstractmethod
    def model(self, cp: Any, z: Any) -> Any:
        """The cvxpy face, one entry a row (`cp` is the cvxpy module); for a constraint, the list of cvxpy constraints."""

    def in_units(self, size: float) -> tuple[float, Term] | None:
        """(c, g) with f(size z) = c g(z), g of the same kind: how a cvxpy model is written in units of its data; None: not known."""
        return None


class Loss(Term):
    """A term of the data. Residual losses act on z = fitted - y; those with `targets` on z = fitted and y apart."""

    targets: ClassVar[bool] = False
    automatic: ClassVar[tuple[str, ...]] = ()  # parameters that may be "auto" until a problem is made

    def settle(self, noise: Callable[[], float]) -> Loss:
        """The loss with every parameter as a number; noise() gives the size of the noise in y, in units of y."""
        return self

    @abstractmethod
    def pointwise(self, z: ArrayLike, y: ArrayLike = 0.0) -> Array:
        """The loss of each row; `y` is read only by losses with `targets`."""


@dataclass(frozen=True)
class Table:
    """f*(u) = ½ quadratic u² + linear u on low ≤ u ≤ high, so f(z) = max over that interval of (z - linear) u - ½ quadratic u²."""

    quadratic: float = 0.0
    linear: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def slope(self, z: Array, side: int = 0) -> Array:
        """f'(z): the maximizing u; at a kink of a linear piece the lower (side = -1) or upper (side = +1) end."""
        v = z - self.linear
        if self.quadratic > 0:
            return np.clip(v / self.quadratic, self.low, self.high)
        upper = v >= 0 if side >= 0 else v > 0
        return np.where(upper, self.high, self.low)

    def pointwise(self, z: Array) -> Array:
        v = z - self.linear
        if self.quadratic > 0:
            u = np.clip(v / self.quadratic, self.low, self.high)
            return v * u - 0.5 * self.quadratic * u * u
        with np.errstate(invalid="ignore"):
            return np.where(v == 0, 0.0, np.where(v > 0, v * self.high, v * self.low))

    def kinks(self) -> list[float]:
        if self.quadratic == 0:
            return [self.linear]
        return [self.linear + self.quadratic * end for end in (self.low, self.high) if math.isfinite(end)]


class PiecewiseQuadratic(Term):
    """A term given by one table, or by two that act on the same z."""

    @property
    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """The tables whose functions add up to f."""

    def pointwise(self, z: ArrayLike, y: ArrayLike = 0.0) -> Array:
        """f of each row."""
        z = real_array("z", z)
        return sum((table.pointwise(z) for table in self.tables), np.zeros_like(z))

    def value(self, z: ArrayLike) -> float:
        return float(self.pointwise(z).sum())

    def prox(self, v: ArrayLike, step: float) -> Array:
        check_parameter(self.name, "step", step, low=0, strict=True)
        return self._root(real_array("v", v) / step, 1.0 / step)

    def conjugate(self, u: ArrayLike) -> float:
        u = real_array("u", u)
        z = self._root(u, 0.0)
        with np.errstate(invalid="ignore"):
            each = np.where(np.isfinite(z), u * np.where(np.isfinite(z), z, 0) - self.pointwise(np.where(np.isfinite(z), z, 0)), math.inf)
        return float(each.sum())

    def _root(self, v: Array, a: float) -> Array:
        """The z with a z + f'(z) ∋ v, by walking the breakpoints of this increasing piecewise linear graph; ±inf where there is none."""
        kinks = np.array(sorted({kink for table in self.tables for kink in table.kinks()}))
        if not kinks.size:
            slope = a + sum(1 / table.quadratic for table in self.tables)
            return (v + sum(table.linear / table.quadratic for table in self.tables)) / slope
        below = a * kinks + sum(table.slope(kinks, -1) for table in self.tables)
        above = a * kinks + sum(table.slope(kinks, +1) for table in self.tables)
        first = np.searchsorted(above, v, side="left")  # the kinks whose whole jump lies below v
        at_kink = np.searchsorted(below, v, side="right") > first
        ends = np.concatenate([[-np.inf], kinks, [np.inf]])
        middles = np.concatenate([[kinks[0] - 1], (kinks[1:] + kinks[:-1]) / 2, [kinks[-1] + 1]])
        rates = np.array([a + sum(self._rate(table, z) for table in self.tables) for z in middles])[first]
        left = np.maximum(first - 1, 0)
        start, level = np.where(first == 0, kinks[0], kinks[left]), np.where(first == 0, below[0], above[left])
        with np.errstate(divide="ignore", invalid="ignore"):
            between = np.clip(start + (v - level) / rates, ends[first], ends[first + 1])
        return np.where(at_kink, kinks[np.minimum(first, kinks.size - 1)], between)

    @staticmethod
    def _rate(table: Table, z: float) -> float:
        if table.quadratic == 0:
            return 0.0
        return float(table.low < (z - table.linear) / table.quadratic < table.high) / table.quadratic


class Smooth(Loss):
    """A twice differentiable loss of z = fitted with targets y, |f'''| ≤ c f'' (so that damped Newton steps are safe: Bach 2010)."""

    targets: ClassVar[bool] = True
    steepest: ClassVar[float] = np.inf  # an upper bound of f''
    existence: ClassVar[bool] = False  # whether a fit without ridge first settles that a minimum exists
    steepening: ClassVar[bool] = False  # whether f'' never falls as z rises: then no Newton step down is too long for the row
    expected: ClassVar[str] = "mean of"  # what `mean` is of the target, in words

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
        """f, f' and f'' of each row, for losses whose three have work in common."""
        return self.pointwise(z, y), self.gradient(z, y), self.curvature(z, y)

    @abstractmethod
    def conjugate_pointwise(self, u: Array, y: Array) -> Array:
        """f*(u) of each row; infinite outside the domain."""

    @abstractmethod
    def clip_dual(self, u: Array, y: Array) -> Array:
        """The nearest u in the domain of f*."""

    @abstractmethod
    def check_targets(self, y: Array) -> Array:
        """The targets in the form the formulas use, or `InputError`."""

    @abstractmethod
    def mean(self, z: Array) -> Array:
        """The expected target at linear predictor z."""

    def observed(self, y: Array) -> Array:
        """The targets on the scale of `mean`."""
        return y

    def without_offset(self, y: Array, offset: Array) -> Array:
        """The targets, on the scale of `mean`, as an offset of 0 would have them."""
        return self.observed(y)

    def guess(self, y: Array) -> Array:
        """z near which each row's loss is small: where Newton's method starts."""
        return np.zeros_like(y)

    def normalizer(self, y: Array) -> Array:
        """What each row's log-likelihood has besides minus the loss, whatever z is: the log-likelihood is -(loss + normalizer)."""
        return np.zeros_like(y)

    def least(self, y: Array) -> Array:
        """Minus the log-likelihood that each row has at its best z: that of any z is -(excess + least)."""
        return self.normalizer(y) - self.conjugate_pointwise(np.zeros_like(y), y)

    def deviance(self, z: Array, y: Array) -> Array:
        """Twice the log-likelihood that each row falls short of its best possible one."""
        return 2 * self.pointwise(z, y)

    def slack(self, z: Array, u: Array, y: Array) -> Array:
        """f(z) + f*(u) - z u of each row, u in the domain of f*; infinite where it is negative: then f* is not f's conjugate."""
        value = self.pointwise(z, y)
        each_row = value + self.conjugate_pointwise(u, y) - z * u
        return np.where(each_row < -ROUNDING * (np.abs(z * u) + value + 1), np.inf, np.maximum(each_row, 0.0))

    def excess(self, z: Array, y: Array) -> Array:
        """f(z) - min f of each row: f(z) + f*(0)."""
        return self.slack(z, np.zeros_like(z), y)

    def slack_rounding(self, z: Array, u: Array, y: Array) -> Array:
        """What rounding may do to `slack` beyond its own last digit: of f(z) + f*(u) - z u, that of its three parts."""
        return 4 * np.finfo(float).eps * (np.abs(z * u) + np.abs(self.pointwise(z, y)))

    @abstractmethod
    def model(self, cp: Any, z: Any, y: Array | float = 1.0) -> Any: ...

    def value(self, z: ArrayLike, y: ArrayLike = 1.0) -> float:
        return float(self.pointwise(z, y).sum())

    def conjugate(self, u: ArrayLike, y: ArrayLike = 1.0) -> float:
        return float(self.conjugate_pointwise(real_array("u", u), real_array("y", y)).sum())

    def prox(self, v: ArrayLike, step: float | Array, y: ArrayLike = 1.0) -> Array:
        """argmin f(z) + (z - v)²/(2 step): z + step f'(z) = v by Newton inside a shrinking bracket."""
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
