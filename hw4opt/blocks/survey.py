"""The first pass over rows in blocks: their number, means and ranges of the columns, and a sample."""

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

SAMPLE_ROWS = 20_000  # the sample has about SAMPLE_ROWS to 2 SAMPLE_ROWS rows, or all
SAMPLE_SEED = 20  # even: the seeds of folds are odd


@dataclass(frozen=True, eq=False)
class _ColumnSums:
    """Number of rows, and of each column of x mean, sum of squared deviations, minimum and maximum, (d,)."""

    count: int
    mean: Array
    square: Array
    low: Array
    high: Array


def _joined(one: _ColumnSums, other: _ColumnSums) -> _ColumnSums:
    """The sums over the rows of both.   (Chan, Golub and LeVeque 1983.)"""
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
    """The rows that are used, and the units of x in the design: (x - center)/spread.

    least    rows of smaller weight are left out
    """

    least: float
    center: Array
    spread: Array

    def weighted(self, rows: DataRows) -> DataRows:
        """The rows of weight `least` or more."""
        if rows.weights is None or (here := rows.weights >= self.least).all():
            return rows
        return rows.cut(here)

    def of(self, rows: DataRows) -> DataRows:
        """The rows of weight `least` or more, x in units of the design."""
        rows = self.weighted(rows)
        return rows if rows.x is None else replace(rows, x=(rows.x - self.center) / self.spread)


@dataclass(frozen=True, eq=False)
class Survey:
    """The results of the first pass.

    count           number of rows of positive weight
    span (2, d)     smallest and largest x of these rows
    largest_weights (2,)  the two largest weights;  has_offset  whether there is an offset
    first, before (blocks,)  the number of each block's first row, and the number of rows of positive weight before it
    kept            the rows that are used, and the units of x;  sample  evenly drawn rows
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
        """As `BlockSums.total`, over the rows of positive weight, x in units of the design."""
        kept = self.kept

        def act_on_kept(block: DataRows) -> R | None:
            rows = kept.of(block)
            return act(rows) if len(rows) else None

        def merged(act_on_kept: R | None, other: R | None) -> R | None:
            return other if act_on_kept is None else act_on_kept if other is None else combine(act_on_kept, other)

        return sums.total(act_on_kept, merged, with_x)


def survey(model: Model, sums: BlockSums) -> Survey:
    """Survey all rows in one pass. Raises `InputError` for invalid targets and weights, for fewer than two rows, and
    for a constant x with a kernel."""
    total = sums.total(lambda block: _survey_block(model, block), _BlockSurvey.plus)
    if total is None or total.columns is None or total.columns.count < 2:
        few = (
            "fewer than two rows have a weight above 0" if total and total.rows > 1 else "there are fewer than two rows"
        )
        raise InputError(f"{few}; a regression needs at least two")
    columns = total.columns
    if total.labels and isinstance(model.loss, Smooth):  # each block alone may have valid labels
        model.loss.check_targets(np.array(sorted(total.labels)))
    if model.kernel is not None and (columns.low == columns.high).all():
        raise InputError("x is constant; a kernel design needs at least two different x")
    least = max(MIN_RELATIVE_WEIGHT * float(total.weights[-1]), float(np.finfo(float).tiny))
    kept = KeptRows(least, *_scaling(model, columns))
    before = np.cumsum([0, *total.kept[:-1]])
    return Survey(
        *(columns.count, np.stack([columns.low, columns.high]), total.weights[::-1], total.has_offset),
        *(np.array(total.first), before, kept, kept.of(total.sample)),
    )


@dataclass(frozen=True, eq=False)
class _BlockSurvey:
    """The results for a range of blocks.

    first, kept    the number of each block's first row, and the number of its rows of positive weight
    weights (2,)   the two largest weights, ascending;  labels  the distinct targets of a classifier
    sample         the rows of positive weight with a hash below 2^(64 - bits); bits is increased until the sample has
                   at most 2 SAMPLE_ROWS rows
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

    def plus(self, other: _BlockSurvey) -> _BlockSurvey:
        """The results for the blocks of both."""
        parts = [one for one in (self.columns, other.columns) if one is not None]
        return _BlockSurvey(
            self.rows + other.rows,
            self.first + other.first,
            self.kept + other.kept,
            np.sort(np.concatenate([self.weights, other.weights]))[-2:],
            self.labels | other.labels,
            self.has_offset or other.has_offset,
            _joined(*parts) if len(parts) > 1 else parts[0] if parts else None,
            *_subsampled([self.sample, other.sample], max(self.bits, other.bits)),
        )


def _survey_block(model: Model, block: DataRows) -> _BlockSurvey:
    """The results for one block. Raises `InputError` for invalid weights and targets."""
    assert block.x is not None and block.numbers is not None
    positive, first = np.ones(len(block), dtype=bool), int(block.numbers[0])
    weights = np.ones(2)
    if block.weights is not None:
        if block.weights.min() < 0:
            row = first + int(np.argmin(block.weights))
            raise InputError(f"weights holds {block.weights.min():g} in row {row}; weights must be 0 or more", row)
        positive = block.weights > 0
        weights = np.sort(np.concatenate([[0.0, 0.0], block.weights]))[-2:]
    rows, labels = block.cut(positive), frozenset[float]()
    if isinstance(model.loss, Smooth):
        try:
            model.loss.check_targets(rows.y)
        except InputError as error:
            raise _with_source_row(error, np.flatnonzero(positive), first) from None
        if isinstance(model.loss, Likelihood) and model.loss.classifies:
            labels = frozenset(np.unique(rows.y).tolist())
    columns = None
    if len(rows):
        assert rows.x is not None
        x, mean = rows.x, rows.x.mean(axis=0)
        columns = _ColumnSums(len(x), mean, np.square(x - mean).sum(axis=0), x.min(axis=0), x.max(axis=0))
    counts = len(block), [first], [len(rows)]
    return _BlockSurvey(*counts, weights, labels, block.offset is not None, columns, *_subsampled([rows], 0))


def _subsampled(parts: list[DataRows], bits: int) -> tuple[DataRows, int]:
    """The rows of the parts whose hash begins with `bits` zero bits, and with more if they are more than 2 SAMPLE_ROWS;
    and the number of zero bits."""
    rows = DataRows.join(parts)
    assert rows.numbers is not None
    hashes = hashed(rows.numbers, SAMPLE_SEED)
    drawn = hashes >> np.uint64(64 - bits) == 0 if bits else np.ones(len(rows), dtype=bool)
    while np.count_nonzero(drawn) > 2 * SAMPLE_ROWS:
        bits += 1
        drawn = hashes >> np.uint64(64 - bits) == 0
    return rows.cut(drawn), bits


def _with_source_row(error: InputError, here: np.ndarray, before: int) -> InputError:
    """The error with the row's number in its block replaced by that in the source."""
    if error.row is None:
        return error
    row = before + int(here[error.row])
    head, _, tail = str(error).rpartition(f"row {error.row}")
    return InputError(f"{head}row {row}{tail}", row)


def _scaling(model: Model, columns: _ColumnSums) -> tuple[Array, Array]:
    """Center and spread of x (d,) in the design, as `MeasuredData.scaling`."""
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
