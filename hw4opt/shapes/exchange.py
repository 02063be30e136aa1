"""Shape constraints at every x by an exchange method for semi-infinite programs: solve with the shape imposed at
finitely many points, find the points where the fit violates it, add them, and repeat until the shape is proven.
(Hettich and Kortanek 1993, §7.)"""

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
from hw4opt.shapes.function import RequiredShape, shapes_of
from hw4opt.shapes.proof import Examined, examine, violations
from hw4opt.terms import ShapeRows
from hw4opt.terms.base import Array

MAX_ROUNDS, MAX_ROUNDS_ALLOWED = 30, 6  # rounds of exchange; if violations are allowed
EARLY_ROUNDS = 3  # rounds after which the margin grows
MARGIN_PER_VIOLATION, MARGIN_GROWTH = 2.0, 8.0  # a late margin, in last violations; its largest growth per round
MAX_MARGIN = 1e-2  # largest margin, relative to the larger of the two sizes of f, f' or f'' (`sizes`)
MAX_SHAPE_POINTS, MAX_NEW_DIPS = 600, 40  # points of all shapes; new dips of one shape per round
DIP_SHARES = np.arange(-4, 5) / 4  # positions of the points over a dip, in its half widths
DIP_SHARES.setflags(write=False)
FEW_DIPS = 16  # for more dips only their minima are added: the constraint is active on intervals
NEGLIGIBLE_DUAL = 1e-6  # of the largest dual: up to here a point is inactive
MAX_DIP_WIDTH = 0.25  # largest half width of a dip, of the kernel's length or the range
MARGIN = 5e-7  # by which rows at points exceed the shape, relative to the mean size of f, f' or f''
MAX_MARGIN_SHARE = 1e-3  # largest margin, relative to the distance between two bounds
MIN_MARGIN = 1e-9  # smallest margin, relative to the size of a function with the range of the targets
MIN_POINT_DISTANCE = 1e-10  # of the range: points at most so far apart are merged


class ShapedFit(Protocol):
    """A fit: its problem with the rows at points, w (r,), NaN without an answer, and duals by label."""

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
    """The problems of a batch with rows at points for which the fits of `solve` show no violation, without proof; and
    the number of rounds.

    deadline    in `time.perf_counter`: no round begins after it
    allowed     violation that is tolerated, relative to the mean size of f, f' or f''
    enough      violation, in the same units, up to which the rows added are the last
    is_thinned  whether inactive points are dropped; folds keep the points of the full fit

    Raises `InputError` if the shapes of the batch are imposed on different ranges.
    """
    problems, max_rounds = list(problems), MAX_ROUNDS_ALLOWED if allowed else MAX_ROUNDS
    _check_ranges(problems)
    for number in range(max_rounds):
        fits = list(solve(problems))
        examined = [_examinations(one, violations, allowed) for one in fits]
        rows = _next_rows(problems, fits, examined, number >= EARLY_ROUNDS, is_thinned)
        if rows is None or number == max_rounds - 1:
            return problems, number
        problems = with_shape_rows(problems, rows)
        worst = (one.worst / max(one.sizes) for mine in examined for one in mine)
        if max(worst, default=0.0) <= enough or time.perf_counter() >= deadline:
            return problems, number + 1
    raise AssertionError("the last round returns")


def exchange(
    problems: Sequence[Problem],
    solve: Callable[[Sequence[Problem]], Sequence[F]],
    deadline: float = math.inf,
    rounds_done: int = 0,
) -> tuple[list[F], list[list[Examined]]]:
    """The fits of the last round, and the examination of each of their shapes (none for a fit that is not finite).

    problems    a batch, which shares the points
    solve       fits of the batch, in order
    deadline    in `time.perf_counter`: no round begins after it
    rounds_done number of earlier rounds
    """
    problems = list(problems)
    while True:
        fits = list(solve(problems))
        examined = [_examinations(one, examine) for one in fits]
        rows = _next_rows(problems, fits, examined, rounds_done >= EARLY_ROUNDS, is_thinned=True)
        rounds_done += 1
        if rows is None or rounds_done >= MAX_ROUNDS or time.perf_counter() >= deadline:
            return fits, examined
        problems = with_shape_rows(problems, rows)


def _check_ranges(problems: Sequence[Problem]) -> None:
    """Raise `InputError` if the shapes of the batch are imposed on different ranges, since they share the points."""
    for number, problem in enumerate(problems):
        ranges = [[required.shape.everywhere for required in shapes_of(one)] for one in (problem, problems[0])]
        if ranges[0] != ranges[1]:
            raise InputError(
                f"problem {number} of the batch has its shapes on another range than the first; a batch shares it"
            )


