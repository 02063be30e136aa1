"""Leave-one-out fits of smooth losses: Newton steps from the full fit, with its Hessian less the held-out row.

    w ← w - H_i⁻¹ g_i(w),     g_i = P w + Σ_{j≠i} f_j'(a_jᵀw) a_j,     H_i = P + Σ_{j≠i} f_j''(z_j) a_j a_jᵀ  at the
    full fit's z

H_i⁻¹ comes from H⁻¹ by one rank-one change (Sherman and Morrison 1950), so that a step of all folds is two products
with A. As the Hessian is fixed, convergence is linear; where it is too slow, the fold continues with its own Hessian.
The duality gap of every fold is the stopping criterion.
"""

from __future__ import annotations

import numpy as np

from hw4opt.form import Form, SmoothRows
from hw4opt.form.gap_scale import relative_gap
from hw4opt.selection.fold_fits import EXACT_GAP, FoldFits
from hw4opt.terms.base import Array

NEWTON_STEPS = 30
SLOW_GAP_RATIO = 0.5  # of the gap before: after a step with a larger ratio, a fold gets its own Hessian
FINAL_GAP_SHARE = 1e-6  # of the gap that counts as exact


def takes(form: Form) -> bool:
    """Whether there is one smooth loss, and no other term but the ridge."""
    return len(form.terms) == 1 and form.loss.smooth is not None


def solve(form: Form, w: Array, held: np.ndarray) -> FoldFits:
    """The fits without each of the rows `held` (F,), by Newton steps from the full fit w (r,) of one problem's form."""
    smooth = form.loss.smooth
    assert smooth is not None
    a, penalty = form.loss.map.take(form.design.matrix), form.penalty[0]
    curvature = np.broadcast_to(smooth.curvature((a @ w)[None]), (1, len(a)))[0]
    try:
        inverse = np.linalg.inv((a.T * curvature) @ a + np.diag(penalty))
    except np.linalg.LinAlgError:
        shape = (1, len(held))
        return FoldFits(np.tile(w, (*shape, 1)), np.full(shape, np.inf), np.zeros(shape, dtype=int))
    pull, scale = a[held] @ inverse, form.gap_scale(w[None], np.zeros(1))
    rest = curvature[held] / np.maximum(1.0 - curvature[held] * np.vecdot(pull, a[held]), 1e-12)
    found, gaps, own = np.tile(w, (len(held), 1)), np.full(len(held), np.inf), np.zeros(len(held), dtype=bool)
    steps, going = np.zeros(len(held), dtype=int), np.arange(len(held))
    for number in range(1, NEWTON_STEPS + 1):
        gradient, gap = _gradient(form, smooth, a, found[going], held[going], scale)
        slow = ~(gap <= SLOW_GAP_RATIO * gaps[going]) & (number > 2)
        done = (gap <= FINAL_GAP_SHARE * EXACT_GAP) | ~np.isfinite(gap) | (slow & own[going] & (gap <= EXACT_GAP))
        own[going] |= slow
        gaps[going], steps[going] = gap, number
        going, gradient = going[~done], gradient[~done]
        if not len(going):
            break
        step = gradient @ inverse
        step += (rest[going] * np.vecdot(pull[going], gradient))[:, None] * pull[going]
        mine = own[going]
        if mine.any():
            step[mine] = _damped(smooth, a, penalty, (found[going[mine]], held[going[mine]]), gradient[mine])
        found[going] -= step
    return FoldFits(found[None], gaps[None], steps[None])


def _damped(smooth: SmoothRows, a: Array, penalty: Array, at: tuple[Array, np.ndarray], gradient: Array) -> Array:
    """Steps with the fold's own Hessian, damped as for self-concordant losses, |f'''| ≤ c f''."""
    w, held = at
    curvature = np.array(np.broadcast_to(smooth.curvature(w @ a.T), (len(w), len(a))))
    curvature[np.arange(len(w)), held] = 0.0
    steps = np.empty_like(w)
    for place, of_row in enumerate(curvature):
        steps[place] = np.linalg.lstsq((a.T * of_row) @ a + np.diag(penalty), gradient[place], rcond=None)[0]
    stretch = np.maximum(smooth.term.self_concordance * np.abs(steps @ a.T).max(axis=1), 1e-12)
    return steps * (np.log1p(stretch) / stretch)[:, None]


def _gradient(
    form: Form, smooth: SmoothRows, a: Array, w: Array, held: np.ndarray, scale: Array
) -> tuple[Array, Array]:
    """The gradient at w (F, r) without the held rows, and the gap at the duals f'(z), relative to `scale`."""
    z = w @ a.T
    with np.errstate(over="ignore", invalid="ignore"):
        u = smooth.gradient(z)
    u[np.arange(len(w)), held] = 0.0
    gradient = form.penalty * w + u @ a
    return gradient, relative_gap(form.stationarity_cost(w, gradient), scale)
