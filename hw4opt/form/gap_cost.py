"""The duality gap of a point as solvers and folds compute it: the cost of rows, and that of stationarity.

The certificate has separate formulas, so that it checks these.
"""

from __future__ import annotations

import numpy as np

from hw4opt.terms.base import EPS, Array

DIFFERENCE_ROUNDING = 16 * EPS  # of the largest fitted value: the rounding of a difference that is 0


def row_slack(slope: Array, u: Array, v: Array, quadratic: Array | float, price: Array) -> Array:
    """f(z) + f*(u) - z u of box-constrained quadratic rows, v = z - t; a violated constraint at price · |v|.

    slope    an element of ∂f(z), infinite where z is outside the domain
    price    (b, 1) the cost of blending back into the feasible set, a multiple of the largest |u|
    """
    p = slope
    if not np.isfinite(p).all():
        p = np.where(np.isfinite(p), p, u + np.sign(v) * price)
    return np.maximum((p - u) * (v - 0.5 * quadratic * (p + u)), 0.0)


def stationarity_cost(penalty: Array, residual: Array, w: Array, w_scale: Array) -> Array:
    """The cost of a residual of diag(penalty) w + Aᵀu = 0, (b,): ½ residual²/penalty, and |residual|·max(|w|, w_scale)
    on free columns."""
    if (penalty > 0).all():
        return 0.5 * (np.square(residual) / penalty).sum(axis=-1)
    safe = np.where(penalty > 0, penalty, 1.0)
    free = np.abs(residual) * np.maximum(np.abs(w), w_scale)
    squared = np.square(np.where(penalty > 0, residual, 0.0))  # the square of a residual on a free column may overflow
    return np.where(penalty > 0, 0.5 * squared / safe, free).sum(axis=-1)
