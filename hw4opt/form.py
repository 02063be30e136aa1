"""The algebra of a problem: minimise over w in R^r   ridge ‖w‖² + Σ_k f_k(A_k w + c_k),  A_k = S_k B,  for a batch over one B.

Piecewise linear-quadratic terms arrive as sheets f*(u) = ½ q u² + shift·u on low ≤ u ≤ high, with the offset c folded into the shift;
smooth losses as gradient and curvature. Solvers see pieces: uniform runs of rows, with no term's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hw4opt.blocks import Block, Fixed, Piece, Run, Sheet, clip_dual
from hw4opt.design import Design
from hw4opt.gap_scale import Reference, excess_of_pieces, median_of_positive, reference
from hw4opt.pricing import stationarity_cost
from hw4opt.rows import Chunk, chunks, each
from hw4opt.terms.base import Array

SHORTEST = 1e-3  # of the typical row: no row counts as shorter
EMPTY_COLUMN_SQUARE = 1e-290  # mean square of a column that is 0 in every row
ANCHOR = 1e-6  # of the curvature that the loss would have if all its rows were free


@dataclass(frozen=True, eq=False)
class Units:
    """In what a scaled form is measured: z = size·z', f = worth·f' (b, 1 each)."""

    size: Array
    worth: Array

    def cut(self, batch: np.ndarray) -> Units:
        return Units(self.size[batch], self.worth[batch])


@dataclass(frozen=True, eq=False)
class Form:
    """The batch's algebra.

    penalty    (b, r): the quadratic is ½ wᵀ diag(penalty) w, 2 ridge on penalised columns and 0 on others
    matrix     (N, r) B, the design's functionals over the columns in use
    units      None for the form as the user wrote it; what a scaled one is measured in (equilibrate.py)
    """

    design: Design
    blocks: tuple[Block, ...]
    penalty: Array
    matrix: Array
    units: Units | None = None

    @property
    def batch(self) -> int:
        return len(self.penalty)

    @cached_property
    def ridge(self) -> Array:
        """The weight of ‖w‖², (b,); 0 where no column is penalised."""
        return 0.5 * self.penalty.max(axis=1, initial=0.0)

    @cached_property
    def _chunks(self) -> dict[int, list[Chunk]]:
        """Chunks by row map, shared by blocks that share it."""
        return {id(block.rows): list(chunks(block.rows, self.matrix)) for block in self.blocks}

    @cached_property
    def pieces(self) -> list[Piece]:
        found, low = [], 0
        for number, block in enumerate(self.blocks):
            for sheet in (*block.sheets, *([None] if block.smooth else [])):
                for chunk in self._chunks[id(block.rows)]:
                    rows, span = slice(chunk.low, chunk.high), slice(low, low + len(chunk))
                    smooth = block.smooth.cut(rows) if block.smooth and sheet is None else None
                    found.append(Piece(chunk, number, span, None if sheet is None else sheet.cut(rows), smooth))
                    low = span.stop
        return found

    @property
    def size(self) -> int:
        """M: the rows of all terms, those of two pieces twice; the length of a dual vector."""
        return self.pieces[-1].span.stop if self.pieces else 0

    def by_piece(self, rows: Array) -> list[Array]:
        """An array (b, M) of all rows, cut up."""
        return [rows[:, piece.span] for piece in self.pieces]

    def of_pieces(self, act: Callable[[Piece], Array]) -> Array:
        """The array (b, M) of all rows that `act` gives piece by piece."""
        found = np.empty((self.batch, self.size))

        def fill(piece: Piece) -> None:
            found[:, piece.span] = act(piece)

        each(fill, self.pieces)
        return found

    @cached_property
    def _squares(self) -> dict[int, Array]:
        """Sums of squares of A by column, (r,), by row map."""
        return {
            key: sum(each(lambda chunk: np.square(chunk.matrix).sum(axis=0), parts), np.zeros(self.matrix.shape[1]))
            for key, parts in self._chunks.items()
        }

    @cached_property
    def _lengths(self) -> list[float]:
        """Root mean square row of A, by block."""
        return [float(np.sqrt(self._squares[id(block.rows)].sum() / max(block.rows.count, 1))) or 1.0 for block in self.blocks]

    def column_lengths(self, block: int) -> Array:
        """‖a_j‖ over the rows of a block, (r,)."""
        return np.sqrt(self._squares[id(self.blocks[block].rows)])

    @property
    def loss_length(self) -> float:
        return self._lengths[0]

    @cached_property
    def scales(self) -> tuple[Array, Array]:
        """Typical size of the loss's z and u at w = 0, (b, 1) each: medians, which no outlier moves. Without a loss, from the shifts."""
        if not any(block.is_loss for block in self.blocks):
            size = np.max([np.abs(sheet.shift).mean(axis=1) for block in self.blocks for sheet in block.sheets], axis=0)[:, None]
            size = np.where(size > 0, size, 1.0)
            return size, self.penalty.max(axis=1, keepdims=True) * size / self.loss_length**2
        loss = self.blocks[0]
        if loss.smooth is not None:
            term, targets = loss.smooth.term, loss.smooth.targets
            curvature = loss.smooth.weights * term.curvature(term.guess(targets), targets)
            found = np.ones((self.batch, 1)), curvature.mean(axis=1, keepdims=True)
        else:
            v = [np.broadcast_to(-sheet.shift, (self.batch, loss.rows.count)) for sheet in loss.sheets]
            slopes = [sheet.slope(one) for sheet, one in zip(loss.sheets, v, strict=True)]
            found = [np.mean([median_of_positive(np.abs(one)) for one in each], axis=0)[:, None] for each in (v, slopes)]
        return tuple(np.where((one > 1e-290) & (one < 1e290), one, 1.0) for one in found)  # type: ignore[return-value]

    @cached_property
    def runs(self) -> list[Run]:
        """Everything but rows without sides, small forms stacked by which sides are bounded."""
        groups: dict[object, list[Piece]] = {}
        for piece in self.pieces:
            if piece.is_quadratic:
                continue
            stack = piece.sheet is not None and piece.chunk.kept
            key = (piece.sheet.low is None, piece.sheet.high is None) if stack and piece.sheet is not None else piece.span.start
            groups.setdefault(key, []).append(piece)
        return [self._stack(tuple(members)) for members in groups.values()]

    def _stack(self, members: tuple[Piece, ...]) -> Run:
        if len(members) == 1:
            piece = members[0]
            return Run(members, piece.sheet, piece.smooth, piece.chunk, self._row_lengths(piece))
        sizes = [len(piece.chunk) for piece in members]
        sheets = [piece.sheet for piece in members if piece.sheet is not None]

        def side(name: str) -> Array | None:
            parts = [getattr(sheet, name) for sheet in sheets]
            if all(part is None for part in parts):
                return None
            wide = [np.broadcast_to(1.0 if part is None else part, (self.batch, size)) for part, size in zip(parts, sizes, strict=True)]
            return np.concatenate(wide, axis=1)

        sheet = Sheet(*(side(name) for name in ("quadratic", "shift", "low", "high", "active")))  # type: ignore[arg-type]
        lengths = np.concatenate([np.broadcast_to(self._row_lengths(piece), size) for size, piece in zip(sizes, members, strict=True)])
        key = tuple(id(piece.chunk) for piece in members)
        stacks = self.__dict__.setdefault("_stacked", {})
        if key not in stacks:
            stacks[key] = Chunk.of(np.concatenate([piece.chunk.matrix for piece in members]))
        return Run(members, sheet, None, stacks[key], lengths)

    @cached_property
    def target_spread(self) -> Array:
        """The interquartile range of the loss's targets (their range where that is 0), (b,): a unit of y.

        1 where they are equal, and for smooth losses, whose z has a unit of its own.
        """
        offset = self.blocks[0].offset
        if offset.shape[1] == 1 or self.blocks[0].smooth is not None:
            return np.ones(self.batch)
        quarter = (offset.shape[1] - 1) // 4
        ranked = np.partition(offset, (quarter, -1 - quarter), axis=1)
        middle = ranked[:, -1 - quarter] - ranked[:, quarter]
        spread = np.where(middle > 0, middle, np.ptp(offset, axis=1))
        return np.where(spread > 0, spread, 1.0)

    def _row_lengths(self, piece: Piece) -> Array | float:
        """Typical length of the rows of A: of differences, which are as short as their points are near, each row's own where A is kept."""
        typical = self._lengths[piece.block]
        if piece.chunk.rows.coef is None or not piece.chunk.kept:
            return typical
        return np.maximum(np.linalg.norm(piece.chunk.matrix, axis=1), SHORTEST * typical)

    @cached_property
    def reference(self) -> Reference:
        """The trivial fit, beside which a gap is judged."""
        charged = self.ridge * np.square(self.target_spread) / self.design.largest
        return reference(self.blocks[0], self.design.intercept, charged)

    def gap_scale(self, w: Array, gap: Array, zs: Sequence[Array] | None = None) -> Array:
        """What a gap (b,) at w is relative to (gap_scale.py); `zs`: A w by piece, if it is known. Infinite without a loss."""
        if not self.blocks or not self.blocks[0].is_loss:
            return np.full(self.batch, np.inf)
        zs = [w @ piece.chunk.matrix.T if piece.block == 0 or piece.sheet is not None else w for piece in self.pieces] if zs is None else zs
        pairs = list(zip(self.pieces, zs, strict=True))
        penalties = 0.5 * np.vecdot(w, self.penalty * w)
        for piece, z in pairs:
            if piece.block > 0 and piece.sheet is not None:
                value = piece.sheet.value(z - piece.sheet.shift)
                value = value if piece.sheet.active is None else value * piece.sheet.active
                penalties = penalties + np.where(np.isfinite(value), value, 0.0).sum(axis=1)
        loss = [pair for pair in pairs if pair[0].block == 0]
        excess = excess_of_pieces(self.blocks[0], [piece for piece, _ in loss], [z for _, z in loss])
        return self.reference.scale(excess, penalties, gap)

    def stationarity_cost(self, w: Array, residual: Array) -> Array:
        """What a residual of P w + Aᵀu = 0 costs, (b,)."""
        return stationarity_cost(self.penalty, residual, w, self.w_scale)

    @cached_property
    def sides(self) -> Array:
        """How many bounded sides the rows have, at least 1, (b,)."""
        return np.maximum(sum((np.broadcast_to(run.count, self.batch) for run in self.runs), np.zeros(self.batch)), 1)

    @cached_property
    def column_square(self) -> Array:
        """Mean square of the loss's rows of A by column, (r,)."""
        loss = self.blocks[0].rows if self.blocks and self.blocks[0].is_loss else None
        total = np.zeros(self.matrix.shape[1]) if loss is None else self._squares[id(loss)] / max(loss.count, 1)
        return np.maximum(total, 1e-300)

    @property
    def w_scale(self) -> Array:
        """The size of w that moves the loss's z by its own scale, (b, r); 0 for a column that is 0 in every row of the loss."""
        return np.where(self.column_square > EMPTY_COLUMN_SQUARE, self.scales[0] / np.sqrt(self.column_square), 0.0)

    @property
    def anchor(self) -> Array:
        """A little curvature for unpenalised columns, (b, r): a Newton step without it may have none there."""
        z_scale, u_scale = self.scales
        return np.where(self.penalty > 0, 0.0, ANCHOR * len(self.design.x) * u_scale / z_scale * self.column_square)

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

    def duals_from_runs(self, of_runs: Sequence[Array], w: Array) -> Array:
        """u (b, M): the runs' arrays, and f'(A w) on rows without kinks."""
        given: dict[int, Array] = {}
        for run, array in zip(self.runs, of_runs, strict=True):
            low = 0
            for piece in run.members:
                if piece.smooth is None:
                    given[piece.span.start] = array[:, low : low + len(piece.chunk)]
                low += len(piece.chunk)
        return self.of_pieces(lambda piece: given[piece.span.start] if piece.span.start in given else self._slope(piece, w))

    def slopes(self, w: Array) -> Array:
        """f'(A w) of every row (b, M), for forms without kinks."""
        return self.of_pieces(lambda piece: self._slope(piece, w))

    @staticmethod
    def _slope(piece: Piece, w: Array) -> Array:
        z = w @ piece.chunk.matrix.T
        return piece.smooth.gradient(z) if piece.sheet is None else piece.sheet.slope(z - piece.sheet.shift)  # type: ignore[union-attr]

    def cut(self, batch: np.ndarray) -> Form:
        """The same form for some of the problems."""
        units = None if self.units is None else self.units.cut(batch)
        part = Form(self.design, tuple(block.cut(batch) for block in self.blocks), self.penalty[batch], self.matrix, units)
        part.__dict__["_chunks"] = self._chunks
        part.__dict__["_squares"] = self._squares
        part.__dict__["_stacked"] = self.__dict__.setdefault("_stacked", {})
        for name in ("fixed", "reference"):
            if name in self.__dict__:
                part.__dict__[name] = self.__dict__[name].cut(batch)
        if "scales" in self.__dict__:
            part.__dict__["scales"] = tuple(scale[batch] for scale in self.scales)
        return part

    def forward(self, w: Array) -> Array:
        """A w, (b, M)."""
        return self.of_pieces(lambda piece: w @ piece.chunk.matrix.T)

    def adjoint(self, u: Array) -> Array:
        """Aᵀ u, shape (b, r)."""
        return sum(each(lambda piece: u[:, piece.span] @ piece.chunk.matrix, self.pieces), np.zeros_like(self.penalty))

    def duals_of_blocks(self, u: Array) -> list[Array]:
        """u of every block, (b, m) each: its sheets added up."""
        totals = [np.zeros((self.batch, block.rows.count)) for block in self.blocks]
        for piece in self.pieces:
            totals[piece.block][:, piece.chunk.low : piece.chunk.high] += u[:, piece.span]
        return totals

    def duals_of_terms(self, u: Array) -> dict[str, Array]:
        """u of every term by name, (b, m) each."""
        found: dict[str, Array] = {}
        for block, of_block in zip(self.blocks, self.duals_of_blocks(u), strict=True):
            found |= block.split(of_block)
        return found

    def split_duals(self, of_blocks: Sequence[Array]) -> Array:
        """u (b, M) from the duals of the blocks (b, m): clipped into each sheet's interval, what is left going to the next sheet."""
        found, left = np.empty((self.batch, self.size)), [np.array(u, dtype=float) for u in of_blocks]
        for piece in self.pieces:
            rest = left[piece.block][:, piece.chunk.low : piece.chunk.high]
            u = piece.smooth.clip(rest) if piece.sheet is None else clip_dual(piece.sheet, rest)  # type: ignore[union-attr]
            rest -= u
            found[:, piece.span] = u
        return found

    def spread(self, u: Array) -> Array:
        """Sᵀ u over the base rows, shape (b, N)."""
        size = len(self.matrix)
        total = np.zeros((self.batch, size))
        for block, of_block in zip(self.blocks, self.duals_of_blocks(u), strict=True):
            total += block.rows.spread(of_block, size)
        return total
