"""The number of components: the same search for every k, compared by a criterion.

BIC chooses the true k of well-separated components as n grows (Keribin 2000); AIC chooses more components; ICL fewer,
those whose rows can be told apart. Held-out likelihood is that of units that were left out of the fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, UnknownNameError
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.likelihood import expect
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.result import MixtureResult
from hw4opt.mixture.sample import MixtureDesign, Sample
from hw4opt.mixture.search import search
from hw4opt.mixture.validation import Rows, check_components
from hw4opt.running.processes import Executor
from hw4opt.validation.arguments import checked

CRITERIA = ("bic", "aic", "icl", "held_out")
HELD_OUT_FOLDS = 5
LEAST_SECONDS = 1e-9  # of a search: a budget's seconds must be above 0

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Choice:
    """The fit with the best criterion, and the fits of every k.

    results    by k;  held_out  mean log-likelihood of a held-out unit by k, or None
    untried    the k for which the seconds did not suffice
    """

    best: MixtureResult
    results: dict[int, MixtureResult]
    held_out: dict[int, float] | None
    criterion: str
    untried: tuple[int, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings besides those of the best fit."""
        if not self.untried:
            return ()
        ks = f"k = {self.untried[0]}" + (f" to {self.untried[-1]}" if len(self.untried) > 1 else "")
        verb = "it was" if len(self.untried) == 1 else "they were"
        return (f"the seconds ran out before {ks}: {verb} not tried",)

    def values(self, criterion: str) -> dict[int, float]:
        """A criterion by k; smaller is better, except for held_out."""
        if criterion == "held_out":
            return self.held_out or {}
        return {k: getattr(result.criteria, criterion) for k, result in self.results.items()}


@checked
def choose_k(
    model: PoissonMixture,
    x: ArrayLike,
    y: ArrayLike,
    ks: Sequence[int],
    rows: Rows | None = None,
    criterion: str = "bic",
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Choice:
    """Fit the model with every k to (x, y, rows) and take the best by a criterion.

    The criterion is bic, aic, icl or held_out (5 folds of units). Fits that did not end at a finite maximum take part,
    too: their likelihood is a supremum, and their status says so. The seconds of the model's budget are for all k
    together: each gets its share of what is left, and no k is started after them.

    progress    called with every k before its fit;  executor  as in `PoissonMixture.fit`
    """
    ks = ks if isinstance(ks, range) else tuple(ks)
    design = model.design(x, y, rows)
    _check(design, ks, criterion)
    ks = tuple(dict.fromkeys(ks))
    searches_per_k = 1 + HELD_OUT_FOLDS * (criterion == "held_out")
    results, held, time_left = {}, {}, _SharedTime(model.budget, searches_per_k)
    for number, k in enumerate(ks):
        if results and time_left.is_over():
            break
        if progress is not None:
            progress(k)
        one = replace(model, k=k, budget=time_left.share(len(ks) - number))
        results[k] = one.fit(x, y, rows, executor=executor)
        if criterion == "held_out":
            held[k] = held_out(one, design, executor)
    scores = held if held else {k: -getattr(result.criteria, criterion) for k, result in results.items()}
    best = max(scores, key=lambda k: scores[k])
    return Choice(results[best], results, held or None, criterion, ks[len(results) :])


def _check(design: MixtureDesign, ks: Sequence[int], criterion: str) -> None:
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    ends = (ks[0], ks[-1]) if isinstance(ks, range) and ks else ks
    if not ends or min(ends) < 1:
        raise InputError("give at least one k, and each 1 or more")
    check_components(design, max(ends))
    if criterion == "held_out" and (units := len(Sample.of(design.active))) < 2 * HELD_OUT_FOLDS:
        raise InputError(
            f"held-out likelihood takes {HELD_OUT_FOLDS} folds of at least two units and there are {units} units; "
            "use bic"
        )


class _SharedTime:
    """The seconds of a budget, shared by the searches of all k."""

    def __init__(self, budget: Budget, searches_per_k: int) -> None:
        self.budget, self.searches_per_k = budget, searches_per_k
        self.end = None if budget.seconds is None else time.monotonic() + budget.seconds

    def is_over(self) -> bool:
        """Whether they have run out."""
        return self.end is not None and time.monotonic() >= self.end

    def share(self, ks: int) -> Budget:
        """The budget of each search for the next k, when so many values `ks` remain."""
        if self.end is None:
            return self.budget
        seconds = max(self.end - time.monotonic(), LEAST_SECONDS) / (ks * self.searches_per_k)
        return replace(self.budget, seconds=seconds)


def held_out(model: PoissonMixture, design: MixtureDesign, executor: Executor | None = None) -> float:
    """Mean log-likelihood of units (weighted) under mixtures fitted without them; the seconds are per fold."""
    sample = Sample.of(design.active)
    draw = np.random.default_rng(model.seed)
    fold_of = draw.permutation(len(sample)) % HELD_OUT_FOLDS
    total = 0.0
    for fold in range(HELD_OUT_FOLDS):
        kept = sample.take(np.flatnonzero(fold_of != fold))
        record = search(kept, model.k, model.budget, draw, executor=executor)
        held = sample.take(np.flatnonzero(fold_of == fold))
        total += float(expect(held, record.end.point).densities[0] @ held.unit_weights)
    return total / sample.total
