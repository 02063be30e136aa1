"""Newton's method on the observed-data likelihood, damped towards EM, with a cycle of EM as the fall-back.

EM's step is C⁻¹g, with C the information of complete data: it is slow where the counts hold little of that information.
In the metric of C the observed information is  O = C^½ (I - R) C^½,  and R's eigenvalues are EM's rates of convergence
(Dempster, Laird and Rubin 1977). The step

    d = C^-½ Q max(|I - Λ|, τ)⁻¹ Qᵀ C^-½ g,     R = Q Λ Qᵀ,

is Newton's for τ = 0 where O is positive definite, and an ascent direction in place of Newton's step to a saddle
where it is not (Dauphin et al. 2014); for τ = 1 it is EM's (Lange 1995). τ is decreased after a step that raises ℓ
and increased after one that does not; where no τ helps, the step is halved, and in the end a cycle of EM, which
cannot lower ℓ, replaces it. A stationary point with a direction of positive curvature is a saddle: the ascent goes
on along the direction of largest curvature. One Newton step costs a few cycles of EM and replaces dozens: it was
measured faster than EM with extrapolation (SQUAREM: Varadhan and Roland 2008) wherever EM is slow. Where the
parameters are too many for eigenvectors of O, steps are EM's (τ = 1), doubled while ℓ gains enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal
from hw4opt.mixture.em import cycle
from hw4opt.mixture.likelihood import BlockMatrix, Curvature, MixtureParameters, curvature, expect
from hw4opt.mixture.sample import Sample
from hw4opt.solvers._deadline import Deadline
from hw4opt.terms.base import Array

FIRST_DAMPING, MIN_DAMPING = 0.3, 1e-12  # τ; curvature below the minimum is rounding
DAMPING_AFTER_GAIN, DAMPING_AFTER_LOSS = 0.3, 4.0  # factors of τ after a step that raised ℓ, and after one that did not
LEAST_INCREASED_DAMPING = 1e-3  # τ after a step that did not raise ℓ, at least
DAMPING_AFTER_EM_STEP = 0.5  # τ after a step with τ = 1 that raised ℓ
MAX_HALVINGS = 8  # of a step
GAIN_TOLERANCE = 1e-10  # predicted relative gain of ℓ below which an ascent has converged
MIN_GAIN_RATIO = 0.1  # further gain of a doubled step over the gain of the step, from which it is taken
SPAN_EIGENVALUE = 1e-12  # of C with unit diagonal: an eigenvector of a smaller one is not in its span
GRADIENT_TOLERANCE = 1e-6  # length of the gradient in standard errors of complete data at convergence
MAX_GRADIENT_TOLERANCE = 1e-3  # the same where the rounding of the gradient is larger, as with counts of 1e15
# size of a negative eigenvalue of I - R from which its axis is searched for a higher point
MIN_NEGATIVE_CURVATURE = 1e-8

TimeCheck = Callable[[], bool]  # whether the time limit has been reached

NO_DEADLINE: TimeCheck = Deadline(None).passed


@dataclass(frozen=True, eq=False)
class Ascent:
    """The end of an ascent: ℓ after each of its cycles, the gradient's length at the end, and whether it is stationary.

    timed_out  the time limit was reached before it converged
    saddle     it is stationary, and there is a higher point along a direction of positive curvature
    failed     ℓ or its derivatives are not finite
    """

    point: MixtureParameters
    curvature: Curvature
    trace: list[float]
    gradient: float
    stationary: bool
    timed_out: bool = False
    saddle: bool = False
    failed: bool = False

    @property
    def log_likelihood(self) -> float:
        return self.curvature.log_likelihood

    @property
    def finished(self) -> bool:
        """Whether it neither timed out, nor ended at a saddle, nor failed."""
        return not (self.timed_out or self.saddle or self.failed)


@dataclass(frozen=True, eq=False)
class InformationAxes:
    """The gradient in the eigenvectors of I - R.

    slopes, rates (K,)    of the gradient along them, and the eigenvalues of I - R
    half                  H with H Hᵀ = C⁻¹;  turn (K, K)  Q, None where R is taken as 0
    """

    slopes: Array
    rates: Array
    half: BlockMatrix
    turn: Array | None

    @classmethod
    def of(cls, here: Curvature) -> InformationAxes:
        """The spectrum at a point; slopes are 0 along directions that even complete data would not determine."""
        half = BlockMatrix(_inverse_root(here.complete.coef), _inverse_root(here.complete.logits))
        slopes = half.transposed.times(here.gradient)
        if here.observed is None:
            return cls(slopes, np.ones(len(slopes)), half, None)
        rates, turn = np.linalg.eigh(half.transposed.times(half.transposed.times(here.observed).T))
        return cls(turn.T @ slopes, rates, half, turn)

    def step(self, damping: float) -> Array:
        """d for τ = damping."""
        move = self.slopes / np.maximum(np.abs(self.rates), damping)
        return self.half.times(move if self.turn is None else self.turn @ move)

    @property
    def upward(self) -> Array | None:
        """The direction of largest curvature, of length one standard error of complete data; None if no curvature is
        positive."""
        if self.turn is None or self.rates[0] > -MIN_NEGATIVE_CURVATURE:
            return None
        return self.half.times(self.turn[:, 0])

    @property
    def gradient_length(self) -> float:
        """The gradient's length in C's metric: that of EM's step in standard errors of complete data."""
        return float(np.linalg.norm(self.slopes))

    def within_tolerance(self, sample: Sample, here: Curvature) -> bool:
        """Whether the predicted gain of Newton's step and the gradient are within their tolerances."""
        gain = 0.5 * float((self.slopes**2 / np.maximum(np.abs(self.rates), MIN_DAMPING)).sum())
        tolerance = min(max(GRADIENT_TOLERANCE, sample.gradient_rounding), MAX_GRADIENT_TOLERANCE)
        return gain <= GAIN_TOLERANCE * abs(here.log_likelihood) and self.gradient_length <= tolerance


