"""Kernel and points → a reduced basis B with K ≈ B Bᵀ, by pivoted (incomplete) Cholesky, which evaluates only the
columns it needs.

(Fine and Scheinberg 2001; Harbrecht, Peters and Schneider 2012.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.core.pivots import GreedyPivots, greedy_pivots
from hw4opt.errors import InputError
from hw4opt.kernels import VALUE, Kernel, Precomputed
from hw4opt.running.array_files import large_array
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import Array

MAX_KERNEL_VALUE = 1e150  # the largest k(x, x) that can be squared and summed
TRUNCATION = 1e-15  # of the largest k(x, x): the remainder at which pivoting ends
DIAGONAL_ROUNDING = 2e-14  # the remainder of a diagonal that rounding alone can leave when all rows are checked
RANK_LIMIT = 1_000  # columns of B if there are more than twice as many functionals, unless the user gives a limit
PIVOT_CANDIDATES = 4_096  # points, evenly spaced among all, from which pivots are first chosen
BASIS_BLOCK_ROWS = 4_096  # rows of B computed at a time: with 40 columns they stay in a core's cache
MAX_WHOLE_GRAM_ROWS = 600  # candidates up to which their whole Gram matrix is cheaper than its columns one by one


class Functionals(NamedTuple):
    """Linear functionals of f at points (m, d): values (column `VALUE`), slopes along a column, or second derivatives
    (`CURVATURE`)."""

    points: Array
    column: int


@dataclass(frozen=True, eq=False)
class Basis:
    """Functions b_1 … b_r with b(x) = factorᵀ k(pivots, x), orthonormal in the RKHS."""

    kernel: Kernel
    points: Array  # (r, d) pivot points; for a precomputed kernel, (r, 1) row numbers
    columns: np.ndarray  # (r,) the kind of functional of each pivot, as in `Functionals`
    factor: Array  # (r, r) upper triangular
    complete: bool  # False: the rank limit stopped it before the truncation level

    def evaluate(self, x: Array, column: int = VALUE) -> Array:
        """b at x, or its slopes along a column, shape (m, r)."""
        if isinstance(self.kernel, Precomputed):
            return x[:, self.points[:, 0].astype(int)] @ self.factor
        out = large_array(len(x), len(self.points))

        def fill(low: int) -> None:
            block = slice(low, low + BASIS_BLOCK_ROWS)
            np.matmul(_against(self.kernel, x[block], column, self.points, self.columns), self.factor, out=out[block])

        parallel_map(fill, range(0, len(x), BASIS_BLOCK_ROWS))
        return out

    def carried(self, w: Array, other: Basis) -> Array | None:
        """Functions w (m, r) in another basis that extends this one, or equals it; None for any other."""
        r, more = len(self.points), len(other.points) - len(self.points)
        pairs = (
            (self.points, other.points[:r]),
            (self.factor, other.factor[:r, :r]),
            (self.columns, other.columns[:r]),
        )
        if not all(np.array_equal(one, two) for one, two in pairs):
            return None
        return np.pad(w, ((0, 0), (0, more))) if more else w


def _against(kernel: Kernel, x: Array, column: int, points: Array, columns: np.ndarray) -> Array:
    kinds = _kinds(columns)
    if len(kinds) == 1:
        return kernel.between(x, column, points, kinds[0])
    out = np.empty((len(x), len(points)))
    for kind in kinds:
        out[:, columns == kind] = kernel.between(x, column, points[columns == kind], kind)
    return out


def _kinds(columns: np.ndarray) -> list[int]:
    """The kinds of functionals, `VALUE` first."""
    return sorted(set(columns.tolist()))


def _pivots(gram: Array | Callable[[int], Array], diagonal: Array, kinds: int, limit: int) -> GreedyPivots:
    """Greedy pivots among the candidates, which are sorted by kind; slopes are scaled to units of values."""
    weight = np.ones(len(diagonal))
    if kinds > 1:
        largest = diagonal.reshape(kinds, -1).max(axis=1)
        weight = np.repeat(largest[0] / np.maximum(largest, 1e-300), len(diagonal) // kinds)
    floor = TRUNCATION * float((weight * diagonal).max())
    return greedy_pivots(gram, diagonal, weight, floor, min(limit, len(diagonal)))


def _gram(kernel: Kernel, x: Array, kinds: Sequence[int]) -> Array | Callable[[int], Array]:
    """The Gram matrix of the candidates, whole or by column."""
    if isinstance(kernel, Precomputed):
        return lambda j: x[:, j].copy()
    if len(kinds) == 1 and len(x) <= MAX_WHOLE_GRAM_ROWS:
        return kernel.gram(x, x)

    def column(j: int) -> Array:
        of, point = divmod(j, len(x))
        parts = [kernel.between(x, kind, x[point : point + 1], kinds[of]) for kind in kinds]
        return np.concatenate(parts).ravel()

    return column


def build_basis(
    kernel: Kernel, x: Array, slopes: tuple[int, ...] = (), limit: int | None = None
) -> tuple[Basis, Array]:
    """The basis for values at the rows of x and slopes there along the given columns, and its values at x."""
    kinds, is_gram = (VALUE, *slopes), isinstance(kernel, Precomputed)
    size = len(x) * len(kinds)
    limit = limit or (size if size <= 2 * RANK_LIMIT else RANK_LIMIT)
    every = len(x) <= PIVOT_CANDIDATES or is_gram
    candidates = np.arange(len(x)) if every else np.unique(np.linspace(0, len(x) - 1, PIVOT_CANDIDATES).astype(int))
    while True:
        points = x if every else x[candidates]
        diagonal = np.concatenate([diagonal_of(kernel, points, column) for column in kinds])
        check_size(kernel, diagonal)
        if not diagonal.max() > 0:
            raise InputError("the kernel is zero at every data point; give another kernel, or coef0 above 0")
        gram = _gram(kernel, points, kinds)
        pivots = _pivots(gram, diagonal, len(kinds), limit)
        of, place = np.divmod(pivots.places, len(points))
        kept = place[:, None].astype(float) if is_gram else points[place]
        basis = Basis(kernel, kept, np.array(kinds)[of], pivots.inverse, pivots.complete)
        # equal to `evaluate` to the last digit, from the kernel values at hand
        values = gram.take(place, axis=1) @ basis.factor if isinstance(gram, np.ndarray) else basis.evaluate(x)
        if every or not pivots.complete:
            return basis, values
        left = kernel.diagonal(x) - np.einsum("ij,ij->i", values, values)
        worst = np.argpartition(left, -256)[-256:]
        if left[worst].max() <= DIAGONAL_ROUNDING * diagonal.max():
            return basis, values
        candidates = np.union1d(candidates, worst)


def check_size(kernel: Kernel, diagonal: Array) -> None:
    """Raise `InputError` with kernel and parameters if k(x, x) or its square is not finite at a data point."""
    with np.errstate(invalid="ignore"):
        largest = float(np.max(diagonal))
    if largest <= MAX_KERNEL_VALUE:
        return
    given = ", ".join(f"{name} = {value:g}" for name, value in vars(kernel).items())
    what = f"{largest:.3g}" if math.isfinite(largest) else "no finite number"
    said = f"the {kernel.name} kernel with {given} is {what} at a data point, where {MAX_KERNEL_VALUE:g} is the most"
    raise InputError(f"{said}; give a smaller gamma or degree, or measure x in another unit")


def diagonal_of(kernel: Kernel, x: Array, column: int = VALUE) -> Array:
    """k(x, x) by row; for slopes along a column, ∂²k/∂x_c∂x'_c; for second derivatives likewise."""
    if column == VALUE:
        return kernel.diagonal(x)
    return np.concatenate(
        [
            np.diagonal(kernel.between(x[low : low + 256], column, x[low : low + 256], column))
            for low in range(0, len(x), 256)
        ]
    )
