"""The EM algorithm's two steps, and the textbook's cycle of them.

**Derivation** (assignment, problem 1b). Count i comes from a mood Z_i in {1, …, k} that nobody saw, P(Z_i = j) = π_j, and given the mood
y_i ~ Poisson(exp(x_iᵀw_j)). The likelihood of what was seen, Σ_i log Σ_j π_j p(y_i | x_i, w_j), is not concave. For any distribution q_i
over the moods, by Jensen's inequality,

    Σ_i log Σ_j π_j p(y_i | x_i, w_j)  ≥  Σ_i Σ_j q_ij log(π_j p(y_i | x_i, w_j) / q_ij),

with equality for q_ij = γ_ij, the probability of mood j given y_i. The E-step makes the bound touch (likelihood.py); the M-step maximises
it over π and w at that q, and there it falls apart into what is easy: π_j is the mean of γ_ij, and each w_j is one Poisson regression,
convex, with row weights γ_ij (problem 1a). All k are one batch of the solver behind `hw4opt solve`. Since the bound touches before and
rises after, the likelihood cannot fall (Dempster, Laird and Rubin 1977; Wang, Cockburn and Puterman 1998 for Poisson regressions).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from hw4opt.blocks import SmoothRows
from hw4opt.losses.poisson import Poisson
from hw4opt.mixture.likelihood import LARGEST, Expectation, Point, expect
from hw4opt.mixture.sample import Sample
from hw4opt.solvers.newton import Stop, minimize
from hw4opt.terms.base import Array

EMPTY = 1e-7  # of a unit's mean weight: a component that holds less is empty
LEFT = 1e-11  # root mean square change of z that an exact M-step may lack: of ℓ that is the square
WILD = 1e8  # a coefficient of a column with mean square 1 that is no fit but a direction the rows say nothing of


class _Counts(Poisson):
    """Counts whose mean stays finite: a component's z at rows where it weighs nothing can be anything, and 0 · ∞ is no number."""

    def derivatives(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        return super().derivatives(_bounded(z), y)

    def gradient(self, z: Array, y: Array) -> Array:
        return super().gradient(_bounded(z), y)


def _bounded(z: Array) -> Array:
    return z if z.size and z.max() <= LARGEST else np.minimum(z, LARGEST)


def m_step(sample: Sample, responsibilities: Array, start: Array | None = None, limit: int | None = None) -> Point:
    """The maximum of the bound at responsibilities (s, k, units): proportions in closed form, all s·k regressions in one batch.

    start    coefficients to go on from, (s, k, p); an empty component keeps its own
    limit    Newton steps; None: until exact
    """
    s, k, _ = responsibilities.shape
    totals = responsibilities @ sample.unit_weights
    coef = np.zeros((s, k, sample.matrix.shape[1])) if start is None else start.copy()
    full = totals > EMPTY * sample.total / len(sample)
    weights = sample.row_weights(responsibilities[full])
    rows = SmoothRows(
        _Counts(quasi=True, truncated=sample.law.least == 1), _alike(sample.counts, weights), _alike(sample.offset, weights), weights
    )
    penalty = np.broadcast_to(2 * sample.penalty, (len(weights), len(sample.penalty)))
    stop = Stop(left=LEFT) if limit is None else Stop(limit, LEFT)
    found = minimize(sample.pieces, rows, penalty, None if start is None else start[full], stop).w
    usable = np.abs(found).max(axis=1, initial=0.0) < WILD  # False for NaN, too
    coef[full] = np.where(usable[:, None], found, coef[full])
    with np.errstate(divide="ignore"):
        return Point(coef, np.log(totals / sample.total))


def _alike(values: Array, weights: Array) -> Array:
    return np.broadcast_to(values, weights.shape)


def cycle(sample: Sample, expectation: Expectation, point: Point, limit: int | None = None) -> Point:
    """The M-step after an E-step."""
    return m_step(sample, expectation.responsibilities, point.coef, limit)


def textbook(sample: Sample, labels: np.ndarray, k: int) -> Iterator[tuple[Point, float]]:
    """The textbook's cycles from one label a unit, without end: the mixture after each M-step, and its ℓ.

    Where the M-step starts does not change where it ends: it starts where the last cycles point to, which saves Newton steps.
    """
    point = m_step(sample, one_hot(labels, k)[None])
    move = before = np.zeros_like(point.coef)
    while True:
        here = expect(sample, point)
        yield point, float(here.log_likelihood[0])
        length = np.linalg.norm(before, axis=2, keepdims=True)
        share = np.minimum(np.linalg.norm(move, axis=2, keepdims=True) / np.where(length > 0, length, 1.0), 1.0)
        there = m_step(sample, here.responsibilities, point.coef + np.where(length > 0, share, 0.0) * move)
        point, before, move = there, move, there.coef - point.coef


def plain(sample: Sample, labels: np.ndarray, k: int, cycles: int) -> tuple[Point, Array]:
    """Exactly so many of the textbook's cycles, and ℓ after the M-step of each."""
    run = list(itertools.islice(textbook(sample, labels, k), cycles))
    return run[-1][0], np.array([value for _, value in run])


def one_hot(labels: np.ndarray, k: int) -> Array:
    """Responsibilities (k, units) of hard labels."""
    return (labels == np.arange(k)[:, None]).astype(float)
