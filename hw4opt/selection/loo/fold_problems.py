"""Many folds of many settings at once: each a small system over the rows that differ from the full fit, and its gap."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hw4opt.form.gap_cost import DIFFERENCE_ROUNDING, row_slack, stationarity_cost
from hw4opt.selection.loo.tableau import FREE, HIGH, LOW, FullFitState, limits
from hw4opt.terms.base import Array

ROUND_LIMIT = 30  # in which rows take the states they ask for, before a fold is reached along its path
CHANGED_ROWS_LIMIT = 64  # rows of one fold that may differ from the full fit before it goes to the general solver
# folds with about as many changed rows are solved together
SYSTEM_SIZES = (0, 4, 8, 12, 16, 24, 32, 48, CHANGED_ROWS_LIMIT)
# folds × rows that are solved, and proven, together: arrays that stay in a core's cache
SOLVE_ENTRIES, PROVE_ENTRIES = 64_000, 16_000
# of a violated constraint, in units of the largest |u|: violations of settled folds are hardly more than rounding
VIOLATION_PRICE = 10.0
BREAKPOINT_WIDTH = 1e-13  # of a row's |z|: on its breakpoint


@dataclass(frozen=True, eq=False)
class FoldProblems:
    """The full fits, and the lines to solve from them: every fold of every setting, setting by setting."""

    base: FullFitState
    full: np.ndarray  # (M,) bool: the full data have the row
    have: np.ndarray  # (F, M) bool: the fold has it
    setting: np.ndarray  # (L,)
    fold: np.ndarray

    @classmethod
    def of(cls, base: FullFitState, full: np.ndarray, have: np.ndarray) -> FoldProblems:
        return cls(base, full, have, *(index.ravel() for index in np.indices((len(base.w), len(have)))))

    def parts(self, lines: np.ndarray, most: int) -> Iterator[np.ndarray]:
        """The lines in runs of at most so many rows."""
        step = max(16, most // len(self.full))
        return (lines[low : low + step] for low in range(0, len(lines), step))


@dataclass(frozen=True, eq=False)
class Solved:
    """Every line: w (L, r), rounds needed (0: not found), states and positions x of all rows, relative gap."""

    w: Array
    rounds: np.ndarray
    state: np.ndarray
    x: Array
    gap: Array

    @classmethod
    def none(cls, problems: FoldProblems) -> Solved:
        lines, size = len(problems.setting), len(problems.full)
        return cls(
            w=np.zeros((lines, problems.base.w.shape[1])),
            rounds=np.zeros(lines, dtype=int),
            state=np.zeros((lines, size), dtype=np.int8),
            x=np.zeros((lines, size)),
            gap=np.full(lines, np.inf),
        )


class Changes:
    """The rows of some lines that differ from the full fit, and the drivers y that put them where their states ask.

    On each changed row α·y + β·response = γ, the response being that of z, or in E of minus the multiplier:

    held before, now at a bound:      response - stiff·y = u₀ - bound
    at a bound or absent, now held:   response = t - z₀
    curved and free now:              y + response/q = u₀ - (z₀ - t)/q
    else:                             y - weight·response = u₀ - bound
    """

    def __init__(self, problems: FoldProblems, s: np.ndarray, state: np.ndarray) -> None:
        base, tables = problems.base, problems.base.tables
        self.base, self.s = base, s
        self.line, self.row = line, row = nonzero_fast(state != base.state.take(s, axis=0))
        self.at = at = s[line]
        self.now = state[line, row]
        self.q, self.t = tables.q[at, row], tables.t[at, row]
        self.ends = tables.low[at, row], tables.high[at, row]
        self.z_ends = tables.z_low[at, row], tables.z_high[at, row]
        self.held, self.u0, self.z0 = base.held[at, row], base.u[at, row], base.z[at, row]
        self.free = self.now == FREE
        curved = self.free & (self.q > 0)
        self.into = self.free & ~curved  # rows that come into E
        self.end = np.where(self.now == LOW, self.ends[0], np.where(self.now == HIGH, self.ends[1], 0.0))
        rate = np.where(curved, 1.0 / np.where(self.q > 0, self.q, 1.0), 0.0)
        self.alpha = np.where(self.held, -base.stiff[at, 0], np.where(self.into, 0.0, 1.0))
        self.beta = np.where(self.held, -1.0, np.where(self.into, 1.0, np.where(curved, rate, -base.weight[at, row])))
        apart = self.t - self.z0
        self.gamma = np.where(curved, self.u0 + apart * rate, np.where(self.into, apart, self.u0 - self.end))

    @property
    def counts(self) -> np.ndarray:
        return np.bincount(self.line, minlength=len(self.s))

    def drivers(self, gamma: Array) -> Array:
        """y of every changed row for right sides γ (rows, c)."""
        counts = self.counts
        first = np.cumsum(counts) - counts
        y = np.zeros(gamma.shape)
        for above, most in pairwise(SYSTEM_SIZES):
            mine = np.flatnonzero((counts > above) & (counts <= most))
            if not len(mine):
                continue
            places = np.arange(counts[mine].max())
            real = places < counts[mine][:, None]
            take = np.where(real, first[mine][:, None] + places, first[mine][:, None])
            matrix = self.base.entries(self.s[mine], self.row[take])
            matrix *= np.where(real, self.beta[take], 0.0)[:, :, None]
            np.einsum("bii->bi", matrix)[:] += np.where(real, self.alpha[take], 1.0)
            y[take[real]] = _solve(matrix, np.where(real[:, :, None], gamma[take], 0.0))[real]
        return y

    def scatter(self, y: Array) -> Array:
        """The drivers among all rows, (b, M)."""
        found = np.zeros((len(self.s), self.base.x.shape[1]))
        found[self.line, self.row] = y
        return found

    def positions(self, y: Array, x0: Array, u0: Array, t: Array) -> Array:
        """x of all rows, (b, M): from x₀, and on changed rows that leave or come into E from t and u₀."""
        x = x0 + groupwise(self.s, self.scatter(y), self.base.move)
        special = (self.held & ~self.free) | (self.into & ~self.held)
        x[self.line[special], self.row[special]] = np.where(self.held, t + y, u0 - y)[special]
        return x

    def limits(self) -> tuple[Array, Array]:
        """What x of the changed rows has to lie between."""
        return limits(self.now, self.q, self.ends, self.z_ends, self.base.slack[self.at, self.row])


def nonzero_fast(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """np.nonzero of a mask (b, M) with few True, eight times as fast."""
    line, row = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return line, row


def groupwise(s: np.ndarray, y: Array, act: Callable[[int, Array], Array]) -> Array:
    """`act(s, its lines of y)` of every run of equal s, one after the other."""
    cuts = [0, *(np.flatnonzero(np.diff(s)) + 1).tolist(), len(s)]
    parts = [act(int(s[low]), y[low:high]) for low, high in pairwise(cuts) if high > low]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _solve(matrix: Array, right: Array) -> Array:
    """0 where a system has no solution: the gap of such a fold is no proof, and it goes back to the caller."""
    with contextlib.suppress(np.linalg.LinAlgError):
        return np.linalg.solve(matrix, right)
    matrix = matrix + 1e-13 * np.abs(matrix).max(axis=(1, 2), keepdims=True) * np.eye(matrix.shape[1])
    found = np.zeros_like(right)
    for place, (one, side) in enumerate(zip(matrix, right, strict=True)):
        with contextlib.suppress(np.linalg.LinAlgError):
            found[place] = np.linalg.solve(one, side)
    return found


def store(
    problems: FoldProblems, out: Solved, lines: np.ndarray, state: np.ndarray, x: Array, y: Array, number: int
) -> None:
    """Keep lines that settled at these states, positions and drivers."""
    if len(lines):
        s, p = problems.setting[lines], problems.base.p
        out.w[lines] = problems.base.w[s] + groupwise(s, y, lambda one, part: part @ p[one])
        out.state[lines], out.x[lines], out.rounds[lines] = state, x, number


def prove(problems: FoldProblems, out: Solved) -> None:
    """Gaps of all lines that settled."""
    for lines in problems.parts(np.flatnonzero(out.rounds), PROVE_ENTRIES):
        out.gap[lines] = gap_of(problems, lines, out.w[lines], duals_of(problems, out, lines))


def duals_of(problems: FoldProblems, out: Solved, lines: np.ndarray) -> Array:
    """u of all rows, from their states and positions."""
    tables, s, x = problems.base.tables, problems.setting[lines], out.x[lines]
    q, t, low, high = (one.take(s, axis=0) for one in (tables.q, tables.t, tables.low, tables.high))
    if not problems.base.flat:
        return np.minimum(np.maximum((x - t) / q, low), high) * problems.have.take(problems.fold[lines], axis=0)
    state = out.state[lines]
    inside = np.where(q > 0, (x - t) / np.where(q > 0, q, 1.0), x)
    return np.where(state == FREE, inside, np.where(state == LOW, low, np.where(state == HIGH, high, 0.0)))


def gap_of(problems: FoldProblems, lines: np.ndarray, w: Array, u: Array) -> Array:
    """Duality gap at (w, u) over the fold's own rows, relative to what the full fit of its setting explains."""
    base, s = problems.base, problems.setting[lines]
    basis = base.basis[s]
    q, t, low, high = (one.take(s, axis=0) for one in (base.tables.q, base.tables.t, base.tables.low, base.tables.high))
    u = np.minimum(np.maximum(u, low), high)  # beyond its box f*(u) is infinite, however near the breakpoint z is
    z = groupwise(basis, w, lambda g, part: part @ base.a[g].T)
    v = z - t
    p = _slopes(base, v, q, z, u, base.reach(basis, z))
    p = np.minimum(np.maximum(p, low, out=p), high, out=p)
    slack = row_slack(p, u, v, q, VIOLATION_PRICE * np.maximum(np.abs(u).max(axis=1, keepdims=True), base.u_scale[s]))
    slack *= problems.have.take(problems.fold[lines], axis=0)
    penalty = base.penalty[s]
    residual = penalty * w + groupwise(basis, u, lambda g, part: part @ base.a[g])
    return (slack.sum(axis=1) + stationarity_cost(penalty, residual, w, base.w_scale[s])) / base.gap_scale[s]


def _slopes(base: FullFitState, v: Array, q: Array, z: Array, u: Array, reach: Array) -> Array:
    """v/q; where q = 0, infinite beside the breakpoint, and within rounding of it the slope by which v costs |u v|."""
    if not base.flat:
        return v / q
    on = np.abs(v) <= np.maximum(BREAKPOINT_WIDTH * np.abs(z), DIFFERENCE_ROUNDING * reach)
    beside = np.where(v > 0, np.inf, -np.inf)
    return np.where(q > 0, v / np.where(q > 0, q, 1.0), np.where(on, u + np.copysign(u, v), beside))
