"""Data and kernel → linear functionals, a reduced basis B over them, and the row maps of the terms.

K ≈ B Bᵀ by pivoted (incomplete) Cholesky, which evaluates only the columns it needs (Fine and Scheinberg 2001; Harbrecht, Peters and
Schneider 2012). Fitted values are B w, αᵀKα = ‖w‖². A linear design is the same with B = X.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hw4opt.errors import InputError, RefusedError
from hw4opt.kernels import VALUE, Kernel, Polynomial, Precomputed
from hw4opt.rows import RowMap, each
from hw4opt.terms import Coefficients, Differences, Slope, Values
from hw4opt.terms.base import Acts, Array

TRUNCATION = 1e-15  # of the largest k(x, x): what pivoting leaves
ROUNDING = 2e-14  # what rounding alone can leave of a diagonal when all rows are checked
RANK_LIMIT = 1_000
CANDIDATES = 4_096
BLOCK = 8_192


@dataclass(frozen=True, eq=False)
class Basis:
    """Functions b_1 … b_r with b(x) = factorᵀ k(pivots, x), orthonormal in the RKHS."""

    kernel: Kernel
    points: Array  # (r, d) pivot points; for a precomputed kernel, (r, 1) row numbers
    columns: np.ndarray  # (r,) VALUE, or the column along which the pivot functional differentiates
    factor: Array  # (r, r) upper triangular
    complete: bool  # False: the rank limit stopped it before the truncation level

    def evaluate(self, x: Array, column: int = VALUE) -> Array:
        """b of the functionals at x (or their slopes along a column), shape (m, r)."""
        if isinstance(self.kernel, Precomputed):
            return x[:, self.points[:, 0].astype(int)] @ self.factor
        out = np.empty((len(x), len(self.points)))

        def fill(low: int) -> None:
            block = slice(low, low + BLOCK)
            np.matmul(_against(self.kernel, x[block], column, self.points, self.columns), self.factor, out=out[block])

        each(fill, range(0, len(x), BLOCK))
        return out


def _against(kernel: Kernel, x: Array, column: int, points: Array, columns: np.ndarray) -> Array:
    kinds = np.unique(columns)
    if len(kinds) == 1:
        return kernel.between(x, column, points, int(kinds[0]))
    out = np.empty((len(x), len(points)))
    for kind in kinds:
        out[:, columns == kind] = kernel.between(x, column, points[columns == kind], int(kind))
    return out


WHOLE = 600  # candidates up to which their whole Gram matrix is cheaper than its columns one by one


def _pivot(kernel: Kernel, x: Array, columns: np.ndarray, diagonal: Array, limit: int) -> tuple[np.ndarray, Array, bool]:
    """Greedy pivots among the candidates, the inverse of their Cholesky factor, and whether the truncation level was reached."""
    kinds = [(int(column), columns == column) for column in np.unique(columns)]
    largest = diagonal[kinds[0][1]].max()
    weight = np.ones_like(diagonal)  # slopes are measured in units of values
    for _, mine in kinds[1:]:
        weight[mine] = largest / max(diagonal[mine].max(), 1e-300)
    column_of = _columns(kernel, x, columns, kinds)
    left = diagonal * weight
    floor = TRUNCATION * float(left.max())
    rows = np.empty((min(64, limit), len(x)))
    pivots: list[int] = []
    while len(pivots) < limit:
        best = int(left.argmax())
        if left[best] <= floor:
            break
        done = len(pivots)
        if done == len(rows):
            rows = np.concatenate([rows, np.empty((min(done, limit - done), len(x)))])
        fresh = column_of(best)
        if done:
            fresh = fresh - rows[:done, best] @ rows[:done]
        fresh = fresh / math.sqrt(left[best] / weight[best])
        rows[done] = fresh
        left -= weight * fresh * fresh
        left[best] = 0.0
        pivots.append(best)
    chosen = np.array(pivots, dtype=int)
    return chosen, np.linalg.inv(np.triu(rows[: len(chosen), chosen])), bool(left.max() <= floor)


def _columns(kernel: Kernel, x: Array, columns: np.ndarray, kinds: list[tuple[int, np.ndarray]]) -> Callable[[int], Array]:
    """The Gram matrix of the candidates, by column."""
    if isinstance(kernel, Precomputed):
        return lambda j: x[:, j]
    if len(kinds) == 1 and len(x) <= WHOLE:
        gram = kernel.gram(x, x)
        return lambda j: gram[j]

    def column(j: int) -> Array:
        out = np.empty(len(x))
        for kind, mine in kinds:
            out[mine] = kernel.between(x[mine], kind, x[j : j + 1], int(columns[j]))[:, 0]
        return out

    return column


def build_basis(kernel: Kernel, x: Array, slopes: tuple[int, ...] = (), limit: int | None = None) -> tuple[Basis, Array]:
    """The basis over evaluation at the rows of x and the slopes there along the named columns, and its values at x."""
    size = len(x) * (1 + len(slopes))
    limit = limit or (size if size <= 2 * RANK_LIMIT else RANK_LIMIT)
    every = np.arange(len(x)) if len(x) <= CANDIDATES or isinstance(kernel, Precomputed) else None
    candidates = np.unique(np.linspace(0, len(x) - 1, CANDIDATES).astype(int)) if every is None else every
    while True:
        points = np.concatenate([x[candidates]] * (1 + len(slopes)))
        columns = np.repeat([VALUE, *slopes], len(candidates))
        diagonal = np.concatenate([_diagonal(kernel, x[candidates], column) for column in (VALUE, *slopes)])
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
        if left[worst].max() <= ROUNDING * diagonal.max():
            return basis, values
        candidates = np.union1d(candidates, worst)


def _diagonal(kernel: Kernel, x: Array, column: int) -> Array:
    if column == VALUE:
        return kernel.diagonal(x)
    return np.concatenate(
        [np.diagonal(kernel.cross_slope(x[low : low + 256], x[low : low + 256], column, column)) for low in range(0, len(x), 256)]
    )


def with_room(x: Array, intercept: bool) -> Array:
    """x (n, d) as the leading block of the matrix that a linear design makes of it: large data are copied once."""
    n, d = x.shape
    whole = np.empty((n + d, d + intercept))
    whole[:n, :d], whole[n:, :d] = x, np.eye(d)
    if intercept:
        whole[:n, -1], whole[n:, -1] = 1.0, 0.0
    whole.setflags(write=False)
    return whole[:n, :d]


def _around(x: Array, intercept: bool) -> Array | None:
    """The matrix that `with_room` put x into, or None."""
    whole, (n, d) = x.base, x.shape
    if not isinstance(whole, np.ndarray) or whole.flags.writeable or whole.shape != (n + d, d + intercept):
        return None
    return whole if x.strides == whole.strides and x.ctypes.data == whole.ctypes.data else None


@dataclass(frozen=True, eq=False)
class Design:
    """The base rows (distinct sorted x in one dimension, else the data rows), the basis over them, and what terms may act on.

    x (n, d) as used (weight 0 removed, scaled if asked); `base_x` (N, d); `row_of` (n,) base row of each data row, or None if they are
    the same; `matrix` (N + slopes + coefficients, r) = B with unpenalised columns last.
    """

    x: Array
    kernel: Kernel | None
    intercept: bool
    slopes: tuple[int, ...] = ()
    basis: Basis | None = None

    @cached_property
    def _distinct(self) -> tuple[Array, np.ndarray | None]:
        if self.x.shape[1] != 1:
            return self.x, None
        values = self.x[:, 0]
        if np.all(values[1:] > values[:-1]):
            return self.x, None
        distinct, row_of = np.unique(values, return_inverse=True)
        return distinct[:, None], row_of

    @property
    def base_x(self) -> Array:
        return self._distinct[0]

    @property
    def row_of(self) -> np.ndarray | None:
        return self._distinct[1]

    @cached_property
    def _built(self) -> tuple[Basis | None, Array]:
        """The basis (None for a linear design) and its values at the base rows."""
        if self.kernel is None:
            return None, self.base_x
        if self.basis is not None:
            return self.basis, self.basis.evaluate(self.base_x)
        return build_basis(self.kernel, self.base_x, self.slopes)

    @property
    def reduced(self) -> Basis | None:
        """The kernel's basis (None for a linear design)."""
        return self._built[0]

    @cached_property
    def matrix(self) -> Array:
        """B over all functionals: values, then slopes by column, then the coefficients of a linear design."""
        basis, values = self._built
        if basis is None and not self.slopes and (around := _around(values, self.intercept)) is not None:
            return around
        if basis is None:
            unit = np.eye(self.x.shape[1])
            blocks = [values, *(np.tile(unit[c], (len(values), 1)) for c in self.slopes), unit]
        else:
            blocks = [values, *(basis.evaluate(self.base_x, column) for column in self.slopes)]
        if len(blocks) == 1 and not self.intercept:
            return blocks[0]
        whole = np.zeros((sum(map(len, blocks)), values.shape[1] + self.intercept))
        low = 0
        for block in blocks:
            whole[low : low + len(block), : values.shape[1]] = block
            low += len(block)
        if self.intercept:
            whole[: len(values), -1] = 1.0
        return whole

    @property
    def _degree(self) -> int | None:
        """The degree of the polynomials that the design's functions are, None where they are not."""
        if self.kernel is None:
            return 1
        return int(self.kernel.degree) if isinstance(self.kernel, Polynomial) else None

    @property
    def penalized(self) -> np.ndarray:
        """(r,) True where the ridge acts: everything but the intercept."""
        flags = np.ones(self.matrix.shape[1], dtype=bool)
        flags[len(flags) - self.intercept :] = False
        return flags

    @cached_property
    def left_over(self) -> Array:
        """d_j = k(x_j, x_j) - ‖b(x_j)‖² of every functional, never below rounding: what truncation leaves out; 0 for a linear design."""
        if self.kernel is None or self.reduced is None:
            return np.zeros(len(self.matrix))
        exact = np.concatenate([_diagonal(self.kernel, self.base_x, column) for column in (VALUE, *self.slopes)])
        kernel_part = self.matrix[:, : self.matrix.shape[1] - self.intercept]
        kept = np.einsum("ij,ij->i", kernel_part, kernel_part)
        return np.maximum(exact - kept, 4 * np.finfo(float).eps * exact)

    def diagonal(self, x: Array) -> Array:
        """k(x, x) of the kernel, or ‖x‖² of a linear design."""
        return np.square(x).sum(axis=1) if self.kernel is None else self.kernel.diagonal(x)

    def evaluate(self, x: Array) -> Array:
        """Prediction rows at new x (m, d), shape (m, r)."""
        rows = x if self.reduced is None else self.reduced.evaluate(x)
        return np.column_stack([rows, np.ones(len(x))]) if self.intercept else rows

    def rows(self, acts: Acts, owner: str) -> RowMap:
        """The row map of a term that acts on these functionals; raises `RefusedError` where the design does not have them."""
        size = len(self.base_x)
        match acts:
            case Values():
                return RowMap(len(self.x), first=0) if self.row_of is None else RowMap(len(self.x), index=self.row_of[:, None])
            case Differences(order):
                if self.x.shape[1] != 1:
                    columns = (
                        "give increasing:column=NAME, or one x column" if owner in ("increasing", "decreasing") else "give one x column"
                    )
                    raise RefusedError(f"{owner} needs an order along one x column and there are {self.x.shape[1]}; {columns}")
                if self._degree is not None and order > self._degree:
                    return RowMap(0, first=0, coef=np.zeros((0, order + 1)))  # no function of the design has differences of this order
                return RowMap(max(size - order, 0), first=0, coef=difference_coefficients(self.base_x[:, 0], order))
            case Slope(column):
                if column not in self.slopes:
                    raise InputError(f"{owner}: column {column} does not exist; there are {self.x.shape[1]} x columns, counted from 0")
                return RowMap(size, first=size * (1 + self.slopes.index(column)))
            case Coefficients():
                if self.kernel is not None:
                    raise RefusedError(f"{owner} acts on coefficients and needs a linear design")
                return RowMap(self.x.shape[1], first=size * (1 + len(self.slopes)))

    def dual_coef(self, spread: Array, ridge: float) -> Array:
        """α = -Sᵀu/(2 ridge) over the data rows: one entry a distinct x, on its first data row (the others are 0)."""
        alpha = -spread[: len(self.base_x)] / (2 * ridge)
        if self.row_of is None:
            return alpha
        out = np.zeros(len(self.x))
        _, first = np.unique(self.row_of, return_index=True)
        out[first] = alpha
        return out


def difference_coefficients(x: Array, order: int, windows: np.ndarray | None = None) -> Array:
    """(m, order + 1) coefficients of row j = (order-1)!·(x_{j+order} - x_j)·f[x_j, …, x_{j+order}] (Tibshirani 2014).

    `windows` (m, order + 1) names the points of each row; left out, they are consecutive.
    """
    count = max(len(x) - order, 0) if windows is None else len(windows)
    if order == 1:
        return np.broadcast_to(np.array([[-1.0, 1.0]]), (count, 2))
    points = np.stack([x[c : c + count] for c in range(order + 1)], axis=1) if windows is None else x[windows]
    gaps = points[:, :, None] - points[:, None, :] + np.eye(order + 1)
    return math.factorial(order - 1) * (points[:, -1:] - points[:, :1]) / gaps.prod(axis=2)
