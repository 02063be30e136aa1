"""Choosing hyper-parameters by leave-one-out or K-fold error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.problem import Problem
from hw4opt.selection.folds import Folds, k_fold, leave_one_out
from hw4opt.selection.held_out import METRICS, Score, score_settings
from hw4opt.selection.ranges import default_range
from hw4opt.selection.search import Axis, Setting, Tried, parse_search, rounds
from hw4opt.terms.base import Array

__all__ = ["Selection", "k_fold", "leave_one_out", "score_settings", "select"]

PATIENCE = 60.0  # seconds: what `auto` may predict for exact LOO
SUBSET = 2_000  # rows of the coarse search where even 10-fold is predicted to take longer


@dataclass(frozen=True)
class Selection:
    """What was chosen, and everything that was tried.

    problem          the problem at the chosen hyper-parameters
    method           loo | kfold:K
    score            weighted mean error over held-out rows, with its standard error
    predictions      (n,) held out, one an input row (NaN where weight 0, or outside the subset)
    fits             folds × settings
    largest_fold_gap of the chosen setting, relative
    table            every setting with score and standard_error
    notes            sentences the user should read: an edge, a subset, an interruption
    """

    problem: Problem
    method: str
    metric: str
    score: float
    standard_error: float
    predictions: Array
    fits: int
    largest_fold_gap: float
    seconds: float
    table: list[dict[str, float]]
    notes: list[str]
    interrupted: bool


@dataclass
class _Search:
    """What the search has so far."""

    problem: Problem
    folds: Folds
    metric: str
    progress: Callable[[int, int, float], None] | None
    workers: int = 1
    tried: list[tuple[Tried, Score]] = field(default_factory=list)

    def best(self) -> tuple[Tried, Score]:
        return min(self.tried, key=lambda pair: pair[0].score if np.isfinite(pair[0].score) else np.inf)

    def run(self, settings: list[Setting]) -> None:
        """Settings that share the basis (gamma, kernel parameters) go together."""
        groups: dict[object, list[tuple[Setting, Problem]]] = {}
        for setting in settings:
            problem = self.problem.with_hyperparameters(setting)
            groups.setdefault((problem.kernel, *(term.acts for term in problem.terms)), []).append((setting, problem))
        total = len(self.tried) + len(settings)
        tasks = [([problem for _, problem in together], self.folds, self.metric) for together in groups.values()]
        for together, scores in zip(groups.values(), _each(tasks, self.workers), strict=True):
            for (setting, _), score in zip(together, scores, strict=True):
                self.tried.append((Tried(setting, score.score, score.standard_error), score))
            if self.progress is not None:
                self.progress(len(self.tried) * len(self.folds), total * len(self.folds), self.best()[0].score)


def _each(tasks: list[tuple[list[Problem], Folds, str]], workers: int) -> Iterator[list[Score]]:
    """The scores of every group, in order; on several processes if asked (a group's arithmetic does not depend on it)."""
    if workers == 1 or len(tasks) == 1:
        yield from (score_settings(*task) for task in tasks)
        return
    with ProcessPoolExecutor(min(workers, len(tasks))) as pool:
        yield from pool.map(score_settings, *zip(*tasks, strict=True))


def select(
    problem: Problem,
    free: Sequence[str],
    method: str = "auto",
    search: str = "zoom",
    grid: Mapping[str, tuple[float, float, int]] | None = None,
    metric: str = "loss",
    folds: str = "shuffled",
    groups: ArrayLike | None = None,
    seed: int = 0,
    one_se: bool = False,
    workers: int = 1,
    progress: Callable[[int, int, float], None] | None = None,
) -> Selection:
    """Choose the hyper-parameters named in `free` (and in `grid`) by held-out error.

    method    auto | loo | kfold:K.   auto: LOO where its predicted time is under a minute, else 10-fold, else on a subset of rows
    search    zoom | grid | random:N over log ranges; `grid` names (low, high, count) of an axis
    metric    loss | squared | absolute, averaged over held-out rows with their weights
    workers   processes over which settings of different kernels are spread; the result does not depend on it
    one_se    the smoothest setting (largest weights, smallest gamma) within one standard error of the best

    Raises `InputError` for an unknown name or option, and for metric `loss` where a parameter of the loss is searched.
    """
    started = time.perf_counter()
    grid = dict(grid or {})
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}; there are {', '.join(METRICS)}")
    if metric == "loss" and any(name.startswith(f"{problem.loss.name}.") for name in grid):
        raise InputError("metric loss would reward a shrinking loss while its parameter is searched; use metric squared or absolute")
    parse_search(search)
    if workers < 1:
        raise InputError(f"workers is {workers}; it must be 1 or more")
    names = list(dict.fromkeys((*free, *grid)))
    axes = [Axis(name, *grid[name]) if name in grid else Axis(name, *default_range(problem, name)) for name in names]
    for axis in axes:
        problem.with_hyperparameters({axis.name: axis.low})
    problem, rows, label, chosen, notes = _plan(problem, axes, method, folds, groups, seed, search)
    state = _Search(problem if rows is None else _subset(problem, rows), chosen, metric, progress, workers)
    interrupted = False
    try:
        for settings in rounds(search, axes, len(chosen), seed, lambda: state.best()[0]):
            state.run(settings)
    except KeyboardInterrupt:
        if not state.tried:
            raise
        interrupted = True
        notes.append(f"interrupted after {len(state.tried)} settings; the best so far is used")
    best, score = _one_standard_error(state) if one_se else state.best()
    notes += [note for axis in axes if (note := _edge(axis, best.setting)) is not None]
    predictions = score.predictions
    if rows is not None:
        predictions = np.full(len(problem.y), np.nan)
        predictions[rows] = score.predictions
    return Selection(
        problem=problem.with_hyperparameters(best.setting),
        method=label,
        metric=metric,
        score=best.score,
        standard_error=best.standard_error,
        predictions=predictions,
        fits=len(chosen) * len(state.tried),
        largest_fold_gap=score.largest_gap,
        seconds=time.perf_counter() - started,
        table=[{**one.setting, "score": one.score, "standard_error": one.standard_error} for one, _ in state.tried],
        notes=notes,
        interrupted=interrupted,
    )


