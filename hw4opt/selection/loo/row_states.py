"""The states of rows that a nearly optimal point points to, with no more rows held in E than are independent."""

from __future__ import annotations

import numpy as np

from hw4opt.selection.loo.layout import Tables, Union
from hw4opt.selection.loo.tableau import ABSENT, FREE, HIGH, LOW, FullFitState, largest_dual, reach
from hw4opt.terms.base import Array

DEPENDENT_SHARE = 1e-9  # of a row's square: what is left of it beside other rows of E if it depends on them


def likely_states(z: Array, u: Array, union: Union, tables: Tables) -> np.ndarray:
    """The states of a nearly optimal point: of each row's distances, of z from its breakpoint and of u from its bound,
    the smaller one is taken for 0."""
    apart, whole = z - tables.t, reach(z, union.unit, union.values)
    near = np.abs(apart) / np.maximum(whole, 1e-300) * np.maximum(largest_dual(u, union.unit), 1e-300)
    flat = tables.q == 0
    low = np.where(flat, (apart < 0) & (u - tables.low < near), z < tables.z_low)
    high = np.where(flat, (apart > 0) & (tables.high - u < near), z > tables.z_high)
    state = np.where(low, LOW, np.where(high, HIGH, FREE)).astype(np.int8)
    state[:, ~union.full] = ABSENT
    return state


def drop_dependent_rows(base: FullFitState, u: Array) -> np.ndarray:
    """The states without dependent rows in E: those nearest to a bound of u go there, and those far inside stay."""
    state = base.state.copy()
    for s in np.flatnonzero(~base.good):
        members, a = np.flatnonzero(base.held[s]), base.a[base.basis[s]]
        low, high = base.tables.low[s, members], base.tables.high[s, members]
        room = np.minimum(u[s, members] - low, high - u[s, members])
        h = (a.T * base.weight[s]) @ a + np.diag(base.penalty[s])
        gram = a[members] @ np.linalg.lstsq(h, a[members].T, rcond=None)[0]
        size = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
        keep = _independent(gram * size[:, None] * size, room / max(room.max(initial=0), 1e-300))
        down = ~np.isfinite(high) | (np.isfinite(low) & (u[s, members] - low <= high - u[s, members]))
        state[s, members[~keep]] = np.where(down, LOW, HIGH)[~keep]
    return state


def _independent(gram: Array, priority: Array) -> np.ndarray:
    """A maximal independent set by pivoted Cholesky, highest priority first."""
    left, rows = np.diag(gram).copy(), np.zeros((0, len(gram)))
    keep = np.zeros(len(gram), dtype=bool)
    while (open_ := ~keep & (left > DEPENDENT_SHARE)).any():
        best = int(np.argmax(np.where(open_, left * (priority + 1e-3), -1.0)))
        row = (gram[best] - rows[:, best] @ rows) / np.sqrt(left[best])
        rows = np.vstack([rows, row])
        left = left - row * row
        keep[best] = True
    return keep
