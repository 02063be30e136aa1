"""Leave-one-out of squared loss with ridge, in closed form for every weight from one eigendecomposition.

With A = √ω ∘ B, AᵀA = V diag(e) Vᵀ and U = AV: the hat matrix of ridge P/2 has the diagonal h_i = Σ_k U_ik²/(e_k + P),
and without row i

    residual r_i/(1 - h_i),      w - (AᵀA + P)⁻¹ a_i r_i/(1 - h_i)

(Golub, Heath and Wahba 1979). Every fold's duality gap is computed at its own w.
"""

from __future__ import annotations

import numpy as np

from hw4opt.form import Form
from hw4opt.form.gap_cost import stationarity_cost
from hw4opt.form.gap_scale import relative_gap
from hw4opt.selection.fold_fits import CLOSED_FORM_ROUNDS, FoldFits
from hw4opt.terms.base import Array


def takes(form: Form) -> bool:
    """Whether rows are quadratic and the same in every setting, with a ridge on every column."""
    if len(form.terms) != 1 or len(form.loss.boxes) != 1 or not (form.penalty > 0).all():
        return False
    (box,) = form.loss.boxes
    same = all((array == array[:1]).all() for array in (box.quadratic, box.shift))
    return same and box.all_open and not (box.low_bounded or box.high_bounded)


def solve(form: Form) -> FoldFits:
    """The fits without each row in turn."""
    box, penalty = form.loss.boxes[0], form.penalty[:, :1]
    root = 1.0 / np.sqrt(box.quadratic[0])[:, None]
    a, t = root * form.loss.map.take(form.design.matrix), root[:, 0] * box.shift[0]
    values, v = np.linalg.eigh(a.T @ a)
    u = a @ v
    rate = 1.0 / (np.maximum(values, 0.0) + penalty)
    z = (rate * (u.T @ t)) @ u.T
    left_out = (t - z) / (1.0 - rate @ np.square(u).T)
    full = (rate * (u.T @ t)) @ v.T
    w = full[:, None, :] - ((rate[:, None, :] * u) * left_out[:, :, None]) @ v.T
    scale = form.gap_scale(full, np.zeros(form.batch))
    gap = relative_gap(_gap(a, t, form.penalty[:, None, :], w), scale[:, None])
    return FoldFits(w, gap, np.full(gap.shape, CLOSED_FORM_ROUNDS))


def _gap(a: Array, t: Array, penalty: Array, w: Array) -> Array:
    """The gap of each fold, (S, n), at its w and the duals A w - t: only P w + Aᵀ(A w - t) contributes."""
    apart = w @ a.T - t
    np.einsum("sii->si", apart)[:] = 0.0
    return stationarity_cost(penalty, penalty * w + apart @ a, w, np.zeros(1))
