"""The search for the best maximum: many short runs, the best of them finished, then perturbations of the best while they pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from hw4opt.arguments import check_fields
from hw4opt.errors import InputError
from hw4opt.poisson.ascent import Climb, Over, climb, never
from hw4opt.poisson.em import EMPTY, cycle, m_step
from hw4opt.poisson.likelihood import Expectation, Point, expect
from hw4opt.poisson.sample import Sample
from hw4opt.poisson.starts import given_to, perturbed, starts, worst
from hw4opt.terms.base import Array

CHAIN = 24  # starts of one chain
FINISHED = 4  # of a chain's starts, and …
FINISHED_PERTURBED = 2  # … of a round of perturbations: as many are run to the end
ROUND = 60  # perturbations tried side by side
PATIENCE = 5  # rounds without a better maximum after which perturbing no longer pays
PATIENCE_EASY = 2  # the same where all finished starts of a chain agree
AGREED = 3  # easy chains that end in the same maximum: another would, too
SHORT = (1, 2, 3)  # cycles of a short run, between which the worse half is dropped
INEXACT = 2  # Newton steps of a short run's M-steps
BATCH = 100_000  # entries (starts, moods, rows) of the M-steps that begin side by side: time is looked at between batches
SUBSET = 1_000  # units of which short runs see a sample where there are more
MARGIN = 2e-3  # relative difference of ℓ on the part from which a maximum is not looked at on all units
SAME = 1e-7  # relative difference of ℓ below which two maxima are one
EACH = 24  # perturbations for each start, where their number is not given
GRACE = 1.0  # seconds that the first run may take to its end when the search's are over: an answer that is stationary is worth them

Report = Callable[[int, int, float], None]
Draw = np.random.Generator


@dataclass(frozen=True)
class Budget:
    """How much is tried, in counts, so that a seed gives one answer on every machine.

    starts           how many at most;  perturbations  how many at most, None: `EACH` for each start
    seconds          a further cap on the time, which does depend on the machine: runs are stopped where they are
    """

    starts: int = 168
    perturbations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.starts < 1:
            raise InputError(f"starts is {self.starts}; it must be 1 or more")
        if self.most < 0:
            raise InputError(f"perturbations is {self.perturbations}; it must be 0 or more")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"seconds is {self.seconds}; it must be above 0")

    @property
    def most(self) -> int:
        """Perturbations at most."""
        return EACH * self.starts if self.perturbations is None else self.perturbations


@dataclass
class Found:
    """What a search saw.

    best: of the runs that were finished, where there is one; ends: ℓ of each of those; failed: starts that ended nowhere;
    capped: the seconds ran out and stopped something; still: the last chain found nothing better than those before
    """

    best: Climb | None = None
    tried: int = 0
    perturbed: int = 0
    failed: int = 0
    ends: list[float] = field(default_factory=list)
    capped: bool = False
    still: bool = False

    @property
    def end(self) -> Climb:
        """The best run. Raises `InputError` where every start failed."""
        if self.best is None:
            raise InputError("no start led to a finite likelihood; look for features of extreme size, or give a ridge")
        return self.best

    @property
    def top(self) -> float:
        """The largest ℓ so far."""
        return max(self.ends, default=-np.inf)

    @property
    def agreed(self) -> int:
        """Finished runs that ended in the best maximum."""
        return sum(_same(end, self.top) for end in self.ends)

    @property
    def next_best(self) -> float | None:
        """How far below the best the next maximum is."""
        return min((self.top - end for end in self.ends if not _same(end, self.top)), default=None)

    def take(self, climbs: list[Climb], tried: int, failed: int) -> None:
        """Count runs."""
        self.tried, self.failed = self.tried + tried, self.failed + failed
        self.ends += [one.log_likelihood for one in climbs if one.finished]
        self.best = max([*climbs, *([self.best] if self.best else [])], key=lambda one: (one.finished, _height(one)), default=None)


def search(sample: Sample, k: int, budget: Budget, draw: Draw, report: Report | None = None) -> Found:
    """The best maximum of the budget's chains: each has its own starts and perturbs the best of them."""
    found, clock = Found(), _Clock(budget, report)
    runs = _Runs(sample, k, draw, clock)
    left, easy = 1 if k == 1 else budget.starts, 0
    while left > 0 and easy < AGREED and (found.best is None or not clock.over()):
        count = min(CHAIN, left)
        left -= count
        easy = _chain(runs, count, found, clock) + (easy if found.still else 0)
    found.capped = clock.stopped
    return found


