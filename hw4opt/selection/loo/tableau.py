"""How every row of the full fits answers when a few rows change.

At the full optimum every row is in one of three states: u at its low end, at its high end, or free. A free row with
curvature (q > 0) has u = (z - t)/q; a free row without has z = t: the set E, held by multipliers. With H = P + Σ_{free,
q>0} a aᵀ/q and R = (A_E H⁻¹ A_Eᵀ)⁻¹, a force y_j on row j moves w by y_j p_j, and a row of E moved by y_j moves it
likewise,

    p_j = (H⁻¹ - H⁻¹A_EᵀR A_E H⁻¹) a_j,      p_j = H⁻¹A_EᵀR e_j  for j in E.

The position x of a row is its z, or in E its multiplier u. The tableau T (M, M) gives every row's position, x = x₀ +
yT: the principal pivot of A H⁻¹Aᵀ on E. Large data do without T and form the products they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from hw4opt.form import Form
from hw4opt.selection.loo.layout import Tables, Union
from hw4opt.terms.base import Array

ABSENT, LOW, FREE, HIGH = 0, 1, 2, 3
SPREAD = 1e11  # of the pivots of A_E H⁻¹ A_Eᵀ: beyond it the rows of E depend on each other
TABLEAU_ROWS_LIMIT = 600  # rows up to which T is kept
# of |z| + |t|, and of the largest fitted value: what a row may be past its end before it leaves it
SLACK, TOUCH = 1e-12, 1e-14


@dataclass(frozen=True, eq=False)
class FullFitState:
    """The full fits of S settings over several bases: states, positions, duals and responses of all rows, (S, M)."""

    a: Array  # (G, M, r) the rows over each basis, padded with columns of zeros
    unit: Array  # (G, M) of each row's z, where fitted values have 1
    values: int  # how many rows, the first ones, are fitted values
    basis: np.ndarray  # (S,) which of them; ascending
    tables: Tables
    w: Array  # (S, r)
    w_scale: Array  # (S, r) the size of w where a column has no penalty
    u_scale: Array  # (S, 1) typical |u| of the loss
    gap_scale: Array  # (S,) what a fold's gap is relative to: what the full fit explains
    penalty: Array  # (S, r)
    state: np.ndarray
    x: Array
    z: Array
    u: Array
    weight: Array  # 1/q on free rows with curvature
    stiff: Array  # (S, 1) curvature lent to the rows of E, where some column has no penalty
    held: np.ndarray  # the row is in E
    slack: Array  # what z may be past the end of u
    low: Array  # limits of x: outside them the row changes its state
    high: Array
    p: Array  # (S, M, r)
    pivots: list[tuple[np.ndarray, Array]]  # E and R of each setting
    tableau: Array | None  # (S, M, M)
    good: np.ndarray  # (S,) whether the responses could be computed

    @classmethod
    def stack(cls, parts: Sequence[FullFitState]) -> FullFitState:
        """The settings of several bases as one."""
        if len(parts) == 1:
            return parts[0]
        rank = max(part.w.shape[1] for part in parts)
        found: dict[str, Any] = {
            "tables": Tables(
                *(np.concatenate([getattr(part.tables, one.name) for part in parts]) for one in fields(Tables))
            ),
            "pivots": [pair for part in parts for pair in part.pivots],
            "values": parts[0].values,
            "basis": np.repeat(np.arange(len(parts)), [len(part.w) for part in parts]),
        }
        for name, empty in (("a", 0.0), ("p", 0.0), ("w", 0.0), ("w_scale", 1.0), ("penalty", 1.0)):
            found[name] = np.concatenate([_with_rank(getattr(part, name), rank, empty) for part in parts])
        whole = all(part.tableau is not None for part in parts)
        found["tableau"] = (
            np.concatenate([part.tableau for part in parts if part.tableau is not None]) if whole else None
        )
        rest = [one.name for one in fields(cls) if one.name not in found]
        found |= {name: np.concatenate([getattr(part, name) for part in parts]) for name in rest}
        return cls(**found)

    @cached_property
    def flat(self) -> bool:
        """Whether there are rows without curvature."""
        return bool((self.tables.q == 0).any())

    @cached_property
    def optimal(self) -> np.ndarray:
        """Whether every row is where its state asks, (S,): a path starts only there."""
        return np.all((self.x >= self.low) & (self.x <= self.high), axis=1)

    def reach(self, basis: np.ndarray, z: Array) -> Array:
        """The largest fitted value among z (b, M), in the units of every row, (b, M)."""
        return reach(z, self.unit[basis], self.values)

    @cached_property
    def z_size(self) -> Array:
        """What counts as one of z, (S, M)."""
        return np.maximum(self.reach(self.basis, self.z), 1e-300)

    @cached_property
    def u_size(self) -> Array:
        """What counts as one of u, (S, M)."""
        return np.maximum(largest_dual(self.u, self.unit[self.basis]), 1e-300)

    def entries(self, s: np.ndarray, rows: np.ndarray) -> Array:
        """T[row_l, row_k] at place (k, l) for each line's rows (b, w), shape (b, w, w)."""
        if self.tableau is not None:
            size = self.tableau.shape[1]
            flat = (s[:, None] * size + rows) * size
            return self.tableau.ravel()[flat[:, None, :] + rows[:, :, None]]
        p, mine = self.p[s[:, None], rows], self.a[self.basis[s][:, None], rows]
        found = np.matmul(mine, p.transpose(0, 2, 1))
        held = self.held[s[:, None], rows]
        if held.any():
            found = np.where(held[:, :, None], found.transpose(0, 2, 1), found)
            for line in np.flatnonzero(held.any(axis=1)):
                members, r_e = self.pivots[s[line]]
                inside = np.flatnonzero(held[line])
                place = np.searchsorted(members, rows[line, inside])
                found[line, inside[:, None], inside[None, :]] = -r_e[place[:, None], place[None, :]]
        return found

    def move(self, s: int, y: Array) -> Array:
        """yT of one setting, y (b, M)."""
        return (
            y @ self.tableau[s]
            if self.tableau is not None
            else _moved(y, self.a[self.basis[s]], self.p[s], self.pivots[s])
        )


