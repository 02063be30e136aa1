"""Coefficients set exactly to the breakpoint where their dual holds them: to 0 by l1, to a bound by bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form, TermRows
from hw4opt.terms.base import Array

# of the interval's width (of the largest dual if it has one end): a dual this far from the ends holds its row
INNER_MARGIN = 1e-7
# of the fitted values' scale: the distance from its breakpoint within which a coefficient counts as on it
NEAR_BREAKPOINT = 1e-3


@dataclass(frozen=True, eq=False)
class _Held:
    """Rows of one function that act on coefficients: (b, m) whether each is held, and its coefficient's exact value."""

    columns: np.ndarray
    held: np.ndarray
    place: Array


def on_breakpoints(form: Form, w: Array, u: Array) -> Array | None:
    """w (b, r) with every coefficient set to its breakpoint if it is near it and its dual is strictly inside its
    interval.

    A dual u_j strictly inside the interval of ∂f at a breakpoint is in ∂f nowhere else: at the optimum the coefficient
    lies there. None if nothing changes. The new point needs a certificate of its own.
    """
    held = list(_held(form, w, u))
    if not held:
        return None
    moved = w.copy()
    for one in held:
        moved[:, one.columns] = np.where(one.held, one.place, moved[:, one.columns])
    return None if np.array_equal(moved, w) else moved


def _held(form: Form, w: Array, u: Array) -> Iterator[_Held]:
    for term, spans in zip(form.terms, form.spans, strict=True):
        if not term.acts.of_coefficients:
            continue
        for box, span in zip(term.boxes, spans, strict=True):
            if box.quadratic.any():
                continue
            mine = u[:, span]
            largest = np.abs(mine).max(axis=1, keepdims=True)
            width = box.high - box.low
            margin = INNER_MARGIN * np.where(np.isfinite(width), width, largest)
            columns = _columns(form, term.count)
            place = box.shift / _factors(term)
            scale = form.w_scale[:, columns]
            near = (np.abs(w[:, columns] - place) <= NEAR_BREAKPOINT * scale) | (scale == 0)
            inside = (mine > box.low + margin) & (mine < box.high - margin) & (margin > 0)
            yield _Held(columns, inside & near, np.broadcast_to(place, near.shape))


def _columns(form: Form, count: int) -> np.ndarray:
    """The columns of `count` coefficients, the first of every curve."""
    curves = form.design.curves
    first = form.penalty.shape[1] // curves * np.arange(curves)
    return (first[:, None] + np.arange(count // curves)).ravel()


def _factors(term: TermRows) -> Array | float:
    """The factor in z = factor · w of the term's rows: 1, or that from a coefficient to that of the raw column."""
    return 1.0 if term.map.coef is None else term.map.coef[:, 0]
