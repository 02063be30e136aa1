"""`hw4opt predict`: a saved model at new rows."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw4cli.opt import counts
from hw4cli.opt.columns import LARGEST, NewRows, new_rows, target_of
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import ARRAYS, READ, SAVE, WRITE, Writing, options, take
from hw4cli.opt.outputs import check_outputs, draw, provenance, with_arrays, write_json
from hw4cli.opt.outside import OUTSIDE, Place, emptied
from hw4cli.opt.predict_curve import Curve
from hw4cli.opt.predict_moods import Mixture
from hw4cli.opt.predictors import Asking, Predictor, Rows, Told
from hw4cli.opt.report import figure_line, show, span, warn
from hw4cli.progress import Bar
from hw4opt import InputError, Result, Status
from hw4opt.mixture.components import Components
from hw4opt.running.files import write_with
from hw4opt.tables import Table, read_table
from hw4opt.tables.features import Features, Moments, Numbers
from hw4opt.tables.write import number_cells, write_csv
from hw4opt.terms.base import Array

log = logging.getLogger("hw4opt.cli")


@click.command("predict")
@click.argument("model")
@click.argument("data")
@click.option("--out", required=True, metavar="CSV", help="The input's columns, then prediction, and bound where one is proven.")
@click.option("--x", metavar="COL[,COL…]", help="The model's feature columns in these data; default: those it was fitted to.")
@click.option(
    "--outside",
    type=click.Choice(list(OUTSIDE)),
    default="keep",
    show_default=True,
    help="Rows outside the range of the fitted rows: predict there, leave the cell empty, or predict at the nearest x inside.",
)
@click.option("--offset", metavar="COL", help="Counts: the offset column; default: the one it was fitted with.")
@click.option("--exposure", metavar="COL", help="Counts: the exposure column; default: the one it was fitted with.")
@click.option("--y", metavar="COL", help="Of a mixture: the column of counts that tell the mood; default: the one it was fitted to.")
@options(READ, SAVE, ARRAYS, WRITE)
def command(offset: str | None, exposure: str | None, **given: Any) -> int:
    """Predict with a saved model: MODEL as `hw4opt solve --save` or `em --save` wrote it, DATA a CSV or Parquet file of its columns.

    prediction is the linear predictor; logistic models add mean, the probability of y = 1, and poisson models the expected count.
    bound is a proven distance from the exact optimum's prediction; a model with an intercept, which no penalty reaches, has none.
    Of a mixture: mood, responsibility_1, … and mean given the row's count; without a column of counts, the mean over all moods.
    A prediction that is no finite number is an empty cell.
    """
    return predict(take(Asking, {**given, "categorical": ()}), {"offset": offset, "exposure": exposure}, take(Writing, given))


def predict(asking: Asking, named: Mapping[str, str | None], writing: Writing) -> int:
    """The exit status: 0 for a certified model, 1 for another; everything wrong is raised."""
    check_outputs(writing, {"the model": asking.model, "the data": asking.data}, out=asking.out)
    model: Predictor = Mixture(Components.load(asking.model)) if Components.is_file(asking.model) else Curve(Result.load(asking.model))
    model.check(asking, writing)
    table = read_table(asking.data, asking.max_input)
    told, offset = model.told(asking, table), _offset_column(model, named, table)
    new = _new_rows(model, asking, table, told, tuple(offset.values()))
    rows, place = _rows(model, asking, table, told, offset, new)
    said = model.said(rows, told)
    with Bar("predicting", writing.quiet):
        columns = model.columns(rows)
    left_empty = place.outside if asking.outside == "empty" else np.zeros(len(rows.x), dtype=bool)
    columns = {name: emptied(values, left_empty) for name, values in columns.items()}
    _check_names(columns, table)
    names = None if model.features is None else model.features.names
    warnings = [*new.warnings, *_units(model), *told.warnings, *said.sentences, *place.warnings(names, asking.outside)]
    warnings += place.lost(columns, left_empty | said.rows)
    write_with(asking.out, lambda path: _write(path, table, rows.here, columns))
    record = provenance(writing.seed, table.sha256) | model.ending(f"{len(rows.x)} predictions in {asking.out}", columns)
    record |= {"model": asking.model, "out": asking.out, "n": len(rows.x), "outside_rows": place.rows[place.outside]}
    record |= {"features": names, "dropped_rows": np.flatnonzero(~rows.here), "warnings": warnings}
    write_json(record | (columns if with_arrays(writing, len(rows.x)) else {}), writing.json)
    draw(writing.plot, lambda: model.figure(rows.x[np.logical_and.reduce([np.abs(values) <= LARGEST for values in columns.values()])]))
    if writing.save is not None:
        model.save(writing.save)
    _show(model, asking, writing, record, columns)
    warn(warnings)
    if record["status"] == Status.CERTIFIED.word:
        return Exit.CERTIFIED
    say(f"{record['status']}: {record['message']}")
    return Exit.UNPROVEN


def _new_rows(model: Predictor, asking: Asking, table: Table, told: Told, more: tuple[str, ...]) -> NewRows:
    """The rows that miss no cell; x (m, d) of the features, then the counts where they are told."""
    features = model.features
    names = None if asking.x is None else [name.strip() for name in asking.x.split(",")]
    if features is None and names is None:
        raise InputError(
            f"the {model.what} does not name its {model.count} feature columns; give --x with {table.source}'s columns in their order"
        )
    if features is None:
        features = Features(tuple(Numbers(f"x{place}") for place in range(model.count)))
    if names is None:
        names = [column.name for column in features.columns]
    if len(names) != len(features.columns):
        raise InputError(f"--x names {len(names)} columns and the {model.what} has {len(features.columns)} features")
    if told.counts is not None:
        features, names = Features((*features.columns, told.counts)), [*names, told.name]
    return new_rows(table, features, asking.missing, names, more, told.groups)


def _rows(model: Predictor, asking: Asking, table: Table, told: Told, offset: Mapping[str, str], new: NewRows) -> tuple[Rows, Place]:
    """What is predicted at, moved into the range of the fitted rows where that is asked for, and where it lay."""
    x, y = (new.x, None) if told.counts is None else (new.x[:, :-1], new.x[:, -1])
    place = Place.of(model.span, x, np.flatnonzero(new.here))
    added = counts.offset(table, offset.get("offset"), offset.get("exposure"), new.here)
    added = None if added is None else added[new.here]
    groups = None if told.groups is None else table.labels(told.groups, new.here)[new.here]
    return Rows(place.nearest if asking.outside == "clip" else x, added, y, groups, new.here), place


def _units(model: Predictor) -> list[str]:
    """The sentence for a model of dates."""
    target = target_of(model.context, "")
    return [f"predictions are {target.unit}"] if isinstance(target, Moments) else []


def _offset_column(model: Predictor, named: Mapping[str, str | None], table: Table) -> dict[str, str]:
    """The column of the offset or exposure by its role; raises `InputError` where the model needs one and none is named or there."""
    given = {role: name for role, name in named.items() if name is not None}
    if not model.has_offset:
        if given:
            raise InputError(f"--{next(iter(given))} {next(iter(given.values()))}: the {model.what} was fitted without an offset; drop it")
        return {}
    given = given or {role: str(model.context[role]) for role in named if role in model.context}
    if not given:
        raise InputError(f"the {model.what} was fitted with an offset and does not name its column; give --offset or --exposure")
    for role, name in given.items():
        if name not in table.columns:
            raise InputError(
                f"the {model.what} was fitted with an {role} and {table.source} has no column {name!r}; "
                f"add it, or name another with --{role}"
            )
    return given


def _check_names(columns: Mapping[str, Array], table: Table) -> None:
    twice = next((name for name in columns if name in table.columns), None)
    if twice is not None:
        raise InputError(f"{table.source} has a column {twice!r} already; rename or drop it, so that no input is lost")


def _write(path: Path, table: Table, here: np.ndarray, columns: Mapping[str, Array]) -> None:
    texts = [list(itertools.compress(table.text(name), here)) for name in table.names]
    write_csv(path, [*table.names, *columns], [*texts, *(number_cells(values.tolist()) for values in columns.values())])
    log.info("%s: %d rows", path, here.sum())


def _show(model: Predictor, asking: Asking, writing: Writing, record: Mapping[str, Any], columns: Mapping[str, Array]) -> None:
    unproven = [f"No proven bound: {record['bound_reason']}"] if "bound_reason" in record else []
    last = [*unproven, *(figure_line(writing, "predicted.png") if isinstance(model, Curve) else [])]
    rows = [(name, *span(values)) for name, values in columns.items()]
    show(writing, f"{record['n']} predictions of {asking.model} in {asking.out}", ("column", "lowest", "highest"), rows, last)
