"""Exact held-out fits by low-rank changes of the full fit.

At the full optimum every row is in one of three states: u at its low end, at its high end, or free. A free row with curvature (q > 0)
has u = (z - t)/q, a free row without has z = t (the set E). A fold takes rows away (and merges differences), after which few rows change
state. With H = P + Σ_{free, q>0} a aᵀ/q, and E held by its multipliers, the response of every row to a change of a few is
known from r-vectors,

    δw = Σ_{j changed} y_j p_j,      p_j = (H⁻¹ - H⁻¹A_EᵀR A_E H⁻¹) a_j,   or  p_j = H⁻¹A_EᵀR e_j  for j in E,      R = (A_E H⁻¹ A_Eᵀ)⁻¹,

so a fold is one small system over its changed rows, solved for all folds of all settings at once, then every row's state is looked at anew
until none changes (a primal-dual active set method: Hintermüller, Ito and Kunisch 2003). For squared loss that is the textbook
r_i/(1 - h_ii). The duality gap of every fold is computed from its own rows; what is not exact goes back to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form, Sheet
from hw4opt.terms.base import Array

ABSENT, LOW, FREE, HIGH = 0, 1, 2, 3
ROUNDS = 5
EVENTS = 60  # changes of state along a path
CHANGED = 40  # rows of one fold that may differ from the full fit before it goes to the general solver
EXACT = 1e-12  # relative gap of a fold that counts as exact
SPREAD = 1e11  # of the pivots of A_E H⁻¹ A_Eᵀ: beyond it the rows of E depend on each other


@dataclass(frozen=True, eq=False)
class Folds:
    """What all settings share: the union of every fold's rows A (M, r), and which rows the full fit and each fold have."""

    a: Array
    sizes: tuple[int, ...]  # rows of each piece
    full: np.ndarray  # (M,) bool
    have: np.ndarray  # (F, M) bool
    loss: np.ndarray  # (M,) data row of a loss row, -1 elsewhere

    def where(self, held: np.ndarray) -> np.ndarray:
        """The union's rows that hold the losses of these data rows (loss rows come first)."""
        return held


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows' tables of S settings, (S, M) each (infinite where unbounded)."""

    q: Array
    t: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Base:
    """The full fits: states, z, u, and the response vectors p of every row; (S, M) and (S, M, r)."""

    state: np.ndarray
    z: Array
    u: Array
    weight: Array  # 1/q on free rows with curvature
    p: Array
    g: Array  # (S, e, r) R A_E H⁻¹, padded
    held: np.ndarray  # (S, M) bool: the row is in E
    place: np.ndarray  # (S, M) its place in E
    r_e: Array  # (S, e, e) R, padded
    good: np.ndarray  # (S,) the response could be computed


def union_of(form: Form) -> Folds:
    """From the form of one setting with every fold."""
    a = np.concatenate([piece.chunk.matrix for piece in form.pieces])
    have = np.concatenate([np.broadcast_to(_active(piece.sheet), (form.batch, len(piece.chunk))) > 0 for piece in form.pieces], axis=1)
    full, loss = [], []
    for piece in form.pieces:
        index = piece.chunk.rows.index
        size, block = len(piece.chunk), form.blocks[piece.block]
        merged = np.zeros(size, dtype=bool) if block.is_loss or index is None else index[:, -1] - index[:, 0] >= index.shape[1]
        full.append(~merged)
        loss.append(np.arange(size) if block.is_loss else np.full(size, -1))
    return Folds(a, tuple(len(piece.chunk) for piece in form.pieces), np.concatenate(full), have, np.concatenate(loss))


def _active(sheet: Sheet | None) -> Array:
    return np.ones((1, 1)) if sheet is None or sheet.active is None else sheet.active


def run(settings: Form, w: Array, duals: Sequence[Array], folds: Folds) -> Solved:
    """Every fold of every setting, from the full fits (w, duals) of the settings."""
    rows = _rows_of(settings, folds)
    base = _base_of(w, duals, folds, rows, settings.penalty)
    return solve_folds(folds, rows, base, w, settings.penalty)


