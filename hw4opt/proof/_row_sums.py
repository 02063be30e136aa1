"""Sums over a form's rows at (w, u), each with what rounding may do to it. Formulas of the certificate's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from hw4opt.form import BoxRows, Form, Piece, SmoothRows, cut_rows, pieces_of
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import EPS, Array

ROW_EVALUATION_ROUNDING = 8 * EPS  # of the largest fitted value (of a slope's own products), in a row


class RowRounding(NamedTuple):
    """What rounding may do to the rows of one function, (b, m) or (b, 1) each: to z - shift where that decides about a
    breakpoint, and to z."""

    breakpoint: Array
    z: Array

    def cut(self, columns: slice) -> RowRounding:
        """Some of the rows."""
        return RowRounding(*(cut_rows(one, columns) for one in self))


def row_rounding(form: Form, w: Array, z: Array) -> list[list[RowRounding]]:
    """By term and function: that of the largest fitted value, and of r products, amplified by a row's coefficients.

    Slopes, in units of f over x, are no sums of fitted values: theirs is that of their own products.
    """
    largest = np.abs(z[:, : form.loss.count]).max(axis=1, keepdims=True)
    reach = np.maximum((np.abs(w) @ np.sqrt(form.column_square))[:, None], largest)
    level = 0.5 * EPS * (math.sqrt(w.shape[1]) + 4)
    found = []
    for term in form.terms:
        own = np.abs(w) @ np.abs(term.map.take(form.matrix)).T if term.acts.own_unit else None
        at, of_products = (largest * term.map.total, reach * term.map.total) if own is None else (own, own)
        found.append([RowRounding(ROW_EVALUATION_ROUNDING * at, level * of_products)] * len(term.functions))
    return found


class RowSums(NamedTuple):
    """Sums over rows, (b,): the Fenchel-Young slack, f, and what rounding may do to the slack; and f - min f of every
    row, (b, m)."""

    slack: Array
    value: Array
    rounding: Array
    excess: Array


def row_sums(form: Form, z: Array, u: Array, rounding: Sequence[Sequence[RowRounding]]) -> RowSums:
    """Over all rows."""

    def sums(part: _Part) -> RowSums:
        z_here, u_here = z[:, part.piece.span], u[:, part.piece.span]
        if isinstance(part.piece.rows, SmoothRows):
            return _smooth_sums(part.piece.rows, z_here, u_here, part.rounding)
        return _box_sums(part.piece.rows, part.are_differences, z_here, u_here, part.rounding)

    parts = parallel_map(sums, _parts(form, rounding))
    if len(parts) == 1:
        return parts[0]
    slack, value, unsure, excess = zip(*parts, strict=True)
    return RowSums(reduce(add, slack), reduce(add, value), reduce(add, unsure), np.concatenate(excess, axis=1))


class _Part(NamedTuple):
    """Some rows of one function; whether they have coefficients of their own."""

    piece: Piece
    are_differences: bool
    rounding: RowRounding


def _parts(form: Form, rounding: Sequence[Sequence[RowRounding]]) -> list[_Part]:
    """All rows, some of one function at a time."""
    found = []
    for term, spans, of_term in zip(form.terms, form.spans, rounding, strict=True):
        for rows, span, near in zip(term.functions, spans, of_term, strict=True):
            for piece in pieces_of(rows, span.start, span.stop):
                own = slice(piece.span.start - span.start, piece.span.stop - span.start)
                found.append(_Part(piece, term.map.coef is not None, near if piece.rows is rows else near.cut(own)))
    return found


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
    unsure = _slack_rounding(rows, v, u, np.abs(slope), rounding.z, met)
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


def _slack_rounding(rows: BoxRows, v: Array, u: Array, slope: Array, of_z: Array, met: np.ndarray | bool) -> Array:
    """What an error in v does to the slack of a row, whose slope in v is as steep as `slope` and whose curvature is
    1/q; of_z: what there is in z."""
    size = np.abs(u)
    unsure = EPS * (np.abs(rows.shift) + np.abs(v) + rows.quadratic * size) + of_z
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


def _smooth_sums(rows: SmoothRows, z: Array, u: Array, near: RowRounding) -> RowSums:
    slack, (value, slope, curvature) = rows.slack(z, u), rows.derivatives(z)
    unsure = near.z + EPS * np.abs(rows.shift)
    rounding = np.abs(slope - u) * unsure + 0.5 * curvature * np.square(unsure) + rows.slack_rounding(z, u, slack)
    return RowSums(slack.sum(axis=1), value.sum(axis=1), rounding.sum(axis=1), rows.excess(z))
