"""The interior point method and polishing of the core: flat arrays in, flat arrays out (interior.c, polish.c,
rows.h)."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw4opt.core.arrays import INT64, Pointer, Struct
from hw4opt.core.library import function
from hw4opt.core.team import helpers
from hw4opt.core.threads import Stop, spread
from hw4opt.running.array_files import large_array, zeros_in_files

Array = NDArray[np.float64]

LOSS_FUNCTIONS_LIMIT = 2  # a loss is one function of box-constrained rows, or the sum of two
STEPS_GUESSED = 15  # of a problem, to tell how much work a call is
INT, NUMBER = ctypes.c_int64, ctypes.c_double
TakeBlock = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)


@dataclass(frozen=True)
class MapRows:
    """Row j is Σ_c coef[j, c]·base[index[j, c]], with index[j, c] = first + j + c if index is None; coef None: all 1,
    width 1.

    index (count, width) int64; coef (count, width) with any stride between rows.
    """

    count: int
    first: int
    index: NDArray[np.int64] | None
    coef: Array | None


@dataclass(frozen=True, eq=False)
class RowTable:
    """A batch of b problems over M rows (rows.h):

        minimise over w in R^r   ½ Σ_j p_j w_j² + Σ_i f_i(a_iᵀw),
        f_i(z) = max over low ≤ u ≤ high of (z - t) u - ½ q u²

    base (N, r) and maps make A (M, r); penalty (b, r) p; q, t, low, high (b, M), bounds may be infinite.

    length (M,)                 typical length of the rows of A
    w_scale, proximal (b, r)    for unpenalised columns: typical |w|, and the curvature that Newton steps add
    z_scale, u_scale (b,)       typical |z| and |u| of the loss; loss_length its rows' typical length
    gap_scale (b,)              None: computed from share, lost (b, n), charged, least (b,) of the loss's n rows; the
                                loss has the first n rows for each of its functions
    """

    base: Array
    maps: Sequence[MapRows]
    penalty: Array
    q: Array
    t: Array
    low: Array
    high: Array
    length: Array
    w_scale: Array
    proximal: Array
    z_scale: Array
    u_scale: Array
    loss_length: float
    data_rows: int
    gap_scale: Array | None = None
    share: Array | None = None
    lost: Array | None = None
    charged: Array | None = None
    least: Array | None = None
    loss_functions: int = 1

    @property
    def batch(self) -> int:
        return len(self.penalty)

    @property
    def work(self) -> float:
        """Approximate floating-point operations of one step of all problems."""
        size, r = self.q.shape[1], self.penalty.shape[1]
        return self.batch * (size * r * (r + 8.0) + r**3 / 3.0 + 100.0 * size)


class SolvedPoints(NamedTuple):
    """Results of the core: w (b, r), u (b, M), strictly feasible points (b, r), and gaps, steps, and 1 if solved, else
    0 (b,)."""

    w: Array
    u: Array
    interior: Array
    gap: Array
    steps: NDArray[np.int64]
    solved: NDArray[np.int64]


def interior(
    table: RowTable,
    tol: float,
    steps: int,
    time_limit: float = math.inf,
    w: Array | None = None,
    u: Array | None = None,
) -> SolvedPoints:
    """Solve every problem by the interior point method, in at most `steps` steps, to a relative gap of half of
    `tol`.

    It may start from w (b, r); if u (b, M) is given too, that point is polished first.
    """
    form, options, points = _Form.of(table), _Options(tol, steps, time.time() + time_limit), _new_points(table)
    found, blocks = _Answer.of(points), _Blocks(zeros_in_files())
    form.give = blocks.give
    options.begin(table, w, u)

    with helpers(table.batch, table.q.shape[1]) as team:

        def call(low: int, high: int, stop: ctypes.c_int) -> int:
            return _solve()(form, options, found, team, low, high, stop)

        with blocks:
            spread(call, table.batch, STEPS_GUESSED * table.work)
    return points


def polish(table: RowTable, w: Array, u: Array, aim: Array, steps: int) -> SolvedPoints:
    """The points (w, u), polished until their gaps are well below `aim` (b,), in at most `steps` steps; never worse
    than before."""
    form, options, points = _Form.of(table), _Options(0.0, steps, math.inf), _new_points(table)
    found = _Answer.of(points)
    options.begin(table, w, u)
    options.put((table.batch,), aim=aim)

    def call(low: int, high: int, stop: ctypes.c_int) -> int:
        return _solve()(form, options, found, None, low, high, stop)

    spread(call, table.batch, steps * table.work)
    return points


class _Blocks:
    """Memory blocks for C, each an array of doubles from `make`, kept alive by this object; without `make` C allocates
    its own."""

    def __init__(self, make: Callable[[int], Array] | None) -> None:
        self.make, self.kept, self.error = make, list[Array](), None
        self.give = TakeBlock() if make is None else TakeBlock(self._take)

    def _take(self, size: int) -> int | None:
        assert self.make is not None
        try:
            block = self.make(-(-size // 8))
        except Exception as error:  # which would be lost in C
            self.error = error
            return None
        self.kept.append(block)
        return block.ctypes.data

    def __enter__(self) -> None:
        pass

    def __exit__(self, *given: object) -> None:
        if self.error is not None:
            raise self.error


class _Map(Struct):
    _fields_ = (
        *((name, INT) for name in ("count", "first", "width")),
        *((name, Pointer) for name in ("index", "coef")),
        ("coef_stride", INT),
    )

    @classmethod
    def of(cls, rows: MapRows, base_rows: int) -> _Map:
        """The table keeps its arrays alive."""
        count, first, index, coef = rows.count, rows.first, rows.index, rows.coef
        found = cls(count, first, 1 if coef is None else coef.shape[1])
        if coef is not None:
            found.coef, found.coef_stride = coef.__array_interface__["data"][0], coef.strides[0] // 8
            assert coef.shape[0] == count and coef.strides[1] == 8 and coef.dtype == np.float64
        if index is None:
            assert first >= 0 and (not count or first + count + found.width - 1 <= base_rows)
            return found
        found.width = index.shape[1]
        found.put((count, found.width), INT64, index=index)
        assert not count or (index.min() >= 0 and index.max() < base_rows)
        assert coef is None or coef.shape[1] == found.width
        return found


class _Form(Struct):
    _fields_ = (
        *((name, INT) for name in ("batch", "r", "base_rows", "maps", "rows")),
        *((name, Pointer) for name in ("base", "map", "penalty", "q", "t", "low", "high", "length", "w_scale")),
        *((name, Pointer) for name in ("proximal", "z_scale", "u_scale", "gap_scale")),
        *((name, Pointer) for name in ("share", "lost", "charged", "least")),
        ("loss_length", NUMBER),
        *((name, INT) for name in ("loss_rows", "loss_functions", "data_rows")),
        ("give", TakeBlock),
    )

    @classmethod
    def of(cls, table: RowTable) -> _Form:
        (b, r), size, base_rows = table.penalty.shape, table.q.shape[1], len(table.base)
        assert sum(one.count for one in table.maps) == size
        listed = [_Map.of(one, base_rows) for one in table.maps]
        maps = (_Map * len(listed))(*listed)
        form = cls(b, r, base_rows, len(maps), size)
        form.map = ctypes.addressof(maps)
        form.kept += [listed, maps]
        form.put((base_rows, r), base=table.base)
        form.put((b, size), q=table.q, t=table.t, low=table.low, high=table.high)
        form.put((size,), length=table.length)
        form.put((b, r), penalty=table.penalty, w_scale=table.w_scale, proximal=table.proximal)
        form.put((b,), z_scale=table.z_scale, u_scale=table.u_scale)
        if table.gap_scale is not None:
            form.put((b,), gap_scale=table.gap_scale)
        else:
            share, lost, charged, least = table.share, table.lost, table.charged, table.least
            assert share is not None and lost is not None and charged is not None and least is not None
            assert lost.shape[1] * table.loss_functions <= size
            form.put((b, lost.shape[1]), share=share, lost=lost)
            form.put((b,), charged=charged, least=least)
            form.loss_rows = lost.shape[1]
        form.loss_length, form.data_rows, form.loss_functions = table.loss_length, table.data_rows, table.loss_functions
        assert 1 <= table.loss_functions <= LOSS_FUNCTIONS_LIMIT
        return form


class _Options(Struct):
    _fields_ = (
        ("tol", NUMBER),
        ("max_iterations", INT),
        ("end", NUMBER),
        *((name, Pointer) for name in ("start_w", "start_u", "aim")),
    )

    def begin(self, table: RowTable, w: Array | None, u: Array | None) -> None:
        """Start there."""
        if w is not None:
            self.put(table.penalty.shape, start_w=np.ascontiguousarray(w))
        if u is not None:
            self.put(table.q.shape, start_u=np.ascontiguousarray(u))


class _Answer(Struct):
    _fields_ = tuple((name, Pointer) for name in ("w", "u", "interior", "gap", "iterations", "solved"))

    @classmethod
    def of(cls, points: SolvedPoints) -> _Answer:
        """Arrays for the results of C."""
        found, (w, u, interior, gap, steps, solved) = cls(), points
        found.put(w.shape, w=w, interior=interior)
        found.put(u.shape, u=u)
        found.put(gap.shape, gap=gap)
        found.put(gap.shape, np.int64, iterations=steps, solved=solved)
        return found


def _new_points(table: RowTable) -> SolvedPoints:
    wide, b = table.penalty.shape, table.batch
    steps = np.zeros((2, b), np.int64)
    return SolvedPoints(np.zeros(wide), large_array(*table.q.shape), np.zeros(wide), np.zeros(b), *steps)


@cache
def _solve() -> Callable[..., int]:
    form, options, answer = (ctypes.POINTER(one) for one in (_Form, _Options, _Answer))
    return function("core_interior", form, options, answer, ctypes.c_void_p, INT, INT, Stop)
