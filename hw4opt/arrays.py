"""Arrays as a problem holds them: checked, copied, and written by nobody."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.terms.base import Array


def finite_array(name: str, values: ArrayLike, copy: Callable[[Array], Array] = np.array) -> Array:
    """A finite copy that nobody writes to."""
    try:
        array = np.asarray(values, dtype=float)
        array = copy(array) if array.ndim == 2 else np.array(array)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} does not hold numbers: {error}") from error
    if not _all_finite(array):
        place = np.argwhere(~np.isfinite(array))[0]
        raise InputError(f"{name} holds {array[tuple(place)]} in row {place[0]}; give finite numbers or drop the row")
    array.setflags(write=False)
    return array


def _all_finite(array: Array) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    return bool(np.isfinite(total)) or bool(np.isfinite(array).all())  # a sum may overflow; one that does not has no NaN in it


def check_gram(x: Array) -> None:
    """Raise `InputError` for a matrix that is no Gram matrix: not square, not symmetric or not positive semidefinite."""
    if x.shape[0] != x.shape[1]:
        raise InputError(f"a precomputed kernel needs the Gram matrix (n, n); x has shape {x.shape}")
    largest = np.abs(x).max()
    if np.abs(x - x.T).max() > 1e-8 * largest:
        raise InputError("the precomputed Gram matrix is not symmetric")
    if np.linalg.eigvalsh(x)[0] < -1e-8 * largest * len(x):
        raise InputError("the precomputed Gram matrix is not positive semidefinite")
