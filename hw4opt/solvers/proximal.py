"""Accelerated proximal gradient with adaptive restart (Nesterov 1983; Beck and Teboulle 2009; O'Donoghue and Candès
2015).

On the primal, if every term but one that acts on coefficients is smooth:

    w ← prox of the l1 rows at w - ∇(rest)/L;

else on the dual, where the prox is that of each row's conjugate, and the ridge and the quadratic rows Q = P + H₀ are
the smooth part:

    minimise over u   ½ (b + Aᵀu)ᵀ Q⁻¹ (b + Aᵀu) + Σ_i f_i*(u_i),       w = -Q⁻¹ (b + Aᵀu).

Step lengths are per row, from the length of the rows of A. The last point is polished.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.form import BoxRows, Form, RowBlock
from hw4opt.form.answer import Answer, Options, Start
from hw4opt.solvers._base import Solver
from hw4opt.solvers._first_order import iterate
from hw4opt.terms.base import Array

PROXIMAL_STEP_LIMIT = 50_000


class Proximal(Solver):
    """Accelerated proximal gradient, where the primal or the dual has a smooth part."""

    name = "proximal"
    tolerance = 1e-6

    def refuse(self, form: Form) -> str | None:
        """The reason if neither the primal nor the dual has a smooth part, else None."""
        if _on_primal(form) or _dual_is_smooth(form):
            return None
        rough = [form.terms[part.term] for block in form.nonquadratic if not _is_smooth(block) for part in block.parts]
        names = ", ".join(sorted({name for term in rough for name in term.wordings}))
        free = "an unpenalised intercept" if form.design.intercept else "ridge 0"
        return (
            f"with {free} proximal needs every term but one on the coefficients to be smooth, "
            f"of bounded curvature; {names} is not"
        )

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Solve the whole batch, until every polished point is solved or the limit is reached."""
        method = _OnPrimal(form, start) if _on_primal(form) else _OnDual(form, start)
        return iterate(method, form, options, PROXIMAL_STEP_LIMIT)


def _is_smooth(block: RowBlock) -> bool:
    """Whether rows are smooth with bounded curvature."""
    return bool(np.all(block.rows.largest_curvature < np.inf))


def _on_coefficients(form: Form, block: RowBlock) -> bool:
    """Whether these are rows of l1: a weight on both sides of every coefficient."""
    both = block.kind.low_bounded and block.kind.high_bounded
    return both and all(form.terms[part.term].acts.of_coefficients for part in block.parts)


def _on_primal(form: Form) -> bool:
    return all(_is_smooth(block) or _on_coefficients(form, block) for block in form.nonquadratic)


def _dual_is_smooth(form: Form) -> bool:
    """Whether Q = P + H₀ is safely positive definite."""
    q = _quadratic(form)
    return bool(np.linalg.eigvalsh(scaled_by(q, inverse_root_diagonal(q)))[:, 0].min() > 1e-13)


def _quadratic(form: Form) -> Array:
    q = form.quadratic.h.copy()
    np.einsum("bii->bi", q)[:] += form.penalty
    return q


class _Accelerated:
    """Nesterov's sequence from `x` with the step `advance`, restarted where momentum opposes the step."""

    x: Array

    def advance(self, y: Array) -> Array:
        """One proximal gradient step from y."""
        raise NotImplementedError

    def step(self, number: int) -> None:
        """The next point of the sequence."""
        if number == 1:
            self._y, self._momentum = self.x, np.ones((len(self.x), 1))
        fresh = self.advance(self._y)
        following = (1 + np.sqrt(1 + 4 * self._momentum**2)) / 2
        restart = np.vecdot(self._y - fresh, fresh - self.x)[:, None] > 0
        self._y = fresh + np.where(restart, 0.0, (self._momentum - 1) / following) * (fresh - self.x)
        self._momentum = np.where(restart, 1.0, following)
        self.x = fresh


