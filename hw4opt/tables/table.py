"""Named columns of one length, their cells read as numbers, times or text."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from hw4opt.errors import InputError, UnknownNameError, listed, shortened
from hw4opt.tables.times import Times, parse_times
from hw4opt.terms.base import Array

MAJORITY_SHARE = 0.5  # share of cells that must be numbers for a column to count as numeric
SHOWN_CELL_CHARACTERS = 40  # characters of a cell in a message
LONGEST_NAME = 1_000  # characters of a column's name
SAMPLE_CELLS = 100  # first cells that show whether a column of text may hold times
# where a number or a date is expected
MISSING_WORDS = frozenset(["", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none"])

DECIMAL_COMMA = re.compile(r"[+-]?\d{1,30},\d{1,30}(?:[eE][+-]?\d{1,3})?", re.ASCII)


class Cells(Protocol):
    """A column: its cells as text (a missing one empty), as numbers (NaN if it holds none), and as times."""

    def __len__(self) -> int: ...
    def text(self) -> list[str]: ...
    def floats(self) -> Array: ...
    def times(self) -> Times: ...


@dataclass(frozen=True)
class PlainCells:
    """A column of text, an array, or any Python objects."""

    cells: Sequence[Any] | Array

    def __len__(self) -> int:
        return len(self.cells)

    def text(self) -> list[str]:
        return ["" if cell is None else str(cell) for cell in self.cells]

    def floats(self) -> Array:
        try:
            if isinstance(self.cells, np.ndarray) or is_plain("".join(self.cells)):
                values = np.array(self.cells, dtype=float)
                if values.ndim == 1:
                    return values
        except (TypeError, ValueError):
            pass
        return np.fromiter(map(number, self.cells), dtype=float, count=len(self))

    def times(self) -> Times:
        return parse_times(self.text())


def is_plain(text: str) -> bool:
    """Whether a text that Python reads as a number is one in a CSV, too: not 1_000, nor digits of other scripts."""
    return text.isascii() and "_" not in text


def number(cell: Any) -> float:
    """The cell as a number, NaN if it is not one."""
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return math.nan if isinstance(cell, str) and not is_plain(cell) else value


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length. Rows are counted from 0, the header not counted.

    source    its name in messages;  sha256    of the file's bytes, or of the numbers if there is no file
    first     the number of rows before these in the file
    """

    columns: Mapping[str, Cells | Sequence[Any] | Array]
    source: str
    sha256: str
    first: int = 0
    _floats: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Cells:
        """The column; raises `UnknownNameError`, which names the nearest column."""
        if name not in self.columns:
            raise UnknownNameError("column", name, self.names)
        cells = self.columns[name]
        return PlainCells(cells) if isinstance(cells, Sequence | np.ndarray) else cells

    def text(self, name: str) -> list[str]:
        """The cells as text, a missing one empty."""
        return self.column(name).text()

    def floats(self, name: str) -> Array:
        """The column as numbers (n,), NaN for a cell without one."""
        if name not in self._floats:
            self._floats[name] = self.column(name).floats()
        return self._floats[name]

    def numbers(self, name: str, here: np.ndarray | None = None) -> Array:
        """The column as finite numbers, shape (n,); raises `InputError` with column and row of the first other cell.

        here (n,)    the rows that count; others are NaN if they hold no finite number
        """
        values = self.floats(name)
        finite = np.isfinite(values)
        if finite.all():
            return values
        if (wrong := ~finite if here is None else here & ~finite).any():
            self.refuse(name, int(np.argmax(wrong)), "give numbers or drop the row")
        return np.where(finite, values, np.nan)

    def is_numeric(self, name: str) -> bool:
        """Whether most cells are numbers: a column of numbers with one 'n/a' is numeric."""
        values = self.floats(name)
        return bool(np.isfinite(values).all() or np.count_nonzero(~np.isnan(values)) > MAJORITY_SHARE * len(values))

    def times(self, name: str) -> Times:
        """The column as times."""
        return self.column(name).times()

    def is_times(self, name: str) -> bool:
        """Whether most cells that are not missing are ISO 8601 dates or date-times."""
        cells = self.column(name)
        if isinstance(cells, PlainCells):
            held = first_cells(cells.text())
            if parse_times(held).here.sum() <= MAJORITY_SHARE * len(held):
                return False
        return bool(self.times(name).here.sum() > MAJORITY_SHARE * (len(self) - self.missing(name).sum()))

    def missing(self, name: str) -> np.ndarray:
        """(n,) whether the cell is missing, or a word for that such as NA or nan."""
        doubtful = np.isnan(self.floats(name))
        if doubtful.any():
            text = self.text(name)
            doubtful[doubtful] = [is_missing(text[row]) for row in np.flatnonzero(doubtful)]
        return doubtful

    def empty(self, name: str) -> np.ndarray:
        """(n,) whether the cell of a column of text is empty."""
        return np.fromiter((not cell.strip() for cell in self.text(name)), dtype=bool, count=len(self))

    def labels(self, name: str, here: np.ndarray | None = None) -> np.ndarray:
        """Group numbers from 0, one per row: rows with the same cell have the same number. Raises `InputError` for an
        empty cell.

        here (n,)    the rows that count; others may be empty
        """
        if (wrong := self.empty(name) if here is None else here & self.empty(name)).any():
            self.refuse(name, int(np.argmax(wrong)), "give every row a group or drop the row")
        return np.unique(np.array(self.text(name)), return_inverse=True)[1]

    def refuse(self, name: str, row: int, advice: str) -> None:
        """Raise `InputError` for the cell in this row (from 0)."""
        number = self.first + row
        raise InputError(f"column {name!r} {_complaint(self.text(name)[row])} in row {number}; {advice}", number)

    @classmethod
    def of(cls, columns: Mapping[str, Cells | Sequence[Any] | Array], source: str) -> Table:
        """A table of arrays, and of lists of text."""
        table, digest = cls(columns, source, ""), hashlib.sha256()
        for name, values in columns.items():
            is_array = isinstance(values, np.ndarray)
            content = (
                np.ascontiguousarray(values, "<f8").tobytes() if is_array else "\n".join(table.text(name)).encode()
            )
            digest.update(content)
        return replace(table, sha256=digest.hexdigest())


