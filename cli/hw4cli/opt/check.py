"""`hw4opt check`: one problem through every solver that takes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from hw4cli.opt.choosing import check_choosing, choose, completed
from hw4cli.opt.describe import describe
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import CHOOSE, DESCRIBE, SAVE, SOLVER, WRITE, Choosing, Describing, Solving, Writing, options, take
from hw4cli.opt.outputs import check_outputs, choice, draw, provenance, save, unwritten, write_json
from hw4cli.opt.report import figure_line, figure_text, show, warn
from hw4cli.opt.solve import check_solver, fit_named
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.crosscheck import Crosscheck, Row, crosscheck
from hw4opt.solvers import load_solver

SOLVERS = click.option("--solver", multiple=True, help="Only these solvers; repeat for more. Default: every one there is.", **SOLVER)


@click.command("check")
@options(DESCRIBE, SOLVERS, CHOOSE, SAVE, WRITE)
def command(solver: tuple[str, ...], **given: Any) -> int:
    """Solve one problem with every solver that takes it, and compare.

    Certified objectives must agree within their gaps, every native solver must certify what it takes, and at least two must certify.
    What is not given is chosen first, as `hw4opt solve` does.
    """
    return check(solver, take(Describing, given), take(Choosing, given), take(Writing, given))


def check(solvers: tuple[str, ...], describing: Describing, choosing: Choosing, writing: Writing) -> int:
    """The exit status: 0 if the solvers agree, 1 if not."""
    check_choosing(choosing)
    _check_solvers(solvers)
    check_outputs(writing, {"the data": describing.data})
    description = describe(describing, (choosing.groups,))
    with Bar("choosing", writing.quiet) as bar:
        problem, selection = choose(description, choosing, describing.seed, bar.update)
    completed(selection)
    with Bar("solving", writing.quiet) as bar:
        found = crosscheck(problem, solvers or None, bar.say)
    message = "; ".join(found.faults) or "the solvers agree within their gaps"
    record = provenance(writing.seed, description.table.sha256) | {
        "status": (Status.CERTIFIED if found.agrees else Status.UNCERTIFIED).word,
        "message": message,
        "hyperparameters": {**problem.hyperparameters, **description.settled},
        "selection": choice(selection, arrays=False),
        "rows": [dataclasses.asdict(row) for row in found.rows],
        "largest_difference": found.largest_difference,
    }
    write_json(record, writing.json)
    if found.agrees:
        draw(writing.plot, lambda: _figure(found))
        if writing.save is not None:
            save(fit_named(problem, description, Solving("auto", None, None), writing), writing.save)
    _show(found, description.table.source, writing)
    warn([*description.warnings, *(selection.notes if selection else [])])
    if not found.agrees:
        say(message + unwritten(writing))
    return Exit.CERTIFIED if found.agrees else Exit.UNPROVEN


def _check_solvers(solvers: tuple[str, ...]) -> None:
    """Raise `InputError` for solvers that do not exist, or are one and the same: no witness of itself."""
    seen: dict[str, str] = {}
    for solver in solvers:
        check_solver(solver)
        if solver == "auto":
            raise InputError("--solver auto picks one of the others; name the solvers to compare")
        kind, _, backend = solver.partition(":")
        meant = f"cvxpy:{load_solver('cvxpy').backend(backend)}" if kind == "cvxpy" else solver
        if meant in seen:
            raise InputError(f"--solver {seen[meant]} and --solver {solver} are one solver; drop one of them, or name another")
        seen[meant] = solver


def _figure(found: Crosscheck) -> Any:
    from hw4opt.plotting import plot_check

    return plot_check(found.rows)


def _show(found: Crosscheck, source: str, writing: Writing) -> None:
    columns = ("solver", "status", "objective", "relative gap", "seconds")
    notes = [f"{row.solver}: {row.message}" for row in found.rows if row.status != Status.CERTIFIED.word]
    largest = f"Largest difference of certified objectives: {found.largest_difference:.2g}"
    show(writing, f"Every solver: {source}", columns, map(_cells, found.rows), [*notes, largest, *figure_line(writing, "check.png")])


def _cells(row: Row) -> tuple[str, ...]:
    return row.solver, row.status, figure_text(row.objective, 12), figure_text(row.relative_gap, 2), figure_text(row.seconds, 2)
