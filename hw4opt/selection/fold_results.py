"""The results of every fold of some settings: held-out predictions, relative gaps, and rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.design import Design
from hw4opt.form import Form
from hw4opt.problem import Problem
from hw4opt.selection.fold_fits import CLOSED_FORM_ROUNDS, EXACT_GAP, PROVEN_GAP, FoldFits, KeptFolds
from hw4opt.selection.folds import Folds
from hw4opt.selection.no_finite_maximum import folds_without_maximum
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class FoldResults:
    """Predictions (S, n), or (S, curves · n) curve after curve for several curves, relative gaps (S, F) and rounds
    (S, F) of the folds of S settings over one basis.

    NaN, infinity and 0 stand for a fold that is not solved yet.

    no_maximum (S, F)    folds without a finite maximum: their rows have no prediction
    least (S,)           a lower bound of the sum of held-out losses of a dropped setting; NaN: it is not dropped
    w (S, F, r)          the fits themselves, NaN where there is none; None if they are not kept
    """

    folds: Folds
    predictions: Array
    gaps: Array
    rounds: np.ndarray
    no_maximum: np.ndarray
    least: Array
    w: Array | None

    @classmethod
    def none(cls, problems: Sequence[Problem], form: Form, folds: Folds, keep: bool) -> FoldResults:
        shape = (form.batch, len(folds))
        w = np.full((*shape, form.penalty.shape[1]), np.nan) if keep else None
        predictions, gaps = np.full((form.batch, form.loss.count), np.nan), np.full(shape, np.inf)
        endless, least = folds_without_maximum(problems, form, folds), np.full(form.batch, np.nan)
        return cls(folds, predictions, gaps, np.zeros(shape, dtype=int), endless, least, w)

    @property
    def dropped(self) -> np.ndarray:
        """(S,) settings that are finished."""
        return ~np.isnan(self.least)

    @property
    def unsolved(self) -> np.ndarray:
        """(S, F) folds that are not solved yet."""
        return np.isinf(self.gaps) & ~self.dropped[:, None]

    def store(self, form: Form, settings: np.ndarray, span: slice, fits: FoldFits) -> None:
        """Keep the exact ones among the fits of some settings and a run of folds."""
        w, gap, rounds, least = fits
        if least is not None:
            self.least[settings] = least
        some = self.folds[span]
        held, fold_of = np.concatenate(some), np.repeat(np.arange(len(some)), [len(one) for one in some])
        good = (gap <= EXACT_GAP) & ~self.no_maximum[settings, span]
        for curve, places in enumerate(form.design.data_places(held)):
            predicted = np.vecdot(w[:, fold_of], form.design.matrix[places])
            rows = held + curve * len(form.design.x)
            _assign(self.predictions, (settings[:, None], rows), good[:, fold_of], predicted)
        _assign(self.gaps, (settings, span), good, gap)
        _assign(self.rounds, (settings, span), good, rounds)
        if self.w is not None:
            _assign(self.w, (settings, span), good[:, :, None], w)

    def store_one(self, design: Design, setting: int, fold: int, w: Array, gap: float) -> None:
        """Keep the new fit of a fold."""
        held = self.folds[fold]
        for curve, places in enumerate(design.data_places(held)):
            self.predictions[setting, held + curve * len(design.x)] = design.matrix[places] @ w
        self.gaps[setting, fold] = gap
        if self.w is not None:
            self.w[setting, fold] = w

    def kept(self, problem: Problem, design: Design, setting: int) -> KeptFolds | None:
        """The fits of the setting of a problem; None if they are not kept, or if a fold has none."""
        if self.w is None or not np.isfinite(self.w[setting]).all():
            return None
        unproven = int((~(self.gaps[setting] <= PROVEN_GAP)).sum())
        return KeptFolds(design, problem.shape_rows, self.w[setting].copy(), unproven)

    def work(self) -> list[dict[str, int]]:
        rounds, spared = self.rounds, np.isinf(self.gaps) & self.dropped[:, None]
        kinds = {
            "closed": rounds == CLOSED_FORM_ROUNDS,
            "one_round": rounds == 1,
            "rounds": rounds > 1,
            "anew": (rounds == 0) & ~self.no_maximum & ~spared,
            "endless": self.no_maximum,
            "spared": spared,
        }
        counts = zip(*(mask.sum(axis=1).tolist() for mask in kinds.values()), strict=True)
        return [dict(zip(kinds, row, strict=True)) for row in counts]


def _assign(
    target: np.ndarray, place: tuple[np.ndarray, np.ndarray | slice], good: np.ndarray, values: np.ndarray
) -> None:
    target[place] = np.where(good, values, target[place])