def _rows_of(settings: Form, folds: Folds) -> Rows:
    """Tables of every setting over the union of rows: the sheets of the full forms, those of differences widened to the merged rows."""
    batch = settings.batch

    def wide(name: str, none: float) -> Array:
        parts = []
        for piece, size in zip(settings.pieces, folds.sizes, strict=True):
            array = getattr(piece.sheet, name)
            array = np.full((batch, 1), none) if array is None else array
            parts.append(np.broadcast_to(array, (batch, size)))
        return np.concatenate(parts, axis=1)

    active = wide("active", 1.0)
    low, high = wide("low", -np.inf), wide("high", np.inf)
    return Rows(wide("quadratic", 0.0), wide("shift", 0.0), np.where(active > 0, low, 0.0), np.where(active > 0, high, 0.0))


def _base_of(w: Array, duals: Sequence[Array], folds: Folds, rows: Rows, penalty: Array) -> Base:
    """States and responses of the full fits."""
    a, full = folds.a, folds.full
    count, size, r = len(rows.q), *a.shape
    z = w @ a.T
    v = z - rows.t
    u = np.zeros((count, size))
    u[:, full] = np.concatenate(duals, axis=1)
    state = np.where(u <= rows.low, LOW, np.where(u >= rows.high, HIGH, FREE))
    state[:, ~full] = ABSENT
    free = state == FREE
    curved = free & (rows.q > 0)
    weight = np.where(curved, 1.0 / np.where(rows.q > 0, rows.q, 1.0), 0.0)
    u = np.where(curved, v * weight, u)
    held = free & (rows.q == 0)
    h = (
        (weight @ (a[:, :, None] * a[:, None, :]).reshape(size, -1)).reshape(count, r, r)
        if count > 4
        else np.matmul(a.T * weight[:, None, :], a)
    )
    np.einsum("bii->bi", h)[:] += penalty
    root = 1.0 / np.sqrt(np.einsum("bii->bi", h))
    inverse = np.linalg.inv(h * root[:, :, None] * root[:, None, :]) * root[:, :, None] * root[:, None, :]
    inverse = 0.5 * (inverse + inverse.transpose(0, 2, 1))
    place = np.cumsum(held, axis=1) - 1
    most = int(held.sum(axis=1).max(initial=0))
    good = np.isfinite(inverse).all(axis=(1, 2))
    p = a @ inverse
    g, r_e = np.zeros((count, most, r)), np.zeros((count, most, most))
    if most:
        r_e, g, p, good = _hold(a, inverse, p, held, place, most, good)
    return Base(state, z, u, weight, p, g, held, np.maximum(place, 0), r_e, good)


def _hold(
    a: Array, inverse: Array, p: Array, held: np.ndarray, place: np.ndarray, most: int, good: np.ndarray
) -> tuple[Array, Array, Array, np.ndarray]:
    """R, g and the responses p with the rows of E held at z = t."""
    count, _, r = p.shape
    setting, row = np.nonzero(held)
    a_e = np.zeros((count, most, r))
    a_e[setting, place[setting, row]] = a[row]
    b = np.matmul(a_e, inverse)
    s = np.matmul(b, a_e.transpose(0, 2, 1))
    empty = np.arange(most) >= held.sum(axis=1)[:, None]
    np.einsum("bii->bi", s)[:] += empty * np.maximum(np.einsum("bii->bi", s).max(axis=1), 1e-300)[:, None]
    scale = 1.0 / np.sqrt(np.einsum("bii->bi", s))
    scaled = s * scale[:, :, None] * scale[:, None, :]
    values = np.linalg.eigvalsh(scaled)
    good = good & (values[:, 0] * SPREAD > values[:, -1]) & (held.sum(axis=1) <= r)
    scaled = np.where(good[:, None, None], scaled, np.eye(most))
    r_e = np.linalg.inv(scaled) * scale[:, :, None] * scale[:, None, :]
    g = np.matmul(r_e, b)
    p = p - np.matmul(np.matmul(a, b.transpose(0, 2, 1)), g)
    p[setting, row] = g[setting, place[setting, row]]
    return r_e, g, p, good


@dataclass(frozen=True, eq=False)
class Solved:
    """Every fold of every setting: z of the union's rows (S, F, M), relative gaps (S, F), and the rounds that were needed."""

    z: Array
    gap: Array
    rounds: np.ndarray
    w: Array
    u: Array
    state: np.ndarray


