"""Tables from files, pipes and standard input."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import math
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from hw4opt.errors import InputError
from hw4opt.tables.table import Table, check_names, number
from hw4opt.validation.arguments import checked

STDIN = "-"
MOST_BYTES = 2_000_000_000
ROWS_AT_ONCE = 65_536
BYTES_AT_ONCE = 1_048_576
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")  # the first bytes of UTF-16 text, and of UTF-32 text


@checked
def read_table(path: str | Path, max_bytes: int = MOST_BYTES) -> Table:
    """A CSV file with a header, or a Parquet file; `-` is standard input. Raises `InputError`, whose message names the
    file and its fault.

    max_bytes    the largest size read: larger files are refused, and so are devices and sockets; a FIFO is read like a
                 file
    """
    source = "standard input" if str(path) == STDIN else str(path)
    return parse_table(read_bytes(path, source, max_bytes), source, max_bytes)


@checked
def parse_table(data: bytes, source: str, max_bytes: int = MOST_BYTES) -> Table:
    """The table in the bytes of a file, `source` in messages, as `read_table` reads it."""
    if len(data) > max_bytes:
        raise InputError(_too_large(source, max_bytes))
    if data[:4] == b"PAR1" or Path(source).suffix.lower() in (".parquet", ".pq"):
        from hw4opt.tables.parquet import parquet_columns

        columns = parquet_columns(source, data, max_bytes)
    else:
        columns = _csv_columns(source, data)
    table = Table(columns, source, hashlib.sha256(data).hexdigest())
    if not len(table):
        raise InputError(f"{source} has {'a header' if columns else 'no columns'} and no rows")
    return table


def read_bytes(path: str | Path, source: str, max_bytes: int, wanted: str = "a CSV or Parquet file") -> bytes:
    """The bytes of a file, `source` in messages, or of standard input for `-`. Raises `InputError`.

    wanted    what messages advise to give
    """
    try:
        if str(path) == STDIN:
            if sys.stdin is None:
                raise InputError(f"there is no standard input to read; give {wanted}")
            return _up_to(sys.stdin.buffer, source, max_bytes)
        status = os.stat(path)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            kind = "a socket" if stat.S_ISSOCK(status.st_mode) else "a device"
            raise InputError(f"{path} is {kind}; give {wanted}, or - for standard input")
        if status.st_size > max_bytes and stat.S_ISREG(status.st_mode):
            raise InputError(_too_large(source, max_bytes))
        with open(path, "rb") as file:
            return _up_to(
                file, source, max_bytes, max(status.st_size + 1, BYTES_AT_ONCE)
            )  # a regular file in one piece
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; give {wanted}") from error
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {source}: {getattr(error, 'strerror', None) or error}") from error


def _up_to(file: BinaryIO, source: str, max_bytes: int, at_once: int = BYTES_AT_ONCE) -> bytes:
    parts, size = [], 0
    while part := file.read(at_once):
        size += len(part)
        if size > max_bytes:
            raise InputError(_too_large(source, max_bytes))
        parts.append(part)
    return b"".join(parts)


def _too_large(source: str, max_bytes: int) -> str:
    return (
        f"{source} holds more than {max_bytes:,} bytes, the most that is read; give a larger `max_bytes`, or fewer rows"
    )


def _csv_columns(source: str, data: bytes) -> dict[str, list[str]]:
    if data.startswith(UTF16_MARKS):
        raise InputError(f"{source} is UTF-16 text; save it as UTF-8")
    if b"\0" in data:
        raise InputError(f"{source} is a binary file (byte {data.index(0)} is 0); give a CSV with a header, or Parquet")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is not UTF-8 text (byte {error.start}); give a CSV with a header, or Parquet"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return _columns(source, csv_header(source, reader), filter(None, reader))
    except csv.Error as error:
        raise InputError(f"{source} is not a readable CSV: line {reader.line_num}: {error}") from error


def csv_header(source: str, rows: Iterable[list[str]]) -> list[str]:
    """The names of the columns, from the first row that is not empty. Raises `InputError` for a row without names."""
    cells = next(filter(None, rows), None)
    if cells is None:
        raise InputError(f"{source} is empty; give a CSV with a header")
    names = [cell.strip() for cell in cells]
    if all(math.isfinite(number(name)) for name in names):
        raise InputError(f"the first line of {source} holds numbers only; give a CSV with a header")
    if len(names) == 1 and (mark := next((mark for mark in ";\t" if mark in names[0]), None)):
        raise InputError(
            f"{source} is separated by {'tabs' if mark != ';' else 'semicolons'}; give a CSV separated by commas"
        )
    check_names(source, names)
    return names


def _columns(source: str, names: Sequence[str], rows: Iterator[list[str]]) -> dict[str, list[str]]:
    columns: list[list[str]] = [[] for _ in names]
    while chunk := list(itertools.islice(rows, max(ROWS_AT_ONCE // len(names), 1))):
        if set(map(len, chunk)) != {len(names)}:
            refuse_width(source, len(names), chunk, len(columns[0]))
        for column, cells in zip(columns, zip(*chunk, strict=True), strict=True):
            column.extend(cells)
    return dict(zip(names, columns, strict=True))


def refuse_width(source: str, width: int, rows: Iterable[list[str]], before: int) -> None:
    """Raise `InputError` for the first row with another number of cells; `before` rows precede these."""
    place, count = next((place, len(row)) for place, row in enumerate(rows, before) if len(row) != width)
    said = f"{source} has {count} cells in row {place} and {width} in the header"
    raise InputError(f"{said}; every row needs as many as the header", place)
