"""Folds: the rows that each holds out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, shown
from hw4opt.validation.arguments import check_seed, check_word, checked
from hw4opt.validation.arrays import group_numbers, real_array

Folds = list[np.ndarray]


def _check_size(size: int) -> None:
    if size < 1:
        raise InputError(f"size is {size}; it must be 1 or more")


@checked
def leave_one_out(size: int) -> Folds:
    """Fold i holds out row i; raises `InputError` for a size below 1."""
    _check_size(size)
    return list(np.arange(size)[:, None])


def leave_x_out(x: ArrayLike) -> Folds:
    """Each fold holds out the rows of one x (n, d): those with all columns equal.

    Raises `InputError` where all x are equal.
    """
    labels = labels_of(x)
    if labels.max() == 0:
        raise InputError("loo:x leaves rows of equal x out together and all rows have the same x")
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def labels_of(x: ArrayLike) -> np.ndarray:
    """(n,) whole numbers from 0, the same for rows of x (n,) or (n, d) with all columns equal."""
    return np.unique(real_array("x", x), axis=0, return_inverse=True)[1].reshape(-1)


def shared(labels: np.ndarray) -> int:
    """How many rows have a label that another row has, too."""
    counts = np.bincount(labels)
    return int(counts[counts > 1].sum())


@checked
def k_fold(size: int, count: int, *, order: str = "shuffled", groups: ArrayLike | None = None, seed: int = 0) -> Folds:
    """`count` folds of nearly equal size.

    order     shuffled (by `seed`) or contiguous
    groups    (n,) labels: rows of one group are held out together

    Raises `InputError` for fewer than 2 folds, more folds than rows or groups, or `groups` of another shape.
    """
    check_word("folds", order, ("shuffled", "contiguous"))
    _check_size(size)
    check_seed(seed)
    labels = np.arange(size) if groups is None else group_numbers("groups", groups, size)
    units = int(labels.max()) + 1
    if units == 1 and groups is not None:
        raise InputError("there is one group only; rows of one group leave together, so at least two groups are needed")
    if not 2 <= count <= units:
        what = "rows" if groups is None else "groups"
        raise InputError(f"kfold:{count} needs between 2 and {units} folds, one for each of the {units} {what} at most")
    places = np.random.default_rng(seed).permutation(units) if order == "shuffled" else np.arange(units)
    fold_of_unit = np.empty(units, dtype=int)
    fold_of_unit[places] = np.arange(units) * count // units
    return [np.flatnonzero(fold_of_unit[labels] == fold) for fold in range(count)]


def check_folds(folds: Folds, size: int) -> None:
    """Raise `InputError` unless every fold is an array of some of the rows 0 … size - 1."""
    if not isinstance(folds, list | tuple) or not folds:
        raise InputError(f"folds is {shown(folds)}; give a list of arrays of rows, as k_fold does")
    wrong = (fold for fold in folds if not _holds_rows(fold))
    fault = next(wrong, None)
    if fault is None:
        rows = np.concatenate(folds)
        if rows.min() < 0 or rows.max() >= size:
            fault = next(fold for fold in folds if fold.min() < 0 or fold.max() >= size)
    if fault is not None:
        raise InputError(f"a fold is {shown(fault)}; it must be an array of row numbers from 0 to {size - 1}")


def _holds_rows(fold: object) -> bool:
    return isinstance(fold, np.ndarray) and fold.ndim == 1 and fold.dtype.kind in "iu" and len(fold) > 0


def fold_labels(folds: Sequence[np.ndarray], size: int) -> np.ndarray:
    """(size,) the fold of each row, by its number; raises `InputError` unless every row is in one."""
    check_folds(list(folds), size)
    counts = np.bincount(np.concatenate(folds), minlength=size)
    if (counts != 1).any():
        row = int(np.argmax(counts != 1))
        raise InputError(f"row {row} is held out {counts[row]} times; each row must be held out once", row)
    labels = np.empty(size, dtype=int)
    for number, fold in enumerate(folds):
        labels[fold] = number
    return labels
