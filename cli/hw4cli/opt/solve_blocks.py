"""`hw4opt solve` of rows that are read a block at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

from hw4cli.opt import poisson_options
from hw4cli.opt.build_problem import constraints_of, terms_of, with_gammas
from hw4cli.opt.columns import Roles
from hw4cli.opt.components import is_sum
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.gamma_option import NamedGammas
from hw4cli.opt.options import OutputOptions, ProblemOptions, SelectionOptions, SolverOptions
from hw4cli.opt.outputs import check_outputs, provenance, unwritten, write_json
from hw4cli.opt.problem_file import check_digest
from hw4cli.opt.report import number_text, show
from hw4cli.opt.row_files import feature_names
from hw4cli.options import typed
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.blocks import BlocksResult, TableRows, fit_blocks, save_blocks
from hw4opt.blocks.fit import refuse
from hw4opt.errors import RefusedError, listed
from hw4opt.problem import Model
from hw4opt.problem.hyperparameters import GAMMA, column_key
from hw4opt.tables import Table, TableFiles

IN_MEMORY = {  # options whose work needs all rows at once, by their name in Python
    "plot": "--plot",
    "keep_folds": "--keep-folds",
    "groups": "--groups",
    "categorical": "--categorical",
    "errors": "--errors",
    "arrays": "--arrays",
    "grid": "--grid",
    "save_problem": "--save-problem",
}


def solve_in_blocks(
    files: TableFiles,
    problem_options: ProblemOptions,
    solver_options: SolverOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
) -> int:
    """The exit status: 0 certified, 1 not; raises `InputError`."""
    _check_options(solver_options, selection_options)
    check_outputs(output_options, {f"the data {path}": str(path) for path in files.paths})
    if problem_options.data_sha256 is not None:
        check_digest(Table({}, files.source, files.sha256), problem_options)
    model, source = _model_and_rows(files, problem_options, solver_options)
    with Bar("solving", output_options.quiet):
        result = fit_blocks(model, source, solver_options.tol, solver_options.max_iterations, solver_options.time_limit)
        record = provenance(output_options.seed, files.sha256) | _record(result, source)
    offset = {role: getattr(source, role) for role in ("offset", "exposure") if getattr(source, role) is not None}
    result = dataclasses.replace(result, context={"x": list(source.x), "y": source.y, **offset})
    write_json(record, output_options.json)
    if result.status is Status.CERTIFIED and output_options.save is not None:
        save_blocks(result, output_options.save)
    rows = [(name, number_text(value) if isinstance(value, float) else str(value)) for name, value in _shown(record)]
    loss = f"{model.loss.name} loss" + (f", {model.kernel.name} kernel" if model.kernel is not None else ", linear")
    show(output_options, f"{loss}: {result.count:,} rows of {files.source}, in blocks", ("", ""), rows)
    if result.status is Status.CERTIFIED:
        return Exit.CERTIFIED
    say(f"{result.status.word}: {result.message}{unwritten(output_options)}")
    return Exit.UNPROVEN


def _check_options(solver_options: SolverOptions, selection_options: SelectionOptions) -> None:
    """Raise `InputError` for what rows in blocks do not have."""
    for name, option in IN_MEMORY.items():
        if typed(name):
            advice = "drop it, or fit one file with a larger --memory"
            raise InputError(f"{option} needs all rows at once and these are read in blocks; {advice}")
    if solver_options.solver not in ("auto", "newton"):
        raise InputError(
            f"--solver {solver_options.solver} needs all rows at once; rows in blocks are fitted by newton"
        )
    if typed("select") and selection_options.select != "none":
        raise InputError(
            f"--select {selection_options.select} needs all rows at once; choose on a part of them, "
            "and give what it chose"
        )
    if typed("separated") and solver_options.separated != "refuse":
        raise InputError("--separated drop needs all rows at once; leave out the separated rows, or give a ridge")


def _model_and_rows(
    files: TableFiles, options: ProblemOptions, solver_options: SolverOptions
) -> tuple[Model, TableRows]:
    if is_sum(options):
        raise RefusedError("a sum of components needs all rows at once; fit one file, with a larger `memory`")
    terms = terms_of(options, sums=False)
    if options.n is not None:
        raise InputError(f"--n {options.n} sizes the built-in data, and DATA names files; give one of them")
    poisson_options.check_likelihood(terms.loss, solver_options)
    if options.offset is not None and options.exposure is not None:
        raise InputError("--offset and --exposure are two ways to say one thing; give one of them")
    taken = Roles(options.x, options.y, options.weights, options.offset, options.exposure).taken
    names = feature_names(files, options.x, taken)
    constraints = constraints_of(terms.constraints, names)
    kernel, _ = with_gammas(terms.kernel, options.gamma, names)
    model = Model(
        *(kernel, terms.loss, terms.regularizers, constraints, options.intercept, options.scale == "standard")
    )
    if (refusal := refuse(model)) is not None:
        raise RefusedError(refusal)
    if free := (*([GAMMA] if options.gamma == NamedGammas() else []), *terms.free):
        words = ["--gamma" if name == GAMMA else f"--reg {name}=WEIGHT" for name in free]
        raise InputError(
            f"rows in blocks are fitted at given hyper-parameters: give {listed(words)}, "
            "as chosen on a part of the rows"
        )
    drop = options.missing == "drop"
    return model, TableRows(files, names, options.y, options.weights, options.offset, options.exposure, drop)


def _record(result: BlocksResult, source: TableRows) -> dict[str, Any]:
    """The part of the fit in the JSON."""
    certificate, existence = result.certificate, result.existence
    keys = {column_key(place): column_key(name) for place, name in enumerate(source.x)}
    record: dict[str, Any] = {
        "status": result.status.word,
        "message": result.message,
        "solver": "newton",
        "objective": result.objective,
        **{
            name: getattr(certificate, name)
            for name in (
                *("dual_objective", "gap", "relative_gap", "gap_scale", "gap_rounding"),
                *("truncation", "stationarity", "violation"),
            )
        },
        "prediction_error_bound": result.prediction_error_bound,
        "hyperparameters": {keys.get(name, name): float(v) for name, v in result.model.hyperparameters.items()},
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


def _shown(record: dict[str, Any]) -> list[tuple[str, Any]]:
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
    rows = [(shown, record[name]) for name, shown in names.items()]
    coefficients = list(zip(record["features"], record.get("coef", ()), strict=False))[:20]
    return rows + [(name, float(value)) for name, value in coefficients]
