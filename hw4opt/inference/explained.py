"""The share of the targets' variation that a fit explains, compared with the best constant."""

from __future__ import annotations

import numpy as np

from hw4opt.form.gap_scale import smooth_constant
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array

CONSTANT_STEPS = 60  # of Newton's method, of at most 2 in z each: enough for every linear predictor of counts


def r_squared(fitted: Array, y: Array, weights: Array | None = None) -> float | None:
    """R² = 1 - Σ ω (y - f)²/Σ ω (y - ȳ)², ȳ the weighted mean; None where y is constant."""
    weights = np.ones(len(y)) if weights is None else weights
    apart = y - np.average(y, weights=weights)
    total = float(weights @ np.square(apart))
    return None if total == 0 else 1 - float(weights @ np.square(y - fitted)) / total


def deviance_explained(
    loss: Likelihood, predictor: Array, y: Array, weights: Array | None = None, offset: Array | None = None
) -> float | None:
    """1 - deviance/deviance of the best constant, both by the loss; None where the constant explains everything.

    predictor (n,) includes the offset (n,), and so does that of the constant.   (Cameron and Windmeijer 1997.)
    """
    y = loss.check_targets(y)
    weights = np.ones(len(y)) if weights is None else weights
    offset = np.zeros(len(y)) if offset is None else offset
    constant = smooth_constant(SmoothRows(loss, y[None], offset[None], weights[None]), CONSTANT_STEPS)[0, 0]
    total = float(weights @ loss.deviance(constant + offset, y))
    return None if total <= 0 else 1 - float(weights @ loss.deviance(predictor, y)) / total
