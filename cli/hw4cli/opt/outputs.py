"""What a command writes: paths checked before any work, JSON without NaN, figures and models in one piece."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw4cli import records
from hw4cli.opt.options import Writing
from hw4cli.outputs import STDOUT, Files, check_figure, check_files, inputs, outputs
from hw4cli.records import json_text
from hw4opt import Problem, Result, Status
from hw4opt.inference import ERRORS
from hw4opt.running.files import write_text, write_with
from hw4opt.terms.base import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hw4opt.selection import Selection

MANY = 100_000  # rows from which the long arrays stay out of the JSON unless asked for


def check_outputs(writing: Writing, read: Mapping[str, str | None], *folders: Files, **more: str | None) -> None:
    """Refuse now what could not be written later, or would overwrite an input or another output; `more` are further options."""
    check_figure(writing.plot)
    written = {"json": writing.json, "plot": writing.plot, "save": writing.save, **more}
    check_files([*outputs(written), *folders], inputs(read))


def command_line() -> str:
    """The command as it was typed."""
    return records.command_line("hw4opt")


def provenance(seed: int, sha256: str | None) -> dict[str, Any]:
    """What every JSON says of where it comes from."""
    return records.origin("hw4opt", seed, sha256)


def write_json(record: Mapping[str, Any], path: str | None) -> None:
    """To the file, or to stdout for `-`; nowhere for None."""
    if path is None:
        return
    text = json_text(record)
    if path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(path, text)


def with_arrays(writing: Writing, rows: int) -> bool:
    """Whether the JSON holds the long arrays."""
    return rows <= MANY if writing.arrays is None else writing.arrays


def answer(result: Result, arrays: bool, errors: str = ERRORS[0]) -> dict[str, Any]:
    """A fit's part of the JSON; errors: of which kind its standard errors are."""
    certificate, problem = result.certificate, result.problem
    record: dict[str, Any] = {
        "status": result.status.word,
        "message": result.message,
        "solver": result.solver,
        "objective": result.objective,
        "dual_objective": certificate.dual_objective,
        "gap": certificate.gap,
        "relative_gap": certificate.relative_gap,
        "gap_scale": certificate.gap_scale,
        "gap_rounding": certificate.gap_rounding,
        "truncation": certificate.truncation,
        "stationarity": certificate.stationarity,
        "violation": certificate.violation,
        "largest_drop": certificate.largest_drop,
        "prediction_error_bound": result.prediction_error_bound,
        "hyperparameters": {name: float(value) for name, value in problem.hyperparameters.items()},
        "n": len(result.fitted),
        "rank": result.rank,
        "iterations": result.iterations,
        "seconds": result.seconds,
    }
    if (reason := certificate.norm_bound_reason or certificate.reason) is not None:  # why there is none, or what it does not cover
        record["prediction_error_bound_reason"] = reason
    if problem.kernel is None:
        record["coef"] = result.coef
    if problem.kernel is None or problem.intercept:
        record["intercept"] = result.intercept
    return record | likelihood(result, errors) | (_arrays(result) if arrays else {})


def likelihood(result: Result, errors: str) -> dict[str, Any]:
    """What a loss that is a likelihood adds; rows are counted from 0."""
    record: dict[str, Any] = {}
    inference, existence = result.infer(errors), result.existence
    if inference is not None:
        record = dataclasses.asdict(inference)
        if (reason := record.pop("reason")) is not None:
            record["standard_errors_reason"] = reason
            if inference.standard_errors is not None and np.isnan(inference.standard_errors).all():
                record["standard_errors"] = None
    elif result.status is Status.NO_FINITE_MAXIMUM:
        record = dict.fromkeys(("log_likelihood", "deviance", "dispersion", "standard_errors"))
        record |= {"errors": errors, "standard_errors_reason": "there is no fit"}
    if existence is not None:
        columns = [result.column_names[column] for column in existence.columns]
        record["existence"] = dataclasses.asdict(existence) | {"columns": columns}
    return record


def _arrays(result: Result) -> dict[str, Any]:
    problem = result.problem
    x: Array = np.asarray(problem.x)
    record = {"x": x[:, 0] if x.shape[1] == 1 else x, "y": problem.y, "fitted": result.fitted}
    if result.mean is not None:
        record["mean"] = result.mean
    return record if problem.kernel is None else record | {"dual_coef": result.dual_coef}


def choice(selection: Selection | None, arrays: bool) -> dict[str, Any] | None:
    """The selection's part of the JSON; its table names every hyper-parameter, the given ones too."""
    if selection is None:
        return None
    given = selection.problem.hyperparameters
    record = {
        "method": selection.method,
        "metric": selection.metric,
        "score": selection.score,
        "standard_error": selection.standard_error,
        "fits": selection.fits,
        "largest_fold_gap": selection.largest_fold_gap,
        "work": selection.work,
        "seconds": selection.seconds,
        "table": [{**given, **row} for row in selection.table],  # what was given stands beside what was tried
        "notes": selection.notes,
    }
    return record | ({"predictions": selection.predictions} if arrays else {})


def searched(problem: Problem, selection: Selection | None) -> dict[str, float]:
    """Parameters such as huber.delta that the selection went through, at their chosen value."""
    names = [name for name in (selection.table[0] if selection and selection.table else {}) if "." in name]
    owners = {owner.name: owner for owner in (*problem.terms, problem.kernel) if owner is not None}
    return {name: float(vars(owners[name.partition(".")[0]])[name.partition(".")[2]]) for name in names}


def save(result: Result, path: str | None) -> None:
    """Write the model; nothing for None."""
    if path is not None:
        result.save(path)


def unwritten(writing: Writing) -> str:
    """What an answer without proof did not write, in brackets."""
    kept = [f"--{option} {path}" for option, path in (("plot", writing.plot), ("save", writing.save)) if path is not None]
    return f" ({' and '.join(kept)} not written)" if kept else ""


def draw(path: str | None, make: Callable[[], Figure]) -> None:
    """Write the figure; nothing for None."""
    if path is None:
        return
    figure = make()
    kind = Path(path).suffix.lower().lstrip(".")
    write_with(path, lambda temporary: figure.savefig(temporary, format=kind, dpi=150))
