"""The first pass over rows in blocks: how many there are, where their columns lie, and a sample of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.blocks.rows import BlockSums, DataRows, R, hashed
from hw4opt.errors import InputError
from hw4opt.problem import Model
from hw4opt.problem.data import MIN_RELATIVE_WEIGHT
from hw4opt.problem.measured import FAR_FROM_ZERO
from hw4opt.terms import Likelihood, Smooth
from hw4opt.terms.base import Array

SAMPLE_ROWS = 20_000  # that the sample has about at least, where there are so many
SAMPLE_SEED = 20


@dataclass(frozen=True, eq=False)
class _ColumnSums:
    """Of some rows of x: how many, means, sums of squares around them, lowest and highest, (d,) each."""

    count: int
    mean: Array
    square: Array
    low: Array
    high: Array


def _joined(one: _ColumnSums, other: _ColumnSums) -> _ColumnSums:
    """Of both together.   (Chan, Golub and LeVeque 1983.)"""
    count, apart = one.count + other.count, other.mean - one.mean
    return _ColumnSums(
        count,
        one.mean + apart * (other.count / count),
        one.square + other.square + np.square(apart) * (one.count * other.count / count),
        np.minimum(one.low, other.low),
        np.maximum(one.high, other.high),
    )


@dataclass(frozen=True, eq=False)
class KeptRows:
    """Which rows count, and how the design measures their x: (x - center)/spread.

    least    the smallest weight of a row that counts
    """

    least: float
    center: Array
    spread: Array

    def weighted(self, rows: DataRows) -> DataRows:
        """The rows with a weight."""
        if rows.weights is None or (here := rows.weights >= self.least).all():
            return rows
        return rows.cut(here)

    def of(self, rows: DataRows) -> DataRows:
        """The rows with a weight; x in the units of the design."""
        rows = self.weighted(rows)
        return rows if rows.x is None else replace(rows, x=(rows.x - self.center) / self.spread)


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass finds.

    count           of rows with a weight above 0
    span (2, d)     the lowest and highest x of the rows with a weight
    largest_weights (2,)  the largest weight and the next;  has_offset  whether there are offsets
    first, before (blocks,)  the number of each block's first row, and how many rows with a weight come before it
    kept            which rows count, and how x is measured;  sample  some of them, drawn evenly
    """

    count: int
    span: Array
    largest_weights: Array
    has_offset: bool
    first: np.ndarray
    before: np.ndarray
    kept: KeptRows
    sample: DataRows

    def total(
        self, sums: BlockSums, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True
    ) -> R | None:
        """As `BlockSums.total`, over the rows with a weight; x in the units of the design."""
        kept = self.kept

        def one(block: DataRows) -> R | None:
            rows = kept.of(block)
            return act(rows) if len(rows) else None

        def both(one: R | None, other: R | None) -> R | None:
            return other if one is None else one if other is None else combine(one, other)

        return sums.total(one, both, with_x)


