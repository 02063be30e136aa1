"""The scaled form for solvers and the cvxpy model, and the map back.

    w = size·T v,   z = size·z',   f = worth·f',   u = (worth/size) u'

size and worth/size are typical values of the loss's z and u, so that rows have unit targets and unit slopes; if the
ridge outweighs the loss, worth is its penalty, so that the objective is of unit size per row. T scales the columns to
a Hessian of unit diagonal, t_j = 1/√(p_j/h + Σ_i a_ij²) with h = worth/size² a typical curvature (columns of unit
length would worsen the condition of a kernel's basis), and centers them if an intercept is free. Certificate, gap,
duals and bounds are those of the form as given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.form.answer import Answer, Options, Start
from hw4opt.form.chunks import CHUNK_ROWS
from hw4opt.form.form import EMPTY_COLUMN_SQUARE, Form, Units
from hw4opt.running.array_files import large_array
from hw4opt.terms.base import Array

COLUMN_SQUARE_ROUNDING = 1e-15  # of a column's mean square: the least mean square of a centered column


@dataclass(frozen=True, eq=False)
class Scaled:
    """The scaled form, and the map back: w = size·(columns v - intercept's share)."""

    form: Form
    columns: Array  # (r,) t_j
    centers: Array  # (levels, r) of the scaled columns, compensated by the free level of their curve
    units: Units

    def point(self, v: Array) -> Array:
        """w (b, r) of the form as given."""
        w = v * self.columns
        if self.centers.any():
            w[:, self.form.design.levels] -= v @ self.centers.T
        return self.units.size * w

    def start(self, given: Start) -> Start:
        """The scaled form's start from one of the form as given."""
        v = given.w / (self.units.size * self.columns)
        if self.centers.any():
            levels = self.form.design.levels
            v[:, levels] += (v @ self.centers.T) / self.columns[levels]
        return Start(v, given.u * (self.units.size / self.units.worth))

    def answer(self, found: Answer) -> Answer:
        """The scaled form's answer for the form as given."""
        rate = self.units.worth / self.units.size
        interior = None if found.interior is None else self.point(found.interior)
        return replace(found, w=self.point(found.w), u=rate * found.u, interior=interior)


def solve_scaled(
    solve: Callable[[Form, Options, Start | None], Answer], form: Form, options: Options, start: Start | None = None
) -> Answer:
    """The answer of a solver that works on the scaled form, for the form as given."""
    scaled = equilibrate(form)
    return scaled.answer(solve(scaled.form, options, None if start is None else scaled.start(start)))


def equilibrate(form: Form) -> Scaled:
    """The form with unit rows and a Hessian of unit diagonal. Problems of a batch share the columns' scale, as they
    share the matrix."""
    size, slope = form.scales
    charged = form.charged if form.has_loss else np.zeros(form.batch)
    worth = np.maximum(size * slope, charged[:, None] / max(form.terms[0].count, 1))
    slope, units = worth / size, Units(size, worth)
    matrix = form.matrix
    curvature = float(np.exp(np.mean(np.log(slope / size))))
    penalty = np.exp(np.mean(np.log(np.maximum(form.penalty, 1e-300)), axis=0)) * (form.penalty > 0).all(axis=0)
    centers = _centers(form)
    rounding = COLUMN_SQUARE_ROUNDING * form.column_square  # a centered constant column is 0
    around = np.maximum(form.column_square - np.square(centers).sum(axis=0) / form.design.curves, rounding)
    square = np.where(around > EMPTY_COLUMN_SQUARE, around, 0.0) * form.terms[0].count
    total = penalty / curvature + square
    columns = 1.0 / np.sqrt(np.where(total > 0, total, 1.0))
    scaled = np.multiply(matrix, columns, out=large_array(*matrix.shape))
    for low in range(0, len(matrix), CHUNK_ROWS) if centers.any() else ():
        rows = slice(low, low + CHUNK_ROWS)  # of functionals that an intercept adds to
        scaled[rows] -= matrix[rows, form.design.levels] @ (centers * columns)
    # a column of zeros: its coefficient is held at 0, at no cost
    fixed = np.where((total > 0) | (form.penalty > 0), form.penalty, curvature)
    p = fixed * np.square(columns) * (np.square(size) / units.worth)
    terms = tuple(term.in_units(size, units.worth) for term in form.terms)
    found = Form(form.design, terms, p, scaled, units)
    if form.has_loss:
        found.knowing(reference=form.reference.in_units(units.worth))  # the same rows: processed once
    return Scaled(found, columns, centers * columns, units)


def _centers(form: Form) -> Array:
    """The mean of every column over the loss's rows of its curve, (levels, r), where the curve's last column, of ones,
    is free; else 0."""
    levels, r = form.design.levels, form.matrix.shape[1]
    if not form.design.intercept or not form.has_loss or (form.penalty[:, levels] > 0).any():
        return np.zeros((len(levels), r))
    count = form.loss.count // len(levels)
    centers = np.array([_mean_row(form, curve * count, (curve + 1) * count) for curve in range(len(levels))])
    centers[:, levels] = 0.0
    return centers


def _mean_row(form: Form, first: int, last: int) -> Array:
    """Of A over the rows first … last - 1 of the loss, (r,)."""
    starts = range(first, last, CHUNK_ROWS)
    sums = [form.loss.map.take(form.matrix, low, min(low + CHUNK_ROWS, last)).sum(axis=0) for low in starts]
    return np.sum(sums, axis=0) / (last - first)
