"""Shapes that a function of one x column, a fit or a component, has at every x of a range, and the rows at some points
that give it to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from hw4opt.errors import InputError, shown
from hw4opt.terms.acts import Acts
from hw4opt.terms.base import Term
from hw4opt.terms.component_terms import ComponentTerm, OnComponent, own_term
from hw4opt.terms.points import Points
from hw4opt.terms.quadratic import PiecewiseQuadratic, Table
from hw4opt.terms.row_map import RowMap
from hw4opt.validation.arguments import is_finite
from hw4opt.validation.frozen import set_fields

Range = tuple[float, float]


@dataclass(frozen=True)
class AtPoints(Acts):
    """The derivative of that order (0: f itself) at points that need be no data, in the units of the design; one x
    column."""

    own_unit: ClassVar[bool] = True

    derivative: int
    points: tuple[float, ...]

    @property
    def of_values(self) -> bool:
        return self.derivative == 0

    def rows(self, points: Points, owner: str) -> RowMap:
        """One row a point."""
        return RowMap(len(self.points), first=points.first_row(self))

    def violation_unit(self, points: Points, rows: RowMap) -> float:
        """(range of x)^derivative."""
        return float(np.ptp(points.base_x[:, 0])) ** self.derivative

    def margin(self, points: Points, rows: RowMap, size: float) -> float:
        return size / self.violation_unit(points, rows)


@dataclass(frozen=True)
class Shape(PiecewiseQuadratic):
    """A constraint on f or a derivative of it: at the data rows or, with `everywhere`, at every x.

    everywhere    False: at the data rows;  True: at every x from the lowest to the highest of them;  (low, high): at
                  every x of that range, too.   A kernel design of one x column, or such a component of a sum
    derivative    the order of the derivative that the tables bound

    Raises `InputError` for a range that is none.
    """

    derivative: ClassVar[int] = 0

    everywhere: bool | Range = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        given: Any = self.everywhere
        if isinstance(given, bool | np.bool_):
            set_fields(self, everywhere=bool(given))
            return
        pair = isinstance(given, tuple | list) and len(given) == 2 and all(is_finite(one) for one in given)
        if not pair:
            raise InputError(f"{self.name}: everywhere is {shown(given)}; give True, or (low, high) as in (0, 120)")
        low, high = float(given[0]), float(given[1])
        if not low < high:
            raise InputError(f"{self.name}: everywhere runs from {low:g} to {high:g}; low must be below high")
        set_fields(self, everywhere=(low, high))

    @property
    def sides(self) -> list[tuple[int, float]]:
        """(side, level): side · derivative ≥ side · level, one a table."""
        return [(1 if table.high == 0 else -1, table.linear) for table in self.tables]


@dataclass(frozen=True)
class ShapeRows(PiecewiseQuadratic):
    """A shape's rows at points between the data: what it asks for there, and a margin more.   z: a derivative of f, or
    of a component.

    With the rows at the data they are a part of what the shape asks for at every x, so that the optimum under them,
    without the margin, is a lower bound.
    """

    name: ClassVar[str] = "shape_rows"

    constraint: Term
    points: tuple[float, ...]
    margin: float

    @property
    def shape(self) -> Shape:
        """The constraint itself, of a component's as of any other."""
        shape = own_term(self.constraint)
        assert isinstance(shape, Shape)
        return shape

    @property
    def label(self) -> str:
        return f"{self.constraint.label}:everywhere"

    @property
    def wording(self) -> str:
        return self.constraint.wording

    @property
    def acts(self) -> AtPoints | OnComponent:
        acts = AtPoints(self.shape.derivative, self.points)
        return OnComponent(self.constraint.component, acts) if isinstance(self.constraint, ComponentTerm) else acts

    @property
    def tables(self) -> tuple[Table, ...]:
        tables = zip(self.shape.sides, self.shape.tables, strict=True)
        return tuple(replace(table, linear=level + side * self.margin) for (side, level), table in tables)

    def in_units(self, size: float) -> tuple[float, ShapeRows] | None:
        scaled = self.constraint.in_units(size)
        return None if scaled is None else (1.0, replace(self, constraint=scaled[1], margin=self.margin / size))

    def model(self, cp: Any, z: Any) -> Any:  # the shape's own model, of all that lies within the margin of z
        return [*self.shape.model(cp, z - self.margin), *self.shape.model(cp, z + self.margin)]


def is_everywhere(term: Term) -> bool:
    """Whether a term, or that of a component, is a shape at every x."""
    shape = own_term(term)
    return isinstance(shape, Shape) and bool(shape.everywhere)


def functionals_of(rows: Iterable[ShapeRows]) -> tuple[AtPoints | OnComponent, ...]:
    """What the rows act on, each once."""
    return tuple(dict.fromkeys(one.acts for one in rows))
