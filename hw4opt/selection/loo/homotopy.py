"""The path from the full fit to a fold, one row's change of state at a time; in between, everything is linear in τ.

What leaves goes on pulling with 1 - τ of its dual, what appears is held back by 1 - τ of its own.
"""

from __future__ import annotations

import numpy as np

from hw4opt.selection.loo.fold_problems import (
    CHANGED_ROWS_LIMIT,
    ROUND_LIMIT,
    SOLVE_ENTRIES,
    Changes,
    FoldProblems,
    Solved,
    store,
)
from hw4opt.selection.loo.tableau import FREE, HIGH, LOW
from hw4opt.terms.base import Array

EVENTS = 60  # changes of state along a path


def follow_homotopy(problems: FoldProblems, out: Solved, lines: np.ndarray, start: np.ndarray) -> None:
    """Solve lines from their first states."""
    state, s, fold = start.copy(), problems.setting[lines], problems.fold[lines]
    tables, have = problems.base.tables, problems.have[fold]
    end = np.where(state == LOW, tables.low[s], np.where(state == HIGH, tables.high[s], 0.0))
    pull = np.where(have & ~problems.full, -end, np.where(have | ~problems.full, 0.0, problems.base.u[s]))
    tau, going = np.zeros(len(lines)), np.arange(len(lines))
    for number in range(EVENTS):
        going = going[(state[going] != problems.base.state[s[going]]).sum(axis=1) <= CHANGED_ROWS_LIMIT]
        if not len(going):
            return
        parts = problems.parts(going, SOLVE_ENTRIES)
        going = np.concatenate([_advance(problems, out, lines, part, (state, pull, tau), number) for part in parts])


def _advance(
    problems: FoldProblems,
    out: Solved,
    lines: np.ndarray,
    part: np.ndarray,
    path: tuple[np.ndarray, Array, Array],
    number: int,
) -> np.ndarray:
    """Every line to its next event, or to the end; those that are not there yet."""
    state, pull, tau = path
    changes = Changes(problems, problems.setting[lines[part]], state[part])
    x, rate, y = _line(problems, changes, pull[part])
    when, row, fresh = _next_event(problems, changes, state[part], x, rate, tau[part])
    done = when >= 1
    rounds = ROUND_LIMIT + 1 + number
    store(problems, out, lines[part[done]], state[part[done]], (x + rate)[done], changes.scatter(y)[done], rounds)
    tau[part] = np.minimum(when, 1.0)
    state[part[~done], row[~done]] = fresh[~done]
    return part[~done]


def _line(problems: FoldProblems, changes: Changes, pull: Array) -> tuple[Array, Array, Array]:
    """Positions at τ = 0 and their rates, and the drivers at τ = 1."""
    mine = pull[changes.line, changes.row]
    moved = np.where(changes.into, 0.0, mine)  # what comes into E is placed, not pulled
    y = changes.drivers(np.stack([changes.gamma - moved, moved], axis=1))
    x = changes.positions(y[:, 0], problems.base.x[changes.s], changes.u0 - mine, changes.t)
    rate = changes.positions(y[:, 1], np.zeros(x.shape), mine, np.zeros(len(mine)))
    return x, rate, y.sum(axis=1)


def _next_event(
    problems: FoldProblems, changes: Changes, state: np.ndarray, x: Array, rate: Array, tau: Array
) -> tuple[Array, np.ndarray, np.ndarray]:
    """The first τ at which a row leaves its state, which row, and the state it goes to."""
    low, high = problems.base.low[changes.s], problems.base.high[changes.s]
    low[changes.line, changes.row], high[changes.line, changes.row] = changes.limits()
    with np.errstate(divide="ignore", invalid="ignore"):
        when = np.where(rate < 0, (low - x) / rate, np.where(rate > 0, (high - x) / rate, np.inf))
    when = np.where(np.isnan(when), np.inf, np.maximum(when, tau[:, None]))
    row = when.argmin(axis=1)
    line = np.arange(len(row))
    fresh = np.where(state[line, row] == FREE, np.where(rate[line, row] < 0, LOW, HIGH), FREE)
    return when[line, row], row, fresh