def _chain(runs: _Runs, count: int, found: Found, clock: _Clock) -> bool:
    """Some starts, and perturbations of the best of them; whether every finished start had ended in the best maximum."""
    before = found.top
    climbs = runs.started(count, found)
    best = max(climbs, key=_height, default=None)
    clock.tell(found)
    if best is None or runs.k == 1:
        return False
    easy = len(climbs) > 1 and all(_same(_height(one), _height(best)) for one in climbs)
    idle, patience = 0, PATIENCE_EASY if easy else PATIENCE
    while idle < patience and found.perturbed < clock.budget.most and not clock.over():
        there = max(runs.perturbed(best, min(ROUND, clock.budget.most - found.perturbed), found), key=_height, default=best)
        better = _height(there) > _height(best) and not _same(_height(there), _height(best))
        best, idle = (there, 0) if better else (best, idle + 1)
        easy = easy and not better
        clock.tell(found)
    found.still = _same(found.top, before)
    return easy and _same(_height(best), found.top)


class _Runs:
    """Runs on a sample: short ones and their finish on a part of the units where there are many, then on all of them.

    Most finished runs end where one ended before. What they end in on the part tells, and saves the finish on all.
    """

    def __init__(self, sample: Sample, k: int, draw: Draw, clock: _Clock) -> None:
        self.sample, self.k, self.draw, self.clock = sample, k, draw, clock
        self.part = sample.part(SUBSET, draw)
        self._known: list[tuple[float, Climb]] = []

    def started(self, count: int, found: Found) -> list[Climb]:
        """Starts of every family, the best of them finished."""
        return self._finish(starts(self.part, self.k, count, self.draw), FINISHED, found)

    def perturbed(self, best: Climb, count: int, found: Found) -> list[Climb]:
        """Perturbations of one maximum, the best of them finished."""
        found.perturbed += count
        return self._finish(perturbed(self.part, expect(self.part, best.point), count, self.draw), FINISHED_PERTURBED, found)

    def _finish(self, shares: Array, most: int, found: Found) -> list[Climb]:
        short = short_runs(self.part, shares, self.clock.over)
        climbs, failed = [], short.failed
        for i in range(min(len(short.points), most)):
            first = found.best is None and not climbs
            if not first and self.clock.over():
                break
            done = settle(self.part, short.points.pick(slice(i, i + 1)), short.history[i].tolist(), self._over(first))
            done = done if self.part is self.sample or done.failed else self._whole(done, self._over(first))
            failed += done is not None and done.failed
            climbs += [] if done is None or done.failed else [done]
        found.take(climbs, short.tried, failed)
        return climbs

    def _over(self, first: bool) -> Over:
        return self.clock.later(GRACE) if first else self.clock.over

    def _whole(self, climb: Climb, over: Over) -> Climb | None:
        """The climb gone on with on all units; None for one that ends too low on the part."""
        height = _height(climb)
        known = next((whole for part, whole in self._known if _same(part, height)), None)
        best = max((part for part, _ in self._known), default=-np.inf)
        if known is None and height > best - MARGIN * abs(height):
            known = settle(self.sample, climb.point, over=over)
            self._known += [] if known.failed else [(height, known)]
        return known


def _height(climb: Climb) -> float:
    return climb.log_likelihood


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME * abs(other)


class Short(NamedTuple):
    """Short runs: the better ones, best first; ℓ after each of their M-steps, (s, cycles); how many were tried and how many failed."""

    points: Point
    history: Array
    tried: int
    failed: int


