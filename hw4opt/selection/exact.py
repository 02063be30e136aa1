"""Exact held-out fits by low-rank changes of the full fit.

A fold takes rows away (and merges differences), after which few rows change state. It is one small system over its
changed rows, solved for many folds of many settings at once; then every row's state is looked at anew until none
changes (a primal-dual active set method: Hintermüller, Ito and Kunisch 2003), and where that does not settle the fold
is reached along a path. For squared loss that is the textbook r_i/(1 - h_ii). The duality gap of every fold is computed
from its own rows; what is not exact goes back to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form
from hw4opt.selection.follow import follow
from hw4opt.selection.layout import Layout, Tables, Union
from hw4opt.selection.lines import (
    CHANGED_ROWS_LIMIT,
    EXACT_GAP,
    ROUND_LIMIT,
    SOLVE_ENTRIES,
    Changes,
    Solved,
    Task,
    duals_of,
    finish,
    gap_of,
    places,
    prove,
)
from hw4opt.selection.tableau import ABSENT, FREE, HIGH, LOW, Base, base_of, likely_states, loosened
from hw4opt.terms.base import Array

UNRESTRICTED_ROUNDS = 1  # rounds in which all rows without curvature may change their states
WORST_SHARE = 0.9  # of the worst row's distance: later only rows at least so far off change theirs


@dataclass(frozen=True, eq=False)
class FullFits:
    """The settings of one basis, solved on all rows: w (S, r) and the duals u of all rows (S, m)."""

    form: Form
    w: Array
    u: Array


def from_least_squares(forms: Sequence[Form], nothing: Layout) -> list[FullFits]:
    """The fits of settings on all rows, by rounds from the fit that has every row free.

    nothing    the layout of one fold that holds out no row
    """
    unions = [Union.of(form, nothing) for form in forms]
    tables = [Tables.of(form, union.sizes) for form, union in zip(forms, unions, strict=True)]
    free = [np.full(one.q.shape, FREE, dtype=np.int8) for one in tables]
    unjudged = [np.ones(form.batch) for form in forms]
    base = Base.stack([base_of(*one) for one in zip(forms, unions, tables, free, unjudged, strict=True)])
    task = Task.of(base, unions[0].full, unions[0].have)
    out = Solved.none(task)
    settle(task, out, base.state)
    places = [np.flatnonzero(base.basis == place) for place in range(len(forms))]
    return [
        FullFits(form, out.w[mine, : form.penalty.shape[1]], duals_of(task, out, mine))
        for form, mine in zip(forms, places, strict=True)
    ]


def solve_folds(fits: Sequence[FullFits], layout: Layout) -> list[tuple[Array, Array, np.ndarray]]:
    """For every basis: w (S, F, r), relative gap and rounds (S, F) of every fold; an infinite gap: not found."""
    unions = [Union.of(one.form, layout) for one in fits]
    base = Base.stack([_base(one, union) for one, union in zip(fits, unions, strict=True)])
    task = Task.of(base, unions[0].full, unions[0].have)
    out, start = Solved.none(task), first_states(task)
    left = settle(task, out, start)
    left = left[base.optimal[task.setting[left]]]
    if len(left):
        follow(task, out, left, start[left])
    prove(task, out)
    refine(task, out)
    found, shape = [], (len(base.w), len(task.have))
    for place, one in enumerate(fits):
        mine = base.basis == place
        w, gap, rounds = (array.reshape(*shape, *array.shape[1:])[mine] for array in (out.w, out.gap, out.rounds))
        found.append((w[:, :, : one.w.shape[1]], gap, rounds))
    return found


def _base(fits: FullFits, union: Union) -> Base:
    """At the states of the full fits, as far as their digits tell them: optimal or not, folds start from there."""
    tables = Tables.of(fits.form, union.sizes)
    u = np.zeros(tables.q.shape)
    u[:, union.full] = fits.u
    scale = fits.form.gap_scale(fits.w, np.zeros(len(fits.w)))
    base = base_of(fits.form, union, tables, likely_states(fits.w @ union.a.T, u, union, tables), scale)
    return base if base.good.all() else base_of(fits.form, union, tables, loosened(base, u), scale)


def first_states(task: Task) -> np.ndarray:
    """The full fit's states where the row stays; rows that appear (merged differences) by where their z lies."""
    base, tables, appear = task.base, task.base.tables, ~task.full
    state = np.where(task.have[None], base.state[:, None, :], ABSENT)
    if appear.any():
        z, t = base.z[:, appear], tables.t[:, appear]
        near = np.abs(z - t) <= 1e-10 * base.z_size[:, appear]
        down, up = np.isinf(tables.low[:, appear]) & (z < t), np.isinf(tables.high[:, appear]) & (z > t)
        fresh = np.where(near | down | up, FREE, np.where(z > t, HIGH, LOW))
        state[:, :, appear] = np.where(task.have[None][:, :, appear], fresh[:, None, :], ABSENT)
    return state.reshape(-1, state.shape[2]).astype(np.int8)


