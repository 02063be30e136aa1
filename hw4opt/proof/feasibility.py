"""A strictly feasible point, or a proof of infeasibility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw4opt.form import BoxRows, Form, TermRows
from hw4opt.form.answer import Options
from hw4opt.form.equilibrate import solve_scaled
from hw4opt.form.form import EMPTY_COLUMN_SQUARE
from hw4opt.solvers.interior import Interior
from hw4opt.terms.base import Array

MAX_INTERIOR_NORM = 1e9  # ‖w‖, in units of the constraints' scale, above which constraints count as infeasible
INTERIOR_MARGINS = (0.25, 1e-2, 1e-4, 1e-6)  # margins that are tried, relative to the spread of the targets


def strictly_feasible(form: Form) -> Array | None:
    """The w (r,) of smallest norm of one problem with a margin in every constraint row; None if none was found for any
    of INTERIOR_MARGINS.

    The margin of a row is that of a line for order 1, of a parabola for order 2, and at most a quarter of the distance
    between two bounds.
    """
    constraints = _constraints(form)
    if not constraints:
        return None
    spread = float(form.target_spread[0])
    for margin in INTERIOR_MARGINS:
        tight = tuple(_tighten(form, term, margin * spread) for term in constraints)
        w = solve_scaled(Interior().solve, _alone(form, tight), Options(tol=1e-6)).w[0]
        if all(_inside(box, term.map.take(form.matrix @ w)) for term in constraints for box in term.boxes):
            return w
    return None


def _constraints(form: Form) -> tuple[TermRows, ...]:
    return tuple(term for term in form.terms if not term.is_loss and any(box.has_constraints for box in term.boxes))


def infeasible(form: Form) -> bool:
    """Whether it is proven that every w that satisfies the constraints of one problem has norm above MAX_INTERIOR_NORM.

    For every feasible w and every u in the dual cone, ‖w‖ ≥ -⟨shift, u⟩/‖Aᵀu‖ (Farkas); it is infinite if the
    constraints are inconsistent.
    """
    constraints = _constraints(form)
    if not constraints:
        return False
    part = _alone(form, constraints)
    u = part.clip_dual(solve_scaled(Interior().solve, part, Options(tol=1e-9, max_iterations=60)).u)
    push = -sum(float(np.sum(block.rows.shift * u[:, block.span])) for block in part.blocks)
    pull = float(np.linalg.norm(part.adjoint(u) / np.sqrt(0.5 * part.penalty)))
    return push > 0 and push > MAX_INTERIOR_NORM * float(np.max(part.scales.z)) * pull


def _alone(form: Form, terms: tuple[TermRows, ...]) -> Form:
    """The form of these terms with the penalty ‖w‖² on all columns, so that an intercept stays finite; raw columns in
    units of their size."""
    raw = form.design.raw_columns & (form.column_square > EMPTY_COLUMN_SQUARE)
    size = np.where(raw, form.column_square, 1.0)
    return Form(form.design, terms, 2 * size[None], form.matrix)


def _inside(box: BoxRows, z: Array) -> bool:
    """Whether every constraint row holds strictly."""
    v = (z - box.shift)[0]
    room = np.where(np.isinf(box.high[0]), -v, v)
    return bool(np.all(room[np.broadcast_to(box.one_sided[0], room.shape)] > 0))


def _tighten(form: Form, term: TermRows, margin: float) -> TermRows:
    step = form.design.margin(term.acts, term.map, margin)
    boxes = []
    for box in term.boxes:
        move = step
        if len(term.boxes) == 2:  # lower and upper bounds: at most a quarter of the distance between them
            room = abs(float(term.boxes[0].shift.flat[0] - term.boxes[1].shift.flat[0]))
            move = np.minimum(step, room / 4)
        sign = np.where(np.isinf(box.high) & box.open, -1.0, 1.0)
        boxes.append(replace(box, shift=np.atleast_2d(box.shift + sign * move)))
    return replace(term, functions=tuple(boxes))
