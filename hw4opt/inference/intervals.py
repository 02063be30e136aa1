"""Prediction intervals from the fits without each fold: jackknife+, CV+ (Barber, Candès, Ramdas and Tibshirani 2021).

With m_i the fit without row i's fold, e_i = |y_i - m_i(x_i)|, and k = ⌈level (n + 1)⌉:

    base      m(x) ± the k-th smallest e_i,      m the fit of all rows
    plus      from the (n + 1 - k)-th smallest m_i(x) - e_i to the k-th smallest m_i(x) + e_i
    minmax    from min_i m_i(x) - the k-th smallest e_i to max_i m_i(x) + the k-th smallest e_i
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from hw4opt.errors import InputError
from hw4opt.problem import HeldOutFits, Problem
from hw4opt.terms import Likelihood, Loss
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_word

METHODS = ("base", "plus", "minmax")
BLOCK_ENTRIES = 2_000_000  # rows × new points that are processed together


def refusal(loss: Loss) -> str | None:
    """The reason why fits with this loss have no intervals, or None."""
    if isinstance(loss, Likelihood) and loss.classifies:
        return f"an interval holds numbers, and the targets of {loss.name} are labels of two classes"
    if len(loss.curves) > 1:
        return f"an interval is around one curve, and {loss.name} has {len(loss.curves)}"
    return None


def rank(level: float, rows: int) -> int:
    """k = ⌈level (rows + 1)⌉, with `level` taken as the decimal that it prints; above `rows`, no interval is finite."""
    return math.ceil(Fraction(repr(float(level))) * (rows + 1))


def checked_levels(level: float | Sequence[float], rows: int) -> list[float]:
    """The levels; raises `InputError` for one that is not between 0 and 1, or that needs more rows."""
    levels = [float(one) for one in level] if isinstance(level, Sequence | np.ndarray) else [float(level)]
    if not levels:
        raise InputError("level holds no number; give one or more between 0 and 1")
    for one in levels:
        if not 0 < one < 1:
            raise InputError(f"level is {one:g}; it must lie between 0 and 1")
        if rank(one, rows) > rows:
            needed = math.ceil(1 / (1 - Fraction(repr(one)))) - 1
            raise InputError(
                f"level {one:g} needs {needed} held-out rows or more, and there are {rows}; give a lower one"
            )
    return levels


def errors(problem: Problem) -> Array:
    """|y_i - m_i(x_i)| of the n rows with a weight above 0, by held-out fits; for likelihoods, m_i is the mean."""
    fits, design, loss, data = _fits(problem), problem.design, problem.loss, problem.data
    z = np.full(len(fits.fold_of), problem.level)
    step = max(1, BLOCK_ENTRIES // fits.w.shape[1])
    for block in (slice(low, low + step) for low in range(0, len(z), step)):
        rows = np.arange(len(z))[block] if design.row_of is None else design.row_of[block]
        z[block] += np.vecdot(design.matrix[rows], fits.w[fits.fold_of[block]])
    if data.offset is not None:
        z += data.offset if data.active is None else data.offset[data.active]
    y = loss.observed(loss.check_targets(data.active_y)) if isinstance(loss, Likelihood) else data.active_y
    return np.abs(y - _values(loss, z))


def interval_ends(
    problem: Problem, rows: Array, points: Array, offset: Array | None, levels: Sequence[float], method: str
) -> Array:
    """(m, 2, levels) at m new points: rows (m, r) of their design, `points` (m,) the full fit's predictions there."""
    check_word("method", method, METHODS)
    fits, apart = _fits(problem), errors(problem)
    ranks = np.array([rank(level, len(apart)) for level in levels])
    size = np.partition(apart, ranks - 1)[ranks - 1]
    if method == "base":
        return np.stack([points[:, None] - size, points[:, None] + size], axis=1)
    found = np.empty((len(points), 2, len(ranks)))
    step = max(1, BLOCK_ENTRIES // max(len(apart), fits.folds))
    for block in (slice(low, low + step) for low in range(0, len(points), step)):
        z = rows[block] @ fits.w.T + problem.level
        values = _values(problem.loss, z if offset is None else z + offset[block, None])
        if method == "minmax":
            found[block, 0] = values.min(axis=1)[:, None] - size
            found[block, 1] = values.max(axis=1)[:, None] + size
        else:
            each = values[:, fits.fold_of]
            lowest = len(apart) - ranks
            found[block, 0] = np.partition(each - apart, lowest, axis=1)[:, lowest]
            found[block, 1] = np.partition(each + apart, ranks - 1, axis=1)[:, ranks - 1]
    return found


def caveats(problem: Problem) -> list[str]:
    """Sentences on the conditions of the intervals' guarantees that the problem's held-out fits do not meet."""
    fits, found = _fits(problem), []
    if fits.unproven:
        found.append(f"{fits.unproven} of the {fits.folds} held-out fits behind the intervals are not proven")
    weights = problem.weights if problem.weights is None or problem.active is None else problem.weights[problem.active]
    if weights is not None and np.ptp(weights) > 0:
        found.append("rows of unequal weights count alike in the intervals: no coverage is guaranteed")
    if fits.grouped:
        found.append("rows were left out together by group or x, which no guarantee of the intervals covers")
    return found


def _fits(problem: Problem) -> HeldOutFits:
    assert problem.held_out is not None
    return problem.held_out


def _values(loss: Loss, z: Array) -> Array:
    """Predicted targets at linear predictor z, offset included."""
    with np.errstate(over="ignore"):
        return loss.mean(z) if isinstance(loss, Likelihood) else z
