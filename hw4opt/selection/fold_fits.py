"""Fits without the rows of a fold, and their relative gaps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hw4opt.design import Design
from hw4opt.terms import ShapeRows
from hw4opt.terms.base import Array

EXACT_GAP = 1e-12  # relative gap of a held-out fit that counts as exact
PROVEN_GAP = 1e-9  # relative gap of a held-out fit that counts as proven
CLOSED_FORM_ROUNDS = -1  # rounds of a fold in closed form


class FoldFits(NamedTuple):
    """Fits w (S, F, r) of some settings without each of some folds, their relative gaps (S, F), infinite where no fit
    was found, and the number of rounds (S, F).

    least (S,)    a lower bound of the sum of held-out losses of settings whose other folds were skipped, else NaN
    """

    w: Array
    gap: Array
    rounds: np.ndarray
    least: Array | None = None


class KeptFolds(NamedTuple):
    """The fits w (F, r) of one setting without each fold, in the basis of `design`, with its rows at points between the
    data; `unproven` is the number without proof."""

    design: Design
    shape_rows: tuple[ShapeRows, ...]
    w: Array
    unproven: int
