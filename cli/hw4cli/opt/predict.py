"""`hw4opt predict`: predictions of a saved model for new rows."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw4cli.opt import poisson_options
from hw4cli.opt.columns import LARGEST_VALUE
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.extrapolation import OUTSIDE_ADVICE, RowRange, with_empty_rows
from hw4cli.opt.model_columns import NewRows, new_rows, target_of
from hw4cli.opt.options import ARRAYS, MODEL_FILE, OUTPUT, TABLE, OutputOptions
from hw4cli.opt.outputs import check_outputs, draw, provenance, with_arrays, write_json
from hw4cli.opt.predict_fit import FitPredictor
from hw4cli.opt.predict_mixture import MixturePredictor
from hw4cli.opt.predictors import MixtureColumns, PredictionRows, PredictOptions, Predictor, unproven_lines
from hw4cli.opt.report import figure_line, show, value_range, warn
from hw4cli.opt.row_files import MEMORY_OPTION, is_parquet_name, row_files
from hw4cli.options import options, take, typed
from hw4cli.progress import Bar
from hw4opt import InputError, Result, Status
from hw4opt.blocks.model_file import is_blocks_file
from hw4opt.errors import shortened
from hw4opt.inference.intervals import METHODS
from hw4opt.mixture.components import Components
from hw4opt.running.files import write_with
from hw4opt.tables import Table, read_table
from hw4opt.tables.features import Features, Moments, Numbers
from hw4opt.tables.write import number_cells, write_csv
from hw4opt.terms.base import Array

log = logging.getLogger("hw4opt.cli")

LEVEL = re.compile(r"[0-9]{0,2}\.[0-9]{1,15}")


def parse_levels(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...]:
    """The levels of --interval; raises `click.BadParameter`."""
    words = [] if text is None else [word.strip() for word in text.split(",")]
    if not all(LEVEL.fullmatch(word) and 0 < float(word) < 1 for word in words):
        raise click.BadParameter(f"{shortened(text or '')}: give levels between 0 and 1, as in 0.9 or 0.9,0.5")
    levels = tuple(map(float, words))
    if len(set(levels)) < len(levels):
        raise click.BadParameter(f"{shortened(text or '')}: a level is given twice")
    return levels


@click.command("predict")
@click.argument("model")
@click.argument("data")
@click.option(
    "--out",
    required=True,
    metavar="PATH",
    help="A CSV or .parquet file: the columns of the input, prediction, and bound if one is proven.",
)
@click.option(
    "--x", metavar="COL[,COL…]", help="The model's feature columns in these data; default: those it was fitted to."
)
@click.option(
    "--outside",
    type=click.Choice(list(OUTSIDE_ADVICE)),
    default="keep",
    show_default=True,
    help="Rows outside the range of the fitted rows: predict at them, leave their predictions empty, or predict at "
    "the nearest x inside.",
)
@click.option("--offset", metavar="COL", help="Counts: the offset column; default: the one of the fit.")
@click.option("--exposure", metavar="COL", help="Counts: the exposure column; default: the one of the fit.")
@click.option(
    "--y",
    metavar="COL",
    help="Mixtures: the column of counts, which determine the mood of a row; default: the one of the fit.",
)
@click.option(
    "--interval",
    metavar="LEVEL[,LEVEL…]",
    callback=parse_levels,
    help="Prediction intervals of these levels, as in 0.9,0.5: columns lower_0.9, upper_0.9, …; of a model of `solve "
    "--keep-folds`. Default: none.",
)
@click.option(
    "--interval-method",
    type=click.Choice(METHODS),
    default="plus",
    show_default=True,
    help="plus: jackknife+ or CV+. base: around the prediction. minmax: around all held-out predictions.",
)
@options(TABLE, MEMORY_OPTION, MODEL_FILE, ARRAYS, OUTPUT)
def command(memory: int | None, offset: str | None, exposure: str | None, **given: Any) -> int:
    """Predict with a saved model: MODEL is a file of `hw4opt solve --save` or `em --save`, DATA a CSV or Parquet file.

    With --out OUT.parquet, and for a folder, a pattern in quotes, and a file that needs more than --memory, rows go
    from file to file a block at a time.

    prediction is the linear predictor; logistic models add mean, the probability of y = 1, and poisson models the
    expected count. bound is a proven bound of the distance from the prediction of the exact optimum; a model with an
    unpenalised intercept has none. For a mixture: mood, responsibility_1, … and mean given the count of the row;
    without a column of counts, the mean over all moods. A prediction that is not finite is an empty cell.

    With --interval, a new target lies between lower and upper with a probability of at least 2·LEVEL - 1 (plus) or
    LEVEL (minmax) with leave-one-out folds, and 2·LEVEL - 1 - √(2/n) with K folds, if rows are exchangeable, weights
    equal, and no hyper-parameter was chosen on them; for base, and after choosing, nothing is guaranteed.
    """
    predict_options = take(PredictOptions, {**given, "categorical": ()})
    named, output_options = {"offset": offset, "exposure": exposure}, take(OutputOptions, given)
    files = row_files((predict_options.data,), memory)
    if files is None and not is_parquet_name(predict_options.out):
        return predict(predict_options, named, output_options)
    from hw4cli.opt.predict_files import predict_files  # deferred: it is seldom asked for

    return predict_files(predict_options, files, named, output_options)


def load_predictor(predict_options: PredictOptions) -> Predictor:
    """The saved model. Raises `ModelFileError`."""
    if typed("interval_method") and not predict_options.interval:
        raise InputError(f"--interval-method {predict_options.interval_method} needs --interval; give it, too")
    if Components.is_file(predict_options.model):
        return MixturePredictor(Components.load(predict_options.model))
    if is_blocks_file(predict_options.model):
        from hw4cli.opt.predict_blocks import BlocksPredictor

        return BlocksPredictor.load(predict_options.model)
    result = Result.load(predict_options.model)
    return FitPredictor(result, predict_options.interval, predict_options.interval_method)


def predict(predict_options: PredictOptions, named: Mapping[str, str | None], output_options: OutputOptions) -> int:
    """The exit status: 0 for a certified model, 1 for another; raises `InputError`."""
    check_outputs(
        output_options, {"the model": predict_options.model, "the data": predict_options.data}, out=predict_options.out
    )
    model = load_predictor(predict_options)
    model.check(predict_options, output_options)
    table = read_table(predict_options.data, predict_options.max_input)
    mixture_columns, offset = model.mixture_columns(predict_options, table), offset_column(model, named, table)
    new = rows_without_gaps(model, predict_options, table, mixture_columns, tuple(offset.values()))
    rows, row_range = prediction_rows(model, predict_options, table, mixture_columns, offset, new)
    notes = model.notes(rows, mixture_columns)
    with Bar("predicting", output_options.quiet):
        predictions = model.predictions(rows)
    left_empty = row_range.outside if predict_options.outside == "empty" else np.zeros(len(rows.x), dtype=bool)
    predictions = {name: with_empty_rows(values, left_empty) for name, values in predictions.items()}
    check_names(predictions, table)
    names = None if model.features is None else model.features.names
    warnings = [
        *new.warnings,
        *unit_warnings(model),
        *mixture_columns.warnings,
        *model.caveats,
        *notes.sentences,
        *row_range.warnings(names, predict_options.outside),
    ]
    warnings += row_range.overflow_warnings(predictions, left_empty | notes.rows)
    write_with(predict_options.out, lambda path: _write(path, table, rows.used, predictions))
    record = provenance(output_options.seed, table.sha256) | model.status_record(
        f"{len(rows.x)} predictions in {predict_options.out}", predictions
    )
    record |= {
        "model": predict_options.model,
        "out": predict_options.out,
        "n": len(rows.x),
        "outside_rows": row_range.rows[row_range.outside],
    }
    record |= {"features": names, "dropped_rows": np.flatnonzero(~rows.used), "warnings": warnings}
    write_json(record | (predictions if with_arrays(output_options, len(rows.x)) else {}), output_options.json)
    draw(output_options, lambda: model.figure(rows.x[_drawable(predictions)]))
    if output_options.save is not None:
        model.save(output_options.save)
    _show(model, predict_options, output_options, record, predictions)
    warn(warnings)
    if record["status"] == Status.CERTIFIED.word:
        return Exit.CERTIFIED
    say(f"{record['status']}: {record['message']}")
    return Exit.UNPROVEN


def rows_without_gaps(
    model: Predictor,
    predict_options: PredictOptions,
    table: Table,
    mixture_columns: MixtureColumns,
    more: tuple[str, ...],
    may_be_empty: bool = False,
) -> NewRows:
    """The rows without a missing cell; x (m, d) holds the features, then the counts of a mixture, if given. Raises
    `InputError` where there are none, unless that may be."""
    features = model.features
    names = None if predict_options.x is None else [name.strip() for name in predict_options.x.split(",")]
    if features is None and names is None:
        raise InputError(
            f"the {model.kind} does not name its {model.count} feature columns; "
            f"give --x with {table.source}'s columns in their order"
        )
    if features is None:
        features = Features(tuple(Numbers(f"x{place}") for place in range(model.count)))
    if names is None:
        names = [column.name for column in features.columns]
    if len(names) != len(features.columns):
        raise InputError(f"--x names {len(names)} columns and the {model.kind} has {len(features.columns)} features")
    if mixture_columns.counts is not None:
        features, names = Features((*features.columns, mixture_columns.counts)), [*names, mixture_columns.name]
    return new_rows(table, features, predict_options.missing, names, more, mixture_columns.groups, may_be_empty)


def prediction_rows(
    model: Predictor,
    predict_options: PredictOptions,
    table: Table,
    mixture_columns: MixtureColumns,
    offset: Mapping[str, str],
    new: NewRows,
) -> tuple[PredictionRows, RowRange]:
    """The rows to predict, moved into the range of the fitted rows with --outside clip, and that range."""
    x, y = (new.x, None) if mixture_columns.counts is None else (new.x[:, :-1], new.x[:, -1])
    row_range = RowRange.of(model.span, x, np.flatnonzero(new.used))
    offsets = poisson_options.log_offset(table, offset.get("offset"), offset.get("exposure"), new.used)
    offsets = None if offsets is None else offsets[new.used]
    groups = None if mixture_columns.groups is None else table.labels(mixture_columns.groups, new.used)[new.used]
    return PredictionRows(
        row_range.nearest if predict_options.outside == "clip" else x, offsets, y, groups, new.used
    ), row_range


def unit_warnings(model: Predictor) -> list[str]:
    """The warning on predictions that are dates."""
    target = target_of(model.context, "")
    return [f"predictions are {target.unit}"] if isinstance(target, Moments) else []


def offset_column(model: Predictor, named: Mapping[str, str | None], table: Table) -> dict[str, str]:
    """The column of the offset or exposure by its role; raises `InputError` if the model needs one that is missing."""
    given = {role: name for role, name in named.items() if name is not None}
    if not model.has_offset:
        if given:
            raise InputError(
                f"--{next(iter(given))} {next(iter(given.values()))}: the {model.kind} was fitted without an offset; "
                "drop it"
            )
        return {}
    given = given or {role: str(model.context[role]) for role in named if role in model.context}
    if not given:
        raise InputError(
            f"the {model.kind} was fitted with an offset and does not name its column; give --offset or --exposure"
        )
    for role, name in given.items():
        if name not in table.columns:
            raise InputError(
                f"the {model.kind} was fitted with an {role} and {table.source} has no column {name!r}; "
                f"add it, or name another with --{role}"
            )
    return given


def _drawable(predictions: Mapping[str, Array]) -> np.ndarray:
    """The rows whose predictions are numbers that a figure can hold."""
    return np.logical_and.reduce([np.abs(values) <= LARGEST_VALUE for values in predictions.values()])


def check_names(columns: Mapping[str, Array], table: Table) -> None:
    """Raise `InputError` for a column of the table that the predictions would replace."""
    twice = next((name for name in columns if name in table.columns), None)
    if twice is not None:
        raise InputError(f"{table.source} has a column {twice!r} already; rename or drop it, so that no input is lost")


def _write(path: Path, table: Table, used: np.ndarray, columns: Mapping[str, Array]) -> None:
    texts = [list(itertools.compress(table.text(name), used)) for name in table.names]
    write_csv(path, [*table.names, *columns], [*texts, *(number_cells(values.tolist()) for values in columns.values())])
    log.info("%s: %d rows", path, used.sum())


def _show(
    model: Predictor,
    predict_options: PredictOptions,
    output_options: OutputOptions,
    record: Mapping[str, Any],
    columns: Mapping[str, Array],
) -> None:
    last = [
        *unproven_lines(record),
        *(figure_line(output_options, "predicted.png") if isinstance(model, FitPredictor) else []),
    ]
    rows = [(name, *value_range(values)) for name, values in columns.items()]
    show(
        output_options,
        f"{record['n']} predictions of {predict_options.model} in {predict_options.out}",
        ("column", "lowest", "highest"),
        rows,
        last,
    )