def survey(model: Model, sums: BlockSums) -> Survey:
    """Look at all rows once. Raises `InputError` for targets and weights that are none, and for too few rows."""
    seen = sums.total(lambda block: _look(model, block), _Seen.plus)
    if seen is None or seen.columns is None or seen.columns.count < 2:
        few = "fewer than two rows have a weight above 0" if seen and seen.rows > 1 else "there are fewer than two rows"
        raise InputError(f"{few}; a regression needs at least two")
    columns = seen.columns
    if seen.labels and isinstance(model.loss, Smooth):  # of one kind in all blocks together
        model.loss.check_targets(np.array(sorted(seen.labels)))
    if model.kernel is not None and (columns.low == columns.high).all():
        raise InputError("x is constant; a kernel design needs at least two different x")
    least = max(MIN_RELATIVE_WEIGHT * float(seen.weights[-1]), float(np.finfo(float).tiny))
    kept = KeptRows(least, *_scaling(model, columns))
    before = np.cumsum([0, *seen.kept[:-1]])
    return Survey(
        *(columns.count, np.stack([columns.low, columns.high]), seen.weights[::-1], seen.has_offset),
        *(np.array(seen.first), before, kept, kept.of(seen.sample)),
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is found of some blocks.

    first, kept    of each block the number of its first row, and how many of its rows have a weight
    weights (2,)   the two largest, in rising order;  labels  of a classifier
    sample         rows with a weight whose hash is below 2^(64 - bits): as few as SAMPLE_ROWS to twice as many
    """

    rows: int
    first: list[int]
    kept: list[int]
    weights: Array
    labels: frozenset[float]
    has_offset: bool
    columns: _ColumnSums | None
    sample: DataRows
    bits: int = 0

    def plus(self, other: _Seen) -> _Seen:
        """Of both together."""
        parts = [one for one in (self.columns, other.columns) if one is not None]
        return _Seen(
            self.rows + other.rows,
            self.first + other.first,
            self.kept + other.kept,
            np.sort(np.concatenate([self.weights, other.weights]))[-2:],
            self.labels | other.labels,
            self.has_offset or other.has_offset,
            _joined(*parts) if len(parts) > 1 else parts[0] if parts else None,
            *_sampled([self.sample, other.sample], max(self.bits, other.bits)),
        )


def _look(model: Model, block: DataRows) -> _Seen:
    """One block's columns, checked."""
    assert block.x is not None and block.numbers is not None
    here, first = np.ones(len(block), dtype=bool), int(block.numbers[0])
    weights = np.ones(2)
    if block.weights is not None:
        if block.weights.min() < 0:
            row = first + int(np.argmin(block.weights))
            raise InputError(f"weights holds {block.weights.min():g} in row {row}; weights must be 0 or more", row)
        here = block.weights > 0
        weights = np.sort(np.concatenate([[0.0, 0.0], block.weights]))[-2:]
    rows, labels = block.cut(here), frozenset[float]()
    if isinstance(model.loss, Smooth):
        try:
            model.loss.check_targets(rows.y)
        except InputError as error:
            raise _moved(error, np.flatnonzero(here), first) from None
        if isinstance(model.loss, Likelihood) and model.loss.classifies:
            labels = frozenset(np.unique(rows.y).tolist())
    columns = None
    if len(rows):
        assert rows.x is not None
        x, mean = rows.x, rows.x.mean(axis=0)
        columns = _ColumnSums(len(x), mean, np.square(x - mean).sum(axis=0), x.min(axis=0), x.max(axis=0))
    counts = len(block), [first], [len(rows)]
    return _Seen(*counts, weights, labels, block.offset is not None, columns, *_sampled([rows], 0))


def _sampled(parts: list[DataRows], bits: int) -> tuple[DataRows, int]:
    """The rows of the parts whose hash begins with `bits` zeros, or with more where they are too many."""
    rows = DataRows.join(parts)
    assert rows.numbers is not None
    places = hashed(rows.numbers, SAMPLE_SEED)
    here = places >> np.uint64(64 - bits) == 0 if bits else np.ones(len(rows), dtype=bool)
    while np.count_nonzero(here) > 2 * SAMPLE_ROWS:
        bits += 1
        here = places >> np.uint64(64 - bits) == 0
    return rows.cut(here), bits


def _moved(error: InputError, here: np.ndarray, before: int) -> InputError:
    """The error of a block, with the row's place among all rows."""
    if error.row is None:
        return error
    row = before + int(here[error.row])
    head, _, tail = str(error).rpartition(f"row {error.row}")
    return InputError(f"{head}row {row}{tail}", row)


def _scaling(model: Model, columns: _ColumnSums) -> tuple[Array, Array]:
    """As `MeasuredData.scaling`."""
    low, high, linear = columns.low, columns.high, model.kernel is None
    none, one = np.zeros(len(low)), np.ones(len(low))
    if model.standardize:
        spread = np.sqrt(columns.square / columns.count)
        center = none if linear and not model.intercept else columns.mean
        return center, np.where((high > low) & (spread > 0), spread, one)
    if not (linear and model.intercept):
        return none, one
    far = np.maximum(np.abs(low), np.abs(high)) > FAR_FROM_ZERO * (high - low)
    return np.where(far, low + 0.5 * (high - low), 0.0), one
