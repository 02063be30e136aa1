"""The M-step of the EM algorithm, and the textbook's cycles of both steps.

**Derivation** (assignment, problem 1b). Count i belongs to an unobserved component Z_i in {1, …, k}, P(Z_i = j) = π_j,
and given it y_i ~ Poisson(exp(x_iᵀw_j)). The observed-data likelihood Σ_i log Σ_j π_j p(y_i | x_i, w_j) is not concave.
For any distribution q_i over the components, by Jensen's inequality,

    Σ_i log Σ_j π_j p(y_i | x_i, w_j)  ≥  Σ_i Σ_j q_ij log(π_j p(y_i | x_i, w_j) / q_ij),

with equality for q_ij = γ_ij, the probability of component j given y_i. The E-step sets q = γ, where the bound
equals the likelihood (likelihood.py); the M-step maximises the bound over π and w, which are separate there: π_j is
the mean of γ_ij, and each w_j is one Poisson regression, convex, with row weights γ_ij (problem 1a). All k are one
batch of the solver behind `hw4opt solve`. Since the bound equals the likelihood before the M-step and is below it
after, the likelihood cannot fall (Dempster, Laird and Rubin 1977; Wang, Cockburn and Puterman 1998 for Poisson
regressions).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hw4opt.form import SmoothRows
from hw4opt.losses.poisson import Poisson
from hw4opt.mixture.likelihood import MAX_LOG_RATE, Expectation, MixtureParameters, expect
from hw4opt.mixture.sample import Sample
from hw4opt.solvers.newton import Stop, minimize
from hw4opt.terms.base import Array

EMPTY_WEIGHT = 1e-7  # of a unit's mean weight: a component with less is empty
Z_TOLERANCE = 1e-11  # root mean square distance of z from an exact M-step; the error of ℓ is its square
# of a column with mean square 1: a larger one is along a direction that does not change the rows
MAX_SCALED_COEF = 1e8


class _BoundedPoisson(Poisson):
    """Counts whose mean stays finite: z of a component is arbitrary at rows of weight 0, and 0 · ∞ is NaN."""

    def derivatives(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        return super().derivatives(_bounded(z), y)

    def gradient(self, z: Array, y: Array) -> Array:
        return super().gradient(_bounded(z), y)


def _bounded(z: Array) -> Array:
    return z if z.size and z.max() <= MAX_LOG_RATE else np.minimum(z, MAX_LOG_RATE)


def m_step(
    sample: Sample, responsibilities: Array, start: Array | None = None, limit: int | None = None
) -> MixtureParameters:
    """The maximum of the bound at responsibilities (s, k, units).

    Proportions have a closed form, and all s·k regressions are one batch.

    start    coefficients that Newton's method starts from, (s, k, p); an empty component keeps its own
    limit    Newton steps; None: until `Z_TOLERANCE`
    """
    s, k, _ = responsibilities.shape
    totals = responsibilities @ sample.unit_weights
    coef = np.zeros((s, k, sample.matrix.shape[1])) if start is None else start.copy()
    occupied = totals > EMPTY_WEIGHT * sample.total / len(sample)
    weights = sample.row_weights(responsibilities[occupied])
    rows = SmoothRows(
        _BoundedPoisson(quasi=True, truncated=sample.law.least == 1),
        np.broadcast_to(sample.counts, weights.shape),
        np.broadcast_to(sample.offset, weights.shape),
        weights,
    )
    penalty = np.broadcast_to(2 * sample.penalty, (len(weights), len(sample.penalty)))
    stop = Stop(left=Z_TOLERANCE) if limit is None else Stop(limit, Z_TOLERANCE)
    found = minimize(sample.pieces, rows, penalty, None if start is None else start[occupied], stop).w
    usable = np.abs(found).max(axis=1, initial=0.0) < MAX_SCALED_COEF  # False for NaN, too
    coef[occupied] = np.where(usable[:, None], found, coef[occupied])
    with np.errstate(divide="ignore"):
        return MixtureParameters(coef, np.log(totals / sample.total))


def cycle(
    sample: Sample, expectation: Expectation, point: MixtureParameters, limit: int | None = None
) -> MixtureParameters:
    """The M-step after an E-step."""
    return m_step(sample, expectation.responsibilities, point.coef, limit)


def textbook(sample: Sample, labels: np.ndarray, k: int) -> Iterator[tuple[MixtureParameters, float]]:
    """The textbook's cycles from one label per unit, an endless iterator: the mixture after each M-step, and its ℓ.

    The result of an M-step does not depend on its start; starting from the extrapolation of the last cycles saves
    Newton steps.
    """
    point = m_step(sample, one_hot(labels, k)[None])
    move = before = np.zeros_like(point.coef)
    while True:
        here = expect(sample, point)
        yield point, float(here.log_likelihood[0])
        length = np.linalg.norm(before, axis=2, keepdims=True)
        ratio = np.minimum(np.linalg.norm(move, axis=2, keepdims=True) / np.where(length > 0, length, 1.0), 1.0)
        there = m_step(sample, here.responsibilities, point.coef + np.where(length > 0, ratio, 0.0) * move)
        point, before, move = there, move, there.coef - point.coef


class PlainRun(NamedTuple):
    """The mixture after the last of the textbook's cycles, and ℓ after the M-step of each."""

    point: MixtureParameters
    trace: Array


def plain_em(sample: Sample, labels: np.ndarray, k: int, cycles: int) -> PlainRun:
    """The given number of the textbook's cycles."""
    run = list(itertools.islice(textbook(sample, labels, k), cycles))
    return PlainRun(run[-1][0], np.array([value for _, value in run]))


def one_hot(labels: np.ndarray, k: int) -> Array:
    """Responsibilities (…, k, units) of labels (…, units)."""
    return (labels[..., None, :] == np.arange(k)[:, None]).astype(float)
