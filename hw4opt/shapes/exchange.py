"""Shapes at every x by exchange: solve, look for points where the fit does not have its shape, ask for it there, and
again, until it is proven.   (Hettich and Kortanek 1993, §7.)"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from hw4opt.errors import InputError
from hw4opt.kernels import VALUE
from hw4opt.problem import Problem, with_shape_rows
from hw4opt.shapes.function import range_of
from hw4opt.shapes.proof import Examined, examine
from hw4opt.terms import Shape, ShapeRows
from hw4opt.terms.base import Array

MAX_ROUNDS = 30  # of exchange
MAX_SHAPE_POINTS = 1_000  # of one shape
MARGIN, MAX_MARGIN = (
    5e-7,
    1e-6,
)  # of the size of f, f' or f'': what rows at points ask for beyond it, and at most
LEAST_MARGIN = 1e-9  # the same, of a function that changes over the range as much as the targets do
NEGLIGIBLE_FORCE = 1e-4  # of the largest dual: a point that the fit does not rest on
NEAREST_POINTS = 1e-10  # of the range: points nearer to each other are one


class Fitted(Protocol):
    """A problem, the rows at points included, its answer w (r,), NaN where there is none, and duals by label."""

    @property
    def problem(self) -> Problem: ...

    @property
    def w(self) -> Array: ...

    @property
    def duals(self) -> Mapping[str, Array]: ...


F = TypeVar("F", bound=Fitted)


def shapes_of(problem: Problem) -> list[Shape]:
    """The constraints of the problem that are to hold at every x."""
    return [term for term in problem.constraints if isinstance(term, Shape) and term.everywhere]


def exchange(
    problems: Sequence[Problem], solve: Callable[[Sequence[Problem]], Sequence[F]], deadline: float = math.inf
) -> tuple[list[F], list[list[Examined]]]:
    """The fits of the last round, and what is known of each of their shapes (nothing of a fit without numbers).

    problems    of a batch: they share the points
    solve       their fits, in order
    deadline    by `time.perf_counter`, after which no further round begins
    """
    problems = list(problems)
    _check_ranges(problems)
    for left in reversed(range(MAX_ROUNDS)):
        fits = list(solve(problems))
        examined = [_examined(one) for one in fits]
        rows = _next_rows(problems, fits, examined)
        if rows is None or not left or time.perf_counter() >= deadline:
            return fits, examined
        problems = with_shape_rows(problems, rows)
    raise AssertionError("the last round returns")


def _check_ranges(problems: Sequence[Problem]) -> None:
    """Raise `InputError` for a batch whose shapes are to hold on different ranges: they share the points."""
    for number, problem in enumerate(problems):
        if [one.everywhere for one in shapes_of(problem)] != [one.everywhere for one in shapes_of(problems[0])]:
            raise InputError(
                f"problem {number} of the batch has its shapes on another range than the first; a batch shares it"
            )


def _examined(fit: Fitted) -> list[Examined]:
    if not np.isfinite(fit.w).all():
        return []
    return [examine(fit.problem, shape, fit.w) for shape in shapes_of(fit.problem)]


def _next_rows(
    problems: Sequence[Problem], fits: Sequence[Fitted], examined: Sequence[Sequence[Examined]]
) -> list[list[ShapeRows]] | None:
    """The rows of each problem for the next round; None where there is nothing to add."""
    known = {rows.shape.label: rows for rows in problems[0].shape_rows}
    points: dict[str, tuple[float, ...]] = {}
    for place, shape in enumerate(shapes_of(problems[0])):
        old = known[shape.label].points if shape.label in known else ()
        lowest = [
            _between_contacts(found[place], fit.duals)
            for fit, found in zip(fits, examined, strict=True)
            if found and not found[place].proven
        ]
        points[shape.label] = (*old, *_new(old, lowest, range_of(problems[0], shape)))
    rows = [
        [
            ShapeRows(shape, points[shape.label], _margin(fit.problem, shape, fit.w))
            for shape in shapes_of(problem)
            if points[shape.label]
        ]
        for problem, fit in zip(problems, fits, strict=True)
    ]
    if any(len(mine) > MAX_SHAPE_POINTS for mine in points.values()):
        return None
    added = sum(map(len, points.values())) > sum(len(one.points) for one in known.values())
    loose = any(
        old.margin > MAX_MARGIN / MARGIN * new.margin
        for problem, mine in zip(problems, rows, strict=True)
        for old, new in zip(problem.shape_rows, mine, strict=False)
    )
    return rows if added or loose else None


def _between_contacts(found: Examined, duals: Mapping[str, Array]) -> Array:
    """The lowest points of what is not proven; in place of one between two points that the fit rests on, their mean,
    weighted by their duals, where the shape fails there, too.

    Two rows near to each other act as one in between, at that mean but for the square of their distance. The lowest
    point between them is near the middle, and exchange by it would halve their distance in each round.
    """
    x = found.bottoms()
    rows = next((one for one in found.problem.shape_rows if one.shape == found.shape), None)
    if rows is None:
        return x
    order, points = np.argsort(rows.points), np.array(rows.points)
    force = np.abs(duals[rows.label])[order]
    holds = force > NEGLIGIBLE_FORCE * force.max(initial=0.0)
    points, force = points[order][holds], force[holds]
    if len(points) < 2:
        return x
    after = np.clip(np.searchsorted(points, x), 1, len(points) - 1)
    (left, pull), (right, push) = ((points[k], force[k]) for k in (after - 1, after))
    mean = left + (right - left) * push / (pull + push)
    return np.where((left < x) & (x < right) & found.fails(mean), mean, x)


def _new(old: Sequence[float], lowest: Sequence[Array], ends: tuple[float, float]) -> list[float]:
    """The points that are not there yet."""
    kept = np.array(old)
    fresh: list[float] = []
    for x in np.unique(np.concatenate([np.empty(0), *lowest])).tolist():
        if np.abs(np.append(kept, fresh) - x).min(initial=np.inf) > NEAREST_POINTS * (ends[1] - ends[0]):
            fresh.append(x)
    return fresh


def _margin(problem: Problem, shape: Shape, w: Array) -> float:
    """What rows at points ask for beyond the shape: a share of the mean f^(order) over the range, or of the range of f
    at the data."""
    design, order, (low, high) = problem.design, shape.derivative, range_of(problem, shape)
    assert design.reduced is not None
    least = LEAST_MARGIN * (float(np.ptp(problem.data.active_residual_targets)) or 1.0) / (high - low) ** order
    if order == 0:
        values = design.matrix[: len(design.base_x)] @ w
    else:
        ends = design.reduced.evaluate(np.array([[low], [high]]), VALUE if order == 1 else 0)
        values = ends @ w[: ends.shape[1]] / (high - low)
    size = float(np.ptp(values)) if np.isfinite(values).all() else 0.0
    room = min((abs(one - other) for (_, one), (_, other) in itertools.combinations(shape.sides, 2)), default=math.inf)
    return min(max(MARGIN * size, least), MAX_MARGIN * room)