def solve_folds(folds: Folds, rows: Rows, base: Base, w: Array, penalty: Array) -> Solved:
    """All folds of all settings: a few rounds in which every row takes the state it asks for, then the path for what did not settle."""
    count, size = base.z.shape
    every = len(folds.have)
    setting, fold = (index.ravel() for index in np.indices((count, every)))
    out = Solved(
        np.empty((count * every, size)),
        np.full(count * every, np.inf),
        np.zeros(count * every, dtype=int),
        np.empty((count * every, w.shape[1])),
        np.zeros((count * every, size)),
        np.zeros((count * every, size), dtype=np.int8),
    )
    start = _first_states(folds, base, rows).reshape(-1, size)
    state, left = start.copy(), np.flatnonzero(base.good[setting])
    for number in range(1, ROUNDS + 1):
        left = left[(state[left] != base.state[setting[left]]).sum(axis=1) <= CHANGED]
        if not len(left):
            break
        s, now = setting[left], state[left]
        z, u, delta = _Response(folds, rows, base, s, now).at_end()
        fresh = _classify(rows, s, now, z, u)
        still = (fresh == now).all(axis=1)
        out.state[left] = fresh
        _store(out, folds, rows, penalty, left[still], s[still], fold[left[still]], w, z[still], u[still], delta[still], number)
        state[left] = fresh
        left = left[~still]
    left = np.flatnonzero(base.good[setting] & ~(out.gap <= EXACT))
    if len(left):
        _follow(out, folds, rows, base, w, penalty, left, setting[left], fold[left], start[left])
    _refine(out, folds, rows, penalty, setting, fold)
    shape = (count, every)
    return Solved(*(array.reshape(*shape, *array.shape[1:]) for array in (out.z, out.gap, out.rounds, out.w, out.u, out.state)))


def _refine(out: Solved, folds: Folds, rows: Rows, penalty: Array, setting: np.ndarray, fold: np.ndarray) -> None:
    """Folds whose states are settled but whose low-rank changes lost digits: solved at those states from their own system."""
    weak = np.flatnonzero(np.isfinite(out.gap) & (out.gap > EXACT))
    for low in range(0, len(weak), 500):
        place = weak[low : low + 500]
        s = setting[place]
        w, z, u, sound = _direct(folds, rows, penalty[s], s, out.state[place])
        gap = _gap(folds, rows, penalty, s, w, z, u, fold[place])
        better = sound & (gap < out.gap[place])
        mine = place[better]
        out.z[mine], out.u[mine], out.w[mine], out.gap[mine] = z[better], u[better], w[better], gap[better]


def _direct(folds: Folds, rows: Rows, penalty: Array, s: np.ndarray, state: np.ndarray) -> tuple[Array, Array, Array, np.ndarray]:
    """w, z, u at given states by one bordered system a fold, refined once; and whether u stays inside its box."""
    a, q, t = folds.a, rows.q[s], rows.t[s]
    batch, size, r = len(s), *a.shape
    free = state == FREE
    curved = free & (q > 0)
    held = free & (q == 0)
    weight = np.where(curved, 1.0 / np.where(q > 0, q, 1.0), 0.0)
    end = np.where(state == LOW, rows.low[s], np.where(state == HIGH, rows.high[s], 0.0))
    most = int(held.sum(axis=1).max(initial=0))
    line, row = np.nonzero(held)
    column = (np.cumsum(held, axis=1) - 1)[line, row]
    matrix = np.zeros((batch, r + most, r + most))
    for i in range(batch):
        matrix[i, :r, :r] = (a.T * weight[i]) @ a
    np.einsum("bii->bi", matrix)[:, :r] += penalty
    matrix[line, r + column, :r] = a[row]
    matrix[line, :r, r + column] = a[row]
    np.einsum("bii->bi", matrix)[:, r:] += np.arange(most) >= held.sum(axis=1)[:, None]
    right = np.zeros((batch, r + most))
    right[:, :r] = (weight * t - end) @ a
    right[line, r + column] = t[line, row]
    root = 1.0 / np.sqrt(np.maximum(np.abs(matrix).max(axis=2), 1e-300))
    matrix = matrix * root[:, :, None] * root[:, None, :]
    try:
        x = np.linalg.solve(matrix, (root * right)[:, :, None])
        x = x + np.linalg.solve(matrix, (root * right)[:, :, None] - matrix @ x)
    except np.linalg.LinAlgError:
        return np.zeros((batch, r)), np.zeros((batch, size)), np.zeros((batch, size)), np.zeros(batch, dtype=bool)
    x = x[:, :, 0] * root
    w = x[:, :r]
    z = w @ a.T
    u = end + weight * (z - t)
    u[line, row] = x[line, r + column]
    inside = ~free | ((u >= rows.low[s]) & (u <= rows.high[s]))
    return w, z, u, inside.all(axis=1)


