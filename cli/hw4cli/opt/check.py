"""`hw4opt check`: one problem through every solver that takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import click

from hw4cli.opt.choosing import check_choosing, choose, completed
from hw4cli.opt.describe import describe
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import (
    CHOOSE,
    DESCRIBE,
    SAVE,
    SOLVER,
    WRITE,
    Choosing,
    Describing,
    Solving,
    Writing,
    options,
    take,
    time_limit_option,
)
from hw4cli.opt.outputs import check_outputs, choice, draw, provenance, save, unwritten, write_json
from hw4cli.opt.report import figure_line, figure_text, show, warn
from hw4cli.opt.solve import fit_named
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.crosscheck import TIME_LIMIT, Crosscheck, Row, crosscheck, every_solver
from hw4opt.solvers import find_solver

SOLVERS = (
    click.option("--solver", multiple=True, help="Only these solvers; repeat for more. Default: the usual ones.", **SOLVER),
    click.option("--all", "every", is_flag=True, help="Every solver there is, and every backend that is installed."),
    time_limit_option(TIME_LIMIT, f"Stop each solver after so many seconds; default {TIME_LIMIT:g}."),
)


@click.command("check")
@options(DESCRIBE, SOLVERS, CHOOSE, SAVE, WRITE)
def command(solver: tuple[str, ...], every: bool, time_limit: float, **given: Any) -> int:
    """Solve one problem with many solvers, and compare.

    Certified objectives must agree within their gaps, every native solver must certify what it takes, and at least two must certify.
    By default the native solvers, four of cvxpy's and three of qpsolvers', as far as they are installed. What is not given is chosen
    first, as `hw4opt solve` does.
    """
    if every and solver:
        raise InputError("--all takes every solver and --solver takes some; drop one of the two")
    witnesses = Witnesses(solver, every, time_limit)
    return check(witnesses, take(Describing, given), take(Choosing, given), take(Writing, given))


@dataclasses.dataclass(frozen=True)
class Witnesses:
    """Who is asked, and for how long."""

    solvers: tuple[str, ...]
    every: bool
    time_limit: float

    def names(self) -> Sequence[str] | None:
        """The solvers' names; None for the default ones."""
        return every_solver() if self.every else self.solvers or None


def check(witnesses: Witnesses, describing: Describing, choosing: Choosing, writing: Writing) -> int:
    """The exit status: 0 if the solvers agree, 1 if not."""
    check_choosing(choosing)
    _check_solvers(witnesses.solvers)
    check_outputs(writing, {"the data": describing.data})
    description = describe(describing, choosing.groups)
    with Bar("choosing", writing.quiet) as bar:
        problem, selection = choose(description, choosing, describing.seed, bar.update)
    completed(selection)
    with Bar("solving", writing.quiet) as bar:
        found = crosscheck(problem, witnesses.names(), bar.say, witnesses.time_limit)
    message = "; ".join(found.faults) or "the solvers agree within their gaps"
    record = provenance(writing.seed, description.table.sha256) | {
        "status": (Status.CERTIFIED if found.agrees else Status.UNCERTIFIED).word,
        "message": message,
        "hyperparameters": {**problem.hyperparameters, **description.settled},
        "selection": choice(selection, arrays=False),
        "rows": [dataclasses.asdict(row) for row in found.rows],
        "largest_difference": found.largest_difference,
        "odd_one_out": found.odd_one_out,
    }
    warnings = [*description.warnings, *(selection.notes if selection else [])]
    write_json(record | description.sheet.record() | {"warnings": warnings}, writing.json)
    if found.agrees:
        draw(writing.plot, lambda: _figure(found))
        if writing.save is not None:
            save(fit_named(problem, description, Solving("auto", None, None), writing), writing.save)
    _show(found, description.table.source, writing)
    warn(warnings)
    if not found.agrees:
        say(message + unwritten(writing))
    return Exit.CERTIFIED if found.agrees else Exit.UNPROVEN


def _check_solvers(solvers: tuple[str, ...]) -> None:
    """Raise `InputError` for solvers that do not exist, or are one and the same: no witness of itself."""
    seen: dict[str, str] = {}
    for solver in solvers:
        if solver == "auto":
            raise InputError("--solver auto picks one of the others; name the solvers to compare")
        meant = find_solver(solver).label
        if meant in seen:
            raise InputError(f"--solver {seen[meant]} and --solver {solver} are one solver; drop one of them, or name another")
        seen[meant] = solver


def _figure(found: Crosscheck) -> Any:
    from hw4opt.plotting import plot_check

    return plot_check(found.rows)


def _show(found: Crosscheck, source: str, writing: Writing) -> None:
    columns = ("solver", "status", "objective", "rel. gap", "fit off", "seconds")
    notes = [f"{row.solver}: {row.message}" for row in found.rows if row.status != Status.CERTIFIED.word]
    largest = f"Largest difference of certified objectives: {found.largest_difference:.2g}"
    notes += ["fit off: from the best certified fit, at most, in robust standard deviations of y", largest, *_agreements(found.rows)]
    if found.odd_one_out is not None:
        notes.append(f"{found.odd_one_out} is the odd one out: its answer lies apart from all others, some of which agree")
    show(writing, f"Solvers compared: {source}", columns, map(_cells, found.rows), [*notes, *figure_line(writing, "check.png")])


def _cells(row: Row) -> tuple[str, ...]:
    figures = figure_text(row.objective, 10), figure_text(row.relative_gap, 2), figure_text(row.fitted_difference, 2)
    return row.solver, row.status, *figures, figure_text(row.seconds, 2)


def _agreements(rows: Sequence[Row]) -> list[str]:
    """Who agrees with whom, a line for every group."""
    groups = {frozenset((row.solver, *row.agrees_with)) for row in rows if row.agrees_with}
    named = [[row.solver for row in rows if row.solver in group] for group in groups]
    lines = [f"Agree with each other: {', '.join(group)}" for group in sorted(named)]
    return lines or ["No two answers agree"]
