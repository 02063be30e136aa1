"""`hw4opt predict`: a saved model at new rows."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw4cli.opt import counts
from hw4cli.opt.columns import LARGEST, NewRows, features_of, new_rows
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import ARRAYS, READ, SAVE, WRITE, Reading, Writing, options, take
from hw4cli.opt.outputs import check_outputs, draw, provenance, save, with_arrays, write_json
from hw4cli.opt.outside import OUTSIDE, Place
from hw4cli.opt.report import figure_line, show, warn
from hw4cli.progress import Bar
from hw4opt import InputError, Precomputed, Result, Status
from hw4opt.files import write_with
from hw4opt.tables import Table, read_table
from hw4opt.tables.features import Features, Numbers
from hw4opt.tables.write import number_cells, write_csv
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array

log = logging.getLogger("hw4opt.cli")


@dataclass(frozen=True)
class Asking(Reading):
    """What is predicted by what."""

    model: str
    data: str
    out: str
    x: str | None
    outside: str


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
@options(READ, SAVE, ARRAYS, WRITE)
def command(offset: str | None, exposure: str | None, **given: Any) -> int:
    """Predict with a saved model: MODEL as `hw4opt solve --save` wrote it, DATA a CSV or Parquet file with the model's feature columns.

    prediction is the linear predictor; logistic models add mean, the probability of y = 1, and poisson models the expected count.
    bound is a proven distance from the exact optimum's prediction; a model with an intercept, which no penalty reaches, has none.
    A prediction that is no finite number is an empty cell.
    """
    return predict(take(Asking, {**given, "categorical": ()}), {"offset": offset, "exposure": exposure}, take(Writing, given))


def predict(asking: Asking, offset: Mapping[str, str | None], writing: Writing) -> int:
    """The exit status: 0 for a certified model, 1 for another; everything wrong is raised."""
    check_outputs(writing, {"the model": asking.model, "the data": asking.data}, out=asking.out)
    result = Result.load(asking.model)
    table = read_table(asking.data, asking.max_input)
    offset = _offset_column(result, offset, table)
    new = _new_rows(result, asking, table, tuple(offset.values()))
    added = counts.offset(table, offset.get("offset"), offset.get("exposure"), new.here)
    added = None if added is None else added[new.here]
    names = None if (features := features_of(result)) is None else features.names
    place = Place.of(result, new.x, np.flatnonzero(new.here))
    points = place.nearest if asking.outside == "clip" else new.x
    with Bar("predicting", writing.quiet):
        columns = _columns(result, points, added)
    if asking.outside == "empty":
        columns = {name: np.where(place.outside, np.nan, values) for name, values in columns.items()}
    _check_names(columns, table)
    warnings = [*new.warnings, *_units(result), *place.warnings(names, asking.outside), *place.lost(columns, asking.outside)]
    write_with(asking.out, lambda path: _write(path, table, new.here, columns))
    certified = result.status is Status.CERTIFIED
    message = f"{len(points)} predictions in {asking.out}" + ("" if certified else f" of a model that is not certified: {result.message}")
    record = provenance(writing.seed, table.sha256) | {"status": result.status.word, "message": message}
    if "bound" not in columns:
        record["bound_reason"] = _unbound(result)
    record |= {"model": asking.model, "out": asking.out, "n": len(points), "outside_rows": place.rows[place.outside]}
    record |= {"features": names, "dropped_rows": np.flatnonzero(~new.here), "warnings": warnings}
    write_json(record | (columns if with_arrays(writing, len(points)) else {}), writing.json)
    drawable = np.logical_and.reduce([np.abs(values) <= LARGEST for values in columns.values()])
    draw(writing.plot, lambda: _figure(result, points[drawable]))
    save(result, writing.save)
    title = f"{len(points)} predictions of {asking.model} in {asking.out}"
    last = [*([] if "bound" in columns else [f"No proven bound: {_unbound(result)}"]), *figure_line(writing, "predicted.png")]
    show(writing, title, ("column", "lowest", "highest"), map(_span, columns, columns.values()), last)
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


def _new_rows(result: Result, asking: Asking, table: Table, more: Sequence[str]) -> NewRows:
    features, count = features_of(result), result.problem.x.shape[1]
    names = None if asking.x is None else [name.strip() for name in asking.x.split(",")]
    if features is None and names is None:
        raise InputError(f"the model does not name its {count} feature columns; give --x with {table.source}'s columns in their order")
    if features is None:
        features = Features(tuple(Numbers(f"x{place}") for place in range(count)))
    if names is not None and len(names) != len(features.columns):
        raise InputError(f"--x names {len(names)} columns and the model has {len(features.columns)} features")
    return new_rows(table, features, asking.missing, names, more)


def _units(result: Result) -> list[str]:
    """The sentence for a model of dates."""
    unit = result.context.get("target_unit")
    return [] if unit is None else [f"predictions are {unit}"]


def _offset_column(result: Result, named: Mapping[str, str | None], table: Table) -> dict[str, str]:
    """The column of the offset or exposure by its role; raises `InputError` where the model needs one and none is named or there."""
    given = {role: name for role, name in named.items() if name is not None}
    if result.problem.offset is None:
        if given:
            raise InputError(f"--{next(iter(given))} {next(iter(given.values()))}: the model was fitted without an offset; drop it")
        return {}
    given = given or {role: str(result.context[role]) for role in named if role in result.context}
    if not given:
        raise InputError("the model was fitted with an offset and does not name its column; give --offset or --exposure")
    for role, name in given.items():
        if name not in table.columns:
            raise InputError(
                f"the model was fitted with an {role} and {table.source} has no column {name!r}; add it, or name another with --{role}"
            )
    return given


def _columns(result: Result, points: Array, offset: Array | None) -> dict[str, Array]:
    with np.errstate(all="ignore"):
        prediction = result.predict(points)
        columns = {"prediction": prediction if offset is None else prediction + offset}
        if isinstance(result.problem.loss, Smooth):
            columns["mean"] = result.predict_mean(points, offset)
        bound = None if result.problem.intercept else result.bound(points)
    return columns if bound is None else columns | {"bound": bound}


def _check_names(columns: Mapping[str, Array], table: Table) -> None:
    twice = next((name for name in columns if name in table.columns), None)
    if twice is not None:
        raise InputError(f"{table.source} has a column {twice!r} already; rename or drop it, so that no input is lost")


def _write(path: Path, table: Table, here: np.ndarray, columns: Mapping[str, Array]) -> None:
    texts = [list(itertools.compress(table.text(name), here)) for name in table.names]
    write_csv(path, [*table.names, *columns], [*texts, *(number_cells(values.tolist()) for values in columns.values())])
    log.info("%s: %d rows", path, here.sum())


def _span(name: str, values: Array) -> tuple[str, str, str]:
    finite = values[np.isfinite(values)]
    return (name, f"{finite.min():.6g}", f"{finite.max():.6g}") if len(finite) else (name, "–", "–")


def _figure(result: Result, points: Array) -> Any:
    from hw4opt.plotting import figure_of, plot_fit, plot_predictions

    return figure_of(plot_predictions(result, points, plot_fit(result)))
