"""The one linear system of every native solver: (diag(P) + G) x = b with G = AᵀWA, batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hw4opt.terms.base import Array

DIAGONAL_SHIFT = 1e-15  # relative: keeps singular directions (collinear columns, ridge 0) finite
MIN_SYSTEMS_ACROSS_BATCH = 96  # systems from which substitution across the batch beats one LU a right side


def factor(
    gram: Array, penalty: Array, rows: Callable[[int], Array] | None = None, steep: Sequence[int] = ()
) -> Callable[[Array], Array]:
    """Factor: near the end W spans twenty orders of magnitude, and LU is stable only on the system scaled to a unit
    diagonal.

    gram (b, r, r) is overwritten; penalty (b, r); the returned function takes and gives (b, r). `rows` gives √W A of
    one problem, (m, r): for the problems `steep` their QR decomposition serves, whose condition is only the root of the
    system's (not in large batches, where it would cost more than a second solve of the few that need it).
    """
    diagonal = np.einsum("bii->bi", gram)
    diagonal += penalty
    diagonal *= 1 + DIAGONAL_SHIFT * gram.shape[1]
    if len(gram) >= MIN_SYSTEMS_ACROSS_BATCH and (many := _many(gram)) is not None:  # Cholesky minds no scaling
        return many
    root = 1.0 / np.sqrt(np.maximum(diagonal, 1e-300))
    gram *= root[:, :, None]
    gram *= root[:, None, :]

    def solve(right: Array) -> Array:
        return root * np.linalg.solve(gram, (root * right)[:, :, None])[:, :, 0]

    return (
        _with_triangles(solve, {i: _triangle(rows(i), penalty[i]) for i in steep})
        if rows is not None and len(steep)
        else solve
    )


def _with_triangles(
    solve: Callable[[Array], Array], triangles: dict[int, tuple[Array, Array]]
) -> Callable[[Array], Array]:
    """`solve`, but for some problems by R of their rows, H = diag(1/s) RᵀR diag(1/s)."""

    def mixed(right: Array) -> Array:
        found = solve(right) if len(triangles) < len(right) else np.zeros_like(right)
        for i, (r, scale) in triangles.items():
            found[i] = scale * np.linalg.solve(r, np.linalg.solve(r.T, scale * right[i]))
        return found

    return mixed


def _triangle(rows: Array, penalty: Array) -> tuple[Array, Array]:
    """R of the rows and the roots of the penalty, on columns of unit length, and what scales them; the largest rows
    first."""
    empty = (penalty == 0) & ~rows.any(axis=0)  # a column of zeros takes no part: a row of its own holds it at 0
    whole = np.concatenate([rows, np.diag(np.where(empty, 1.0, np.sqrt(penalty)))])
    whole = whole[np.argsort(-np.abs(whole).max(axis=1), kind="stable")]
    scale = 1.0 / np.maximum(np.linalg.norm(whole, axis=0), 1e-150)
    r = np.asarray(np.linalg.qr(whole * scale, mode="r"))
    return r + np.diag(np.where(np.diagonal(r) == 0, DIAGONAL_SHIFT, 0.0)), scale


def _many(gram: Array) -> Callable[[Array], Array] | None:
    """Cholesky of every system, and substitution with all systems side by side; None if one of them is not positive
    definite."""
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
