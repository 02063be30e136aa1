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

Array = NDArray[np.float64]

PADDING = 4  # PAD in linalg.h
INT = ctypes.c_int64


class Pivots(NamedTuple):
    """The places (r,) of pivots, in the order in which they were taken; the inverse (r, r) of the Cholesky factor of
    their Gram matrix, upper triangular; and whether what they leave of every functional is at most the floor."""

    places: NDArray[np.int64]
    inverse: Array
    complete: bool


def greedy_pivots(
    gram: Array | Callable[[int], Array], diagonal: Array, weight: Array, floor: float, limit: int
) -> Pivots:
    """At most `limit` pivots of a Gram matrix (n, n), given whole or by its columns (n,), one at a time.

    The next one is always the functional of which most is left: weight times what the others do not span of its
    k(x, x), which is above `floor`. diagonal, weight (n,); limit at most n.
    """
    size, left = len(diagonal), weight * diagonal
    first = int(left.argmax())
    own = _Pivoting(size, limit, 0, first if left[first] > floor else -1, floor)
    own.put((size,), weight=weight, left=left)
    own.put((limit, -(-size // PADDING) * PADDING), rows=np.empty((limit, -(-size // PADDING) * PADDING)))
    own.put((limit,), coef=np.empty(limit))
    pivots = np.empty(limit, np.int64)
    own.put((limit,), INT64, pivots=pivots)
    if isinstance(gram, np.ndarray):
        _functions().pivot(own, address("gram", gram, (size, size)), size, limit)
    else:
        while own.next >= 0 and own.done < limit:
            column = gram(own.next)
            _functions().pivot(own, address("a column", column, (size,)), 0, 1)
    inverse, pointer = made((own.done, own.done))
    _functions().inverse(own, pointer)
    return Pivots(pivots[: own.done], inverse, own.next < 0)


class _Pivoting(Struct):
    _fields_ = (
        *((name, INT) for name in ("size", "room", "done", "next")),
        ("floor", ctypes.c_double),
        *((name, Pointer) for name in ("weight", "left", "rows", "coef", "pivots")),
    )


class _PivotFunctions(NamedTuple):
    pivot: Callable[..., int]
    inverse: Callable[..., int]


@cache
def _functions() -> _PivotFunctions:
    own = ctypes.POINTER(_Pivoting)
    return _PivotFunctions(
        function("core_pivot", own, ctypes.c_void_p, INT, INT),
        function("core_inverse_at_pivots", own, Pointer),
    )
