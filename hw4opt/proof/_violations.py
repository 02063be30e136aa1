"""How far fitted values violate the constraints, and the nearest feasible point on the way to an interior one."""

from __future__ import annotations

import numpy as np

from hw4opt.form import BoxRows, Form, RowBlock
from hw4opt.terms.base import Array


def _constrained(form: Form) -> list[tuple[RowBlock, BoxRows]]:
    return [
        (block, block.rows) for block in form.blocks if isinstance(block.rows, BoxRows) and block.rows.has_constraints
    ]


def worst_violation(form: Form, z: Array, allowed: Array) -> Array:
    """The largest constraint violation beyond rounding, (b,), in units of each row."""
    worst = np.zeros(form.batch)
    for block, rows in _constrained(form):
        beyond = rows.violation(z[:, block.span]) - allowed[:, block.span]
        worst = np.maximum(worst, beyond.max(axis=1, initial=0.0))
    return worst


def blend(form: Form, w: Array, z: Array, interior: Array, allowed: Array, which: np.ndarray) -> Array:
    """The nearest feasible point on the way to `interior`."""
    share, inside = np.zeros(form.batch), form.forward(interior)
    for block, rows in _constrained(form):
        sign = np.where(np.isinf(rows.high), -1.0, 1.0)
        v, v_inside = (sign * (one[:, block.span] - rows.shift) for one in (z, inside))
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.where(v < 0, -v / (v_inside - v), 0.0)
        outside = np.where(v < -allowed[:, block.span], 1.0, 0.0)
        needed = np.where((v < 0) & (v_inside <= 0), outside, needed)
        needed = np.where(rows.one_sided, needed, 0.0)
        share = np.maximum(share, needed.max(axis=1, initial=0.0))
    share = np.where(which, np.minimum(share * (1 + 1e-9), 1.0), 0.0)[:, None]
    return w + share * (interior - w)


def relative_violation(form: Form, z: Array, allowed: Array) -> Array:
    """The worst constraint row beyond rounding, (b,), in units of y's spread: differences and slopes as changes over
    the range of x."""
    worst = np.zeros(form.batch)
    for term, spans in zip(form.terms, form.spans, strict=True):
        for rows, span in zip(term.boxes, spans, strict=False):
            if rows.has_constraints:
                unit = term.acts.violation_unit(form.design, term.map)
                out = np.maximum(rows.violation(z[:, span]) - allowed[:, span], 0.0) * unit
                worst = np.maximum(worst, out.max(axis=1, initial=0.0) / form.target_spread)
    return worst


def largest_drop(form: Form, w: Array) -> Array | None:
    """The largest fall below the running maximum (rise above the minimum) under an order constraint, (b,); None without
    one."""
    drop = None
    for term in form.terms:
        if term.acts.order != 1 or not any(one.has_constraints for one in term.boxes):
            continue
        fitted = w @ form.matrix[: len(form.design.base_x)].T
        fitted = fitted if not term.boxes[0].low_bounded else -fitted
        fall = (np.maximum.accumulate(fitted, axis=1) - fitted).max(axis=1)
        drop = fall if drop is None else np.maximum(drop, fall)
    return drop
