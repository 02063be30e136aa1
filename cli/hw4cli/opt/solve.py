"""`hw4opt solve`: one certified fit, with the hyper-parameters that were not given selected first."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import click

from hw4cli.opt import poisson_options
from hw4cli.opt.build_problem import BuiltProblem, build_problem
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.fit_warnings import dispersion_warnings, fit_warnings
from hw4cli.opt.options import (
    ARRAYS,
    MODEL_FILE,
    OUTPUT,
    PROBLEM,
    SELECT,
    SEPARATED,
    SOLVE,
    STANDARD_ERRORS,
    OutputOptions,
    ProblemOptions,
    SelectionOptions,
    SolverOptions,
)
from hw4cli.opt.outputs import (
    check_outputs,
    draw,
    fit_record,
    provenance,
    save,
    searched,
    selection_record,
    unwritten,
    with_arrays,
    write_json,
)
from hw4cli.opt.report import figure_line, show, summary, title, warn
from hw4cli.opt.select_hyperparameters import check_selection_options, choose
from hw4cli.opt.shape_records import find_failures, shape_part
from hw4cli.options import options, take
from hw4cli.progress import Bar
from hw4opt import Problem, Result, Status, fit
from hw4opt.solvers import find_solver

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hw4opt.selection import Selection

log = logging.getLogger("hw4opt.cli")


@click.command("solve")
@options(PROBLEM, SOLVE, SEPARATED, STANDARD_ERRORS, SELECT, MODEL_FILE, ARRAYS, OUTPUT)
def command(**given: Any) -> int:
    """Fit a penalised or shape-constrained regression, and prove it.

    DATA is a CSV with a header, or a Parquet file. Without it: the step data of the assignment.
    """
    return solve(
        take(ProblemOptions, given),
        take(SolverOptions, given),
        take(SelectionOptions, given),
        take(OutputOptions, given),
    )


def solve(
    problem_options: ProblemOptions,
    solver_options: SolverOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
) -> int:
    """The exit status: 0 certified, 1 not, 130 interrupted."""
    check_selection_options(selection_options)
    check_solver(solver_options.solver)
    check_outputs(output_options, {"the data": problem_options.data})
    built = build_problem(problem_options, selection_options.groups)
    poisson_options.check_likelihood(built.problem.loss, solver_options)
    with Bar("choosing", output_options.quiet) as bar:
        problem, selection = choose(built, selection_options, problem_options.seed, bar.update)
    result = fit_named(problem, built, solver_options, output_options)
    status = Status.INTERRUPTED if selection is not None and selection.interrupted else result.status
    automatic = {**built.automatic, **searched(problem, selection)}
    failures = find_failures(result)
    warnings = [
        *built.warnings,
        *(selection.notes if selection else []),
        *separation_warnings(result),
        *fit_warnings(result, automatic, failures),
    ]
    warnings += dispersion_warnings(result, solver_options.errors)
    arrays = with_arrays(output_options, len(problem.active_x))
    record = provenance(output_options.seed, built.table.sha256) | fit_record(result, arrays, solver_options.errors)
    record |= shape_part(result, failures, built.columns.features.names)
    record |= built.columns.record() | {"selection": selection_record(selection, arrays), "warnings": warnings}
    record["hyperparameters"] |= automatic
    if status is Status.INTERRUPTED:
        record |= {"status": status.word, "message": status.value}
    write_json(built.columns.with_blank_rows(record), output_options.json)
    if status is Status.CERTIFIED:
        draw(output_options.plot, lambda: figure(result, built, selection))
        save(result, output_options.save)
    show(
        output_options,
        title(result, built.table.source),
        ("", ""),
        summary(result, selection, built, solver_options.errors),
        figure_line(output_options, "fit.png"),
    )
    warn(warnings)
    return exit_status(status, record["message"], output_options)


def figure(result: Result, built: BuiltProblem, selection: Selection | None) -> Figure:
    """The figure of the fit, and beside it the selection of its hyper-parameters."""
    from hw4opt.plotting import figure_of, plot_choice, plot_fit

    if selection is None:
        return figure_of(plot_fit(result, truth=built.truth))
    return plot_choice(result, selection.table, built.truth)


def fit_named(
    problem: Problem, built: BuiltProblem, solver_options: SolverOptions, output_options: OutputOptions
) -> Result:
    """The fit, with the names of its columns in its context."""
    with Bar("solving", output_options.quiet):
        result = fit(problem, **solver_arguments(solver_options), separated=solver_options.separated)
    log.info("%s: %s after %d iterations", result.solver, result.status.word, result.iterations)
    return dataclasses.replace(result, context=built.context)


def solver_arguments(solver_options: SolverOptions) -> dict[str, Any]:
    """The arguments of `fit` and `fit_batch`."""
    return {
        "solver": solver_options.solver,
        "tol": solver_options.tol,
        "max_iterations": solver_options.max_iterations,
        "time_limit": solver_options.time_limit,
    }


def separation_warnings(result: Result) -> list[str]:
    """The warning for a fit without the separated rows."""
    if not result.is_without_separated_rows:
        return []
    return [
        "separated rows were dropped, and the fit gives them the limit of their mean, with no linear predictor: "
        f"{result.existence_sentence}"
    ]


def check_solver(name: str) -> None:
    """Raise `InputError` for a solver that does not exist, before any work."""
    if name != "auto":
        find_solver(name)


def exit_status(status: Status, message: str, output_options: OutputOptions) -> Exit:
    """The exit status; prints a sentence for an unproven answer."""
    if status is Status.CERTIFIED:
        return Exit.CERTIFIED
    say((message if status is Status.INTERRUPTED else f"{status.word}: {message}") + unwritten(output_options))
    return Exit.INTERRUPTED if status is Status.INTERRUPTED else Exit.UNPROVEN
