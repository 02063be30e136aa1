"""Tables larger than memory: CSV and Parquet files of the same columns, read a block of rows at a time."""

from __future__ import annotations

import csv
import glob
import hashlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw4opt.errors import InputError, RefusedError, listed
from hw4opt.tables.parquet import ArrowCells, open_parquet, reading
from hw4opt.tables.read import BYTES_AT_ONCE, ROWS_AT_ONCE, csv_header, refuse_width
from hw4opt.tables.table import Table
from hw4opt.validation.arguments import checked
from hw4opt.validation.frozen import cached_property

PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_SUFFIXES = (".csv", *PARQUET_SUFFIXES)


def files_named(names: Sequence[str]) -> list[Path]:
    """The files that names, patterns and folders stand for, sorted, without repetition. Raises `InputError` for one
    without a file."""
    found: dict[Path, Path] = {}
    for name in names:
        if os.path.isdir(name):
            some = [one for one in Path(name).iterdir() if one.suffix.lower() in TABLE_SUFFIXES and one.is_file()]
            kind = f"the folder {name} holds no file that ends in {listed(TABLE_SUFFIXES)}"
        elif os.path.isfile(name):
            some, kind = [Path(name)], ""
        else:
            some = [Path(one) for one in glob.glob(name, recursive=True) if os.path.isfile(one)]
            kind = f"no file is named {name}"
        if not some:
            raise InputError(f"{kind}; give a CSV or Parquet file, a folder of them, or a pattern in quotes")
        found = {one.resolve(): one for one in some} | found
    return sorted(found.values())


@dataclass(frozen=True, eq=False)
class TableFiles:
    """Files of the same columns, read in their order a block of rows at a time, any number of times."""

    paths: tuple[Path, ...]

    @classmethod
    @checked
    def of(cls, *names: str | Path) -> TableFiles:
        """The files of names, folders and patterns such as data/*.parquet, sorted. Raises `InputError` for a name
        without a file, a file that is not a table, and one that lacks a column of the first file."""
        files = cls(tuple(files_named([str(name) for name in names])))
        for path in files.paths[1:]:
            missing = [name for name in files.names if name not in _names(path)]
            if missing:
                raise InputError(
                    f"{path} has no column {listed(map(repr, missing))}, which {files.paths[0]} has; "
                    "give files of the same columns"
                )
        return files

    @cached_property
    def names(self) -> list[str]:
        """The columns of the first file."""
        return _names(self.paths[0])

    @property
    def source(self) -> str:
        """Their name in messages."""
        first = str(self.paths[0])
        return first if len(self.paths) == 1 else f"{len(self.paths)} files from {first} on"

    @cached_property
    def _stamps(self) -> list[tuple[int, int]]:
        return [_stamp(path) for path in self.paths]

    @cached_property
    def sha256(self) -> str:
        """The digest of one file; for several, the digest of their sorted digests."""
        digests = sorted(_digest(path) for path in self.paths)
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def blocks(self, names: Sequence[str]) -> Iterator[Table]:
        """Tables of some of the columns, which together have all rows; rows are counted within their file. Raises
        `InputError` for a damaged file, and for one that changed since the first pass."""
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            yield from _blocks(path, names)
            _check_unchanged(path, stamp)

    def row_count(self) -> int:
        """The number of rows; raises `RefusedError` for files that do not store it."""
        for path in self.paths:
            if not is_parquet(path):
                raise RefusedError(f"{path} is a CSV, whose rows cannot be addressed by number; write it as Parquet")
        return sum(_about_rows(path) for path in self.paths)

    def between(self, names: Sequence[str], low: int, high: int) -> Iterator[Table]:
        """The rows low … high - 1 of Parquet files, as tables like those of `blocks`."""
        before = 0
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            count = _about_rows(path)
            if low < before + count and before < high:
                for first, columns in _parquet_blocks(path, names, low - before, high - before):
                    yield Table(columns, str(path), "", first)
                _check_unchanged(path, stamp)
            before += count

    def about_rows(self) -> int:
        """An estimate of the number of rows: of CSV files from the length of the first lines."""
        return sum(_about_rows(path) for path in self.paths)


