"""The output of a command: check paths, write JSON, figures and models."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw4cli import json_record
from hw4cli.figures import check_style, read_style, styled
from hw4cli.json_record import json_text
from hw4cli.opt.options import OutputOptions
from hw4cli.output_paths import STDOUT, Files, check_figure, check_files, inputs, outputs
from hw4opt import Problem, Result, Status
from hw4opt.inference import ERRORS, ComponentFit, StandardErrors, kinds_of
from hw4opt.running.files import write_text, write_with
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hw4opt.selection import Selection

MAX_ARRAY_ROWS = 100_000  # with more, the long arrays are not in the JSON by default


def check_outputs(
    output_options: OutputOptions, read: Mapping[str, str | None], *folders: Files, **more: str | None
) -> None:
    """Refuse outputs that cannot be written, or that overwrite an input or another output; `more`: further options."""
    check_figure(output_options.plot)
    check_style(output_options.style, output_options.plot)
    written = {"json": output_options.json, "plot": output_options.plot, "save": output_options.save, **more}
    check_files([*outputs(written), *folders], inputs({**read, "the style": output_options.style}))


def command_line() -> str:
    """The command line as typed."""
    return json_record.command_line("hw4opt")


def provenance(seed: int, sha256: str | None) -> dict[str, Any]:
    """Version, command, seed, platform and hash of the data: a part of every JSON."""
    return json_record.origin("hw4opt", seed, sha256)


def write_json(record: Mapping[str, Any], path: str | None) -> None:
    """Write to the file, or to stdout for `-`; nothing for None."""
    if path is None:
        return
    text = json_text(record)
    if path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(path, text)


def with_arrays(output_options: OutputOptions, rows: int) -> bool:
    """Whether the JSON holds the long arrays."""
    return rows <= MAX_ARRAY_ROWS if output_options.arrays is None else output_options.arrays


def fit_record(result: Result, arrays: bool, errors: str = ERRORS[0]) -> dict[str, Any]:
    """The part of a fit in the JSON; errors: the kind of its standard errors."""
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
        "effective_degrees_of_freedom": result.effective_degrees_of_freedom,
        "iterations": result.iterations,
        "seconds": result.seconds,
    }
    if (
        reason := certificate.norm_bound_reason or certificate.reason
    ) is not None:  # why it is missing, or what it leaves out
        record["prediction_error_bound_reason"] = reason
    if problem.kernel is None:
        record["coef"] = result.coef
    if problem.kernel is None or problem.intercept:
        record["intercept"] = result.intercept
    if problem.curves > 1:
        record |= {"levels": problem.loss.levels, "crossings": result.crossings}
    name = "deviance_explained" if isinstance(problem.loss, Likelihood) else "r_squared"
    record |= {name: getattr(result, name)} | inference(result, errors)
    if result.components:
        record["components"] = [_component(one, arrays) for one in result.components]
    return record | (_arrays(result) if arrays else {})


def _component(fit: ComponentFit, arrays: bool) -> dict[str, Any]:
    record = vars(fit) if arrays else {name: value for name, value in vars(fit).items() if name != "fitted"}
    return {**record, "columns": list(fit.columns)}


def inference(result: Result, errors: str) -> dict[str, Any]:
    """The part of a likelihood, or of standard errors of another loss, in the JSON, with rows from 0."""
    record: dict[str, Any] = {}
    found, existence = result.infer(errors) or coefficient_errors(result, errors), result.existence
    if found is not None:
        record = dataclasses.asdict(found)
        if (reason := record.pop("reason")) is not None:
            record["standard_errors_reason"] = reason
            if found.standard_errors is not None and np.isnan(found.standard_errors).all():
                record["standard_errors"] = None
    elif result.status is Status.NO_FINITE_MAXIMUM:
        record = dict.fromkeys(("log_likelihood", "deviance", "dispersion", "standard_errors"))
        record |= {"errors": errors, "standard_errors_reason": "there is no fit"}
    if existence is not None:
        columns = [result.column_names[column] for column in existence.columns]
        record["existence"] = dataclasses.asdict(existence) | {"columns": columns}
    return record


def coefficient_errors(result: Result, errors: str) -> StandardErrors | None:
    """Standard errors of the coefficients, of that kind or of the loss's first one, where the loss has it not."""
    return result.coefficient_errors(errors if errors in kinds_of(result.problem.loss) else None)


def _arrays(result: Result) -> dict[str, Any]:
    problem = result.problem
    x: Array = np.asarray(problem.x)
    record = {"x": x[:, 0] if x.shape[1] == 1 else x, "y": problem.y, "fitted": result.fitted}
    if result.mean is not None:
        record["mean"] = result.mean
    return record if problem.kernel is None or result.components else record | {"dual_coef": result.dual_coef}


def selection_record(selection: Selection | None, arrays: bool) -> dict[str, Any] | None:
    """The part of the selection in the JSON; its table holds all hyper-parameters, including given ones."""
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
        "table": [{**given, **row} for row in selection.table],
        "notes": selection.notes,
    }
    return record | ({"predictions": selection.predictions} if arrays else {})


def searched(problem: Problem, selection: Selection | None) -> dict[str, float]:
    """Searched parameters of terms, such as huber.delta, with their selected values."""
    tried = selection.table[0] if selection and selection.table else {}
    names = [name for name in tried if "." in name and name not in problem.hyperparameters]
    owners = {owner.name: owner for owner in (*problem.terms, problem.kernel) if owner is not None}
    return {name: float(vars(owners[name.partition(".")[0]])[name.partition(".")[2]]) for name in names}


def save(result: Result, path: str | None) -> None:
    """Write the model; nothing for None."""
    if path is not None:
        result.save(path)


def unwritten(output_options: OutputOptions) -> str:
    """The outputs that are not written for an unproven answer, in brackets."""
    not_written = [
        f"--{option} {path}"
        for option, path in (("plot", output_options.plot), ("save", output_options.save))
        if path is not None
    ]
    return f" ({' and '.join(not_written)} not written)" if not_written else ""


def draw(output_options: OutputOptions, make: Callable[[], Figure]) -> None:
    """Make and write the figure; nothing without --plot."""
    path = output_options.plot
    if path is None:
        return
    with styled({} if output_options.style is None else read_style(output_options.style)):
        figure = make()
        kind = Path(path).suffix.lower().lstrip(".")
        write_with(path, lambda temporary: figure.savefig(temporary, format=kind))