def _inverse_root(matrices: Array) -> Array:
    """H with H Hᵀ = M⁻¹ on the span of M, for symmetric M (…, m, m)."""
    root = inverse_root_diagonal(matrices)
    values, vectors = np.linalg.eigh(matrices * root[..., None, :] * root[..., :, None])
    kept = values > SPAN_EIGENVALUE
    scaled = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    return root[..., :, None] * vectors * scaled[..., None, :]


@np.errstate(over="ignore", invalid="ignore")  # an overflow ends the ascent, as failed
def ascend(sample: Sample, point: MixtureParameters, limit: int = 500, time_is_over: TimeCheck = NO_DEADLINE) -> Ascent:
    """Ascend from one mixture until it is stationary to `GAIN_TOLERANCE` and `GRADIENT_TOLERANCE`, or out of time.

    Where the values of ℓ no longer differ by more than rounding, Newton's steps go on as long as they halve the
    gradient.
    A saddle is left along its direction of largest curvature.
    """
    here, trace, damping = curvature(sample, point), [], FIRST_DAMPING
    for _ in range(limit):
        if not here.finite:
            break
        axes = InformationAxes.of(here)
        converged = axes.within_tolerance(sample, here)
        there = _point_above_saddle(sample, point, axes, here.log_likelihood) if converged else None
        if converged and there is None:
            return Ascent(point, here, trace, axes.gradient_length, True)
        if time_is_over():
            return Ascent(point, here, trace, axes.gradient_length, False, timed_out=True)
        if there is None:
            there, damping = _damped_step(sample, point, axes, here.log_likelihood, damping)
        else:
            damping = FIRST_DAMPING
        found = curvature(sample, there)
        if not found.log_likelihood > here.log_likelihood:
            there = moved(point, axes.step(MIN_DAMPING))
            found = curvature(sample, there)
            lower = found.log_likelihood < here.log_likelihood - sample.log_likelihood_rounding
            if found.finite and (lower or InformationAxes.of(found).gradient_length > 0.5 * axes.gradient_length):
                break
        point, here = there, found
        trace.append(max([here.log_likelihood, *trace[-1:]]))
    return assessed(sample, point, trace, here)


