"""`PoissonMixture`: a mixture of k Poisson regressions, and its fits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.inference import ERRORS
from hw4opt.mixture.ascent import assessed
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.em import plain_em
from hw4opt.mixture.result import MixtureResult
from hw4opt.mixture.sample import MixtureDesign, Sample
from hw4opt.mixture.search import Progress, search
from hw4opt.mixture.summarize import FinishedFit, summarize
from hw4opt.mixture.validation import Rows, check_components, check_design, check_labels
from hw4opt.running.processes import Executor
from hw4opt.validation.arguments import check_fields, check_seed, check_word, checked


@dataclass(frozen=True)
class PoissonMixture:
    """Counts of k components:  P(Z_i = j) = π_j,  y_i | Z_i = j ~ Poisson(exp(x_iᵀw_j + offset_i)).

        ℓ(w, π) = Σ_i weights_i log Σ_j π_j p(y_i | x_i, w_j)  -  ridge Σ_j ‖w_j‖²   (Wang, Cockburn and Puterman 1998.)

    k            number of components, 1 or more;  intercept  an unpenalised column of ones, first in `coef`
    ridge        ≥ 0, on every coefficient but the intercept
    quasi        allows fractional counts (with Γ(y + 1) for y!), whose likelihood is then not that of a distribution
    truncated    only rows with y ≥ 1 were observed: each component's law is truncated at 0, with mean λ/(1 - e^-λ),
                 λ = exp(x_iᵀw_j + offset_i)
    errors       information: standard errors from the observed information;  dispersion: those of each component times
                 the root of its dispersion (which takes the components as known);  sandwich: HC0 with the units' scores
    budget       the number of starts and perturbations;  seed  of both: the same seed gives the same answer

    ℓ has many local maxima, and for real counts, which are more dispersed than a Poisson law within a component, most
    starts end in different ones. `fit` therefore runs many short EMs, finishes the best by Newton's method on ℓ and
    then perturbs the best found as long as that improves it; `starts` has the number of runs that ended in the best
    maximum, and the distance to the next one. No component is dropped for being small.

    Use `truncated` for counts that are at least 1 because of how they were collected (plays of songs that were heard)
    if rates are small; for large rates e^-λ is negligible and the two laws agree.
    """

    k: int
    intercept: bool = True
    ridge: float = 0.0
    quasi: bool = False
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    truncated: bool = False
    errors: str = ERRORS[0]

    def __post_init__(self) -> None:
        check_fields(self)
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be 1 or more")
        if not 0 <= self.ridge < np.inf:
            raise InputError(f"ridge is {self.ridge}; it must be a number, 0 or more")
        check_seed(self.seed)
        check_word("errors", self.errors, ERRORS)

    @checked
    def design(self, x: ArrayLike, y: ArrayLike, rows: Rows | None = None) -> MixtureDesign:
        """The input, checked; raises `InputError`."""
        return check_design(x, y, rows or Rows(), self)

    @checked
    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        rows: Rows | None = None,
        progress: Progress | None = None,
        executor: Executor | None = None,
    ) -> MixtureResult:
        """The best mixture that the budget finds for features x (n, d) and counts y (n,).

        rows        offset, weights, groups and the columns' names
        progress    called with (number tried, largest number, best ℓ) after each chain of the search
        executor    runs chains of the search in parallel: `hw4opt.running.processes.Workers(N)`, N processes, or
                    `hw4opt.running.dask.DaskWorkers(client)`; None: sequentially, in this process. The result is the
                    same, unless the budget has seconds
        """
        design = self.design(x, y, rows)
        check_components(design, self.k)
        started = time.perf_counter()
        sample = Sample.of(design.active)
        record = search(sample, self.k, self.budget, np.random.default_rng(self.seed), progress, executor)
        fit = FinishedFit(self.k, design, sample, record.end, record, self.errors)
        return summarize(fit, time.perf_counter() - started)

    @checked
    def fit_plain(
        self, x: ArrayLike, y: ArrayLike, labels: ArrayLike, cycles: int, rows: Rows | None = None
    ) -> MixtureResult:
        """The textbook's EM: exactly `cycles` cycles of E-step and exact M-step.

        labels    0 … k-1, one per row, which the first M-step uses

        trace[t] is ℓ after the M-step of cycle t + 1. There is one start and no acceleration; empty components stay.
        """
        design = self.design(x, y, rows)
        check_components(design, self.k)
        if cycles < 1:
            raise InputError(f"cycles is {cycles}; it must be 1 or more")
        started = time.perf_counter()
        sample = Sample.of(design.active)
        run = plain_em(sample, check_labels(labels, self.k, design, sample), self.k, cycles)
        end = assessed(sample, run.point, run.trace.tolist())
        return summarize(FinishedFit(self.k, design, sample, end, None, self.errors), time.perf_counter() - started)
