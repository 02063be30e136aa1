"""A chain of a search: starts, the best of them finished, then perturbations of the best as long as they improve it.

Runs are made on a subsample if there are many units, and those that end near the top of it are continued on all units:
once for each maximum, since most runs end in the maximum of an earlier one, which the subsample shows at low cost.
Each chain has its own random generator, so that chains can be run in parallel, and on other machines.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from hw4opt.mixture.ascent import Ascent, TimeCheck
from hw4opt.mixture.budget import Budget, Clock
from hw4opt.mixture.likelihood import expect
from hw4opt.mixture.runs import MIN_SHORT_RUNS, finish_run, short_runs
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.starts import draw_perturbations, draw_starts
from hw4opt.running.threads import one_blas_thread
from hw4opt.terms.base import Array

FINISHED_STARTS = MIN_SHORT_RUNS  # of a chain's starts
FINISHED_PERTURBATIONS = 2  # of a round of perturbations
PERTURBATIONS_PER_ROUND = 60  # run as one batch
MAX_IDLE_ROUNDS = 5  # of perturbations without a higher maximum, after which a chain ends
MAX_IDLE_ROUNDS_AGREED = 2  # the same if all finished starts of the chain ended in one maximum
# relative difference of ℓ from the best on the subsample, beyond which a run is not continued on all units
SUBSAMPLE_MARGIN = 2e-3
SAME_MAXIMUM = 1e-7  # relative difference of ℓ below which two maxima count as one
# extra time for the first run to converge after the search's seconds: its answer is then stationary
GRACE_SECONDS = 1.0


def is_same_maximum(one: float, other: float) -> bool:
    """Whether two values of ℓ count as those of one maximum."""
    return abs(one - other) <= SAME_MAXIMUM * abs(other)


def end_rank(run: Ascent) -> tuple[bool, float]:
    """The key by which the best of several runs is the largest: finished runs come before others."""
    return run.finished, run.log_likelihood


class Continued(NamedTuple):
    """A run on the subsample by its ℓ there, and its continuation on all units."""

    height: float
    run: Ascent


@dataclass(eq=False)
class ChainEnd:
    """The runs of a chain.

    ends        those that did not fail, in order; only the best has the observed information
    continued   the maxima of the subsample that were continued, without the observed information
    tried       number of starts and perturbations;  failed  of runs without a finite end
    agreed      whether several starts were finished, all in one maximum, and no perturbation led to a higher one
    timed_out   whether the seconds stopped something
    """

    ends: list[Ascent] = field(default_factory=list)
    continued: tuple[Continued, ...] = ()
    tried: int = 0
    failed: int = 0
    agreed: bool = False
    timed_out: bool = False


@dataclass(frozen=True, eq=False)
class Chains:
    """The chains of a search, as a function of the chain's number whose value is the same in every process.

    subsample    some units of the sample, or the sample itself;  continued  the maxima that are known already
    """

    sample: Sample
    subsample: Sample
    k: int
    budget: Budget
    seed: int
    clock: Clock
    continued: tuple[Continued, ...] = ()

    def __call__(self, number: int) -> ChainEnd:
        """Run one chain. The first finishes one run even if the seconds have run out."""
        if number and self.clock.time_is_over():
            return ChainEnd(timed_out=True)
        with one_blas_thread():
            return _Chain(self, number).run()


class _Chain:
    def __init__(self, chains: Chains, number: int) -> None:
        self.chains, self.first = chains, number == 0
        self.budget = chains.budget.of_chain(number)
        self.draw = np.random.default_rng((chains.seed, number))
        self.continued, self.end = list(chains.continued), ChainEnd()

    def run(self) -> ChainEnd:
        """The starts, and rounds of perturbations of the best of them."""
        k, subsample = self.chains.k, self.chains.subsample
        starts = self._finish(draw_starts(subsample, k, self.budget.starts, self.draw), FINISHED_STARTS)
        if starts and k > 1:
            best = max(starts, key=_height)
            agreed = len(starts) > 1 and all(is_same_maximum(_height(run), _height(best)) for run in starts)
            self.end.agreed = self._perturb(best, MAX_IDLE_ROUNDS_AGREED if agreed else MAX_IDLE_ROUNDS) and agreed
        best_end = max(self.end.ends, key=end_rank, default=None)
        self.end.ends = [run if run is best_end else _without_information(run) for run in self.end.ends]
        self.end.continued = tuple(Continued(height, _without_information(run)) for height, run in self.continued)
        self.end.timed_out = self.chains.clock.stopped
        return self.end

    def _perturb(self, best: Ascent, max_idle: int) -> bool:
        """Whether no round of perturbations led to a higher maximum; each begins at the best so far."""
        subsample, left, idle, highest = self.chains.subsample, self.budget.perturbations, 0, True
        while idle < max_idle and left > 0 and not self.chains.clock.time_is_over():
            size = min(PERTURBATIONS_PER_ROUND, left)
            left -= size
            shares = draw_perturbations(subsample, expect(subsample, best.point), size, self.draw)
            there = max(self._finish(shares, FINISHED_PERTURBATIONS), key=_height, default=best)
            better = _height(there) > _height(best) and not is_same_maximum(_height(there), _height(best))
            best, idle = (there, 0) if better else (best, idle + 1)
            highest = highest and not better
        return highest

    def _finish(self, shares: Array, most: int) -> list[Ascent]:
        """Short runs from responsibilities (s, k, units), and the ends of the best of them."""
        subsample, clock = self.chains.subsample, self.chains.clock
        short = short_runs(subsample, shares, clock.time_is_over)
        self.end.tried, self.end.failed = self.end.tried + short.tried, self.end.failed + short.failed
        ends: list[Ascent] = []
        for i in range(min(len(short.points), most)):
            first = self.first and not (ends or self.end.ends)
            if not first and clock.time_is_over():
                break
            time_is_over = clock.after(GRACE_SECONDS) if first else clock.time_is_over
            start = short.points.pick(slice(i, i + 1))
            run: Ascent | None = finish_run(subsample, start, short.history[i].tolist(), time_is_over)
            if subsample is not self.chains.sample and not run.failed:
                run = self._on_all_units(run, time_is_over)
            self.end.failed += run is not None and run.failed
            ends += [] if run is None or run.failed else [run]
        self.end.ends += ends
        return ends

    def _on_all_units(self, run: Ascent, time_is_over: TimeCheck) -> Ascent | None:
        """A run on the subsample, continued on all units; None if it ended too low on the subsample."""
        height = run.log_likelihood
        known = next((one.run for one in self.continued if is_same_maximum(one.height, height)), None)
        best = max((one.height for one in self.continued), default=-np.inf)
        if known is None and height > best - SUBSAMPLE_MARGIN * abs(height):
            known = finish_run(self.chains.sample, run.point, time_is_over=time_is_over)
            self.continued += [] if known.failed else [Continued(height, known)]
        return known


def _height(run: Ascent) -> float:
    return run.log_likelihood


def _without_information(run: Ascent) -> Ascent:
    """The run without the one matrix that may be large."""
    return replace(run, curvature=run.curvature._replace(observed=None))
