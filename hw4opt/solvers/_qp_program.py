"""A form without smooth rows as a quadratic program.

    minimise over w, m, s⁺, s⁻ ≥ 0    ½ wᵀ(diag(penalty) + H)w + bᵀw + Σ_i (½ q_i m_i² + high_i s⁺_i - low_i s⁻_i)
    subject to, for rows with
    curvature or two bounds           a_iᵀw - shift_i = q_i m_i + s⁺_i - s⁻_i                            (u_i = m_i)
    the bound high alone              a_iᵀw ≥ shift_i at the cost high_i (a_iᵀw - shift_i)
    the bound low alone               a_iᵀw ≤ shift_i at the cost low_i (a_iᵀw - shift_i)

m_i exists where q_i > 0, s⁺_i where high_i is finite, s⁻_i where low_i is; H and b are those of the rows without
bounds. u_i is the multiplier of the equality, or the finite bound corrected by the multiplier of the inequality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse

from hw4opt.form import BoxRows, Form
from hw4opt.form.answer import Status
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class Program:
    """minimise ½ xᵀPx + cᵀx subject to Gx ≤ h, Ax = b, x ≥ least; matrices dense or sparse, None where there are no
    rows."""

    p: Any
    c: Array
    g: Any
    h: Array | None
    a: Any
    b: Array | None
    least: Array | None


@dataclass(frozen=True, eq=False)
class Raw:
    """A backend's result: x, the multipliers y of the equalities and z ≥ 0 of the inequalities; zeros if it found
    none."""

    x: Array
    y: Array
    z: Array
    status: Status
    iterations: int = 0
    note: str | None = None

    @classmethod
    def nothing(cls, program: Program, status: Status, note: str) -> Raw:
        """A result without an answer, for the reason `note`."""
        sizes = [0 if one is None else len(one) for one in (program.b, program.h)]
        return cls(np.zeros(len(program.c)), np.zeros(sizes[0]), np.zeros(sizes[1]), status, note=note)


@dataclass(frozen=True, eq=False)
class ProgramRows:
    """All nonquadratic rows of a form of one problem, (m,) each, a (m, r), and their places in the table of all
    rows."""

    places: np.ndarray
    a: Array
    quadratic: Array
    shift: Array
    low: Array
    high: Array
    open: np.ndarray

    @classmethod
    def of(cls, form: Form) -> ProgramRows:
        blocks = form.nonquadratic
        boxes = [block.rows for block in blocks if isinstance(block.rows, BoxRows)]
        sizes = [block.count for block in blocks]

        def joined(arrays: list[Array]) -> Array:
            return np.concatenate(
                [np.zeros(0), *(np.broadcast_to(a[0], m) for a, m in zip(arrays, sizes, strict=True))]
            )

        return cls(
            np.concatenate(
                [np.zeros(0, dtype=int), *(np.arange(block.span.start, block.span.stop) for block in blocks)]
            ),
            np.concatenate([np.zeros((0, form.penalty.shape[1])), *(block.matrix for block in blocks)]),
            joined([box.quadratic for box in boxes]),
            joined([box.shift for box in boxes]),
            joined([box.low for box in boxes]),
            joined([box.high for box in boxes]),
            joined([box.open for box in boxes]) > 0,
        )

    @property
    def one_sided(self) -> np.ndarray:
        """Rows with a linear cost on one side of shift, infeasible on the other."""
        return self.open & (self.quadratic == 0) & (np.isinf(self.low) | np.isinf(self.high))

    @property
    def sign(self) -> Array:
        """-1 where a one-sided row must not fall below shift, 1 where it must not rise above."""
        return np.where(np.isinf(self.low), -1.0, 1.0)

    @property
    def bound(self) -> Array:
        """The finite bound of a one-sided row."""
        return np.where(np.isinf(self.low), self.high, self.low)

    def duals(self, raw: Raw) -> Array:
        """u of every row."""
        u, one_sided = np.where(self.open, 0.0, self.low), self.one_sided
        u[one_sided] = (self.bound + self.sign * _scatter(raw.z, one_sided))[one_sided]
        u[self.open & ~one_sided] = raw.y
        return u


def _scatter(values: Array, places: np.ndarray) -> Array:
    whole = np.zeros(len(places))
    whole[places] = values
    return whole


def program_of(form: Form, rows: ProgramRows) -> Program:
    """The program in sparse matrices."""
    one_sided, r = rows.one_sided, form.penalty.shape[1]
    split = rows.open & ~one_sided
    q, low, high = rows.quadratic[split], rows.low[split], rows.high[split]
    curved, over, under = (np.flatnonzero(one) for one in (q > 0, np.isfinite(high), np.isfinite(low)))
    slack, ones = len(over) + len(under), np.ones(len(q))
    h = form.quadratic.h[0] + np.diag(form.penalty[0])
    linear = rows.bound[one_sided] @ rows.a[one_sided] + rows.low[~rows.open] @ rows.a[~rows.open]
    a = [
        sparse.csc_array(rows.a[split]),
        *(_columns(len(q), *one) for one in ((curved, -q), (over, -ones), (under, ones))),
    ]
    g = sparse.csc_array(rows.sign[one_sided, None] * rows.a[one_sided])
    return Program(
        p=sparse.block_diag(
            [0.5 * (h + h.T), sparse.diags_array(q[curved]), sparse.csc_array((slack, slack))], format="csc"
        ),
        c=np.concatenate([form.quadratic.b[0] + linear, np.zeros(len(curved)), high[over], -low[under]]),
        g=sparse.hstack([g, sparse.csc_array((int(one_sided.sum()), len(curved) + slack))], format="csc")
        if one_sided.any()
        else None,
        h=(rows.sign * rows.shift)[one_sided] if one_sided.any() else None,
        a=sparse.hstack(a, format="csc") if split.any() else None,
        b=rows.shift[split] if split.any() else None,
        least=np.concatenate([np.full(r + len(curved), -np.inf), np.zeros(slack)]) if slack else None,
    )


def _columns(size: int, places: np.ndarray, values: Array) -> sparse.csc_array:
    """The columns `places` of diag(values), values of shape (size,)."""
    return sparse.csc_array((values[places], (places, np.arange(len(places)))), shape=(size, len(places)))
