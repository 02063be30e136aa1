"""`hw4opt check`: one problem through every solver that takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import click

from hw4cli.opt.choosing import check_choosing, choose, completed
from hw4cli.opt.describe import describe
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import CHOOSE, DESCRIBE, SAVE, SOLVER, WRITE, Choosing, Describing, Solving, Writing, options, take, time_limit_option
from hw4cli.opt.outputs import check_outputs, choice, draw, provenance, save, unwritten, write_json
from hw4cli.opt.report import figure_line, figure_text, show, warn
from hw4cli.opt.solve import fit_named
from hw4cli.progress import Bar
from hw4opt import InputError, Status
from hw4opt.crosscheck import TIME_LIMIT, Crosscheck, Row, crosscheck, every_solver
from hw4opt.solvers import split_name

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
    description = describe(describing, (choosing.groups,))
    with Bar("choosing", writing.quiet) as bar:
        problem, selection = choose(description, choosing, describing.seed, bar.update)
    completed(selection)
    with Bar("solving", writing.quiet) as bar:
        found = crosscheck(problem, witnesses.names(), bar.say, witnesses.time_limit)
    message = "; ".join(found.faults) or "the solvers agree within their gaps"
    record = provenance(writing.seed, description.table.sha256) | {
        "status": (Status.CERTIFIED if found.agrees else Status.UNCERTIFIED).word,
        "message": message,
        "hyperparameters": problem.hyperparameters,
        "selection": choice(selection, arrays=False),
        "rows": [dataclasses.asdict(row) for row in found.rows],
        "largest_difference": found.largest_difference,
        "odd_one_out": found.odd_one_out,
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
        if solver == "auto":
            raise InputError("--solver auto picks one of the others; name the solvers to compare")
        meant = ":".join(part for part in split_name(solver) if part)
        if meant in seen:
            raise InputError(f"--solver {seen[meant]} and --solver {solver} are one solver; drop one of them, or name another")
        seen[meant] = solver


def _figure(found: Crosscheck) -> Any:
    from hw4opt.plotting import plot_check

    return plot_check(found.rows)


def _show(found: Crosscheck, source: str, writing: Writing) -> None:
    columns = ("solver", "status", "objective", "relative gap", "fit apart by", "seconds", "agrees with")
    notes = [f"{row.solver}: {row.message}" for row in found.rows if row.status != Status.CERTIFIED.word]
    largest = f"Largest difference of certified objectives: {found.largest_difference:.2g}"
    apart = "\"fit apart by\": the largest distance from the best certified fit, in robust standard deviations of y"
    notes += [largest, apart, *_odd(found)]
    names = [row.solver for row in found.rows if row.fitted_difference is not None or row.agrees_with]
    show(writing, f"Solvers compared: {source}", columns, (_cells(row, names) for row in found.rows), [*notes, *figure_line(writing, "check.png")])


def _odd(found: Crosscheck) -> list[str]:
    """The sentence about the odd one out."""
    if found.odd_one_out is None:
        return []
    row = next(row for row in found.rows if row.solver == found.odd_one_out)
    return [f"{row.solver} is the odd one out: its answer ({row.status}) lies apart from all others, some of which agree"]


def _cells(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    figures = figure_text(row.objective, 12), figure_text(row.relative_gap, 2), figure_text(row.fitted_difference, 2)
    return row.solver, row.status, *figures, figure_text(row.seconds, 2), _agreement(row, names)


def _agreement(row: Row, names: Sequence[str]) -> str:
    """Whom of the solvers with an answer this one agrees with."""
    if row.solver not in names:
        return ""
    missing = [name for name in names if name != row.solver and name not in row.agrees_with]
    if not missing:
        return "all"
    if not row.agrees_with:
        return "no other"
    return f"all but {', '.join(missing)}" if len(missing) < len(row.agrees_with) else ", ".join(row.agrees_with)
