"""How many moods: the same search for every k, compared by a criterion.

BIC picks the true k of well-separated moods as n grows (Keribin 2000); AIC more; ICL fewer, those that can be told apart row by row.
Held-out likelihood asks what the mixture says of units it has not seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.arguments import checked
from hw4opt.errors import InputError, UnknownNameError
from hw4opt.mixture.components import MixtureResult
from hw4opt.mixture.likelihood import expect
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.sample import Design, Sample
from hw4opt.mixture.search import Budget, search
from hw4opt.mixture.validation import Rows, check_components

CRITERIA = ("bic", "aic", "icl", "held_out")
FOLDS = 5

Told = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Choice:
    """The fit with the best criterion, and every k's: results by k, held_out by k (mean log-likelihood a held-out unit) or None.

    untried    the k that the seconds did not suffice for
    """

    best: MixtureResult
    results: dict[int, MixtureResult]
    held_out: dict[int, float] | None
    criterion: str
    untried: tuple[int, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a reader should know, those of the best fit apart."""
        if not self.untried:
            return ()
        few = f"k = {self.untried[0]}" + (f" to {self.untried[-1]}" if len(self.untried) > 1 else "")
        return (f"the seconds ran out before {few}: {'it was' if len(self.untried) == 1 else 'they were'} not tried",)

    def values(self, criterion: str) -> dict[int, float]:
        """A criterion by k; smaller is better but for held_out."""
        if criterion == "held_out":
            return self.held_out or {}
        return {k: getattr(result.criteria, criterion) for k, result in self.results.items()}


@checked
def choose_k(
    model: PoissonMixture, data: tuple[ArrayLike, ArrayLike, Rows], ks: Sequence[int], criterion: str = "bic", told: Told | None = None
) -> Choice:
    """Fit every k to (x, y, rows) and take the best by a criterion: bic, aic, icl or held_out (5 folds of the units).

    Fits that did not end at a finite maximum take part, too: their likelihood is a supremum, and their status says so. The seconds of the
    model's budget are those of all k together: each gets its share of what is left, and once they are over no other is begun.
    """
    if not isinstance(data, tuple) or len(data) != 3:
        raise InputError("data is no triple; give (x, y, Rows(…))")
    ks = ks if isinstance(ks, range) else tuple(ks)
    design = model.design(*data)
    _check(design, ks, criterion)
    ks = tuple(dict.fromkeys(ks))
    results, held, clock = {}, {}, _Shares(model.budget, 1 + FOLDS * (criterion == "held_out"))
    for place, k in enumerate(ks):
        if results and clock.over():
            break
        if told is not None:
            told(k)
        here = replace(model, k=k, budget=clock.share(len(ks) - place))
        results[k] = here.fit(*data)
        if criterion == "held_out":
            held[k] = held_out(here, design)
    scores = held if criterion == "held_out" else {k: -getattr(result.criteria, criterion) for k, result in results.items()}
    best = max(scores, key=lambda k: scores[k])
    return Choice(results[best], results, held or None, criterion, ks[len(results) :])


def _check(design: Design, ks: Sequence[int], criterion: str) -> None:
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    ends = (ks[0], ks[-1]) if isinstance(ks, range) and ks else ks
    if not ends or min(ends) < 1:
        raise InputError("give at least one k, and each 1 or more")
    check_components(design, max(ends))
    if criterion == "held_out" and (units := len(Sample.of(design.active))) < 2 * FOLDS:
        raise InputError(f"held-out likelihood takes {FOLDS} folds of at least two units and there are {units} units; use bic")


class _Shares:
    """The seconds of a budget, dealt out to searches: `parts` of them for each k."""

    def __init__(self, budget: Budget, parts: int) -> None:
        self.budget, self.parts = budget, parts
        self.end = None if budget.seconds is None else time.monotonic() + budget.seconds

    def over(self) -> bool:
        """Whether they have run out."""
        return self.end is not None and time.monotonic() >= self.end

    def share(self, ks: int) -> Budget:
        """What each search of one of so many k may take."""
        if self.end is None:
            return self.budget
        return replace(self.budget, seconds=max(self.end - time.monotonic(), 1e-9) / (ks * self.parts))


def held_out(model: PoissonMixture, design: Design, folds: int = FOLDS) -> float:
    """Mean log-likelihood of units (weighted) under mixtures fitted without them; the model's seconds are those of each fold."""
    sample = Sample.of(design.active)
    draw = np.random.default_rng(model.seed)
    place = draw.permutation(len(sample)) % folds
    total = 0.0
    for fold in range(folds):
        found = search(sample.take(np.flatnonzero(place != fold)), model.k, model.budget, draw)
        held = sample.take(np.flatnonzero(place == fold))
        total += float(expect(held, found.end.point).densities[0] @ held.unit_weights)
    return total / sample.total