def _store(
    out: Solved, folds: Folds, rows: Rows, penalty: Array, place: np.ndarray, s: np.ndarray, f: np.ndarray, w: Array, z: Array, u: Array,
    delta: Array, number: int,
) -> None:  # fmt: skip
    if not len(place):
        return
    out.z[place], out.u[place], out.w[place], out.rounds[place] = z, u, w[s] + delta, number
    out.gap[place] = _gap(folds, rows, penalty, s, out.w[place], z, u, f)


def _first_states(folds: Folds, base: Base, rows: Rows) -> np.ndarray:
    """The full fit's states where the row stays; rows that appear (merged differences) by where their z lies."""
    state = np.where(folds.have[None], base.state[:, None, :], ABSENT)
    v = base.z - rows.t
    near = np.abs(v) <= 1e-10 * np.abs(base.z[:, folds.loss >= 0]).max(axis=1, keepdims=True)
    appear = np.where(near | (np.isinf(rows.low) & (v < 0)) | (np.isinf(rows.high) & (v > 0)), FREE, np.where(v > 0, HIGH, LOW))
    return np.where((folds.have & ~folds.full)[None], appear[:, None, :], state)


def _follow(
    out: Solved, folds: Folds, rows: Rows, base: Base, w: Array, penalty: Array, left: np.ndarray, setting: np.ndarray, fold: np.ndarray,
    state: np.ndarray,
) -> None:  # fmt: skip
    """The path from the full fit to the fold, one row's change of state at a time; in between z and u are linear in τ.

    What leaves goes on pulling with 1 - τ of its dual, what appears is held back by 1 - τ of its own.
    """
    state = state.copy()
    appear = folds.have[fold] & ~folds.full
    end = np.where(state == LOW, rows.low[setting], np.where(state == HIGH, rows.high[setting], 0.0))
    pull = np.where(appear, -end, np.where(folds.have[fold] | ~folds.full, 0.0, base.u[setting]))
    tau, going = np.zeros(len(left)), np.arange(len(left))
    for number in range(EVENTS):
        going = going[(state[going] != base.state[setting[going]]).sum(axis=1) <= CHANGED]
        if not len(going):
            return
        s, now = setting[going], state[going]
        z, u, delta, z_rate, u_rate, delta_rate = _Response(folds, rows, base, s, now, pull[going]).along()
        out.state[left[going]] = now
        event, row, fresh = _next_event(rows, s, now, z, u, z_rate, u_rate, tau[going])
        done = event >= 1
        _store(
            out, folds, rows, penalty, left[going[done]], s[done], fold[going[done]], w, (z + z_rate)[done], (u + u_rate)[done],
            (delta + delta_rate)[done], ROUNDS + number,
        )  # fmt: skip
        tau[going] = np.minimum(event, 1.0)
        going = going[~done]
        state[going, row[~done]] = fresh[~done]


