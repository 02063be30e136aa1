"""Held-out predictions of many settings over one basis, exact fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hw4opt.answer import Options
from hw4opt.certificate import certify
from hw4opt.errors import InputError
from hw4opt.form import canonicalize
from hw4opt.problem import Problem
from hw4opt.selection import exact
from hw4opt.selection.folds import Folds
from hw4opt.solvers import interior
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array
from hw4opt.threads import one_blas_thread

BATCH = 3_000_000  # rows × problems solved together: more would only leave the cache
ANEW = 1e-13  # tolerance of folds solved anew: a prediction is off by the root of its gap
FEW = 25  # rows a fold may lose for low-rank changes of the full fit to pay
METRICS = ("loss", "squared", "absolute")


@dataclass(frozen=True)
class Score:
    """Error over held-out rows: weighted mean and its standard error, predictions (n,) of f + offset, and the largest relative fold gap.

    work    how many folds took how much: `changes` by low-rank changes of the full fit (by number of rounds), `interior` anew
    """

    score: float
    standard_error: float
    predictions: Array
    largest_gap: float
    work: dict[str, int] = field(default_factory=dict)


@dataclass
class _Tasks:
    """Predictions, gaps and work of every fold of every setting, filled in as they are found."""

    problems: Sequence[Problem]
    folds: Folds
    predictions: Array
    gaps: Array
    rounds: np.ndarray

    @classmethod
    def of(cls, problems: Sequence[Problem], folds: Folds) -> _Tasks:
        shape = (len(problems), len(folds))
        return cls(
            problems, folds, np.full((len(problems), len(problems[0].design.x)), np.nan), np.full(shape, np.inf), np.zeros(shape, dtype=int)
        )


def score_settings(problems: Sequence[Problem], folds: Folds, metric: str = "loss") -> list[Score]:
    """One score a problem; the problems share x, kernel and kinds of terms, and differ in weights and parameters."""
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}; there are {', '.join(METRICS)}")
    for problem in problems[1:]:
        problem.share_design(problems[0].design)
    tasks = _Tasks.of(problems, folds)
    with one_blas_thread():
        if _changes_pay(problems, folds):
            _by_changes(tasks)
        _anew(tasks)
    return [
        _score(problem, predicted, float(gaps.max()), _work(rounds), metric)
        for problem, predicted, gaps, rounds in zip(problems, tasks.predictions, tasks.gaps, tasks.rounds, strict=True)
    ]


def _changes_pay(problems: Sequence[Problem], folds: Folds) -> bool:
    """Piecewise quadratic losses with every column penalised, and small folds."""
    tame = not isinstance(problems[0].loss, Smooth) and not problems[0].design.intercept and all(problem.ridge > 0 for problem in problems)
    return tame and max(len(held) for held in folds) <= FEW


def _by_changes(tasks: _Tasks) -> None:
    form = canonicalize(tasks.problems)
    answer = interior.solve(form, Options(tol=0.1 * exact.EXACT))
    rows = sum(block.rows.count for block in form.blocks)
    per_chunk = max(8, BATCH // max(rows, 1) // 2)
    for low in range(0, len(tasks.folds), per_chunk):
        held = tasks.folds[low : low + per_chunk]
        folds = exact.union_of(canonicalize([tasks.problems[0]] * len(held), held))
        together = max(1, BATCH // (len(held) * len(folds.a)))
        for first in range(0, len(tasks.problems), together):
            part = np.arange(first, min(first + together, len(tasks.problems)))
            sub = form.cut(part)
            duals = [u[part] for u in answer.duals]
            solved = exact.run(sub, answer.w[part], duals, folds)
            good = solved.gap <= exact.EXACT
            for place, rows_held in enumerate(held):
                spot = folds.where(rows_held)
                mine = part[good[:, place]]
                tasks.predictions[mine[:, None], rows_held] = solved.z[good[:, place], place][:, spot]
            tasks.gaps[first : first + len(part), low : low + len(held)] = np.where(good, solved.gap, np.inf)
            tasks.rounds[first : first + len(part), low : low + len(held)] = np.where(good, solved.rounds, 0)


def _anew(tasks: _Tasks) -> None:
    """What is left, by the interior point."""
    design = tasks.problems[0].design
    left = np.argwhere(~np.isfinite(tasks.gaps))
    rows = sum(max(len(design.base_x), 1) for _ in tasks.problems[0].terms)
    size = max(1, BATCH // rows)
    for low in range(0, len(left), size):
        part = left[low : low + size]
        form = canonicalize([tasks.problems[setting] for setting, _ in part], [tasks.folds[fold] for _, fold in part])
        answer = interior.solve(form, Options(tol=ANEW, max_iterations=60))
        proof = certify(form, answer.w, answer.duals, answer.interior)
        for (setting, fold), w, certificate in zip(part, proof.w, proof.certificates, strict=True):
            held = tasks.folds[fold]
            tasks.predictions[setting, held] = design.matrix[held if design.row_of is None else design.row_of[held]] @ w
            tasks.gaps[setting, fold] = np.inf if certificate.relative_gap is None else certificate.relative_gap


def _work(rounds: np.ndarray) -> dict[str, int]:
    changes = rounds > 0
    return {
        "changes": int(changes.sum()),
        "one_round": int((rounds == 1).sum()),
        "path": int((rounds >= exact.ROUNDS).sum()),
        "interior": int((~changes).sum()),
    }


def _score(problem: Problem, predictions: Array, gap: float, work: dict[str, int], metric: str) -> Score:
    kept = slice(None) if problem.active is None else problem.active
    y = problem.y[kept]
    weights = np.ones(len(y)) if problem.weights is None else problem.weights[kept]
    predictions = predictions if problem.offset is None else predictions + problem.offset[kept]
    errors = error_of_rows(problem, predictions, y, metric)
    mean = float(np.average(errors, weights=weights))
    deviation = np.sqrt(np.square(weights * (errors - mean)).sum()) / weights.sum()
    every = np.full(len(problem.y), np.nan)
    every[kept] = predictions
    return Score(mean, float(deviation), every, gap, work)


def error_of_rows(problem: Problem, predictions: Array, y: Array, metric: str) -> Array:
    """The metric at each row: the problem's own loss, or the squared or absolute error (of the mean, for losses with targets)."""
    loss = problem.loss
    if isinstance(loss, Smooth):
        if metric == "loss":
            return loss.pointwise(predictions, loss.check_targets(y))
        apart = loss.mean(predictions) - loss.observed(loss.check_targets(y))
    elif metric == "loss":
        return loss.pointwise(predictions - y)
    else:
        apart = predictions - y
    return np.square(apart) if metric == "squared" else np.abs(apart)
