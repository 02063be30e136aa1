"""Parquet files: a column is converted when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw4opt.errors import InputError
from hw4opt.tables.table import PlainCells, check_names
from hw4opt.tables.times import DAY, SECOND, Times, moment_text
from hw4opt.terms.base import Array
from hw4opt.validation.frozen import cached_property

UNITS = {"s": SECOND, "ms": 10**6, "us": 10**3, "ns": 1}  # in nanoseconds


@dataclass(frozen=True)
class ArrowCells:
    """A stored column of a Parquet file, `pyarrow.ChunkedArray`."""

    stored: Any

    @classmethod
    def of(cls, chunk: Any) -> ArrowCells:
        """The column of one batch, `pyarrow.Array`."""
        import pyarrow as arrow

        return cls(arrow.chunked_array([chunk]))

    def __len__(self) -> int:
        return len(self.stored)

    @cached_property
    def column(self) -> Any:
        """The column with Arrow's extension and dictionary types replaced by the types of their values."""
        import pyarrow as arrow

        column = self.stored
        if isinstance(column.type, arrow.BaseExtensionType):
            column = arrow.chunked_array([chunk.storage for chunk in column.chunks], type=column.type.storage_type)
        return column.cast(column.type.value_type) if arrow.types.is_dictionary(column.type) else column

    def floats(self) -> Array:
        import pyarrow as arrow

        kind = self.column.type
        if arrow.types.is_null(kind):
            return np.full(len(self), np.nan)
        if (
            arrow.types.is_boolean(kind)
            or arrow.types.is_integer(kind)
            or arrow.types.is_floating(kind)
            or arrow.types.is_decimal(kind)
        ):
            return self.column.cast(arrow.float64(), safe=False).to_numpy()  # a missing one is NaN
        return PlainCells(self.text()).floats() if _is_text(kind) else np.full(len(self), np.nan)

    def times(self) -> Times:
        import pyarrow as arrow

        kind = self.column.type
        if _is_text(kind):
            return PlainCells(self.text()).times()
        if not _is_time(kind):
            return Times([None] * len(self), np.zeros(len(self), dtype=bool), True)
        whole, unit, zoned = arrow.int64(), UNITS["ms"], False  # date64
        if kind == arrow.date32():
            whole, unit = arrow.int32(), DAY
        elif arrow.types.is_timestamp(kind):
            unit, zoned = UNITS[kind.unit], kind.tz is not None
        moments = [None if one is None else one * unit for one in self.column.cast(whole).to_pylist()]
        return Times(moments, np.full(len(self), zoned), arrow.types.is_date(kind))

    def text(self) -> list[str]:
        import pyarrow as arrow

        kind, column = self.column.type, self.column
        if _is_time(kind):
            times = self.times()
            mark = "Z" if times.zoned.any() else ""
            return ["" if one is None else moment_text(one, times.dates) + mark for one in times.nanoseconds]
        if arrow.types.is_floating(kind):
            return ["" if one is None else str(one) for one in column.cast(arrow.float64()).to_pylist()]
        if arrow.types.is_boolean(kind):  # as numbers, so that a written file can be read again
            return ["" if one is None else str(int(one)) for one in column.to_pylist()]
        if _is_bytes(kind):
            return [
                "" if one is None else one.decode("utf-8", "backslashreplace")
                for one in column.cast(arrow.large_binary()).to_pylist()
            ]
        try:
            return ["" if one is None else str(one) for one in column.to_pylist()]
        except (
            ValueError,
            OverflowError,
            NotImplementedError,
            arrow.ArrowException,
        ):  # a value that Python objects cannot hold
            pass
        try:
            return ["" if one is None else one for one in column.cast(arrow.string()).to_pylist()]
        except arrow.ArrowException:
            return [" ".join(column.slice(row, 1).to_string().split()) for row in range(len(column))]


def _is_bytes(kind: Any) -> bool:
    """Whether the cells are bytes or text."""
    from pyarrow import types

    tests: list[Callable[[Any], bool]] = [
        types.is_string,
        types.is_large_string,
        types.is_binary,
        types.is_large_binary,
    ]
    return any(test(kind) for test in tests)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind)


def _is_time(kind: Any) -> bool:
    from pyarrow import types

    return types.is_date(kind) or types.is_timestamp(kind)


@dataclass(frozen=True, eq=False)
class OpenParquet:
    """A Parquet file of which only the footer has been read."""

    source: str
    file: Any  # pyarrow.parquet.ParquetFile
    names: list[str]


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Turn Arrow's exceptions inside the block into `InputError`."""
    from pyarrow import ArrowException

    try:
        yield
    except InputError:
        raise
    except (ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{source} is damaged or not a Parquet file; write it again, or give a CSV") from error


def open_parquet(given: Path | bytes, source: str | None = None) -> OpenParquet:
    """A Parquet file of a path, or in memory. Raises `InputError`."""
    source = str(given) if source is None else source
    try:
        from pyarrow import BufferReader
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"reading {source} needs pyarrow; it comes with the extra: pip install 'hw4opt[parquet]'"
        ) from error
    with reading(source):
        readable = BufferReader(given) if isinstance(given, bytes) else str(given)
        file = ParquetFile(readable, page_checksum_verification=True)
        names = [name.strip() for name in file.schema_arrow.names]
        check_names(source, names)
        return OpenParquet(source, file, names)


def parquet_columns(source: str, data: bytes, max_bytes: int) -> dict[str, ArrowCells]:
    """The columns of a Parquet file by name. Raises `InputError`, also for one that unpacks to more than `max_bytes`
    bytes."""
    opened = open_parquet(data, source)
    with reading(source):
        _check_size(source, opened.file.metadata, max_bytes)
        table = opened.file.read()
    return {name: ArrowCells(column) for name, column in zip(opened.names, table.columns, strict=True)}


def _check_size(source: str, metadata: Any, max_bytes: int) -> None:
    """Raise `InputError` for a file that unpacks to too many bytes by its footer, or at one byte per cell."""
    groups = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
    size = max(groups, metadata.num_rows * metadata.num_columns)
    if size > max_bytes:
        raise InputError(
            f"{source} unpacks to {size:,} bytes and {max_bytes:,} are read at most; give a larger `max_bytes`"
        )
