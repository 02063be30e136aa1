"""Row maps S: sparse linear maps from base points to a term's rows; row j touches `width` base points."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.validation.arrays import Array
from hw4opt.validation.frozen import cached_property

NEIGHBOURS = np.array([-1.0, 1.0])  # the coefficients of every first difference
NEIGHBOURS.setflags(write=False)


@dataclass(frozen=True)
class RowMap:
    """S: row j is Σ_c coef[j, c] · base[index[j, c]]; with `first`, row j touches base rows first + j, first + j + 1, …

    coef None means all ones (width 1).
    """

    count: int
    first: int | None = None
    index: np.ndarray | None = None
    coef: Array | None = None

    def moved(self, by: int) -> RowMap:
        """The same rows for base points that come `by` places later."""
        if self.index is not None:
            return replace(self, index=self.index + by)
        return replace(self, first=(self.first or 0) + by)

    def take(self, base: Array, low: int = 0, high: int | None = None) -> Array:
        """Rows low … high of S base, for base of shape (N,) or (N, r)."""
        high = self.count if high is None else high
        if self.index is not None:
            parts = [base[self.index[low:high, c]] for c in range(self.index.shape[1])]
        else:
            start = self.first or 0
            parts = [base[start + low + c : start + high + c] for c in range(self.width)]
        if self.coef is None:
            return parts[0]
        if len(parts) == 2 and self.is_difference:
            return parts[1] - parts[0]
        coef = self.coef[low:high]
        extra = (None,) * (base.ndim - 1)
        return sum(
            (coef[(slice(None), c, *extra)] * part for c, part in enumerate(parts[1:], 1)),
            coef[(slice(None), 0, *extra)] * parts[0],
        )

    @cached_property
    def is_difference(self) -> bool:
        """Whether every row is the difference of two neighbours, the second less the first."""
        return self.coef is not None and self.coef.strides[0] == 0 and self.coef[:1].tolist() == [[-1.0, 1.0]]

    @cached_property
    def total(self) -> Array | float:
        """Σ|coef| of every row, (count,) or one number."""
        return 1.0 if self.coef is None else 2.0 if self.is_difference else np.abs(self.coef).sum(axis=1)

    @property
    def width(self) -> int:
        """The number of base points per row."""
        return 1 if self.coef is None else self.coef.shape[1]

    def stacked(self, copies: int, size: int, order: np.ndarray) -> RowMap:
        """The rows on each of several copies of `size` base points; `order` is the order of their indices copy by
        copy."""
        copy, row = np.divmod(order, self.count)
        index = self.index
        if index is None:
            index = (self.first or 0) + np.arange(self.count)[:, None] + np.arange(self.width)
        if self.coef is None or self.is_difference:
            coef = self.coef if self.coef is None else np.broadcast_to(self.coef[0], (len(order), self.width))
        else:
            coef = self.coef[row]
        return RowMap(len(order), index=index[row] + size * copy[:, None], coef=coef)

    def folded(self, size: int) -> RowMap:
        """Rows on copies of `size` base points, each as a row on one of them."""
        return replace(self, index=None if self.index is None else self.index % size)

    def spread(self, u: Array, size: int) -> Array:
        """Sᵀ u over `size` base rows, for u of shape (b, count); gives (b, size)."""
        total = np.zeros((len(u), size))
        for c in range(self.width):
            part = u if self.coef is None else u * self.coef[:, c]
            if self.index is None:
                start = (self.first or 0) + c
                total[:, start : start + self.count] += part
            else:
                for row, values in zip(total, part, strict=True):
                    row += np.bincount(self.index[:, c], values, minlength=size)
        return total


def difference_coefficients(x: Array, order: int, windows: np.ndarray | None = None) -> Array:
    """(m, order + 1) coefficients of row j = (order-1)!·(x_{j+order} - x_j)·f[x_j, …, x_{j+order}] (Tibshirani 2014).

    `windows` (m, order + 1) are the points of each row; default: consecutive.
    """
    count = max(len(x) - order, 0) if windows is None else len(windows)
    if order == 1:
        return np.ndarray((count, 2), float, NEIGHBOURS, strides=(0, NEIGHBOURS.itemsize))
    neighbours = np.stack([x[c : c + count] for c in range(order + 1)], axis=1) if windows is None else x[windows]
    gaps = neighbours[:, :, None] - neighbours[:, None, :] + np.eye(order + 1)
    return math.factorial(order - 1) * (neighbours[:, -1:] - neighbours[:, :1]) / gaps.prod(axis=2)