class _L1Rows(NamedTuple):
    """Rows of l1: the column that each acts on, the factor, and the bounds of its dual."""

    block: RowBlock
    columns: np.ndarray
    factor: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, block: RowBlock) -> _L1Rows:
        assert isinstance(block.rows, BoxRows)
        columns = block.matrix.argmax(axis=1)
        return cls(block, columns, block.matrix[np.arange(block.count), columns], block.rows.low, block.rows.high)


class _OnPrimal(_Accelerated):
    """x = w."""

    def __init__(self, form: Form, start: Start | None) -> None:
        self.form = form
        self.smooth = [block for block in form.nonquadratic if _is_smooth(block)]
        self.rough = [_L1Rows.of(block) for block in form.nonquadratic if not _is_smooth(block)]
        self.h = _quadratic(form)
        curvatures = [np.broadcast_to(block.rows.largest_curvature, (form.batch, block.count)) for block in self.smooth]
        total = self.h + sum((block.gram(one) for block, one in zip(self.smooth, curvatures, strict=True)), 0.0)
        scale = np.maximum(np.einsum("bii->bi", total), 1e-300)
        longest = _largest_eigenvalue(total / np.sqrt(scale[:, :, None] * scale[:, None, :]))
        self.length = 1.0 / (scale * longest[:, None])
        self.x = np.zeros(form.penalty.shape) if start is None else start.w

    def _gradient(self, w: Array) -> Array:
        pulls = (block.rows.gradient(w @ block.matrix.T) @ block.matrix for block in self.smooth)
        return np.matvec(self.h, w) + self.form.quadratic.b + sum(pulls, 0.0)

    def advance(self, y: Array) -> Array:
        v = y - self.length * self._gradient(y)
        for _, columns, factor, low, high in self.rough:
            length = self.length[:, columns] * factor
            v[:, columns] -= length * np.clip(v[:, columns] / length, low, high)
        return v

    def point(self) -> Start:
        pull, u = self._gradient(self.x), np.zeros((self.form.batch, self.form.size))
        for block in self.smooth:
            u[:, block.span] = block.rows.gradient(self.x @ block.matrix.T)
        for block, columns, factor, low, high in self.rough:
            u[:, block.span] = np.clip(-pull[:, columns] / factor, low, high)
        return Start(self.x, u)


class _OnDual(_Accelerated):
    """x = u of the nonquadratic rows, (b, M) with the others at 0."""

    def __init__(self, form: Form, start: Start | None) -> None:
        self.form, self.blocks = form, form.nonquadratic
        b, (z_scale, u_scale) = form.batch, form.scales
        self.q_inverse = np.linalg.inv(_quadratic(form))
        units = [
            np.broadcast_to(u_scale / z_scale * np.square(form.loss_length / block.length), (b, block.count))
            for block in self.blocks
        ]
        gram = sum(block.gram(unit) for block, unit in zip(self.blocks, units, strict=True))
        root = np.linalg.cholesky(0.5 * (self.q_inverse + self.q_inverse.transpose(0, 2, 1)))
        longest = _largest_eigenvalue(np.matmul(root.transpose(0, 2, 1), np.matmul(gram, root)))[:, None]
        self.steps = [unit / longest for unit in units]
        self.x = np.zeros((b, form.size))
        if start is not None:
            for block in self.blocks:
                self.x[:, block.span] = start.u[:, block.span]

    def _w_of(self, u: Array) -> Array:
        pulls = (u[:, block.span] @ block.matrix for block in self.blocks)
        return -np.matvec(self.q_inverse, self.form.quadratic.b + sum(pulls, 0.0))

    def advance(self, y: Array) -> Array:
        w, fresh = self._w_of(y), np.zeros_like(y)
        for block, step in zip(self.blocks, self.steps, strict=True):
            fresh[:, block.span] = block.rows.prox_dual(w @ block.matrix.T, y[:, block.span], 1 / step)
        return fresh

    def point(self) -> Start:
        return Start(self._w_of(self.x), self.x)


def _largest_eigenvalue(matrix: Array) -> Array:
    """The largest eigenvalue of every symmetric matrix of the batch, (b,), slightly enlarged to be an upper bound."""
    return np.maximum(np.linalg.eigvalsh(matrix)[:, -1], 1e-300) * (1 + 1e-10)
