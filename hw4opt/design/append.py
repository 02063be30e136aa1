"""Extension of a basis by functionals at points outside the data: further columns of the same pivoted Cholesky
decomposition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw4opt.design.basis import Basis, Functionals, diagonal_of
from hw4opt.design.truncation import gram_of
from hw4opt.terms.base import Array

Long = np.longdouble
NEGLIGIBLE_REST = 1e-13  # of a functional's own square: a remainder outside the basis that adds no column


def extend(basis: Basis, appended: Sequence[Functionals]) -> Basis:
    """The basis with a column for every functional that it does not span, the largest remainder first.

    Computed in long doubles, because the remainder of a square is a difference of nearly equal numbers.
    """
    points = np.concatenate([one.points for one in appended])
    columns = np.concatenate([np.full(len(one.points), one.column) for one in appended])
    size = np.concatenate([diagonal_of(basis.kernel, *one) for one in appended]).astype(Long)
    factor = basis.factor.astype(Long)
    inner = factor.T @ _gram(basis, basis.points, basis.columns, appended)  # ⟨b_j, functional⟩, (r, m)
    left, kept = size - np.square(inner).sum(axis=0), []
    while (left > NEGLIGIBLE_REST * size).any():
        best = int((left / size).argmax())
        root = np.sqrt(left[best])
        fresh = _gram(basis, points[best, None], columns[best, None], appended) - inner[:, best] @ inner
        factor = np.pad(factor, ((0, 1), (0, 1)))
        factor[:-1, -1], factor[-1, -1] = -factor[:-1, :-1] @ inner[:, best] / root, 1 / root
        inner, left = np.vstack([inner, fresh / root]), left - np.square(fresh[0] / root)
        left[best] = 0
        kept.append(best)
    if not kept:
        return basis
    points, columns = np.concatenate([basis.points, points[kept]]), np.concatenate([basis.columns, columns[kept]])
    return Basis(basis.kernel, points, columns, factor.astype(float), basis.complete)


def _gram(basis: Basis, points: Array, columns: np.ndarray, appended: Sequence[Functionals]) -> Array:
    """The Gram matrix of functionals and the appended ones, (p, m)."""
    return np.hstack([gram_of(basis.kernel, points, columns, *one) for one in appended])
