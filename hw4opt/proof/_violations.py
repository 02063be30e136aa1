"""The size of constraint violations, and the nearest feasible point on the segment to an interior one."""

from __future__ import annotations

import numpy as np

from hw4opt.form import BoxRows, Form
from hw4opt.proof._row_sums import row_rounding
from hw4opt.terms.base import Array


def worst_violation(beyond: Array) -> Array:
    """The largest violation beyond rounding, (b,), from the violation of every row (b, M)."""
    return beyond.max(axis=1, initial=0.0)


def blend(form: Form, w: Array, interior: Array, which: np.ndarray, distance: float) -> Array:
    """The nearest point on the segment to `interior` that is feasible, and at `distance` times the rounding of its rows
    from the constraints."""
    z, inside, share = form.forward(w), form.forward(interior), np.zeros(form.batch)
    near, of_z = row_rounding(form, w, z)
    for term, spans in zip(form.terms, form.spans, strict=True):
        for rows, span in zip(term.functions, spans, strict=True):
            if not (isinstance(rows, BoxRows) and rows.has_constraints):
                continue
            sign = np.where(np.isinf(rows.high), -1.0, 1.0)
            v, v_inside = (sign * (one[:, span] - rows.shift) for one in (z, inside))
            with np.errstate(divide="ignore", invalid="ignore"):
                least = distance * of_z[:, span]
                needed = np.where(v < least, (least - v) / (v_inside - v), 0.0)
            needed = np.where((v < least) & (v_inside <= least), np.where(v < -near[:, span], 1.0, 0.0), needed)
            share = np.maximum(share, np.where(rows.one_sided, needed, 0.0).max(axis=1, initial=0.0))
    share = np.where(which, np.minimum(share * (1 + 1e-9), 1.0), 0.0)[:, None]
    return w + share * (interior - w)


def relative_violation(form: Form, beyond: Array) -> Array:
    """The largest violation beyond rounding, (b,), in units of y's spread; differences and slopes as changes of f over
    the range of x."""
    worst = np.zeros(form.batch)
    for term, spans in zip(form.terms, form.spans, strict=True):
        if not any(one.has_constraints for one in term.boxes):
            continue
        unit = form.design.violation_unit(term.acts, term.map)
        for span in spans:
            worst = np.maximum(worst, (beyond[:, span] * unit).max(axis=1, initial=0.0))
    return worst / form.target_spread


def largest_drop(form: Form, w: Array) -> Array | None:
    """The largest fall below the running maximum (rise above the minimum) under an order constraint, (b,); None without
    one."""
    drop = None
    for term in form.terms:
        if term.acts.order != 1 or not any(one.has_constraints for one in term.boxes):
            continue
        rows = form.design.curve_matrix[term.acts.base_rows(form.design)]
        fitted = w.reshape(len(w), form.design.curves, -1) @ rows.T
        fitted = fitted if not term.boxes[0].low_bounded else -fitted
        fall = (np.maximum.accumulate(fitted, axis=-1) - fitted).max(axis=(1, 2))
        drop = fall if drop is None else np.maximum(drop, fall)
    return drop
