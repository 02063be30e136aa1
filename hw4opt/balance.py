"""A dual point for unpenalised columns C: they need Cᵀu = 0.

u(ν) = clip(u - give·C ν) by Newton on ν. The duals of a kinked row move evenly and stop at the ends of their box. Those of a smooth row
give way in proportion to f'': for counts u(ν) = μ(1 - C ν) - y, with the means of rows that expect next to nothing all but left alone.
Near an optimum that is what costs least; far from one it may not reach 0, and then smooth rows, too, move evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks import Piece, clip_dual
from hw4opt.form import Form
from hw4opt.rows import Chunk, each
from hw4opt.terms.base import Array

EPS = float(np.finfo(float).eps)
REFINED = 2  # Newton steps after Cᵀu is 0 but for the rounding of a worst case


def clip(piece: Piece, u: Array) -> Array:
    """The nearest u in the domain of the piece's conjugate."""
    return piece.smooth.clip(u) if piece.sheet is None else clip_dual(piece.sheet, u)  # type: ignore[union-attr]


@dataclass(frozen=True, eq=False)
class _Free:
    """The rows of one piece on the unpenalised columns, and how far each of its duals gives: u(ν) = clip(u - give·Cν)."""

    piece: Piece
    chunk: Chunk
    give: Array | None  # f'' of a smooth row: a count's u = μ' - y moves in proportion to its mean, and stays in its domain; else 1

    def pull(self, u: Array) -> Array:
        return u @ self.chunk.matrix

    def both(self, u: Array) -> Array:
        """Cᵀu, and |C|ᵀ of what u may be off by the rounding of: for smooth rows more than |u|, which is a difference; (2, b, c)."""
        c = self.chunk.matrix
        return np.stack([u @ c, (np.abs(u) if self.give is None else np.abs(u) + self.give) @ np.abs(c)])

    def slope(self, u: Array, pull: Array) -> Array:
        weight = _gives(self.piece, u, pull @ self.chunk.matrix.T) if self.give is None else self.give
        return self.chunk.gram(self.chunk.matrix, weight)

    def moved(self, u: Array, shift: Array) -> Array:
        by = shift @ self.chunk.matrix.T
        return clip(self.piece, u - (by if self.give is None else self.give * by))


def balance(form: Form, z: Array, u: Array) -> tuple[Array, np.ndarray]:
    """u (b, M) moved inside its box until Cᵀu = 0 on the unpenalised columns, and (b,) whether that was reached; z = A w."""
    free = form.penalty == 0
    if not free.any():
        return u, np.ones(form.batch, dtype=bool)
    bends = [None if piece.smooth is None else piece.smooth.curvature(z[:, piece.span]) for piece in form.pieces]
    moved, reached = _move(form, bends, u, free)
    if reached.all() or all(bend is None for bend in bends):
        return moved, reached
    evenly, there = _move(form, [None] * len(bends), u, free)
    return np.where(reached[:, None], moved, evenly), reached | there


def _move(form: Form, bends: Sequence[Array | None], u: Array, free: np.ndarray) -> tuple[Array, np.ndarray]:
    duals = form.by_piece(u)
    columns = np.flatnonzero(free.any(axis=0))
    whole = len(columns) == free.shape[1]
    chunks = [piece.chunk if whole else Chunk.of(piece.chunk.matrix[:, columns]) for piece in form.pieces]
    rows = [_Free(*row) for row in zip(form.pieces, chunks, bends, strict=True)]
    kinked = [row for row in rows if row.piece.block == 0 and row.give is None]
    unit = form.scales[1] * sum(each(lambda row: np.abs(row.chunk.matrix).sum(axis=0), kinked)) if kinked else 0.0

    def total(one: Callable[[tuple[_Free, Array]], Array], us: Sequence[Array]) -> Array:
        return sum(each(one, list(zip(rows, us, strict=True))))  # type: ignore[return-value]

    def residual(us: Sequence[Array]) -> Array:
        return total(lambda pair: pair[0].pull(pair[1]), us) * free[:, columns]

    best, size = total(lambda pair: pair[0].both(pair[1]), duals)
    best, size = best * free[:, columns], np.maximum(np.maximum(size, unit), 1e-300)
    level = 1e-14 * np.sqrt(sum(len(row.chunk) for row in rows))
    moved = duals
    shift = np.zeros((form.batch, len(columns)))
    for _ in range(60):
        off = (np.abs(best) > level * size).any(axis=1)
        if not off.any():
            break
        newton = _shift(total(lambda pair: pair[0].slope(pair[1], best), moved), best)  # noqa: B023
        length, tried, left = np.ones((form.batch, 1)), moved, best
        for _ in range(30):
            step = shift + length * newton
            tried = each(lambda pair: pair[0].moved(pair[1], step), list(zip(rows, duals, strict=True)))  # noqa: B023
            left = residual(tried)
            worse = off & (np.abs(left / size).max(axis=1) >= np.abs(best / size).max(axis=1))
            if not worse.any():
                break
            length = np.where(worse[:, None], length / 2, length)
        shift, moved, best = shift + length * newton, tried, left
    # what is left costs its size times w, of large counts more than the gap may be; duals of kinked rows are dear to move off their ends
    for _ in range(REFINED if any(bend is not None for bend in bends) else 0):
        if not (np.abs(best) > EPS * size).any():
            break
        step = shift + _shift(total(lambda pair: pair[0].slope(pair[1], best), moved), best)  # noqa: B023
        tried = each(lambda pair: pair[0].moved(pair[1], step), list(zip(rows, duals, strict=True)))  # noqa: B023
        left = residual(tried)
        better = (np.abs(left / size).max(axis=1) < np.abs(best / size).max(axis=1))[:, None]
        shift, best = np.where(better, step, shift), np.where(better, left, best)
        moved = [np.where(better, new, old) for new, old in zip(tried, moved, strict=True)]
    return np.concatenate([u[:, :0], *moved], axis=1), ~(np.abs(best) > 10 * level * size).any(axis=1)


def _shift(slope: Array, residual: Array) -> Array:
    """slope⁻¹ residual on columns scaled to a unit diagonal, 0 where that is absurd."""
    diagonal = np.einsum("bii->bi", slope)
    root = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = slope * root[:, :, None] * root[:, None, :] + 1e-12 * np.eye(slope.shape[1])
    found = root * np.linalg.solve(scaled, (root * residual)[:, :, None])[:, :, 0]
    return np.where(np.abs(found) < 1e100, found, 0.0)


def _gives(piece: Piece, u: Array, pull: Array) -> Array:
    """1 where a dual can move against `pull`: strictly inside its box, or at the end that it would leave."""
    if piece.sheet is None:
        return np.ones_like(u)
    low = -np.inf if piece.sheet.low is None else piece.sheet.low
    high = np.inf if piece.sheet.high is None else piece.sheet.high
    moves = (((u > low) | (pull < 0)) & ((u < high) | (pull > 0))).astype(float)
    return moves if piece.sheet.active is None else moves * piece.sheet.active
