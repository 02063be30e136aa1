"""Exact held-out fits by low-rank changes of the full fit.

A fold takes rows away (and merges differences), after which few rows change state. It is one small system over its changed rows, solved for
many folds of many settings at once; then every row's state is looked at anew until none changes (a primal-dual active set method:
Hintermüller, Ito and Kunisch 2003), and where that does not settle the fold is reached along a path. For squared loss that is the textbook
r_i/(1 - h_ii). The duality gap of every fold is computed from its own rows; what is not exact goes back to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw4opt.form import Form
from hw4opt.selection.follow import follow
from hw4opt.selection.layout import Tables, Union
from hw4opt.selection.lines import CHANGED, EXACT, ROUNDS, Changes, Solved, Task, finish, gap_of
from hw4opt.selection.tableau import ABSENT, FREE, HIGH, LOW, base_of
from hw4opt.terms.base import Array


def run(form: Form, w: Array, duals: Sequence[Array], union: Union) -> tuple[Array, Array, np.ndarray]:
    """w (S, F, r), relative gap and rounds (S, F) of every fold, from the full fits of the settings; an infinite gap: not found."""
    tables = Tables.of(form, union.sizes)
    u = np.zeros(tables.q.shape)
    u[:, union.full] = np.concatenate(duals, axis=1)
    shape = len(w), len(union.have)
    setting, fold = (index.ravel() for index in np.indices(shape))
    task = Task(union, tables, base_of(form, w, u, union, tables), form.w_scale, setting, fold)
    out, start = Solved.of(task), first_states(task)
    left = settle(task, out, start)
    if len(left):
        follow(task, out, left, start[left])
    refine(task, out)
    return out.w.reshape(*shape, -1), out.gap.reshape(shape), out.rounds.reshape(shape)


def first_states(task: Task) -> np.ndarray:
    """The full fit's states where the row stays; rows that appear (merged differences) by where their z lies."""
    union, base, tables = task.union, task.base, task.tables
    state = np.where(union.have[None], base.state[:, None, :], ABSENT)
    appear = ~union.full
    if appear.any():
        z, t = base.z[:, appear], tables.t[:, appear]
        near = np.abs(z - t) <= 1e-10 * np.abs(base.z).max(axis=1, keepdims=True)
        down, up = np.isinf(tables.low[:, appear]) & (z < t), np.isinf(tables.high[:, appear]) & (z > t)
        fresh = np.where(near | down | up, FREE, np.where(z > t, HIGH, LOW))
        state[:, :, appear] = np.where(union.have[None][:, :, appear], fresh[:, None, :], ABSENT)
    return state.reshape(-1, state.shape[2]).astype(np.int8)


def settle(task: Task, out: Solved, start: np.ndarray) -> np.ndarray:
    """Rounds in which every row takes the state it asks for, until none changes; the lines that did not settle."""
    state = start.copy()
    left = np.flatnonzero(task.base.good[task.setting])
    lost = []
    for number in range(1, ROUNDS + 1):
        still = []
        for lines in task.parts(left):
            changes = Changes(task, task.setting[lines], state[lines])
            wide = changes.counts > CHANGED
            if wide.any():
                lost.append(lines[wide])
                lines = lines[~wide]
                changes = Changes(task, task.setting[lines], state[lines])
            y = changes.drivers(changes.gamma[:, None])[:, 0]
            s = changes.s
            x = changes.positions(y, task.base.x[s], changes.u0, changes.t)
            done = ~_restate(task, changes, x, state, lines)
            finish(task, out, lines[done], state[lines[done]], x[done], changes.wide(y)[done], number)
            still.append(lines[~done])
        left = np.concatenate(still) if still else left[:0]
        if not len(left):
            break
    return np.sort(np.concatenate([left, *lost]))


def _restate(task: Task, changes: Changes, x: Array, state: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Give every row the state its x asks for; which lines had such rows."""
    base, s = task.base, changes.s
    low, high = base.low[s], base.high[s]
    low[changes.line, changes.row], high[changes.line, changes.row] = changes.limits()
    under, over = x < low, x > high
    line, row = np.nonzero(under | over)
    now = state[lines[line], row]
    state[lines[line], row] = np.where(now == FREE, np.where(under[line, row], LOW, HIGH), FREE)
    moved = np.zeros(len(lines), dtype=bool)
    moved[line] = True
    return moved


def refine(task: Task, out: Solved) -> None:
    """Lines whose states are settled but whose low-rank changes lost digits: solved at those states from their own system."""
    for lines in task.parts(np.flatnonzero(np.isfinite(out.gap) & (out.gap > EXACT))):
        w, u, sound = _direct(task, lines, out.state[lines])
        gap = gap_of(task, lines, w, u)
        better = sound & (gap < out.gap[lines])
        mine = lines[better]
        out.u[mine], out.w[mine], out.gap[mine] = u[better], w[better], gap[better]


def _direct(task: Task, lines: np.ndarray, state: np.ndarray) -> tuple[Array, Array, np.ndarray]:
    """w, u at given states by one bordered system a line, refined once; and whether u stays inside its box."""
    a, s = task.union.a, task.setting[lines]
    q, t, low, high = task.tables.q[s], task.tables.t[s], task.tables.low[s], task.tables.high[s]
    batch, r = len(s), a.shape[1]
    free = state == FREE
    held = free & (q == 0)
    weight = np.where(free & (q > 0), 1.0 / np.where(q > 0, q, 1.0), 0.0)
    end = np.where(state == LOW, low, np.where(state == HIGH, high, 0.0))
    most = int(held.sum(axis=1).max(initial=0))
    line, row = np.nonzero(held)
    column = r + (np.cumsum(held, axis=1) - 1)[line, row]
    matrix, right = np.zeros((batch, r + most, r + most)), np.zeros((batch, r + most))
    for one, of_line in zip(matrix, weight, strict=True):
        one[:r, :r] = (a.T * of_line) @ a
    np.einsum("bii->bi", matrix)[:, :r] += task.base.penalty[s]
    matrix[line, column, :r] = a[row]
    matrix[line, :r, column] = a[row]
    np.einsum("bii->bi", matrix)[:, r:] += np.arange(most) >= held.sum(axis=1)[:, None]
    right[:, :r] = (weight * t - end) @ a
    right[line, column] = t[line, row]
    root = 1.0 / np.sqrt(np.maximum(np.abs(matrix).max(axis=2), 1e-300))
    matrix = matrix * root[:, :, None] * root[:, None, :]
    try:
        x = np.linalg.solve(matrix, (root * right)[:, :, None])
        x = x + np.linalg.solve(matrix, (root * right)[:, :, None] - matrix @ x)
    except np.linalg.LinAlgError:
        return np.zeros((batch, r)), np.zeros(end.shape), np.zeros(batch, dtype=bool)
    x = x[:, :, 0] * root
    w = x[:, :r]
    u = end + weight * (w @ a.T - t)
    u[line, row] = x[line, column]
    return w, u, (~free | ((u >= low) & (u <= high))).all(axis=1)
