"""Piecewise linear-quadratic terms, given by tables of their conjugates.

f*(u) = Σ_i ½ q u_i² + t u_i on l ≤ u_i ≤ h, or a sum of two such functions of the same z (bounds, epsilon-insensitive).
Value, prox and conjugate are derived here, once.   (Rockafellar and Wets 1998, ch. 11.)
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.terms.base import Term
from hw4opt.validation.arguments import check_parameter
from hw4opt.validation.arrays import Array, real_array


@dataclass(frozen=True)
class Table:
    """f*(u) = ½ quadratic u² + linear u on low ≤ u ≤ high, so f(z) = max over that interval of (z - linear) u - ½
    quadratic u²."""

    quadratic: float = 0.0
    linear: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def times(self, weight: float) -> Table:
        """The table of weight · f, weight ≥ 0; with weight 0 that of the function 0."""
        quadratic = self.quadratic / weight if weight > 0 else self.quadratic
        low, high = (0.0 if weight == 0 else weight * end for end in (self.low, self.high))
        return Table(quadratic, self.linear, low, high)

    def slope(self, z: Array, side: int = 0) -> Array:
        """f'(z): the maximizing u; at a breakpoint, the lower (side = -1) or upper (side = +1) end of ∂f(z)."""
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
        """The tables whose functions sum to f."""

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
            inside = np.isfinite(z)
            z = np.where(inside, z, 0.0)
            return float(np.where(inside, u * z - self.pointwise(z), math.inf).sum())

    def _root(self, v: Array, a: float) -> Array:
        """The z with a z + f'(z) ∋ v, by walking the breakpoints of this increasing piecewise linear graph; ±inf where
        there is none."""
        kinks = np.array(sorted({kink for table in self.tables for kink in table.kinks()}))
        if not kinks.size:
            slope = a + sum(1 / table.quadratic for table in self.tables)
            return (v + sum(table.linear / table.quadratic for table in self.tables)) / slope
        below = a * kinks + sum(table.slope(kinks, -1) for table in self.tables)
        above = a * kinks + sum(table.slope(kinks, +1) for table in self.tables)
        first = np.searchsorted(above, v, side="left")  # the breakpoints whose whole jump lies below v
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
