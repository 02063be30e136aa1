"""`hw4opt check`: solve one problem with many solvers and compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import click

from hw4cli.opt.build_problem import build_problem
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.options import (
    MODEL_FILE,
    OUTPUT,
    PROBLEM,
    SOLVER,
    OutputOptions,
    ProblemOptions,
    SolverOptions,
    time_limit_option,
)
from hw4cli.opt.outputs import check_outputs, draw, provenance, save, selection_record, unwritten, write_json
from hw4cli.opt.report import figure_line, number_text, show, warn
from hw4cli.opt.select_hyperparameters import check_selection_options, choose, raise_if_interrupted
from hw4cli.opt.selection_options import SELECT, SelectionOptions
from hw4cli.opt.solve import fit_named
from hw4cli.options import options, take
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.crosscheck import TIME_LIMIT, Crosscheck, Row, crosscheck, every_solver
from hw4opt.solvers import find_solver

SOLVER_OPTIONS = (
    click.option(
        "--solver", multiple=True, help="Use this solver; repeat for more. Default: the usual ones.", **SOLVER
    ),
    click.option("--all", "every", is_flag=True, help="Use every solver, and every backend that is installed."),
    time_limit_option(TIME_LIMIT, f"Stop each solver after this time; default: {TIME_LIMIT:g}."),
)


@click.command("check")
@options(PROBLEM, SOLVER_OPTIONS, SELECT, MODEL_FILE, OUTPUT)
def command(solver: tuple[str, ...], every: bool, time_limit: float, **given: Any) -> int:
    """Solve one problem with many solvers, and compare.

    Certified objectives must agree within their gaps, every native solver must certify a problem that it accepts, and
    at least two must certify. By default: the native solvers, four of cvxpy's and three of qpsolvers' backends, if
    installed. Hyper-parameters that are not given are selected first, as by `hw4opt solve`.
    """
    if every and solver:
        raise InputError("--all takes every solver and --solver takes some; drop one of the two")
    solvers = Solvers(solver, every, time_limit)
    return check(solvers, take(ProblemOptions, given), take(SelectionOptions, given), take(OutputOptions, given))


@dataclasses.dataclass(frozen=True)
class Solvers:
    """The solvers to compare, and the time limit of each."""

    given: tuple[str, ...]
    every: bool
    time_limit: float

    def names(self) -> Sequence[str] | None:
        """The solvers' names; None for the default ones."""
        return every_solver() if self.every else self.given or None


def check(
    solvers: Solvers,
    problem_options: ProblemOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
) -> int:
    """The exit status: 0 if the solvers agree, 1 if not."""
    check_selection_options(selection_options)
    _check_solvers(solvers.given)
    check_outputs(output_options, problem_options.files)
    built = build_problem(problem_options, selection_options.groups)
    with Bar("choosing", output_options.quiet) as bar:
        problem, selection = choose(built, selection_options, problem_options.seed, bar.update, budget=bar.budget)
    raise_if_interrupted(selection)
    with Bar("solving", output_options.quiet) as bar:
        found = crosscheck(problem, solvers.names(), bar.describe, solvers.time_limit)
    message = "; ".join(found.faults) or "the solvers agree within their gaps"
    record = provenance(output_options.seed, built.table.sha256) | {
        "status": (Status.CERTIFIED if found.agrees else Status.UNCERTIFIED).word,
        "message": message,
        "hyperparameters": {**problem.hyperparameters, **built.automatic},
        "selection": selection_record(selection, arrays=False),
        "rows": [dataclasses.asdict(row) for row in found.rows],
        "largest_difference": found.largest_difference,
        "odd_one_out": found.odd_one_out,
    }
    warnings = [*built.warnings, *(selection.notes if selection else [])]
    write_json(record | built.columns.record() | {"warnings": warnings}, output_options.json)
    if found.agrees:
        draw(output_options, lambda: _figure(found))
        if output_options.save is not None:
            save(fit_named(problem, built, SolverOptions("auto", None, None), output_options), output_options.save)
    _show(found, built.table.source, output_options)
    warn(warnings)
    if not found.agrees:
        say(message + unwritten(output_options))
    return Exit.CERTIFIED if found.agrees else Exit.UNPROVEN


def _check_solvers(solvers: tuple[str, ...]) -> None:
    """Raise `InputError` for solvers that do not exist or are given twice."""
    seen: dict[str, str] = {}
    for solver in solvers:
        if solver == "auto":
            raise InputError("--solver auto picks one of the others; name the solvers to compare")
        full_name = find_solver(solver).label
        if full_name in seen:
            raise InputError(
                f"--solver {seen[full_name]} and --solver {solver} are one solver; drop one of them, or name another"
            )
        seen[full_name] = solver


def _figure(found: Crosscheck) -> Any:
    from hw4opt.plotting import plot_check

    return plot_check(found.rows)


def _show(found: Crosscheck, source: str, output_options: OutputOptions) -> None:
    columns = ("solver", "status", "objective", "rel. gap", "fit off", "seconds")
    notes = [f"{row.solver}: {row.message}" for row in found.rows if row.status != Status.CERTIFIED.word]
    largest = f"Largest difference of certified objectives: {found.largest_difference:.2g}"
    notes += [
        "fit off: from the best certified fit, at most, in robust standard deviations of y",
        largest,
        *_agreements(found.rows),
    ]
    if found.odd_one_out is not None:
        notes.append(
            f"{found.odd_one_out} is the odd one out: its answer lies apart from all others, some of which agree"
        )
    show(
        output_options,
        f"Solvers compared: {source}",
        columns,
        map(_cells, found.rows),
        [*notes, *figure_line(output_options, "check.png")],
    )


def _cells(row: Row) -> tuple[str, ...]:
    figures = number_text(row.objective, 10), number_text(row.relative_gap, 2), number_text(row.fitted_difference, 2)
    return row.solver, row.status, *figures, number_text(row.seconds, 2)


def _agreements(rows: Sequence[Row]) -> list[str]:
    """The groups of solvers that agree, one line each."""
    groups = {frozenset((row.solver, *row.agrees_with)) for row in rows if row.agrees_with}
    named = [[row.solver for row in rows if row.solver in group] for group in groups]
    lines = [f"Agree with each other: {', '.join(group)}" for group in sorted(named)]
    return lines or ["No two answers agree"]
