"""Parts of A = S B and the products with them that solvers need.

Small problems keep A; large ones compute it from B a chunk at a time, so that memory grows as n·r and D B is not
stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap

CHUNK_ROWS = 4096  # rows of A computed at a time: 4096 × 40 doubles stay in a core's cache
GRAM_ROWS = 1024  # rows whose products are summed at a time
MAX_KEPT_ENTRIES = 2_000_000  # entries of A up to which it is kept
MAX_PRODUCT_ENTRIES = 4_000_000  # entries of the products a_i a_iᵀ up to which they are kept
MIN_BATCH_KEPT_PRODUCTS = 3  # problems from which stored products are faster
MIN_BATCH_PRODUCTS = 8  # problems from which products computed for each use are faster


class Chunk:
    """Rows low … high of one row map: a piece of A."""

    def __init__(self, rows: RowMap, basis: Array, low: int, high: int, keep: bool) -> None:
        self.rows, self.basis, self.low, self.high = rows, basis, low, high
        self._kept = rows.take(basis, low, high) if keep else None
        self._outer: Array | None = None

    @classmethod
    def of(cls, matrix: Array) -> Chunk:
        """A chunk whose matrix is given."""
        return cls(RowMap(len(matrix), first=0), matrix, 0, len(matrix), keep=True)

    def __len__(self) -> int:
        return self.high - self.low

    @property
    def kept(self) -> bool:
        """Whether the matrix is kept, so that keeping a reference costs nothing."""
        return self._kept is not None

    @property
    def matrix(self) -> Array:
        """A, shape (rows, r)."""
        return self.rows.take(self.basis, self.low, self.high) if self._kept is None else self._kept

    def gram(self, a: Array, weights: Array) -> Array:
        """Aᵀ diag(weights_b) A for every b, shape (b, r, r)."""
        batch, r = weights.shape[0], a.shape[1]
        keep = a is self._kept and products(len(a), r) <= MAX_PRODUCT_ENTRIES  # a may be on other columns
        if batch < MIN_BATCH_KEPT_PRODUCTS or (batch < MIN_BATCH_PRODUCTS and not keep):
            total = np.zeros((batch, r, r))
            for low in range(0, len(a), GRAM_ROWS):
                for place, root in enumerate(np.sqrt(weights[:, low : low + GRAM_ROWS, None])):
                    half = a[low : low + GRAM_ROWS] * root
                    total[place] += half.T @ half  # one matrix with itself: BLAS does half the work
            return total
        if keep:
            if self._outer is None:
                self._outer = _upper(a)
            return _square(weights @ self._outer, r)
        step = max(1, MAX_PRODUCT_ENTRIES // products(1, r))
        sums = np.zeros((batch, products(1, r)))
        for low in range(0, len(a), step):
            sums += weights[:, low : low + step] @ _upper(a[low : low + step])
        return _square(sums, r)


def is_small(rows: int, columns: int) -> bool:
    """Whether A with this number of rows is kept."""
    return rows * columns <= MAX_KEPT_ENTRIES


def products(rows: int, r: int) -> int:
    """The number of products of two of r columns."""
    return rows * (r * (r + 1) // 2)


def _upper(a: Array) -> Array:
    """a_i a_j for i ≤ j, row by row: (rows, r (r + 1)/2)."""
    rows, r = a.shape
    found, start = np.empty((rows, products(1, r))), 0
    for i in range(r):
        np.multiply(a[:, i : i + 1], a[:, i:], out=found[:, start : start + r - i])
        start += r - i
    return found


def _square(sums: Array, r: int) -> Array:
    """Symmetric (b, r, r) from the sums of `_upper`, (b, r (r + 1)/2)."""
    return sums.take(_place(r), axis=1).reshape(len(sums), r, r)


@cache
def _place(r: int) -> np.ndarray:
    """The index of each entry of a symmetric matrix (r, r) in its upper triangle, (r²,)."""
    place = np.zeros((r, r), dtype=int)
    place[np.triu_indices(r)] = np.arange(products(1, r))
    return np.maximum(place, place.T).ravel()


def chunks(rows: RowMap, basis: Array, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
    """A row map in pieces: one with its matrix if it is small, else many that compute theirs on use."""
    if is_small(rows.count, basis.shape[1]):
        if rows.count:
            yield Chunk(rows, basis, 0, rows.count, keep=True)
        return
    for low in range(0, rows.count, size):
        yield Chunk(rows, basis, low, min(low + size, rows.count), keep=False)
