"""Problems whose shapes at every x are required at a finite set of points."""

from __future__ import annotations

from collections.abc import Sequence

from hw4opt.problem.problem import Problem
from hw4opt.terms import ShapeRows, functionals_of
from hw4opt.validation.frozen import set_fields, unchecked


def having_rows(problem: Problem, rows: Sequence[ShapeRows]) -> Problem:
    """The same problem with these rows in place of its own, its design not yet built."""
    parts = {name: value for name, value in vars(problem).items() if name != "design"}
    return unchecked(Problem, **{**parts, "shape_rows": tuple(rows)})


def with_shape_rows(problems: Sequence[Problem], rows: Sequence[Sequence[ShapeRows]]) -> list[Problem]:
    """The same problems of a batch, each with its own new rows, which act on the same points in all; the basis of their
    design is extended, and held-out fits are kept in it."""
    design = problems[0].design.appending(functionals_of(rows[0]))
    found = [having_rows(problem, mine) for problem, mine in zip(problems, rows, strict=True)]
    for problem, before in zip(found, problems, strict=True):
        held_out = None if problem.held_out is None else problem.held_out.over(before.design, design)
        set_fields(problem, design=design, held_out=held_out)
    return found
