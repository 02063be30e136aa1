"""Newton's method on the observed-data likelihood, damped towards EM and safeguarded by it.

EM's step is C⁻¹g, with C the information that complete data would hold: slow where the counts hold little of it. In the metric of C the
observed information is  O = C^½ (I - R) C^½,  and R's eigenvalues are EM's rates of convergence (Dempster, Laird and Rubin 1977). The step

    d = C^-½ Q max(|I - Λ|, τ)⁻¹ Qᵀ C^-½ g,     R = Q Λ Qᵀ,

is Newton's for τ = 0 where O is positive definite, and where it is not turns Newton's way to a saddle into a way up (Dauphin et al. 2014);
for τ = 1 it is EM's (Lange 1995). τ falls where a step raises ℓ and rises where it does not; where no τ helps, the step is halved, and
in the end a cycle of EM, which cannot lower ℓ, is the fall-back. A point without slope where ℓ bends up is no end: the ascent goes on along
the axis that bends most. One Newton step costs a few cycles of EM and replaces dozens: measured beside EM sped up by extrapolation
(SQUAREM: Varadhan and Roland 2008), it is the faster one wherever EM is slow. Where the parameters are too many for eigenvectors of O,
steps are EM's (τ = 1), stretched while that pays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw4opt.mixture.em import cycle
from hw4opt.mixture.likelihood import Blocks, Curvature, Point, curvature, expect
from hw4opt.mixture.sample import Sample
from hw4opt.terms.base import Array

DAMPING, LEAST = 0.3, 1e-12  # τ at the start, and the least: below that the counts say nothing of a direction
EASE, BRAKE = 0.3, 4.0  # what τ is multiplied with after a step that raised ℓ, and after one that did not
HALVINGS = 8
PROMISED = 1e-10  # relative gain of ℓ that the last step may still promise
GAINS = 0.1  # what a step twice as long has to gain besides, of what the step gained
SINGULAR = 1e-12  # eigenvalue of C with unit diagonal that is none
GRADIENT = 1e-6  # standard errors (of complete data) that the gradient may still ask for, …
ROUGH = 1e-3  # … and the most where rounding alone asks for more, with counts of 1e15
BEND = 1e-8  # of an axis where ℓ bends up: its eigenvalue of I - R, below 0, from which a higher point is looked for along it

Over = Callable[[], bool]


def never() -> bool:
    """The time that never is over."""
    return False


@dataclass(frozen=True, eq=False)
class Climb:
    """Where an ascent ended: ℓ after each of its cycles, the gradient's length there, and whether it is stationary to tolerance.

    cut     its time was over before it ended;  saddle  it is stationary and there is a higher point along an axis without slope
    failed  it came to where ℓ or its derivatives are no finite numbers
    """

    point: Point
    curvature: Curvature
    trace: list[float]
    gradient: float
    stationary: bool
    cut: bool = False
    saddle: bool = False
    failed: bool = False

    @property
    def log_likelihood(self) -> float:
        return self.curvature.log_likelihood

    @property
    def finished(self) -> bool:
        """Whether it ended for good: neither for want of time, nor at a saddle, nor where numbers end."""
        return not (self.cut or self.saddle or self.failed)


@dataclass(frozen=True, eq=False)
class Axes:
    """The gradient on the axes of I - R: slopes and rates (K,); half halfᵀ = C⁻¹; the axes Q (K, K), None where R is taken as 0."""

    slopes: Array
    rates: Array
    half: Blocks
    turn: Array | None

    @classmethod
    def of(cls, here: Curvature) -> Axes:
        """Of a point; there is no slope along directions that even complete data would not determine."""
        half = Blocks(_inverse_root(here.complete.coef), _inverse_root(here.complete.logits))
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
        """The direction along which ℓ bends up most, a standard error of complete data long; None where it does along none."""
        return None if self.turn is None or self.rates[0] > -BEND else self.half.times(self.turn[:, 0])

    @property
    def size(self) -> float:
        """The gradient's length in C's metric: what EM would move by, in standard errors of complete data."""
        return float(np.linalg.norm(self.slopes))

    def small(self, sample: Sample, here: Curvature) -> bool:
        """Whether Newton's step promises a relative gain of at most `PROMISED`, and the gradient is small, too."""
        gain = 0.5 * float((self.slopes**2 / np.maximum(np.abs(self.rates), LEAST)).sum())
        return gain <= PROMISED * abs(here.log_likelihood) and self.size <= min(max(GRADIENT, sample.blur), ROUGH)


def _inverse_root(matrices: Array) -> Array:
    """H with H Hᵀ = M⁻¹ on the span of M, for symmetric M (…, m, m)."""
    root = 1.0 / np.sqrt(np.maximum(np.einsum("...ii->...i", matrices), 1e-300))
    values, vectors = np.linalg.eigh(matrices * root[..., None, :] * root[..., :, None])
    kept = values > SINGULAR
    return root[..., :, None] * vectors * np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)[..., None, :]