def assessed(sample: Sample, point: MixtureParameters, trace: list[float], here: Curvature | None = None) -> Ascent:
    """The end of an ascent: stationary, saddle or failed; `here` is the curvature there, if it is known."""
    here = curvature(sample, point) if here is None else here
    if not here.finite:
        return Ascent(point, here, trace, np.inf, False, failed=True)
    axes = InformationAxes.of(here)
    stationary = axes.within_tolerance(sample, here)
    saddle = stationary and _point_above_saddle(sample, point, axes, here.log_likelihood) is not None
    return Ascent(point, here, trace, axes.gradient_length, stationary, saddle=saddle)


class _SteppedMixture(NamedTuple):
    """A mixture and its ℓ."""

    point: MixtureParameters
    height: float


class _DampedStep(NamedTuple):
    """A mixture with a larger ℓ, and the damping of the next step."""

    point: MixtureParameters
    damping: float


def _point_above_saddle(
    sample: Sample, point: MixtureParameters, axes: InformationAxes, height: float
) -> MixtureParameters | None:
    """A point higher than a stationary one, on either side along the direction of largest curvature; None at a maximum.

    It must be higher by more than the gain tolerance and rounding: a smaller difference proves no positive
    curvature. The first length tried is that at which a parabola of this curvature is so much higher.
    """
    axis, gain = axes.upward, GAIN_TOLERANCE * abs(height) + sample.log_likelihood_rounding
    if axis is None:
        return None
    length = max(1.0, 2.0 * float(np.sqrt(gain / -axes.rates[0])))
    for power in range(MAX_HALVINGS):
        steps = [side * 0.5**power * length * axis for side in (1.0, -1.0)]
        trials = [_stepped(sample, point, step) for step in steps]
        best = int(trials[1].height > trials[0].height)
        if trials[best].height > height + gain:
            return _doubled_while_gaining(sample, point, steps[best], trials[best], height)
    return None


def _damped_step(
    sample: Sample, point: MixtureParameters, axes: InformationAxes, height: float, damping: float
) -> _DampedStep:
    """The next point: with more damping until ℓ rises, else shorter steps, else a cycle of EM."""
    while damping < 1.0:
        trial = _stepped(sample, point, axes.step(damping))
        if trial.height > height:
            there = _doubled_while_gaining(sample, point, axes.step(damping), trial, height)
            return _DampedStep(there, max(DAMPING_AFTER_GAIN * damping, MIN_DAMPING))
        damping = min(max(DAMPING_AFTER_LOSS * damping, LEAST_INCREASED_DAMPING), 1.0)
    step = axes.step(1.0)
    for power in range(MAX_HALVINGS):
        trial = _stepped(sample, point, 0.5**power * step)
        if trial.height > height:
            there = trial.point if power else _doubled_while_gaining(sample, point, step, trial, height)
            return _DampedStep(there, DAMPING_AFTER_EM_STEP)
    return _DampedStep(cycle(sample, expect(sample, point), point), 1.0)


def _doubled_while_gaining(
    sample: Sample, point: MixtureParameters, step: Array, reached: _SteppedMixture, height: float
) -> MixtureParameters:
    """The end of the step, doubled as long as each doubling gains `MIN_GAIN_RATIO` of the gain so far."""
    factor = 1.0
    while True:
        factor *= 2.0
        further = _stepped(sample, point, factor * step)
        if not further.height > reached.height + MIN_GAIN_RATIO * (reached.height - height):
            return reached.point
        reached = further


def _stepped(sample: Sample, point: MixtureParameters, step: Array) -> _SteppedMixture:
    there = moved(point, step)
    return _SteppedMixture(there, float(expect(sample, there).log_likelihood[0]))


def moved(point: MixtureParameters, step: Array) -> MixtureParameters:
    """The mixture a step away, its proportions scaled to the sum 1."""
    _, k, p = point.coef.shape
    step = step.reshape(k, p + 1)
    logits = point.log_proportions + step[:, p]
    top = logits.max()
    return MixtureParameters(point.coef + step[:, :p], logits - top - np.log(np.exp(logits - top).sum()))
