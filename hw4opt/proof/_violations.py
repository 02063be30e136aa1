"""How far fitted values violate the constraints, and the nearest feasible point on the way to an interior one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import BoxRows, Form, TermRows
from hw4opt.proof._row_sums import RowRounding
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class Violation:
    """How far the rows of one function of a term violate its constraints beyond rounding, (b, m), in units of each
    row."""

    term: TermRows
    beyond: Array


def violations(form: Form, z: Array, rounding: Sequence[Sequence[RowRounding]]) -> list[Violation]:
    """Of every function with constraints."""
    return [
        Violation(term, np.maximum(rows.violation(z[:, span]) - near.breakpoint, 0.0))
        for term, spans, of_term in zip(form.terms, form.spans, rounding, strict=True)
        for rows, span, near in zip(term.functions, spans, of_term, strict=True)
        if isinstance(rows, BoxRows) and rows.has_constraints
    ]


def worst_violation(form: Form, found: Sequence[Violation]) -> Array:
    """The largest one, (b,)."""
    worst = np.zeros(form.batch)
    for one in found:
        worst = np.maximum(worst, one.beyond.max(axis=1, initial=0.0))
    return worst


def blend(
    form: Form, w: Array, z: Array, interior: Array, rounding: Sequence[Sequence[RowRounding]], which: np.ndarray
) -> Array:
    """The nearest feasible point on the way to `interior`."""
    inside, share = form.forward(interior), np.zeros(form.batch)
    for term, spans, of_term in zip(form.terms, form.spans, rounding, strict=True):
        for rows, span, near in zip(term.functions, spans, of_term, strict=True):
            if not (isinstance(rows, BoxRows) and rows.has_constraints):
                continue
            sign = np.where(np.isinf(rows.high), -1.0, 1.0)
            v, v_inside = (sign * (one[:, span] - rows.shift) for one in (z, inside))
            with np.errstate(divide="ignore", invalid="ignore"):
                needed = np.where(v < 0, -v / (v_inside - v), 0.0)
            needed = np.where((v < 0) & (v_inside <= 0), np.where(v < -near.breakpoint, 1.0, 0.0), needed)
            share = np.maximum(share, np.where(rows.one_sided, needed, 0.0).max(axis=1, initial=0.0))
    share = np.where(which, np.minimum(share * (1 + 1e-9), 1.0), 0.0)[:, None]
    return w + share * (interior - w)


def relative_violation(form: Form, found: Sequence[Violation]) -> Array:
    """The largest one, (b,), in units of y's spread: differences and slopes as changes over the range of x."""
    worst = np.zeros(form.batch)
    for one in found:
        unit = form.design.violation_unit(one.term.acts, one.term.map)
        worst = np.maximum(worst, (one.beyond * unit).max(axis=1, initial=0.0) / form.target_spread)
    return worst


def largest_drop(form: Form, w: Array) -> Array | None:
    """The largest fall below the running maximum (rise above the minimum) under an order constraint, (b,); None without
    one."""
    drop = None
    for term in form.terms:
        if term.acts.order != 1 or not any(one.has_constraints for one in term.boxes):
            continue
        rows = form.design.curve_matrix[term.acts.base_rows(form.design)]
        fitted = np.stack([np.atleast_2d(form.design.apply(rows, one).T) for one in w])  # (b, curves, N)
        fitted = fitted if not term.boxes[0].low_bounded else -fitted
        fall = (np.maximum.accumulate(fitted, axis=-1) - fitted).max(axis=(1, 2))
        drop = fall if drop is None else np.maximum(drop, fall)
    return drop
