"""The folds of a search: as given, or chosen by `auto` for the time that they take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, shown
from hw4opt.kernels import Precomputed
from hw4opt.problem import Data, Problem
from hw4opt.selection.axes import Axis, Setting
from hw4opt.selection.folds import Folds, fold_labels, k_fold, labels_of, leave_one_out, leave_x_out, shared
from hw4opt.selection.held_out import score_settings
from hw4opt.selection.loo.layout import Layouts
from hw4opt.selection.notes import on_twins
from hw4opt.selection.ranges import is_gamma
from hw4opt.selection.search import most_settings, rounds
from hw4opt.validation.arguments import whole_of
from hw4opt.validation.arrays import group_numbers

AUTO_SECONDS = 60.0  # predicted seconds up to which `auto` takes exact LOO
SEARCH_TO_FIRST_ROUND = 1.3  # ratio of a search's fits to those of its first round
TIMED_ROWS_LIMIT = 20_000  # rows up to which folds are timed
FOLDS_TIMED = 6, 24, 96  # the last only if the time of folds was small compared with that before all folds
GAMMAS_TIMED, OTHERS_TIMED = (1 / 6, 1 / 2, 5 / 6), (1 / 4, 3 / 4)  # shares of (logarithmic) ranges
TWIN_SHARE = 1 / 3  # share of rows that share their x, above which `auto` leaves equal x out together
MIN_DISTINCT_X = 5  # distinct x that this needs
SUBSET_ROWS = 2_000  # rows of the search on a subset, if 10-fold on all is predicted to take too long


@dataclass(frozen=True)
class FoldPlan:
    """The folds of a search.

    rows     the subset that the search uses if the data are too large, else None
    label    the method, as in `Selection`
    units    (rows,) labels of rows that are held out as one unit, None if every row is a unit
    notes    sentences for the user
    """

    rows: np.ndarray | None
    label: str
    folds: Folds
    units: np.ndarray | None
    notes: list[str]


def plan(
    problem: Problem,
    axes: Sequence[Axis],
    method: str | Sequence[np.ndarray],
    order: str,
    search: str,
    groups: ArrayLike | None,
    seed: int,
) -> FoldPlan:
    """The folds for a method, order of folds and search; raises `InputError` for settings that exclude each other."""
    size = len(problem.y) if problem.active is None else len(problem.active)
    if not isinstance(method, str):
        if groups is not None:
            raise InputError("groups and given folds both state which rows are held out together; give one of them")
        return _given(problem, method)
    labels = (
        None
        if groups is None
        else group_numbers("groups", groups, len(problem.y))[slice(None) if problem.active is None else problem.active]
    )
    kind, _, number = method.partition(":")
    if method in ("loo", "loo:x") and labels is not None:
        said = "leave-one-out holds out one row (or x) at a time, not a group"
        raise InputError(f"{said}; give select kfold:K with groups")
    if method == "loo":
        return FoldPlan(None, "loo", leave_one_out(size), None, _on_twins(problem, labels))
    if method == "loo:x":
        return FoldPlan(None, method, leave_x_out(problem.active_x), labels_of(problem.active_x), [])
    if kind == "kfold" and (count := whole_of(number)) is not None:
        chosen = k_fold(size, count, order=order, groups=labels, seed=seed)
        return FoldPlan(None, method, chosen, labels, _on_twins(problem, labels))
    if method != "auto":
        raise InputError(f"select is {shown(method)}; there are auto, loo, loo:x, kfold:K and none")
    if labels is not None:
        return FoldPlan(None, *_ten(size, order, labels, seed), labels, [])
    return _automatic(problem, axes, order, search, seed)


def _given(problem: Problem, folds: Sequence[np.ndarray]) -> FoldPlan:
    """The user's folds, without the rows of weight 0; the rows of a fold are a unit."""
    labels = fold_labels(folds, len(problem.y))
    labels = labels if problem.active is None else labels[problem.active]
    chosen = [rows for fold in range(len(folds)) if len(rows := np.flatnonzero(labels == fold))]
    if len(chosen) < 2:
        raise InputError("only one fold has rows with a weight above 0; give two or more")
    return FoldPlan(None, f"folds:{len(folds)}", chosen, labels, [])


def all_rows(problem: Problem, searched: FoldPlan, order: str, seed: int) -> FoldPlan:
    """10 folds of all rows, after a search on a subset of them."""
    units = None if searched.units is None else labels_of(problem.active_x)
    return FoldPlan(None, *_ten(len(problem.active_x), order, units, seed), units, [])


