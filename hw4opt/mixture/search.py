"""The search for the best maximum: many short runs, the best of them finished, then perturbations of the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hw4opt.errors import InputError
from hw4opt.mixture.ascent import Ascent, TimeCheck
from hw4opt.mixture.likelihood import expect
from hw4opt.mixture.runs import MIN_SHORT_RUNS, finish_run, short_runs
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.starts import Draw, draw_perturbations, draw_starts
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_fields

STARTS_PER_CHAIN = 24
FINISHED_STARTS = MIN_SHORT_RUNS  # of a chain's starts
FINISHED_PERTURBATIONS = 2  # of a round of perturbations
PERTURBATIONS_PER_ROUND = 60  # tried side by side
PERTURBATIONS_PER_START = 24  # where their number is not given
MAX_IDLE_ROUNDS = 5  # of perturbations without a better maximum, after which a chain ends
MAX_IDLE_ROUNDS_AGREED = 2  # the same where all finished starts of the chain ended in one maximum
AGREEING_CHAINS = 3  # one after another in the same maximum, after which the search ends
SUBSAMPLE_UNITS = 1_000  # units in the subsample of short runs
# relative difference of ℓ from the best on the subsample, beyond which a run is not finished on all units
SUBSAMPLE_MARGIN = 2e-3
SAME_MAXIMUM = 1e-7  # relative difference of ℓ below which two maxima count as one
# extra time for the first run to converge after the search's seconds: its answer is then stationary
GRACE_SECONDS = 1.0

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Budget:
    """The extent of a search, in counts, so that a seed gives the same answer on every machine.

    starts           largest number;  perturbations  largest number, None: 24 per start
    seconds          a further limit, whose effect depends on the machine: unfinished runs are stopped
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
        """The largest number of perturbations."""
        return PERTURBATIONS_PER_START * self.starts if self.perturbations is None else self.perturbations


@dataclass
class SearchRecord:
    """The runs of a search.

    best        the best run to the end, None before there is one;  ends  ℓ of the finished runs
    tried       number of starts and perturbations;  perturbed  of perturbations;  failed  of runs without a finite end
    timed_out   whether the seconds ran out before the search was complete
    """

    best: Ascent | None = None
    tried: int = 0
    perturbed: int = 0
    failed: int = 0
    ends: list[float] = field(default_factory=list)
    timed_out: bool = False

    @property
    def end(self) -> Ascent:
        """The best run. Raises `InputError` where every start failed."""
        if self.best is None:
            raise InputError(
                "no start led to a finite likelihood; look for features of extreme size, or give a `ridge`"
            )
        return self.best

    @property
    def top(self) -> float:
        """The largest ℓ of a finished run."""
        return max(self.ends, default=-np.inf)

    @property
    def agreed(self) -> int:
        """The number of finished runs that ended in the best maximum."""
        return sum(_same(end, self.top) for end in self.ends)

    @property
    def next_best(self) -> float | None:
        """ℓ of the best maximum less that of the next."""
        return min((self.top - end for end in self.ends if not _same(end, self.top)), default=None)

    def add(self, runs: list[Ascent], tried: int, failed: int) -> None:
        """Count runs."""
        self.tried, self.failed = self.tried + tried, self.failed + failed
        self.ends += [run.log_likelihood for run in runs if run.finished]
        known = [] if self.best is None else [self.best]
        self.best = max([*runs, *known], key=lambda run: (run.finished, run.log_likelihood), default=None)


def search(sample: Sample, k: int, budget: Budget, draw: Draw, progress: Progress | None = None) -> SearchRecord:
    """The best maximum of the budget's chains: each has its own starts and perturbs the best of them."""
    record, clock = SearchRecord(), _Clock(budget, progress)
    runs = _Runs(sample, k, draw, clock)
    left, agreeing = 1 if k == 1 else budget.starts, 0
    while left > 0 and agreeing < AGREEING_CHAINS and (record.best is None or not clock.time_is_over()):
        count, before = min(STARTS_PER_CHAIN, left), record.top
        left -= count
        agreed = _chain(runs, count, record, clock)
        agreeing = agreed + (agreeing if _same(record.top, before) else 0)
    record.timed_out = clock.stopped
    return record


