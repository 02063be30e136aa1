"""Sums over a form's rows at (w, u) with bounds of their rounding, by the certificate's own formulas."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np

from hw4opt.core.row_sums import RowSums
from hw4opt.core.row_sums import row_sums as sums_of_boxes
from hw4opt.form import Form, Piece, SmoothRows, pieces_of
from hw4opt.form.chunks import chunks
from hw4opt.running.array_files import large_array
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import EPS, Array

ROW_EVALUATION_ROUNDING = 8 * EPS  # of the largest fitted value (of a slope's own products), in a row


def row_rounding(form: Form, w: Array, z: Array) -> Array:
    """Bounds of the rounding in every row, (2, b, M): of z - shift near a breakpoint, and of z.

    The rounding is that of the largest fitted value, and of r products, times a row's coefficients. Where products
    cancel to values far below the targets' spread, it is that of the products, up to the spread. Slopes, in units of f
    over x, are not sums of fitted values: their rounding is that of their own products.
    """
    largest = np.abs(z[:, : form.loss.count]).max(axis=1)
    reach = np.maximum(np.abs(w) @ np.sqrt(form.column_square), largest)
    near = np.maximum(largest, np.minimum(reach, form.target_spread))
    level = 0.5 * EPS * (math.sqrt(w.shape[1]) + 4)
    of_values = np.stack([ROW_EVALUATION_ROUNDING * near, level * reach])[:, :, None]
    found = np.multiply(of_values, form.operator.amplification, out=large_array(2, *z.shape))
    for term, spans in zip(form.terms, form.spans, strict=True):
        if term.acts.own_unit:
            parts = [np.abs(w) @ np.abs(one.matrix).T for one in chunks(term.map, form.matrix)]
            own = np.concatenate(parts, axis=1)
            for span in spans:
                found[0, :, span], found[1, :, span] = ROW_EVALUATION_ROUNDING * own, level * own
    return found


def row_sums(form: Form, w: Array, z: Array, u: Array) -> RowSums:
    """The sums over all rows, smooth ones first; z = A w."""
    unsure, first = row_rounding(form, w, z), form.smooth_count
    parts = [_smooth_sums(form, z, u, unsure[1])] if first else []
    if form.size > first:
        z, u, unsure = (np.ascontiguousarray(one[..., first:]) for one in (z, u, unsure))
        parts.append(sums_of_boxes(form.boxes.table, z, u, unsure, form.operator.differences[first:]))
    return _joined(parts)


def _joined(parts: list[RowSums]) -> RowSums:
    if len(parts) == 1:
        return parts[0]
    slack, value, unsure, excess, beyond = zip(*parts, strict=True)
    excess, beyond = (np.concatenate(one, axis=1) for one in (excess, beyond))
    return RowSums(reduce(add, slack), reduce(add, value), reduce(add, unsure), excess, beyond)


def _smooth_sums(form: Form, z: Array, u: Array, of_z: Array) -> RowSums:
    rows = form.loss.functions[0]

    def sums(piece: Piece) -> RowSums:
        assert isinstance(piece.rows, SmoothRows)
        return _sums_of_piece(piece.rows, *(one[:, piece.span] for one in (z, u, of_z)))

    return _joined(parallel_map(sums, pieces_of(rows, 0, form.smooth_count)))


def _sums_of_piece(rows: SmoothRows, z: Array, u: Array, of_z: Array) -> RowSums:
    slack, (value, slope, curvature) = rows.slack(z, u), rows.derivatives(z)
    unsure = of_z + EPS * np.abs(rows.shift)
    rounding = np.abs(slope - u) * unsure + 0.5 * curvature * np.square(unsure) + rows.slack_rounding(z, u, slack)
    slack, value, unsure = (one.sum(axis=1) for one in (slack, value, rounding))
    return RowSums(slack, value, unsure, rows.excess(z), np.zeros(z.shape))
