"""Sums over a form's rows at (w, u), each with what rounding may do to it. Formulas of the certificate's own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hw4opt.form import BoxRows, Form, RowBlock, SmoothRows
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import EPS, Array

ROW_EVALUATION_ROUNDING = 8 * EPS  # of the largest fitted value (of a slope's own products), in a row


class RowRounding(NamedTuple):
    """What rounding may do to the rows, (b, M) each: to z - shift where that decides about a breakpoint, and to z -
    shift."""

    breakpoint: Array
    residual: Array


def breakpoint_rounding(form: Form, w: Array, z: Array) -> Array:
    """That of a row's fitted values, amplified by its coefficients, (b, M); slopes, in units of f over x, are no sums
    of fitted values."""
    largest = np.abs(z[:, : form.loss.count]).max(axis=1, keepdims=True)
    return _row_rounding(form, w, ROW_EVALUATION_ROUNDING * largest, ROW_EVALUATION_ROUNDING)


def residual_rounding(form: Form, w: Array, z: Array) -> Array:
    """That of r products and of the shift, amplified by a row's coefficients, (b, M)."""
    largest = np.abs(z[:, : form.loss.count]).max(axis=1)
    reach = np.maximum(np.abs(w) @ np.sqrt(form.column_square), largest)[:, None]
    level = 0.5 * EPS * (np.sqrt(w.shape[1]) + 4)
    found = _row_rounding(form, w, level * reach, level)
    for term, spans in zip(form.terms, form.spans, strict=True):
        for rows, span in zip(term.functions, spans, strict=True):
            if not term.acts.own_unit:
                found[:, span] += EPS * np.abs(rows.shift)
    return found


def _row_rounding(form: Form, w: Array, of_values: Array, of_products: float) -> Array:
    """`of_values` (b, 1) times Σ|coef| of each row, or of rows in units of their own `of_products` times |A||w|; (b,
    M)."""
    found = np.empty((form.batch, form.size))
    for term, spans in zip(form.terms, form.spans, strict=True):
        coef = term.map.coef
        if term.acts.own_unit:
            size = of_products * (np.abs(w) @ np.abs(term.map.take(form.matrix)).T)
        else:
            size = of_values * (1.0 if coef is None else 2.0 if term.map.is_difference else np.abs(coef).sum(axis=1))
        for span in spans:
            found[:, span] = size
    return found


class RowSums(NamedTuple):
    """Sums over rows, (b,): the Fenchel-Young slack, f, and what rounding may do to the slack."""

    slack: Array
    value: Array
    rounding: Array


def row_sums(form: Form, z: Array, u: Array, rounding: RowRounding) -> RowSums:
    """Over all rows."""
    parts = parallel_map(lambda block: _block_sums(form, block, z, u, rounding), form.blocks)
    zero = np.zeros(form.batch)
    return RowSums(
        sum((one.slack for one in parts), zero),
        sum((one.value for one in parts), zero),
        sum((one.rounding for one in parts), zero),
    )


def _block_sums(form: Form, block: RowBlock, z: Array, u: Array, rounding: RowRounding) -> RowSums:
    here = block.span
    unsure = rounding.residual[:, here]
    if isinstance(block.rows, SmoothRows):
        return _smooth_sums(block.rows, z[:, here], u[:, here], unsure)
    assert isinstance(block.rows, BoxRows)
    rows, q, u = block.rows, block.rows.quadratic, u[:, here]
    v = z[:, here] - rows.shift
    extra, met = np.zeros(len(z)), np.zeros(v.shape, dtype=bool)
    if (cancels := _cancels(form, block, rows)).any():  # rounding beyond a breakpoint counts as on it, at its price
        met = cancels & (np.abs(v) <= rounding.breakpoint[:, here])
        extra = (np.abs(u) * np.where(met, np.abs(v), 0.0)).sum(axis=1)
        v = np.where(met, 0.0, v)
    p = _best_dual(rows, v)
    p = np.where(cancels & (v == 0), u, p)
    finite = np.isfinite(p)
    if not finite.all():  # a violation is counted apart
        p, v, u = np.where(finite, p, 0.0), np.where(finite, v, 0.0), np.where(np.isfinite(u), u, 0.0)
    slack = (p - u) * (v - 0.5 * q * (p + u))
    value = (v - 0.5 * q * p) * p
    unsure = np.where(rows.open, _slack_rounding(rows, v, p, u, unsure, met), 0.0)
    return RowSums(np.maximum(slack, 0).sum(axis=1) + extra, value.sum(axis=1), unsure.sum(axis=1))


def _cancels(form: Form, block: RowBlock, rows: BoxRows) -> np.ndarray:
    """(b, m) or (1, m) bool: rows without curvature that are differences of fitted values, or constraints."""
    differences = np.zeros((1, block.count), dtype=bool)
    for part in block.parts:
        differences[:, part.rows] = form.terms[part.term].map.coef is not None
    return (differences & (rows.quadratic == 0)) | rows.one_sided


def _best_dual(rows: BoxRows, v: Array) -> Array:
    """The u at which v u - ½ q u² is largest on low ≤ u ≤ high."""
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(rows.quadratic > 0, v / rows.quadratic, np.where(v == 0, 0.0, np.copysign(np.inf, v)))
    return np.clip(free, rows.low, rows.high)


def _slack_rounding(rows: BoxRows, v: Array, p: Array, u: Array, unsure: Array, met: Array) -> Array:
    """What an error of `unsure` in v does to the slack of a row, whose slope in v is p - u and whose curvature is
    1/q."""
    q = rows.quadratic
    unsure = unsure + EPS * (np.abs(v) + q * np.abs(u))
    first = np.abs(p - u) * unsure
    with np.errstate(invalid="ignore"):
        bends = (q > 0) & (v + unsure >= q * rows.low) & (v - unsure <= q * rows.high)
    second = np.where(bends, np.square(unsure) / (2 * np.where(q > 0, q, 1.0)), 0.0)
    if not np.any(q == 0):
        return first + second
    width = rows.high - rows.low
    crosses = np.where(met | np.isinf(width), np.abs(u), width) * unsure
    flat = np.where(np.abs(v) <= unsure, np.maximum(first, crosses), first)
    return np.where(q > 0, first + second, flat)


def _smooth_sums(rows: SmoothRows, z: Array, u: Array, unsure: Array) -> RowSums:
    slack, (value, slope, curvature) = rows.slack(z, u), rows.derivatives(z)
    rounding = np.abs(slope - u) * unsure + 0.5 * curvature * np.square(unsure) + rows.slack_rounding(z, u, slack)
    return RowSums(slack.sum(axis=1), value.sum(axis=1), rounding.sum(axis=1))
