"""Symmetric matrices scaled to a unit diagonal, which removes ill-conditioning by the columns' units."""

from __future__ import annotations

import numpy as np

from hw4opt.validation.arrays import Array

NEGLIGIBLE_SINGULAR_VALUE = 1e-13  # of scaled columns, relative to the largest: counts as 0


def inverse_root_diagonal(matrix: Array) -> Array:
    """1/√ of the diagonals of symmetric matrices (…, r, r), 1 where they are not above 0."""
    diagonal = np.einsum("...ii->...i", matrix)
    return 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


def scaled_by(matrix: Array, root: Array) -> Array:
    """diag(root) matrix diag(root)."""
    return matrix * (root[..., :, None] * root[..., None, :])


def least_pivot(matrix: Array) -> Array:
    """The smallest squared pivot of Cholesky's factor of each matrix (…, r, r); 0 for all if one is not positive
    definite."""
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return np.zeros(matrix.shape[:-2])
    return np.square(np.einsum("...ii->...i", lower)).min(axis=-1)