def settle(task: Task, out: Solved, start: np.ndarray) -> np.ndarray:
    """Rounds in which every row takes the state it asks for, until none changes; the lines that did not settle."""
    state = start.copy()
    left = np.flatnonzero(task.base.good[task.setting])
    lost = []
    for number in range(1, ROUND_LIMIT + 1):
        still = []
        for lines in task.parts(left, SOLVE_ENTRIES):
            changes = Changes(task, task.setting[lines], state[lines])
            wide = changes.counts > CHANGED_ROWS_LIMIT
            if wide.any():
                lost.append(lines[wide])
                lines = lines[~wide]
                if not len(lines):
                    continue
                changes = Changes(task, task.setting[lines], state[lines])
            y = changes.drivers(changes.gamma[:, None])[:, 0]
            s = changes.s
            x = changes.positions(y, task.base.x.take(s, axis=0), changes.u0, changes.t)
            done = ~_restate(task, changes, x, state, lines, task.base.flat and number > UNRESTRICTED_ROUNDS)
            finish(task, out, lines[done], state[lines[done]], x[done], changes.wide(y)[done], number)
            still.append(lines[~done])
        left = np.concatenate(still) if still else left[:0]
        if not len(left):
            break
    return np.sort(np.concatenate([left, *lost]))


def _restate(task: Task, changes: Changes, x: Array, state: np.ndarray, lines: np.ndarray, worst: bool) -> np.ndarray:
    """Give every row (of those without curvature perhaps only the worst) the state its x asks for; which lines had such
    rows."""
    base, s = task.base, changes.s
    low, high = base.low.take(s, axis=0), base.high.take(s, axis=0)
    low[changes.line, changes.row], high[changes.line, changes.row] = changes.limits()
    under, over = x < low, x > high
    line, row = places(under | over)
    moved = np.zeros(len(lines), dtype=bool)
    moved[line] = True
    now, under = state[lines[line], row], under[line, row]
    if worst and len(line):
        curved = base.tables.q[s[line], row] > 0
        size = np.where((now == FREE) & ~curved, base.u_size[s[line], row], base.z_size[s[line], row])
        off = np.where(under, low[line, row] - x[line, row], x[line, row] - high[line, row]) / size
        flat = np.where(curved, 0.0, off)
        first = np.flatnonzero(np.diff(line, prepend=-1))
        keep = curved | (
            off >= WORST_SHARE * np.repeat(np.maximum.reduceat(flat, first), np.diff(first, append=len(line)))
        )
        line, row, now, under = line[keep], row[keep], now[keep], under[keep]
    state[lines[line], row] = np.where(now == FREE, np.where(under, LOW, HIGH), FREE)
    return moved


def refine(task: Task, out: Solved) -> None:
    """Lines whose states are settled but whose low-rank changes lost digits: solved at those states from their own
    system."""
    for lines in task.parts(np.flatnonzero(np.isfinite(out.gap) & (out.gap > EXACT_GAP)), SOLVE_ENTRIES):
        w, u = _direct(task, lines, out.state[lines])
        gap = gap_of(task, lines, w, u)
        better = gap < out.gap[lines]
        mine = lines[better]
        out.w[mine], out.gap[mine] = w[better], gap[better]


def _direct(task: Task, lines: np.ndarray, state: np.ndarray) -> tuple[Array, Array]:
    """w, u at given states by one bordered system a line, refined once; 0 where it has no solution."""
    s, tables = task.setting[lines], task.base.tables
    a = task.base.a[task.base.basis[s]]
    q, t, low, high = tables.q[s], tables.t[s], tables.low[s], tables.high[s]
    batch, r = len(s), a.shape[2]
    free = state == FREE
    held = free & (q == 0)
    weight = np.where(free & (q > 0), 1.0 / np.where(q > 0, q, 1.0), 0.0)
    end = np.where(state == LOW, low, np.where(state == HIGH, high, 0.0))
    most = int(held.sum(axis=1).max(initial=0))
    line, row = np.nonzero(held)
    column = r + (np.cumsum(held, axis=1) - 1)[line, row]
    matrix, right = np.zeros((batch, r + most, r + most)), np.zeros((batch, r + most))
    for one, rows, of_line in zip(matrix, a, weight, strict=True):
        one[:r, :r] = (rows.T * of_line) @ rows
    np.einsum("bii->bi", matrix)[:, :r] += task.base.penalty[s]
    matrix[line, column, :r] = a[line, row]
    matrix[line, :r, column] = a[line, row]
    np.einsum("bii->bi", matrix)[:, r:] += np.arange(most) >= held.sum(axis=1)[:, None]
    right[:, :r] = np.vecmat(weight * t - end, a)
    right[line, column] = t[line, row]
    root = 1.0 / np.sqrt(np.maximum(np.abs(matrix).max(axis=2), 1e-300))
    matrix = matrix * root[:, :, None] * root[:, None, :]
    try:
        x = np.linalg.solve(matrix, (root * right)[:, :, None])
        x = x + np.linalg.solve(matrix, (root * right)[:, :, None] - matrix @ x)
    except np.linalg.LinAlgError:
        return np.zeros((batch, r)), np.zeros(end.shape)
    x = x[:, :, 0] * root
    w = x[:, :r]
    u = end + weight * (np.matvec(a, w) - t)
    u[line, row] = x[line, column]
    return w, u
