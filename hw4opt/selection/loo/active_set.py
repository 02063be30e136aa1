"""Exact held-out fits by low-rank changes of the full fit.

A fold takes rows away (and merges differences), after which few rows change state. It is one small system over its
changed rows, solved for many folds of many settings at once; then the state of every row is computed again, until none
changes (primal-dual active-set iterations: Hintermüller, Ito and Kunisch 2003). Where these do not settle, the fold is
reached along a homotopy. For squared loss that is the textbook r_i/(1 - h_ii). The duality gap of every fold is
computed from its own rows; what is not exact goes back to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form
from hw4opt.selection.fold_fits import EXACT_GAP, FoldFits
from hw4opt.selection.loo.fold_problems import (
    CHANGED_ROWS_LIMIT,
    ROUND_LIMIT,
    SOLVE_ENTRIES,
    Changes,
    FoldProblems,
    Solved,
    duals_of,
    gap_of,
    nonzero_fast,
    prove,
    store,
)
from hw4opt.selection.loo.homotopy import follow_homotopy
from hw4opt.selection.loo.layout import Layout, Tables, Union
from hw4opt.selection.loo.row_states import drop_dependent_rows, likely_states
from hw4opt.selection.loo.tableau import ABSENT, FREE, HIGH, LOW, FullFitState, state_of
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
    base = FullFitState.stack([state_of(*one) for one in zip(forms, unions, tables, free, unjudged, strict=True)])
    problems = FoldProblems.of(base, unions[0].full, unions[0].have)
    out = Solved.none(problems)
    active_set_iterations(problems, out, base.state)
    places = [np.flatnonzero(base.basis == place) for place in range(len(forms))]
    return [
        FullFits(form, out.w[mine, : form.penalty.shape[1]], duals_of(problems, out, mine))
        for form, mine in zip(forms, places, strict=True)
    ]


def solve_folds(fits: Sequence[FullFits], layout: Layout) -> list[FoldFits]:
    """The fits of every fold, basis by basis."""
    unions = [Union.of(one.form, layout) for one in fits]
    base = FullFitState.stack([_base(one, union) for one, union in zip(fits, unions, strict=True)])
    problems = FoldProblems.of(base, unions[0].full, unions[0].have)
    out, start = Solved.none(problems), first_states(problems)
    left = active_set_iterations(problems, out, start)
    left = left[base.optimal[problems.setting[left]]]
    if len(left):
        follow_homotopy(problems, out, left, start[left])
    prove(problems, out)
    refine(problems, out)
    found, shape = [], (len(base.w), len(problems.have))
    for place, one in enumerate(fits):
        mine = base.basis == place
        w, gap, rounds = (array.reshape(*shape, *array.shape[1:])[mine] for array in (out.w, out.gap, out.rounds))
        found.append(FoldFits(w[:, :, : one.w.shape[1]], gap, rounds))
    return found


def _base(fits: FullFits, union: Union) -> FullFitState:
    """At the states of the full fits, as far as their digits tell them: optimal or not, folds start from there."""
    tables = Tables.of(fits.form, union.sizes)
    u = np.zeros(tables.q.shape)
    u[:, union.full] = fits.u
    scale = fits.form.gap_scale(fits.w, np.zeros(len(fits.w)))
    base = state_of(fits.form, union, tables, likely_states(fits.w @ union.a.T, u, union, tables), scale)
    return base if base.good.all() else state_of(fits.form, union, tables, drop_dependent_rows(base, u), scale)


def first_states(problems: FoldProblems) -> np.ndarray:
    """The full fit's states where the row stays; rows that appear (merged differences) by where their z lies."""
    base, tables, appear = problems.base, problems.base.tables, ~problems.full
    state = np.where(problems.have[None], base.state[:, None, :], ABSENT)
    if appear.any():
        z, t = base.z[:, appear], tables.t[:, appear]
        near = np.abs(z - t) <= 1e-10 * base.z_size[:, appear]
        down, up = np.isinf(tables.low[:, appear]) & (z < t), np.isinf(tables.high[:, appear]) & (z > t)
        fresh = np.where(near | down | up, FREE, np.where(z > t, HIGH, LOW))
        state[:, :, appear] = np.where(problems.have[None][:, :, appear], fresh[:, None, :], ABSENT)
    return state.reshape(-1, state.shape[2]).astype(np.int8)


def active_set_iterations(problems: FoldProblems, out: Solved, start: np.ndarray) -> np.ndarray:
    """Rounds in which every row takes the state it asks for, until none changes; the lines that did not settle."""
    state = start.copy()
    left = np.flatnonzero(problems.base.good[problems.setting])
    lost = []
    for number in range(1, ROUND_LIMIT + 1):
        still = []
        for lines in problems.parts(left, SOLVE_ENTRIES):
            changes = Changes(problems, problems.setting[lines], state[lines])
            wide = changes.counts > CHANGED_ROWS_LIMIT
            if wide.any():
                lost.append(lines[wide])
                lines = lines[~wide]
                if not len(lines):
                    continue
                changes = Changes(problems, problems.setting[lines], state[lines])
            y = changes.drivers(changes.gamma[:, None])[:, 0]
            s = changes.s
            x = changes.positions(y, problems.base.x.take(s, axis=0), changes.u0, changes.t)
            worst = problems.base.flat and number > UNRESTRICTED_ROUNDS
            done = ~_change_states(problems, changes, x, state, lines, worst)
            store(problems, out, lines[done], state[lines[done]], x[done], changes.scatter(y)[done], number)
            still.append(lines[~done])
        left = np.concatenate(still) if still else left[:0]
        if not len(left):
            break
    return np.sort(np.concatenate([left, *lost]))


def _change_states(
    problems: FoldProblems, changes: Changes, x: Array, state: np.ndarray, lines: np.ndarray, worst: bool
) -> np.ndarray:
    """Give every row the state that its x asks for; the lines in which one changes.

    worst    of the rows without curvature, only the worst ones change
    """
    base, s = problems.base, changes.s
    low, high = base.low.take(s, axis=0), base.high.take(s, axis=0)
    low[changes.line, changes.row], high[changes.line, changes.row] = changes.limits()
    under, over = x < low, x > high
    line, row = nonzero_fast(under | over)
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


def refine(problems: FoldProblems, out: Solved) -> None:
    """Solve lines whose low-rank changes lost digits from their own system, at the states they settled at."""
    for lines in problems.parts(np.flatnonzero(np.isfinite(out.gap) & (out.gap > EXACT_GAP)), SOLVE_ENTRIES):
        w, u = _direct(problems, lines, out.state[lines])
        gap = gap_of(problems, lines, w, u)
        better = gap < out.gap[lines]
        mine = lines[better]
        out.w[mine], out.gap[mine] = w[better], gap[better]


def _direct(problems: FoldProblems, lines: np.ndarray, state: np.ndarray) -> tuple[Array, Array]:
    """w, u at given states by one bordered system a line, refined once; 0 where it has no solution."""
    s, tables = problems.setting[lines], problems.base.tables
    a = problems.base.a[problems.base.basis[s]]
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
    np.einsum("bii->bi", matrix)[:, :r] += problems.base.penalty[s]
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
