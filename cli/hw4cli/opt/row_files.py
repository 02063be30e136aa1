"""The files that DATA names, and whether their rows are read a block at a time."""

from __future__ import annotations

import os

import click

from hw4cli.opt.options import bytes_of
from hw4cli.options import typed
from hw4opt.errors import InputError
from hw4opt.running.array_files import free_memory
from hw4opt.tables import STDIN, TableFiles
from hw4opt.tables.files import PARQUET_SUFFIXES

BASIS_COLUMNS = 64  # estimated rank of the basis, for the memory of a fit per row
CELL_BYTES = 80  # memory per cell of a CSV, a Python string
DATA_FILES = click.argument("data", nargs=-1, metavar="[DATA]…")
MEMORY_OPTION = click.option(
    "--memory",
    metavar="BYTES",
    callback=lambda context, parameter, text: None if text is None else bytes_of(context, parameter, text),
    help="Memory limit of a table and its fit, as in 2GB; default: half of the free memory. Larger tables, several "
    "files, folders and patterns are read one block at a time, in several passes; for them it is the limit of fits "
    "with tv, trend, shapes, quantile and absolute loss, which store the rest on disk.",
)
DASK_OPTION = click.option(
    "--dask",
    metavar="SCHEDULER",
    help="Address of a Dask scheduler, as in tcp://host:8786, whose workers read the Parquet files of DATA in blocks, "
    "hold the rows and sum over them; with tv, trend, shapes, quantile and absolute loss they fit the folds of "
    "--select kfold:K. If DATA is one CSV file that fits into memory, they score the settings of --select. "
    "Default: this process does all of it.",
)


def row_files(data: tuple[str, ...], memory: int | None, dask: str | None = None) -> TableFiles | None:
    """The files to read in blocks: several files, a folder, a pattern, a file that needs more memory than there is, or
    Parquet files for Dask workers; None for a table that is read into memory. Raises `InputError`."""
    in_memory = not data or (len(data) == 1 and not _in_blocks(data[0], memory))
    if in_memory and (dask is None or not data or not is_parquet_name(data[0])):
        return None
    if STDIN in data:
        raise InputError("DATA names standard input beside files, which are read several times; give files only")
    files = TableFiles.of(*data)
    return files if dask is None else TableFiles(tuple(path.resolve() for path in files.paths))


def check_sizes(files: TableFiles, most: int) -> None:
    """Raise `InputError` for a file of more bytes than --max-input says, where it is given."""
    large = next((path for path in files.paths if typed("max_input") and path.stat().st_size > most), None)
    if large is not None:
        raise InputError(f"{large} holds more than {most:,} bytes, the most that is read; give a larger --max-input")


def check_one_file(name: str) -> None:
    """Raise `InputError` for a pattern, in commands that read one table."""
    if not os.path.exists(name) and _is_pattern(name):
        raise InputError(
            f"{name} is a pattern and this command reads one file; name one (solve and predict take patterns)"
        )


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _in_blocks(name: str, memory: int | None) -> bool:
    if not os.path.isfile(name):
        return os.path.isdir(name) or _is_pattern(name)
    if memory is None and os.path.getsize(name) < 1e-3 * free_memory():
        return False  # nothing has to be counted
    files = TableFiles.of(name)
    cell = 8 if is_parquet_name(name) else CELL_BYTES
    needed = files.about_rows() * (cell * len(files.names) + 8 * BASIS_COLUMNS)
    return needed > (free_memory() // 2 if memory is None else memory)


def is_parquet_name(name: str) -> bool:
    """Whether a file of this name is to hold Parquet."""
    return name.lower().endswith(PARQUET_SUFFIXES)


def feature_names(files: TableFiles, x: str | None, taken: dict[str, str]) -> tuple[str, ...]:
    """The columns that --x names, else those of numbers in the first rows that have no other role. Raises
    `InputError`."""
    first = next(iter(files.blocks(files.names)))
    for name in taken:
        first.column(name)
    names = [name for name in files.names if name not in taken and first.is_numeric(name)]
    if x is not None:
        names = [name.strip() for name in x.split(",")]
        for name in names:
            first.column(name)
            if name in taken and taken[name] != "weights":
                raise InputError(f"column {name!r} is both x and {taken[name]}")
        if len(set(names)) < len(names):
            raise InputError("--x names a column twice")
    if not names:
        raise InputError(f"{files.source} has no numeric column besides {', '.join(taken)}; name the features with --x")
    return tuple(names)