def _plan(
    problem: Problem, axes: Sequence[Axis], method: str, folds: str, groups: ArrayLike | None, seed: int, search: str
) -> tuple[Problem, np.ndarray | None, str, Folds, list[str]]:
    """The folds, and for data too large a subset of rows."""
    size = len(problem.y) if problem.active is None else len(problem.active)
    labels = None if groups is None else np.asarray(groups)[slice(None) if problem.active is None else problem.active]
    kind, _, number = method.partition(":")
    if method == "loo":
        return problem, None, "loo", leave_one_out(size), []
    if kind == "kfold" and number.isdigit():
        return problem, None, method, k_fold(size, int(number), order=folds, groups=labels, seed=seed), []
    if method != "auto":
        raise InputError(f"select is {method!r}; there are auto, loo, kfold:K and none")
    settings = sum(len(part) for part in _first_round(search, axes, seed))
    if labels is not None:
        label, chosen = _ten(size, folds, labels, seed)
        return problem, None, label, chosen, []
    each = _seconds_a_fit(problem, axes, size)
    if each * settings * size * 1.3 <= PATIENCE:
        return problem, None, "loo", leave_one_out(size), []
    if each * settings * 10 * 1.3 <= PATIENCE:
        return (
            problem,
            None,
            *_ten(size, folds, None, seed),
            [f"10-fold: exact leave-one-out was predicted to take {each * settings * size:.0f} s"],
        )
    rows = np.sort(np.random.default_rng(seed).choice(size, min(SUBSET, size), replace=False))
    rows = rows if problem.active is None else problem.active[rows]
    note = f"hyper-parameters were chosen by 10-fold on {len(rows)} of {size} rows (seed {seed}), their weights scaled to the full data"
    label, chosen = _ten(len(rows), folds, None, seed)
    return problem, rows, label, chosen, [note]


def _ten(size: int, folds: str, labels: np.ndarray | None, seed: int) -> tuple[str, Folds]:
    count = min(10, size if labels is None else len(np.unique(labels)))
    return f"kfold:{count}", k_fold(size, count, order=folds, groups=labels, seed=seed)


def _first_round(search: str, axes: Sequence[Axis], seed: int) -> list[list[Setting]]:
    steps = rounds(search, axes, 1, seed, lambda: Tried({axis.name: axis.high for axis in axes}, 0.0, 0.0))
    return [next(steps)]


def _seconds_a_fit(problem: Problem, axes: Sequence[Axis], size: int) -> float:
    """Measured on a few folds, in the middle of the ranges and where fits are hardest (large gamma, small weights): the slower counts."""
    if size > 20_000:
        return np.inf
    middle = {axis.name: float(np.sqrt(axis.low * axis.high)) for axis in axes}
    hard = {axis.name: axis.high if axis.name == "gamma" else axis.low for axis in axes}
    sample = [np.array([row]) for row in np.linspace(0, size - 1, min(size, 16)).astype(int)]
    slowest = 0.0
    for setting in (middle, hard):
        tried = problem.with_hyperparameters(setting)
        _ = tried.design.matrix
        started = time.perf_counter()
        score_settings([tried], sample)
        slowest = max(slowest, (time.perf_counter() - started) / len(sample))
    return slowest


def _subset(problem: Problem, rows: np.ndarray) -> Problem:
    size = len(problem.y) if problem.active is None else len(problem.active)
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    offset = None if problem.offset is None else problem.offset[rows]
    return replace(problem, x=problem.x[rows], y=problem.y[rows], weights=weights[rows] * (size / len(rows)), offset=offset)


def _one_standard_error(state: _Search) -> tuple[Tried, Score]:
    best, _ = state.best()
    near = [pair for pair in state.tried if pair[0].score <= best.score + best.standard_error]
    return max(near, key=lambda pair: sum(np.log(value) * (-1 if name == "gamma" else 1) for name, value in pair[0].setting.items()))


def _edge(axis: Axis, setting: Setting) -> str | None:
    value = setting[axis.name]
    if axis.low == axis.high or axis.low * 1.001 < value < axis.high / 1.001:
        return None
    where = f"the best {axis.name} = {value:.4g} lies on the edge of its range {axis.low:.4g} to {axis.high:.4g}"
    return f"{where}; widen it with --grid {axis.name}=LOW:HIGH:COUNT"
