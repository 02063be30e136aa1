"""What rows at points between the data say of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hw4opt.problem import Problem
from hw4opt.shapes.function import shapes_of
from hw4opt.terms.base import Array


class ShapePoint(NamedTuple):
    """A point of a column where a fit is asked for its shape, the order of the derivative of the kernel there, and its
    factor."""

    column: int
    order: int
    x: float
    coef: float


def shape_points(problem: Problem, duals: Mapping[str, Array]) -> list[ShapePoint]:
    """The points in units of the raw x, with their factors, -u/(2 ridge); none of functions without ridge."""
    return [
        ShapePoint(asked.column, asked.shape.derivative, asked.raw(x), -float(u) / (2 * asked.ridge) * asked.unit)
        for asked in shapes_of(problem)
        if (rows := asked.rows) is not None and asked.ridge > 0
        for x, u in zip(rows.points, duals[rows.label], strict=True)
    ]


def lower_bound(problem: Problem, duals: Mapping[str, Array], dual_objective: float | None) -> float | None:
    """The dual objective of what is asked for at some points, less what the margins are worth there."""
    if dual_objective is None:
        return None
    worth = (rows.margin * float(np.abs(duals[rows.label]).sum()) for rows in problem.shape_rows)
    return dual_objective - sum(worth)