def is_parquet(path: Path) -> bool:
    """Whether a file is read as Parquet: by its suffix or its first bytes."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return True
    with _opened(path) as file:
        return bool(file.read(4) == b"PAR1")


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _check_unchanged(path: Path, stamp: tuple[int, int]) -> None:
    """Raise `InputError` for a file that has changed."""
    if _stamp(path) != stamp:
        raise InputError(f"{path} was changed while it was read; start again")


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with _opened(path) as file:
        while part := file.read(BYTES_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def _names(path: Path) -> list[str]:
    if is_parquet(path):
        return open_parquet(path).names
    with _opened(path) as file:
        return csv_header(str(path), csv.reader(_lines(path, file), strict=True))


def _about_rows(path: Path) -> int:
    if is_parquet(path):
        return int(open_parquet(path).file.metadata.num_rows)
    with _opened(path) as file:
        lines = file.readlines(BYTES_AT_ONCE)
    return _stamp(path)[0] * len(lines) // max(sum(map(len, lines)), 1)


def _blocks(path: Path, names: Sequence[str]) -> Iterator[Table]:
    parts = _parquet_blocks(path, names) if is_parquet(path) else _csv_blocks(path, names)
    empty = True
    for first, columns in parts:
        empty = False
        yield Table(columns, str(path), "", first)
    if empty:
        raise InputError(f"{path} has no rows; leave it out")


def _parquet_blocks(
    path: Path, names: Sequence[str], low: int = 0, high: float = math.inf
) -> Iterator[tuple[int, dict[str, ArrowCells]]]:
    """Blocks of a file's rows low … high - 1: the number of the first row, and the columns."""
    opened = open_parquet(path)
    places = [opened.names.index(name) for name in names]
    own = [opened.file.schema_arrow.names[place] for place in places]
    with reading(str(path)):
        sizes = [opened.file.metadata.row_group(place).num_rows for place in range(opened.file.num_row_groups)]
        edges = [0, *itertools.accumulate(sizes)]
        groups = [place for place in range(len(sizes)) if edges[place] < high and low < edges[place + 1]]
        first = edges[groups[0]] if groups else 0
        for batch in opened.file.iter_batches(ROWS_AT_ONCE, groups, own, use_threads=False):
            start, stop = max(low - first, 0), int(min(high - first, len(batch)))
            if start < stop:
                part = batch.slice(start, stop - start)
                yield first + start, {name: ArrowCells.of(part[one]) for name, one in zip(names, own, strict=True)}
            first += len(batch)


def _csv_blocks(path: Path, names: Sequence[str]) -> Iterator[tuple[int, dict[str, list[str]]]]:
    source, first = str(path), 0
    with _opened(path) as file:
        reader = csv.reader(_lines(path, file), strict=True)
        header = csv_header(source, reader)
        places, rows = [header.index(name) for name in names], filter(None, reader)
        try:
            while chunk := list(itertools.islice(rows, max(ROWS_AT_ONCE // len(header), 1))):
                if set(map(len, chunk)) != {len(header)}:
                    refuse_width(source, len(header), chunk, first)
                yield first, {name: [row[place] for row in chunk] for name, place in zip(names, places, strict=True)}
                first += len(chunk)
        except csv.Error as error:
            raise InputError(f"{source} is not a readable CSV: line {reader.line_num}: {error}") from error


def _lines(path: Path, file: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text file; raises `InputError` for a binary one."""
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not UTF-8 text (line {number}); give a CSV with a header, or Parquet"
            ) from error
        if "\0" in text:
            raise InputError(f"{path} is a binary file (line {number}); give a CSV with a header, or Parquet")
        yield text