def short_runs(sample: Sample, shares: Array, over: Over = never) -> Short:
    """A few cycles of EM with inexact M-steps from each start, side by side; fewer where time is over."""
    point, failed = _begun(sample, shares, over), 0
    tried = len(point)
    here = expect(sample, point)
    history = here.log_likelihood[:, None]
    for number, cycles in enumerate(SHORT):
        for _ in range(cycles):
            if over():
                break
            point = cycle(sample, here, point, INEXACT)
            here = expect(sample, point)
            history = np.column_stack([history, here.log_likelihood])
        usable = np.isfinite(here.log_likelihood)
        failed += int((~usable).sum())
        order = np.argsort(-np.where(usable, here.log_likelihood, -np.inf), kind="stable")[: int(usable.sum())]
        order = order[: len(order) if number + 1 == len(SHORT) else max(FINISHED, -(-len(order) // 2))]
        point, history = point.pick(order), history[order]
        here = Expectation(here.log_likelihood[order], here.responsibilities[order], here.densities[order])
    return Short(point, history, tried, failed)


def _begun(sample: Sample, shares: Array, over: Over) -> Point:
    """The first M-step of every start, or of some where time is over."""
    size = max(1, BATCH // (shares.shape[1] * len(sample.counts)))
    points: list[Point] = []
    for low in range(0, len(shares), size):
        if points and over():
            break
        points.append(m_step(sample, shares[low : low + size], limit=2 * INEXACT))
    return Point.stack(points)


def settle(sample: Sample, point: Point, before: Sequence[float] = (), over: Over = never) -> Climb:
    """Climb; a component that empties is put onto the worst-fitted units once, and left out if it empties again or time is over.

    before    ℓ after earlier cycles of the same run, which its trace begins with
    """
    done = climb(sample, point, over=over)
    empty = _empty(sample, done)
    if len(empty) and not over():
        again = climb(sample, _reseeded(sample, done.point, empty), over=over)
        done, before = (done, before) if again.cut else (again, ())
        empty = _empty(sample, done)
    if len(empty):
        kept = np.setdiff1d(np.arange(done.point.k), empty)
        done = climb(sample, Point(done.point.coef[:, kept], done.point.log_proportions[:, kept]), over=over)
    return replace(done, trace=[*before, *done.trace] or [done.log_likelihood])


def _empty(sample: Sample, done: Climb) -> np.ndarray:
    shares = np.exp(done.point.log_proportions[0])
    return np.flatnonzero((shares * len(sample) <= EMPTY) & (not done.failed))


def _reseeded(sample: Sample, point: Point, empty: np.ndarray) -> Point:
    here = expect(sample, point)
    shares, badness = here.responsibilities[0].copy(), sample.saturated - here.densities[0]
    size = max(sample.matrix.shape[1] + 1, len(sample) // (10 * point.k))
    for place, component in enumerate(empty):
        shares = given_to(shares, int(component), worst(badness, size * (place + 1))[size * place :])
    return m_step(sample, shares[None])


class _Clock:
    """Time against the cap, and progress against the budget; stopped: somebody asked when time was over."""

    def __init__(self, budget: Budget, report: Report | None) -> None:
        self.budget, self.report, self.stopped = budget, report, False
        self.end = np.inf if budget.seconds is None else time.monotonic() + budget.seconds

    def over(self) -> bool:
        """Whether the seconds have run out: asked only by what would go on."""
        return self._past(self.end)

    def later(self, seconds: float) -> Over:
        """The same for what may take so many seconds from now in any case."""
        end = max(self.end, time.monotonic() + seconds)
        return lambda: self._past(end)

    def _past(self, end: float) -> bool:
        past = end < np.inf and time.monotonic() > end
        self.stopped |= past
        return past

    def tell(self, found: Found) -> None:
        """Report progress."""
        if self.report is not None and found.best is not None:
            self.report(found.tried, self.budget.starts + self.budget.most, _height(found.best))
