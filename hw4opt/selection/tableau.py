"""How every row of the full fits answers when a few rows change.

At the full optimum every row is in one of three states: u at its low end, at its high end, or free. A free row with curvature (q > 0)
has u = (z - t)/q; a free row without has z = t: the set E, held by multipliers. With H = P + Σ_{free, q>0} a aᵀ/q and R = (A_E H⁻¹ A_Eᵀ)⁻¹,
a force y_j on row j moves w by y_j p_j, and a row of E moved by y_j moves it likewise,

    p_j = (H⁻¹ - H⁻¹A_EᵀR A_E H⁻¹) a_j,      p_j = H⁻¹A_EᵀR e_j  for j in E.

The position x of a row is its z, or in E its multiplier u. The tableau T (M, M) gives every row's position, x = x₀ + yT: the principal
pivot of A H⁻¹Aᵀ on E. Large data do without T and form the products they need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form
from hw4opt.selection.layout import Tables, Union
from hw4opt.terms.base import Array

ABSENT, LOW, FREE, HIGH = 0, 1, 2, 3
SPREAD = 1e11  # of the pivots of A_E H⁻¹ A_Eᵀ: beyond it the rows of E depend on each other
WHOLE = 600  # rows up to which T is kept
SLACK = 1e-12  # of |z| + |t|: what a row may be past its end before it leaves it


@dataclass(frozen=True, eq=False)
class Base:
    """The full fits of S settings: states, positions, duals and responses of all rows, (S, M) unless said."""

    w: Array  # (S, r)
    penalty: Array  # (S, r)
    state: np.ndarray
    x: Array
    z: Array
    u: Array
    weight: Array  # 1/q on free rows with curvature
    stiff: Array  # (S, 1) curvature lent to the rows of E, where some column has no penalty
    held: np.ndarray  # the row is in E
    low: Array  # limits of x: outside them the row changes its state
    high: Array
    p: Array  # (S, M, r)
    pivots: list[tuple[np.ndarray, Array]]  # E and R of each setting
    tableau: Array | None  # (S, M, M)
    good: np.ndarray  # (S,) whether the responses could be computed

    def entries(self, a: Array, s: np.ndarray, rows: np.ndarray) -> Array:
        """T[row_l, row_k] at place (k, l) for each line's rows (b, w), shape (b, w, w)."""
        if self.tableau is not None:
            size = self.tableau.shape[1]
            flat = (s[:, None] * size + rows) * size
            return self.tableau.ravel()[flat[:, None, :] + rows[:, :, None]]
        p, mine = self.p[s[:, None], rows], a[rows]
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

    def move(self, a: Array, s: int, y: Array) -> Array:
        """yT of one setting, y (b, M)."""
        if self.tableau is not None:
            return y @ self.tableau[s]
        members, r_e = self.pivots[s]
        out = (y @ self.p[s]) @ a.T
        if len(members):
            forces = y.copy()
            forces[:, members] = 0.0
            out[:, members] = (forces @ a) @ self.p[s, members].T - y[:, members] @ r_e
        return out


def limits(state: np.ndarray, q: Array, ends: tuple[Array, Array], z_ends: tuple[Array, Array], slack: Array) -> tuple[Array, Array]:
    """Between what x of a row in this state has to lie: u in E within its box, z where the ends of u put it."""
    free, flat = state == FREE, q == 0
    low = np.where(free, np.where(flat, ends[0], z_ends[0]), np.where(state == HIGH, z_ends[1] - slack, -np.inf))
    high = np.where(free, np.where(flat, ends[1], z_ends[1]), np.where(state == LOW, z_ends[0] + slack, np.inf))
    return low, high


def base_of(form: Form, w: Array, u: Array, union: Union, tables: Tables) -> Base:
    """From the full fits w (S, r) and their duals u (S, M), 0 on rows that they do not have."""
    a = union.a
    z = w @ a.T
    state = np.where(u <= tables.low, LOW, np.where(u >= tables.high, HIGH, FREE)).astype(np.int8)
    state[:, ~union.full] = ABSENT
    free = state == FREE
    curved, held = free & (tables.q > 0), free & (tables.q == 0)
    weight = np.where(curved, 1.0 / np.where(tables.q > 0, tables.q, 1.0), 0.0)
    h = _gram(a, weight)
    np.einsum("bii->bi", h)[:] += form.penalty
    stiff = np.zeros((len(w), 1))
    if held.any() and not (form.penalty > 0).all():
        stiff = _stiffness(h, a, held)
        h += _gram(a, stiff * held)
    inverse, good = _inverse(h)
    p, pivots, good = _pivot(a, inverse, held, good)
    u = np.where(curved, (z - tables.t) * weight, u)
    slack = SLACK * (np.abs(z) + np.abs(tables.t))
    low, high = limits(state, tables.q, (tables.low, tables.high), (tables.z_low, tables.z_high), slack)
    z = np.where(held, tables.t, z)
    tableau = _tableau(a, p, pivots) if len(a) <= WHOLE else None
    return Base(w, form.penalty, state, np.where(held, u, z), z, u, weight, stiff, held, low, high, p, pivots, tableau, good)


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
    return 0.5 * (inverse + inverse.transpose(0, 2, 1)), np.isfinite(inverse).all(axis=(1, 2)) & (diagonal > 0).all(axis=1)


def _pivot(a: Array, inverse: Array, held: np.ndarray, good: np.ndarray) -> tuple[Array, list[tuple[np.ndarray, Array]], np.ndarray]:
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
