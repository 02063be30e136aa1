"""Damped Newton steps for smooth rows, with a solver of box-constrained quadratic rows inside."""

from __future__ import annotations

import numpy as np

from hw4opt.core.interior import interior
from hw4opt.form import Form, SmoothRows
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.form.gap_scale import relative_gap
from hw4opt.form.table import row_table
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers._polish import measure, step_towards
from hw4opt.solvers._smooth_objective import HeldParts, Objective
from hw4opt.terms.base import Array

NEWTON_STEP_LIMIT = 100
INNER_STEP_LIMIT = 100
FIRST_INNER_TOL, LAST_INNER_TOL = 1e-6, 1e-10  # relative gaps of the first and last inner answers,
INNER_SHARE = 1e-2  # and between them this share of the square of the step before
# a Newton step of stretch above FAR_STRETCH is rejected; the next steps use at least the curvature of chords, until
# their stretch is below NEAR_SHARE^(number of rejected steps)
FAR_STRETCH = 8.0
NEAR_SHARE = 0.1
# largest change by the last step, absolute, and relative to the tolerance: the remaining error is about its square
FINAL_CHANGE, FINAL_CHANGE_SHARE = 1e-8, 10.0
STALLED_STEPS, NEAR_GAP = 8, 1e-6  # steps without gain, below that relative gap, after which rounding allows no more


def newton_around(form: Form, options: Options, start: Start | None) -> Answer:
    """Solve every problem by damped Newton steps, each towards the interior point's answer with smooth rows replaced by
    their second-order expansions; `start` is the initial point."""
    with np.errstate(over="ignore", invalid="ignore"):  # an exponential may overflow: the point kept is unaffected
        return _damped_steps(form, options, start)


def _damped_steps(form: Form, options: Options, start: Start | None) -> Answer:
    limit, deadline = options.max_iterations or NEWTON_STEP_LIMIT, Deadline(options.time_limit)
    b = form.batch
    w = _first_point(form) if start is None else start.w
    u = None if start is None else start.u
    best, iterations, gaps = Start(w.copy(), np.zeros((b, form.size))), np.zeros(b, dtype=int), np.full(b, np.inf)
    inside, solved, stalled = np.zeros_like(w), np.zeros(b, dtype=bool), np.zeros(b, dtype=int)
    active, part, near = np.arange(b), form, np.ones(b)
    change, stretch, final = np.ones(b), np.zeros(b), max(FINAL_CHANGE, FINAL_CHANGE_SHARE * options.tol)
    for number in range(1, limit + 1):
        scale = part.gap_scale(w, np.zeros(len(w)))
        scale = np.where(np.isfinite(scale), scale, 1.0)
        least = min(LAST_INNER_TOL, INNER_SHARE * options.tol)
        tol = float(np.clip(INNER_SHARE * np.square(change.min()), least, FIRST_INNER_TOL))
        far = stretch >= near
        table = row_table(part, scale, part.forward(w), far)
        inner = interior(table, tol, INNER_STEP_LIMIT, deadline.left, w, u)
        step = step_towards(part, w, u, inner)
        failed = ~far & (step.stretch > FAR_STRETCH)  # rejected, and a shorter step is tried first
        near = np.where(failed, NEAR_SHARE * near, near)
        change, stretch = step.change, np.where(failed, FAR_STRETCH, step.stretch)
        w = np.where(failed[:, None], w, step.w)
        u = step.u if u is None else np.where(failed[:, None], u, step.u)
        gap = measure(part, w, u)
        relative = relative_gap(gap, part.gap_scale(w, np.zeros(len(w))))
        better = gap < gaps[active]
        stalled[active] = np.where(better, 0, stalled[active] + 1)
        place = active[better]
        best.w[place], best.u[place], gaps[place] = w[better], u[better], gap[better]
        inside[place] = np.where(inner.steps[better, None] > 0, inner.interior[better], inside[place])
        iterations[active] = number
        solved[active] = (relative <= 0.5 * options.tol) & (step.change <= final)
        stays = step.change == 0  # and so it would in all further steps
        ended = (stalled[active] >= STALLED_STEPS) & ((relative <= NEAR_GAP) | stays)
        going = ~solved[active] & ~ended & np.isfinite(w).all(axis=1)
        if not going.any() or deadline.passed():
            break
        if not going.all():
            stay = np.flatnonzero(going)
            active, part, w, u = active[stay], part.cut(stay), w[stay], u[stay]
            near, change, stretch = near[stay], change[stay], stretch[stay]
    solved |= gaps <= 0.5 * options.tol * form.gap_scale(best.w, np.zeros(b))
    reached = [Status.CERTIFIED if done else Status.ITERATION_LIMIT for done in solved]
    return Answer(best.w, best.u, reached, iterations, inside, deadline.notes(reached))


def _first_point(form: Form) -> Array:
    """The least-squares fit of each smooth row's own minimizer z, if it is better than w = 0."""
    parts = [(block.chunk, block.rows) for block in form.blocks if isinstance(block.rows, SmoothRows)]
    smooth, zero = Objective(HeldParts(parts), None, form.penalty), np.zeros(form.penalty.shape)
    w = smooth.start()
    better = smooth.at(w).value < smooth.at_zero()
    return np.where(better[:, None], w, zero)
