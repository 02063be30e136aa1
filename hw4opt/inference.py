"""What a likelihood says beside its maximum: its value, the deviance, and standard errors of what is identified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.errors import InputError
from hw4opt.form import Form, RowBlock, SmoothRows
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Problem
from hw4opt.running.threads import parallel_map
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array

ERRORS = ("information", "dispersion", "sandwich")  # what standard errors are made of, the default first
OVERDISPERSION = 1.5  # dispersion from which counts are said to be no Poisson counts
SINGULAR_PIVOT = (
    1e-13  # squared pivot or eigenvalue of the information with unit diagonal below which a direction is not identified
)
UNIDENTIFIED_SHARE = 1e-6  # share of a coefficient that may lie in such directions


@dataclass(frozen=True, eq=False)
class Inference:
    """Of a fit by maximum likelihood, weights counted as repetitions of rows.

    log_likelihood    Σ ω_i log p(y_i), with everything that the loss leaves out (of counts, log y!)
    deviance          twice what it falls short of the best that any means could reach
    dispersion        Σ ω (y - μ)²/var(μ) over the degrees of freedom: 1 for counts that are Poisson; None without
                      degrees of freedom
    errors            which standard errors these are, one of `ERRORS`
    standard_errors   [intercept, coef …] in units of the raw x; NaN for a coefficient that is not identified, None
                      where there are none
    reason            why some or all are missing
    """

    log_likelihood: float
    deviance: float
    dispersion: float | None
    errors: str
    standard_errors: Array | None
    reason: str | None


def infer(problem: Problem, w: Array, rank: int, names: Sequence[str], errors: str = ERRORS[0]) -> Inference:
    """Log-likelihood, deviance and standard errors of a likelihood at w (r,); `rank` of the columns, which are called
    `names`.

    With I = Xᵀ diag(ω f'') X, the covariance is
        information   I⁻¹
        dispersion    φ I⁻¹, φ the dispersion: that of a quasi-likelihood (Wedderburn 1974)
        sandwich      I⁻¹ (Σ ω f'² x xᵀ) I⁻¹, right also where the variance is not the law's (HC0: Huber 1967, White
                      1980)
    Raises `InputError` for another word.
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
    reason = _withheld(problem, form)
    found = None
    if reason is None and errors == "dispersion" and dispersion is None:
        reason = "there are no degrees of freedom left to estimate a dispersion from"
    if reason is None:
        found, reason = _standard_errors(problem, form, w, rank, errors, names)
        if errors == "dispersion" and found is not None and dispersion is not None:
            found = found * np.sqrt(dispersion)
    return Inference(
        -float((weights * (rows.term.excess(t, y) + rows.term.least(y))).sum()),
        float((weights * rows.term.deviance(t, y)).sum()),
        dispersion,
        errors,
        found,
        reason,
    )


def _dispersion(term: Likelihood, t: Array, y: Array, weights: Array, rank: int) -> float | None:
    free = float(weights.sum()) - rank
    if free <= 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = float((weights * np.square(term.gradient(t, y)) / term.curvature(t, y)).sum()) / free
    return found if np.isfinite(found) else None


def _withheld(problem: Problem, form: Form) -> str | None:
    """Why a fit has no standard errors at all."""
    if problem.kernel is not None:
        return (
            "a kernel design has no coefficients to speak of; the prediction error bound tells "
            "how far the fit is from the optimum"
        )
    if problem.ridge > 0 or len(form.terms) > 1:
        names = [*(["ridge"] if problem.ridge > 0 else []), *(name for term in form.terms[1:] for name in term.names)]
        return f"the fit is no maximum of the likelihood alone ({', '.join(names)} takes part)"
    return None


def _standard_errors(
    problem: Problem, form: Form, w: Array, rank: int, errors: str, names: Sequence[str]
) -> tuple[Array | None, str | None]:
    """Those of the coefficients that are identified, NaN for the others, which the reason names."""
    information = _weighted_gram(form, w, "curvature")
    root = inverse_root_diagonal(information)
    half, unknown = _inverse_root(scaled_by(information, root), rank)
    to_raw = _to_raw(problem, len(w)) * root
    length = np.linalg.norm(to_raw, axis=1)
    lost = np.linalg.norm(to_raw @ unknown, axis=1) > UNIDENTIFIED_SHARE * length
    found = to_raw @ half
    if errors == "sandwich":
        scores = scaled_by(_weighted_gram(form, w, "scores"), root)
        squares = np.einsum("ij,jk,ik->i", found, half.T @ scores @ half, found)
    else:
        squares = np.square(found).sum(axis=1)
    if not lost.any():
        return np.sqrt(squares), None
    ordered = np.roll(lost, -1) if problem.intercept else lost  # the intercept is named last
    which = [name for name, missing in zip(names, ordered.tolist(), strict=True) if missing]
    why = (
        f"the columns are collinear (rank {rank} of {len(w)})"
        if rank < len(w)
        else "the observed information is singular"
    )
    few = ", ".join(which[:5]) + (f" and {len(which) - 5} more" if len(which) > 5 else "")
    return np.where(lost, np.nan, np.sqrt(squares)), f"not identified: {few}; {why}"


def _inverse_root(unit: Array, rank: int) -> tuple[Array, Array]:
    """H with H Hᵀ = M⁻¹ on the span of M, which has a unit diagonal, and an orthonormal basis of what M says nothing
    of, as columns."""
    if rank == len(unit):
        try:
            lower = np.linalg.cholesky(unit)
        except np.linalg.LinAlgError:
            lower = np.zeros_like(unit)
        if np.square(np.diagonal(lower)).min() > SINGULAR_PIVOT:
            return np.linalg.inv(lower).T, np.zeros((len(unit), 0))
    values, vectors = np.linalg.eigh(unit)
    missing = max(len(unit) - rank, int((values <= SINGULAR_PIVOT).sum()))
    return vectors[:, missing:] / np.sqrt(values[missing:]), vectors[:, :missing]


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


def _to_raw(problem: Problem, size: int) -> Array:
    """The linear map from w to [intercept, coef …] in units of the raw x."""
    center, spread = problem.scaling
    count = len(spread)
    to = np.zeros((size, size))
    start = int(problem.intercept)
    to[start:, :count] = np.diag(1 / spread)
    if problem.intercept:
        to[0, :count], to[0, -1] = -center / spread, 1.0
    return to
