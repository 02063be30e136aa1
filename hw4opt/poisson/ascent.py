"""Newton's method on the observed-data likelihood, safeguarded by EM.

EM's step is C⁻¹g, with C the information that complete data would hold: slow where the counts hold little of it. In the metric of C the
observed information is  O = C^½ (I - R) C^½,  and R's eigenvalues are EM's rates of convergence (Dempster, Laird and Rubin 1977). A step

    d = C^-½ Q |I - Λ|⁻¹ Qᵀ C^-½ g,     R = Q Λ Qᵀ,

is Newton's where O is positive definite, and elsewhere turns Newton's way to a saddle into a way up (Dauphin et al. 2014); Λ = 0 would be
EM's (Lange 1995). It is halved until ℓ rises; where no step does, a cycle of EM, which cannot lower ℓ, is the fall-back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.poisson.em import cycle
from hw4opt.poisson.likelihood import Curvature, Point, curvature, expect
from hw4opt.poisson.sample import Sample
from hw4opt.terms.base import Array

HALVINGS = 6
FLAT = 1e-12  # an eigenvalue of I - R below it: the counts say nothing of that direction
GRADIENT = 1e-6  # standard errors (of complete data) that the gradient may still ask for


@dataclass(frozen=True, eq=False)
class Climb:
    """Where an ascent ended: ℓ after each of its cycles, the gradient's length there, and whether it is stationary to tolerance."""

    point: Point
    curvature: Curvature
    trace: list[float]
    gradient: float
    stationary: bool

    @property
    def log_likelihood(self) -> float:
        return self.curvature.log_likelihood


def climb(sample: Sample, point: Point, tol: float = 1e-10, limit: int = 500) -> Climb:
    """Ascend from one mixture until the predicted relative gain is below tol and the gradient below `GRADIENT`."""
    here, trace = curvature(sample, point), []
    for _ in range(limit):
        step, gain, size = _direction(here)
        if _small(here, gain, size, tol):
            break
        found = _search(sample, point, here, step)
        if found is None:
            break
        point, here = found
        trace.append(here.log_likelihood)
    return ended(point, here, trace, tol)


def ended(point: Point, here: Curvature, trace: list[float], tol: float) -> Climb:
    """The end of an ascent, judged by what another step would bring."""
    _, gain, size = _direction(here)
    return Climb(point, here, trace, size, _small(here, gain, size, tol))


def _small(here: Curvature, gain: float, size: float, tol: float) -> bool:
    return gain <= tol * abs(here.log_likelihood) and size <= GRADIENT


def _direction(here: Curvature) -> tuple[Array, float, float]:
    """The step, the gain in ℓ that it predicts, and the gradient's length in C's metric."""
    root = 1.0 / np.sqrt(np.maximum(here.complete.diagonal(), 1e-300))
    values, vectors = np.linalg.eigh(here.complete * root * root[:, None])
    kept = values > 1e-12
    half = root[:, None] * vectors[:, kept] / np.sqrt(values[kept])  # half halfᵀ = C⁻¹
    rates, axes = np.linalg.eigh(half.T @ here.observed @ half)
    slope = axes.T @ (half.T @ here.gradient)
    move = slope / np.maximum(np.abs(rates), FLAT)
    return half @ (axes @ move), 0.5 * float(slope @ move), float(np.linalg.norm(slope))


def _search(sample: Sample, point: Point, here: Curvature, step: Array) -> tuple[Point, Curvature] | None:
    """The first of step, step/2, … that raises ℓ, else a cycle of EM; None if nothing does."""
    for power in range(HALVINGS):
        there = moved(point, step * 0.5**power)
        found = curvature(sample, there)
        if found.log_likelihood > here.log_likelihood:
            return there, found
    there = cycle(sample, expect(sample, point), point)
    found = curvature(sample, there)
    return (there, found) if found.log_likelihood > here.log_likelihood else None


def moved(point: Point, step: Array) -> Point:
    """The mixture a step away; proportions sum to one again."""
    _, k, p = point.coef.shape
    step = step.reshape(k, p + 1)
    logits = point.log_proportions + step[:, p]
    top = logits.max()
    return Point(point.coef + step[:, :p], logits - top - np.log(np.exp(logits - top).sum()))
