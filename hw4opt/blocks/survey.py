"""The first pass over rows in blocks: how many there are, where their columns lie, and an even sample of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.blocks.rows import DataRows, RowSource, in_blocks
from hw4opt.errors import InputError
from hw4opt.problem import Model
from hw4opt.problem.data import MIN_RELATIVE_WEIGHT
from hw4opt.problem.measured import FAR_FROM_ZERO
from hw4opt.running.threads import tree_reduce
from hw4opt.terms import Likelihood, Smooth
from hw4opt.terms.base import Array

SAMPLE_ROWS = 20_000  # that the sample has at least, where there are so many


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
class Survey:
    """What one pass finds.

    rows, count     of the source, and those of them with a weight above 0
    span (2, d)     the lowest and highest x of the rows with a weight;  center, spread (d,) as the design measures x
    largest_weights (2,)  the largest weight and the next;  sample  rows with a weight, evenly from all
    """

    rows: int
    count: int
    span: Array
    center: Array
    spread: Array
    largest_weights: Array
    sample: DataRows

    def kept(self, rows: DataRows) -> DataRows:
        """The rows with a weight."""
        if rows.weights is None:
            return rows
        here = rows.weights >= max(MIN_RELATIVE_WEIGHT * self.largest_weights[0], np.finfo(float).tiny)
        return rows if here.all() else rows.cut(here)

    def blocks(self, source: RowSource, with_x: bool) -> Iterator[DataRows]:
        """The rows with a weight in blocks; x in the units of the design."""
        for block in in_blocks(source.parts(with_x)):
            rows = self.kept(block)
            if len(rows):
                yield rows if rows.x is None else DataRows(rows.y, self.measured(rows.x), rows.weights, rows.offset)

    def measured(self, x: Array) -> Array:
        """x (m, d) in the units of the design."""
        return (x - self.center) / self.spread


def survey(model: Model, source: RowSource) -> Survey:
    """Look at all rows once. Raises `InputError` for targets and weights that are none, and for too few rows."""
    state = _Gathered()
    columns = tree_reduce(_joined, state.looked_at(model, source))
    if columns is None or columns.count < 2:
        few = "fewer than two rows have a weight above 0" if state.rows > 1 else "there are fewer than two rows"
        raise InputError(f"{few}; a regression needs at least two")
    if model.kernel is not None and (columns.low == columns.high).all():
        raise InputError("x is constant; a kernel design needs at least two different x")
    center, spread = _scaling(model, columns)
    found = Survey(
        state.rows, columns.count, np.stack([columns.low, columns.high]), center, spread, state.weights, state.sample()
    )
    rows = found.kept(found.sample)
    assert rows.x is not None
    return replace(found, sample=DataRows(rows.y, found.measured(rows.x), rows.weights, rows.offset))


class _Gathered:
    """What is gathered on the way: every `step`-th row with a weight, the step doubled when they become too many."""

    def __init__(self) -> None:
        self.rows, self.kept, self.step, self.weights = 0, 0, 1, np.ones(2)
        self._labels: set[float] = set()
        self._sample: list[DataRows] = []
        self._held = 0

    def sample(self) -> DataRows:
        """The sampled rows."""
        return DataRows.join(self._sample)

    def looked_at(self, model: Model, source: RowSource) -> Iterator[_ColumnSums]:
        """The columns of every block with a weight."""
        for block in in_blocks(source.parts(True)):
            rows = block.cut(self._checked(model, block))
            self.rows += len(block)
            if len(rows):
                self._take(rows)
                assert rows.x is not None
                x, mean = rows.x, rows.x.mean(axis=0)
                yield _ColumnSums(len(x), mean, np.square(x - mean).sum(axis=0), x.min(axis=0), x.max(axis=0))
        self._check_labels(model)

    def _checked(self, model: Model, block: DataRows) -> np.ndarray:
        """Which rows have a weight."""
        here = np.ones(len(block), dtype=bool)
        if (weights := block.weights) is not None:
            if weights.min() < 0:
                row = self.rows + int(np.argmin(weights))
                raise InputError(f"weights holds {weights.min():g} in row {row}; weights must be 0 or more", row)
            here = weights > 0
            self.weights = np.sort(np.concatenate([weights, self.weights if self.rows else [0.0, 0.0]]))[:-3:-1]
        if isinstance(model.loss, Smooth):
            try:
                model.loss.check_targets(block.y[here])
            except InputError as error:
                raise _moved(error, np.flatnonzero(here), self.rows) from None
            if isinstance(model.loss, Likelihood) and model.loss.classifies:
                self._labels |= set(np.unique(block.y[here]).tolist())
        return here

    def _check_labels(self, model: Model) -> None:
        """Labels are of one kind in all blocks together."""
        if self._labels and isinstance(model.loss, Smooth):
            model.loss.check_targets(np.array(sorted(self._labels)))

    def _take(self, rows: DataRows) -> None:
        first = -self.kept % self.step
        self.kept += len(rows)
        self._sample.append(rows.cut(slice(first, None, self.step)))
        self._held += len(self._sample[-1])
        while self._held > 2 * SAMPLE_ROWS:  # the rows 0, step, 2 step, …: every other one stays
            whole = self.sample().cut(slice(None, None, 2))
            self._sample, self._held, self.step = [whole], len(whole), 2 * self.step


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
