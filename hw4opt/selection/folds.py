"""Which rows each fold holds out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError

Folds = list[np.ndarray]


def leave_one_out(size: int) -> Folds:
    """Fold i holds out row i."""
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
    return np.unique(np.asarray(x), axis=0, return_inverse=True)[1].reshape(-1)


def shared(labels: np.ndarray) -> int:
    """How many rows have a label that another row has, too."""
    counts = np.bincount(labels)
    return int(counts[counts > 1].sum())


def k_fold(size: int, count: int, *, order: str = "shuffled", groups: ArrayLike | None = None, seed: int = 0) -> Folds:
    """`count` folds of nearly equal size.

    order     shuffled (by `seed`) or contiguous
    groups    (n,) labels: rows of one group leave together

    Raises `InputError` for fewer than 2 folds, more folds than rows or groups, or `groups` of another shape.
    """
    if order not in ("shuffled", "contiguous"):
        raise InputError(f"folds is {order!r}; there are shuffled and contiguous")
    check_groups(groups, size)
    labels = np.arange(size) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
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


def check_groups(groups: ArrayLike | None, size: int) -> None:
    """Raise `InputError` unless there is one label a row."""
    if groups is not None and np.shape(groups) != (size,):
        raise InputError(f"groups has shape {np.shape(groups)}; it needs one label a row, {(size,)}")
