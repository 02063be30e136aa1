"""The rows of every fold together: those of the full data, and the differences merged over points that leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form
from hw4opt.problem import Problem
from hw4opt.terms import Acts
from hw4opt.terms.row_map import RowMap


@dataclass(frozen=True, eq=False)
class Layout:
    """By what a term acts on: the row map over all folds, the full data's rows first; (F, m) whether a fold has a row.

    It speaks of points, not of a basis: every gamma shares it.
    """

    maps: dict[Acts, tuple[RowMap, np.ndarray]]

    @classmethod
    def of(cls, problem: Problem, held_out: Sequence[np.ndarray]) -> Layout:
        maps = {}
        for term in problem.terms:
            if term.acts not in maps:
                of_data = problem.design.rows(term.acts, term.name)
                rows, has = term.acts.fold_rows(problem.design, of_data, held_out)
                every = np.ones((len(held_out), rows.count), dtype=bool)
                maps[term.acts] = rows, every if has is None else has > 0
        return cls(maps)

    @classmethod
    def of_all_rows(cls, form: Form) -> Layout:
        """One fold that has all rows of the form."""
        return cls({term.acts: (term.map, np.ones((1, term.count), dtype=bool)) for term in form.terms})
