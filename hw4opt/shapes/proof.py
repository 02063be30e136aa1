"""Whether a fit has a shape at every x: the proof, or the points where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.kernels import Decaying
from hw4opt.shapes.bernstein import Bernstein
from hw4opt.shapes.branch import Search, local_minima, search
from hw4opt.shapes.enclosure import Curve, Enclosure, minimize_between
from hw4opt.shapes.function import Condition, RequiredShape, conditions
from hw4opt.shapes.norm_bound import NormBound
from hw4opt.shapes.pieces import Pieces
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property


@dataclass(frozen=True)
class ShapeProof:
    """The proof of one shape at every x in [low, high], or its failure.

    name          of the constraint, as in increasing, or dose.increasing for a component
    proven        whether the function that `predict` evaluates has the shape, up to the rounding of that evaluation
    margin        proven distance from violation, in units of f, f' or f''; None if not proven
    points        number of points, besides the data rows, at which the fit imposes the shape
    asked         margin by which the rows at these points exceed the shape, in units of f, f' or f''
    cells         number of cells of the proof;   evaluations: number of cells evaluated
    left          smallest interval that contains all unproven cells; None if proven
    worst         largest violation found, in units of f, f' or f''; 0 if none was found
    column        index of the column of x
    """

    name: str
    low: float
    high: float
    proven: bool
    margin: float | None
    points: int
    asked: float
    cells: int
    evaluations: int
    left: tuple[float, float] | None = None
    worst: float = 0.0
    column: int = 0

    def sentence(self, *names: str) -> str:
        """The result in words; `names`: names of the columns of x."""
        x = names[self.column] if self.column < len(names) else "x"
        where = f"{self.name} on [{self.low:.6g}, {self.high:.6g}]"
        if self.left is None:
            return f"{where}: proven ({self.cells} cells, margin {self.margin:.1g})"
        low, high = self.left
        seen = f"the largest violation seen is {self.worst:.2g}" if self.worst else "no violation was seen"
        return f"{where}: not proven between {x} = {low:.6g} and {high:.6g}, where {seen}"


@dataclass(frozen=True, eq=False)
class Examined:
    """The examination of one shape of one fit: for each side of the shape, its curve and the search.

    is_proof    whether the search covers the whole range
    """

    required: RequiredShape
    w: Array
    sides: Sequence[tuple[Curve, Search]]
    is_proof: bool = True

    @property
    def holds(self) -> bool:
        """Whether the search left nothing unproven."""
        return not any(len(found.values) for _, found in self.sides)

    @property
    def proven(self) -> bool:
        return self.is_proof and self.holds

    @property
    def worst(self) -> float:
        """The largest violation found, in units of the design; 0 if none was found."""
        return max([0.0, *(-float(one.values.min(initial=0.0)) for _, one in self.sides)])

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """`RequiredShape.sizes` of this fit."""
        return self.required.sizes(self.w)

    @property
    def proof(self) -> ShapeProof:
        required, rows = self.required, self.required.rows
        low, high = required.raw_range
        found = [one for _, one in self.sides]
        left = [end for one in found if len(one.values) for end in (one.left.low[0], one.left.high[-1])]
        return ShapeProof(
            required.constraint.label,
            low,
            high,
            self.proven,
            float(min(one.margin for one in found)) / required.unit if self.proven else None,
            0 if rows is None else len(rows.points),
            0.0 if rows is None else rows.margin / required.unit,
            sum(one.proven for one in found),
            sum(one.evaluations for one in found),
            (max(required.raw(min(left)), low), min(required.raw(max(left)), high)) if left else None,
            self.worst / required.unit,
            required.column,
        )

    def dips(self, most: int) -> tuple[Array, Array]:
        """The local minima of g in the unproven cells, and the approximate half width of the interval around each where
        g < 0, in units of the design; at most the `most` lowest."""
        x, value, width = np.concatenate([np.empty((3, 0)), *(self._dips(*side) for side in self.sides)], axis=1)
        kept = np.argsort(value, kind="stable")[:most]
        return x[kept], width[kept]

    def _dips(self, curve: Curve, found: Search) -> Array:
        """x, g, and half width -2g/(|g'| + √(g'² - 2 g g'')) of the dips of one side, (3, k)."""
        x, value = _lowest_unproven(curve, found)
        depth = np.maximum(-value, 0.0)
        _, slope, curvature = (one.astype(float) for one in curve.at(x, curve.piece_of(x)))
        reach = np.abs(slope) + np.sqrt(slope * slope + 2 * depth * np.maximum(curvature, 0.0))
        return np.array([x, value, np.divide(2 * depth, reach, out=np.zeros(len(x)), where=reach > 0)])


def violations(required: RequiredShape, w: Array, allowed: float = 0.0) -> Examined:
    """A fast search for violations above `allowed` of the fit at w (r,), at local minima between closely spaced points;
    it finds but does not prove. For polynomials it is the search of `examine`."""
    sides = []
    for condition in conditions(required, w, np.float64, allowed):
        bounds = _enclosure(condition)
        sides.append(_search(condition) if bounds is None else (bounds, local_minima(bounds)))
    return Examined(required, w, sides, is_proof=not any(isinstance(one, NormBound | Pieces) for one, _ in sides))


def examine(required: RequiredShape, w: Array, allowed: float = 0.0) -> Examined:
    """Search for a proof that the fit at w (r,) has the shape, up to a violation `allowed` in units of the design; in
    double precision, and in long double if only rounding prevents the proof."""
    sides = [_search(one) for one in conditions(required, w, np.float64, allowed)]
    unclear, violated = (any(getattr(found, one) for _, found in sides) for one in ("is_unclear", "is_violated"))
    if unclear and not violated and not allowed:
        sides = [_search(one) for one in conditions(required, w, np.longdouble, allowed)]
    return Examined(required, w, sides)


def _search(condition: Condition) -> tuple[Curve, Search]:
    if (bounds := _enclosure(condition)) is not None:
        return bounds, search(bounds)
    exact = Bernstein(condition)
    return exact, exact.search()


def _enclosure(condition: Condition) -> Enclosure | None:
    """The enclosure of a condition; None for polynomials."""
    kernel = condition.function.kernel
    if isinstance(kernel, Decaying):
        return Pieces(condition, kernel)
    return None if kernel.expansion is not None else NormBound(condition)


def _lowest_unproven(curve: Curve, found: Search) -> Array:
    """x and g, (2, k), at the local minima over the unproven cells."""
    (low, high, _), values = found.left, found.values
    if (low == high).all():
        return np.array([low, values])
    apart = low[1:] > high[:-1]
    lowest = np.append(True, apart | (values[1:] <= values[:-1])) & np.append(apart | (values[:-1] < values[1:]), True)
    low, high = low[lowest], high[lowest]
    return minimize_between(curve, 0.5 * (low + high), low - (high - low), high + (high - low))
