"""Which settings to try: a log grid, seeded random points, or `zoom`, a coarse grid refined around its best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hw4opt.errors import InputError, shown
from hw4opt.problem.hyperparameters import GAMMA
from hw4opt.selection.axes import Axis, Setting, lowest, product
from hw4opt.selection.ranges import log_grid
from hw4opt.selection.refine import (
    CHEAP_FIT_PATIENCE,
    JOINT_PATIENCE,
    POLISH_SETTINGS,
    History,
    beyond,
    coordinate_zoom,
    local_minima,
    polish,
    zoom,
)
from hw4opt.validation.arguments import whole_of

DENSE_GAMMA_POINTS = 25  # points of gamma in a dense first grid; other axes have as many as a single axis
FIRST_GRID_POINTS = {1: 13, 2: 7, 3: 5}  # points per axis of the first grid, by number of axes
MOST_GRID_AXES = 3  # axes that a zoom takes together, from a grid; more are zoomed one after the other
START_POINTS = {1: 4, 2: 4, 3: 3}  # points per kind of hyper-parameters from which that may start, by number of kinds
MOST_KINDS_POINTS = 2  # and for more kinds
SETTINGS_PER_AXIS = 24  # the largest number for a zoom of one axis after the other
AXIS_POINTS = 10  # points per axis of `grid` without a count
MOST_FITS = 20_000


def parse_search(text: str) -> tuple[str, int]:
    """('zoom' | 'grid' | 'random', N); raises `InputError`."""
    name, _, number = text.partition(":")
    if name in ("zoom", "grid") and not number:
        return name, 0
    if name == "random" and (count := whole_of(number)):
        _check_most(count, "random:N has", "a smaller N")
        return name, count
    raise InputError(f"search is {shown(text)}; there are zoom, grid and random:N")


def _check_most(settings: int, what: str, give: str) -> None:
    if settings > MOST_FITS:
        raise InputError(f"{what} {settings:,} settings; a search takes {MOST_FITS:,} at most: give {give}")


def rounds(
    search: str, axes: Sequence[Axis], folds: int, seed: int, tried: History, dense: bool = False
) -> Iterator[list[Setting]]:
    """Lists of settings to try next; `tried` returns those tried so far.

    dense    for fits of negligible cost: a finer first grid, of which several local minima are refined
    """
    kind, number = parse_search(search)
    if not axes:
        yield [{}]
        return
    if kind == "random":
        yield _random(axes, number, seed)
        steps = {axis.name: (axis.high / axis.low) ** (1 / (AXIS_POINTS - 1)) for axis in axes}
        yield from beyond(axes, steps, tried, near=False)
        return
    if most := most_settings(search, axes):
        yield _common_starts(axes)
        steps = {axis.name: (axis.high / axis.low) ** (1 / _start_points(axes)) for axis in axes}
        ends = yield from coordinate_zoom(axes, steps, tried, most - JOINT_PATIENCE * POLISH_SETTINGS)
        yield from polish(axes, ends, tried, JOINT_PATIENCE)
        return
    dense = dense and kind == "zoom" and len(axes) <= 2
    counts = _counts(kind, axes, dense)
    grids = {axis.name: log_grid(axis.low, axis.high, count).tolist() for axis, count in zip(axes, counts, strict=True)}
    yield product(grids)
    steps = {name: (grid[-1] / grid[0]) ** (1 / max(len(grid) - 1, 1)) for name, grid in grids.items()}
    yield from beyond(axes, steps, tried, near=True)
    settings = MOST_FITS // folds - (0 if dense else len(tried()))
    if kind == "zoom" and settings >= 3 ** len(axes):
        yield from _refined(axes, steps, tried, settings, dense)


def most_settings(search: str, axes: Sequence[Axis]) -> int:
    """The largest number of settings of a zoom of one axis after the other; 0 for other searches."""
    if search != "zoom" or len(axes) <= MOST_GRID_AXES:
        return 0
    starts = _start_points(axes) ** len(set(_kinds(axes).values()))
    return starts + SETTINGS_PER_AXIS * len(axes) + JOINT_PATIENCE * POLISH_SETTINGS


def _kinds(axes: Sequence[Axis]) -> dict[str, str]:
    """The kind of each hyper-parameter: gamma, ridge, or the weight of some term."""
    return {axis.name: (axis.key.parameter or str(axis.key.owner)).partition(".")[0] for axis in axes}


def _start_points(axes: Sequence[Axis]) -> int:
    return START_POINTS.get(len(set(_kinds(axes).values())), MOST_KINDS_POINTS)


def _common_starts(axes: Sequence[Axis]) -> list[Setting]:
    """A grid over kinds: all hyper-parameters of a kind are at the same relative position in their ranges."""
    kinds, points = _kinds(axes), _start_points(axes)
    shares = (np.arange(points) + 0.5) / points
    every = product({kind: shares.tolist() for kind in dict.fromkeys(kinds.values())})
    return [{axis.name: axis.low * (axis.high / axis.low) ** one[kinds[axis.name]] for axis in axes} for one in every]


def _refined(
    axes: Sequence[Axis], steps: Mapping[str, float], tried: History, settings: int, dense: bool
) -> Iterator[list[Setting]]:
    ends = steps
    for start in local_minima(axes, tried(), steps) if dense else [lowest(tried())]:
        before = lowest(tried())
        last = yield from zoom(axes, steps, start, settings, tried)
        ends = last if start is before or lowest(tried()) is not before else ends
    yield from polish(axes, ends, tried, CHEAP_FIT_PATIENCE if dense else 1)


def _random(axes: Sequence[Axis], number: int, seed: int) -> list[Setting]:
    rng = np.random.default_rng(seed)
    logs = rng.uniform(np.log([axis.low for axis in axes]), np.log([axis.high for axis in axes]), (number, len(axes)))
    return [dict(zip([axis.name for axis in axes], row, strict=True)) for row in np.exp(logs).tolist()]


def _counts(kind: str, axes: Sequence[Axis], dense: bool) -> list[int]:
    default = FIRST_GRID_POINTS.get(len(axes), 4) if kind == "zoom" else AXIS_POINTS
    if dense:
        counts = [axis.points(DENSE_GAMMA_POINTS if axis.name == GAMMA else FIRST_GRID_POINTS[1]) for axis in axes]
    else:
        counts = [axis.points(default) for axis in axes]
    _check_most(int(np.prod([float(count) for count in counts])), "the grid has", "smaller counts, or random:N")
    return counts
