"""Sums over a form's rows at (w, u), each with what rounding may do to it. Formulas of the certificate's own."""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from hw4opt.form import BoxRows, Form, Piece, SmoothRows, TermRows, pieces_of
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import EPS, Array

ROW_EVALUATION_ROUNDING = 8 * EPS  # of the largest fitted value (of a slope's own products), in a row


class RowRounding(NamedTuple):
    """What rounding may do to the rows, (b, M) each: to z - shift where that decides about a breakpoint without
    curvature, and to z - shift."""

    breakpoint: Array
    residual: Array


def row_rounding(form: Form, w: Array, z: Array) -> RowRounding:
    """That of the largest fitted value, and of r products and the shift, amplified by a row's coefficients.

    Slopes, in units of f over x, are no sums of fitted values: theirs is that of their own products.
    """
    largest = np.abs(z[:, : form.loss.count]).max(axis=1, keepdims=True)
    reach = np.maximum((np.abs(w) @ np.sqrt(form.column_square))[:, None], largest)
    level = 0.5 * EPS * (math.sqrt(w.shape[1]) + 4)
    found = RowRounding(np.zeros(z.shape), np.empty(z.shape))
    for term, spans in zip(form.terms, form.spans, strict=True):
        own = np.abs(w) @ np.abs(term.map.take(form.matrix)).T if term.acts.own_unit else None
        for rows, span in zip(term.functions, spans, strict=True):
            if own is None:
                found.residual[:, span] = EPS * np.abs(rows.shift) + level * term.map.total * reach
            else:
                found.residual[:, span] = level * own
            if not (isinstance(rows, BoxRows) and rows.all_curved):
                at = largest * term.map.total if own is None else own
                found.breakpoint[:, span] = ROW_EVALUATION_ROUNDING * at
    return found


class RowSums(NamedTuple):
    """Sums over rows, (b,): the Fenchel-Young slack, f, and what rounding may do to the slack; and f - min f of every
    row, (b, m)."""

    slack: Array
    value: Array
    rounding: Array
    excess: Array


def row_sums(form: Form, z: Array, u: Array, rounding: RowRounding) -> RowSums:
    """Over all rows."""

    def sums(part: tuple[TermRows, Piece]) -> RowSums:
        term, piece = part
        z_here, u_here, unsure = z[:, piece.span], u[:, piece.span], rounding.residual[:, piece.span]
        if isinstance(piece.rows, SmoothRows):
            return _smooth_sums(piece.rows, z_here, u_here, unsure)
        near = RowRounding(rounding.breakpoint[:, piece.span], unsure)
        return _box_sums(piece.rows, term.map.coef is not None, z_here, u_here, near)

    parts = parallel_map(sums, _pieces(form))
    if len(parts) == 1:
        return parts[0]
    slack, value, unsure, excess = zip(*parts, strict=True)
    return RowSums(reduce(add, slack), reduce(add, value), reduce(add, unsure), np.concatenate(excess, axis=1))


def _pieces(form: Form) -> list[tuple[TermRows, Piece]]:
    """The functions of every term, some rows at a time."""
    return [
        (term, piece)
        for term, spans in zip(form.terms, form.spans, strict=True)
        for rows, span in zip(term.functions, spans, strict=True)
        for piece in pieces_of(rows, span.start, span.stop)
    ]


def _box_sums(rows: BoxRows, are_differences: bool, z: Array, u: Array, rounding: RowRounding) -> RowSums:
    """Of rows without curvature, differences of fitted values and constraints cancel: rounding beyond a breakpoint
    counts as on it, at its price."""
    v, half = z - rows.shift, 0.5 * rows.quadratic
    met, extra, at_breakpoint = False, 0.0, u
    if not rows.all_curved:
        cancels = rows.flat if are_differences else rows.one_sided  # constraints are flat
        size = np.abs(v)
        met = cancels & (size <= rounding.breakpoint)
        extra = np.vecdot(np.abs(u), np.where(met, size, 0.0))
        v, at_breakpoint = np.where(met, 0.0, v), np.where(cancels, u, 0.0)
    p = _best_dual(rows, v, at_breakpoint)
    if rows.has_constraints and not (inside := np.isfinite(p)).all():  # a violation is counted apart
        p, v, u = np.where(inside, p, 0.0), np.where(inside, v, 0.0), np.where(np.isfinite(u), u, 0.0)
        value = (v - half * p) * p
        excess = np.where(inside, value, np.inf)
    else:
        value = excess = (v - half * p) * p
    slope = p - u
    slack = np.maximum(slope * (v - half * (p + u)), 0.0).sum(axis=1) + extra
    unsure = _slack_rounding(rows, v, u, np.abs(slope), rounding.residual, met)
    return RowSums(slack, value.sum(axis=1), unsure.sum(axis=1), excess)


def _best_dual(rows: BoxRows, v: Array, at_breakpoint: Array) -> Array:
    """The u at which v u - ½ q u² is largest on low ≤ u ≤ high; where every one is, the one that is given."""
    if rows.all_curved:
        free = v / rows.quadratic
    else:
        free = np.where(v == 0, at_breakpoint, np.copysign(np.inf, v))
        if not rows.none_curved:
            free = np.where(rows.flat, free, v / np.where(rows.flat, 1.0, rows.quadratic))
    return np.minimum(np.maximum(free, rows.low), rows.high)


def _slack_rounding(rows: BoxRows, v: Array, u: Array, slope: Array, unsure: Array, met: np.ndarray | bool) -> Array:
    """What an error of `unsure` in v does to the slack of a row, whose slope in v is as steep as `slope` and whose
    curvature is 1/q."""
    size = np.abs(u)
    unsure = unsure + EPS * (np.abs(v) + rows.quadratic * size)
    total = first = slope * unsure
    if not rows.none_curved:
        total = first + _bend_rounding(rows, v, unsure)
    if not rows.all_curved:
        width = rows.high - rows.low
        crosses = np.where(met | np.isinf(width), size, width) * unsure
        beyond = np.where(np.abs(v) <= unsure, np.maximum(crosses, first), first)
        total = np.where(rows.flat, beyond, total)
    return total if rows.all_open else np.where(rows.open, total, 0.0)


def _bend_rounding(rows: BoxRows, v: Array, unsure: Array) -> Array:
    """The second order where f is curved."""
    bend = rows.quadratic if rows.all_curved else np.where(rows.flat, 1.0, rows.quadratic)
    second = np.square(unsure) * (0.5 / bend)
    if not (rows.low_bounded or rows.high_bounded):
        return second
    return np.where((v + unsure >= bend * rows.low) & (v - unsure <= bend * rows.high), second, 0.0)


def _smooth_sums(rows: SmoothRows, z: Array, u: Array, unsure: Array) -> RowSums:
    slack, (value, slope, curvature) = rows.slack(z, u), rows.derivatives(z)
    rounding = np.abs(slope - u) * unsure + 0.5 * curvature * np.square(unsure) + rows.slack_rounding(z, u, slack)
    return RowSums(slack.sum(axis=1), value.sum(axis=1), rounding.sum(axis=1), rows.excess(z))
