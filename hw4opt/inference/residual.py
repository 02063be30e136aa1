"""Standard errors of linear fits by a residual loss: least squares, Huber's and quantile regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from hw4opt.errors import InputError
from hw4opt.form.canonicalize import canonicalize
from hw4opt.inference.standard_errors import StandardErrors, kinds_of, standard_errors, withheld
from hw4opt.losses.huber import Huber
from hw4opt.losses.quantile import Quantile
from hw4opt.problem import Problem
from hw4opt.terms.base import Array

NORMAL_QUARTILES = 1.34  # the distance between the quartiles, in σ
CONFIDENCE = 0.95  # level of the interval that the bandwidth is optimal for


def infer_from_residuals(
    problem: Problem, w: Array, rank: int, names: Sequence[str], errors: str | None = None
) -> StandardErrors | None:
    """Standard errors at w (r,) of a linear design; `rank` and `names` are those of the columns. None for losses that
    have none.

    With r_i = y_i - f_i, n = Σ ω and p the rank, the covariance is
        squared, dispersion    Σ ω r²/(n - p) (XᵀΩX)⁻¹, the classical one
        squared, sandwich      (XᵀΩX)⁻¹ (Σ ω r² x xᵀ) (XᵀΩX)⁻¹   (HC0: White 1980)
        huber, sandwich        κ² (Σ ω ψ²/(n - p))/m² (XᵀΩX)⁻¹, ψ = r within ±delta, else ±delta; m the share of rows
                               within, κ = 1 + p/n (1 - m)/m   (Huber 1981, 7.6.9)
        quantile, sandwich     (XᵀX)⁻¹ (Σ d x xᵀ) (XᵀX)⁻¹, √d = tau/f where r > 0, else (1 - tau)/f; f the density
                               of the residuals at 0 by Epanechnikov's kernel   (Greene 2012, 7.3.2; its bandwidth: Hall
                               and Sheather 1988)
    errors    one of these words; None: the first for the loss. Raises `InputError` for any other.
    """
    kinds = kinds_of(problem.loss)
    if not kinds:
        return None
    if errors is not None and errors not in kinds:
        raise InputError(f"errors is {errors!r}; of {problem.loss.name} there are {', '.join(kinds)}")
    kind = errors or kinds[0]
    form = canonicalize(problem)
    if (reason := withheld(problem, form, "minimum of the loss")) is not None:
        return StandardErrors(kind, None, reason)
    x = form.loss.map.take(form.design.matrix)
    residuals = problem.data.active_residual_targets - problem.level - x @ w
    weights = np.ones(len(x)) if problem.weights is None else problem.weights[problem.weights > 0]
    free = float(weights.sum()) - rank
    if free <= 0:
        return StandardErrors(kind, None, "there are no degrees of freedom left to estimate the noise from")
    scale, meat = 1.0, None
    if isinstance(problem.loss, Huber):
        scale = _huber_variance(residuals, weights, problem.loss.threshold, rank)
    elif isinstance(problem.loss, Quantile):
        if (weights != 1.0).any():
            return StandardErrors(kind, None, "those of a quantile are known for rows of equal weight only")
        tau = problem.loss.tau
        assert not isinstance(tau, tuple)  # several curves have none
        density = _density_at_zero(residuals, tau)
        meat = np.square(np.where(residuals > 0, tau, 1 - tau) / density)
    elif kind == "sandwich":
        meat = weights * np.square(residuals)
    else:
        scale = float(weights @ np.square(residuals)) / free
    found, reason = standard_errors(
        problem, (x.T * weights) @ x, None if meat is None else (x.T * meat) @ x, rank, names
    )
    return StandardErrors(kind, None if found is None else math.sqrt(scale) * found, reason)


def _huber_variance(residuals: Array, weights: Array, delta: float, rank: int) -> float:
    """κ² (Σ ω ψ²/(n - p))/m²."""
    count = float(weights.sum())
    within = float(weights @ (np.abs(residuals) <= delta)) / count
    if within == 0:
        return math.nan
    correction = 1 + rank / count * (1 - within) / within
    psi = np.clip(residuals, -delta, delta)
    return correction**2 * float(weights @ np.square(psi)) / (count - rank) / within**2


def _density_at_zero(residuals: Array, tau: float) -> float:
    """By Epanechnikov's kernel of Hall and Sheather's bandwidth, in the residuals' own units."""
    n, normal = len(residuals), NormalDist()
    at, half = normal.inv_cdf(tau), normal.inv_cdf(1 - (1 - CONFIDENCE) / 2)
    h = n ** (-1 / 3) * half ** (2 / 3) * (1.5 * normal.pdf(at) ** 2 / (2 * at**2 + 1)) ** (1 / 3)
    low, high = np.percentile(residuals, [25, 75])
    spread = min(float(residuals.std()), float(high - low) / NORMAL_QUARTILES)
    upper, lower = min(tau + h, 1 - 0.5 / n), max(tau - h, 0.5 / n)
    width = spread * (normal.inv_cdf(upper) - normal.inv_cdf(lower))
    inside = np.square(residuals / width) if width > 0 else np.full(n, np.inf)
    return float(0.75 * np.maximum(1 - inside, 0.0).sum()) / (n * width) if width > 0 else math.nan
