"""`hw4opt solve`: one certified fit, with the hyper-parameters that were not given selected first."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hw4cli.opt import poisson_options
from hw4cli.opt.build_problem import BuiltProblem, build_problem
from hw4cli.opt.executors import executor_of
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.fit_warnings import dispersion_warnings, fit_warnings
from hw4cli.opt.like_option import LIKE
from hw4cli.opt.options import (
    ARRAYS,
    COLUMNS_AND_TERMS,
    MODEL_FILE,
    OUTPUT,
    SEPARATED,
    SOLVE,
    STANDARD_ERRORS,
    OutputOptions,
    ProblemOptions,
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
from hw4cli.opt.problem_file import problem_text
from hw4cli.opt.problem_file_options import PROBLEM_TO_FILE
from hw4cli.opt.report import figure_line, show, summary, title, warn
from hw4cli.opt.row_files import DASK_OPTION, DATA_FILES, MEMORY_OPTION, row_files
from hw4cli.opt.select_hyperparameters import check_selection_options, choose
from hw4cli.opt.selection_options import KEEP_FOLDS, SELECT, SelectionOptions
from hw4cli.opt.shape_records import shape_part
from hw4cli.options import options, take
from hw4cli.progress import Bar
from hw4opt import InputError, Problem, Result, Status, fit
from hw4opt.running.files import write_text
from hw4opt.running.processes import Executor
from hw4opt.solvers import find_solver

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hw4opt.selection import Selection

log = logging.getLogger("hw4opt.cli")


@click.command("solve")
@options(
    *(
        DATA_FILES,
        LIKE,
        COLUMNS_AND_TERMS,
        MEMORY_OPTION,
        DASK_OPTION,
        SOLVE,
        SEPARATED,
        STANDARD_ERRORS,
        SELECT,
        KEEP_FOLDS,
        MODEL_FILE,
    ),
    *(PROBLEM_TO_FILE, ARRAYS, OUTPUT),
)
def command(
    data: tuple[str, ...],
    like: str | None,
    memory: int | None,
    dask: str | None,
    save_problem: str | None,
    **given: Any,
) -> int:
    """Fit a penalised or shape-constrained regression, and prove it.

    DATA is a CSV with a header, or a Parquet file. Without it: the step data of the assignment. Several files, a folder
    of them, a pattern in quotes such as 'data/*.parquet', and a file that needs more than --memory are read one block
    at a time. Their --select is kfold:K on all rows, or auto on a sample. Fits with tv, trend, shapes, quantile or
    absolute loss keep the columns in memory, and other arrays on disk if memory is short.
    """
    given = {**given, "data": data[0] if len(data) == 1 else None}
    records = (
        take(ProblemOptions, given),
        take(SolverOptions, given),
        take(SelectionOptions, given),
        take(OutputOptions, given),
    )
    files = row_files(data, memory, dask)
    if files is None:
        return solve(*records, save_problem, dask)
    from hw4cli.opt.solve_blocks import solve_in_blocks  # deferred: most fits are of rows in memory

    return solve_in_blocks(files, *records, dask, save_problem, memory)


def solve(
    problem_options: ProblemOptions,
    solver_options: SolverOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
    save_problem: str | None = None,
    dask: str | None = None,
) -> int:
    """The exit status: 0 certified, 1 not, 130 interrupted. dask: the address of a scheduler."""
    described = problem_options, solver_options, selection_options
    check_options(*described, output_options, **{"save-problem": save_problem})
    if dask is not None and selection_options.select == "none":
        raise InputError(
            f"--dask {dask}: for a table in memory its workers choose hyper-parameters, which --select none "
            "excludes; drop one of the two, or name Parquet files as DATA"
        )
    with executor_of(dask) as executor:
        solved = solve_problem(*described, output_options, executor)
    if save_problem is not None:
        write_text(save_problem, problem_text(*described, solved.built.table, os.path.dirname(save_problem)))
    return finish(solved, output_options)


def check_options(
    problem_options: ProblemOptions,
    solver_options: SolverOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
    **more: str | None,
) -> None:
    """Refuse options that are wrong for any data; `more` are further outputs by the name of their option."""
    check_selection_options(selection_options)
    check_solver(solver_options.solver)
    check_outputs(output_options, problem_options.files, **more)


@dataclasses.dataclass(frozen=True, eq=False)
class Solved:
    """A problem with its hyper-parameters chosen, and its fit.

    automatic    parameters that the data or the search determined
    """

    built: BuiltProblem
    result: Result
    selection: Selection | None
    automatic: Mapping[str, float]
    warnings: Sequence[str]
    errors: str

    @property
    def status(self) -> Status:
        """The status of the fit, or that of an interrupted search."""
        interrupted = self.selection is not None and self.selection.interrupted
        return Status.INTERRUPTED if interrupted else self.result.status


def solve_problem(
    problem_options: ProblemOptions,
    solver_options: SolverOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
    executor: Executor | None = None,
) -> Solved:
    """Choose what was not given, and fit."""
    built = build_problem(problem_options, selection_options.groups)
    poisson_options.check_likelihood(built.problem.loss, solver_options)
    poisson_options.check_errors(built.problem, solver_options)
    with Bar("choosing", output_options.quiet) as bar:
        words = built, selection_options, problem_options.seed, bar.update
        problem, selection = choose(*words, budget=bar.budget, executor=executor)
    result = fit_named(problem, built, solver_options, output_options)
    automatic = {**built.automatic, **searched(problem, selection)}
    warnings = [
        *built.warnings,
        *(selection.notes if selection else []),
        *separation_warnings(result),
        *fit_warnings(result, automatic),
        *dispersion_warnings(result, solver_options.errors),
    ]
    return Solved(built, result, selection, automatic, warnings, solver_options.errors)


def finish(solved: Solved, output_options: OutputOptions, more: Mapping[str, Any] | None = None) -> int:
    """Write what the options ask for, show the table, and return the exit status; `more` is for the JSON."""
    built, result, selection = solved.built, solved.result, solved.selection
    arrays = with_arrays(output_options, len(result.problem.active_x))
    record = provenance(output_options.seed, built.table.sha256) | fit_record(result, arrays, solved.errors)
    record |= shape_part(result, built.columns.features.names)
    record |= built.columns.record() | {"selection": selection_record(selection, arrays), "warnings": solved.warnings}
    record["hyperparameters"] |= solved.automatic
    if solved.status is Status.INTERRUPTED:
        record |= {"status": solved.status.word, "message": solved.status.value}
    write_json(built.columns.with_blank_rows(record | dict(more or {})), output_options.json)
    if solved.status is Status.CERTIFIED:
        draw(output_options, lambda: figure(result, built, selection))
        save(result, output_options.save)
    show(
        output_options,
        title(result, built.table.source),
        ("", ""),
        summary(result, selection, built, solved.errors),
        figure_line(output_options, "fit.png"),
    )
    warn(solved.warnings)
    return exit_status(solved.status, record["message"], output_options)


def figure(result: Result, built: BuiltProblem, selection: Selection | None) -> Figure:
    """The figure of the fit, and beside it the selection of its hyper-parameters; of a sum its components."""
    from hw4opt.plotting import figure_of, plot_choice, plot_components, plot_fit

    if result.components:
        return plot_components(result)
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
