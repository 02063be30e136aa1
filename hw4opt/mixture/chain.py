"""A chain of a search: starts, the best of them finished, then perturbations of the best as long as they improve it.

Each chain has its own random generator, so that chains can be run in parallel, and on other machines.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hw4opt.mixture.ascent import Ascent
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
SAME_MAXIMUM = 1e-7  # relative difference of ℓ below which two maxima count as one
# extra time for the first run to converge after the search's seconds: its answer is then stationary
GRACE_SECONDS = 1.0


def is_same_maximum(one: float, other: float) -> bool:
    """Whether two values of ℓ count as those of one maximum."""
    return abs(one - other) <= SAME_MAXIMUM * abs(other)


def end_rank(run: Ascent) -> tuple[bool, float]:
    """The key by which the best of several runs is the largest: finished runs come before others."""
    return run.finished, run.log_likelihood


@dataclass(eq=False)
class ChainEnd:
    """The runs of a chain.

    ends        those that did not fail, in order; only the best has the observed information
    tried       number of starts and perturbations;  failed  of runs without a finite end
    agreed      whether several starts were finished, all in one maximum, and no perturbation led to a higher one
    timed_out   whether the seconds stopped something
    """

    ends: list[Ascent] = field(default_factory=list)
    tried: int = 0
    failed: int = 0
    agreed: bool = False
    timed_out: bool = False


@dataclass(frozen=True, eq=False)
class Chains:
    """The chains of a search, as a function of the chain's number whose value is the same in every process.

    margin   relative difference of ℓ from the best known, beyond which a run is dropped; None: all are kept
    known    the largest known ℓ
    """

    sample: Sample
    k: int
    budget: Budget
    seed: int
    clock: Clock
    margin: float | None = None
    known: float = -np.inf

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
        self.top, self.end = chains.known, ChainEnd()

    def run(self) -> ChainEnd:
        """The starts, and rounds of perturbations of the best of them."""
        k, sample = self.chains.k, self.chains.sample
        starts = self._finish(draw_starts(sample, k, self.budget.starts, self.draw), FINISHED_STARTS)
        if starts and k > 1:
            best = max(starts, key=_height)
            agreed = len(starts) > 1 and all(is_same_maximum(_height(run), _height(best)) for run in starts)
            self.end.agreed = self._perturb(best, MAX_IDLE_ROUNDS_AGREED if agreed else MAX_IDLE_ROUNDS) and agreed
        best_end = max(self.end.ends, key=end_rank, default=None)
        self.end.ends = [run if run is best_end else _without_information(run) for run in self.end.ends]
        self.end.timed_out = self.chains.clock.stopped
        return self.end

    def _perturb(self, best: Ascent, max_idle: int) -> bool:
        """Whether no round of perturbations led to a higher maximum; each begins at the best so far."""
        sample, left, idle, highest = self.chains.sample, self.budget.perturbations, 0, True
        while idle < max_idle and left > 0 and not self.chains.clock.time_is_over():
            size = min(PERTURBATIONS_PER_ROUND, left)
            left -= size
            shares = draw_perturbations(sample, expect(sample, best.point), size, self.draw)
            there = max(self._finish(shares, FINISHED_PERTURBATIONS), key=_height, default=best)
            better = _height(there) > _height(best) and not is_same_maximum(_height(there), _height(best))
            best, idle = (there, 0) if better else (best, idle + 1)
            highest = highest and not better
        return highest

    def _finish(self, shares: Array, most: int) -> list[Ascent]:
        """Short runs from responsibilities (s, k, units), and the ends of the best of them."""
        sample, clock = self.chains.sample, self.chains.clock
        short = short_runs(sample, shares, clock.time_is_over)
        self.end.tried, self.end.failed = self.end.tried + short.tried, self.end.failed + short.failed
        ends: list[Ascent] = []
        for i in range(min(len(short.points), most)):
            first = self.first and not (ends or self.end.ends)
            if not first and clock.time_is_over():
                break
            time_is_over = clock.after(GRACE_SECONDS) if first else clock.time_is_over
            run = finish_run(sample, short.points.pick(slice(i, i + 1)), short.history[i].tolist(), time_is_over)
            self.end.failed += run.failed
            ends += [run] if not run.failed and self._is_near_top(run.log_likelihood) else []
        self.end.ends += ends
        return ends

    def _is_near_top(self, height: float) -> bool:
        margin = self.chains.margin
        near = margin is None or height > self.top - margin * abs(height)
        self.top = max(self.top, height)
        return near


def _height(run: Ascent) -> float:
    return run.log_likelihood


def _without_information(run: Ascent) -> Ascent:
    """The run without the one matrix that may be large."""
    return replace(run, curvature=run.curvature._replace(observed=None))
