"""Row maps S and the products with A = S B that every solver needs.

A row map is sparse: row j of S touches `width` base points. Small problems keep A; large ones make it a chunk at a time from B, so
that memory grows as n·r and D B is never stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from hw4opt.terms.base import Array

CHUNK = 4096  # rows of A made at a time: 4096 × 40 doubles stay in a core's cache
DENSE = 2_000_000  # entries of A up to which it is kept
OUTER = 4_000_000  # entries of the products a_i a_iᵀ up to which they are kept
FEW, MANY = 3, 8  # problems from which the products pay: where they are kept, and where they are made for each use

T = TypeVar("T")
R = TypeVar("R")


def each(act: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`act` on every item, in order; on several threads where there are several large items (NumPy lets go of the lock)."""
    items = list(items)
    if len(items) < 8:
        return [act(item) for item in items]
    threads = min(len(items), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if threads < 2:
        return [act(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(act, items))


@dataclass(frozen=True)
class RowMap:
    """S: row j is Σ_c coef[j, c] · base[index[j, c]]; with `first`, row j touches base rows first + j, first + j + 1, …

    coef None means all ones (width 1).
    """

    count: int
    first: int | None = None
    index: np.ndarray | None = None
    coef: Array | None = None

    def take(self, base: Array, low: int = 0, high: int | None = None) -> Array:
        """Rows low … high of S base, for base of shape (N,) or (N, r)."""
        high = self.count if high is None else high
        if self.index is not None:
            parts = [base[self.index[low:high, c]] for c in range(self.index.shape[1])]
        else:
            start = self.first or 0
            width = 1 if self.coef is None else self.coef.shape[1]
            parts = [base[start + low + c : start + high + c] for c in range(width)]
        if self.coef is None:
            return parts[0]
        if len(parts) == 2 and self.is_difference:
            return parts[1] - parts[0]
        coef = self.coef[low:high]
        extra = (None,) * (base.ndim - 1)
        return sum(
            (coef[(slice(None), c, *extra)] * part for c, part in enumerate(parts[1:], 1)), coef[(slice(None), 0, *extra)] * parts[0]
        )

    @property
    def is_difference(self) -> bool:
        return self.coef is not None and self.coef.strides[0] == 0 and tuple(self.coef[0]) == (-1.0, 1.0)

    def spread(self, u: Array, size: int) -> Array:
        """Sᵀ u over `size` base rows, for u of shape (b, count); gives (b, size)."""
        total = np.zeros((len(u), size))
        width = 1 if self.coef is None else self.coef.shape[1]
        for c in range(width):
            part = u if self.coef is None else u * self.coef[:, c]
            if self.index is None:
                start = (self.first or 0) + c
                total[:, start : start + self.count] += part
            else:
                for row, values in zip(total, part, strict=True):
                    row += np.bincount(self.index[:, c], values, minlength=size)
        return total


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
        """Whether the matrix is kept, so that holding on to it costs nothing."""
        return self._kept is not None

    @property
    def matrix(self) -> Array:
        """A, shape (rows, r)."""
        return self.rows.take(self.basis, self.low, self.high) if self._kept is None else self._kept

    def gram(self, a: Array, weights: Array) -> Array:
        """Aᵀ diag(weights_b) A for every b, shape (b, r, r)."""
        batch, r = weights.shape[0], a.shape[1]
        keep = a is self._kept and products(len(a), r) <= OUTER  # a may be on other columns
        if batch < FEW or (batch < MANY and not keep):
            total = np.empty((batch, r, r))
            for place, root in enumerate(np.sqrt(weights)):
                half = a * root[:, None]
                np.matmul(half.T, half, out=total[place])  # one matrix with itself: BLAS does half the work
            return total
        if keep:
            if self._outer is None:
                self._outer = _upper(a)
            return _square(weights @ self._outer, r)
        step = max(1, OUTER // products(1, r))
        sums = np.zeros((batch, products(1, r)))
        for low in range(0, len(a), step):
            sums += weights[:, low : low + step] @ _upper(a[low : low + step])
        return _square(sums, r)


def products(rows: int, r: int) -> int:
    """Entries of the products of every two of r columns."""
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
    """Where each entry of a symmetric matrix (r, r) stands in its upper triangle, (r²,)."""
    place = np.zeros((r, r), dtype=int)
    place[np.triu_indices(r)] = np.arange(products(1, r))
    return np.maximum(place, place.T).ravel()


def chunks(rows: RowMap, basis: Array, size: int = CHUNK) -> Iterator[Chunk]:
    """A row map in pieces: one that keeps its matrix if it is small, else many that make theirs when asked."""
    if rows.count * basis.shape[1] <= DENSE:
        if rows.count:
            yield Chunk(rows, basis, 0, rows.count, keep=True)
        return
    for low in range(0, rows.count, size):
        yield Chunk(rows, basis, low, min(low + size, rows.count), keep=False)