def _chain(runs: _Runs, count: int, record: SearchRecord, clock: _Clock) -> bool:
    """Starts, and perturbations of the best of them; whether all finished starts ended in the best maximum so far."""
    ends = runs.from_starts(count, record)
    best = max(ends, key=_height, default=None)
    clock.report(record)
    if best is None or runs.k == 1:
        return False
    agreed = len(ends) > 1 and all(_same(end.log_likelihood, best.log_likelihood) for end in ends)
    idle, max_idle = 0, MAX_IDLE_ROUNDS_AGREED if agreed else MAX_IDLE_ROUNDS
    while idle < max_idle and record.perturbed < clock.budget.most and not clock.time_is_over():
        size = min(PERTURBATIONS_PER_ROUND, clock.budget.most - record.perturbed)
        there = max(runs.from_perturbations(best, size, record), key=_height, default=best)
        better = _height(there) > _height(best) and not _same(_height(there), _height(best))
        best, idle = (there, 0) if better else (best, idle + 1)
        agreed = agreed and not better
        clock.report(record)
    return agreed and _same(_height(best), record.top)


class _Runs:
    """Runs on a sample: first on a subsample if there are many units, then on all of them.

    Most runs end in a maximum that an earlier one ended in. The subsample shows that at low cost, and saves finishing
    such a run on all units.
    """

    def __init__(self, sample: Sample, k: int, draw: Draw, clock: _Clock) -> None:
        self.sample, self.k, self.draw, self.clock = sample, k, draw, clock
        self.subsample = sample.subsample(SUBSAMPLE_UNITS, draw)
        self._known: list[tuple[float, Ascent]] = []  # ℓ on the subsample, and the finish on all units

    def from_starts(self, count: int, record: SearchRecord) -> list[Ascent]:
        """Run starts of every family, and finish the best."""
        return self._finish(draw_starts(self.subsample, self.k, count, self.draw), FINISHED_STARTS, record)

    def from_perturbations(self, best: Ascent, count: int, record: SearchRecord) -> list[Ascent]:
        """Run perturbations of one maximum, and finish the best."""
        record.perturbed += count
        shares = draw_perturbations(self.subsample, expect(self.subsample, best.point), count, self.draw)
        return self._finish(shares, FINISHED_PERTURBATIONS, record)

    def _finish(self, shares: Array, most: int, record: SearchRecord) -> list[Ascent]:
        short = short_runs(self.subsample, shares, self.clock.time_is_over)
        ends, failed = [], short.failed
        for i in range(min(len(short.points), most)):
            first = record.best is None and not ends
            if not first and self.clock.time_is_over():
                break
            time_is_over = self.clock.after(GRACE_SECONDS) if first else self.clock.time_is_over
            start = short.points.pick(slice(i, i + 1))
            end = finish_run(self.subsample, start, short.history[i].tolist(), time_is_over)
            if self.subsample is not self.sample and not end.failed:
                end = self._on_all_units(end, time_is_over)
            failed += end is not None and end.failed
            ends += [] if end is None or end.failed else [end]
        record.add(ends, short.tried, failed)
        return ends

    def _on_all_units(self, run: Ascent, time_is_over: TimeCheck) -> Ascent | None:
        """A run on the subsample, continued on all units; None if it ended too low on the subsample."""
        height = run.log_likelihood
        known = next((whole for low, whole in self._known if _same(low, height)), None)
        best = max((low for low, _ in self._known), default=-np.inf)
        if known is None and height > best - SUBSAMPLE_MARGIN * abs(height):
            known = finish_run(self.sample, run.point, time_is_over=time_is_over)
            self._known += [] if known.failed else [(height, known)]
        return known


def _height(run: Ascent) -> float:
    return run.log_likelihood


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME_MAXIMUM * abs(other)


class _Clock:
    """The clock of a search and its progress; stopped: whether the time limit stopped something."""

    def __init__(self, budget: Budget, progress: Progress | None) -> None:
        self.budget, self.progress, self.stopped = budget, progress, False
        self.end = np.inf if budget.seconds is None else time.monotonic() + budget.seconds

    def time_is_over(self) -> bool:
        """Whether the seconds have run out; called only before work that this stops."""
        return self._is_past(self.end)

    def after(self, seconds: float) -> TimeCheck:
        """The same clock for work that may take at least this number of seconds from now."""
        end = max(self.end, time.monotonic() + seconds)
        return lambda: self._is_past(end)

    def _is_past(self, end: float) -> bool:
        past = end < np.inf and time.monotonic() > end
        self.stopped |= past
        return past

    def report(self, record: SearchRecord) -> None:
        """Report progress."""
        if self.progress is not None and record.best is not None:
            self.progress(record.tried, self.budget.starts + self.budget.most, record.best.log_likelihood)
