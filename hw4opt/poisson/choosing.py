"""How many moods: the same search for every k, compared by a criterion.

BIC picks the true k of well-separated moods as n grows (Keribin 2000); AIC more; ICL fewer, those that can be told apart row by row.
Held-out likelihood asks what the mixture says of units it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, UnknownNameError
from hw4opt.poisson.check import Rows
from hw4opt.poisson.likelihood import expect
from hw4opt.poisson.mixture import PoissonMixture
from hw4opt.poisson.moods import MixtureResult
from hw4opt.poisson.sample import Design, Sample
from hw4opt.poisson.search import search

CRITERIA = ("bic", "aic", "icl", "held_out")
FOLDS = 5

Told = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Choice:
    """The fit with the best criterion, and every k's: results by k, held_out by k (mean log-likelihood a held-out unit) or None."""

    best: MixtureResult
    results: dict[int, MixtureResult]
    held_out: dict[int, float] | None
    criterion: str

    def values(self, criterion: str) -> dict[int, float]:
        """A criterion by k; smaller is better but for held_out."""
        if criterion == "held_out":
            return self.held_out or {}
        return {k: getattr(result.criteria, criterion) for k, result in self.results.items()}


def choose_k(
    model: PoissonMixture, data: tuple[ArrayLike, ArrayLike, Rows], ks: Sequence[int], criterion: str = "bic", told: Told | None = None
) -> Choice:
    """Fit every k to (x, y, rows) and take the best by a criterion: bic, aic, icl or held_out (5 folds of the units).

    Fits that did not end at a finite maximum take part, too: their likelihood is a supremum, and their status says so.
    """
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    if not ks or min(ks) < 1:
        raise InputError("give at least one k, and each 1 or more")
    results, held = {}, {}
    for k in ks:
        if told is not None:
            told(k)
        results[k] = model.with_k(k).fit(*data)
        if criterion == "held_out":
            held[k] = held_out(model.with_k(k), model.design(*data))
    scores = held if criterion == "held_out" else {k: -getattr(result.criteria, criterion) for k, result in results.items()}
    best = max(scores, key=lambda k: scores[k])
    return Choice(results[best], results, held or None, criterion)


def held_out(model: PoissonMixture, design: Design, folds: int = FOLDS) -> float:
    """Mean log-likelihood of units (weighted) under mixtures fitted without them."""
    sample = Sample.of(design.active)
    if len(sample) < 2 * folds:
        raise InputError(f"held-out likelihood takes {folds} folds of at least two units and there are {len(sample)} units; use bic")
    draw = np.random.default_rng(model.seed)
    place = draw.permutation(len(sample)) % folds
    total = 0.0
    for fold in range(folds):
        found = search(sample.take(np.flatnonzero(place != fold)), model.k, model.budget, draw)
        held = sample.take(np.flatnonzero(place == fold))
        assert found.best is not None
        total += float(expect(held, found.best.point).densities[0] @ held.unit_weights)
    return total / sample.total
