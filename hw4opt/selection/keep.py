"""The fits of the chosen setting without each fold, kept for prediction intervals."""

from __future__ import annotations

import numpy as np

from hw4opt.problem import HeldOutFits, Problem
from hw4opt.problem.shape_rows import having_rows
from hw4opt.selection.fold_fits import KeptFolds
from hw4opt.selection.held_out import score_settings
from hw4opt.selection.plan import FoldPlan


def with_held_out(problem: Problem, kept: KeptFolds | None, way: FoldPlan) -> tuple[Problem, list[str]]:
    """The problem with its fits without each fold, solved again if they were not kept; and a note if there are none."""
    if kept is None:
        kept = score_settings([problem], way.folds, keep_folds=True)[0].kept
    if kept is None:
        return problem, ["no held-out fits are kept: some have no finite maximum, and intervals need all of them"]
    fold_of = np.empty(len(problem.active_x), dtype=int)
    for fold, rows in enumerate(way.folds):
        fold_of[rows] = fold
    fits = HeldOutFits(kept.w, fold_of, way.label, way.units is not None, kept.unproven)
    if kept.shape_rows:
        problem = having_rows(problem, kept.shape_rows)
    return fits.attached_to(problem, kept.design), []
