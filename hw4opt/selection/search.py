"""Which settings to try: a log grid, seeded random points, or `zoom`, a coarse grid refined around its best."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.errors import InputError
from hw4opt.selection.ranges import log_grid

Setting = dict[str, float]
COARSE = {1: 13, 2: 7, 3: 5}  # points an axis of the first grid, by number of axes
MOST_FITS = 20_000
ENOUGH = 0.02  # of the standard error: a refinement that gains less is the last


@dataclass(frozen=True)
class Axis:
    """One hyper-parameter's range, with the number of points if the user named it."""

    name: str
    low: float
    high: float
    count: int | None = None

    def grid(self, default: int) -> list[float]:
        return log_grid(self.low, self.high, self.count or default).tolist()


@dataclass(frozen=True)
class Tried:
    """A setting with its score and standard error."""

    setting: Setting
    score: float
    standard_error: float


def parse_search(text: str) -> tuple[str, int]:
    """('zoom' | 'grid' | 'random', N); raises `InputError`."""
    name, _, number = text.partition(":")
    if name in ("zoom", "grid") and not number:
        return name, 0
    if name == "random" and number.isdecimal() and int(number) > 0:
        _check_most(int(number), "random:N has", "a smaller N")
        return name, int(number)
    raise InputError(f"search is {text!r}; there are zoom, grid and random:N")


def _check_most(settings: int, what: str, give: str) -> None:
    if settings > MOST_FITS:
        raise InputError(f"{what} {settings:,} settings; a search takes {MOST_FITS:,} at most: give {give}")


def rounds(search: str, axes: Sequence[Axis], folds: int, seed: int, best: Callable[[], Tried]) -> Iterator[list[Setting]]:
    """Lists of settings to try next; `best` gives the best one so far."""
    kind, number = parse_search(search)
    if not axes:
        yield [{}]
        return
    if kind == "random":
        rng = np.random.default_rng(seed)
        logs = rng.uniform(np.log([axis.low for axis in axes]), np.log([axis.high for axis in axes]), (number, len(axes)))
        yield [dict(zip([axis.name for axis in axes], row, strict=True)) for row in np.exp(logs).tolist()]
        return
    coarse = COARSE.get(len(axes), 4)
    settings = int(np.prod([float(axis.count or (coarse if kind == "zoom" else 10)) for axis in axes]))
    _check_most(settings, "the grid has", "smaller counts, or random:N")
    grids = {axis.name: axis.grid(coarse if kind == "zoom" else 10) for axis in axes}
    yield _product(grids)
    if kind == "zoom":
        spent = int(np.prod([len(grid) for grid in grids.values()])) * folds
        yield from _zoom(axes, grids, folds, spent, best)


def _product(grids: Mapping[str, Sequence[float]]) -> list[Setting]:
    return [dict(zip(grids, values, strict=True)) for values in itertools.product(*grids.values())]


def _zoom(
    axes: Sequence[Axis], grids: Mapping[str, list[float]], folds: int, spent: int, best: Callable[[], Tried]
) -> Iterator[list[Setting]]:
    factor = {name: (grid[-1] / grid[0]) ** (1 / max(len(grid) - 1, 1)) for name, grid in grids.items()}
    last = best()
    while spent + 3 ** len(axes) * folds <= MOST_FITS:
        factor = {name: float(np.sqrt(step)) for name, step in factor.items()}
        if max(factor.values()) < 1.02:
            return
        around = {
            axis.name: sorted({min(max(last.setting[axis.name] * factor[axis.name] ** k, axis.low), axis.high) for k in (-1, 0, 1)})
            for axis in axes
        }
        settings = [setting for setting in _product(around) if setting != last.setting]
        if not settings:
            return
        yield settings
        spent += len(settings) * folds
        now = best()
        if last.score - now.score < ENOUGH * now.standard_error and max(factor.values()) < 1.5:
            return
        last = now
