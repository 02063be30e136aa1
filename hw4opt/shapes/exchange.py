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
from hw4opt.shapes.function import AskedShape, shapes_of
from hw4opt.shapes.proof import Examined, examine, violations
from hw4opt.terms import ShapeRows
from hw4opt.terms.base import Array

MAX_ROUNDS, MAX_ROUNDS_ALLOWED = 30, 6  # of exchange, and where violations are allowed
CALM_ROUNDS, CALM_POINTS = 10, 60  # of one shape, beyond which the margin grows
OVER_VIOLATION, MARGIN_GROWTH = 2.0, 8.0  # to so many times the last violation, and by no more than that in a round
LAST_MARGIN = 1e-2  # of the size of f, f' or f'', or of a function that changes over the range as the targets do
MAX_SHAPE_POINTS, MAX_NEW_POINTS = 400, 40  # of one shape, and in a round
MARGIN = 5e-7  # of the mean size of f, f' or f'': what rows at points ask for beyond the shape
MAX_SHARE = 1e-3  # of the room between two bounds: the same
LEAST_MARGIN = 1e-9  # the same, of a function that changes over the range as much as the targets do
NEGLIGIBLE_FORCE = 1e-4  # of the largest dual: a point that the fit does not rest on
NEAREST_POINTS = 1e-10  # of the range: points nearer to each other are one


class ShapedFit(Protocol):
    """A problem, the rows at points included, its answer w (r,), NaN where there is none, and duals by label."""

    @property
    def problem(self) -> Problem: ...

    @property
    def w(self) -> Array: ...

    @property
    def duals(self) -> Mapping[str, Array]: ...


F = TypeVar("F", bound=ShapedFit)


def exchange(
    problems: Sequence[Problem],
    solve: Callable[[Sequence[Problem]], Sequence[F]],
    deadline: float = math.inf,
    allowed: float = 0.0,
    known: Sequence[Sequence[Examined]] = (),
) -> tuple[list[F], list[list[Examined]]]:
    """The fits of the last round, and what is known of each of their shapes (nothing of a fit without numbers).

    problems    of a batch: they share the points
    solve       their fits, in order
    deadline    by `time.perf_counter`, after which no further round begins
    allowed     a violation that is left alone, as a share of the mean size of f, f' or f''
    known       what was found of other fits, which hold for equal ones
    """
    problems = list(problems)
    _check_ranges(problems)
    rounds = MAX_ROUNDS_ALLOWED if allowed else MAX_ROUNDS
    for number in range(rounds):
        fits = list(solve(problems))
        examined = [_known(one, known) or _failing(one, allowed) or _examined(one, allowed) for one in fits]
        rows = _next_rows(problems, fits, examined, is_late=number >= CALM_ROUNDS)
        if rows is None or number == rounds - 1 or time.perf_counter() >= deadline:
            return fits, [
                mine if all(found.is_proof for found in mine) else _examined(one, allowed)
                for one, mine in zip(fits, examined, strict=True)
            ]
        problems = with_shape_rows(problems, rows)
    raise AssertionError("the last round returns")


def _check_ranges(problems: Sequence[Problem]) -> None:
    """Raise `InputError` for a batch whose shapes are to hold on different ranges: they share the points."""
    for number, problem in enumerate(problems):
        ranges = [[asked.shape.everywhere for asked in shapes_of(one)] for one in (problem, problems[0])]
        if ranges[0] != ranges[1]:
            raise InputError(
                f"problem {number} of the batch has its shapes on another range than the first; a batch shares it"
            )


def _known(fit: ShapedFit, known: Sequence[Sequence[Examined]]) -> list[Examined]:
    """What is known of a fit of the same problem at the same w; nothing, where that is not known."""
    same = (one for one in known if one and one[0].asked.problem is fit.problem and np.array_equal(one[0].w, fit.w))
    return list(next(same, ()))


def _failing(fit: ShapedFit, allowed: float) -> list[Examined]:
    """What is easily seen of a fit that fails; nothing where it does not seem to."""
    found = _looked_at(fit, allowed, violations)
    return [] if all(one.holds for one in found) else found


def _examined(fit: ShapedFit, allowed: float) -> list[Examined]:
    return _looked_at(fit, allowed, examine)


