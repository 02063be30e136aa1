"""ADMM on z = A w, over-relaxed, equilibrated, with adaptive rho, then polished; a factorisation is kept until rho
changes.

    w ← argmin ½ wᵀ P w + Σ ρ_i/2 (a_iᵀw - z_i + u_i/ρ_i)²,     z ← prox of f at the relaxed A w + u/ρ,     u ← u + ρ (A
    w - z)

u is the unscaled dual. Rows without bounds stay in the quadratic. (Boyd et al. 2011; Stellato et al. 2020 for rho.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.form import Form, RowBlock
from hw4opt.form.answer import Answer, Options, Start
from hw4opt.solvers._base import Solver
from hw4opt.solvers._first_order import iterate
from hw4opt.terms.base import Array

ADMM_STEP_LIMIT = 5_000
RELAXATION = 1.6
RHO_INTERVAL = 50  # steps between updates of rho


class Admm(Solver):
    """ADMM."""

    name = "admm"
    tolerance = 1e-8

    def refuse(self, form: Form) -> str | None:
        """None: it takes every form."""
        return None

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """The whole batch, each problem with its own rho, until every polished point is solved or the limit is
        reached."""
        return iterate(_Admm(form, start), form, options, ADMM_STEP_LIMIT)


class _Admm:
    """The state: w, and z and u by nonquadratic block; (b, 1) rho."""

    def __init__(self, form: Form, start: Start | None) -> None:
        b = form.batch
        self.form, self.blocks = form, form.nonquadratic
        self.w = np.zeros(form.penalty.shape) if start is None else start.w
        self.z = [self.w @ block.matrix.T for block in self.blocks]
        self.u = [np.zeros((b, block.count)) if start is None else start.u[:, block.span] for block in self.blocks]
        self.units = [_unit(form, block) for block in self.blocks]
        self.grams = [
            block.gram(np.broadcast_to(unit, (b, block.count)))
            for block, unit in zip(self.blocks, self.units, strict=True)
        ]
        self.rho = np.ones((b, 1))
        self.inverse = _invert(form, self.grams, self.rho)

    def point(self) -> Start:
        u = np.zeros((self.form.batch, self.form.size))
        for block, one in zip(self.blocks, self.u, strict=True):
            u[:, block.span] = one
        return Start(self.w, u)

    def step(self, number: int) -> None:
        b = self.form.batch
        rows = list(zip(self.blocks, self.units, self.z, self.u, strict=True))
        pulls = ((self.rho * unit * z - u) @ block.matrix for block, unit, z, u in rows)
        self.w = self.inverse(-self.form.quadratic.b + sum(pulls, 0.0))
        primal, dual_size, move, z_size = np.zeros(b), np.zeros(b), np.zeros(b), np.full(b, 1e-300)
        for place, (block, unit, z, u) in enumerate(rows):
            az, step = self.w @ block.matrix.T, 1.0 / (self.rho * unit)
            relaxed = RELAXATION * az + (1 - RELAXATION) * z
            dual = block.rows.prox_dual(relaxed, u, step)
            fresh = relaxed + step * (u - dual)
            move = np.maximum(move, np.abs((fresh - z) / step).max(axis=1))
            primal = np.maximum(primal, np.abs((az - fresh) * np.sqrt(unit)).max(axis=1))
            z_size = np.maximum(z_size, np.abs(az * np.sqrt(unit)).max(axis=1))
            dual_size = np.maximum(dual_size, np.abs(dual).max(axis=1))
            self.z[place], self.u[place] = fresh, dual
        if number % RHO_INTERVAL == 0:
            self._adapt(np.sqrt((primal / z_size) / np.maximum(move / np.maximum(dual_size, 1e-300), 1e-30)))

    def _adapt(self, ratio: Array) -> None:
        """Change rho by the ratio of primal to dual residuals, (b,), where it is far from 1."""
        change = np.where((ratio > 3) | (ratio < 1 / 3), np.clip(ratio, 1e-2, 1e2), 1.0)[:, None]
        if (change != 1).any():
            self.rho = self.rho * change
            self.inverse = _invert(self.form, self.grams, self.rho)


def _unit(form: Form, block: RowBlock) -> Array:
    """The natural rho of each row: dual over primal scale, from the loss at w = 0 and the length of the rows of A."""
    return form.scales.u / form.scales.z * np.square(form.loss_length / block.length)


def _invert(form: Form, grams: list[Array], rho: Array) -> Callable[[Array], Array]:
    """x ↦ (P + H₀ + ρ G)⁻¹ x, with one refinement."""
    h = form.quadratic.h + sum((rho[:, :, None] * gram for gram in grams), 0.0)
    np.einsum("bii->bi", h)[:] += form.penalty
    root = inverse_root_diagonal(h)
    scaled = scaled_by(h, root)
    np.einsum("bii->bi", scaled)[:] += 1e-14
    inverse = scaled_by(np.linalg.inv(scaled), root)

    def solve_h(right: Array) -> Array:
        x = np.matvec(inverse, right)
        return x + np.matvec(inverse, right - np.matvec(h, x))

    return solve_h
