"""Statistics of a maximum-likelihood fit: log-likelihood, deviance, and standard errors of identified coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.errors import InputError
from hw4opt.form import Form, RowBlock, SmoothRows
from hw4opt.form.canonicalize import canonicalize
from hw4opt.inference.standard_errors import ERRORS, StandardErrors, standard_errors, withheld
from hw4opt.problem import Problem
from hw4opt.running.threads import parallel_map
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array

OVERDISPERSION = 1.5  # dispersion from which a warning says that counts vary more than Poisson counts


@dataclass(frozen=True, eq=False)
class Inference(StandardErrors):
    """Statistics of a fit by maximum likelihood, with weights as repetitions of rows: the standard errors, and

    log_likelihood    Σ ω_i log p(y_i), including the terms that the loss leaves out (for counts, log y!)
    deviance          2 (log-likelihood of the saturated model - log_likelihood)
    dispersion        Σ ω (y - μ)²/var(μ) over the degrees of freedom, about 1 for Poisson counts; None without
                      degrees of freedom
    """

    log_likelihood: float
    deviance: float
    dispersion: float | None


def infer(problem: Problem, w: Array, rank: int, names: Sequence[str], errors: str = ERRORS[0]) -> Inference:
    """Log-likelihood, deviance and standard errors of a likelihood at w (r,); `rank` and `names` are of the columns.

    With I = Xᵀ diag(ω f'') X, the covariance is
        information   I⁻¹
        dispersion    φ I⁻¹, φ the dispersion: that of a quasi-likelihood (Wedderburn 1974)
        sandwich      I⁻¹ (Σ ω f'² x xᵀ) I⁻¹, consistent also where the variance is not that of the model (HC0: Huber
                      1967, White 1980)
    Raises `InputError` for any other word.
    """
    if errors not in ERRORS:
        raise InputError(f"errors is {errors!r}; there are {', '.join(ERRORS)}")
    form = canonicalize(problem)
    rows = form.loss.smooth
    assert rows is not None and isinstance(rows.term, Likelihood)
    z = form.loss.map.take(form.design.matrix @ w)
    t, y = z + rows.offset[0], rows.targets[0]
    weights = np.broadcast_to(rows.weights[0], y.shape)
    dispersion = _dispersion(rows.term, t, y, weights, rank)
    reason = withheld(problem, form, "maximum of the likelihood")
    found = None
    if reason is None and errors == "dispersion" and dispersion is None:
        reason = "there are no degrees of freedom left to estimate a dispersion from"
    if reason is None:
        information = _weighted_gram(form, w, "curvature")
        scores = _weighted_gram(form, w, "scores") if errors == "sandwich" else None
        found, reason = standard_errors(problem, information, scores, rank, names)
        if errors == "dispersion" and found is not None and dispersion is not None:
            found = found * np.sqrt(dispersion)
    return Inference(
        errors,
        found,
        reason,
        -float((weights * (rows.term.excess(t, y) + rows.term.least(y))).sum()),
        float((weights * rows.term.deviance(t, y)).sum()),
        dispersion,
    )


def _dispersion(term: Likelihood, t: Array, y: Array, weights: Array, rank: int) -> float | None:
    free = float(weights.sum()) - rank
    if free <= 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = float((weights * np.square(term.gradient(t, y)) / term.curvature(t, y)).sum()) / free
    return found if np.isfinite(found) else None


def _weighted_gram(form: Form, w: Array, kind: str) -> Array:
    """Xᵀ diag(ω f'') X (curvature) or Xᵀ diag(ω f'²) X (scores), (r, r)."""

    def one(block: RowBlock) -> Array:
        rows, z = block.rows, w[None] @ block.matrix.T
        assert isinstance(rows, SmoothRows)
        if kind == "curvature":
            return block.gram(rows.curvature(z))[0]
        slopes = rows.term.gradient(z + rows.offset, rows.targets)
        return block.gram(rows.weights * np.square(slopes))[0]

    return sum(parallel_map(one, form.blocks), np.zeros((len(w), len(w))))
