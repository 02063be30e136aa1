"""Sources of rows that may exceed memory: each pass reads them one block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.problem import Data
from hw4opt.running.processes import Executor, Workers
from hw4opt.running.threads import ordered_map, tree_reduce
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked

BLOCK_ROWS = 16_384  # rows per block: blocks, and so sums, do not depend on the parts that a source yields

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class DataRows:
    """m rows: y (m,), x (m, d), weights and offset (m,); x is None if it was not requested, weights and offset if there
    are none. `numbers` (m,): indices of the rows in the source, None outside blocks."""

    y: Array
    x: Array | None = None
    weights: Array | None = None
    offset: Array | None = None
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def cut(self, rows: slice | np.ndarray) -> DataRows:
        """The selected rows."""
        columns = (self.x, self.weights, self.offset, self.numbers)
        others = (None if one is None else one[rows] for one in columns)
        return DataRows(self.y[rows], *others)

    @classmethod
    def join(cls, parts: list[DataRows]) -> DataRows:
        """The rows of the parts, concatenated."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*((part.x, part.weights, part.offset, part.numbers) for part in parts), strict=True)
        others = (None if group[0] is None else np.concatenate(group) for group in columns)
        return cls(np.concatenate([part.y for part in parts]), *others)


@runtime_checkable
class RowSource(Protocol):
    """A source of rows, as files or arrays.

    Every call yields the same finite numbers in the same order, in parts of any size. A cell that is not a number, a
    missing column or a damaged file raises `InputError`.
    """

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        """All rows in order; x may be None if `with_x` is False."""
        ...


class NumberedRows(RowSource, Protocol):
    """A source that can read a range of rows by number, so that several workers can read it in parallel."""

    def row_count(self) -> int:
        """The number of rows. Raises `RefusedError` if finding it takes a read of all rows."""
        ...

    def between(self, low: int, high: int) -> Iterator[DataRows]:
        """Rows low … high - 1, with x, in parts of any size."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """Rows of arrays in memory, checked as those of a `Problem`."""

    data: Data

    @classmethod
    @checked
    def of(
        cls, x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> ArrayRows:
        """x (n,) or (n, d); y, weights and offset (n,). Raises `InputError` as `Data`."""
        return cls(Data(x, y, weights, offset))

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        """All rows as one part."""
        data = self.data
        yield DataRows(data.y, data.x if with_x else None, data.weights, data.offset)

    def row_count(self) -> int:
        """The number of rows."""
        return len(self.data.y)

    def between(self, low: int, high: int) -> Iterator[DataRows]:
        """Rows low … high - 1."""
        for part in self.parts(True):
            yield part.cut(slice(low, high))


@runtime_checkable
class BlockSums(Protocol):
    """Sums over all rows, or the rows themselves: the interface between a fit and its rows.

    `passes` counts the reads of all rows. `total` applies `act` to each block and combines the results in pairs, in a
    tree that depends only on the number of blocks (`tree_reduce`), so that the result does not depend on threads or
    workers; None if there are no rows. `rows` yields the blocks themselves, with x, for fits with a dual variable per
    row; `executor` runs several such fits.
    """

    passes: int

    @property
    def executor(self) -> Executor: ...

    def rows(self) -> Iterator[DataRows]: ...

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None: ...


@dataclass(eq=False)
class SourceSums:
    """Sums over the rows of a source, computed by the threads of this process."""

    source: RowSource
    passes: int = 0

    @property
    def executor(self) -> Executor:
        """Runs fits sequentially, in this process."""
        return Workers(1)

    def rows(self) -> Iterator[DataRows]:
        """All rows in blocks."""
        self.passes += 1
        return in_blocks(self.source.parts(with_x=True))

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None:
        self.passes += 1
        return tree_reduce(combine, ordered_map(act, in_blocks(self.source.parts(with_x))))


def in_blocks(parts: Iterable[DataRows], first: int = 0) -> Iterator[DataRows]:
    """The rows in blocks of BLOCK_ROWS, the last one possibly shorter, numbered from `first`."""
    for block in _cut(parts):
        yield replace(block, numbers=np.arange(first, first + len(block)))
        first += len(block)


def _cut(parts: Iterable[DataRows]) -> Iterator[DataRows]:
    size = BLOCK_ROWS
    pending: list[DataRows] = []
    pending_rows = 0
    for part in parts:
        low = 0
        while len(part) - low >= size - pending_rows:
            high = low + size - pending_rows
            yield DataRows.join([*pending, part.cut(slice(low, high))])
            pending, pending_rows, low = [], 0, high
        if low < len(part):
            pending.append(part.cut(slice(low, None)))
            pending_rows += len(part) - low
    if pending:
        yield DataRows.join(pending)


def hashed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """(m,) pseudo-random 64-bit hashes of the numbers (m,), different for each seed.   (splitmix64: Steele, Lea and
    Flood 2014.)"""
    with np.errstate(over="ignore"):
        start = np.uint64(seed % (1 << 63)) * np.uint64(0xD1342543DE82EF95)
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return mixed ^ (mixed >> np.uint64(31))
