"""Polishing, shared by native solvers: find the active set of a nearly optimal point, and its exact optimum.

The core does it for box-constrained rows (core/polish.c); smooth rows are replaced by their second-order expansions,
and a damped Newton step goes towards the polished point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.core.interior import SolvedPoints
from hw4opt.core.interior import polish as polish_rows
from hw4opt.form import BoxRows, Form, RowBlock, SmoothRows
from hw4opt.form.table import row_table
from hw4opt.terms.base import Array

VIOLATION_PRICE = 1e5  # of a violated constraint, in units of the largest |u|: polishing must not gain by violating one
VIOLATION_ROUNDING = 4e-15  # of ‖w‖ times the typical length of the rows of the loss: constraints are met to that
STEPS = 40  # of Newton's method from the point of a first-order method
ROUNDS = 8  # of these, between new expansions of smooth rows


@dataclass(frozen=True, eq=False)
class Polished:
    """The better of two points, problem by problem: w (b, r), u (b, M), and their gap (b,)."""

    w: Array
    u: Array
    gap: Array


def polish(form: Form, w: Array, u: Array, aim: Array) -> Polished:
    """The points (w, u) polished until their gaps are well below `aim` (b,), or unchanged if that is no improvement."""
    if not form.nonquadratic:
        return Polished(w, u, measure(form, w, u))
    if not form.smooth_count:
        found = polish_rows(row_table(form), w, u, aim, STEPS)
        return Polished(found.w, found.u, found.gap)
    with np.errstate(over="ignore", invalid="ignore"):  # an exponential may overflow: the point kept is unaffected
        return _polish_smooth(form, w, u, aim)


def _polish_smooth(form: Form, w: Array, u: Array, aim: Array) -> Polished:
    best = Polished(w.copy(), u.copy(), measure(form, w, u))
    for _ in range(ROUNDS):
        found = polish_rows(row_table(form, np.ones(form.batch), form.forward(w)), w, u, aim, STEPS)
        step = step_towards(form, w, u, found)
        w, u = step.w, step.u
        gap = measure(form, w, u)
        better = gap < best.gap
        best.w[better], best.u[better], best.gap[better] = w[better], u[better], gap[better]
        if (best.gap <= aim).all() or not better.any():
            break
    return best


def measure(form: Form, w: Array, u: Array) -> Array:
    """The duality gap at (w, u), (b,), plus violations of constraints times a multiple of |u|."""
    residual = form.penalty * w + form.quadratic.b + np.matvec(form.quadratic.h, w)
    total = np.zeros(form.batch)
    rounding = VIOLATION_ROUNDING * form.loss_length * np.sqrt(np.vecdot(w, w))[:, None]
    for block in form.nonquadratic:
        a, mine = block.matrix, u[:, block.span]
        residual += mine @ a
        unit = form.scales.u * form.loss_length / block.length
        price = VIOLATION_PRICE * np.maximum(np.abs(mine).max(axis=1, keepdims=True), unit)
        total += block.rows.slack(w @ a.T, mine, price, rounding).sum(axis=1)
    return total + form.stationarity_cost(w, residual)


class Step(NamedTuple):
    """The end of a damped step, w (b, r) and u (b, M), and the largest change of a smooth row in the full step, in
    units of its self-concordance: in any direction, and in those that shorten the step, (b,)."""

    w: Array
    u: Array
    change: Array
    stretch: Array


def step_towards(form: Form, w: Array, u: Array | None, found: SolvedPoints) -> Step:
    """The step from w, of a length safe for the smooth rows; u takes the same length, and is the slope of smooth
    rows."""
    direction = found.w - w
    change, stretch = np.zeros(len(w)), np.full(len(w), 1e-12)
    for block in form.blocks:
        if isinstance(block.rows, SmoothRows):
            term = block.rows.term
            asked = term.self_concordance * (direction @ block.matrix.T)
            most = np.abs(asked).max(axis=1, initial=0.0)
            change = np.maximum(change, most)
            stretch = np.maximum(stretch, asked.max(axis=1, initial=0.0) if term.steepening else most)
    length = np.minimum(1.0, np.log1p(stretch) / stretch)[:, None]
    w = w + length * direction
    u = found.u if u is None else u + length * (found.u - u)
    z = form.forward(w)

    def dual(block: RowBlock) -> Array:
        return u[:, block.span] if isinstance(block.rows, BoxRows) else block.rows.gradient(z[:, block.span])

    return Step(w, form.by_block(dual), change, stretch)
