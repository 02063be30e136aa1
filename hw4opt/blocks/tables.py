"""Rows of files, a block at a time."""

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
    """Rows of CSV or Parquet files: columns of numbers by their role.

    offset, exposure   one of them at most: an exposure e counts as the offset log e
    drop               leave out rows with a cell that is missing, instead of raising `InputError`
    """

    files: TableFiles
    x: tuple[str, ...]
    y: str
    weights: str | None = None
    offset: str | None = None
    exposure: str | None = None
    drop: bool = False

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        """All rows. Raises `InputError`, whose sentence names file, column and row of a cell that is no number."""
        others = [one for one in (self.y, self.weights, self.offset, self.exposure) if one is not None]
        read = [*self.x, *others] if with_x or self.drop else others  # what is missing decides which rows there are
        yield from self._of(self.files.blocks(list(dict.fromkeys(read))), read, with_x)

    def row_count(self) -> int:
        """How many rows the files have; raises `RefusedError` for CSV, and where `drop` may leave some out."""
        if self.drop:
            raise RefusedError(
                "rows that may be left out cannot be read by number; write files without empty cells and read those"
            )
        return self.files.row_count()

    def between(self, low: int, high: int) -> Iterator[DataRows]:
        """The rows of these numbers, of Parquet files."""
        read = [*self.x, *(one for one in (self.y, self.weights, self.offset, self.exposure) if one is not None)]
        yield from self._of(self.files.between(list(dict.fromkeys(read)), low, high), read, True)

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
        columns = {name: table.numbers(name, here)[here] for name in dict.fromkeys(read)}
        x = np.column_stack([columns[name] for name in self.x]) if with_x else None
        offset = None if self.offset is None else columns[self.offset]
        if self.exposure is not None:
            offset = self._log(columns[self.exposure], table, here)
        return DataRows(columns[self.y], x, None if self.weights is None else columns[self.weights], offset)

    def _log(self, exposure: Array, table: Table, here: np.ndarray) -> Array:
        if not (exposure > 0).all():
            row = table.first + int(np.flatnonzero(here)[np.argmin(exposure)])
            raise InputError(f"column {self.exposure!r} holds {exposure.min():g} in row {row}; it must be above 0", row)
        return np.log(exposure)
