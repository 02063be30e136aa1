"""Whether a fit has a shape at every x: proof, and the points where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.kernels import Decaying
from hw4opt.shapes.bernstein import Bernstein
from hw4opt.shapes.branch import Search, lowest_points, search
from hw4opt.shapes.enclosure import Curve, Enclosure, lowest_between
from hw4opt.shapes.function import AskedShape, Condition, conditions
from hw4opt.shapes.norm_bound import NormBound
from hw4opt.shapes.pieces import Pieces
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property


@dataclass(frozen=True)
class ShapeProof:
    """What is known of one shape at every x from low to high.

    name          of the constraint, as in increasing, or dose.increasing of a component
    proven        whether the function that `predict` evaluates has it, apart from the rounding of that evaluation
    margin        by how much at least, in units of f, f' or f''; None where it is not proven
    points        where rows of the fit ask for it, besides the data rows
    asked         by how much more than the shape the rows at these points ask for
    cells         how many prove it;   evaluations: how many were looked at
    left          from where to where cells are left that are not proven; None where it is
    worst         the largest violation seen there, in units of f, f' or f''; 0 where none was
    column        the x column that low and high are of
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
        """What a user should read; `names` are those of the x columns."""
        x = names[self.column] if self.column < len(names) else "x"
        where = f"{self.name} on [{self.low:.6g}, {self.high:.6g}]"
        if self.left is None:
            return f"{where}: proven ({self.cells} cells, margin {self.margin:.1g})"
        low, high = self.left
        seen = f"the largest violation seen is {self.worst:.2g}" if self.worst else "no violation was seen"
        return f"{where}: not proven between {x} = {low:.6g} and {high:.6g}, where {seen}"


@dataclass(frozen=True, eq=False)
class Examined:
    """One shape of one fit: by side of the shape, what was looked at and what was found."""

    asked: AskedShape
    w: Array
    sides: Sequence[tuple[Curve, Search]]
    is_proof: bool = True  # whether all of the range was looked at

    @property
    def holds(self) -> bool:
        """Wherever it was looked at."""
        return not any(len(found.values) for _, found in self.sides)

    @property
    def proven(self) -> bool:
        return self.is_proof and self.holds

    @property
    def worst(self) -> float:
        """The largest violation seen, in the units of the design; 0 where none was."""
        return max([0.0, *(-float(one.values.min(initial=0.0)) for _, one in self.sides)])

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """As of the shape that is asked for, of this fit."""
        return self.asked.sizes(self.w)

    @property
    def proof(self) -> ShapeProof:
        asked, rows = self.asked, self.asked.rows
        low, high = asked.raw_range
        found = [one for _, one in self.sides]
        left = [end for one in found if len(one.values) for end in (one.left.low[0], one.left.high[-1])]
        return ShapeProof(
            asked.constraint.label,
            low,
            high,
            self.proven,
            float(min(one.margin for one in found)) / asked.unit if self.proven else None,
            0 if rows is None else len(rows.points),
            0.0 if rows is None else rows.margin / asked.unit,
            sum(one.proven for one in found),
            sum(one.evaluations for one in found),
            (max(asked.raw(min(left)), low), min(asked.raw(max(left)), high)) if left else None,
            self.worst / asked.unit,
            asked.column,
        )

    def dips(self, most: int) -> tuple[Array, Array]:
        """The lowest points of what is not proven, in the units of the design, and how far from them g is below 0,
        about; of more than `most`, the lowest."""
        x, value, width = np.concatenate([np.empty((3, 0)), *(self._dips(*side) for side in self.sides)], axis=1)
        kept = np.argsort(value, kind="stable")[:most]
        return x[kept], width[kept]

    def _dips(self, curve: Curve, found: Search) -> Array:
        """Points (3, k), g there, and the width: -2g/(|g'| + √(g'² - 2 g g''))."""
        x, value = _bottoms(curve, found)
        depth = np.maximum(-value, 0.0)
        _, slope, curvature = (one.astype(float) for one in curve.at(x, curve.piece_of(x)))
        reach = np.abs(slope) + np.sqrt(slope * slope + 2 * depth * np.maximum(curvature, 0.0))
        return np.array([x, value, np.divide(2 * depth, reach, out=np.zeros(len(x)), where=reach > 0)])


def violations(asked: AskedShape, w: Array, allowed: float = 0.0) -> Examined:
    """Where the fit at w (r,) fails by more than what is allowed: of the lowest points between some that lie close, and
    no proof where there is none. Of polynomials what a proof finds."""
    sides = []
    for condition in conditions(asked, w, np.float64, allowed):
        bounds = _enclosure(condition)
        sides.append(_looked_at(condition) if bounds is None else (bounds, lowest_points(bounds)))
    return Examined(asked, w, sides, is_proof=not any(isinstance(one, NormBound | Pieces) for one, _ in sides))


def examine(asked: AskedShape, w: Array, allowed: float = 0.0) -> Examined:
    """Look for a proof that the fit at w (r,) has the shape: in doubles, or where only their rounding is in the way, in
    long doubles; up to a violation that is allowed, in the units of the design."""
    sides = [_looked_at(one) for one in conditions(asked, w, np.float64, allowed)]
    unclear, violated = (any(getattr(found, one) for _, found in sides) for one in ("is_unclear", "is_violated"))
    if unclear and not violated and not allowed:
        sides = [_looked_at(one) for one in conditions(asked, w, np.longdouble, allowed)]
    return Examined(asked, w, sides)


def _looked_at(condition: Condition) -> tuple[Curve, Search]:
    if (bounds := _enclosure(condition)) is not None:
        return bounds, search(bounds)
    exact = Bernstein(condition)
    return exact, exact.search()


def _enclosure(condition: Condition) -> Enclosure | None:
    """None for polynomials."""
    kernel = condition.function.kernel
    if isinstance(kernel, Decaying):
        return Pieces(condition, kernel)
    return None if kernel.expansion is not None else NormBound(condition)


def _bottoms(curve: Curve, found: Search) -> Array:
    """Points (2, k) and g there: the lowest of every run of cells that are left."""
    (low, high, _), values = found.left, found.values
    if (low == high).all():
        return np.array([low, values])
    apart = low[1:] > high[:-1]
    lowest = np.append(True, apart | (values[1:] <= values[:-1])) & np.append(apart | (values[:-1] < values[1:]), True)
    low, high = low[lowest], high[lowest]
    return lowest_between(curve, 0.5 * (low + high), low - (high - low), high + (high - low))
