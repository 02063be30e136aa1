"""A point strictly inside every constraint, or a proof that no point satisfies them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw4opt.answer import Options
from hw4opt.blocks import Block, Sheet, clip_dual
from hw4opt.equilibrate import solve_scaled
from hw4opt.form import EMPTY_COLUMN_SQUARE, Form
from hw4opt.solvers import interior
from hw4opt.terms import Coefficients, Differences, Slope
from hw4opt.terms.base import Array

ABSURD = 1e9  # norm of w, in units of the constraints' own scale
MARGINS = (0.25, 1e-2, 1e-4, 1e-6)  # of the data's spread


def strictly_feasible(form: Form) -> Array | None:
    """The smallest w (r,) of one problem that keeps a margin in every constraint row, or None if none was found for any margin.

    Margins follow the shape: a rising line for order 1, a parabola for order 2, part of the room for bounds.
    """
    constraints = [block for block in form.blocks if any(_is_constraint(sheet) for sheet in block.sheets) and not block.is_loss]
    if not constraints:
        return None
    spread = float(form.target_spread[0])
    for margin in MARGINS:
        tight = tuple(_tighten(form, block, margin * spread) for block in constraints)
        answer = solve_scaled(interior.solve, _alone(form, tight), Options(tol=1e-6))
        zs = [block.rows.take(form.matrix @ answer.w[0]) for block in constraints]
        if all(_inside(sheet, z) for block, z in zip(constraints, zs, strict=True) for sheet in block.sheets):
            return answer.w[0]
    return None


def infeasible(form: Form) -> bool:
    """Whether it is proven that only functions of absurd norm could satisfy the constraints of one problem.

    Any w with A w inside and any u in the duals' cone have ‖w‖ ≥ -⟨shift, u⟩/‖Aᵀu‖ (Farkas): infinite if the constraints conflict.
    """
    constraints = tuple(block for block in form.blocks if any(_is_constraint(sheet) for sheet in block.sheets) and not block.is_loss)
    if not constraints:
        return False
    part = _alone(form, constraints)
    answer = solve_scaled(interior.solve, part, Options(tol=1e-9, max_iterations=60))
    sheets = [(piece.span, piece.sheet) for piece in part.pieces if piece.sheet is not None]
    u = np.concatenate([clip_dual(sheet, answer.u[:, span]) for span, sheet in sheets], axis=1)
    push = -sum(float(np.sum(sheet.shift * u[:, span])) for span, sheet in sheets)
    pull = float(np.linalg.norm(part.adjoint(u) / np.sqrt(0.5 * part.penalty)))
    return push > 0 and push > ABSURD * float(np.max(part.scales[0])) * pull


def _alone(form: Form, blocks: tuple[Block, ...]) -> Form:
    """The smallest w of some blocks alone.

    Every column is penalised, so that an intercept stays finite; raw ones in units of their size.
    """
    size = np.ones(form.matrix.shape[1])
    if form.design.kernel is None:
        size = np.where(form.column_square > EMPTY_COLUMN_SQUARE, form.column_square, 1.0)
    return Form(form.design, blocks, 2 * size[None], form.matrix)


def _is_constraint(sheet: Sheet) -> bool:
    return (sheet.low is None) != (sheet.high is None) and bool(np.all(sheet.quadratic == 0))


def _inside(sheet: Sheet, z: Array) -> bool:
    v = z - sheet.shift[0]
    room = -v if sheet.high is None else v
    return bool(np.all(room[sheet.active[0] > 0] > 0)) if sheet.active is not None else bool(np.all(room > 0))


def _tighten(form: Form, block: Block, margin: float) -> Block:
    x = form.design.base_x
    acts = block.acts
    step: Array | float = margin
    if isinstance(acts, Differences):
        rows, width = block.rows, float(x[-1, 0] - x[0, 0])
        first = np.arange(rows.count) if rows.index is None else rows.index[:, 0]
        last = first + acts.order if rows.index is None else rows.index[:, -1]
        step = margin * (x[last, 0] - x[first, 0]) / width**acts.order
    elif isinstance(acts, Slope):
        step = margin / (float(np.ptp(x[:, acts.column])) or 1.0)
    elif isinstance(acts, Coefficients):
        width = np.ptp(x, axis=0) * (1.0 if form.design.spread is None or not acts.raw else form.design.spread)
        step = margin / np.where(width > 0, width, 1.0)
    sheets = []
    for sheet in block.sheets:
        move = step
        if len(block.sheets) == 2:  # bounds on both sides: never more than a part of the room
            room = abs(float(block.sheets[0].shift.flat[0] - block.sheets[1].shift.flat[0]))
            move = np.minimum(step, room / 4)
        sheets.append(replace(sheet, shift=np.atleast_2d(sheet.shift + (-move if sheet.high is None else move))))
    return replace(block, sheets=tuple(sheets))
