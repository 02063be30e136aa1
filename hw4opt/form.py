"""The algebra of a problem: minimise over w in R^r   ridge ‖w‖² + Σ_k f_k(A_k w + c_k),  A_k = S_k B,  for a batch over one B.

Piecewise linear-quadratic terms arrive as sheets f*(u) = ½ q u² + shift·u on low ≤ u ≤ high, with the offset c folded into the shift;
smooth losses as gradient and curvature. Solvers see pieces: uniform runs of rows, with no term's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hw4opt.blocks import Block, Fixed, Piece, Run, Sheet, clip_dual
from hw4opt.design import Design
from hw4opt.rows import Chunk, chunks, each
from hw4opt.terms.base import Array

FLOOR = 1e-6  # of the loss at w = 0: the smallest objective that a relative gap is taken against
ANCHOR = 1e-6  # of the curvature that the loss would have if all its rows were free


@dataclass(frozen=True, eq=False)
class Form:
    """The batch's algebra. `ridge` (b,); `penalty` (b, r) = 2 ridge on penalised columns, so that the quadratic is ½ wᵀ diag(penalty) w."""

    design: Design
    blocks: tuple[Block, ...]
    ridge: Array

    @property
    def batch(self) -> int:
        return len(self.ridge)

    @cached_property
    def penalty(self) -> Array:
        return 2 * self.ridge[:, None] * self.design.penalized

    @cached_property
    def _chunks(self) -> dict[int, list[Chunk]]:
        """Chunks by row map, shared by blocks that share it."""
        return {id(block.rows): list(chunks(block.rows, self.design.matrix)) for block in self.blocks}

    @cached_property
    def pieces(self) -> list[Piece]:
        found = []
        for number, block in enumerate(self.blocks):
            for sheet in (*block.sheets, *([None] if block.smooth else [])):
                for chunk in self._chunks[id(block.rows)]:
                    span = slice(chunk.low, chunk.high)
                    smooth = block.smooth.cut(span) if block.smooth and sheet is None else None
                    found.append(Piece(chunk, number, None if sheet is None else sheet.cut(span), smooth))
        return found

    @cached_property
    def _lengths(self) -> list[float]:
        """Root mean square row of A, by block."""
        square, totals = {}, []
        for block in self.blocks:
            key = id(block.rows)
            if key not in square:
                square[key] = sum(each(lambda chunk: float(np.square(chunk.matrix).sum()), self._chunks[key]))
            totals.append(np.sqrt(square[key] / max(block.rows.count, 1)) or 1.0)
        return totals

    @property
    def loss_length(self) -> float:
        return self._lengths[0]

    @cached_property
    def scales(self) -> tuple[Array, Array]:
        """Typical size of the loss's z and u at w = 0, (b, 1) each: the units of a start or a step. Without a loss, from the shifts."""
        if not any(block.is_loss for block in self.blocks):
            size = np.max([np.abs(sheet.shift).mean(axis=1) for block in self.blocks for sheet in block.sheets], axis=0)[:, None]
            size = np.where(size > 0, size, 1.0)
            return size, 2 * self.ridge[:, None] * size / self.loss_length**2
        sizes, slopes = [], []
        for piece in self.pieces:
            if self.blocks[piece.block].is_loss:
                zero = np.zeros((self.batch, len(piece.chunk)))
                if piece.sheet is None:
                    sizes.append(np.ones(self.batch))
                    slopes.append(np.abs(piece.smooth.gradient(zero)).mean(axis=1))  # type: ignore[union-attr]
                else:
                    v = zero - piece.sheet.shift
                    sizes.append(np.abs(v).mean(axis=1))
                    slopes.append(np.abs(piece.sheet.slope(v)).mean(axis=1))
        found = [np.mean(one, axis=0)[:, None] if one else np.ones((self.batch, 1)) for one in (sizes, slopes)]
        return tuple(np.where((one > 1e-290) & (one < 1e290), one, 1.0) for one in found)  # type: ignore[return-value]

    @cached_property
    def runs(self) -> list[Run]:
        """Everything but rows without sides, small forms stacked by which sides are bounded."""
        groups: dict[object, list[tuple[int, Piece]]] = {}
        for place, piece in enumerate(self.pieces):
            if piece.is_quadratic:
                continue
            stack = piece.sheet is not None and piece.chunk.kept
            key = (piece.sheet.low is None, piece.sheet.high is None) if stack and piece.sheet is not None else place
            groups.setdefault(key, []).append((place, piece))
        return [self._stack(tuple(members)) for members in groups.values()]

    def _stack(self, members: tuple[tuple[int, Piece], ...]) -> Run:
        if len(members) == 1:
            piece = members[0][1]
            return Run(members, piece.sheet, piece.smooth, piece.chunk, self._lengths[piece.block])
        sizes = [len(piece.chunk) for _, piece in members]
        sheets = [piece.sheet for _, piece in members if piece.sheet is not None]

        def side(name: str) -> Array | None:
            parts = [getattr(sheet, name) for sheet in sheets]
            if all(part is None for part in parts):
                return None
            wide = [np.broadcast_to(1.0 if part is None else part, (self.batch, size)) for part, size in zip(parts, sizes, strict=True)]
            return np.concatenate(wide, axis=1)

        sheet = Sheet(*(side(name) for name in ("quadratic", "shift", "low", "high", "active")))  # type: ignore[arg-type]
        lengths = np.concatenate([np.full(size, self._lengths[piece.block]) for size, (_, piece) in zip(sizes, members, strict=True)])
        key = tuple(id(piece.chunk) for _, piece in members)
        stacks = self.__dict__.setdefault("_stacked", {})
        if key not in stacks:
            stacks[key] = Chunk.of(np.concatenate([piece.chunk.matrix for _, piece in members]))
        return Run(members, sheet, None, stacks[key], lengths)

    @cached_property
    def at_zero(self) -> Array:
        """The loss at w = 0, (b,)."""
        total = np.zeros(self.batch)
        for piece in self.pieces:
            if self.blocks[piece.block].is_loss:
                zero = np.zeros((self.batch, len(piece.chunk)))
                total += (piece.smooth.at_zero() if piece.sheet is None else piece.sheet.value(zero - piece.sheet.shift)).sum(axis=1)  # type: ignore[union-attr]
        return total

    def size(self, value: Array) -> Array:
        """What a gap is relative to: |value|, but never less than FLOOR of the loss at w = 0."""
        return np.maximum(np.maximum(np.abs(value), FLOOR * self.at_zero), 1e-300)

    def off_balance(self, w: Array, residual: Array) -> Array:
        """What a residual of P w + Aᵀu = 0 costs, (b,): ½ ‖·‖² over the penalty, and where there is none, its size times that of w."""
        if self._all_penalized:
            return 0.5 * (np.square(residual) / self.penalty).sum(axis=1)
        safe = np.where(self.penalty > 0, self.penalty, 1.0)
        free = np.abs(residual) * np.maximum(np.abs(w), self.w_scale)
        return np.where(self.penalty > 0, 0.5 * np.square(residual) / safe, free).sum(axis=1)

    @cached_property
    def _all_penalized(self) -> bool:
        return bool((self.penalty > 0).all())

    @cached_property
    def sides(self) -> Array:
        """How many bounded sides the rows have, at least 1, (b,)."""
        return np.maximum(sum((np.broadcast_to(run.count, self.batch) for run in self.runs), np.zeros(self.batch)), 1)

    @cached_property
    def _column_square(self) -> Array:
        """Mean square of the loss's rows of A by column, (r,)."""
        loss = [piece.chunk for piece in self.pieces if self.blocks[piece.block].is_loss]
        total = sum(np.square(chunk.matrix).sum(axis=0) for chunk in loss)
        return np.maximum(total / max(sum(len(chunk) for chunk in loss), 1), 1e-300)

    @property
    def w_scale(self) -> Array:
        """The size of w that moves the loss's z by its own scale, (b, r)."""
        return self.scales[0] / np.sqrt(self._column_square)

    @property
    def anchor(self) -> Array:
        """A little curvature for unpenalised columns, (b, r): a Newton step without it may have none there."""
        z_scale, u_scale = self.scales
        return np.where(self.penalty > 0, 0.0, ANCHOR * len(self.design.x) * u_scale / z_scale * self._column_square)

    @cached_property
    def fixed(self) -> Fixed:
        """The quadratic of the rows without sides."""
        b, r = self.penalty.shape
        total = Fixed(np.zeros((b, r, r)), np.zeros((b, r)), np.zeros(b))

        def one(piece: Piece) -> tuple[Array, Array, Array]:
            a, sheet = piece.chunk.matrix, piece.sheet
            assert sheet is not None
            weight = np.broadcast_to((1.0 if sheet.active is None else sheet.active) / sheet.quadratic, (b, len(piece.chunk)))
            pull = weight * sheet.shift
            return piece.chunk.gram(a, weight), -pull @ a, 0.5 * (pull * sheet.shift).sum(axis=1)

        for h, pull, constant in each(one, [piece for piece in self.pieces if piece.is_quadratic]):
            total.h[:] += h
            total.b[:] += pull
            total.c[:] += constant
        return total

    def pieces_from_runs(self, of_runs: Sequence[Array], w: Array) -> list[Array]:
        """The pieces' duals: the runs' arrays cut up, and f'(A w) on pieces without kinks."""
        found = [self._slope(piece, w) if piece.is_quadratic or piece.smooth else w[:, :0] for piece in self.pieces]
        for run, array in zip(self.runs, of_runs, strict=True):
            low = 0
            for place, piece in run.members:
                if piece.smooth is None:
                    found[place] = array[:, low : low + len(piece.chunk)]
                low += len(piece.chunk)
        return found

    def slopes(self, w: Array) -> list[Array]:
        """f'(A w) of every piece, for forms without kinks."""
        return each(lambda piece: self._slope(piece, w), self.pieces)

    @staticmethod
    def _slope(piece: Piece, w: Array) -> Array:
        z = w @ piece.chunk.matrix.T
        return piece.smooth.gradient(z) if piece.sheet is None else piece.sheet.slope(z - piece.sheet.shift)  # type: ignore[union-attr]

    def cut(self, batch: np.ndarray) -> Form:
        """The same form for some of the problems."""
        part = Form(self.design, tuple(block.cut(batch) for block in self.blocks), self.ridge[batch])
        part.__dict__["_chunks"] = self._chunks
        if "fixed" in self.__dict__:
            part.__dict__["fixed"] = Fixed(self.fixed.h[batch], self.fixed.b[batch], self.fixed.c[batch])
        part.__dict__["_lengths"] = self._lengths
        if "at_zero" in self.__dict__:
            part.__dict__["at_zero"] = self.at_zero[batch]
        part.__dict__["_column_square"] = self._column_square
        if "scales" in self.__dict__:
            part.__dict__["scales"] = tuple(scale[batch] for scale in self.scales)
        part.__dict__["_stacked"] = self.__dict__.setdefault("_stacked", {})
        return part

    def forward(self, w: Array) -> list[Array]:
        """A w of every piece, each (b, rows)."""
        return each(lambda piece: w @ piece.chunk.matrix.T, self.pieces)

    def adjoint(self, duals: Sequence[Array]) -> Array:
        """Aᵀ u, shape (b, r)."""
        if not self.pieces:
            return np.zeros_like(self.penalty)
        return sum(each(lambda pair: pair[1] @ pair[0].chunk.matrix, list(zip(self.pieces, duals, strict=True))))  # type: ignore[return-value]

    def duals_of_blocks(self, duals: Sequence[Array]) -> list[Array]:
        """u_k of every term, (b, m) each: a term's sheets added up."""
        totals = [np.zeros((self.batch, block.rows.count)) for block in self.blocks]
        for piece, u in zip(self.pieces, duals, strict=True):
            totals[piece.block][:, piece.chunk.low : piece.chunk.high] += u
        return totals

    def split_duals(self, of_blocks: Sequence[Array]) -> list[Array]:
        """The pieces' duals from the terms' (b, m): clipped into each sheet's interval, what is left going to the next sheet."""
        found, left = [], [np.array(u, dtype=float) for u in of_blocks]
        for piece in self.pieces:
            rest = left[piece.block][:, piece.chunk.low : piece.chunk.high]
            u = piece.smooth.clip(rest) if piece.sheet is None else clip_dual(piece.sheet, rest)  # type: ignore[union-attr]
            rest -= u
            found.append(u)
        return found

    def spread(self, duals: Sequence[Array]) -> Array:
        """Σ_k S_kᵀ u_k over the base rows, shape (b, N)."""
        size = len(self.design.matrix)
        total = np.zeros((self.batch, size))
        for block, u in zip(self.blocks, self.duals_of_blocks(duals), strict=True):
            total += block.rows.spread(u, size)
        return total
