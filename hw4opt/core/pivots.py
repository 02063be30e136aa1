"""Pivoted Cholesky in the core (pivots.c): flat arrays in, flat arrays out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw4opt.core.arrays import INT64, Struct, address, made
from hw4opt.core.library import Pointer, function
from hw4opt.core.threads import Stop, spread

Array = NDArray[np.float64]

ROW_PADDING = 4  # PAD in linalg.h
INT, NUMBER = ctypes.c_int64, ctypes.c_double


class GreedyPivots(NamedTuple):
    """The indices (r,) of the pivots in the order in which they were chosen; the inverse (r, r) of the upper triangular
    Cholesky factor of their Gram matrix; and whether all residuals are at most the floor."""

    places: NDArray[np.int64]
    inverse: Array
    complete: bool


def greedy_pivots(
    gram: Array | Callable[[int], Array], diagonal: Array, weight: Array, floor: float, limit: int
) -> GreedyPivots:
    """At most `limit` pivots of a Gram matrix (n, n), given as an array or by a function of its columns (n,).

    The next pivot is the functional of largest residual: weight times the part of k(x, x) that the earlier pivots do
    not span, as long as it is above `floor`. diagonal, weight (n,); limit ≤ n.
    """
    size, left = len(diagonal), weight * diagonal
    first = int(left.argmax())
    own = _Pivoting(size, limit, 0, first if left[first] > floor else -1, floor)
    pivots, rows = np.empty(limit, np.int64), np.empty((limit, -(-size // ROW_PADDING) * ROW_PADDING))
    own.put((size,), weight=weight, left=left)
    own.put(rows.shape, rows=rows)
    own.put((limit,), INT64, pivots=pivots)
    core = _functions()
    if isinstance(gram, np.ndarray):
        _run(core.pivot, size * limit**2, own, address("gram", gram, (size, size)), size, limit)
    else:
        while own.next >= 0 and own.done < limit:
            column = gram(own.next)
            _run(core.pivot, size * own.done, own, address("a column", column, (size,)), 0, 1)
    inverse, pointer = made((own.done, own.done))
    _run(core.inverse, own.done**3, own, pointer)
    return GreedyPivots(pivots[: own.done], inverse, own.next < 0)


def _run(act: Callable[..., int], work: float, *given: object) -> None:
    """Make one call, which Ctrl-C can interrupt."""
    spread(lambda low, high, stop: act(*given, stop), 1, work)


class _Pivoting(Struct):
    _fields_ = (
        *((name, INT) for name in ("size", "room", "done", "next")),
        ("floor", NUMBER),
        *((name, Pointer) for name in ("weight", "left", "rows", "pivots")),
    )


class _PivotFunctions(NamedTuple):
    pivot: Callable[..., int]
    inverse: Callable[..., int]


@cache
def _functions() -> _PivotFunctions:
    own = ctypes.POINTER(_Pivoting)
    return _PivotFunctions(
        function("core_pivot", own, ctypes.c_void_p, INT, INT, Stop),
        function("core_inverse_at_pivots", own, Pointer, Stop),
    )
