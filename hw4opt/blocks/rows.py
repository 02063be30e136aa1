"""Rows that memory need not hold: a source gives them a block at a time, as often as it is asked."""

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

BLOCK_ROWS = 16_384  # rows of a block, whatever parts the source has: sums do not depend on those

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class DataRows:
    """m rows: y (m,), x (m, d), weights and offset (m,); x is None where it was not asked for, weights and offset where
    there are none. Of rows in blocks, numbers (m,) are their places in the source, from 0."""

    y: Array
    x: Array | None = None
    weights: Array | None = None
    offset: Array | None = None
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def cut(self, rows: slice | np.ndarray) -> DataRows:
        """Some of the rows."""
        columns = (self.x, self.weights, self.offset, self.numbers)
        others = (None if one is None else one[rows] for one in columns)
        return DataRows(self.y[rows], *others)

    @classmethod
    def join(cls, parts: list[DataRows]) -> DataRows:
        """The rows of the parts behind each other."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*((part.x, part.weights, part.offset, part.numbers) for part in parts), strict=True)
        others = (None if group[0] is None else np.concatenate(group) for group in columns)
        return cls(np.concatenate([part.y for part in parts]), *others)


@runtime_checkable
class RowSource(Protocol):
    """Where rows come from: files, arrays.

    Every call gives the same finite numbers in the same order, in parts of any size. A cell that is not a number, a
    missing column or a damaged file raises `InputError`.
    """

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        """All rows, from the first on; without x where that is not needed."""
        ...


class NumberedRows(RowSource, Protocol):
    """A source whose rows can be had by number, so that many can read them at once."""

    def row_count(self) -> int:
        """How many there are. Raises `RefusedError` where that takes a read."""
        ...

    def between(self, low: int, high: int) -> Iterator[DataRows]:
        """The rows of the numbers low … high - 1, with x, in parts of any size."""
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
        """x (n,) or (n, d), y, weights and offset (n,). Raises `InputError`."""
        return cls(Data(x, y, weights, offset))

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        """All of them at once."""
        data = self.data
        yield DataRows(data.y, data.x if with_x else None, data.weights, data.offset)

    def row_count(self) -> int:
        """How many there are."""
        return len(self.data.y)

    def between(self, low: int, high: int) -> Iterator[DataRows]:
        """The rows of these numbers."""
        for part in self.parts(True):
            yield part.cut(slice(low, high))


@runtime_checkable
class BlockSums(Protocol):
    """Sums over all rows, or the rows themselves: what a fit asks of them.

    `passes` counts how often all rows were read. `total` gives what `act` finds of each block, combined in pairs by the
    blocks' numbers alone (`tree_reduce`), whoever works on them; None where there are no rows. `rows` gives the blocks
    themselves, with x, for fits that keep a state for each row; several such fits go through `executor`.
    """

    passes: int

    @property
    def executor(self) -> Executor: ...

    def rows(self) -> Iterator[DataRows]: ...

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None: ...


@dataclass(eq=False)
class SourceSums:
    """Sums over the rows of a source in this process, on its threads."""

    source: RowSource
    passes: int = 0

    @property
    def executor(self) -> Executor:
        """One after the other, here."""
        return Workers(1)

    def rows(self) -> Iterator[DataRows]:
        """All rows, block after block."""
        self.passes += 1
        return in_blocks(self.source.parts(with_x=True))

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None:
        self.passes += 1
        return tree_reduce(combine, ordered_map(act, in_blocks(self.source.parts(with_x))))


def in_blocks(parts: Iterable[DataRows], first: int = 0) -> Iterator[DataRows]:
    """The rows in blocks of BLOCK_ROWS, the last one shorter; their numbers count from `first`."""
    for block in _cut(parts):
        yield replace(block, numbers=np.arange(first, first + len(block)))
        first += len(block)


def _cut(parts: Iterable[DataRows]) -> Iterator[DataRows]:
    size = BLOCK_ROWS
    waiting: list[DataRows] = []
    held = 0
    for part in parts:
        low = 0
        while len(part) - low >= size - held:
            high = low + size - held
            yield DataRows.join([*waiting, part.cut(slice(low, high))])
            waiting, held, low = [], 0, high
        if low < len(part):
            waiting.append(part.cut(slice(low, None)))
            held += len(part) - low
    if waiting:
        yield DataRows.join(waiting)


def hashed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """(m,) 64 bits of each number that look drawn anew for every seed.   (splitmix64: Steele, Lea and Flood 2014.)"""
    with np.errstate(over="ignore"):
        start = np.uint64(seed % (1 << 63)) * np.uint64(0xD1342543DE82EF95)
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return mixed ^ (mixed >> np.uint64(31))
