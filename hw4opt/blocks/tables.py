"""Rows of CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks.rows import DataRows
from hw4opt.errors import InputError, RefusedError
from hw4opt.tables import Table, TableFiles
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class TableRows:
    """Rows of CSV or Parquet files, with the columns named by their role.

    offset, exposure   at most one of them; an exposure e is the offset log e
    drop               drop rows with a missing cell instead of raising `InputError`
    """

    files: TableFiles
    x: tuple[str, ...]
    y: str
    weights: str | None = None
    offset: str | None = None
    exposure: str | None = None
    drop: bool = False

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        """All rows. Raises `InputError`, which names file, column and row, for a cell that is not a number, a negative
        weight, and an exposure that is not positive."""
        read = self._read(with_x or self.drop)  # a missing x drops the row, too
        yield from self._of(self.files.blocks(read), read, with_x)

    def missing(self) -> tuple[np.ndarray, list[str]]:
        """The numbers of the rows with a missing cell, counted from 0 over all files, and the columns with missing
        cells."""
        first, rows, columns = 0, [np.empty(0, dtype=int)], dict.fromkeys(self._read(True), False)
        for table in self.files.blocks(list(columns)):
            gaps = {name: table.missing(name) for name in columns}
            columns = {name: columns[name] or bool(gap.any()) for name, gap in gaps.items()}
            rows.append(first + np.flatnonzero(np.logical_or.reduce(list(gaps.values()))))
            first += len(table)
        return np.concatenate(rows), [name for name, gap in columns.items() if gap]

    def row_count(self) -> int:
        """The number of rows of the files. Raises `RefusedError` for CSV files, and if `drop` is set."""
        if self.drop:
            raise RefusedError(
                "files with dropped rows cannot be read by row number; write files without empty cells and read those"
            )
        return self.files.row_count()

    def between(self, low: int, high: int) -> Iterator[DataRows]:
        """Rows low … high - 1 of Parquet files."""
        read = self._read(True)
        yield from self._of(self.files.between(read, low, high), read, True)

    def _read(self, with_x: bool) -> list[str]:
        """The names of the columns to read, each once."""
        others = (one for one in (self.y, self.weights, self.offset, self.exposure) if one is not None)
        return list(dict.fromkeys([*(self.x if with_x else ()), *others]))

    def _of(self, tables: Iterator[Table], read: list[str], with_x: bool) -> Iterator[DataRows]:
        for table in tables:
            try:
                yield self._rows(table, read, with_x)
            except InputError as error:
                raise InputError(f"{table.source}: {error}", error.row) from error

    def _rows(self, table: Table, read: list[str], with_x: bool) -> DataRows:
        here = np.ones(len(table), dtype=bool)
        if self.drop:
            here = ~np.logical_or.reduce([table.missing(name) for name in read])
        columns = {name: self._numbers(table, name, here) for name in read}
        x = np.column_stack([columns[name] for name in self.x]) if with_x else None
        offset = None if self.offset is None else columns[self.offset]
        if self.exposure is not None:
            offset = self._log(columns[self.exposure], table, here)
        weights = None if self.weights is None else columns[self.weights]
        if weights is not None and (weights < 0).any():
            place, row = int(np.argmin(weights)), int(table.first + np.flatnonzero(here)[np.argmin(weights)])
            raise InputError(
                f"column {self.weights!r} holds {weights[place]:g} in row {row}; weights must be 0 or more", row
            )
        return DataRows(columns[self.y], x, weights, offset)

    def _numbers(self, table: Table, name: str, here: np.ndarray) -> Array:
        if not self.drop and (gap := table.missing(name)).any():
            table.refuse(name, int(np.argmax(gap)), "give a value, drop the row, or give `drop=True`")
        return table.numbers(name, here)[here]

    def _log(self, exposure: Array, table: Table, here: np.ndarray) -> Array:
        if not (exposure > 0).all():
            row = table.first + int(np.flatnonzero(here)[np.argmin(exposure)])
            raise InputError(f"column {self.exposure!r} holds {exposure.min():g} in row {row}; it must be above 0", row)
        return np.log(exposure)
