"""Fits without the rows of a fold in the core: flat arrays in, flat arrays out (folds.h)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw4opt.core.arrays import Pointer, given, made
from hw4opt.core.library import function
from hw4opt.core.threads import Stop, spread

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
EVENTS_GUESSED = 3  # along a path, to tell how much work a call is
# after a round of a setting's folds, of w (F, r) and gaps (F,): sets a of the last row (F, r) for the next round, and
# gives the folds that are in it, (F,)
Correct = Callable[[Array, Array, Array], NDArray[np.bool_]]


class Race(NamedTuple):
    """Early termination: a setting is abandoned once a lower bound of its held-out losses exceeds a limit.

    limit (S,)        infinite: never abandoned
    scored (rows,)    1 if f ≥ 0 of a row that leaves is part of the held-out loss, else 0
    """

    limit: Array
    scored: Indices


@dataclass(frozen=True, eq=False)
class FoldTable:
    """S settings over M rows, of which the first `rows` are those of all data, and folds that rows leave and enter:

        minimise over w in R^r   ½ Σ_j p_j w_j² + Σ_i f_i(a_iᵀw),   f_i*(u) = ½ q u² + t u on low ≤ u ≤ high

    a (M, r), unit (M,)         A, and the unit of each row's z; 1 for fitted values
    q, t, low, high (S, M)      bounds may be infinite; low = high = 0: the row is absent
    penalty, w_scale (S, r)     p, and typical |w| of unpenalised columns
    z_scale, u_scale (S,)       typical |z| and |u| of the loss
    gap_scale (S,)              gap_scale (form/gap_scale.py)
    w (S, r), u (S, rows)       nearly optimal full fits
    leave, enter                the rows that leave and enter each fold: start of each fold in the list (F + 1,), and
                                the concatenated lists
    values                      the number of first rows that are fitted values
    race                        early termination of settings; None: none
    correct                     for each setting, the correction between rounds: the last row, f(z) = z, has an a of
                                its own in each fold, 0 in the first round; None: one round
    """

    rows: int
    values: int
    a: Array
    unit: Array
    q: Array
    t: Array
    low: Array
    high: Array
    penalty: Array
    w_scale: Array
    z_scale: Array
    u_scale: Array
    gap_scale: Array
    w: Array
    u: Array
    leave: tuple[Indices, Indices]
    enter: tuple[Indices, Indices]
    race: Race | None = None
    correct: Sequence[Correct] | None = None

    @property
    def settings(self) -> int:
        return len(self.penalty)

    @property
    def folds(self) -> int:
        return len(self.leave[0]) - 1

    @property
    def work(self) -> float:
        """Approximate floating-point operations."""
        r, size = self.penalty.shape[1], self.rows
        return self.settings * (size * r * r + self.folds * (2.0 + EVENTS_GUESSED) * (2 * size * r + 4 * r * r))


class FoldPoints(NamedTuple):
    """Results of the core: w (S, F, r) and, if requested, u (S, F, M); relative gaps, infinite without a solution, and
    changes of state along the paths (S, F); rows of the full fits that violate their states, -1 without a solution
    (S,); and lower bounds of the held-out losses with early termination (S,)."""

    w: Array
    u: Array | None
    gap: Array
    events: Indices
    wrong: Indices
    bound: Array


def folds(tables: Sequence[FoldTable], duals: bool = False) -> list[FoldPoints]:
    """Solve every fold of every setting of every table, in threads."""
    tasks = [_Task.of(table) for table in tables]
    found = [task.answer(duals) for task in tasks]
    for task, table, points in zip(tasks, tables, found, strict=True):
        if table.correct is not None:
            task.correct_by(table.correct, points)
    starts = list(accumulate((table.settings for table in tables), initial=0))

    def call(low: int, high: int, stop: ctypes.c_int) -> int:
        for task, table, start in zip(tasks, tables, starts, strict=False):
            first, last = max(low - start, 0), min(high - start, table.settings)
            if first < last and (code := _functions().folds(task, first, last, stop)):
                return code
        return 0

    try:
        spread(call, starts[-1], sum(table.work for table in tables))
    except KeyboardInterrupt:  # so the core ends where Python failed
        for task in tasks:
            if task.failures:
                raise task.failures[0] from None
        raise
    return found


def fold_gaps(table: FoldTable, w: Array, u: Array) -> Array:
    """The relative gaps (S, F) of the folds at w (S, F, r) and u (S, F, M), clipped into the domain of f*."""
    task = _Task.of(table)
    shape = (table.settings, table.folds)
    task.put(fold_w=given("w", w, (*shape, table.a.shape[1])), fold_u=given("u", u, (*shape, len(table.a))))
    gap = task.new("gap", shape)
    spread(lambda low, high, stop: _functions().gaps(task, low, high, stop), table.settings, table.work)
    return gap


Corrector = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


class _Task(ctypes.Structure):
    """core_fold_task of folds.h; it keeps its arrays alive."""

    kept: list[Pointer]
    failures: Sequence[BaseException] = ()
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("settings", "folds", "rank", "rows", "extra", "values")),
        *((name, Pointer) for name in ("a", "unit", "q", "t", "low", "high", "penalty", "w_scale", "z_scale")),
        *((name, Pointer) for name in ("u_scale", "gap_scale", "w", "u", "leave_from", "leave", "enter_from", "enter")),
        ("correct", Corrector),
        *((name, Pointer) for name in ("force", "again", "fold_w", "fold_u", "gap", "events", "wrong", "limit")),
        *((name, Pointer) for name in ("scored", "bound")),
    )

    @classmethod
    def of(cls, table: FoldTable) -> _Task:
        (every, r), count = table.a.shape, table.settings
        assert 0 < table.values <= table.rows <= every
        task = cls(count, table.folds, r, table.rows, every - table.rows, table.values)
        task.kept = []
        task.put(a=given("a", table.a, (every, r)), unit=given("unit", table.unit, every))
        shapes: dict[str, tuple[int, ...]] = {"q": (count, every), "t": (count, every)}
        shapes |= dict.fromkeys(("penalty", "w_scale"), (count, r))
        shapes |= dict.fromkeys(("z_scale", "u_scale", "gap_scale"), (count,))
        task.put(**{name: given(name, getattr(table, name), shape) for name, shape in shapes.items()})
        task.put(**{name: given(name, getattr(table, name), (count, every), finite=False) for name in ("low", "high")})
        task.put(w=given("w", table.w, (count, r)), u=given("u", table.u, (count, table.rows)))
        task.put_rows("leave", table.leave, 0, table.rows)
        task.put_rows("enter", table.enter, table.rows, every)
        if table.race is not None:
            task.put(limit=given("limit", table.race.limit, count, finite=False))
            task.put(scored=given("scored", table.race.scored, table.rows, np.int64))
        return task

    def put(self, **pointers: Pointer) -> None:
        """Set fields to arrays."""
        for name, pointer in pointers.items():
            setattr(self, name, pointer.value)
            self.kept.append(pointer)

    def put_rows(self, name: str, lists: tuple[Indices, Indices], low: int, high: int) -> None:
        """Lists of rows from low to high, one per fold."""
        begins, rows = lists
        assert begins[0] == 0 and begins[-1] == len(rows) and (np.diff(begins) >= 0).all()
        assert not len(rows) or (rows.min() >= low and rows.max() < high)
        self.put(**{f"{name}_from": given(name, begins, self.folds + 1, np.int64)})
        self.put(**{name: given(name, rows, len(rows), np.int64)})

    def new(self, name: str, shape: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
        """An array that C writes."""
        array, pointer = made(shape, dtype)
        self.put(**{name: pointer})
        return array

    def answer(self, duals: bool) -> FoldPoints:
        """New arrays for all results of C."""
        shape = (self.settings, self.folds)
        w = self.new("fold_w", (*shape, self.rank))
        u = self.new("fold_u", (*shape, self.rows + self.extra)) if duals else None
        gap = self.new("gap", shape)
        events, wrong = self.new("events", shape, np.int64), self.new("wrong", shape[:1], np.int64)
        return FoldPoints(w, u, gap, events, wrong, self.new("bound", shape[:1]))

    def correct_by(self, correct: Sequence[Correct], points: FoldPoints) -> None:
        """Call `correct` after every round; its exception stops the core and is raised."""
        force, again = self.new("force", points.w.shape), self.new("again", points.gap.shape, np.uint8)
        failures: list[BaseException] = []

        def corrected(setting: int) -> int:
            try:
                again[setting] = correct[setting](points.w[setting], points.gap[setting], force[setting])
                return int(again[setting].sum())
            except BaseException as error:
                failures.append(error)
                return -1

        self.correct, self.failures = Corrector(corrected), failures  # no circle: the arrays are large


class _FoldFunctions(NamedTuple):
    folds: Callable[..., int]
    gaps: Callable[..., int]


@cache
def _functions() -> _FoldFunctions:
    arguments = (ctypes.POINTER(_Task), ctypes.c_int64, ctypes.c_int64, Stop)
    return _FoldFunctions(function("core_folds", *arguments), function("core_fold_gaps", *arguments))