def _examinations(
    fit: ShapedFit, look: Callable[[RequiredShape, Array, float], Examined], allowed: float = 0.0
) -> list[Examined]:
    if not np.isfinite(fit.w).all():
        return []
    return [
        look(required, fit.w, allowed * max(required.sizes(fit.w)) if allowed else 0.0)
        for required in shapes_of(fit.problem)
    ]


def _next_rows(
    problems: Sequence[Problem],
    fits: Sequence[ShapedFit],
    examined: Sequence[Sequence[Examined]],
    is_late: bool,
    is_thinned: bool,
) -> list[list[ShapeRows]] | None:
    """The rows of each problem for the next round; None if there is nothing to add.

    If a constraint is active on whole intervals, as with Matérn kernels, points with the exact shape converge too
    slowly: between two of them the violation decreases as the square or cube of their distance. So the rows have a
    margin, which grows in late rounds.
    """
    shapes = shapes_of(problems[0])
    known = [() if required.rows is None else required.rows.points for required in shapes]
    held = [
        _active_points(required.rows, fits) if is_thinned and required.rows is not None else old
        for required, old in zip(shapes, known, strict=True)
    ]
    failing = [[found[place] for found in examined if found and not found[place].holds] for place in range(len(shapes))]
    room, count = MAX_SHAPE_POINTS - sum(map(len, held)), sum(map(len, failing))
    if not count or room < count:
        return None
    fresh = [
        _new_points(old, [_points_over_dips(found, room // count) for found in of_shape], required.range)
        for old, of_shape, required in zip(held, failing, shapes, strict=True)
    ]
    if all(set(new) <= set(old) for new, old in zip(fresh, known, strict=True)):
        return None
    points = [(*old, *new) for old, new in zip(held, fresh, strict=True)]
    return [
        [
            ShapeRows(one.required.constraint, own, _margin(one, is_late))
            for own, one in zip(points, found, strict=True)
            if own
        ]
        if found
        else list(problem.shape_rows)
        for problem, found in zip(problems, examined, strict=True)
    ]


def _active_points(rows: ShapeRows, fits: Sequence[ShapedFit]) -> tuple[float, ...]:
    """The active points, whose dual is not negligible in some fit of the batch (all points if there are none): without
    the others the fits are the same."""
    forces = np.abs([fit.duals[rows.label] for fit in fits])
    held = (forces > NEGLIGIBLE_DUAL * forces.max(axis=1, keepdims=True)).any(axis=0)
    return tuple(np.array(rows.points)[held].tolist()) if held.any() else rows.points


def _points_over_dips(found: Examined, most: int) -> Array:
    """At most `most` new points at the dips (local minima of g where it is not proven), the deepest first: the minimum
    of each dip, and points over its width on both sides if there is room for them at every dip.

    The next fit usually touches 0 within the dip, but not at its present minimum; points over the whole width leave a
    violation that is quadratic in their distance, and so reduce it more in one round than the minimum alone.
    """
    x, width = found.dips(min(MAX_NEW_DIPS, most))
    low, high = found.required.range
    width = np.minimum(width, MAX_DIP_WIDTH * min(found.required.kernel.length, high - low))
    is_smooth = not isinstance(found.required.kernel, Decaying)
    shares = DIP_SHARES if is_smooth and len(x) <= min(FEW_DIPS, most // len(DIP_SHARES)) else np.zeros(1)
    return np.clip(x + shares[:, None] * width, low, high).ravel()


def _new_points(old: Sequence[float], lowest: Sequence[Array], ends: tuple[float, float]) -> list[float]:
    """The points of `lowest` that are not yet among `old`, merged within MIN_POINT_DISTANCE of the range `ends`."""
    least = MIN_POINT_DISTANCE * (ends[1] - ends[0])
    fresh, known = np.unique(np.concatenate([np.empty(0), *lowest])), np.array([-np.inf, *sorted(old), np.inf])
    fresh = fresh[np.append(True, np.diff(fresh) > least)] if len(fresh) else fresh
    after = np.searchsorted(known, fresh)
    return fresh[np.minimum(fresh - known[after - 1], known[after] - fresh) > least].tolist()


def _margin(found: Examined, is_late: bool) -> float:
    """The margin by which rows at points exceed the shape: relative to the sizes of f^(order) (`RequiredShape.sizes`);
    in late rounds a multiple of the worst violation, up to MARGIN_GROWTH times the last margin."""
    (size, of_targets), required = found.sizes, found.required
    first = max(MARGIN * size, MIN_MARGIN * of_targets)
    worst = found.worst if is_late else 0.0
    last = max(first, required.rows.margin if worst and required.rows is not None else 0.0)
    late = min(np.clip(MARGIN_PER_VIOLATION * worst, last, MARGIN_GROWTH * last), MAX_MARGIN * max(size, of_targets))
    room = min(
        (abs(one - other) for (_, one), (_, other) in itertools.combinations(required.shape.sides, 2)), default=math.inf
    )
    return float(min(max(first, late), MAX_MARGIN_SHARE * room))
