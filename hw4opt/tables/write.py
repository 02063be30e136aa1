"""Tables written as CSV that `read_table` can read."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from hw4opt.errors import InputError, shortened


def write_csv(path: str | Path, names: Sequence[str], columns: Iterable[Sequence[str]]) -> None:
    """Write columns of text under their names, in UTF-8. A zero byte, which CSV cannot hold, is written as \\x00.

    Raises `InputError` for a cell that is too long to be read again.
    """
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        write_csv_block(file, names, columns, header=True)


def write_csv_block(file: TextIO, names: Sequence[str], columns: Iterable[Sequence[str]], header: bool) -> None:
    """Append rows to an open file, as `write_csv` writes them."""
    names, *columns = map(_without_zero, (names, *columns))
    for name, column in zip(names, columns, strict=True):
        if max(map(len, column), default=0) > csv.field_size_limit():
            row = next(row for row, cell in enumerate(column) if len(cell) > csv.field_size_limit())
            raise InputError(
                f"column {shortened(name)!r} holds text of {len(column[row]):,} characters in row {row}; a CSV holds "
                f"{csv.field_size_limit():,} in a cell: drop the column",
                row,
            )
    returns = any("\r" in "".join(texts) for texts in (names, *columns))  # the csv module leaves a lone one unquoted
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
    if header:
        writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))


def _without_zero(texts: Sequence[str]) -> Sequence[str]:
    return [text.replace("\0", "\\x00") for text in texts] if "\0" in "".join(texts) else texts


def number_cells(values: Iterable[float | None]) -> list[str]:
    """Numbers with every digit; empty for one that is not finite."""
    return ["" if value is None or not math.isfinite(value) else str(value) for value in values]