def _looked_at(fit: ShapedFit, allowed: float, look: Callable[[AskedShape, Array, float], Examined]) -> list[Examined]:
    if not np.isfinite(fit.w).all():
        return []
    return [
        look(asked, fit.w, allowed * max(_sizes(asked, fit.w)) if allowed else 0.0) for asked in shapes_of(fit.problem)
    ]


def _next_rows(
    problems: Sequence[Problem], fits: Sequence[ShapedFit], examined: Sequence[Sequence[Examined]], is_late: bool
) -> list[list[ShapeRows]] | None:
    """The rows of each problem for the next round, None where there is nothing to add.

    Where a fit rests on whole intervals, as with Matérn kernels, points alone would take too long: between two of them
    the violation falls as the square or cube of their distance.
    """
    points: list[tuple[float, ...]] = []
    for place, asked in enumerate(shapes_of(problems[0])):
        old = () if asked.rows is None else asked.rows.points
        lowest = [
            _between_contacts(found[place], fit.duals)
            for fit, found in zip(fits, examined, strict=True)
            if found and not found[place].holds
        ]
        points.append((*old, *_new(old, lowest, asked.range)))
    many = is_late or max(map(len, points)) > CALM_POINTS
    rows = [
        [
            ShapeRows(asked.constraint, own, _margin(fit, asked, one.worst if many else 0.0))
            for asked, own, one in zip(shapes_of(problem), points, found, strict=True)
            if own
        ]
        if found
        else list(problem.shape_rows)
        for problem, fit, found in zip(problems, fits, examined, strict=True)
    ]
    if any(len(mine) > MAX_SHAPE_POINTS for mine in points):
        return None
    added = sum(map(len, points)) > sum(len(one.points) for one in problems[0].shape_rows)
    return rows if added else None


def _between_contacts(found: Examined, duals: Mapping[str, Array]) -> Array:
    """The lowest points of what is not proven; in place of one between two points that the fit rests on, their mean,
    weighted by their duals, where the shape fails there, too.

    Two rows near to each other act as one in between, at that mean but for the square of their distance. The lowest
    point between them is near the middle, and exchange by it would halve their distance in each round.
    """
    x = found.bottoms(MAX_NEW_POINTS)
    if (rows := found.asked.rows) is None:
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
    least = NEAREST_POINTS * (ends[1] - ends[0])
    fresh, known = np.unique(np.concatenate([np.empty(0), *lowest])), np.array([-np.inf, *sorted(old), np.inf])
    fresh = fresh[np.append(True, np.diff(fresh) > least)] if len(fresh) else fresh
    after = np.searchsorted(known, fresh)
    return fresh[np.minimum(fresh - known[after - 1], known[after] - fresh) > least].tolist()


def _margin(fit: ShapedFit, asked: AskedShape, worst: float) -> float:
    """What rows at points ask for beyond the shape: a share of the mean f^(order) over the range, or of the range of f
    at the data; up to several times the last one, where `worst`, the violation seen under that, is not 0."""
    size, of_targets = _sizes(asked, fit.w)
    first = max(MARGIN * size, LEAST_MARGIN * of_targets)
    last = max(first, asked.rows.margin if worst and asked.rows is not None else 0.0)
    late = min(np.clip(OVER_VIOLATION * worst, last, MARGIN_GROWTH * last), LAST_MARGIN * max(size, of_targets))
    room = min(
        (abs(one - other) for (_, one), (_, other) in itertools.combinations(asked.shape.sides, 2)), default=math.inf
    )
    return float(min(max(first, late), MAX_SHARE * room))


def _sizes(asked: AskedShape, w: Array) -> tuple[float, float]:
    """The mean f^(order) over the range, or the range of f at the data; and that of a function that changes over the
    range as the targets do."""
    design, order, (low, high) = asked.design, asked.shape.derivative, asked.range
    assert design.reduced is not None
    if order == 0:
        values = design.matrix[: len(design.base_x)] @ w
    else:
        ends = design.reduced.evaluate(np.array([[low], [high]]), VALUE if order == 1 else 0)
        values = ends @ asked.factors(w) / (high - low)
    of_targets = (float(np.ptp(asked.problem.data.active_residual_targets)) or 1.0) / (high - low) ** order
    return float(np.ptp(values)), of_targets
