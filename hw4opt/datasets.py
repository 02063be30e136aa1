"""Data: the assignment's step data, and tables read from CSV or Parquet files."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.arguments import check_seed, checked
from hw4opt.arrays import real_array
from hw4opt.errors import InputError, UnknownNameError
from hw4opt.terms.base import Array

OUTLIER = 24  # the row whose y is 0: i = 25 of the assignment
ROWS_AT_ONCE = 65_536
MOSTLY = 0.5  # share of cells that must be numbers for a column to count as numeric


class StepData(NamedTuple):
    """x and y of the assignment's problem 2, and the true f at x."""

    x: Array
    y: Array
    truth: Array


def step_function(x: ArrayLike) -> Array:
    """f(x) = 10 Σ_k 1{x ≥ k/5}, k = 1..4, shape of x. An x that rounding left just below k/5 counts as k/5."""
    return 10 * np.clip(np.floor(5 * real_array("x", x) + 1e-9), 0, 4)


@checked
def step_data(n: int = 50, seed: int = 0) -> StepData:
    """x_i = (i-1)/(n-1),  y_i = f(x_i) + ε_i,  ε = default_rng(seed).standard_normal(n), and one outlier, y_25 = 0.   (Assignment 2.)"""
    if n <= OUTLIER:
        raise InputError(f"n is {n}; the step data have an outlier at i = {OUTLIER + 1}, so n must be {OUTLIER + 1} or more")
    check_seed(seed)
    x = np.arange(n) / (n - 1)
    truth = step_function(x)
    y = truth + np.random.default_rng(seed).standard_normal(n)
    y[OUTLIER] = 0.0
    return StepData(x, y, truth)


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length. Rows are counted from 1, the header not counted.

    source    what messages call it;  sha256    of the file's bytes, or of the numbers where there is no file
    """

    columns: Mapping[str, Sequence[Any] | Array]
    source: str
    sha256: str
    _numbers: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Sequence[Any] | Array:
        """The raw cells; raises `UnknownNameError`, which names the nearest column."""
        if name not in self.columns:
            raise UnknownNameError("column", name, self.names)
        return self.columns[name]

    def text(self, name: str) -> list[str]:
        """The cells as text, a missing one empty."""
        return ["" if cell is None else str(cell) for cell in self.column(name)]

    def numbers(self, name: str) -> Array:
        """The column as finite numbers, shape (n,); raises `InputError` naming column and row of the first cell that is none."""
        if name not in self._numbers:
            self._numbers[name] = self._read(name)
        return self._numbers[name]

    def _read(self, name: str) -> Array:
        cells = self.column(name)
        try:
            values = np.array(cells, dtype=float)
            if values.ndim != 1:  # a column of lists
                raise ValueError
        except (TypeError, ValueError):
            values = np.fromiter((_number(cell) for cell in cells), dtype=float, count=len(cells))
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise InputError(f"column {name!r} {_complaint(cells[row])} in row {row + 1}; give numbers or drop the row")
        return values

    def is_numeric(self, name: str) -> bool:
        """Whether most cells are numbers: a column of text is none, a column of numbers with one 'n/a' is."""
        try:
            self.numbers(name)
        except InputError:
            cells = self.column(name)
            return sum(not math.isnan(_number(cell)) for cell in cells) > MOSTLY * len(cells)
        return True

    def labels(self, name: str) -> np.ndarray:
        """Group numbers from 0, one a row: rows with the same cell have the same number."""
        return np.unique(np.array(self.text(name)), return_inverse=True)[1]

    @classmethod
    def of(cls, columns: Mapping[str, Array], source: str) -> Table:
        """A table of arrays."""
        digest = hashlib.sha256()
        for values in columns.values():
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return cls(columns, source, digest.hexdigest())


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _complaint(cell: object) -> str:
    text = "" if cell is None else str(cell).strip()
    if not text:
        return "is empty"
    try:
        return f"holds {float(text)}"
    except ValueError:
        return f"holds text ({text[:40]!r})"


@checked
def read_table(path: str | Path) -> Table:
    """A CSV file with a header, or a Parquet file; raises `InputError`, whose sentence names the file and what is wrong with it."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; give a CSV or Parquet file") from error
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    parquet = data[:4] == b"PAR1" or path.suffix.lower() in (".parquet", ".pq")
    columns = _read_parquet(path, data) if parquet else _read_csv(path, data)
    table = Table(columns, str(path), hashlib.sha256(data).hexdigest())
    if not len(table):
        raise InputError(f"{path} has {'a header' if columns else 'no columns'} and no rows")
    return table


def _read_csv(path: Path, data: bytes) -> dict[str, list[str]]:
    if b"\0" in data:
        raise InputError(f"{path} is a binary file; give a CSV with a header, or Parquet")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); give a CSV with a header, or Parquet") from error
    rows = (row for row in csv.reader(io.StringIO(text, newline="")) if row)
    try:
        header = next(rows, None)
        if header is None:
            raise InputError(f"{path} is empty; give a CSV with a header")
        names = _header(path, header)
        return _columns(path, names, rows)
    except csv.Error as error:
        raise InputError(f"{path} is not a readable CSV: {error}") from error


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if all(math.isfinite(_number(name)) for name in names):
        raise InputError(f"the first line of {path} holds numbers only; give a CSV with a header")
    if len(names) == 1 and (mark := next((mark for mark in ";\t" if mark in names[0]), None)):
        raise InputError(f"{path} is separated by {'tabs' if mark != ';' else 'semicolons'}; give a CSV separated by commas")
    _check_names(path, names)
    return names


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path} names the column {twice!r} twice; give every column a name of its own")


def _columns(path: Path, names: Sequence[str], rows: Iterator[list[str]]) -> dict[str, list[str]]:
    columns: list[list[str]] = [[] for _ in names]
    while chunk := list(itertools.islice(rows, ROWS_AT_ONCE)):
        _check_width(path, len(names), chunk, len(columns[0]))
        for column, cells in zip(columns, zip(*chunk, strict=True), strict=True):
            column.extend(cells)
    return dict(zip(names, columns, strict=True))


def _check_width(path: Path, width: int, rows: Iterable[list[str]], before: int) -> None:
    for place, row in enumerate(rows, before + 1):
        if len(row) != width:
            raise InputError(f"{path} has {len(row)} cells in row {place} and {width} in the header; every row needs as many as the header")


def _read_parquet(path: Path, data: bytes) -> dict[str, list[Any]]:
    try:
        from pyarrow import ArrowException, BufferReader, parquet
    except ImportError as error:
        raise InputError(f"reading {path} needs pyarrow; it comes with the extra: pip install 'hw4opt[parquet]'") from error
    try:
        table = parquet.read_table(BufferReader(data))
    except (ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged or no Parquet file; write it again, or give a CSV") from error
    _check_names(path, table.column_names)
    return {name: column.to_pylist() for name, column in zip(table.column_names, table.columns, strict=True)}
