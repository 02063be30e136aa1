"""`hw4opt predict` from file to file, a block of rows at a time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.extrapolation import OUTSIDE_ADVICE, with_empty_rows
from hw4cli.opt.options import OutputOptions
from hw4cli.opt.outputs import check_outputs, provenance, write_json
from hw4cli.opt.predict import (
    check_names,
    load_predictor,
    offset_column,
    prediction_rows,
    rows_without_gaps,
    unit_warnings,
)
from hw4cli.opt.predict_mixture import MixturePredictor
from hw4cli.opt.predictors import PredictOptions, Predictor, unproven_lines
from hw4cli.opt.report import show, value_range, warn
from hw4cli.opt.row_files import check_sizes, is_parquet_name
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.running.files import replacing
from hw4opt.tables import Table, TableFiles
from hw4opt.tables.parquet import ArrowCells
from hw4opt.tables.write import number_cells, write_csv_block
from hw4opt.terms.base import Array


def predict_files(
    predict_options: PredictOptions,
    files: TableFiles | None,
    named: Mapping[str, str | None],
    output_options: OutputOptions,
) -> int:
    """The exit status: 0 for a certified model, 1 for another; raises `InputError`."""
    files = TableFiles.of(predict_options.data) if files is None else files
    check_sizes(files, predict_options.max_input)
    read = {"the model": predict_options.model, **{f"the data {path}": str(path) for path in files.paths}}
    check_outputs(output_options, read, out=predict_options.out)
    model = load_predictor(predict_options)
    if isinstance(model, MixturePredictor) or output_options.plot is not None or output_options.arrays:
        what = "a mixture" if isinstance(model, MixturePredictor) else "--plot" if output_options.plot else "--arrays"
        raise InputError(f"{what} needs all rows at once; give one file that --memory holds, and --out as a CSV")
    model.check(predict_options, output_options)
    done = _Done()
    with Bar("predicting", output_options.quiet), replacing(predict_options.out) as path:
        writer: _Writer = _ParquetWriter(path) if is_parquet_name(predict_options.out) else _CsvWriter(path)
        with closing(writer):
            for table in files.blocks(files.names):
                try:
                    _predict_block(model, predict_options, named, table, writer, done)
                except InputError as error:
                    said = "" if table.source in str(error) else f"{table.source}: "
                    raise InputError(f"{said}{error}", error.row) from error
        if not done.rows:
            raise InputError(f"every row of {files.source} misses a cell; --missing drop leaves none")
    message = f"{done.rows} predictions in {predict_options.out}"
    record = provenance(output_options.seed, files.sha256) | model.status_record(message, done.ends)
    warnings = [*model.caveats, *done.warnings(predict_options.outside), *unit_warnings(model)]
    record |= {"out": predict_options.out, "n": done.rows, "outside_count": done.outside, "warnings": warnings}
    write_json(record | {"dropped_count": done.dropped}, output_options.json)
    if output_options.save is not None:
        model.save(output_options.save)
    title = f"{done.rows} predictions of {predict_options.model} in {predict_options.out}"
    rows = [(name, *value_range(ends)) for name, ends in done.ends.items()]
    show(output_options, title, ("column", "lowest", "highest"), rows, unproven_lines(record))
    warn(warnings)
    if record["status"] == Status.CERTIFIED.word:
        return Exit.CERTIFIED
    say(f"{record['status']}: {record['message']}")
    return Exit.UNPROVEN


class _Done:
    """What the blocks had: rows predicted, left out and outside the range; the lowest and highest of each column."""

    def __init__(self) -> None:
        self.rows = self.dropped = self.outside = 0
        self.ends: dict[str, Array] = {}

    def add(self, used: np.ndarray, outside: np.ndarray, predictions: Mapping[str, Array]) -> None:
        """One block."""
        self.rows, self.dropped = self.rows + int(used.sum()), self.dropped + int((~used).sum())
        self.outside += int(outside.sum())
        for name, values in predictions.items():
            values = np.concatenate([values, self.ends.get(name, values[:0])])
            finite = values[np.isfinite(values)]
            self.ends[name] = np.array([finite.min(), finite.max()]) if len(finite) else finite

    def warnings(self, treatment: str) -> list[str]:
        """On rows outside the range, and left out."""
        found = []
        if self.outside:
            found.append(f"{self.outside:,} rows lie outside the range of the fitted rows; {OUTSIDE_ADVICE[treatment]}")
        if self.dropped:
            found.append(f"{self.dropped:,} rows are left out, for a missing cell")
        return found


def _predict_block(
    model: Predictor,
    predict_options: PredictOptions,
    named: Mapping[str, str | None],
    table: Table,
    writer: _Writer,
    done: _Done,
) -> None:
    mixture_columns, offset = model.mixture_columns(predict_options, table), offset_column(model, named, table)
    new = rows_without_gaps(model, predict_options, table, mixture_columns, tuple(offset.values()), may_be_empty=True)
    if not new.used.any():
        done.dropped += len(new.used)
        return
    rows, row_range = prediction_rows(model, predict_options, table, mixture_columns, offset, new)
    predictions = model.predictions(rows)
    check_names(predictions, table)
    if predict_options.outside == "empty":
        predictions = {name: with_empty_rows(values, row_range.outside) for name, values in predictions.items()}
    writer.write(table, rows.used, predictions)
    done.add(rows.used, row_range.outside, predictions)


class _Writer(Protocol):
    """A file that is open for blocks of rows."""

    def write(self, table: Table, used: np.ndarray, columns: Mapping[str, Array]) -> None: ...
    def close(self) -> None: ...


class _CsvWriter:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", newline="", encoding="utf-8")
        self.header = True

    def write(self, table: Table, used: np.ndarray, columns: Mapping[str, Array]) -> None:
        texts = [list(itertools.compress(table.text(name), used)) for name in table.names]
        cells = [number_cells(values.tolist()) for values in columns.values()]
        write_csv_block(self.file, [*table.names, *columns], [*texts, *cells], self.header)
        self.header = False

    def close(self) -> None:
        self.file.close()


class _ParquetWriter:
    """The columns of a Parquet file as they are; those of a CSV as numbers where the first block holds such, else as
    text."""

    def __init__(self, path: Path) -> None:
        self.path, self.writer, self.numeric = path, None, set[str]()

    def write(self, table: Table, used: np.ndarray, columns: Mapping[str, Array]) -> None:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetWriter

        if self.writer is None:
            self.numeric = {name for name in table.names if table.is_numeric(name)}
        found = {name: self._column(table, name, used) for name in table.names}
        found |= {name: arrow.array(values, from_pandas=True) for name, values in columns.items()}
        block = arrow.table(found)
        if self.writer is None:
            self.writer = ParquetWriter(self.path, block.schema)
        self.writer.write_table(block.cast(self.writer.schema))

    def _column(self, table: Table, name: str, used: np.ndarray) -> Any:
        import pyarrow as arrow

        cells = table.column(name)
        if isinstance(cells, ArrowCells):
            return cells.stored.filter(arrow.array(used))
        if name in self.numeric:
            return arrow.array(table.numbers(name, ~table.missing(name))[used], from_pandas=True)
        texts: Sequence[str] = list(itertools.compress(table.text(name), used))
        return arrow.array(texts, arrow.string())

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
