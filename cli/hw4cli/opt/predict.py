"""`hw4opt predict`: a saved model at new rows."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw4cli.opt import counts
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import ARRAYS, SAVE, WRITE, Writing, options, take
from hw4cli.opt.outputs import check_outputs, draw, provenance, save, with_arrays, write_json
from hw4cli.opt.predict_moods import Columns, predict_moods
from hw4cli.opt.report import figure_line, show, span, warn
from hw4cli.progress import Bar
from hw4opt import InputError, Precomputed, Result, Status
from hw4opt.datasets import Table, read_table
from hw4opt.files import write_with
from hw4opt.poisson.moods import Moods
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array

log = logging.getLogger("hw4opt.cli")


@click.command("predict")
@click.argument("model")
@click.argument("data")
@click.option("--out", required=True, metavar="CSV", help="The input's columns, then prediction, and bound where one is proven.")
@click.option("--x", metavar="COL[,COL…]", help="The model's feature columns in these data; default: those it was fitted to.")
@click.option("--offset", metavar="COL", help="Counts: the offset column; default: the one it was fitted with.")
@click.option("--exposure", metavar="COL", help="Counts: the exposure column; default: the one it was fitted with.")
@click.option("--y", metavar="COL", help="Of a mixture: the column of counts that tell the mood; default: the one it was fitted to.")
@options(SAVE, ARRAYS, WRITE)
def command(model: str, data: str, out: str, x: str | None, offset: str | None, exposure: str | None, y: str | None, **given: Any) -> int:
    """Predict with a saved model: MODEL as `hw4opt solve --save` or `em --save` wrote it, DATA a CSV or Parquet file of its columns.

    prediction is the linear predictor; logistic models add mean, the probability of y = 1, and poisson models the expected count.
    bound is a proven distance from the exact optimum's prediction; a model with an intercept, which no penalty reaches, has none.
    Of a mixture: mood, responsibility_1, … and mean given the row's count; without a column of counts, the mean over all moods.
    """
    writing, added = take(Writing, given), {"offset": offset, "exposure": exposure}
    if Moods.is_file(model):
        return _of_mixture(model, data, out, Columns(x, y, added), writing)
    if y is not None:
        raise InputError(f"--y {y} belongs to a mixture, as `hw4opt em --save` writes it, and {model} is none; drop it")
    return predict(model, data, out, x, added, writing)


def _of_mixture(model: str, data: str, out: str, named: Columns, writing: Writing) -> int:
    check_outputs(writing, {"the model": model, "the data": data}, out=out)
    table = read_table(data)

    def write(columns: Mapping[str, Array]) -> None:
        _check_names(columns, table)
        write_with(out, lambda path: _write(path, table, columns))

    return predict_moods((model, out), table, named, writing, write)


def predict(model: str, data: str, out: str, x: str | None, offset: Mapping[str, str | None], writing: Writing) -> int:
    """The exit status: 0 for a certified model, 1 for another; everything wrong is raised."""
    check_outputs(writing, {"the model": model, "the data": data}, out=out)
    result = Result.load(model)
    table = read_table(data)
    points = np.column_stack([table.numbers(name) for name in _feature_names(result, x, table)])
    added = _offset(result, offset, table)
    with Bar("predicting", writing.quiet):
        columns = _columns(result, points, added)
    _check_names(columns, table)
    write_with(out, lambda path: _write(path, table, columns))
    certified = result.status is Status.CERTIFIED
    message = f"{len(table)} predictions in {out}" + ("" if certified else f" of a model that is not certified: {result.message}")
    record = provenance(writing.seed, table.sha256) | {"status": result.status.word, "message": message}
    if "bound" not in columns:
        record["bound_reason"] = _unbound(result)
    warnings = _undefined(result, columns)
    record |= {"model": model, "out": out, "n": len(table), "warnings": warnings}
    write_json(record | (columns if with_arrays(writing, len(table)) else {}), writing.json)
    draw(writing.plot, lambda: _figure(result, points))
    save(result, writing.save)
    title = f"{len(table)} predictions of {model} in {out}"
    last = [*([] if "bound" in columns else [f"No proven bound: {_unbound(result)}"]), *figure_line(writing, "predicted.png")]
    show(writing, title, ("column", "lowest", "highest"), [(name, *span(values)) for name, values in columns.items()], last)
    warn(warnings)
    if certified:
        return Exit.CERTIFIED
    say(f"{result.status.word}: {message}")
    return Exit.UNPROVEN


def _unbound(result: Result) -> str:
    """Why there is no column `bound`."""
    if result.problem.intercept:
        return "predictions hold the intercept, which no penalty reaches"
    if isinstance(result.problem.kernel, Precomputed):
        return "rows of a precomputed kernel do not hold k(x, x)"
    return result.certificate.norm_bound_reason or result.certificate.reason or ""


def _feature_names(result: Result, x: str | None, table: Table) -> Sequence[str]:
    names = [name.strip() for name in x.split(",")] if x is not None else result.context.get("x")
    count = np.asarray(result.problem.x).shape[1]
    if names is None:
        raise InputError(f"the model does not name its {count} feature columns; give --x with {table.source}'s columns in their order")
    if len(names) != count:
        raise InputError(f"--x names {len(names)} columns and the model has {count} features")
    return names


def _offset(result: Result, named: Mapping[str, str | None], table: Table) -> Array | None:
    """The offset of the new rows; raises `InputError` where the model needs one and none is named or there."""
    given = {role: name for role, name in named.items() if name is not None}
    if result.problem.offset is None:
        if given:
            raise InputError(f"--{next(iter(given))} {next(iter(given.values()))}: the model was fitted without an offset; drop it")
        return None
    given = given or {role: result.context[role] for role in named if role in result.context}
    if not given:
        raise InputError("the model was fitted with an offset and does not name its column; give --offset or --exposure")
    for role, name in given.items():
        if name not in table.names:
            raise InputError(
                f"the model was fitted with an {role} and {table.source} has no column {name!r}; add it, or name another with --{role}"
            )
    return counts.offset(table, given.get("offset"), given.get("exposure"))


def _columns(result: Result, points: Array, offset: Array | None) -> dict[str, Array]:
    prediction = result.predict(points)
    columns = {"prediction": prediction if offset is None else prediction + offset}
    if isinstance(result.problem.loss, Smooth):
        columns["mean"] = result.predict_mean(points, offset)
    bound = None if result.problem.intercept else result.bound(points)
    return columns if bound is None else columns | {"bound": bound}


def _check_names(columns: Mapping[str, Array], table: Table) -> None:
    twice = next((name for name in columns if name in table.names), None)
    if twice is not None:
        raise InputError(f"{table.source} has a column {twice!r} already; rename or drop it, so that no input is lost")


def _write(path: Path, table: Table, columns: Mapping[str, Array]) -> None:
    cells = [table.text(name) for name in table.names] + [map(_cell, values.tolist()) for values in columns.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*table.names, *columns])
        writer.writerows(zip(*cells, strict=True))
    log.info("%s: %d rows", path, len(table))


def _cell(value: float) -> str:
    """A number, or nothing where there is none."""
    return repr(value) if math.isfinite(value) else ""


def _undefined(result: Result, columns: Mapping[str, Array]) -> list[str]:
    """A sentence on rows whose prediction is the limit that separated columns have, or has none."""
    f, loss = columns["prediction"], result.problem.loss
    if not result.is_without_separated_rows or result.existence is None or not isinstance(loss, Smooth) or np.isfinite(f).all():
        return []
    names = result.existence.columns_named(result.column_names)
    low, others = np.flatnonzero(f == -np.inf), np.flatnonzero(~np.isfinite(f) & (f != -np.inf))
    least = f"{float(loss.mean(np.array([-np.inf]))[0]):g}"
    said = [f"along {names} the means of {_rows(low)} fall to their limit {least} and have no linear predictor"] if len(low) else []
    return [*said, *([f"no prediction for {_rows(others)}: the likelihood has no maximum along {names}"] if len(others) else [])]


def _rows(places: np.ndarray) -> str:
    """Rows of the file, counted from 1."""
    few = ", ".join(str(place + 1) for place in places[:5])
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return f"row{'s' if len(places) > 1 else ''} {few}{more}"


def _figure(result: Result, points: Array) -> Any:
    from hw4opt.plotting import figure_of, plot_fit, plot_predictions

    return figure_of(plot_predictions(result, points, plot_fit(result)))
