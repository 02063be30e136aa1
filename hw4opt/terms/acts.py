"""The functionals that terms act on: linear functionals of the fit, their rows for all data and for folds, and the
units of these rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt.errors import InputError, RefusedError
from hw4opt.terms.points import FoldRows, Points
from hw4opt.terms.row_map import RowMap, difference_coefficients
from hw4opt.validation.arrays import Array


class Acts(ABC):
    """The functionals that a term acts on; equal objects share their rows.

    of_data_rows      one row per data row, its fitted value
    of_coefficients   every row is a multiple of one coefficient
    own_unit          rows are not sums of fitted values and have another unit
    between_curves    rows involve several curves fitted together; otherwise every curve has its own rows
    order             rows are differences of f of that order along one sorted x; 0: they are not
    """

    of_data_rows: ClassVar[bool] = False
    of_coefficients: ClassVar[bool] = False
    own_unit: ClassVar[bool] = False
    between_curves: ClassVar[bool] = False
    order: int = 0

    @property
    def of_values(self) -> bool:
        """Whether rows are values of f, to which a level adds."""
        return self.of_data_rows

    @property
    def slope_columns(self) -> tuple[int, ...]:
        """The columns of x whose slopes the design must have as functionals."""
        return ()

    @property
    def suffix(self) -> str:
        """The part of a term's label after its name."""
        return ""

    @abstractmethod
    def rows(self, points: Points, owner: str) -> RowMap:
        """The row map; raises `RefusedError` if the design has no such functionals. `owner`: the term in the
        message."""

    def fold_rows(self, points: Points, rows: RowMap, held_out: Sequence[np.ndarray]) -> FoldRows:
        """The rows of every fold, from those of all data, when the data rows in `held_out` are left out."""
        return FoldRows(rows, None)

    def base_rows(self, points: Points) -> slice:
        """The functionals that are the values at the base points."""
        return slice(len(points.base_x))

    def violation_unit(self, points: Points, rows: RowMap) -> Array | float:
        """The factor from a row's violation to a change of f over the range of x, (rows,) or one number."""
        return 1.0

    def margin(self, points: Points, rows: RowMap, size: float) -> Array | float:
        """The row values for an f that changes by `size` over the range of x, (rows,) or one number."""
        return size

    def weight_unit(self, points: Points) -> float:
        """The ratio of a weight of these rows to one of fitted values."""
        return 1.0


@dataclass(frozen=True)
class Values(Acts):
    """The fitted values, one row per data row."""

    of_data_rows: ClassVar[bool] = True

    def rows(self, points: Points, owner: str) -> RowMap:
        """Data row i is base point row_of[i]."""
        count = len(points.x)
        return RowMap(count, first=0) if points.row_of is None else RowMap(count, index=points.row_of[:, None])

    def fold_rows(self, points: Points, rows: RowMap, held_out: Sequence[np.ndarray]) -> FoldRows:
        """The rows that are not left out."""
        has = np.ones((len(held_out), rows.count))
        for of_fold, held in zip(has, held_out, strict=True):
            of_fold[held] = 0.0
        return FoldRows(rows, has)


