"""The error of held-out predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hw4opt.problem import Problem
from hw4opt.selection.fold_fits import KeptFolds
from hw4opt.selection.fold_results import FoldResults
from hw4opt.terms import Likelihood, Loss, Smooth
from hw4opt.terms.base import Array

METRICS = ("loss", "squared", "absolute")


@dataclass(frozen=True)
class Score:
    """Error of held-out rows: weighted mean, its standard error, predictions of f + offset (n,), or (n, curves) for
    several curves, and the largest relative gap.

    Where a fold has no finite maximum, the score is infinite, its predictions are NaN, and its gap does not count.

    work    the number of folds by how they were solved: `closed` by formula; `one_round` along a path from the full
            fit on which no row changed its state, `rounds` along one with such changes (smooth losses: by one Newton
            step from it, by several); `anew` by the interior point; `endless` not solved, since there is no finite
            maximum; `spared` not solved, since the setting is dropped
    dropped the score is a bound that the setting cannot be below, its standard error NaN, and so are predictions of
            folds that were not solved
    kept    the fits of its folds, if they were to be kept
    """

    score: float
    standard_error: float
    predictions: Array
    largest_gap: float
    work: dict[str, int] = field(default_factory=dict)
    dropped: bool = False
    kept: KeptFolds | None = None


def scores_of(problems: Sequence[Problem], result: FoldResults, metric: str, units: np.ndarray | None) -> list[Score]:
    """One score per problem; `units` as in `score_settings`."""
    first = problems[0]
    kept = slice(None) if first.active is None else first.active
    curves = first.curves
    y = np.tile(first.y[kept] - first.level, curves)  # predictions are also relative to the level of a free intercept
    weights = weights_in_use(first)
    predictions = (
        result.predictions if first.offset is None else result.predictions + np.tile(first.offset[kept], curves)
    )
    lost = np.isnan(predictions)  # of folds that were not solved
    for setting, fold in np.argwhere(result.no_maximum):
        lost[setting, result.folds[fold]] = True
    lost |= result.dropped[:, None]
    known = np.where(lost, 0.0, predictions)
    if all(problem.loss == first.loss for problem in problems):
        errors = error_of_rows(first.loss, known, y, metric)
    else:
        pairs = zip(problems, known, strict=True)
        errors = np.stack([error_of_rows(problem.loss, row, y, metric) for problem, row in pairs])
    errors = np.where(lost, np.inf, errors).reshape(len(problems), curves, -1).sum(axis=1)
    means = np.where(result.dropped, result.least, np.vecdot(errors, weights)) / weights.sum()
    apart = errors - np.where(np.isfinite(means), means, 0.0)[:, None]
    deviations = np.sqrt(np.square(_unit_sums(weights * apart, units)).sum(axis=1)) / weights.sum()
    deviations[result.dropped] = np.nan
    every = np.full((len(problems), len(first.y), curves), np.nan)
    every[:, kept] = predictions.reshape(len(problems), curves, -1).swapaxes(1, 2) + first.level
    every = every[:, :, 0] if curves == 1 else every
    gaps = np.where(result.no_maximum | (result.dropped[:, None] & np.isinf(result.gaps)), 0.0, result.gaps).max(axis=1)
    kept = [result.kept(problem, first.design, setting) for setting, problem in enumerate(problems)]
    columns = means.tolist(), deviations.tolist(), every, gaps.tolist(), result.work(), result.dropped.tolist(), kept
    return [Score(*one) for one in zip(*columns, strict=True)]


def weights_in_use(problem: Problem) -> Array:
    """The weights of the rows in use."""
    if problem.weights is None:
        return np.ones(len(problem.active_x))
    return problem.weights[slice(None) if problem.active is None else problem.active]


def _unit_sums(rows: Array, units: np.ndarray | None) -> Array:
    """(S, n) summed over the rows of each unit."""
    if units is None:
        return rows
    labels = np.unique(units, return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    return np.add.reduceat(rows[:, order], np.flatnonzero(np.diff(labels[order], prepend=-1)), axis=1)


def error_of_rows(loss: Loss, predictions: Array, y: Array, metric: str) -> Array:
    """The metric at each row, curve after curve: the loss, or the squared or absolute error (of a
    likelihood's mean)."""
    if isinstance(loss, Smooth):
        if metric == "loss":
            return loss.pointwise(predictions, loss.check_targets(y))
        y = loss.check_targets(y)
        apart = loss.mean(predictions) - loss.observed(y) if isinstance(loss, Likelihood) else predictions - y
    elif metric == "loss":
        return loss.pointwise(predictions - y)
    else:
        apart = predictions - y
    return np.square(apart) if metric == "squared" else np.abs(apart)