def _moved(y: Array, a: Array, p: Array, pivot: tuple[np.ndarray, Array]) -> Array:
    """yT without T."""
    members, r_e = pivot
    out = (y @ p) @ a.T
    if len(members):
        forces = y.copy()
        forces[:, members] = 0.0
        out[:, members] = (forces @ a) @ p[members].T - y[:, members] @ r_e
    return out


def _with_rank(array: Array, rank: int, empty: float) -> Array:
    """More columns at the end."""
    wide = np.full((*array.shape[:-1], rank), empty)
    wide[..., : array.shape[-1]] = array
    return wide


def reach(z: Array, unit: Array, values: int) -> Array:
    """The largest of the fitted values, which are the first `values` of z (b, M), in the units of every row, (b, M)."""
    return np.abs(z[:, :values]).max(axis=1, keepdims=True) * unit


def largest_dual(u: Array, unit: Array) -> Array:
    """The largest |u| beside fitted values, in the units of every row's u, (b, M)."""
    return (np.abs(u) * unit).max(axis=1, keepdims=True) / np.where(unit > 0, unit, 1.0)


def limits(
    state: np.ndarray, q: Array, ends: tuple[Array, Array], z_ends: tuple[Array, Array], slack: Array
) -> tuple[Array, Array]:
    """Between what x of a row in this state has to lie: u in E within its box, z where the ends of u put it."""
    free, flat = state == FREE, q == 0
    low = np.where(free, np.where(flat, ends[0], z_ends[0]), np.where(state == HIGH, z_ends[1] - slack, -np.inf))
    high = np.where(free, np.where(flat, ends[1], z_ends[1]), np.where(state == LOW, z_ends[0] + slack, np.inf))
    return low, high


def state_of(form: Form, union: Union, tables: Tables, state: np.ndarray, gap_scale: Array) -> FullFitState:
    """At the points that have these states, optimal or not."""
    a = union.a
    free = state == FREE
    curved, held = free & (tables.q > 0), free & (tables.q == 0)
    weight = np.where(curved, 1.0 / np.where(tables.q > 0, tables.q, 1.0), 0.0)
    h = _gram(a, weight)
    np.einsum("bii->bi", h)[:] += form.penalty
    stiff = np.zeros((form.batch, 1))
    if held.any() and not (form.penalty > 0).all():
        stiff = _stiffness(h, a, held)
        h += _gram(a, stiff * held)
    inverse, good = _inverse(h)
    p, pivots, good = _pivot(a, inverse, held, good)
    tableau = _tableau(a, p, pivots) if len(a) <= TABLEAU_ROWS_LIMIT else None
    end = np.where(state == LOW, tables.low, np.where(state == HIGH, tables.high, 0.0))
    drivers = np.where(free, np.where(held, tables.t, weight * tables.t), -end)
    w = np.vecmat(drivers, p)
    if tableau is not None:
        x = np.vecmat(drivers, tableau)
    else:
        x = np.concatenate([_moved(drivers[s : s + 1], a, p[s], pivots[s]) for s in range(len(p))])
    u = np.where(held, x + stiff * tables.t, end)
    z = w @ a.T
    u = np.where(curved, (z - tables.t) * weight, u)
    slack = SLACK * (np.abs(z) + np.abs(tables.t)) + TOUCH * reach(z, union.unit, union.values)
    low, high = limits(state, tables.q, (tables.low, tables.high), (tables.z_low, tables.z_high), slack)
    z = np.where(held, tables.t, z)
    return FullFitState(
        a[None], union.unit[None], union.values, np.zeros(form.batch, dtype=int), tables,
        w, form.w_scale, form.scales[1], gap_scale, form.penalty,
        state, np.where(held, u, z), z, u, weight, stiff,
        held, slack, low, high, p, pivots, tableau, good,
    )  # fmt: skip


