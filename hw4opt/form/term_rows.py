"""The rows of one term, or of several that share their rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from hw4opt.form.box_rows import BoxRows
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.terms import Acts, Loss, PiecewiseQuadratic, Term
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap
from hw4opt.validation.frozen import cached_property

Rows = BoxRows | SmoothRows


@dataclass(frozen=True, eq=False)
class TermRows:
    """Row map, offset c and weights of a term's rows, and their functions: a sum of two box-constrained ones lists its
    rows twice."""

    terms: tuple[tuple[Term, ...], ...]  # every term's instances, one per problem
    map: RowMap
    offset: Array  # (b, m) or (b, 1): the terms act on A w + offset
    weights: Array  # (b, m) or (b, 1); 0 takes the row out
    functions: tuple[BoxRows, ...] | tuple[SmoothRows]

    @property
    def count(self) -> int:
        """The number of rows of the term."""
        return self.map.count

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels of the terms."""
        return tuple(instances[0].label for instances in self.terms)

    @property
    def wordings(self) -> tuple[str, ...]:
        """The terms' names in messages."""
        return tuple(instances[0].wording for instances in self.terms)

    @cached_property
    def acts(self) -> Acts:
        return self.terms[0][0].acts

    @cached_property
    def is_loss(self) -> bool:
        return isinstance(self.terms[0][0], Loss)

    @property
    def smooth(self) -> SmoothRows | None:
        """The functions of a smooth loss; None for other terms."""
        first = self.functions[0]
        return first if isinstance(first, SmoothRows) else None

    @cached_property
    def boxes(self) -> tuple[BoxRows, ...]:
        """The box-constrained functions; none for a smooth loss."""
        return tuple(one for one in self.functions if isinstance(one, BoxRows))

    def cut(self, batch: np.ndarray) -> TermRows:
        """Some of the problems."""
        terms = tuple(tuple(instances[i] for i in batch) for instances in self.terms)
        functions: tuple[Rows, ...] = tuple(one.cut(slice(None), batch) for one in self.functions)
        return replace(self, terms=terms, offset=self.offset[batch], weights=self.weights[batch], functions=functions)

    def in_units(self, size: Array, worth: Array) -> TermRows:
        """The rows of z/size with f/worth, (b, 1) each: u is then u·size/worth."""
        functions: tuple[Rows, ...] = tuple(one.in_units(size, worth) for one in self.functions)
        return replace(self, offset=self.offset / size, functions=functions)

    def excess(self, z: Array) -> Array:
        """f(z) - min f of every row, (b, m)."""
        return reduce(add, [one.excess(z) for one in self.functions])

    def split(self, u: Array) -> dict[str, Array]:
        """The dual of every term (b, m) from that of their sum: each takes as much as its interval allows."""
        if len(self.terms) == 1:
            return {self.names[0]: u}
        found, rest = {}, u
        for name, instances in zip(self.names, self.terms, strict=True):
            tables = [one.tables[0] for one in instances if isinstance(one, PiecewiseQuadratic)]
            low, high = (np.array([[getattr(table, end)] for table in tables]) for end in ("low", "high"))
            found[name] = np.clip(rest, low, high)
            rest = rest - found[name]
        return found
