"""Kernel and points → a reduced basis B with K ≈ B Bᵀ, by pivoted (incomplete) Cholesky, which evaluates only the
columns it needs.

(Fine and Scheinberg 2001; Harbrecht, Peters and Schneider 2012.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.errors import InputError
from hw4opt.kernels import VALUE, Kernel, Precomputed
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import Array

MAX_KERNEL_VALUE = 1e150  # k(x, x) that can be squared and summed
TRUNCATION = 1e-15  # of the largest k(x, x): what pivoting leaves
DIAGONAL_ROUNDING = 2e-14  # what rounding alone can leave of a diagonal when all rows are checked
RANK_LIMIT = 1_000  # columns of B where twice as many functionals are exceeded, unless the user gives a limit
PIVOT_CANDIDATES = 4_096  # points, evenly spaced among more, from which pivots are first chosen
BASIS_BLOCK_ROWS = 8_192  # rows of B made at a time
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
    columns: np.ndarray  # (r,) which functional a pivot is, as in `Functionals`
    factor: Array  # (r, r) upper triangular
    complete: bool  # False: the rank limit stopped it before the truncation level

    def evaluate(self, x: Array, column: int = VALUE) -> Array:
        """b of the functionals at x (or their slopes along a column), shape (m, r)."""
        if isinstance(self.kernel, Precomputed):
            return x[:, self.points[:, 0].astype(int)] @ self.factor
        out = np.empty((len(x), len(self.points)))

        def fill(low: int) -> None:
            block = slice(low, low + BASIS_BLOCK_ROWS)
            np.matmul(_against(self.kernel, x[block], column, self.points, self.columns), self.factor, out=out[block])

        parallel_map(fill, range(0, len(x), BASIS_BLOCK_ROWS))
        return out


def _against(kernel: Kernel, x: Array, column: int, points: Array, columns: np.ndarray) -> Array:
    kinds = _kinds(columns)
    if len(kinds) == 1:
        return kernel.between(x, column, points, kinds[0])
    out = np.empty((len(x), len(points)))
    for kind in kinds:
        out[:, columns == kind] = kernel.between(x, column, points[columns == kind], kind)
    return out


def _kinds(columns: np.ndarray) -> list[int]:
    """Which columns there are; `VALUE` comes first."""
    return sorted(set(columns.tolist()))


def _pivot(
    kernel: Kernel, x: Array, columns: np.ndarray, diagonal: Array, limit: int
) -> tuple[np.ndarray, Array, bool]:
    """Greedy pivots among the candidates, the inverse of their Cholesky factor, and whether the truncation level was
    reached."""
    kinds = [(column, columns == column) for column in _kinds(columns)]
    largest = diagonal[kinds[0][1]].max()
    weight = np.ones_like(diagonal)  # slopes are measured in units of values
    for _, mine in kinds[1:]:
        weight[mine] = largest / max(diagonal[mine].max(), 1e-300)
    column_of, weights = _columns(kernel, x, columns, kinds), weight.tolist()
    left = diagonal * weight
    floor = TRUNCATION * float(left.max())
    rows = np.empty((min(64, limit), len(x)))
    pivots: list[int] = []
    while len(pivots) < limit:
        best = int(left.argmax())
        size = left.item(best)
        if size <= floor:
            break
        done = len(pivots)
        if done == len(rows):
            rows = np.concatenate([rows, np.empty((min(done, limit - done), len(x)))])
        known, fresh = rows[:done], rows[done]
        np.dot(known[:, best], known, out=fresh)
        np.subtract(column_of(best), fresh, out=fresh)
        fresh /= math.sqrt(size / weights[best])
        square = fresh * fresh
        left -= square if len(kinds) == 1 else weight * square
        left[best] = 0.0
        pivots.append(best)
    chosen = np.array(pivots, dtype=int)
    return chosen, np.linalg.inv(np.triu(rows[: len(chosen), chosen])), bool(left.max() <= floor)


def _columns(
    kernel: Kernel, x: Array, columns: np.ndarray, kinds: list[tuple[int, np.ndarray]]
) -> Callable[[int], Array]:
    """The Gram matrix of the candidates, by column."""
    if isinstance(kernel, Precomputed):
        return lambda j: x[:, j]
    if len(kinds) == 1 and len(x) <= MAX_WHOLE_GRAM_ROWS:
        gram = kernel.gram(x, x)
        return gram.__getitem__

    def column(j: int) -> Array:
        out = np.empty(len(x))
        for kind, mine in kinds:
            out[mine] = kernel.between(x[mine], kind, x[j : j + 1], int(columns[j]))[:, 0]
        return out

    return column


def build_basis(
    kernel: Kernel, x: Array, slopes: tuple[int, ...] = (), limit: int | None = None
) -> tuple[Basis, Array]:
    """The basis over evaluation at the rows of x and the slopes there along the named columns, and its values at x."""
    size = len(x) * (1 + len(slopes))
    limit = limit or (size if size <= 2 * RANK_LIMIT else RANK_LIMIT)
    every = np.arange(len(x)) if len(x) <= PIVOT_CANDIDATES or isinstance(kernel, Precomputed) else None
    candidates = np.unique(np.linspace(0, len(x) - 1, PIVOT_CANDIDATES).astype(int)) if every is None else every
    while True:
        points = np.concatenate([x[candidates]] * (1 + len(slopes)))
        columns = np.repeat([VALUE, *slopes], len(candidates))
        diagonal = np.concatenate([diagonal_of(kernel, x[candidates], column) for column in (VALUE, *slopes)])
        check_size(kernel, diagonal)
        if not diagonal.max() > 0:
            raise InputError("the kernel is zero at every data point; give another kernel, or coef0 above 0")
        pivots, factor, complete = _pivot(kernel, points, columns, diagonal, limit)
        kept = pivots[:, None].astype(float) if isinstance(kernel, Precomputed) else points[pivots]
        basis = Basis(kernel, kept, columns[pivots], factor, complete)
        values = basis.evaluate(x)
        if every is not None or not complete:
            return basis, values
        left = kernel.diagonal(x) - np.einsum("ij,ij->i", values, values)
        worst = np.argpartition(left, -256)[-256:]
        if left[worst].max() <= DIAGONAL_ROUNDING * diagonal.max():
            return basis, values
        candidates = np.union1d(candidates, worst)


def check_size(kernel: Kernel, diagonal: Array) -> None:
    """Raise `InputError`, naming kernel and parameters, where k(x, x) at the data is not finite, or its square would
    not be."""
    with np.errstate(invalid="ignore"):
        largest = float(np.max(diagonal))
    if largest <= MAX_KERNEL_VALUE:
        return
    given = ", ".join(f"{name} = {value:g}" for name, value in vars(kernel).items())
    what = f"{largest:.3g}" if math.isfinite(largest) else "no finite number"
    said = f"the {kernel.name} kernel with {given} is {what} at a data point, where {MAX_KERNEL_VALUE:g} is the most"
    raise InputError(f"{said}; give a smaller gamma or degree, or measure x in another unit")


def diagonal_of(kernel: Kernel, x: Array, column: int = VALUE) -> Array:
    """k(x, x) by row, or of the slopes along a column, ∂²k/∂x_c∂x'_c, or of second derivatives."""
    if column == VALUE:
        return kernel.diagonal(x)
    return np.concatenate(
        [
            np.diagonal(kernel.between(x[low : low + 256], column, x[low : low + 256], column))
            for low in range(0, len(x), 256)
        ]
    )