@dataclass(frozen=True)
class Differences(Acts):
    """D^order f over the distinct sorted x.

    Row j = (order-1)!·(x_{j+order} - x_j)·f[x_j, …, x_{j+order}] (divided difference): order 1 is f_{j+1} - f_j, order
    2 the change of slope.   (Tibshirani 2014.)
    """

    order: int = 1

    def rows(self, points: Points, owner: str) -> RowMap:
        """N - order rows, each of order + 1 neighbours; none if every function of the design is a polynomial of lower
        degree."""
        if points.x.shape[1] != 1:
            columns = "give one x column"
            if owner in ("increasing", "decreasing"):
                columns = "give increasing:column=NAME, or one x column"
            raise RefusedError(
                f"{owner} needs an order along one x column and there are {points.x.shape[1]}; {columns}"
            )
        if points.polynomial_degree is not None and self.order > points.polynomial_degree:
            return RowMap(0, first=0, coef=np.zeros((0, self.order + 1)))
        coef = difference_coefficients(points.base_x[:, 0], self.order)
        return RowMap(max(len(points.base_x) - self.order, 0), first=0, coef=coef)

    def fold_rows(self, points: Points, rows: RowMap, held_out: Sequence[np.ndarray]) -> FoldRows:
        """The union of all folds' rows: those that involve a lost point are replaced by rows over the remaining
        points."""
        size = len(points.base_x)
        windows = [tuple(range(j, j + self.order + 1)) for j in range(max(size - self.order, 0))]
        place = {window: j for j, window in enumerate(windows)}
        known: dict[int, np.ndarray] = {}
        for held in held_out:
            if id(held) not in known:
                known[id(held)] = self._rows_of_fold(points_left(points, held), place)
        has = np.zeros((len(held_out), len(place)))
        for of_fold, held in zip(has, held_out, strict=True):
            of_fold[known[id(held)]] = 1.0
        index = np.array(list(place), dtype=int).reshape(len(place), self.order + 1)
        coef = difference_coefficients(points.base_x[:, 0], self.order, index)
        return FoldRows(RowMap(len(place), index=index, coef=coef), has)

    def _rows_of_fold(self, left: np.ndarray, place: dict[tuple[int, ...], int]) -> np.ndarray:
        """The rows over the remaining points; new windows get the next indices."""
        width = self.order + 1
        mine = np.empty((0, width), dtype=int)
        if len(left) > self.order:
            mine = np.lib.stride_tricks.sliding_window_view(left, width)
        merged = mine[:, -1] - mine[:, 0] > self.order
        rows = [place.setdefault(window, len(place)) for window in map(tuple, mine[merged].tolist())]
        return np.concatenate([mine[~merged, 0], np.array(rows, dtype=int)])

    def violation_unit(self, points: Points, rows: RowMap) -> Array | float:
        """The range of x, divided by the row's step for order 1."""
        x = points.base_x[:, 0]
        width = float(x[-1] - x[0])
        return width if self.order > 1 else width / self._reach(x, rows)

    def margin(self, points: Points, rows: RowMap, size: float) -> Array | float:
        """The values for a line or parabola that changes by `size` over the range of x."""
        x = points.base_x[:, 0]
        return size * self._reach(x, rows) / float(x[-1] - x[0]) ** self.order

    def _reach(self, x: Array, rows: RowMap) -> Array:
        """x_{j+order} - x_j of every row."""
        first = np.arange(rows.count) if rows.index is None else rows.index[:, 0]
        last = first + self.order if rows.index is None else rows.index[:, -1]
        return x[last] - x[first]

    def weight_unit(self, points: Points) -> float:
        """(range of x)^(order - 1)."""
        return float(np.ptp(points.base_x[:, 0])) ** (self.order - 1)


@dataclass(frozen=True)
class Slope(Acts):
    """∂f/∂x_column at the data rows."""

    own_unit: ClassVar[bool] = True
    column: int

    @property
    def slope_columns(self) -> tuple[int, ...]:
        return (self.column,)

    @property
    def suffix(self) -> str:
        return f":column={self.column}"

    def rows(self, points: Points, owner: str) -> RowMap:
        """One row per base point."""
        if self.column not in points.slopes:
            count = points.x.shape[1]
            raise InputError(
                f"{owner}: column {self.column} does not exist; there are {count} x columns, counted from 0"
            )
        size = len(points.base_x)
        return RowMap(size, first=size * (1 + points.slopes.index(self.column)))

    def fold_rows(self, points: Points, rows: RowMap, held_out: Sequence[np.ndarray]) -> FoldRows:
        """A slope is left out with the last data row at its point."""
        every = np.arange(rows.count)
        return FoldRows(rows, np.stack([np.isin(every, points_left(points, held)) for held in held_out]).astype(float))

    def violation_unit(self, points: Points, rows: RowMap) -> float:
        """The range of the column."""
        return float(np.ptp(points.base_x[:, self.column]))

    def margin(self, points: Points, rows: RowMap, size: float) -> float:
        return size / (float(np.ptp(points.base_x[:, self.column])) or 1.0)


@dataclass(frozen=True)
class Coefficients(Acts):
    """The coefficients of a linear design (the intercept excluded), in the design's units of the columns, or in raw
    units."""

    of_coefficients: ClassVar[bool] = True
    own_unit: ClassVar[bool] = True
    raw: bool = False

    def rows(self, points: Points, owner: str) -> RowMap:
        """One row per column."""
        if not points.has_coefficients:
            raise RefusedError(f"{owner} acts on coefficients and needs a linear design")
        count, first = points.x.shape[1], len(points.base_x) * (1 + len(points.slopes))
        if not self.raw or points.spread is None:
            return RowMap(count, first=first)
        return RowMap(count, index=first + np.arange(count)[:, None], coef=1 / points.spread[:, None])

    def margin(self, points: Points, rows: RowMap, size: float) -> Array:
        unit = 1.0 if points.spread is None or not self.raw else points.spread
        width = np.ptp(points.base_x, axis=0) * unit
        return size / np.where(width > 0, width, 1.0)


def points_left(points: Points, held: np.ndarray) -> np.ndarray:
    """The base points that still have a row, ascending."""
    if not len(held):
        return np.arange(len(points.base_x))
    if points.row_of is None:
        return np.delete(np.arange(len(points.x)), held)
    return np.unique(np.delete(points.row_of, held))
