"""The sums of a certificate over box-constrained quadratic rows (row_sums.c): flat arrays in, flat arrays out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw4opt.core.arrays import Struct
from hw4opt.core.library import Pointer, function
from hw4opt.core.threads import Stop, spread
from hw4opt.running.array_files import large_array

Array = NDArray[np.float64]

SUMMED_ROWS = 4096  # rows whose sum is one thread's
ROW_WORK = 30.0  # approximate floating-point operations per row
BOOL = np.dtype(np.bool_)


class RowSums(NamedTuple):
    """Sums over rows, (b,): the Fenchel-Young slack, f, and a bound of the slack's rounding; and for every row, (b, M),
    f - min f, and the violation of a constraint beyond rounding."""

    slack: Array
    value: Array
    rounding: Array
    excess: Array
    beyond: Array


def row_sums(rows: Array, z: Array, u: Array, unsure: Array, differences: NDArray[np.bool_]) -> RowSums:
    """The sums for rows f*(u) = ½ q u² + t u on low ≤ u ≤ high, given as (q, t, low, high) (4, b, M), at z and u in the
    domain of f*, (b, M).

    unsure (2, b, M)    bounds of the rounding in z - t near a breakpoint, and in z
    differences (M,)    rows whose map has coefficients
    """
    b, size = z.shape
    pieces = -(-size // SUMMED_ROWS)
    totals, of_rows = np.empty((3, b, pieces)), large_array(2, b, size)
    own = _Summands(size, SUMMED_ROWS, pieces)
    own.put_each((b, size), ("q", "t", "low", "high"), rows)
    own.put((b, size), z=z, u=u)
    own.put_each((b, size), ("near_breakpoint", "near_z"), unsure)
    own.put((size,), BOOL, differences=differences)
    own.put_each((b, pieces), ("slack", "value", "rounding"), totals)
    own.put_each((b, size), ("excess", "beyond"), of_rows)
    spread(lambda low, high, stop: _function()(own, low, high, stop), b * pieces, ROW_WORK * b * size)
    return RowSums(*np.add.reduce(totals, axis=2), *of_rows)


class _Summands(Struct):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "piece", "pieces")),
        *((name, Pointer) for name in ("q", "t", "low", "high", "z", "u", "near_breakpoint", "near_z", "differences")),
        *((name, Pointer) for name in ("slack", "value", "rounding", "excess", "beyond")),
    )


@cache
def _function() -> Callable[..., int]:
    return function("core_row_sums", ctypes.POINTER(_Summands), ctypes.c_int64, ctypes.c_int64, Stop)
