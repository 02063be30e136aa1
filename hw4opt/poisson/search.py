"""The search for the best maximum: many short runs, the best of them finished, then perturbations of the best while they pay."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hw4opt.poisson.ascent import Climb, climb
from hw4opt.poisson.em import EMPTY, cycle, m_step
from hw4opt.poisson.likelihood import Point, expect
from hw4opt.poisson.sample import Sample
from hw4opt.poisson.starts import given_to, perturbed, starts, worst
from hw4opt.terms.base import Array

FINISHED = 6  # starts that are run to the end
FINISHED_PERTURBED = 2  # of each round of perturbations
ROUND = 24  # perturbations tried side by side
PATIENCE = 4  # rounds without a better maximum after which perturbing no longer pays
SHORT = (2, 3, 5)  # cycles of a short run, between which the worse half is dropped
INEXACT = 3  # Newton steps of a short run's M-steps
SUBSET = 4_000  # units of which short runs see a sample where there are more
SAME = 1e-7  # relative difference of ℓ below which two maxima are one

Report = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Budget:
    """How much is tried, in counts, so that a seed gives one answer on every machine.

    starts, perturbations    how many at most;  seconds  a further cap on the time, which does depend on the machine
    """

    starts: int = 48
    perturbations: int = 480
    seconds: float | None = None


@dataclass
class Found:
    """What a search saw. ends: ℓ of every run that was finished; failed: starts that ended nowhere; capped: the seconds ran out."""

    best: Climb
    tried: int = 0
    failed: int = 0
    ends: list[float] = field(default_factory=list)
    capped: bool = False
    dropped: int = 0

    @property
    def agreed(self) -> int:
        """Finished runs that ended in the best maximum."""
        return sum(self.best.log_likelihood - end <= self._same for end in self.ends)

    @property
    def next_best(self) -> float | None:
        """How far below the best the next maximum is."""
        others = [self.best.log_likelihood - end for end in self.ends if self.best.log_likelihood - end > self._same]
        return min(others, default=None)

    @property
    def _same(self) -> float:
        return SAME * abs(self.best.log_likelihood)


def search(sample: Sample, k: int, budget: Budget, draw: np.random.Generator, report: Report | None = None) -> Found:
    """The best of the budget's starts and perturbations."""
    clock = _Clock(budget, report)
    small = sample if len(sample) <= SUBSET else sample.take(np.sort(draw.permutation(len(sample))[:SUBSET]))
    count = 1 if k == 1 else budget.starts
    points, failed = short_runs(small, starts(small, k, count, draw))
    climbs = [settle(sample, points.pick(slice(i, i + 1))) for i in range(min(len(points), FINISHED))]
    best = max(climbs, key=lambda one: one.log_likelihood)
    found = Found(best, count, failed, [one.log_likelihood for one in climbs])
    clock.tell(found)
    if k > 1:
        _perturb(sample, small, found, clock, draw)
    return found


def _perturb(sample: Sample, small: Sample, found: Found, clock: _Clock, draw: np.random.Generator) -> None:
    """Rounds of perturbations around the best, each round's best finished; stops where `PATIENCE` rounds found nothing better."""
    left, idle = clock.budget.perturbations, 0
    while left > 0 and idle < PATIENCE:
        if clock.over:
            found.capped = True
            return
        count = min(ROUND, left)
        here = expect(small, found.best.point)
        points, failed = short_runs(small, perturbed(small, here, count, draw))
        found.tried, found.failed, left, idle = found.tried + count, found.failed + failed, left - count, idle + 1
        for i in range(min(len(points), FINISHED_PERTURBED)):
            there = settle(sample, points.pick(slice(i, i + 1)))
            found.ends.append(there.log_likelihood)
            if there.log_likelihood > found.best.log_likelihood + SAME * abs(found.best.log_likelihood):
                found.best, idle = there, 0
        clock.tell(found)


def short_runs(sample: Sample, shares: Array) -> tuple[Point, int]:
    """A few cycles of EM with inexact M-steps from each start, side by side; the better ones, best first, and how many ended nowhere."""
    point, failed = m_step(sample, shares, limit=2 * INEXACT), 0
    for number, cycles in enumerate(SHORT):
        for _ in range(cycles):
            point = cycle(sample, expect(sample, point), point, INEXACT)
        reached = expect(sample, point).log_likelihood
        usable = np.isfinite(reached)
        failed += int((~usable).sum())
        order = np.argsort(-np.where(usable, reached, -np.inf), kind="stable")[: int(usable.sum())]
        keep = len(order) if number + 1 == len(SHORT) else max(FINISHED, -(-len(order) // 2))
        point = point.pick(order[:keep])
    return point, failed


def settle(sample: Sample, point: Point) -> Climb:
    """Climb; a component that empties is put onto the worst-fitted units once, and left out if it empties again."""
    done = climb(sample, point)
    empty = _empty(sample, done)
    if len(empty):
        done = climb(sample, _reseeded(sample, done.point, empty))
        empty = _empty(sample, done)
    if len(empty):
        kept = np.setdiff1d(np.arange(done.point.k), empty)
        left = Point(done.point.coef[:, kept], done.point.log_proportions[:, kept])
        done = climb(sample, left)
    return done


def _empty(sample: Sample, done: Climb) -> np.ndarray:
    return np.flatnonzero(np.exp(done.point.log_proportions[0]) * len(sample) <= EMPTY)


def _reseeded(sample: Sample, point: Point, empty: np.ndarray) -> Point:
    here = expect(sample, point)
    shares, badness = here.responsibilities[0].copy(), sample.saturated - here.densities[0]
    size = max(sample.matrix.shape[1] + 1, len(sample) // (10 * point.k))
    for place, component in enumerate(empty):
        shares = given_to(shares, int(component), worst(badness, size * (place + 1))[size * place :])
    return m_step(sample, shares[None])


class _Clock:
    """Time against the cap, and progress against the budget."""

    def __init__(self, budget: Budget, report: Report | None) -> None:
        self.budget, self.report = budget, report
        self.end = None if budget.seconds is None else time.monotonic() + budget.seconds

    @property
    def over(self) -> bool:
        return self.end is not None and time.monotonic() > self.end

    def tell(self, found: Found) -> None:
        if self.report is not None:
            self.report(found.tried, self.budget.starts + self.budget.perturbations, found.best.log_likelihood)
