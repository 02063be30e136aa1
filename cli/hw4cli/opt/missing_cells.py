"""Rows with missing cells: found, refused, or dropped with a warning."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from hw4opt.errors import listed
from hw4opt.tables import Table

MISSING_ADVICE = "drop the row, or give --missing drop"


def missing_cells(table: Table, texts: Collection[str], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Column → the rows (n,) in which its cell is missing; `texts` are the columns of text."""
    return {name: table.empty(name) if name in texts else table.missing(name) for name in dict.fromkeys(names)}


def refuse_missing(table: Table, groups: str | None, gaps: Mapping[str, np.ndarray]) -> None:
    """Raise `InputError` for the first missing cell; `groups` is the column of groups."""
    for name, gap in gaps.items():
        if gap.any():
            what = "give every row a group" if name == groups else "give a value"
            table.refuse(name, int(np.argmax(gap)), f"{what}, {MISSING_ADVICE}")


def dropped_sentence(dropped: np.ndarray, gaps: Mapping[str, np.ndarray]) -> str:
    """The sentence on dropped rows."""
    return dropped_rows_sentence(np.flatnonzero(dropped), [name for name, gap in gaps.items() if gap.any()])


def dropped_rows_sentence(rows: np.ndarray, columns: Iterable[str]) -> str:
    """The sentence on dropped rows, by their numbers from 0, and the columns of which they miss cells."""
    subject, verb = ("1 row misses", "is") if len(rows) == 1 else (f"{len(rows):,} rows miss", "are")
    numbers = listed(map(str, (rows + 1).tolist()))
    return f"{subject} a cell of {listed(map(repr, columns))} and {verb} dropped: {numbers}"
