"""Terms of one component of a sum of functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from hw4opt.terms.acts import Acts
from hw4opt.terms.base import Term
from hw4opt.terms.points import FoldRows, Points
from hw4opt.terms.quadratic import PiecewiseQuadratic, Table
from hw4opt.terms.row_map import RowMap
from hw4opt.validation.arrays import Array
from hw4opt.validation.frozen import set_fields


@dataclass(frozen=True)
class OnComponent(Acts):
    """The functionals of one component of a sum: those of `inner` for a design of that component alone."""

    own_unit: ClassVar[bool] = True  # its values are not fitted values

    component: str
    inner: Acts
    order: int = field(init=False)

    def __post_init__(self) -> None:
        set_fields(self, order=self.inner.order)

    @property
    def suffix(self) -> str:
        return self.inner.suffix

    def rows(self, points: Points, owner: str) -> RowMap:
        """The component's functionals, at their place among all."""
        part, first = points.component(self.component)
        return self.inner.rows(part, owner).moved(first)

    def fold_rows(self, points: Points, rows: RowMap, held_out: Sequence[np.ndarray]) -> FoldRows:
        part, first = points.component(self.component)
        found = self.inner.fold_rows(part, rows.moved(-first), held_out)
        return FoldRows(found.map.moved(first), found.has)

    def violation_unit(self, points: Points, rows: RowMap) -> Array | float:
        part, first = points.component(self.component)
        return self.inner.violation_unit(part, rows.moved(-first))

    def margin(self, points: Points, rows: RowMap, size: float) -> Array | float:
        part, first = points.component(self.component)
        return self.inner.margin(part, rows.moved(-first), size)

    def weight_unit(self, points: Points) -> float:
        return self.inner.weight_unit(points.component(self.component)[0])

    def base_rows(self, points: Points) -> slice:
        part, first = points.component(self.component)
        return slice(first, first + len(part.base_x))


@dataclass(frozen=True)
class ComponentTerm(PiecewiseQuadratic):
    """A regularizer or constraint of one component of a sum: `term`, on the functionals of that component.

    Its label is the component's name and the term's label: dose.tv.
    """

    name: ClassVar[str] = "component"

    component: str
    term: Term

    @property
    def label(self) -> str:
        return f"{self.component}.{self.term.label}"

    @property
    def acts(self) -> OnComponent:
        return OnComponent(self.component, self.term.acts)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of the term; none for a ridge, which has no rows."""
        return self.term.tables if isinstance(self.term, PiecewiseQuadratic) else ()

    def in_units(self, size: float) -> tuple[float, ComponentTerm] | None:
        scaled = self.term.in_units(size)
        return None if scaled is None else (scaled[0], replace(self, term=scaled[1]))

    def model(self, cp: Any, z: Any) -> Any:
        return self.term.model(cp, z)


def own_term(term: Term) -> Term:
    """The term itself; for a term of a component, the inner one."""
    return term.term if type(term) is ComponentTerm else term