def _next_event(
    rows: Rows, s: np.ndarray, now: np.ndarray, z: Array, u: Array, z_rate: Array, u_rate: Array, tau: Array
) -> tuple[Array, np.ndarray, np.ndarray]:
    """The first τ at which a row leaves its state, which row, and the state it goes to."""
    low, high, q, t = rows.low[s], rows.high[s], rows.q[s], rows.t[s]
    free = now == FREE
    edge = np.where(now == LOW, np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0))
    v, here = z - t - q * edge, tau[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.where(free & (u_rate < 0), (low - u) / u_rate, np.inf)
        up = np.where(free & (u_rate > 0), (high - u) / u_rate, np.inf)
        off = np.where(((now == LOW) & (z_rate > 0)) | ((now == HIGH) & (z_rate < 0)), -v / z_rate, np.inf)
    when = np.minimum(np.minimum(down, up), off)
    when = np.where(np.isnan(when), np.inf, np.maximum(when, here))
    row = when.argmin(axis=1)
    line = np.arange(len(row))
    fresh = np.where(now[line, row] == FREE, np.where(down[line, row] <= up[line, row], LOW, HIGH), FREE)
    return when[line, row], row, fresh


class _Response:
    """z, u of every row and δw as functions of the changed rows' right sides: α·driver + β·response = γ on each changed row.

    held before, now at an end:           response (c) = u₀ - end              at an end or absent, now held:   response = t - z₀
    curved and free now:    driver + response/q = u₀ - (z₀ - t)/q              else:      driver - weight·response = u₀ - end
    """

    def __init__(self, folds: Folds, rows: Rows, base: Base, s: np.ndarray, now: np.ndarray, pull: Array | None = None) -> None:
        self.folds, self.rows, self.base, self.s, self.now = folds, rows, base, s, now
        self.pull = pull
        self.changed = changed = now != base.state[s]
        batch, width = len(now), max(int(changed.sum(axis=1).max()), 1)
        self.line, self.row = line, row = np.nonzero(changed)
        self.column = column = (np.cumsum(changed, axis=1) - 1)[line, row]
        at = s[line]
        self.held = held = base.held[at, row]
        self.place = base.place[at, row]
        state, q = now[line, row], rows.q[at, row]
        free = state == FREE
        curved = free & (q > 0)
        inverse_q = np.where(curved, 1.0 / np.where(q > 0, q, 1.0), 0.0)
        flat = held | (free & ~curved)
        alpha, beta = np.where(flat, 0.0, 1.0), np.where(flat, 1.0, np.where(curved, inverse_q, -base.weight[at, row]))
        end = np.select([state == LOW, state == HIGH], [rows.low[at, row], rows.high[at, row]], 0.0)
        u0, apart = base.u[at, row], rows.t[at, row] - base.z[at, row]
        self.gamma = np.where(curved, u0 + apart * inverse_q, np.where(free, apart, u0 - end))
        self.moving = ~free | curved  # rows whose right side a pull enters
        self.a, self.p = np.zeros((batch, width, folds.a.shape[1])), np.zeros((batch, width, folds.a.shape[1]))
        self.a[line, column], self.p[line, column] = folds.a[row], base.p[at, row]
        matrix = np.matmul(self.a, self.p.transpose(0, 2, 1))
        if held.any():
            is_held, spot = np.zeros((batch, width), dtype=bool), np.zeros((batch, width), dtype=int)
            is_held[line, column], spot[line, column] = held, self.place
            matrix = np.where(is_held[:, :, None], -np.matmul(self.p, self.a.transpose(0, 2, 1)), matrix)
            both = is_held[:, :, None] & is_held[:, None, :]
            matrix = np.where(both, base.r_e[s[:, None, None], spot[:, :, None], spot[:, None, :]], matrix)
        wide_alpha, wide_beta = np.ones((batch, width)), np.zeros((batch, width))
        wide_alpha[line, column], wide_beta[line, column] = alpha, beta
        self.matrix = wide_beta[:, :, None] * matrix
        np.einsum("bii->bi", self.matrix)[:] += wide_alpha

    def at_end(self) -> tuple[Array, Array, Array]:
        """z, u and δw at τ = 1."""
        z, u, delta = self._shift(self.gamma)
        return self.base.z[self.s] + z, self._ends(self.base.u[self.s] + u), delta

    def along(self) -> tuple[Array, Array, Array, Array, Array, Array]:
        """z, u and δw at τ = 0 and their rates in τ."""
        assert self.pull is not None
        mine = np.where(self.moving, self.pull[self.line, self.row], 0.0)
        z, u, delta = self._shift(self.gamma - mine)
        z_rate, u_rate, delta_rate = self._shift(mine)
        u = np.where(self.now == ABSENT, 0.0, u - np.where(self.now == FREE, self.pull, 0.0))
        u_rate = u_rate + np.where(self.now == FREE, self.pull, 0.0)
        fixed = self.now != FREE
        return (
            self.base.z[self.s] + z,
            self._ends(self.base.u[self.s] + u),
            delta,
            z_rate,
            np.where(fixed, 0.0, u_rate),
            delta_rate,
        )

    def _ends(self, u: Array) -> Array:
        now, rows, s = self.now, self.rows, self.s
        return np.where(now == FREE, u, np.where(now == LOW, rows.low[s], np.where(now == HIGH, rows.high[s], 0.0)))

    def _shift(self, gamma: Array) -> tuple[Array, Array, Array]:
        """Changes of z and u of every row, and δw, for right sides γ of the changed rows."""
        base, s, line, row, column = self.base, self.s, self.line, self.row, self.column
        right = np.zeros(self.matrix.shape[:2])
        right[line, column] = gamma
        driver = _solve(self.matrix, right)
        delta = np.matmul(driver[:, None, :], self.p)[:, 0]
        z = delta @ self.folds.a.T
        c = np.zeros(self.now.shape)
        c[line, row] = np.where(self.held, 0.0, driver[line, column])
        if base.held.any():
            inside = base.held[s]
            response = -np.matmul(base.g[s], (c @ self.folds.a)[:, :, None])[:, :, 0]
            if self.held.any():
                shift = np.zeros(response.shape)
                shift[line[self.held], self.place[self.held]] = driver[line, column][self.held]
                response = response + np.matmul(shift[:, None, :], base.r_e[s])[:, 0]
            c = np.where(inside, np.take_along_axis(response, base.place[s], axis=1), c)
            z = np.where(inside & ~self.changed, 0.0, z)
        return z, base.weight[s] * z - c, delta


def _solve(matrix: Array, right: Array) -> Array:
    try:
        return np.linalg.solve(matrix, right[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        matrix = matrix + 1e-13 * np.abs(matrix).max(axis=(1, 2), keepdims=True) * np.eye(matrix.shape[1])
        return np.linalg.solve(matrix, right[:, :, None])[:, :, 0]


def _classify(rows: Rows, s: np.ndarray, now: np.ndarray, z: Array, u: Array) -> np.ndarray:
    """The state that each row's z and u ask for."""
    low, high, q = rows.low[s], rows.high[s], rows.q[s]
    v = z - rows.t[s]
    slack = 1e-12 * (np.abs(z) + np.abs(rows.t[s]))
    lower = np.where(np.isfinite(low), low, 0.0)
    upper = np.where(np.isfinite(high), high, 0.0)
    fresh = np.where((now == FREE) & (u < low), LOW, np.where((now == FREE) & (u > high), HIGH, now))
    fresh = np.where((now == LOW) & (v > q * lower + slack), FREE, fresh)
    return np.where((now == HIGH) & (v < q * upper - slack), FREE, fresh)


def _gap(folds: Folds, rows: Rows, penalty: Array, s: np.ndarray, w: Array, z: Array, u: Array, f: np.ndarray) -> Array:
    """Relative duality gap at (w, u) over the fold's own rows."""
    q, low, high = rows.q[s], rows.low[s], rows.high[s]
    exact_z = w @ folds.a.T
    v = exact_z - rows.t[s]
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.clip(
            np.where(q > 0, v / q, np.where(np.abs(v) <= 1e-13 * (np.abs(exact_z) + np.abs(rows.t[s]) + 1e-300), u, np.sign(v) * np.inf)),
            low,
            high,
        )
    p = np.where(np.isfinite(p), p, -9 * u + np.sign(v) * 10 * np.abs(u).max(axis=1, keepdims=True))
    slack = np.where(folds.have[f], (p - u) * (v - 0.5 * q * (p + u)), 0.0)
    residual = penalty[s] * w + u @ folds.a
    gap = np.maximum(slack, 0).sum(axis=1) + 0.5 * (np.square(residual) / penalty[s]).sum(axis=1)
    size = np.abs(0.5 * (penalty[s] * w * w).sum(axis=1) + np.vecdot(0.5 * q * u + rows.t[s], u))
    return gap / np.maximum(size, 1e-300)
