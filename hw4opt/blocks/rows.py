"""DataRows that memory need not hold: a source gives them a block at a time, as often as it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.problem import Data
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked

BLOCK_ROWS = 16_384  # rows of a block, whatever parts the source has: sums do not depend on those

Made = TypeVar("Made", covariant=True)


@dataclass(frozen=True, eq=False)
class DataRows:
    """m rows: y (m,), x (m, d), weights and offset (m,); x is None where it was not asked for, weights and offset where
    there are none."""

    y: Array
    x: Array | None = None
    weights: Array | None = None
    offset: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    def cut(self, rows: slice | np.ndarray) -> DataRows:
        """Some of the rows."""
        others = (None if one is None else one[rows] for one in (self.x, self.weights, self.offset))
        return DataRows(self.y[rows], *others)

    @classmethod
    def join(cls, parts: list[DataRows]) -> DataRows:
        """The rows of the parts behind each other."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*((part.x, part.weights, part.offset) for part in parts), strict=True)
        others = (None if group[0] is None else np.concatenate(group) for group in columns)
        return cls(np.concatenate([part.y for part in parts]), *others)


@runtime_checkable
class RowSource(Protocol):
    """Where rows come from: files, arrays.

    Every call gives the same finite numbers in the same order, in parts of any size. What is no number, a missing
    column or a damaged file raises `InputError`.
    """

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        """All rows, from the first on; without x where that is not needed."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """DataRows of arrays in memory, checked as those of a `Problem`."""

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


def in_blocks(parts: Iterable[DataRows]) -> Iterator[DataRows]:
    """The rows in blocks of BLOCK_ROWS, the last one shorter."""
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


@dataclass(frozen=True, eq=False)
class Anew(Generic[Made]):
    """An iterable that makes its items anew for every pass over it."""

    make: Callable[[], Iterator[Made]]

    def __iter__(self) -> Iterator[Made]:
        return self.make()
