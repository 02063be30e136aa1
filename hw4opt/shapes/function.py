"""The function that `predict` evaluates, as a sum over kernel functionals, and what a shape asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hw4opt.kernels import FUNCTIONAL_OF_ORDER, Kernel
from hw4opt.problem import Problem
from hw4opt.terms import Shape
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class KernelSum:
    """f(x) = Σ levels + Σ_p coef_p ∂^order_p/∂z^order_p k(x, z_p), coef = factor w, x in the units of the design.

    kind      the type that everything is computed in
    """

    kernel: Kernel
    points: Array
    orders: np.ndarray
    factor: Array
    w: Array
    levels: tuple[float, float]
    kind: type[np.floating]

    @classmethod
    def of(cls, problem: Problem, w: Array, kind: type[np.floating]) -> KernelSum:
        """The fit of a kernel design of one x column at w (r,)."""
        basis = problem.design.reduced
        assert basis is not None and problem.kernel is not None
        orders = np.array([FUNCTIONAL_OF_ORDER.index(column) for column in basis.columns.tolist()])
        levels = problem.level, float(w[-1]) if problem.intercept else 0.0
        own = w[: len(basis.points)]
        return cls(problem.kernel, basis.points[:, 0].astype(kind), orders, basis.factor, own, levels, kind)

    @property
    def eps(self) -> float:
        """The epsilon of its type."""
        return float(np.finfo(self.kind).eps)

    @cached_property
    def coef(self) -> Array:
        """(p,)"""
        return self.factor.astype(self.kind) @ self.w.astype(self.kind)

    @cached_property
    def unsure(self) -> Array:
        """What rounding may have done to `coef`, (p,)."""
        return (len(self.w) + 1) * self.eps * (np.abs(self.factor) @ np.abs(self.w))


@dataclass(frozen=True, eq=False)
class Condition:
    """g(x) = side (f^(order)(x) - level) ≥ 0 for low ≤ x ≤ high, in the units of the design."""

    function: KernelSum
    order: int
    side: int
    level: float
    low: float
    high: float

    @property
    def shifts(self) -> tuple[float, ...]:
        """What is taken off the kernels' part of f^(order): their sum."""
        return (self.level, *(-one for one in self.function.levels)) if self.order == 0 else (self.level,)

    @property
    def shift(self) -> float:
        """Their sum, rounded."""
        return sum(self.shifts)

    @property
    def shift_rounding(self) -> float:
        """What rounding may do to that sum, and to its difference from the kernels' part."""
        return 4 * float(np.finfo(float).eps) * sum(map(abs, self.shifts))


def conditions(
    problem: Problem, shape: Shape, w: Array, kind: type[np.floating], allowed: float = 0.0
) -> list[Condition]:
    """What a shape at every x asks of the fit at w (r,), one a side, up to a violation that is allowed."""
    function, (low, high) = KernelSum.of(problem, w, kind), range_of(problem, shape)
    return [
        Condition(function, shape.derivative, side, level - side * allowed, low, high) for side, level in shape.sides
    ]


def range_of(problem: Problem, shape: Shape) -> tuple[float, float]:
    """Where the shape holds, in the units of the design: a little more than it is in raw x, where these are rounded."""
    raw = problem.active_x[:, 0]
    ends = (raw.min(), raw.max()) if isinstance(shape.everywhere, bool) else shape.everywhere
    low, high = problem.features(np.array(ends))[:, 0].tolist()
    if not problem.standardize:
        return low, high
    center, spread = (float(one[0]) for one in problem.scaling)
    off = 2 * float(np.finfo(float).eps) * (max(map(abs, ends)) + abs(center)) / spread
    return low - off, high + off
