"""The search for the best maximum: chains of runs, until consecutive chains end in the same maximum."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from hw4opt.errors import InputError
from hw4opt.mixture.ascent import Ascent
from hw4opt.mixture.budget import Budget, Clock
from hw4opt.mixture.chain import ChainEnd, Chains, end_rank, is_same_maximum
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.starts import Draw
from hw4opt.running.processes import Executor, Workers

AGREEING_CHAINS = 3  # consecutive chains that end in the same maximum, after which the search ends
SUBSAMPLE_UNITS = 1_000  # units in the subsample of a chain's runs
MAX_SEED = 2**63  # of chains

Progress = Callable[[int, int, float], None]


@dataclass
class SearchRecord:
    """The runs of a search.

    best        the best run to the end, None before there is one;  ends  ℓ of the finished runs
    tried       number of starts and perturbations;  failed  of runs without a finite end
    timed_out   whether the seconds ran out before the search was complete
    """

    best: Ascent | None = None
    tried: int = 0
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
        return sum(is_same_maximum(end, self.top) for end in self.ends)

    @property
    def next_best(self) -> float | None:
        """ℓ of the best maximum less that of the next."""
        return min((self.top - end for end in self.ends if not is_same_maximum(end, self.top)), default=None)

    def add(self, runs: list[Ascent], tried: int, failed: int) -> None:
        """Count runs."""
        self.tried, self.failed = self.tried + tried, self.failed + failed
        self.ends += [run.log_likelihood for run in runs if run.finished]
        known = [] if self.best is None else [self.best]
        self.best = max([*known, *runs], key=end_rank, default=None)


def search(
    sample: Sample,
    k: int,
    budget: Budget,
    draw: Draw,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> SearchRecord:
    """The best maximum of the budget's chains, which are run on a subsample if there are many units.

    executor    runs chains in parallel; None: sequentially, in this process. The result is the same: chains are taken
                in the order of their numbers, and those after the one that ends the search are dropped.
    """
    subsample, clock = sample.subsample(SUBSAMPLE_UNITS, draw), Clock(budget.seconds)
    budget = replace(budget, starts=1) if k == 1 else budget
    chains = Chains(sample, subsample, k, budget, int(draw.integers(MAX_SEED)), clock)
    record, agreeing = SearchRecord(), 0
    with closing(_run(chains, executor or Workers(1))) as found:
        for chain in found:
            before = record.top
            record.add(chain.ends, chain.tried, chain.failed)
            record.timed_out = chain.timed_out or clock.stopped
            if progress is not None and record.best is not None:
                progress(record.tried, budget.starts + budget.most, record.best.log_likelihood)
            height = max((run.log_likelihood for run in chain.ends), default=-np.inf)
            agreed = chain.agreed and is_same_maximum(height, record.top)
            agreeing = agreed + (agreeing if is_same_maximum(record.top, before) else 0)
            if record.timed_out or agreeing == AGREEING_CHAINS:
                break
    return record


def _run(chains: Chains, executor: Executor) -> Generator[ChainEnd]:
    """Every chain, in order. If there is a subsample, the maxima that the first continues need not be continued by
    the others."""
    numbers = range(chains.budget.chains)
    if chains.subsample is not chains.sample:
        first = chains(0)
        yield first
        chains, numbers = replace(chains, continued=first.continued), numbers[1:]
    yield from executor.spread(chains, numbers)
