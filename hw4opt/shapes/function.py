"""The function that `predict` evaluates as a sum over kernel functionals, and the conditions of a shape on it."""

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
class RequiredShape:
    """A shape constraint at every x, on the fit or on a component of a sum, and the function of one column that it
    constrains."""

    problem: Problem
    constraint: Term

    @property
    def shape(self) -> Shape:
        """The constraint without its component."""
        shape = own_term(self.constraint)
        assert isinstance(shape, Shape)
        return shape

    @property
    def component(self) -> str | None:
        """The name of the component; None: the fit."""
        return self.constraint.component if isinstance(self.constraint, ComponentTerm) else None

    @property
    def rows(self) -> ShapeRows | None:
        """The rows that impose it at points; None if there are none yet."""
        return next((one for one in self.problem.shape_rows if one.constraint == self.constraint), None)

    @property
    def column(self) -> int:
        """The index of the function's column of x."""
        kernel = self.problem.kernel
        return kernel.summand(self.component).places[0] if isinstance(kernel, Sum) and self.component else 0

    @property
    def ridge(self) -> float:
        """The function's ridge."""
        kernel, ridges = self.problem.kernel, self.problem.model.ridges
        names = [part.name for part in kernel.parts] if isinstance(kernel, Sum) else []
        return ridges[names.index(self.component) if self.component else 0]

    @property
    def design(self) -> Design:
        """The function's design."""
        design = self.problem.design
        return design.parts[self.component] if isinstance(design, AdditiveDesign) and self.component else design

    @property
    def kernel(self) -> Kernel:
        """The function's kernel."""
        kernel = self.design.kernel
        assert kernel is not None
        return kernel

    def factors(self, w: Array) -> Array:
        """The entries of w (r,) that belong to the function's basis."""
        design, basis = self.problem.design, self.design.reduced
        assert basis is not None
        if isinstance(design, AdditiveDesign) and self.component:
            return w[design.columns[self.component]]
        return w[: len(basis.points)]

    def levels(self, w: Array) -> tuple[float, float]:
        """The constants that are added to the function's basis expansion."""
        problem = self.problem
        return (0.0, 0.0) if self.component else (problem.level, float(w[-1]) if problem.intercept else 0.0)

    def sizes(self, w: Array) -> tuple[float, float]:
        """The typical size of f^(order), |mean of f^(order)| over the range for order > 0, else the range of f at the
        data; and (range of the targets)/(range of x)^order."""
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
        """The range (low, high) of the shape in units of the raw x."""
        everywhere, raw = self.shape.everywhere, self.problem.active_x[:, self.column]
        return (raw.min().item(), raw.max().item()) if isinstance(everywhere, bool) else everywhere

    @cached_property
    def range(self) -> tuple[float, float]:
        """The range (low, high) of the shape in units of the design, enlarged by the rounding of the
        standardisation."""
        ends, (low, high) = self.raw_range, ((end - self._center) / self.spread for end in self.raw_range)
        if not self.problem.standardize:
            return low, high
        off = 2 * float(np.finfo(float).eps) * (max(map(abs, ends)) + abs(self._center)) / self.spread
        return low - off, high + off

    @property
    def spread(self) -> float:
        """The unit of x in the design, in raw units."""
        return float(self.problem.scaling[1][self.column])

    @property
    def unit(self) -> float:
        """The divisor that converts f, f' or f'' from units of the design to those of the raw x."""
        return self.spread**self.shape.derivative

    def raw(self, x: float) -> float:
        """x in units of the raw x, from units of the design."""
        return self._center + self.spread * x

    @property
    def _center(self) -> float:
        return float(self.problem.scaling[0][self.column])


def shapes_of(problem: Problem) -> list[RequiredShape]:
    """The constraints of the problem with `everywhere`."""
    return [RequiredShape(problem, term) for term in problem.constraints if is_everywhere(term)]


@dataclass(frozen=True, eq=False)
class KernelSum:
    """f(x) = Σ levels + Σ_p coef_p ∂^order_p/∂z^order_p k(x, z_p), coef = factor w, x in units of the design.

    kind      floating-point type of the computation
    """

    kernel: Kernel
    points: Array
    orders: np.ndarray
    factor: Array
    w: Array
    levels: tuple[float, float]
    kind: type[np.floating]

    @classmethod
    def of(cls, required: RequiredShape, w: Array, kind: type[np.floating]) -> KernelSum:
        """The constrained function of the fit at w (r,)."""
        design = required.design
        basis = design.reduced
        assert basis is not None
        orders = np.array([FUNCTIONAL_OF_ORDER.index(column) for column in basis.columns.tolist()])
        points = basis.points[:, 0].astype(kind)
        return cls(required.kernel, points, orders, basis.factor, required.factors(w), required.levels(w), kind)

    @property
    def eps(self) -> float:
        """The machine epsilon of `kind`."""
        return float(np.finfo(self.kind).eps)

    @cached_property
    def coef(self) -> Array:
        """The coefficients (p,)."""
        return self.factor.astype(self.kind) @ self.w.astype(self.kind)

    @cached_property
    def coef_rounding(self) -> Array:
        """A bound of the rounding in `coef`, (p,)."""
        return (len(self.w) + 1) * self.eps * (np.abs(self.factor) @ np.abs(self.w))


@dataclass(frozen=True, eq=False)
class Condition:
    """g(x) = side (f^(order)(x) - level) ≥ 0 for low ≤ x ≤ high, in units of the design."""

    function: KernelSum
    order: int
    side: int
    level: float
    low: float
    high: float

    @property
    def shifts(self) -> tuple[float, ...]:
        """The constants whose sum is subtracted from the kernel expansion of f^(order)."""
        return (self.level, *(-one for one in self.function.levels)) if self.order == 0 else (self.level,)

    @property
    def shift(self) -> float:
        """Their sum, rounded."""
        return sum(self.shifts)

    @property
    def shift_rounding(self) -> float:
        """A bound of the rounding in that sum and in its difference from the kernel expansion."""
        return 4 * float(np.finfo(float).eps) * sum(map(abs, self.shifts))


def conditions(required: RequiredShape, w: Array, kind: type[np.floating], allowed: float = 0.0) -> list[Condition]:
    """The conditions of a shape at every x on the fit at w (r,), one per side, relaxed by `allowed`."""
    function, shape, (low, high) = KernelSum.of(required, w, kind), required.shape, required.range
    return [
        Condition(function, shape.derivative, side, level - side * allowed, low, high) for side, level in shape.sides
    ]
