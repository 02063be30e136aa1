"""The fit of rows in blocks in the JSON and in the table, with names of columns for their places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hw4opt.blocks import BlocksResult, BlocksSelection, TableRows
from hw4opt.problem.hyperparameters import GAMMA, column_key


def by_column(name: str, columns: Sequence[str]) -> str:
    """The name of a gamma, with its column's name for its place."""
    return next((column_key(one) for place, one in enumerate(columns) if name == column_key(place)), name)


def with_columns(sentence: str, columns: Sequence[str]) -> str:
    """The sentence, with names of columns for their places: in the names of gammas, and behind column=."""
    sentence = re.sub(rf"\b{GAMMA}\.\d+\b", lambda match: by_column(match[0], columns), sentence)
    return re.sub(r"\bcolumn=(\d+)\b", lambda match: f"column={columns[int(match[1])]}", sentence)


def selection_record(selection: BlocksSelection, chosen: dict[str, float], source: TableRows) -> dict[str, Any]:
    """The part of the selection in the JSON."""
    table = [{by_column(name, source.x): value for name, value in row.items()} for row in selection.table]
    names = ("method", "metric", "score", "standard_error", "fits", "largest_fold_gap", "passes", "seconds", "notes")
    record = {name: getattr(selection, name) for name in names} | {"table": [{**chosen, **row} for row in table]}
    loss = selection.model.loss
    searched = [name for name in (table[0] if table else ()) if name.partition(".")[0] == loss.name]
    parameters = {name: float(getattr(loss, name.partition(".")[2])) for name in searched}
    return {"selection": record, "hyperparameters": chosen | parameters}


def fit_record(result: BlocksResult, source: TableRows) -> dict[str, Any]:
    """The part of the fit in the JSON."""
    certificate, existence = result.certificate, result.existence
    record: dict[str, Any] = {
        "status": result.status.word,
        "message": result.message,
        "solver": result.solver,
        "objective": result.objective,
        **{
            name: getattr(certificate, name)
            for name in (
                *("dual_objective", "gap", "relative_gap", "gap_scale", "gap_rounding"),
                *("truncation", "stationarity", "violation", "largest_drop"),
            )
        },
        "prediction_error_bound": result.prediction_error_bound,
        "hyperparameters": {
            by_column(name, source.x): float(value) for name, value in result.model.hyperparameters.items()
        },
        "selection": None,
        "n": result.count,
        "rank": result.columns,
        "iterations": result.iterations,
        "passes": result.passes,
        "seconds": result.seconds,
        "files": [str(path) for path in source.files.paths],
        "features": source.x,
    }
    if (reason := certificate.norm_bound_reason or certificate.reason) is not None:
        record["prediction_error_bound_reason"] = reason
    record |= {} if result.coef is None else {"coef": result.coef}
    record |= {} if result.intercept is None else {"intercept": result.intercept}
    if existence is not None:
        columns = [[*source.x, "(intercept)"][column] for column in existence.columns]
        record["existence"] = {"finite": existence.finite, "columns": columns}
    return record


def _chosen(record: dict[str, Any], selection: BlocksSelection | None) -> list[tuple[str, str]]:
    """The hyper-parameters, and the held-out loss of those that were chosen."""
    tried = set[str]()
    if selection is not None and selection.table:
        tried = {by_column(name, record["features"]) for name in selection.table[0]}
    values = record["hyperparameters"].items()
    rows = [(name, f"{value:.6g}{'  (chosen)' if name in tried else ''}") for name, value in values]
    if selection is None:
        return rows
    how = f"({selection.method}, {selection.fits} fits, {selection.seconds:.2f} s)"
    score = f"{selection.score:.6g} ± {selection.standard_error:.2g}"
    return [*rows, (f"held-out {selection.metric}", f"{score}  {how}")]


def shown_rows(record: dict[str, Any], selection: BlocksSelection | None) -> list[tuple[str, Any]]:
    names = {
        "status": "status",
        "objective": "objective",
        "relative_gap": "relative gap",
        "prediction_error_bound": "prediction error bound",
        "n": "rows",
        "rank": "rank",
        "iterations": "iterations",
        "passes": "passes over the rows",
        "seconds": "seconds",
    }
    rows = [*_chosen(record, selection), *((shown, record[name]) for name, shown in names.items())]
    if (dask := record.get("dask")) is not None:
        moved = f"{dask['bytes_moved'] / max(record['passes'], 1) / 1e6:.2g} MB a pass"
        rows.append(("Dask", f"{dask['workers']} workers of up to {dask['worker_memory'] / 1e6:.0f} MB, {moved}"))
    coefficients = list(zip(record["features"], record.get("coef", ()), strict=False))[:20]
    return rows + [(name, float(value)) for name, value in coefficients]
