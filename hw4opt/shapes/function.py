"""The function that `predict` evaluates, as a sum over kernel functionals, and what a shape asks of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.design import AdditiveDesign, Design, Sum
from hw4opt.kernels import FUNCTIONAL_OF_ORDER, Kernel
from hw4opt.problem import Problem
from hw4opt.terms import ComponentTerm, Shape, ShapeRows, Term, is_everywhere, own_term
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property


@dataclass(frozen=True, eq=False)
class AskedShape:
    """A constraint that is to hold at every x, of the fit or of a component of a sum, and the function of one column
    that it is about."""

    problem: Problem
    constraint: Term

    @property
    def shape(self) -> Shape:
        """The constraint itself."""
        shape = own_term(self.constraint)
        assert isinstance(shape, Shape)
        return shape

    @property
    def component(self) -> str | None:
        """Whose it is; None: the fit's."""
        return self.constraint.component if isinstance(self.constraint, ComponentTerm) else None

    @property
    def rows(self) -> ShapeRows | None:
        """Those that ask for it at points."""
        return next((one for one in self.problem.shape_rows if one.constraint == self.constraint), None)

    @property
    def column(self) -> int:
        """The x column of the function."""
        kernel = self.problem.kernel
        return kernel.summand(self.component).places[0] if isinstance(kernel, Sum) and self.component else 0

    @property
    def ridge(self) -> float:
        """That of the function."""
        kernel, ridges = self.problem.kernel, self.problem.model.ridges
        names = [part.name for part in kernel.parts] if isinstance(kernel, Sum) else []
        return ridges[names.index(self.component) if self.component else 0]

    @property
    def design(self) -> Design:
        """That of the function."""
        design = self.problem.design
        return design.parts[self.component] if isinstance(design, AdditiveDesign) and self.component else design

    @property
    def kernel(self) -> Kernel:
        """That of the function."""
        kernel = self.design.kernel
        assert kernel is not None
        return kernel

    def factors(self, w: Array) -> Array:
        """Those of the function's basis, of w (r,)."""
        design, basis = self.problem.design, self.design.reduced
        assert basis is not None
        if isinstance(design, AdditiveDesign) and self.component:
            return w[design.columns[self.component]]
        return w[: len(basis.points)]

    def levels(self, w: Array) -> tuple[float, float]:
        """What the function has besides its basis."""
        problem = self.problem
        return (0.0, 0.0) if self.component else (problem.level, float(w[-1]) if problem.intercept else 0.0)

    def sizes(self, w: Array) -> tuple[float, float]:
        """The mean f^(order) over the range, or the range of f at the data; and that of a function that changes over
        the range as the targets do."""
        design, order, (low, high) = self.design, self.shape.derivative, self.range
        assert design.reduced is not None
        if order == 0:
            values = design.matrix[: len(design.base_x)] @ w
        else:
            ends = design.reduced.evaluate(np.array([[low], [high]]), FUNCTIONAL_OF_ORDER[order - 1])
            values = ends @ self.factors(w) / (high - low)
        of_targets = (float(np.ptp(self.problem.data.active_residual_targets)) or 1.0) / (high - low) ** order
        return float(np.ptp(values)), of_targets

    @cached_property
    def raw_range(self) -> tuple[float, float]:
        """Where the shape holds, in units of the raw x."""
        everywhere, raw = self.shape.everywhere, self.problem.active_x[:, self.column]
        return (raw.min().item(), raw.max().item()) if isinstance(everywhere, bool) else everywhere

    @cached_property
    def range(self) -> tuple[float, float]:
        """Where the shape holds, in the units of the design: a little more than it is in raw x, where these are
        rounded."""
        ends, (low, high) = self.raw_range, ((end - self._center) / self.spread for end in self.raw_range)
        if not self.problem.standardize:
            return low, high
        off = 2 * float(np.finfo(float).eps) * (max(map(abs, ends)) + abs(self._center)) / self.spread
        return low - off, high + off

    @property
    def spread(self) -> float:
        """The unit of x in the design."""
        return float(self.problem.scaling[1][self.column])

    @property
    def unit(self) -> float:
        """What f, f' or f'' of the design is divided by, in units of the raw x."""
        return self.spread**self.shape.derivative

    def raw(self, x: float) -> float:
        """x of the design in units of the raw x."""
        return self._center + self.spread * x

    @property
    def _center(self) -> float:
        return float(self.problem.scaling[0][self.column])


def shapes_of(problem: Problem) -> list[AskedShape]:
    """The constraints of the problem that are to hold at every x."""
    return [AskedShape(problem, term) for term in problem.constraints if is_everywhere(term)]


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
    def of(cls, asked: AskedShape, w: Array, kind: type[np.floating]) -> KernelSum:
        """The function that a shape is about, of the fit at w (r,)."""
        design = asked.design
        basis = design.reduced
        assert basis is not None
        orders = np.array([FUNCTIONAL_OF_ORDER.index(column) for column in basis.columns.tolist()])
        points = basis.points[:, 0].astype(kind)
        return cls(asked.kernel, points, orders, basis.factor, asked.factors(w), asked.levels(w), kind)

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


def conditions(asked: AskedShape, w: Array, kind: type[np.floating], allowed: float = 0.0) -> list[Condition]:
    """What a shape at every x asks of the fit at w (r,), one a side, up to a violation that is allowed."""
    function, shape, (low, high) = KernelSum.of(asked, w, kind), asked.shape, asked.range
    return [
        Condition(function, shape.derivative, side, level - side * allowed, low, high) for side, level in shape.sides
    ]
