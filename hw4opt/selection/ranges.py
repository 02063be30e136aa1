"""Default ranges of hyper-parameters, in the data's own units."""

from __future__ import annotations

import math

import numpy as np

from hw4opt.errors import InputError
from hw4opt.problem import HyperparameterKey, Problem
from hw4opt.problem.hyperparameters import RIDGE
from hw4opt.terms import Likelihood, Smooth
from hw4opt.terms.base import Array

SMALLEST_SPAN, LARGEST_SPAN = 1e-152, 1e152  # spans of x for which gamma neither overflows nor underflows
EXTENDED_RANGE_FACTOR = 1e3  # factor by which a search may leave a default range
EXTENDED_RANGE_RANK = 500  # the largest basis outside the default range
DEFAULT_RANGE_RANK = 200  # the largest basis the search asks for: in one dimension the rank is about 4 √gamma · range


def default_range(problem: Problem, name: str) -> tuple[float, float]:
    """(low, high) for gamma or a term's weight, in the units of x, y and the row weights.

    ridge           1e-4 ω s k/σ to 10 ω s K/σ:  ω the median row weight, σ the size of the noise, s the size of the
                    loss's slope there; k = K the mean k(x_i, x_i) of a kernel; for a linear design, the smallest and
                    the sum of its columns' mean squares
    tv, trend, l1   in proportion to ω s and the length of x, or the columns' largest Σ |x_i|

    Columns of a linear design are centered if an intercept is free: the fit does not depend on their level.
    Raises `InputError` for parameters that are searched only in a given range.
    """
    problem, name = problem.owner_of(name)
    if is_gamma(problem, name):
        return _gamma(problem, problem.gamma_column(name))
    slope, noise = _slope_and_noise(problem)
    slope *= 1.0 if problem.weights is None else float(np.median(problem.weights[problem.weights > 0]))
    if name == RIDGE:
        least, most = _sizes(problem)
        return 1e-4 * slope / noise * least, 10 * slope / noise * most
    term = next((term for term in problem.regularizers if term.label == name), None)
    if term is None:
        raise InputError(f"no range is known for {name!r}; give one, as in `grid={{{name!r}: (0.1, 10, 7)}}`")
    if term.acts.order:
        unit = slope * term.acts.weight_unit(problem.design)
        if (doubled := term.in_units(2.0)) is not None and doubled[
            0
        ] == 4.0:  # a squared penalty: of f, not of its size
            unit *= term.acts.weight_unit(problem.design) / noise
        return 0.03 * unit, 30 * unit * len(problem.design.base_x) ** (0.5 * (term.acts.order - 1))
    pull = slope * float(np.abs(_columns(problem)).sum(axis=0).max()) or 1.0  # signed, columns of mean 0 would cancel
    return 1e-4 * pull, pull


def is_gamma(problem: Problem, name: str) -> bool:
    """Whether a hyper-parameter is the kernel's gamma, by either of its names (gamma, rbf.gamma)."""
    problem, name = problem.owner_of(name)
    return HyperparameterKey.parse(name).is_gamma_of(problem.kernel)


def reach_of(problem: Problem, name: str, low: float, high: float) -> tuple[float, float]:
    """The values that a search may try beyond a default range: three decades on each side; for gamma with more than 500
    distinct x in one column, only up to a basis of about 500.
    """
    most = EXTENDED_RANGE_FACTOR
    problem, name = problem.owner_of(name)
    if is_gamma(problem, name) and len(problem.design.base_x) > EXTENDED_RANGE_RANK:
        power = 2 if problem.kernel is None else problem.kernel.gamma_power
        most = (EXTENDED_RANGE_RANK / DEFAULT_RANGE_RANK) ** power
    return low / EXTENDED_RANGE_FACTOR, high * most


def _gamma(problem: Problem, column: int | None) -> tuple[float, float]:
    """The range by the spread of x, or of one of several columns, in gamma's unit: 1/x for the laplacian, else 1/x²."""
    x = problem.design.base_x if column is None else problem.design.base_x[:, [column]]
    width = float(np.ptp(x, axis=0).max())
    if not SMALLEST_SPAN <= width <= LARGEST_SPAN:
        raise InputError(f"x spans {width:.3g}, for which gamma is beyond floating point; measure x in another unit")
    unit = width ** (2 if problem.kernel is None else problem.kernel.gamma_power)
    if problem.design.x.shape[1] == 1:
        return 1 / unit, (DEFAULT_RANGE_RANK / 4) ** 2 / unit
    sample = x[np.linspace(0, len(x) - 1, min(len(x), 500)).astype(int)] / width
    apart = np.square(sample[:, None] - sample[None]).sum(axis=2)
    middle = float(np.median(apart[apart > 0])) if apart.any() else 1.0
    return 0.02 / middle / unit, 20 / middle / unit


def _slope_and_noise(problem: Problem) -> tuple[float, float]:
    """The expected sizes of |ℓ'| and of the residuals at the best fit.

    For a smooth loss they are those at the best constant, with residuals ℓ' / ℓ''; else those at the noise of y.
    """
    if isinstance(problem.loss, Smooth):
        loss, kept = problem.loss, slice(None) if problem.active is None else problem.active
        y = loss.check_targets(problem.y[kept])
        offset = np.zeros_like(y) if problem.offset is None else problem.offset[kept]
        observed = loss.without_offset(y, offset) if isinstance(loss, Likelihood) else y - offset
        z = loss.guess(observed.mean(keepdims=True)) + offset
        slope = float(np.sqrt(np.square(loss.gradient(z, y)).mean()))
        return slope, slope / float(loss.curvature(z, y).mean())
    return _slope(problem, problem.noise), problem.noise


def _slope(problem: Problem, noise: float) -> float:
    """|ℓ'| at a residual of the noise's size, the mean of all curves."""
    step = 1e-3 * noise
    there = np.mean([one.pointwise(np.array([noise, noise + step])) for one in problem.loss.curves], axis=0)
    return float((there[1] - there[0]) / step) or 1.0


def _columns(problem: Problem) -> Array:
    """The columns of a linear design, centered if an intercept is free."""
    x = problem.design.x
    if not problem.intercept:
        return x
    apart = x - x[0]  # exact where the level is large and the spread is not
    return apart - apart.mean(axis=0)


def _sizes(problem: Problem) -> tuple[float, float]:
    """The mean diagonal of the kernel, twice; for a linear design the least mean square of a column, and their sum."""
    if problem.kernel is not None:
        size = float(problem.design.diagonal(problem.design.x).mean()) or 1.0
        return size, size
    squares = np.square(_columns(problem)[:, np.ptp(problem.design.x, axis=0) > 0]).mean(axis=0)
    squares = squares[squares > 0]
    return (float(squares.min()), float(squares.sum())) if len(squares) else (1.0, 1.0)


def log_grid(low: float, high: float, count: int) -> Array:
    """`count` values from low to high, log-spaced; raises `InputError` unless 0 < low ≤ high."""
    if not (0 < low <= high < math.inf) or count < 1:
        raise InputError(f"a grid {low:g}:{high:g}:{count} needs 0 < LOW ≤ HIGH and COUNT ≥ 1")
    return np.geomspace(low, high, count) if count > 1 else np.array([low])
