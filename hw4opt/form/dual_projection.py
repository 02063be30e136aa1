"""A dual point for unpenalised columns C: they need Cᵀu = 0.

u(ν) = clip(u - s·C ν) by Newton's method on ν. Duals of box-constrained rows are clipped at their bounds; moving one
by δ costs |v - q u|·|δ| in the gap, v = z - t, and s = 1/(1 + (|v - q u|/(FAR·typical z))²) bounds that for outliers,
whatever their size. Those of a smooth row have s = f'': for counts u(ν) = μ(1 - C ν) - y, which hardly
changes rows of small mean. Near an optimum this costs least; far from one it may not reach 0, and then s = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.form import BoxRows, Form, RowBlock, SmoothRows
from hw4opt.form.chunks import Chunk
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import EPS, Array

FAR = 10.0  # distance from the breakpoint, in typical z, from which a dual moves less than others
REFINEMENTS = 2  # Newton steps after Cᵀu is 0 up to a worst-case bound of rounding


class Projected(NamedTuple):
    """u (b, M), and (b,) whether Cᵀu = 0 was reached."""

    u: Array
    reached: np.ndarray


@dataclass(frozen=True, eq=False)
class _FreeRows:
    """The rows of one block on the unpenalised columns, and the sensitivity of their duals: u(ν) = clip(u - s·Cν)."""

    block: RowBlock
    chunk: Chunk
    u: Array
    sensitivity: Array | float

    def pull(self, u: Array) -> Array:
        """Cᵀu."""
        return u @ self.chunk.matrix

    def pull_and_size(self) -> Array:
        """Cᵀu, and |C|ᵀ times a bound of the rounding of u, which exceeds |u| for smooth rows, where u is a difference;
        (2, b, c)."""
        c = self.chunk.matrix
        size = np.abs(self.u) + (0.0 if isinstance(self.block.rows, BoxRows) else self.sensitivity)
        return np.stack([self.u @ c, size @ np.abs(c)])

    def slope(self, u: Array, residual: Array) -> Array:
        """-d(Cᵀu)/dν."""
        weight = self.sensitivity * _can_move(self.block, u, residual @ self.chunk.matrix.T)
        return self.chunk.gram(self.chunk.matrix, weight)

    def moved(self, shift: Array) -> Array:
        """u(ν)."""
        return self.block.rows.clip_dual(self.u - self.sensitivity * (shift @ self.chunk.matrix.T))


def project_dual(form: Form, z: Array, u: Array) -> Projected:
    """u (b, M) moved inside its domain until Cᵀu = 0 on the unpenalised columns; z = A w."""
    if form.all_penalized:
        return Projected(u, np.ones(form.batch, dtype=bool))
    free = form.penalty == 0
    parts = [(block.rows, z[:, block.span], u[:, block.span]) for block in form.blocks]
    found = _project(form, [sensitivity(*part, form.scales.z) for part in parts], u, free)
    if found.reached.all():
        return found
    uniform = _project(form, [1.0] * len(form.blocks), u, free)
    return Projected(np.where(found.reached[:, None], found.u, uniform.u), found.reached | uniform.reached)


def sensitivity(rows: BoxRows | SmoothRows, z: Array, u: Array, typical: Array | float) -> Array:
    """s of rows at z with the duals u, (b, m); typical: size of z."""
    if isinstance(rows, SmoothRows):
        return rows.curvature(z)
    return 1.0 / (1.0 + np.square((z - rows.shift - rows.quadratic * u) / (FAR * typical)))


def _project(form: Form, sensitivities: Sequence[Array | float], u: Array, free: np.ndarray) -> Projected:
    columns = np.flatnonzero(free.any(axis=0))
    whole = len(columns) == free.shape[1]
    rows = [
        _FreeRows(block, block.chunk if whole else Chunk.of(block.matrix[:, columns]), u[:, block.span], one)
        for block, one in zip(form.blocks, sensitivities, strict=True)
    ]

    def total(act: Callable[[_FreeRows, Array], Array], duals: Sequence[Array]) -> Array:
        return reduce(add, parallel_map(lambda pair: act(*pair), list(zip(rows, duals, strict=True))))

    def residual(duals: Sequence[Array]) -> Array:
        return total(_FreeRows.pull, duals) * free[:, columns]

    best, size = reduce(add, parallel_map(_FreeRows.pull_and_size, rows))
    best, size = best * free[:, columns], np.maximum(np.maximum(size, _typical_pull(form, rows)), 1e-300)
    level = 1e-14 * np.sqrt(sum(block.count for block in form.blocks))
    moved = [row.u for row in rows]
    shift = np.zeros((form.batch, len(columns)))
    for _ in range(60):
        off = (np.abs(best) > level * size).any(axis=1)
        if not off.any():
            break
        newton = _newton_step(total(lambda row, dual: row.slope(dual, best), moved), best)  # noqa: B023
        length, tried, left = np.ones((form.batch, 1)), moved, best
        for _ in range(30):
            step = shift + length * newton
            tried = parallel_map(lambda row: row.moved(step), rows)  # noqa: B023
            left = residual(tried)
            worse = off & (np.abs(left / size).max(axis=1) >= np.abs(best / size).max(axis=1))
            if not worse.any():
                break
            length = np.where(worse[:, None], length / 2, length)
        shift, moved, best = shift + length * newton, tried, left
    # the rest costs its size times w, for large counts more than the gap allowed; a dual that leaves its bound costs
    # more still
    for _ in range(REFINEMENTS if form.smooth_count else 0):
        if not (np.abs(best) > EPS * size).any():
            break
        step = shift + _newton_step(total(lambda row, dual: row.slope(dual, best), moved), best)  # noqa: B023
        tried = parallel_map(lambda row: row.moved(step), rows)  # noqa: B023
        left = residual(tried)
        better = (np.abs(left / size).max(axis=1) < np.abs(best / size).max(axis=1))[:, None]
        shift, best = np.where(better, step, shift), np.where(better, left, best)
        moved = [np.where(better, new, old) for new, old in zip(tried, moved, strict=True)]
    return Projected(np.concatenate([u[:, :0], *moved], axis=1), ~(np.abs(best) > 10 * level * size).any(axis=1))


def _typical_pull(form: Form, rows: Sequence[_FreeRows]) -> Array | float:
    """|C|ᵀ of typical duals of the loss, where they have bounds."""
    of_loss = [row for row in rows if row.block.parts[0].term == 0 and isinstance(row.block.rows, BoxRows)]
    if not of_loss:
        return 0.0
    sizes = parallel_map(lambda row: np.abs(row.chunk.matrix[row.block.parts[0].rows]).sum(axis=0), of_loss)
    return form.scales.u * sum(sizes)


def _newton_step(slope: Array, residual: Array) -> Array:
    """slope⁻¹ residual on columns scaled to a unit diagonal, 0 where that is not finite or far too large."""
    root = inverse_root_diagonal(slope)
    scaled = scaled_by(slope, root) + 1e-12 * np.eye(slope.shape[1])
    found = root * np.linalg.solve(scaled, (root * residual)[:, :, None])[:, :, 0]
    return np.where(np.abs(found) < 1e100, found, 0.0)


def _can_move(block: RowBlock, u: Array, pull: Array) -> Array:
    """1 where a dual can move against `pull`: strictly inside its bounds, or at the bound that it would leave."""
    rows = block.rows
    if not isinstance(rows, BoxRows):
        return np.ones_like(u)
    moves = ((u > rows.low) | (pull < 0)) & ((u < rows.high) | (pull > 0)) & rows.open
    return moves.astype(float)
