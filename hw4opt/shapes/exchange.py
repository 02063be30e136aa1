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
from hw4opt.kernels import Decaying
from hw4opt.problem import Problem, with_shape_rows
from hw4opt.shapes.function import AskedShape, shapes_of
from hw4opt.shapes.proof import Examined, examine, violations
from hw4opt.terms import ShapeRows
from hw4opt.terms.base import Array

MAX_ROUNDS, MAX_ROUNDS_ALLOWED = 30, 6  # of exchange, and where violations are allowed
CALM_ROUNDS = 3  # beyond which the margin grows
OVER_VIOLATION, MARGIN_GROWTH = 2.0, 8.0  # to so many times the last violation, and by no more than that in a round
LAST_MARGIN = 1e-2  # of the size of f, f' or f'', or of a function that changes over the range as the targets do
MAX_SHAPE_POINTS, MAX_NEW_DIPS = 600, 40  # of all shapes, and of one in a round
DIP_SHARES = np.arange(-4, 5) / 4  # of its half width: where points over a dip lie
DIP_SHARES.setflags(write=False)
FEW_DIPS = 16  # of more the lowest points alone are taken: such a fit rests on intervals
NEGLIGIBLE_FORCE = 1e-6  # of the largest dual: that of a point that the fit does not rest on
WIDEST_DIP = 0.25  # its half width, of the kernel's length or the range
MARGIN = 5e-7  # of the mean size of f, f' or f'': what rows at points ask for beyond the shape
MAX_SHARE = 1e-3  # of the room between two bounds: the same
LEAST_MARGIN = 1e-9  # the same, of a function that changes over the range as much as the targets do
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


def find_points(
    problems: Sequence[Problem],
    solve: Callable[[Sequence[Problem]], Sequence[ShapedFit]],
    deadline: float = math.inf,
    allowed: float = 0.0,
    enough: float = 0.0,
    is_thinned: bool = False,
) -> tuple[list[Problem], int]:
    """The problems of a batch with rows at points at which the fits of `solve` seem to have their shapes, without a
    proof, and the rounds that took.

    deadline    by `time.perf_counter`, after which no further round begins
    allowed     a violation that is left alone, as a share of the mean size of f, f' or f''
    enough      the same: the rows that are asked for at violations below that are the last
    is_thinned  whether points go that the fits do not rest on: folds may, which keep those of the full fit
    """
    problems, most = list(problems), MAX_ROUNDS_ALLOWED if allowed else MAX_ROUNDS
    _check_ranges(problems)
    for number in range(most):
        fits = list(solve(problems))
        seen = [_looked_at(one, violations, allowed) for one in fits]
        rows = _next_rows(problems, fits, seen, number >= CALM_ROUNDS, is_thinned)
        if rows is None or number == most - 1:
            return problems, number
        problems = with_shape_rows(problems, rows)
        worst = (one.worst / max(one.sizes) for mine in seen for one in mine)
        if max(worst, default=0.0) <= enough or time.perf_counter() >= deadline:
            return problems, number + 1
    raise AssertionError("the last round returns")


def exchange(
    problems: Sequence[Problem],
    solve: Callable[[Sequence[Problem]], Sequence[F]],
    deadline: float = math.inf,
    taken: int = 0,
) -> tuple[list[F], list[list[Examined]]]:
    """The fits of the last round, and what is known of each of their shapes (nothing of a fit without numbers).

    problems    of a batch: they share the points
    solve       their fits, in order
    deadline    by `time.perf_counter`, after which no further round begins
    taken       rounds before these
    """
    problems = list(problems)
    while True:
        fits = list(solve(problems))
        examined = [_looked_at(one, examine) for one in fits]
        rows = _next_rows(problems, fits, examined, taken >= CALM_ROUNDS, is_thinned=True)
        taken += 1
        if rows is None or taken >= MAX_ROUNDS or time.perf_counter() >= deadline:
            return fits, examined
        problems = with_shape_rows(problems, rows)


def _check_ranges(problems: Sequence[Problem]) -> None:
    """Raise `InputError` for a batch whose shapes are to hold on different ranges: they share the points."""
    for number, problem in enumerate(problems):
        ranges = [[asked.shape.everywhere for asked in shapes_of(one)] for one in (problem, problems[0])]
        if ranges[0] != ranges[1]:
            raise InputError(
                f"problem {number} of the batch has its shapes on another range than the first; a batch shares it"
            )