def _automatic(problem: Problem, axes: Sequence[Axis], order: str, search: str, seed: int) -> FoldPlan:
    size = len(problem.active_x)
    settings = most_settings(search, axes) or sum(len(part) for part in _first_round(search, axes, seed))
    units, label, notes = _repeats(problem)
    exact = leave_one_out(size) if units is None else leave_x_out(problem.active_x)
    if size <= TIMED_ROWS_LIMIT:
        fixed, each = _cost(problem, axes, exact)
        seconds = SEARCH_TO_FIRST_ROUND * settings * (fixed + each * len(exact))
        if seconds <= AUTO_SECONDS:
            return FoldPlan(None, label, exact, units, notes)
        if size <= SUBSET_ROWS or SEARCH_TO_FIRST_ROUND * settings * 10 * (fixed + each) <= AUTO_SECONDS:
            note = f"10-fold: exact leave-one-out was predicted to take {seconds:.0f} s"
            return FoldPlan(None, *_ten(size, order, units, seed), units, [*notes, note])
    rows = np.sort(np.random.default_rng(seed).choice(size, min(SUBSET_ROWS, size), replace=False))
    units = None if units is None else units[rows]
    said = f"hyper-parameters were chosen by 10-fold on {len(rows)} of {size} rows (seed {seed})"
    note = f"{said}, their weights scaled to the full data"
    chosen = _ten(len(rows), order, units, seed)
    return FoldPlan(rows if problem.active is None else problem.active[rows], *chosen, units, [*notes, note])


def _repeats(problem: Problem) -> tuple[np.ndarray | None, str, list[str]]:
    """Labels of equal x, method and note if `auto` leaves equal x out together: one column, many rows sharing x."""
    if problem.kernel is None or problem.x.shape[1] != 1:
        return None, "loo", []
    labels = labels_of(problem.active_x[:, 0])
    count = shared(labels)
    if count <= TWIN_SHARE * len(labels) or labels.max() + 1 < MIN_DISTINCT_X:
        return None, "loo", []
    note = f"{count} of {len(labels)} rows share their x with another row: equal x are left out together (select loo:x)"
    return labels, "loo:x", [note]


def _on_twins(problem: Problem, labels: np.ndarray | None) -> list[str]:
    """A note on folds of single rows if a kernel design has rows of equal x; none with groups."""
    if problem.kernel is None or labels is not None:
        return []
    return on_twins(problem.active_x, "rows", "select loo:x leaves equal x out together")


def _ten(size: int, order: str, labels: np.ndarray | None, seed: int) -> tuple[str, Folds]:
    count = min(10, size if labels is None else len(np.unique(labels)))
    return f"kfold:{count}", k_fold(size, count, order=order, groups=labels, seed=seed)


def _first_round(search: str, axes: Sequence[Axis], seed: int) -> list[list[Setting]]:
    return [next(rounds(search, axes, 1, seed, tuple))]


def _cost(problem: Problem, axes: Sequence[Axis], folds: Folds) -> tuple[float, float]:
    """Seconds of a setting before its folds, and of a fold: measured with few folds and with more, at three gammas over
    their range, with two settings over the other ranges together."""
    places = (np.unique(np.linspace(0, len(folds) - 1, count).astype(int)) for count in FOLDS_TIMED)
    few, *more = (Layouts([folds[place] for place in some]) for some in places)
    fixed, each = 0.0, 0.0
    for gamma in GAMMAS_TIMED:
        settings = [_between(problem, axes, gamma, share) for share in OTHERS_TIMED]
        distinct = [one for place, one in enumerate(settings) if one not in settings[:place]]
        tried = [problem.with_hyperparameters(one) for one in distinct]
        _ = tried[0].design.matrix
        for one in tried[1:]:
            one.share_design(tried[0].design)
        short, rate = _seconds(tried, few) / len(tried), 0.0
        for layouts in more:
            long = _seconds(tried, layouts) / len(tried)
            rate = max(long - short, 0.0) / max(len(layouts.folds) - len(few.folds), 1)
            if long > 2 * short:
                break
        each += rate / len(GAMMAS_TIMED)
        fixed += max(short - rate * len(few.folds), 0.0) / len(GAMMAS_TIMED)
    return fixed, each


def _between(problem: Problem, axes: Sequence[Axis], gamma: float, others: float) -> Setting:
    """The setting at these shares of the (logarithmic) ranges."""
    shares = {axis.name: gamma if is_gamma(problem, axis.name) else others for axis in axes}
    return {axis.name: float(axis.low ** (1 - shares[axis.name]) * axis.high ** shares[axis.name]) for axis in axes}


def _seconds(problems: Sequence[Problem], layouts: Layouts) -> float:
    """The seconds of settings, without laying out the rows of the folds, which all settings share: wall time or, if the
    machine is busy, processor time."""
    for _ in layouts.of(problems[0]):
        pass
    clock, processor = time.perf_counter(), time.process_time()
    score_settings(problems, layouts.folds, layouts=layouts)
    return min(time.perf_counter() - clock, time.process_time() - processor)


def subset(problem: Problem, rows: np.ndarray) -> Problem:
    """The problem on some of its rows, their weights scaled to the total of all."""
    size = len(problem.y) if problem.active is None else len(problem.active)
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    offset = None if problem.offset is None else problem.offset[rows]
    x = problem.x[np.ix_(rows, rows)] if isinstance(problem.kernel, Precomputed) else problem.x[rows]
    weights = weights[rows] * (size / len(rows))
    return problem.model.on(Data(x, problem.y[rows], weights, offset, problem.data.names))
