"""The one linear system of every native solver: (diag(P) + G) x = b with G = AᵀWA, batched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw4opt.terms.base import Array

SHIFT = 1e-15  # relative: keeps singular directions (collinear columns, ridge 0) finite
MANY = 96  # systems from which substitution across the batch beats one LU a right side


def factor(gram: Array, penalty: Array) -> Callable[[Array], Array]:
    """Factor: near the end W spans twenty orders of magnitude, and LU is stable only on the system scaled to a unit diagonal.

    gram (b, r, r) is overwritten; penalty (b, r); the returned function takes and gives (b, r).
    """
    diagonal = np.einsum("bii->bi", gram)
    diagonal += penalty
    diagonal *= 1 + SHIFT * gram.shape[1]
    if len(gram) >= MANY and (many := _many(gram)) is not None:  # Cholesky minds no scaling
        return many
    root = 1.0 / np.sqrt(np.maximum(diagonal, 1e-300))
    gram *= root[:, :, None]
    gram *= root[:, None, :]
    return lambda right: root * np.linalg.solve(gram, (root * right)[:, :, None])[:, :, 0]


def _many(gram: Array) -> Callable[[Array], Array] | None:
    """Cholesky of every system, and substitution with all systems side by side; None if one of them is not positive definite."""
    try:
        lower = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return None
    size = lower.shape[1]
    upper = np.ascontiguousarray(lower.transpose(0, 2, 1))
    pivots = np.ascontiguousarray(np.einsum("bii->ib", lower))

    def solve(right: Array) -> Array:
        x = right.copy()
        x[:, 0] /= pivots[0]
        for row in range(1, size):
            x[:, row] = (x[:, row] - np.vecdot(lower[:, row, :row], x[:, :row])) / pivots[row]
        x[:, -1] /= pivots[-1]
        for row in range(size - 2, -1, -1):
            x[:, row] = (x[:, row] - np.vecdot(upper[:, row, row + 1 :], x[:, row + 1 :])) / pivots[row]
        return x

    return solve


def largest_eigenvalue(matrix: Array) -> Array:
    """Of every symmetric matrix of the batch, (b,), and a little more, so that it can bound a step."""
    return np.maximum(np.linalg.eigvalsh(matrix)[:, -1], 1e-300) * (1 + 1e-10)