@np.errstate(over="ignore", invalid="ignore")  # what overflows ends the ascent, as failed
def climb(sample: Sample, point: Point, limit: int = 500, over: Over = never) -> Climb:
    """Ascend from one mixture until the predicted relative gain is below `PROMISED` and the gradient below `GRADIENT`, or time is over.

    Where rounding no longer lets ℓ tell two points apart, Newton's steps go on while they halve the gradient. A saddle is left.
    """
    here, trace, damping = curvature(sample, point), [], DAMPING
    for _ in range(limit):
        if not here.finite:
            break
        axes = Axes.of(here)
        small = axes.small(sample, here)
        there = _higher(sample, point, axes, here.log_likelihood) if small else None
        if small and there is None:
            return Climb(point, here, trace, axes.size, True)
        if over():
            return Climb(point, here, trace, axes.size, False, cut=True)
        there, damping = _search(sample, point, (axes, here.log_likelihood), damping) if there is None else (there, DAMPING)
        found = curvature(sample, there)
        if not found.log_likelihood > here.log_likelihood:
            there = moved(point, axes.step(LEAST))
            found = curvature(sample, there)
            lower = found.log_likelihood < here.log_likelihood - sample.noise
            if found.finite and (lower or Axes.of(found).size > 0.5 * axes.size):
                break
        point, here = there, found
        trace.append(max([here.log_likelihood, *trace[-1:]]))
    return ended(sample, point, trace, here)


def ended(sample: Sample, point: Point, trace: list[float], here: Curvature | None = None) -> Climb:
    """The end of an ascent, judged by what another step would bring; here: the curvature there, where it is known."""
    here = curvature(sample, point) if here is None else here
    if not here.finite:
        return Climb(point, here, trace, np.inf, False, failed=True)
    axes = Axes.of(here)
    small = axes.small(sample, here)
    saddle = small and _higher(sample, point, axes, here.log_likelihood) is not None
    return Climb(point, here, trace, axes.size, small, saddle=saddle)


def _higher(sample: Sample, point: Point, axes: Axes, height: float) -> Point | None:
    """A point higher than a stationary one, on either side along the axis where ℓ bends up; None at a maximum.

    It must be higher by what the last step may promise and by rounding, too: only then is a bend more than rounding. The first length
    tried is that from which a parabola of this bend is so much higher.
    """
    axis, gain = axes.upward, PROMISED * abs(height) + sample.noise
    if axis is None:
        return None
    size = max(1.0, 2.0 * float(np.sqrt(gain / -axes.rates[0])))
    for power in range(HALVINGS):
        steps = [side * 0.5**power * size * axis for side in (1.0, -1.0)]
        tried = [_tried(sample, point, step) for step in steps]
        best = int(tried[1][1] > tried[0][1])
        if tried[best][1] > height + gain:
            return _stretched(sample, point, steps[best], (*tried[best], height))
    return None


def _search(sample: Sample, point: Point, from_here: tuple[Axes, float], damping: float) -> tuple[Point, float]:
    """A point with a larger ℓ, and the damping to go on with: more damping, then shorter steps, then a cycle of EM."""
    axes, height = from_here
    while damping < 1.0:
        there, found = _tried(sample, point, axes.step(damping))
        if found > height:
            return _stretched(sample, point, axes.step(damping), (there, found, height)), max(EASE * damping, LEAST)
        damping = min(max(BRAKE * damping, 1e-3), 1.0)
    for power in range(HALVINGS):
        there, found = _tried(sample, point, 0.5**power * axes.step(1.0))
        if found > height:
            return (_stretched(sample, point, axes.step(1.0), (there, found, height)) if power == 0 else there), 0.5
    return cycle(sample, expect(sample, point), point), 1.0


def _stretched(sample: Sample, point: Point, step: Array, reached: tuple[Point, float, float]) -> Point:
    """The step doubled while that pays."""
    there, found, height = reached
    size = 1.0
    while True:
        size *= 2.0
        further, higher = _tried(sample, point, size * step)
        if not higher > found + GAINS * (found - height):
            return there
        there, found = further, higher


def _tried(sample: Sample, point: Point, step: Array) -> tuple[Point, float]:
    there = moved(point, step)
    return there, float(expect(sample, there).log_likelihood[0])


def moved(point: Point, step: Array) -> Point:
    """The mixture a step away; proportions sum to one again."""
    _, k, p = point.coef.shape
    step = step.reshape(k, p + 1)
    logits = point.log_proportions + step[:, p]
    top = logits.max()
    return Point(point.coef + step[:, :p], logits - top - np.log(np.exp(logits - top).sum()))
