"""Folds whose likelihood has no finite maximum, though that of all rows may have one.

A single row i may be what bounds the fit along a direction v: without it the fit diverges along v, and so does the loss
at row i. The held-out error of such a setting is infinite, and is reported as such. The criterion is that of a fit
(proof/existence.py): full column rank of the remaining pinned rows proves existence. One decomposition gives it for all
folds: with A = QR over all pinned rows, those left by fold f have full rank if I - Q_fᵀQ_f is positive definite, that
is if ‖Q_f‖ < 1, Q_f being the rows of fold f.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw4opt.form import Form
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Problem
from hw4opt.proof.existence import NEGLIGIBLE_SINGULAR_VALUE, inside_rows, pinned_rows, settle
from hw4opt.selection.fold_fits import EXACT_GAP
from hw4opt.selection.folds import Folds
from hw4opt.terms.base import Array

FULL_RANK_EIGENVALUE = 1e-8  # smallest eigenvalue of I - Q_fᵀQ_f that proves full rank


def folds_without_maximum(problems: Sequence[Problem], form: Form, folds: Folds) -> np.ndarray:
    """(S, F) whether a fold of the form's problems has none; for losses where it is known before a fit."""
    found = np.zeros((len(problems), len(folds)), dtype=bool)
    smooth = form.loss.smooth
    if smooth is None or not smooth.settles_existence:
        return found
    # existence depends on which columns have no penalty
    kinds, kind = np.unique(form.penalty == 0, axis=0, return_inverse=True)
    for which, free in enumerate(kinds):
        settings = np.flatnonzero(kind.ravel() == which)
        first = int(settings[0])
        for fold in _doubtful(form, np.flatnonzero(free), pinned_rows(form, first), folds):
            found[settings, fold] = not settle(canonicalize([problems[first]], [folds[fold]]), 0).finite
    return found


def folds_without_maximum_at(problem: Problem, form: Form, folds: Folds, w: Array, gap: Array) -> np.ndarray:
    """(F,) the same for other smooth losses, from fits w (F, r) of the folds and their relative gaps."""
    found = np.zeros(len(folds), dtype=bool)
    smooth, free = form.loss.smooth, np.flatnonzero(form.penalty[0] == 0)
    if smooth is None or smooth.settles_existence or not len(free):
        return found
    solved = gap <= EXACT_GAP
    rows = np.flatnonzero(inside_rows(form, 0, w[solved]).all(axis=0))
    for fold in set(_doubtful(form, free, rows, folds)) | set(np.flatnonzero(~solved)):
        found[fold] = not settle(canonicalize([problem], [folds[fold]]), 0).finite
    return found


def _doubtful(form: Form, free: np.ndarray, rows: np.ndarray, folds: Folds) -> list[int]:
    """The folds in which full rank of the free columns on the pinned rows is not certain."""
    if not len(free):
        return []
    a = form.loss.map.take(form.design.matrix)[rows][:, free]
    scale = np.sqrt(np.square(a).sum(axis=0))
    if len(rows) < len(free) or not scale.all():
        return list(range(len(folds)))
    q, r = np.linalg.qr(a / scale)
    if np.linalg.svd(r, compute_uv=False)[-1] <= np.sqrt(NEGLIGIBLE_SINGULAR_VALUE):
        return list(range(len(folds)))
    inside = np.zeros((form.loss.count, len(free)))
    inside[rows] = q
    starts = np.cumsum([0, *map(len, folds[:-1])])
    leaving = np.add.reduceat(np.square(inside).sum(axis=1)[np.concatenate(folds)], starts)
    doubtful = np.flatnonzero(1.0 - leaving <= FULL_RANK_EIGENVALUE).tolist()
    return [fold for fold in doubtful if not _stays_full(inside[folds[fold]])]


def _stays_full(leaving: Array) -> bool:
    """Whether I - QᵀQ of the held-out rows is positive definite by more than rounding."""
    return bool(1.0 - np.square(np.linalg.norm(leaving, 2)) > FULL_RANK_EIGENVALUE)
