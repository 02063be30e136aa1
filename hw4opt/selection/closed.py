"""Leave-one-out of squared loss with ridge, in closed form for every weight from one eigendecomposition.

With A = √ω ∘ B, AᵀA = V diag(e) Vᵀ and U = AV: the hat matrix of ridge P/2 has the diagonal h_i = Σ_k U_ik²/(e_k + P), and without row i

    residual r_i/(1 - h_i),      w - (AᵀA + P)⁻¹ a_i r_i/(1 - h_i)

(Golub, Heath and Wahba 1979). Every fold's duality gap is computed at its own w.
"""

from __future__ import annotations

import numpy as np

from hw4opt.form import Form
from hw4opt.pricing import stationarity_cost
from hw4opt.terms.base import Array


def takes(form: Form) -> bool:
    """One quadratic without sides, its rows alike in every setting, and a ridge on every column."""
    if len(form.blocks) != 1 or len(form.blocks[0].sheets) != 1 or not (form.penalty > 0).all():
        return False
    sheet = form.blocks[0].sheets[0]
    same = all((array == array[:1]).all() for array in (sheet.quadratic, sheet.shift))
    return same and sheet.low is None and sheet.high is None and sheet.active is None


def solve(form: Form) -> tuple[Array, Array]:
    """w (S, n, r) without each row in turn, and its relative gap (S, n)."""
    block = form.blocks[0]
    rows, sheet, penalty = block.rows.take(form.design.matrix), block.sheets[0], form.penalty[:, :1]
    root = 1.0 / np.sqrt(sheet.quadratic[0])[:, None]
    a, t = root * rows, root[:, 0] * sheet.shift[0]
    values, v = np.linalg.eigh(a.T @ a)
    u = a @ v
    rate = 1.0 / (np.maximum(values, 0.0) + penalty)
    z = (rate * (u.T @ t)) @ u.T
    left_out = (t - z) / (1.0 - rate @ np.square(u).T)
    full = (rate * (u.T @ t)) @ v.T
    w = full[:, None, :] - ((rate[:, None, :] * u) * left_out[:, :, None]) @ v.T
    return w, _gap(a, t, form.penalty[:, None, :], w) / form.gap_scale(full, np.zeros(form.batch))[:, None]


def _gap(a: Array, t: Array, penalty: Array, w: Array) -> Array:
    """What P w + Aᵀ(A w - t) over the rows of each fold costs, (S, n): at those duals, no row costs anything."""
    apart = w @ a.T - t
    np.einsum("sii->si", apart)[:] = 0.0
    return stationarity_cost(penalty, penalty * w + apart @ a, w, np.zeros(1))
