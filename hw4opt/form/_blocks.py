"""The rows of a form a block at a time: indices, part of A, functions, and terms; or only their functions, a piece at a
time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hw4opt.form.box_rows import BoxRows
from hw4opt.form.chunks import CHUNK_ROWS, Chunk
from hw4opt.form.operator import Block, RowOperator
from hw4opt.form.term_rows import Rows, TermRows
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property


class Kind(NamedTuple):
    """The kind of rows for solvers: smooth, or whether duals are bounded below and above; without bounds f is
    quadratic."""

    smooth: bool
    low_bounded: bool
    high_bounded: bool

    @classmethod
    def of(cls, rows: Rows) -> Kind:
        return cls(False, rows.low_bounded, rows.high_bounded) if isinstance(rows, BoxRows) else cls(True, False, False)

    @property
    def is_quadratic(self) -> bool:
        """Whether u = (z - shift)/quadratic everywhere."""
        return not (self.smooth or self.low_bounded or self.high_bounded)


class TermSlice(NamedTuple):
    """The rows of a block that belong to a term, counted from 0 in both."""

    term: int
    rows: slice


class Function(NamedTuple):
    """One function of a term: the term's number, the indices of its rows, the functions of these rows."""

    term: int
    span: slice
    rows: Rows


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Rows that are processed together: their indices among all rows, their part of A, their functions."""

    block: Block
    span: slice
    kind: Kind
    functions: Sequence[Function]  # that have rows here

    @property
    def chunk(self) -> Chunk:
        """Their part of A, and products with it."""
        return self.block.chunk

    @property
    def length(self) -> Array | float:
        """The typical length of the rows of A, (m,) or one number."""
        return self.block.length

    @cached_property
    def rows(self) -> Rows:
        """Their functions."""
        first = self.functions[0]
        if len(self.functions) > 1:
            boxes = [one.rows for one in self.functions if isinstance(one.rows, BoxRows)]
            return BoxRows.join(boxes, [one.span.stop - one.span.start for one in self.functions])
        if self.span == first.span:
            return first.rows
        return first.rows.cut(slice(self.span.start - first.span.start, self.span.stop - first.span.start))

    @property
    def parts(self) -> list[TermSlice]:
        """The terms of the rows."""
        low, high = self.span.start, self.span.stop
        return [
            TermSlice(one.term, slice(max(one.span.start, low) - low, min(one.span.stop, high) - low))
            for one in self.functions
        ]

    @property
    def matrix(self) -> Array:
        """Their part of A, (m, r)."""
        return self.chunk.matrix

    @property
    def count(self) -> int:
        return self.span.stop - self.span.start

    def gram(self, weights: Array) -> Array:
        """AᵀWA, (b, r, r), for weights (b, m)."""
        return self.chunk.gram(self.chunk.matrix, weights)


def row_blocks(operator: RowOperator, terms: Sequence[TermRows]) -> list[RowBlock]:
    """The blocks of the operator of these terms, with their functions."""
    listed = [(number, rows) for number, term in enumerate(terms) for rows in term.functions]
    functions = [
        Function(number, segment.span, rows) for (number, rows), segment in zip(listed, operator.segments, strict=True)
    ]
    return [_with_functions(block, functions) for block in operator.blocks]


def _with_functions(block: Block, functions: Sequence[Function]) -> RowBlock:
    low, high = block.span.start, block.span.stop
    inside = [one for one in functions if one.span.start < high and low < one.span.stop]
    assert isinstance(block.kind, Kind)
    return RowBlock(block, block.span, block.kind, inside)


class Piece(NamedTuple):
    """Rows that are processed together: their indices, and their functions."""

    span: slice
    rows: Rows


def pieces_of(rows: Rows, low: int, high: int) -> list[Piece]:
    """The rows low … high - 1, some at a time."""
    if high - low <= CHUNK_ROWS:
        return [Piece(slice(low, high), rows)] if low < high else []
    spans = [slice(start, min(start + CHUNK_ROWS, high)) for start in range(low, high, CHUNK_ROWS)]
    return [Piece(span, rows.cut(slice(span.start - low, span.stop - low))) for span in spans]
