"""Standard errors of the coefficients of a linear design, from M⁻¹ or a sandwich M⁻¹ S M⁻¹."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.form import Form
from hw4opt.losses.huber import Huber
from hw4opt.losses.quantile import Quantile
from hw4opt.losses.squared import Squared
from hw4opt.problem import Problem
from hw4opt.terms import Likelihood, Loss
from hw4opt.terms.base import Array

ERRORS = ("information", "dispersion", "sandwich")  # the kinds for a likelihood, the default first
OF_RESIDUAL_LOSSES = {Squared: ("dispersion", "sandwich"), Huber: ("sandwich",), Quantile: ("sandwich",)}
SINGULAR_PIVOT = (
    1e-13  # squared pivot or eigenvalue of the information with unit diagonal below which a direction is not identified
)
UNIDENTIFIED_SHARE = 1e-6  # share of a coefficient that may lie in such directions


@dataclass(frozen=True, eq=False)
class StandardErrors:
    """Standard errors of the coefficients of a linear design.

    errors            their kind, one of `ERRORS`
    standard_errors   [intercept, coef …] in units of the raw x; NaN for a coefficient that is not identified, None
                      if there are none
    reason            why some or all are missing
    """

    errors: str
    standard_errors: Array | None
    reason: str | None


def kinds_of(loss: Loss) -> tuple[str, ...]:
    """The kinds of standard errors that fits by this loss have, the default first; () for losses without."""
    return ERRORS if isinstance(loss, Likelihood) else OF_RESIDUAL_LOSSES.get(type(loss), ())


def withheld(problem: Problem, form: Form, optimum: str) -> str | None:
    """Why a fit has no standard errors at all, or None; `optimum` as in "maximum of the likelihood"."""
    if problem.kernel is not None:
        return (
            "a kernel design has no coefficients; the prediction error bound tells how far the fit is from the optimum"
        )
    if problem.ridge > 0 or len(form.terms) > 1:
        names = [*(["ridge"] if problem.ridge > 0 else []), *(name for term in form.terms[1:] for name in term.names)]
        return f"the fit is not the {optimum} alone ({', '.join(names)} takes part)"
    return None


def standard_errors(
    problem: Problem, bread: Array, meat: Array | None, rank: int, names: Sequence[str]
) -> tuple[Array | None, str | None]:
    """Standard errors of the identified coefficients, NaN for the others, which `reason` names.

    The covariance is M⁻¹, or with `meat` S the sandwich M⁻¹ S M⁻¹; M and S (r, r) are those of w.
    """
    root = inverse_root_diagonal(bread)
    half, unknown = _inverse_root(scaled_by(bread, root), rank)
    to_raw = _to_raw(problem, len(bread)) * root
    length = np.linalg.norm(to_raw, axis=1)
    lost = np.linalg.norm(to_raw @ unknown, axis=1) > UNIDENTIFIED_SHARE * length
    found = to_raw @ half
    if meat is None:
        squares = np.square(found).sum(axis=1)
    else:
        squares = np.einsum("ij,jk,ik->i", found, half.T @ scaled_by(meat, root) @ half, found)
    if not lost.any():
        return np.sqrt(squares), None
    ordered = np.roll(lost, -1) if problem.intercept else lost  # the intercept is named last
    which = [name for name, missing in zip(names, ordered.tolist(), strict=True) if missing]
    why = (
        f"the columns are collinear (rank {rank} of {len(bread)})"
        if rank < len(bread)
        else "the observed information is singular"
    )
    few = ", ".join(which[:5]) + (f" and {len(which) - 5} more" if len(which) > 5 else "")
    return np.where(lost, np.nan, np.sqrt(squares)), f"not identified: {few}; {why}"


def _inverse_root(unit: Array, rank: int) -> tuple[Array, Array]:
    """H with H Hᵀ = M⁻¹ on the range of M, which has a unit diagonal, and an orthonormal basis of M's null space, as
    columns."""
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