def is_missing(cell: str) -> bool:
    """Whether a cell is empty or a word for a missing number."""
    return cell.strip().casefold() in MISSING_WORDS


def first_cells(cells: Iterable[str], count: int = SAMPLE_CELLS) -> list[str]:
    """The first cells that are not missing."""
    return list(itertools.islice((cell for cell in cells if not is_missing(cell)), count))


def _complaint(text: str) -> str:
    text = text.strip()
    if not text:
        return "is empty"
    if not math.isnan(number(text)) or text.casefold() in ("nan", "-nan"):
        return f"holds {shortened(text)}"
    said = f"holds text ({text[:SHOWN_CELL_CHARACTERS]!r})"
    return f"{said}, a decimal comma" if DECIMAL_COMMA.fullmatch(text) else said


def repeated(names: Sequence[str]) -> str | None:
    """The first name that occurs twice, None if all differ."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)


def check_names(source: str, names: Sequence[str]) -> None:
    """Raise `InputError` for columns of the same name, and for a name that is too long for messages."""
    if (twice := repeated(names)) is not None:
        places = listed([str(place) for place, name in enumerate(names, 1) if name == twice])
        raise InputError(
            f"{source} names the column {twice!r} twice (columns {places}); give every column a name of its own"
        )
    if (long := next((place for place, name in enumerate(names, 1) if len(name) > LONGEST_NAME), None)) is not None:
        count = len(names[long - 1])
        raise InputError(
            f"the name of column {long} of {source} has {count:,} characters; the limit is {LONGEST_NAME:,}"
        )
