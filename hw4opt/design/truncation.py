"""The truncation of a kernel to its reduced basis at given duals: |sᵀ(K - BBᵀ)s|.

K and BBᵀ agree to the last digits of doubles, so the pivoted Cholesky decomposition of K is recomputed in long doubles
and continued beyond B. With its factor Y, over the pivots of B and some more,

    |sᵀ(K - BBᵀ)s| ≤ |‖Yᵀs‖² - ‖Bᵀs‖²| + (Σ_i |s_i| √d_i)²,      d = diag(K - YYᵀ), some four digits below what B
    leaves.

A pass visits the rows in blocks, so that memory is that of a block; time grows as N r².   (Fine and Scheinberg 2001.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.design.basis import Basis, Functionals, diagonal_of
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import Array

Long = np.longdouble
LONG_EPS = float(np.finfo(Long).eps)
PIVOTING_FLOOR = 4 * LONG_EPS  # residual, relative to the largest k(x, x), at which pivoting in long double ends
MAX_LONG_DOUBLE_RANK = 300  # largest rank of a basis for which long double is fast enough
EXTRA_PIVOTS = 32  # most pivots beyond those of the basis
EXTRA_PIVOT_CANDIDATES = 512  # points among which they are chosen
TRUNCATION_BLOCK_ROWS = 4_096  # rows processed at a time


@dataclass(frozen=True, eq=False)
class _Pivots:
    """Functionals (points (P, d), the column along which each differentiates), and the Cholesky factor (P, P) of their
    Gram matrix."""

    kernel: Kernel
    points: Array
    columns: np.ndarray
    factor: Array

    def solve(self, x: Array, column: int) -> Array:
        """Y of the functionals at x, (P, m), by forward substitution."""
        y = gram_of(self.kernel, self.points, self.columns, x, column)
        for k, row in enumerate(self.factor):
            y[k] = (y[k] - np.einsum("j,jm->m", row[:k], y[:k])) / row[k]  # @ goes down columns of long doubles
        return y


def left_out(basis: Basis, functionals: Sequence[Functionals], matrix: Array, s: Array) -> Array:
    """An upper bound of |sᵀ(K - BBᵀ)s|, (b,), for s (b, N) over the functionals, the values at the data first.

    matrix (N, r) is B; of a precomputed kernel, K is the points' array. Infinite where the rank is beyond
    MAX_LONG_DOUBLE_RANK.
    """
    if len(basis.points) > MAX_LONG_DOUBLE_RANK:
        return np.full(len(s), np.inf)
    x = functionals[0].points
    pivots = _pivots(basis, x, [one.column for one in functionals if one.points is x])
    starts = np.cumsum([0, *(len(one.points) for one in functionals)])

    def sums(block: tuple[int, int]) -> tuple[Array, Array, Array, float]:
        """Of some rows: Yᵀs and Bᵀs, Σ |s_i| √d_i, and the largest k(x, x)."""
        place, low = block
        part = slice(low, low + TRUNCATION_BLOCK_ROWS)
        points, column = functionals[place].points[part], functionals[place].column
        rows = slice(starts[place] + low, starts[place] + low + len(points))
        given = isinstance(basis.kernel, Precomputed)
        exact = np.diagonal(x)[part] if given else diagonal_of(basis.kernel, points, column)
        y, mine = pivots.solve(points, column), s[:, rows].astype(Long)
        d = np.maximum((exact - np.square(y).sum(axis=0)).astype(float), 0.0) + PIVOTING_FLOOR * exact
        rest = np.abs(s[:, rows]) @ np.sqrt(d)
        return mine @ y.T, mine @ matrix[rows].astype(Long), rest, float(exact.max())

    blocks = [
        (place, low)
        for place, one in enumerate(functionals)
        for low in range(0, len(one.points), TRUNCATION_BLOCK_ROWS)
    ]
    wholes, kepts, rests, sizes = zip(*parallel_map(sums, blocks), strict=True)
    whole, kept, rest, largest = sum(wholes), sum(kepts), sum(rests), max(sizes)
    found = (np.square(whole).sum(axis=1) - np.square(kept).sum(axis=1)).astype(float)
    rounding = len(pivots.points) * largest * np.square(LONG_EPS * np.abs(s).sum(axis=1))
    return np.abs(found) + np.square(rest) + rounding  # below 0 where the rounding of B outweighs what B leaves


def _pivots(basis: Basis, x: Array, kinds: Sequence[int]) -> _Pivots:
    """The basis's pivots, then greedy ones among some points until PIVOTING_FLOOR is reached."""
    some = x if len(x) <= EXTRA_PIVOT_CANDIDATES else x[np.linspace(0, len(x) - 1, EXTRA_PIVOT_CANDIDATES).astype(int)]
    if isinstance(basis.kernel, Precomputed):
        some = np.arange(len(x))[:: max(1, len(x) // EXTRA_PIVOT_CANDIDATES), None].astype(float)
    points = np.concatenate([basis.points, *[some] * len(kinds)])
    columns = np.concatenate([basis.columns, np.repeat(kinds, len(some))])
    own, most = len(basis.points), len(basis.points) + EXTRA_PIVOTS
    rows, chosen = np.zeros((most, len(points)), dtype=Long), []
    left = _diagonals(basis.kernel, points, columns, x)
    floor = PIVOTING_FLOOR * left.max()
    while len(chosen) < most:
        best = len(chosen) if len(chosen) < own else int(left.argmax())
        if left[best] <= floor:
            break
        done = len(chosen)
        fresh = gram_of(basis.kernel, points, columns, _rows_of(basis.kernel, x, points[best]), int(columns[best]))[
            :, 0
        ]
        root = np.sqrt(left[best])
        rows[done] = (fresh - rows[:done, best] @ rows[:done]) / root
        rows[done, best] = root  # as it is but for rounding
        left = left - np.square(rows[done])
        left[best] = 0
        chosen.append(best)
    factor = rows[: len(chosen), chosen].T
    return _Pivots(basis.kernel, points[chosen], columns[chosen], factor)


def _rows_of(kernel: Kernel, x: Array, point: Array) -> Array:
    """A point as `gram_of` takes it: of a precomputed kernel, its row of the Gram matrix."""
    return x[int(point[0])][None] if isinstance(kernel, Precomputed) else point[None]


def _diagonals(kernel: Kernel, points: Array, columns: np.ndarray, x: Array) -> Array:
    if isinstance(kernel, Precomputed):
        return np.diagonal(x)[points[:, 0].astype(int)].astype(Long)
    out = np.empty(len(points), dtype=Long)
    for kind in np.unique(columns):
        out[columns == kind] = diagonal_of(kernel, points[columns == kind], int(kind))
    return out


def gram_of(kernel: Kernel, points: Array, columns: np.ndarray, x: Array, column: int) -> Array:
    """The Gram matrix of the functionals and those of one kind at x, (P, m), in long doubles."""
    if isinstance(kernel, Precomputed):
        return x[:, points[:, 0].astype(int)].T.astype(Long)
    out, wide = np.empty((len(points), len(x)), dtype=Long), x.astype(Long)
    for kind in np.unique(columns):
        mine = columns == kind
        out[mine] = kernel.between(points[mine].astype(Long), int(kind), wide, column)
    return out
