"""What a likelihood says beside its maximum: its value, the deviance, and standard errors from the observed information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.canonical import canonicalize
from hw4opt.form import Form
from hw4opt.problem import Problem
from hw4opt.rows import each
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array

SINGULAR = 1e-13  # squared pivot of the information with unit diagonal below which nothing is identified


@dataclass(frozen=True, eq=False)
class Inference:
    """Of a fit by maximum likelihood, weights counted as repetitions of rows.

    log_likelihood    Σ ω_i log p(y_i), with everything that the loss leaves out (of counts, log y!)
    deviance          twice what it falls short of the best that any means could reach
    dispersion        Σ ω (y - μ)²/μ over the degrees of freedom: 1 for counts that are Poisson; None without degrees of freedom
    standard_errors   [intercept, coef …] in units of the raw x, the roots of the diagonal of the inverse of Xᵀ diag(ω f'') X;
                      None where that says nothing, and `reason` says why
    """

    log_likelihood: float
    deviance: float
    dispersion: float | None
    standard_errors: Array | None
    reason: str | None


def infer(problem: Problem, w: Array, rank: int) -> Inference:
    """Log-likelihood, deviance and standard errors of a likelihood at w (r,); `rank` of the columns."""
    form = canonicalize(problem)
    rows = form.blocks[0].smooth
    assert rows is not None and isinstance(rows.term, Smooth)
    z = form.blocks[0].rows.take(form.design.matrix @ w)
    t, y = z + rows.offset[0], rows.targets[0]
    weights = np.broadcast_to(rows.weights[0], y.shape)
    errors, reason = _standard_errors(problem, form, w, rank)
    return Inference(
        -float((weights * (rows.term.pointwise(t, y) + rows.term.normalizer(y))).sum()),
        float((weights * rows.term.deviance(t, y)).sum()),
        _dispersion(rows.term, t, y, weights, rank),
        errors,
        reason,
    )


def _dispersion(term: Smooth, t: Array, y: Array, weights: Array, rank: int) -> float | None:
    free = float(weights.sum()) - rank
    if free <= 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = float((weights * np.square(term.gradient(t, y)) / term.curvature(t, y)).sum()) / free
    return found if np.isfinite(found) else None


def _standard_errors(problem: Problem, form: Form, w: Array, rank: int) -> tuple[Array | None, str | None]:
    if problem.kernel is not None:
        return None, "a kernel design has no coefficients to speak of; the prediction error bound tells how far the fit is from the optimum"
    if problem.ridge > 0 or len(form.blocks) > 1:
        names = [*(["ridge"] if problem.ridge > 0 else []), *(name for block in form.blocks[1:] for name in block.names)]
        return None, f"the fit is no maximum of the likelihood alone ({', '.join(names)} takes part)"
    if rank < len(w):
        return None, f"not identified: the columns are collinear (rank {rank} of {len(w)})"
    information = _information(form, w)
    root = np.sqrt(np.diagonal(information))
    scaled = information / np.outer(root, root) if root.all() else np.zeros_like(information)
    try:
        lower = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        lower = np.zeros_like(scaled)
    if np.square(np.diagonal(lower)).min() <= SINGULAR:
        return None, "not identified: the observed information is singular"
    map_ = _to_raw(problem, len(w)) / root
    return np.linalg.norm(np.linalg.solve(lower, map_.T), axis=0), None


def _information(form: Form, w: Array) -> Array:
    """Xᵀ diag(ω f'') X, (r, r)."""

    def one(args: tuple[int, Array]) -> Array:
        piece = form.pieces[args[0]]
        assert piece.smooth is not None
        return piece.chunk.gram(piece.chunk.matrix, piece.smooth.curvature(args[1]))[0]

    return sum(each(one, list(enumerate(form.forward(w[None])))), np.zeros((len(w), len(w))))


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