def _gram(a: Array, weight: Array) -> Array:
    size, r = a.shape
    if len(weight) > 4 and size * r * r <= 4_000_000:
        return (weight @ (a[:, :, None] * a[:, None, :]).reshape(size, -1)).reshape(len(weight), r, r)
    return np.stack([(a.T * one) @ a for one in weight])


def _stiffness(h: Array, a: Array, held: np.ndarray) -> Array:
    """As much curvature for E as the rest of H has: its rows stay where they are held, and H is regular with them."""
    rest = np.einsum("bii->b", h)
    rows = held @ np.square(a).sum(axis=1)
    return (np.where(rest > 0, rest, 1.0) / np.where(rows > 0, rows, 1.0))[:, None]


def _inverse(h: Array) -> tuple[Array, np.ndarray]:
    diagonal = np.einsum("bii->bi", h)
    root = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = h * root[:, :, None] * root[:, None, :]
    try:
        inverse = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        inverse = np.linalg.pinv(scaled, hermitian=True)
    inverse = inverse * root[:, :, None] * root[:, None, :]
    return 0.5 * (inverse + inverse.transpose(0, 2, 1)), np.isfinite(inverse).all(axis=(1, 2)) & (diagonal > 0).all(
        axis=1
    )


def _pivot(
    a: Array, inverse: Array, held: np.ndarray, good: np.ndarray
) -> tuple[Array, list[tuple[np.ndarray, Array]], np.ndarray]:
    """The responses p with the rows of E held, E and R of each setting, and where R exists."""
    (count, r), most = inverse.shape[:2], int(held.sum(axis=1).max(initial=0))
    p = a @ inverse
    members = [np.flatnonzero(one) for one in held]
    if not most:
        return p, [(rows, np.empty((0, 0))) for rows in members], good
    setting, row = np.nonzero(held)
    place = (np.cumsum(held, axis=1) - 1)[setting, row]
    a_e = np.zeros((count, most, r))
    a_e[setting, place] = a[row]
    b = np.matmul(a_e, inverse)
    s = np.matmul(b, a_e.transpose(0, 2, 1))
    empty = np.arange(most) >= held.sum(axis=1)[:, None]
    np.einsum("bii->bi", s)[:] += empty * np.maximum(np.einsum("bii->bi", s).max(axis=1), 1e-300)[:, None]
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("bii->bi", s), 1e-300))
    scaled = s * scale[:, :, None] * scale[:, None, :]
    values = np.linalg.eigvalsh(np.where(np.isfinite(scaled), scaled, 0.0))
    good = good & (values[:, 0] * SPREAD > values[:, -1]) & (held.sum(axis=1) <= r)
    scaled = np.where(good[:, None, None], scaled, np.eye(most))
    r_e = np.linalg.inv(scaled) * scale[:, :, None] * scale[:, None, :]
    g = np.matmul(r_e, b)
    p = p - np.matmul(np.matmul(a, b.transpose(0, 2, 1)), g)
    p[setting, row] = g[setting, place]
    return p, [(rows, one[: len(rows), : len(rows)]) for rows, one in zip(members, r_e, strict=True)], good


def _tableau(a: Array, p: Array, pivots: list[tuple[np.ndarray, Array]]) -> Array:
    tableau = p @ a.T
    for one, (members, r_e) in zip(tableau, pivots, strict=True):
        if len(members):
            one[:, members] = one[members, :].T
            one[members[:, None], members[None, :]] = -r_e
    return tableau
