"""The base rows of a design, and memory for the matrix of a linear one."""

from __future__ import annotations

import numpy as np

from hw4opt.running.array_files import large_array
from hw4opt.terms.base import Array


def distinct_rows(x: Array) -> tuple[Array, np.ndarray | None]:
    """The distinct rows of x (n, 1), sorted, and the index among them of each row, None if x is so already; x itself
    if it has several columns."""
    if x.shape[1] != 1:
        return x, None
    values = x[:, 0]
    if np.all(values[1:] > values[:-1]):
        return x, None
    if np.all(values[1:] >= values[:-1]):
        first = _first_of_equal(values)
        return values[first][:, None], np.cumsum(first) - 1
    order = np.argsort(values)
    values = values[order]
    first, row_of = _first_of_equal(values), np.empty(len(values), dtype=np.intp)
    row_of[order] = np.cumsum(first) - 1
    return values[first][:, None], row_of


def _first_of_equal(values: Array) -> np.ndarray:
    """Flags of the first of equal values (n,), which are sorted."""
    first = np.empty(len(values), dtype=bool)
    first[:1] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


def at_first_rows(values: Array, row_of: np.ndarray) -> Array:
    """Values of base rows at the first data row of each; 0 at the others."""
    out = np.zeros((len(row_of), *values.shape[1:]))
    _, first = np.unique(row_of, return_index=True)
    out[first] = values
    return out


def with_room(x: Array, intercept: bool) -> Array:
    """x (n, d) as the leading block of the matrix that a linear design makes of it: large data are copied once."""
    n, d = x.shape
    whole = large_array(n + d, d + intercept)
    whole[:n, :d], whole[n:, :d] = x, np.eye(d)
    if intercept:
        whole[:n, -1], whole[n:, -1] = 1.0, 0.0
    whole.setflags(write=False)
    return whole[:n, :d]


def around(x: Array, intercept: bool) -> Array | None:
    """The matrix that `with_room` put x into, or None."""
    whole, (n, d) = x.base, x.shape
    if not isinstance(whole, np.ndarray) or whole.flags.writeable or whole.shape != (n + d, d + intercept):
        return None
    return whole if x.strides == whole.strides and x.ctypes.data == whole.ctypes.data else None
