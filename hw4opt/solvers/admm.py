"""ADMM on z = A w, over-relaxed, equilibrated, with adaptive rho; one factorisation serves until rho changes. Then the shared finish.

    w ← argmin ½ wᵀ P w + Σ ρ_i/2 (a_iᵀw - z_i + u_i/ρ_i)²,     z ← prox of f at the relaxed A w + u/ρ,     u ← u + ρ (A w - z)

u is the unscaled dual. Rows without sides stay in the quadratic. (Boyd et al. 2011; Stellato et al. 2020 for rho.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw4opt.active_set import FIRST_ORDER_ROUNDS, polish
from hw4opt.answer import Answer, Options, Status
from hw4opt.blocks import Run
from hw4opt.deadline import Deadline
from hw4opt.form import Form
from hw4opt.terms.base import Array

LIMIT = 5_000
RELAX = 1.6
ADAPT = 50  # steps between looks at rho
FIRST = 100  # steps before the first finish; the next ones after 2, 4, 8 … times as many


def refuse(form: Form) -> str | None:
    """Takes every form."""
    return None


def solve(form: Form, options: Options) -> Answer:
    """The whole batch, each problem with its own rho, until every finish certifies or the limit is reached."""
    limit, deadline = options.max_iterations or LIMIT, Deadline(options.time_limit)
    b = form.batch
    w, best = np.zeros(form.penalty.shape), np.full(b, np.inf)
    units, rho = [_unit(form, run) for run in form.runs], np.ones((b, 1))
    z = [np.zeros((b, run.size)) for run in form.runs]
    u = [np.zeros((b, run.size)) for run in form.runs]
    grams = [run.gram(run.matrix, np.broadcast_to(unit, (b, run.size))) for run, unit in zip(form.runs, units, strict=True)]
    inverse = _invert(form, grams, rho)
    kept_w, kept_u, iterations, check = w, u, np.full(b, limit), FIRST
    for iteration in range(1, limit + 1):
        right = -form.fixed.b + sum(
            ((rho * unit * one - dual) @ run.matrix for run, unit, one, dual in zip(form.runs, units, z, u, strict=True)), 0.0
        )
        w = inverse(right)
        az = [w @ run.matrix.T for run in form.runs]
        primal, dual_size, move, z_size = np.zeros(b), np.zeros(b), np.zeros(b), np.full(b, 1e-300)
        for place, run in enumerate(form.runs):
            step = 1.0 / (rho * units[place])
            mixed = RELAX * az[place] + (1 - RELAX) * z[place]
            fresh, u[place] = _prox(run, mixed, u[place], step)
            move = np.maximum(move, np.abs((fresh - z[place]) / step).max(axis=1))
            primal = np.maximum(primal, np.abs((az[place] - fresh) * np.sqrt(units[place])).max(axis=1))
            z_size = np.maximum(z_size, np.abs(az[place] * np.sqrt(units[place])).max(axis=1))
            dual_size = np.maximum(dual_size, np.abs(u[place]).max(axis=1))
            z[place] = fresh
        last = iteration == limit or deadline.passed()
        if iteration == check or last or not form.runs:
            goal = 0.5 * options.tol * form.gap_scale(w, np.zeros(b))
            finish = polish(form, w, u, None, goal, FIRST_ORDER_ROUNDS)
            better = (finish.gap < best)[:, None]
            kept_w = np.where(better, finish.w, kept_w)
            kept_u = [np.where(better, new, old) for new, old in zip(finish.duals, kept_u, strict=True)]
            best, done = np.minimum(best, finish.gap), np.minimum(best, finish.gap) <= goal
            iterations = np.where(done & (iterations == limit), iteration, iterations)
            check *= 2
            if last:
                iterations, limit = np.minimum(iterations, iteration), iteration
            if done.all() or last or not form.runs:
                break
        if iteration % ADAPT == 0:
            ratio = np.sqrt((primal / z_size) / np.maximum(move / np.maximum(dual_size, 1e-300), 1e-30))
            change = np.where((ratio > 3) | (ratio < 1 / 3), np.clip(ratio, 1e-2, 1e2), 1.0)[:, None]
            if (change != 1).any():
                rho = rho * change
                inverse = _invert(form, grams, rho)
    reached = [Status.CERTIFIED if count < limit or limit == 0 else Status.ITERATION_LIMIT for count in iterations]
    return Answer(kept_w, form.duals_from_runs(kept_u, kept_w), reached, iterations, notes=deadline.notes(reached))


def _unit(form: Form, run: Run) -> Array:
    """The natural rho of each row: dual over primal scale, from the loss at w = 0 and the length of the rows of A."""
    z_scale, u_scale = form.scales
    return u_scale / z_scale * np.square(form.loss_length / run.length)


def _invert(form: Form, grams: list[Array], rho: Array) -> Callable[[Array], Array]:
    """x ↦ (P + H₀ + ρ G)⁻¹ x, with one refinement."""
    h = form.fixed.h + sum((rho[:, :, None] * gram for gram in grams), 0.0)
    np.einsum("bii->bi", h)[:] += form.penalty
    root = 1 / np.sqrt(np.maximum(np.einsum("bii->bi", h), 1e-300))
    scaled = h * root[:, :, None] * root[:, None, :]
    np.einsum("bii->bi", scaled)[:] += 1e-14
    inverse = np.linalg.inv(scaled) * root[:, :, None] * root[:, None, :]

    def solve_h(right: Array) -> Array:
        x = np.matvec(inverse, right)
        return x + np.matvec(inverse, right - np.matvec(h, x))

    return solve_h


def _prox(run: Run, z: Array, u: Array, step: Array) -> tuple[Array, Array]:
    """z⁺ = prox of f at z + step u, and the new dual u + (z - z⁺)/step."""
    at = z + step * u
    if run.sheet is None:
        fresh = run.smooth.prox(at, step)  # type: ignore[union-attr]
        return fresh, (at - fresh) / step
    sheet = run.sheet
    dual = (at - sheet.shift) / (sheet.quadratic + step)
    dual = dual if sheet.low is None else np.maximum(dual, sheet.low)
    dual = dual if sheet.high is None else np.minimum(dual, sheet.high)
    dual = dual if sheet.active is None else dual * sheet.active
    return at - step * dual, dual
