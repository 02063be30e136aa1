"""The search for hyper-parameters by held-out error."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, counted
from hw4opt.inference.intervals import refusal
from hw4opt.losses.squared import Squared
from hw4opt.problem import HyperparameterKey, Problem
from hw4opt.problem.hyperparameters import RIDGE
from hw4opt.running.processes import Executor, Workers
from hw4opt.running.threads import threads
from hw4opt.selection.axes import Axis, Setting, Tried
from hw4opt.selection.folds import Folds
from hw4opt.selection.keep import with_held_out
from hw4opt.selection.notes import beyond, edge, no_finite_maximum, remedy_for, unproven
from hw4opt.selection.plan import all_rows, plan, subset
from hw4opt.selection.ranges import default_range, is_gamma, reach_of
from hw4opt.selection.scores import METRICS
from hw4opt.selection.search import most_settings, parse_search, rounds
from hw4opt.selection.setting_runs import SettingRuns
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_seed, check_word, checked

T = TypeVar("T")
CLOSED_FORM_ROWS = 200  # rows up to which the cost of leave-one-out in closed form is negligible


@dataclass(frozen=True)
class Selection:
    """The chosen hyper-parameters, and all settings that were tried.

    problem          the problem at the chosen hyper-parameters, with its fits without each fold if they are kept
    method           loo | loo:x | kfold:K | folds:K (given)
    score            weighted mean error ē = Σ ω_i e_i / Σ ω_i over held-out rows
    standard_error   √(Σ_u (Σ_{i in u} ω_i (e_i - ē))²) / Σ ω_i over units u: groups, rows of equal x (loo:x), else rows
    predictions      (n,) held-out predictions in input order (NaN for weight 0, or outside the subset); (n, curves) for
                     several curves
    fits             folds × settings
    largest_fold_gap the largest relative gap of the chosen setting's folds
    work             numbers of folds by how they were solved, over all settings; see `Score`
    table            every setting with score and standard_error; "unproven": True if a held-out fit is not proven
                     (proven settings are preferred); "dropped": True if the score is only a lower bound, above the best
                     score, and standard_error is NaN
    notes            sentences on an edge, a subset, unproven folds of any setting, an interruption
    """

    problem: Problem
    method: str
    metric: str
    score: float
    standard_error: float
    predictions: Array
    fits: int
    largest_fold_gap: float
    work: dict[str, int]
    seconds: float
    table: list[dict[str, float]]
    notes: list[str]
    interrupted: bool


@checked
def select(
    problem: Problem,
    free: Sequence[str],
    method: str | Sequence[np.ndarray] = "auto",
    search: str = "zoom",
    grid: Mapping[str, tuple[float, float, int]] | None = None,
    metric: str = "loss",
    folds: str = "shuffled",
    groups: ArrayLike | None = None,
    seed: int = 0,
    one_se: bool = False,
    complete: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    keep_folds: bool = False,
    budget: Callable[[int, float], None] | None = None,
    executor: Executor | None = None,
) -> Selection:
    """Choose the hyper-parameters named in `free` (and in `grid`) by held-out error.

    method    auto | loo | loo:x | kfold:K.   loo:x: rows of equal x are held out together.   auto: LOO if its predicted
              time is under a minute (loo:x for a kernel design of one column that has at least 5 distinct x, more than
              a third of the rows sharing theirs), else 10-fold, else on a subset of rows.   Or folds: arrays of the
              rows that each holds out, every row once; the rows of a fold then count as one in standard errors
    groups    (n,) labels: rows of one group are held out together, in folds of kfold:K
    search    zoom | grid | random:N over log ranges; `grid` gives (low, high, count) of an axis
    metric    loss | squared | absolute, averaged over held-out rows with their weights
    workers   threads for settings and folds; None: as set by `hw4opt.running.threads.set_threads`, else 1 in a worker
              process, else the cores available to the process. The result does not depend on it
    complete  score every setting in full. Otherwise, if `search` is zoom, `metric` is loss and neither `one_se` nor
              `groups` is given, a setting is dropped once its held-out losses must exceed those of the best setting of
              earlier rounds, which does not change the choice
    one_se    the smoothest setting (largest weights, smallest gamma) within one standard error of the best
    keep_folds    the chosen problem keeps its fits without each fold, folds × rank numbers, for the prediction
              intervals of `fit(chosen.problem).predict_interval`. They are those of the search, except after a search
              on a subset of the rows (then of 10 folds of all rows), and where `one_se` chooses another setting than
              the best: then the folds of the chosen setting are solved again

    budget    called once if more than three hyper-parameters are zoomed, after the first settings, with the largest
              number of settings and an estimate of the seconds
    executor  scores settings in parallel, in tasks of several if there are few rows: N processes of one thread,
              `hw4opt.running.processes.Workers(N)`, or `hw4opt.running.dask.DaskWorkers(client)`; None: this process,
              with `workers` threads. The result does not depend on it

    Raises `InputError` for an unknown name or option, for `keep_folds` with a loss of labels, for metric `loss` where a
    parameter of the loss is searched, and where several settings are tried and none has a finite held-out error.
    """
    started = time.perf_counter()
    grid = dict(grid or {})
    check_word("metric", metric, METRICS)
    keys = map(HyperparameterKey.parse, grid)
    if metric == "loss" and any(key.parameter is not None and key.belongs_to(problem.loss) for key in keys):
        raise InputError(
            "metric loss would reward a shrinking loss while its parameter is searched; use metric squared or absolute"
        )
    if metric != "loss" and problem.curves > 1:
        raise InputError(f"metric {metric} compares one curve with y and there are {problem.curves}; use metric loss")
    if keep_folds and (refused := refusal(problem.loss)) is not None:
        raise InputError(f"`keep_folds` is for prediction intervals: {refused}")
    parse_search(search)
    check_seed(seed)
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; it must be 1 or more")
    axes = axes_of(problem, list(dict.fromkeys((*free, *grid))), grid)
    for axis in axes:
        problem.with_hyperparameters({axis.name: axis.low})
    way = plan(problem, axes, method, folds, search, groups, seed)
    rows, notes = way.rows, way.notes
    interrupted = False
    with threads(workers):
        searched = problem if rows is None else subset(problem, rows)
        races = search == "zoom" and metric == "loss" and groups is None and not (complete or one_se)
        races = races and not _is_closed(problem, way.folds)
        state = SettingRuns(searched, way.folds, way.units, metric, progress, races, keep_folds, executor or Workers(1))
        try:
            most, began = most_settings(search, axes), time.perf_counter()
            for settings in rounds(search, axes, len(way.folds), seed, state.history, _is_cheap(searched, way.folds)):
                first = not state.tried
                state.run(settings)
                if first and most and budget is not None:
                    budget(most, (time.perf_counter() - began) * most / len(state.tried))
        except KeyboardInterrupt:
            if not state.tried:
                raise
            interrupted = True
    best, score = one_standard_error(problem, state.tried) if one_se else state.best()
    remedy = remedy_for(problem, axes)
    if interrupted:
        if not np.isfinite(best.score):
            raise KeyboardInterrupt  # there is no best so far
        notes.append(f"interrupted after {counted(len(state.tried), 'setting')}; the best so far is used")
    if len(state.tried) > 1 and not np.isfinite(best.score):
        raise InputError(
            f"none of the {len(state.tried)} settings tried has a finite held-out error; give the "
            f"values instead, or {remedy}"
        )
    notes += [note for axis in axes if (note := beyond(axis, state.history()) or edge(axis, best.setting)) is not None]
    notes += no_finite_maximum(score, len(way.folds), remedy)
    notes += unproven(score.largest_gap, [one.largest_gap for _, one in state.tried])
    chosen = problem.with_hyperparameters(best.setting)
    if keep_folds:
        every = way if rows is None else all_rows(problem, way, folds, seed)
        chosen, more = with_held_out(chosen, score.kept if rows is None else None, every)
        notes += more
    predictions = score.predictions
    if rows is not None:
        predictions = np.full((len(problem.y), *score.predictions.shape[1:]), np.nan)
        predictions[rows] = score.predictions
    return Selection(
        problem=chosen,
        method=way.label,
        metric=metric,
        score=best.score,
        standard_error=best.standard_error,
        predictions=predictions,
        fits=len(way.folds) * len(state.tried),
        largest_fold_gap=score.largest_gap,
        work={name: sum(one.work[name] for _, one in state.tried) for name in score.work},
        seconds=time.perf_counter() - started,
        table=[one.row for one in state.history()],
        notes=notes,
        interrupted=interrupted,
    )


def _is_closed(problem: Problem, folds: Folds) -> bool:
    """Whether all fits have a closed form: leave-one-out, squared loss and a ridge on every column."""
    return isinstance(problem.loss, Squared) and len(problem.terms) == 1 and all(len(fold) == 1 for fold in folds)


def _is_cheap(problem: Problem, folds: Folds) -> bool:
    """Whether they are, and few."""
    return _is_closed(problem, folds) and not problem.intercept and len(folds) <= CLOSED_FORM_ROWS


def axes_of(problem: Problem, names: Sequence[str], grid: Mapping[str, tuple[float, float, int]]) -> list[Axis]:
    """The range of every name, from `grid` or the default; default ranges of weights are those at the lowest gamma."""
    axes: dict[str, Axis] = {}
    for name in sorted(names, key=lambda name: not is_gamma(problem, name)):
        if name in grid:
            axes[name] = Axis.given(name, grid[name])
        else:
            low, high = default_range(problem, name)
            axes[name] = Axis(name, low, high, reach=reach_of(problem, name, low, high))
        if is_gamma(problem, name):
            problem = problem.with_hyperparameters({name: axes[name].low})
    return [axes[name] for name in names]


def one_standard_error(problem: Problem, tried: Sequence[tuple[Tried, T]]) -> tuple[Tried, T]:
    """The smoothest setting within one standard error of the best, with its score and folds if kept."""
    best, _ = min(tried, key=lambda pair: pair[0].rank)
    good = [pair for pair in tried if pair[0].proven >= best.proven]
    near = [pair for pair in good if pair[0].score <= best.score + best.standard_error]
    return max(near, key=lambda pair: (_smoothness(problem, pair[0].setting), -pair[0].score))


def _smoothness(problem: Problem, setting: Setting) -> float:
    """The sum of the logarithms of weights and of 1/gamma; other parameters do not count."""
    return sum(_smoother_side(*problem.owner_of(name)) * math.log(value) for name, value in setting.items())


def _smoother_side(problem: Problem, name: str) -> float:
    """1 if larger values are smoother, -1 if smaller ones are, 0 if neither is known."""
    key = HyperparameterKey.parse(name)
    if key.is_gamma_of(problem.kernel):
        return -1.0
    return 1.0 if key.owner == RIDGE or any(key.is_weight_of(term) for term in problem.regularizers) else 0.0
