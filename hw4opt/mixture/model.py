"""`PoissonMixture`: k Poisson regressions and who listens in which mood."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.arguments import check_fields, check_seed, check_word, checked
from hw4opt.errors import InputError
from hw4opt.inference import ERRORS
from hw4opt.mixture.ascent import ended
from hw4opt.mixture.components import MixtureResult
from hw4opt.mixture.em import plain
from hw4opt.mixture.sample import Design, Sample
from hw4opt.mixture.search import Budget, Report, search
from hw4opt.mixture.summarize import Run, conclude
from hw4opt.mixture.validation import Rows, check_components, check_design, check_labels


@dataclass(frozen=True)
class PoissonMixture:
    """Counts with k moods:  P(Z_i = j) = π_j,  y_i | Z_i = j ~ Poisson(exp(x_iᵀw_j + offset_i)).   (Wang, Cockburn and Puterman 1998.)

        ℓ(w, π) = Σ_i weights_i log Σ_j π_j p(y_i | x_i, w_j)  -  ridge Σ_j ‖w_j‖²

    k            moods, 1 or more;  intercept  an unpenalised column of ones, first in `coef`
    ridge        ≥ 0, on every coefficient but the intercept
    quasi        allows fractional counts (with Γ(y + 1) for y!), whose likelihood is then that of no law
    truncated    the counts are those of rows that were seen because they are at least 1: each mood's law is truncated at 0, its mean
                 λ/(1 - e^-λ) with λ = exp(x_iᵀw_j + offset_i)
    errors       standard errors from the observed information, with each mood's times the root of its dispersion (which takes the moods
                 as known), or sandwich: HC0 with the scores of the units
    budget       how many starts and perturbations are tried;  seed  of both: the same seed gives the same answer

    ℓ has many maxima, and on real counts, which are spread wider than a Poisson law within a mood, most starts end in one of their own.
    `fit` therefore runs many short EMs side by side, finishes the best by Newton's method on ℓ itself and then perturbs the best found
    while that pays; `starts` says how many ended in the same maximum and how far the next one is. No mood is dropped for being small.

    Plays of the songs *heard* are at least 1: `truncated` describes them better where rates are small; with rates of many plays e^-λ is
    nothing and the two laws agree.
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
    def design(self, x: ArrayLike, y: ArrayLike, rows: Rows | None = None) -> Design:
        """The input, checked; raises `InputError`."""
        return check_design(x, y, rows or Rows(), self)

    @checked
    def fit(self, x: ArrayLike, y: ArrayLike, rows: Rows | None = None, report: Report | None = None) -> MixtureResult:
        """The best mixture that the budget finds for features x (n, d) and counts y (n,).

        rows    offset, weights, groups and the columns' names;  report  called with (tried, of, best ℓ) as the search goes on
        """
        design = self.design(x, y, rows)
        check_components(design, self.k)
        started = time.perf_counter()
        sample = Sample.of(design.active)
        found = search(sample, self.k, self.budget, np.random.default_rng(self.seed), report)
        return conclude(Run(self.k, design, sample, found.end, found, self.errors), time.perf_counter() - started)

    @checked
    def fit_plain(self, x: ArrayLike, y: ArrayLike, labels: ArrayLike, cycles: int, rows: Rows | None = None) -> MixtureResult:
        """The textbook's EM: exactly so many cycles of E-step and exact M-step, the first M-step from labels 0 … k-1, one a row.

        trace[t] is ℓ after the M-step of cycle t + 1. Nothing is tried twice, sped up, or re-seeded.
        """
        design = self.design(x, y, rows)
        check_components(design, self.k)
        if cycles < 1:
            raise InputError(f"cycles is {cycles}; it must be 1 or more")
        started = time.perf_counter()
        sample = Sample.of(design.active)
        marks = check_labels(labels, self.k, design, sample)
        point, trace = plain(sample, marks, self.k, cycles)
        climb = ended(sample, point, trace.tolist())
        return conclude(Run(self.k, design, sample, climb, None, self.errors), time.perf_counter() - started)
