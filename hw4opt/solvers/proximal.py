"""Accelerated proximal gradient with adaptive restart (Nesterov 1983; Beck and Teboulle 2009; O'Donoghue and Candès 2015).

On the primal where every block but one that acts on coefficients alone is smooth:

    w ← prox of the l1 block at w - ∇(rest)/L;

else on the dual, where every block's conjugate has its own prox and the ridge and the squared rows Q = P + H₀ are the smooth part:

    minimise over u   ½ (b + Aᵀu)ᵀ Q⁻¹ (b + Aᵀu) + Σ_i f_i*(u_i),       w = -Q⁻¹ (b + Aᵀu).

Steps are per row, from the length of the rows of A. The shared finish ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from hw4opt.active_set import FIRST_ORDER_ROUNDS, polish
from hw4opt.answer import Answer, Options, Status
from hw4opt.blocks import Run
from hw4opt.deadline import Deadline
from hw4opt.form import Form
from hw4opt.linear import largest_eigenvalue
from hw4opt.terms import Coefficients
from hw4opt.terms.base import Array

LIMIT = 50_000
FIRST = 100  # steps before the first finish; the next ones after 2, 4, 8 … times as many
Point = tuple[Array, list[Array]]


def refuse(form: Form) -> str | None:
    """Needs the primal's or the dual's smooth part: see the sentence."""
    if _on_primal(form) or _dual_is_smooth(form):
        return None
    rough = sorted({name for run in form.runs if not _is_smooth(run) for piece in run.members for name in form.blocks[piece.block].names})
    free = "an unpenalised intercept" if form.design.intercept else "ridge 0"
    return (
        f"with {free} proximal needs every term but one on the coefficients to be smooth, of bounded curvature; {', '.join(rough)} is not"
    )


def _is_smooth(run: Run) -> bool:
    """Of bounded curvature."""
    if run.sheet is None:
        return bool(np.all(run.smooth.steepest < np.inf))  # type: ignore[union-attr]
    return bool(np.all(run.sheet.quadratic > 0))


def _on_coefficients(form: Form, run: Run) -> bool:
    """Whether the run is the l1 block: a weight on both sides of every coefficient."""
    both = run.sheet is not None and run.sheet.low is not None and run.sheet.high is not None
    return both and all(isinstance(form.blocks[piece.block].acts, Coefficients) for piece in run.members)


def _on_primal(form: Form) -> bool:
    return all(_is_smooth(run) or _on_coefficients(form, run) for run in form.runs)


def _dual_is_smooth(form: Form) -> bool:
    """Q = P + H₀ is safely positive definite."""
    q = _quadratic(form)
    root = 1 / np.sqrt(np.maximum(np.einsum("bii->bi", q), 1e-300))
    return bool(np.linalg.eigvalsh(q * root[:, :, None] * root[:, None, :])[:, 0].min() > 1e-13)


def _quadratic(form: Form) -> Array:
    q = form.fixed.h.copy()
    np.einsum("bii->bi", q)[:] += form.penalty
    return q


def solve(form: Form, options: Options) -> Answer:
    """The whole batch until every finish certifies or the limit is reached."""
    limit, deadline = options.max_iterations or LIMIT, Deadline(options.time_limit)
    start, advance, point_of = (_primal if _on_primal(form) else _dual)(form)
    w, u = point_of(start)
    best, iterations, check = np.full(form.batch, np.inf), np.full(form.batch, limit), FIRST
    x, y, momentum = start, start, np.ones((form.batch, 1))
    for iteration in range(1, limit + 1):
        fresh = advance(y)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        restart = np.vecdot(y - fresh, fresh - x)[:, None] > 0
        y = fresh + np.where(restart, 0.0, (momentum - 1) / following) * (fresh - x)
        momentum = np.where(restart, 1.0, following)
        x = fresh
        last = iteration == limit or deadline.passed()
        if iteration == check or last:
            here_w, here_u = point_of(x)
            goal = 0.5 * options.tol * form.gap_scale(here_w, np.zeros(form.batch))
            finish = polish(form, here_w, here_u, None, goal, FIRST_ORDER_ROUNDS)
            better = (finish.gap < best)[:, None]
            w = np.where(better, finish.w, w)
            u = [np.where(better, new, old) for new, old in zip(finish.duals, u, strict=True)]
            best = np.minimum(best, finish.gap)
            iterations = np.where((best <= goal) & (iterations == limit), iteration, iterations)
            check *= 2
            if last:
                iterations, limit = np.minimum(iterations, iteration), iteration
            if (best <= goal).all() or last:
                break
    reached = [Status.CERTIFIED if count < limit else Status.ITERATION_LIMIT for count in iterations]
    return Answer(w, form.duals_from_runs(u, w), reached, iterations, notes=deadline.notes(reached))


def _slope(run: Run, z: Array) -> Array:
    return run.smooth.gradient(z) if run.sheet is None else run.sheet.slope(z - run.sheet.shift)  # type: ignore[union-attr]


def _curvature(form: Form, run: Run) -> Array:
    """An upper bound of f'' on every row."""
    rows = (form.batch, run.size)
    if run.sheet is None:
        return np.broadcast_to(run.smooth.steepest, rows)  # type: ignore[union-attr]
    active = 1.0 if run.sheet.active is None else run.sheet.active
    return np.broadcast_to(active / run.sheet.quadratic, rows)


def _primal(form: Form) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Point]]:
    smooth = [run for run in form.runs if _is_smooth(run)]
    rough = [run for run in form.runs if not _is_smooth(run)]
    h = _quadratic(form)
    total = h + sum((run.gram(run.matrix, _curvature(form, run)) for run in smooth), 0.0)
    scale = np.maximum(np.einsum("bii->bi", total), 1e-300)
    step = 1.0 / (scale * largest_eigenvalue(total / np.sqrt(scale[:, :, None] * scale[:, None, :]))[:, None])

    def gradient(w: Array) -> Array:
        return np.matvec(h, w) + form.fixed.b + sum((_slope(run, w @ run.matrix.T) @ run.matrix for run in smooth), 0.0)

    def advance(w: Array) -> Array:
        v = w - step * gradient(w)
        for run in rough:  # the l1 block: its matrix picks coefficients
            picked, factor = _picked(run)
            length = step[:, picked] * factor
            v[:, picked] -= length * np.clip(v[:, picked] / length, run.sheet.low, run.sheet.high)  # type: ignore[union-attr]
        return v

    def point_of(w: Array) -> Point:
        pull = gradient(w)
        duals = []
        for run in form.runs:
            if _is_smooth(run):
                duals.append(_slope(run, w @ run.matrix.T))
            else:
                picked, factor = _picked(run)
                duals.append(np.clip(-pull[:, picked] / factor, run.sheet.low, run.sheet.high))  # type: ignore[union-attr]
        return w, duals

    return np.zeros(form.penalty.shape), advance, point_of


def _picked(run: Run) -> tuple[np.ndarray, Array]:
    """The column that each row of the l1 block acts on, and by what factor."""
    columns = run.matrix.argmax(axis=1)
    return columns, run.matrix[np.arange(run.size), columns]


def _dual(form: Form) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Point]]:
    b, edges = form.batch, np.cumsum([0, *(run.size for run in form.runs)])
    z_scale, u_scale = form.scales
    units = [np.broadcast_to(u_scale / z_scale * np.square(form.loss_length / run.length), (b, run.size)) for run in form.runs]
    q_inverse = np.linalg.inv(_quadratic(form))
    gram = sum(run.gram(run.matrix, unit) for run, unit in zip(form.runs, units, strict=True))
    root = np.linalg.cholesky(0.5 * (q_inverse + q_inverse.transpose(0, 2, 1)))
    longest = largest_eigenvalue(np.matmul(root.transpose(0, 2, 1), np.matmul(gram, root)))[:, None]
    steps = [unit / longest for unit in units]

    def split(u: Array) -> list[Array]:
        return [u[:, low:high] for low, high in pairwise(edges)]

    def w_of(u: Array) -> Array:
        return -np.matvec(q_inverse, form.fixed.b + sum((part @ run.matrix for run, part in zip(form.runs, split(u), strict=True)), 0.0))

    def advance(u: Array) -> Array:
        w = w_of(u)
        parts = [
            _prox_conjugate(run, part + step * (w @ run.matrix.T), step) for run, part, step in zip(form.runs, split(u), steps, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    return np.zeros((b, int(edges[-1]))), advance, lambda u: (w_of(u), split(u))


def _prox_conjugate(run: Run, v: Array, step: Array) -> Array:
    """argmin over u of f*(u) + (u - v)²/(2 step); for smooth rows by Moreau's identity."""
    if run.sheet is None:
        return v - step * run.smooth.prox(v / step, 1 / step)  # type: ignore[union-attr]
    sheet = run.sheet
    u = (v - step * sheet.shift) / (1 + step * sheet.quadratic)
    u = u if sheet.low is None else np.maximum(u, sheet.low)
    u = u if sheet.high is None else np.minimum(u, sheet.high)
    return u if sheet.active is None else u * sheet.active
