"""The row operator A = S B of a form: the rows of all terms concatenated, processed a block at a time.

Small forms keep the matrices of their blocks, and adjacent rows of the same kind share one; large forms compute them
from B on use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hw4opt.form.chunks import Chunk, chunks, is_small
from hw4opt.running.array_files import large_array
from hw4opt.running.threads import MIN_PARALLEL_ITEMS, parallel_map
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap
from hw4opt.validation.frozen import cached_property

SHORTEST_ROW = 1e-3  # of the typical row: no row counts as shorter


@dataclass(frozen=True, eq=False)
class Segment:
    """The rows of one row map, and their places in the table of all rows."""

    map: RowMap
    span: slice


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of one kind that are processed together: their indices, and their segments."""

    operator: RowOperator
    span: slice
    kind: Hashable
    segments: Sequence[Segment]
    made: Chunk | None = None  # of rows whose part of A is not kept

    @cached_property
    def chunk(self) -> Chunk:
        """Their part of A."""
        if self.made is not None:
            return self.made
        assert self.operator.whole is not None
        return Chunk.of(self.operator.whole[self.span])

    @property
    def matrix(self) -> Array:
        return self.chunk.matrix

    @property
    def length(self) -> Array | float:
        """Their typical length, (m,) or one number."""
        alone = len(self.segments) == 1 and (self.made is not None or self.segments[0].map.coef is None)
        return self.operator.typical_length(self.segments[0].map) if alone else self.operator.lengths[self.span]


class Spanned(Protocol):
    """The entries of an array over all rows at some indices."""

    @property
    def span(self) -> slice: ...


B = TypeVar("B", bound=Spanned)


def rows_of_blocks(batch: int, size: int, blocks: Sequence[B], act: Callable[[B], Array]) -> Array:
    """The array (batch, size) of the results of `act` for each block."""
    found = large_array(batch, size)
    if len(blocks) < MIN_PARALLEL_ITEMS:
        for block in blocks:
            found[:, block.span] = act(block)
        return found

    def fill(block: B) -> None:
        found[:, block.span] = act(block)

    parallel_map(fill, blocks)
    return found


class RowOperator:
    """A (M, r) over the maps' rows, for w (b, r) and u (b, M); kinds() is the kind of the functions of each map's rows,
    by which blocks are formed."""

    def __init__(self, maps: Sequence[RowMap], kinds: Callable[[], Sequence[Hashable]], matrix: Array) -> None:
        self.base, self.kinds = matrix, kinds
        edges = [0, *accumulate([one.count for one in maps])]
        self.segments = [Segment(one, slice(*span)) for one, span in zip(maps, pairwise(edges), strict=True)]
        self.size = edges[-1]

    @cached_property
    def whole(self) -> Array | None:
        """A, if it is small enough to be kept."""
        if not is_small(self.size, self.base.shape[1]):
            return None
        if len(self.segments) == 1:
            return self.segments[0].map.take(self.base)
        found = np.empty((self.size, self.base.shape[1]))
        for one in self.segments:
            found[one.span] = one.map.take(self.base)
        return found

    @cached_property
    def _chunks(self) -> dict[int, list[Chunk]]:
        """Of every row map; terms may share one."""
        return {id(one.map): list(chunks(one.map, self.base)) for one in self.segments}

    @cached_property
    def blocks(self) -> list[Block]:
        there = [pair for pair in zip(self.segments, self.kinds(), strict=True) if pair[0].map.count]
        if self.whole is None:
            return [
                Block(self, slice(one.span.start + chunk.low, one.span.start + chunk.high), kind, [one], chunk)
                for one, kind in there
                for chunk in self._chunks[id(one.map)]
            ]
        groups = [(kind, [one for one, _ in pairs]) for kind, pairs in groupby(there, key=lambda pair: pair[1])]
        return [Block(self, slice(one[0].span.start, one[-1].span.stop), kind, one) for kind, one in groups]

    @cached_property
    def lengths(self) -> Array:
        """The typical length of every row, (M,): of differences, which are as short as their points are near, each
        row's own where A is kept; of others that of their map."""
        found = large_array(self.size)
        for one in self.segments:
            typical = self.typical_length(one.map)
            if self.whole is not None and one.map.coef is not None:
                rows = self.whole[one.span]
                np.maximum(np.sqrt(np.vecdot(rows, rows)), SHORTEST_ROW * typical, out=found[one.span])
            else:
                found[one.span] = typical
        return found

    @cached_property
    def amplification(self) -> Array:
        """Σ|coef| of every row, (M,)."""
        return self._of_maps(lambda rows: rows.total, float)

    @cached_property
    def differences(self) -> NDArray[np.bool_]:
        """(M,) True for rows with coefficients of their own."""
        return self._of_maps(lambda rows: rows.coef is not None, bool)

    def _of_maps(self, act: Callable[[RowMap], Array | float], dtype: type) -> NDArray[Any]:
        found = np.empty(self.size, dtype)
        for one in self.segments:
            found[one.span] = act(one.map)
        return found

    def forward(self, w: Array) -> Array:
        """A w, (b, M)."""
        if self.whole is not None:
            return w @ self.whole.T
        return self.by_block(len(w), lambda block: w @ block.matrix.T)

    def adjoint(self, u: Array) -> Array:
        """Aᵀu, (b, r)."""
        if self.whole is not None:
            return u @ self.whole
        return sum(self.adjoint_of_segments(u), np.zeros((len(u), self.base.shape[1])))

    def adjoint_of_segments(self, u: Array) -> list[Array]:
        """Aᵀu over the rows of each segment, (b, r)."""
        if (a := self.whole) is not None:
            return [u[:, one.span] @ a[one.span] for one in self.segments]
        parts = parallel_map(lambda block: (block.span, u[:, block.span] @ block.matrix), self.blocks)
        zero = np.zeros((len(u), self.base.shape[1]))
        return [
            sum((part for span, part in parts if one.span.start <= span.start < one.span.stop), zero)
            for one in self.segments
        ]

    def gram(self, weights: Array) -> Array:
        """Aᵀ diag(weights) A, (b, r, r), for weights (b, M)."""
        r = self.base.shape[1]
        parts = parallel_map(lambda block: block.chunk.gram(block.matrix, weights[:, block.span]), self.blocks)
        return sum(parts, np.zeros((len(weights), r, r)))

    def by_block(self, batch: int, act: Callable[[Block], Array]) -> Array:
        """The array (batch, M) of the results of `act` for each block."""
        return rows_of_blocks(batch, self.size, self.blocks, act)

    @cached_property
    def _column_squares(self) -> dict[int, Array]:
        if self.whole is not None:
            of_map = {id(one.map): self.whole[one.span] for one in self.segments}
            return {key: np.einsum("ij,ij->j", rows, rows) for key, rows in of_map.items()}
        zero = np.zeros(self.base.shape[1])
        return {
            key: sum(parallel_map(lambda chunk: np.square(chunk.matrix).sum(axis=0), parts), zero)
            for key, parts in self._chunks.items()
        }

    def column_squares(self, rows: RowMap) -> Array:
        """Sums of squares of A by column over the rows of one map, (r,)."""
        return self._column_squares[id(rows)]

    def typical_length(self, rows: RowMap) -> float:
        """Root mean square row of A over the rows of one map; 1 where that is 0."""
        return math.sqrt(self.column_squares(rows).sum() / max(rows.count, 1)) or 1.0
