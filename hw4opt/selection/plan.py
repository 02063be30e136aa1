"""Which folds a search goes by: as asked, or what `auto` finds that there is time for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.kernels import Precomputed
from hw4opt.problem import Problem
from hw4opt.selection.axes import Axis, Setting
from hw4opt.selection.folds import Folds, check_groups, k_fold, leave_one_out
from hw4opt.selection.held_out import score_settings
from hw4opt.selection.search import rounds

PATIENCE = 60.0  # seconds: what `auto` may predict for exact LOO
MORE = 1.3  # a search's fits over those of its first round
LARGEST = 20_000  # rows up to which folds are timed
FOLDS_TIMED = 6, 24
SUBSET = 2_000  # rows of the coarse search where even 10-fold is predicted to take longer


def plan(
    problem: Problem, axes: Sequence[Axis], words: tuple[str, str, str], groups: ArrayLike | None, seed: int
) -> tuple[Problem, np.ndarray | None, str, Folds, list[str]]:
    """The folds for (method, order of folds, search), their label and what to tell the user; for data too large, a subset of rows."""
    method, folds, search = words
    size = len(problem.y) if problem.active is None else len(problem.active)
    check_groups(groups, len(problem.y))
    labels = None if groups is None else np.asarray(groups)[slice(None) if problem.active is None else problem.active]
    kind, _, number = method.partition(":")
    if method == "loo" and labels is not None:
        raise InputError("leave-one-out holds out one row at a time and groups leave together; give select kfold:K with groups")
    if method == "loo":
        return problem, None, "loo", leave_one_out(size), []
    if kind == "kfold" and number.isdecimal():
        return problem, None, method, k_fold(size, int(number), order=folds, groups=labels, seed=seed), []
    if method != "auto":
        raise InputError(f"select is {method!r}; there are auto, loo, kfold:K and none")
    settings = sum(len(part) for part in _first_round(search, axes, seed))
    if labels is not None:
        label, chosen = _ten(size, folds, labels, seed)
        return problem, None, label, chosen, []
    if size <= LARGEST:
        fixed, each = _cost(problem, axes, size)
        seconds = MORE * settings * (fixed + each * size)
        if seconds <= PATIENCE:
            return problem, None, "loo", leave_one_out(size), []
        if size <= SUBSET or MORE * settings * 10 * (fixed + each) <= PATIENCE:
            note = f"10-fold: exact leave-one-out was predicted to take {seconds:.0f} s"
            return problem, None, *_ten(size, folds, None, seed), [note]
    rows = np.sort(np.random.default_rng(seed).choice(size, min(SUBSET, size), replace=False))
    rows = rows if problem.active is None else problem.active[rows]
    note = f"hyper-parameters were chosen by 10-fold on {len(rows)} of {size} rows (seed {seed}), their weights scaled to the full data"
    label, chosen = _ten(len(rows), folds, None, seed)
    return problem, rows, label, chosen, [note]


def _ten(size: int, folds: str, labels: np.ndarray | None, seed: int) -> tuple[str, Folds]:
    count = min(10, size if labels is None else len(np.unique(labels)))
    return f"kfold:{count}", k_fold(size, count, order=folds, groups=labels, seed=seed)


def _first_round(search: str, axes: Sequence[Axis], seed: int) -> list[list[Setting]]:
    return [next(rounds(search, axes, 1, seed, tuple))]


def _cost(problem: Problem, axes: Sequence[Axis], size: int) -> tuple[float, float]:
    """Seconds of a setting before its folds, and of a fold: measured on few and on more, in the middle of the ranges and where fits are
    hardest (large gamma, small weights)."""
    middle = {axis.name: float(np.sqrt(axis.low) * np.sqrt(axis.high)) for axis in axes}
    hard = {axis.name: axis.high if axis.name == "gamma" else axis.low for axis in axes}
    few, more = (list(np.linspace(0, size - 1, min(size, count)).astype(int)[:, None]) for count in FOLDS_TIMED)
    fixed, each = 0.0, 0.0
    for setting in (middle, hard):
        tried = problem.with_hyperparameters(setting)
        _ = tried.design.matrix
        short, long = (_seconds(tried, sample) for sample in (few, more))
        rate = max(long - short, 0.0) / max(len(more) - len(few), 1)
        each += 0.5 * rate
        fixed += 0.5 * max(short - rate * len(few), 0.0)
    return fixed, each


def _seconds(problem: Problem, sample: Folds) -> float:
    started = time.perf_counter()
    score_settings([problem], sample)
    return time.perf_counter() - started


def subset(problem: Problem, rows: np.ndarray) -> Problem:
    """The problem on some of its rows, their weights scaled so that they stand for all."""
    size = len(problem.y) if problem.active is None else len(problem.active)
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    offset = None if problem.offset is None else problem.offset[rows]
    x = problem.x[np.ix_(rows, rows)] if isinstance(problem.kernel, Precomputed) else problem.x[rows]
    return replace(problem, x=x, y=problem.y[rows], weights=weights[rows] * (size / len(rows)), offset=offset)
