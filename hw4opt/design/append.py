"""Extension of a basis by functionals at points outside the data: further columns of the same pivoted Cholesky
decomposition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw4opt.design.basis import Basis, Functionals, diagonal_of
from hw4opt.design.truncation import gram_of

Long = np.longdouble
NEGLIGIBLE_REST = 1e-13  # of a functional's own square: a remainder outside the basis that adds no column


def extend(basis: Basis, appended: Sequence[Functionals]) -> Basis:
    """The basis with a column for every functional that it does not span, the largest remainder first.

    New columns are made orthogonal in long doubles: each is a difference of functions that agree in many digits.
    """
    rank, kernel = len(basis.points), basis.kernel
    points = np.concatenate([basis.points, *(one.points for one in appended)])
    columns = np.concatenate([basis.columns, *(np.full(len(one.points), one.column) for one in appended)])
    size = np.concatenate([diagonal_of(kernel, *one) for one in appended])
    inner, factor = np.zeros((len(size), len(points))), np.zeros((len(points), len(points)), dtype=Long)
    inner[:, :rank] = np.concatenate([basis.evaluate(*one) for one in appended])  # ⟨b_j, functional⟩
    factor[:rank, :rank] = basis.factor
    left, pivots = size - np.square(inner).sum(axis=1), list(range(rank))
    while (left > NEGLIGIBLE_REST * size).any():
        best, done = int((left / size).argmax()), len(pivots)
        place, known = rank + best, factor[:done, :done]
        gram = gram_of(kernel, points, columns, points[place, None], columns[place])[:, 0]
        own = known.T @ gram[pivots]
        rest, left[best] = size[best] - own @ own, 0.0
        if rest <= NEGLIGIBLE_REST * size[best]:
            continue
        root = np.sqrt(rest)
        factor[:done, done], factor[done, done] = -known @ own / root, 1 / root
        inner[:, done] = (gram[rank:] - inner[:, :done] @ own.astype(float)) / root
        left -= np.square(inner[:, done])
        pivots.append(place)
    if len(pivots) == rank:
        return basis
    kept = factor[: len(pivots), : len(pivots)].astype(float)
    return Basis(kernel, points[pivots], columns[pivots], kept, basis.complete)
