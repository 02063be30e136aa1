"""The points of shape rows as part of a fit, and the lower bound of the objective with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hw4opt.problem import Problem
from hw4opt.shapes.function import shapes_of
from hw4opt.terms.base import Array


class ShapePoint(NamedTuple):
    """A point where a shape is imposed: column of x, order of the kernel's derivative, x, and coefficient."""

    column: int
    order: int
    x: float
    coef: float


def shape_points(problem: Problem, duals: Mapping[str, Array]) -> list[ShapePoint]:
    """The points with coefficients -u/(2 ridge), in units of the raw x; none for functions without ridge."""
    return [
        ShapePoint(
            required.column,
            required.shape.derivative,
            required.raw(x),
            -float(u) / (2 * required.ridge) * required.unit,
        )
        for required in shapes_of(problem)
        if (rows := required.rows) is not None and required.ridge > 0
        for x, u in zip(rows.points, duals[rows.label], strict=True)
    ]


def lower_bound(problem: Problem, duals: Mapping[str, Array], dual_objective: float | None) -> float | None:
    """A lower bound of the optimum with the shape at every x: the dual objective with rows at points, minus
    Σ margin |u| over these rows; None if there is no dual objective."""
    if dual_objective is None:
        return None
    worth = (rows.margin * float(np.abs(duals[rows.label]).sum()) for rows in problem.shape_rows)
    return dual_objective - sum(worth)
