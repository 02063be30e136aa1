"""Held-out predictions: every fold of every setting over one basis is one batch for the interior point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.answer import Options
from hw4opt.certificate import certify
from hw4opt.errors import InputError
from hw4opt.form import canonicalize
from hw4opt.problem import Problem
from hw4opt.selection.folds import Folds
from hw4opt.solvers import interior
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array
from hw4opt.threads import one_blas_thread

BATCH = 3_000_000  # rows × problems solved together: more would only leave the cache
METRICS = ("loss", "squared", "absolute")


@dataclass(frozen=True)
class Score:
    """Error over held-out rows: weighted mean and its standard error, predictions (n,) of f + offset, and the largest relative fold gap."""

    score: float
    standard_error: float
    predictions: Array
    largest_gap: float


def score_settings(problems: Sequence[Problem], folds: Folds, metric: str = "loss") -> list[Score]:
    """One score a problem; the problems share x, kernel and kinds of terms, and differ in weights and parameters."""
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}; there are {', '.join(METRICS)}")
    design = problems[0].design
    for problem in problems[1:]:
        problem.share_design(design)
    tasks = [(setting, fold) for setting in range(len(problems)) for fold in range(len(folds))]
    rows = sum(max(len(design.base_x), 1) for _ in problems[0].terms)
    size = max(1, BATCH // rows)
    count = len(design.x)
    predictions = np.full((len(problems), count), np.nan)
    largest = np.zeros(len(problems))
    with one_blas_thread():
        for low in range(0, len(tasks), size):
            part = tasks[low : low + size]
            form = canonicalize([problems[setting] for setting, _ in part], [folds[fold] for _, fold in part])
            answer = interior.solve(form, Options(tol=1e-9))
            proof = certify(form, answer.w, answer.duals, answer.interior)
            for (setting, fold), w, certificate in zip(part, proof.w, proof.certificates, strict=True):
                held = folds[fold]
                predictions[setting, held] = design.matrix[held if design.row_of is None else design.row_of[held]] @ w
                gap = np.inf if certificate.relative_gap is None else certificate.relative_gap
                largest[setting] = max(largest[setting], gap)
    return [_score(problem, predicted, float(gap), metric) for problem, predicted, gap in zip(problems, predictions, largest, strict=True)]


def _score(problem: Problem, predictions: Array, gap: float, metric: str) -> Score:
    kept = slice(None) if problem.active is None else problem.active
    y = problem.y[kept]
    weights = np.ones(len(y)) if problem.weights is None else problem.weights[kept]
    predictions = predictions if problem.offset is None else predictions + problem.offset[kept]
    errors = error_of_rows(problem, predictions, y, metric)
    mean = float(np.average(errors, weights=weights))
    deviation = np.sqrt(np.square(weights * (errors - mean)).sum()) / weights.sum()
    every = np.full(len(problem.y), np.nan)
    every[kept] = predictions
    return Score(mean, float(deviation), every, gap)


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
