"""The row operator A = S B of a form: every term's rows behind each other, visited a block at a time.

Blocks are its own affair: rows of small forms keep their matrix, and neighbours that solvers treat alike share one;
large forms make theirs from B when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np

from hw4opt.form.chunks import Chunk, chunks
from hw4opt.running.threads import FEWEST_ITEMS, parallel_map
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap

SHORTEST_ROW = 1e-3  # of the typical row: no row counts as shorter


@dataclass(frozen=True, eq=False)
class Segment:
    """The rows of one row map: their places in the table of all rows, and what kind of functions they have."""

    map: RowMap
    span: slice
    kind: Hashable


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that are visited together: their places, their part of A, their kind, and the typical length of each, (m,)
    or one number."""

    span: slice
    chunk: Chunk
    kind: Hashable
    length: Array | float

    @property
    def matrix(self) -> Array:
        return self.chunk.matrix


class Spanned(Protocol):
    """What stands at some places of the table of all rows."""

    @property
    def span(self) -> slice: ...


B = TypeVar("B", bound=Spanned)


def rows_of_blocks(batch: int, size: int, blocks: Sequence[B], act: Callable[[B], Array]) -> Array:
    """The array (batch, size) of what `act` gives for each block."""
    found = np.empty((batch, size))
    if len(blocks) < FEWEST_ITEMS:
        for block in blocks:
            found[:, block.span] = act(block)
        return found

    def fill(block: B) -> None:
        found[:, block.span] = act(block)

    parallel_map(fill, blocks)
    return found


class RowOperator:
    """A (M, r) over the maps' rows, for w (b, r) and u (b, M)."""

    def __init__(self, maps: Sequence[RowMap], kinds: Sequence[Hashable], matrix: Array) -> None:
        self.base = matrix
        edges = np.cumsum([0, *(one.count for one in maps)]).tolist()
        spans = [slice(low, high) for low, high in pairwise(edges)]
        self.segments = [Segment(*row) for row in zip(maps, spans, kinds, strict=True)]
        self.size = edges[-1]

    @cached_property
    def _chunks(self) -> dict[int, list[Chunk]]:
        """Of every row map; terms may share one."""
        return {id(one.map): list(chunks(one.map, self.base)) for one in self.segments}

    @cached_property
    def blocks(self) -> list[Block]:
        found: list[Block] = []
        for group in self._groups():
            if len(group) > 1:
                matrix = np.concatenate([self._chunks[id(one.map)][0].matrix for one in group])
                lengths = [
                    np.broadcast_to(self._row_lengths(one, self._chunks[id(one.map)][0]), one.map.count)
                    for one in group
                ]
                span = slice(group[0].span.start, group[-1].span.stop)
                found.append(Block(span, Chunk.of(matrix), group[0].kind, np.concatenate(lengths)))
                continue
            (one,) = group
            for chunk in self._chunks[id(one.map)]:
                span = slice(one.span.start + chunk.low, one.span.start + chunk.high)
                found.append(Block(span, chunk, one.kind, self._row_lengths(one, chunk)))
        return found

    def _groups(self) -> list[list[Segment]]:
        """Neighbours of one kind whose matrices are kept."""
        groups: list[list[Segment]] = []
        for one in self.segments:
            if not one.map.count:
                continue
            joins = bool(groups) and groups[-1][0].kind == one.kind
            if joins and all(self._chunks[id(other.map)][0].kept for other in (*groups[-1], one)):
                groups[-1].append(one)
            else:
                groups.append([one])
        return groups

    def _row_lengths(self, segment: Segment, chunk: Chunk) -> Array | float:
        """Of differences, which are as short as their points are near, each row's own where A is kept; of others the
        typical length."""
        typical = self.typical_length(segment.map)
        if chunk.rows.coef is None or not chunk.kept:
            return typical
        return np.maximum(np.linalg.norm(chunk.matrix, axis=1), SHORTEST_ROW * typical)

    def forward(self, w: Array) -> Array:
        """A w, (b, M)."""
        return self.by_block(len(w), lambda block: w @ block.matrix.T)

    def adjoint(self, u: Array) -> Array:
        """Aᵀu, (b, r)."""
        zero = np.zeros((len(u), self.base.shape[1]))
        return sum(parallel_map(lambda block: u[:, block.span] @ block.matrix, self.blocks), zero)

    def gram(self, weights: Array) -> Array:
        """Aᵀ diag(weights) A, (b, r, r), for weights (b, M)."""
        r = self.base.shape[1]
        parts = parallel_map(lambda block: block.chunk.gram(block.matrix, weights[:, block.span]), self.blocks)
        return sum(parts, np.zeros((len(weights), r, r)))

    def by_block(self, batch: int, act: Callable[[Block], Array]) -> Array:
        """The array (batch, M) of what `act` gives for each block."""
        return rows_of_blocks(batch, self.size, self.blocks, act)

    @cached_property
    def _column_squares(self) -> dict[int, Array]:
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
        return float(np.sqrt(self.column_squares(rows).sum() / max(rows.count, 1))) or 1.0