def _looked_at(
    fit: ShapedFit, look: Callable[[AskedShape, Array, float], Examined], allowed: float = 0.0
) -> list[Examined]:
    if not np.isfinite(fit.w).all():
        return []
    return [
        look(asked, fit.w, allowed * max(asked.sizes(fit.w)) if allowed else 0.0) for asked in shapes_of(fit.problem)
    ]


def _next_rows(
    problems: Sequence[Problem],
    fits: Sequence[ShapedFit],
    examined: Sequence[Sequence[Examined]],
    is_late: bool,
    is_thinned: bool,
) -> list[list[ShapeRows]] | None:
    """The rows of each problem for the next round, None where there is nothing to add.

    Where a fit rests on whole intervals, as with Matérn kernels, points alone would take too long: between two of them
    the violation falls as the square or cube of their distance.
    """
    shapes = shapes_of(problems[0])
    known = [() if asked.rows is None else asked.rows.points for asked in shapes]
    held = [
        _rested_on(asked.rows, fits) if is_thinned and asked.rows is not None else old
        for asked, old in zip(shapes, known, strict=True)
    ]
    failing = [[found[place] for found in examined if found and not found[place].holds] for place in range(len(shapes))]
    room, count = MAX_SHAPE_POINTS - sum(map(len, held)), sum(map(len, failing))
    if not count or room < count:
        return None
    fresh = [
        _new(old, [_over_dips(found, room // count) for found in of_shape], asked.range)
        for old, of_shape, asked in zip(held, failing, shapes, strict=True)
    ]
    if all(set(new) <= set(old) for new, old in zip(fresh, known, strict=True)):
        return None
    points = [(*old, *new) for old, new in zip(held, fresh, strict=True)]
    return [
        [
            ShapeRows(one.asked.constraint, own, _margin(one, is_late))
            for own, one in zip(points, found, strict=True)
            if own
        ]
        if found
        else list(problem.shape_rows)
        for problem, found in zip(problems, examined, strict=True)
    ]


def _rested_on(rows: ShapeRows, fits: Sequence[ShapedFit]) -> tuple[float, ...]:
    """The points that a fit of the batch rests on, all where there is none: without the others it is the same."""
    forces = np.abs([fit.duals[rows.label] for fit in fits])
    held = (forces > NEGLIGIBLE_FORCE * forces.max(axis=1, keepdims=True)).any(axis=0)
    return tuple(np.array(rows.points)[held].tolist()) if held.any() else rows.points


def _over_dips(found: Examined, most: int) -> Array:
    """Points over dips where the shape is not proven, `most` in all, the deepest dips first: the lowest point of each,
    and others to both sides over its width where there is room for these over every dip.

    The next fit touches 0 within it, as a rule, and two rows near to each other act as one in between but for the
    square of their distance. So a round lowers violations more than lowest points alone would: these lie to one side.
    """
    x, width = found.dips(min(MAX_NEW_DIPS, most))
    low, high = found.asked.range
    width = np.minimum(width, WIDEST_DIP * min(found.asked.kernel.length, high - low))
    is_smooth = not isinstance(found.asked.kernel, Decaying)
    shares = DIP_SHARES if is_smooth and len(x) <= min(FEW_DIPS, most // len(DIP_SHARES)) else np.zeros(1)
    return np.clip(x + shares[:, None] * width, low, high).ravel()


def _new(old: Sequence[float], lowest: Sequence[Array], ends: tuple[float, float]) -> list[float]:
    """The points that are not there yet."""
    least = NEAREST_POINTS * (ends[1] - ends[0])
    fresh, known = np.unique(np.concatenate([np.empty(0), *lowest])), np.array([-np.inf, *sorted(old), np.inf])
    fresh = fresh[np.append(True, np.diff(fresh) > least)] if len(fresh) else fresh
    after = np.searchsorted(known, fresh)
    return fresh[np.minimum(fresh - known[after - 1], known[after] - fresh) > least].tolist()


def _margin(found: Examined, is_late: bool) -> float:
    """What rows at points ask for beyond the shape: a share of the mean f^(order) over the range, or of the range of f
    at the data; late, up to several times the last one, where the shape fails under that."""
    (size, of_targets), asked = found.sizes, found.asked
    first = max(MARGIN * size, LEAST_MARGIN * of_targets)
    worst = found.worst if is_late else 0.0
    last = max(first, asked.rows.margin if worst and asked.rows is not None else 0.0)
    late = min(np.clip(OVER_VIOLATION * worst, last, MARGIN_GROWTH * last), LAST_MARGIN * max(size, of_targets))
    room = min(
        (abs(one - other) for (_, one), (_, other) in itertools.combinations(asked.shape.sides, 2)), default=math.inf
    )
    return float(min(max(first, late), MAX_SHARE * room))
