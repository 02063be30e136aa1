"""`hw4opt solve`: one fit, proven; what was not given is chosen first."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import click

from hw4cli.opt import counts
from hw4cli.opt.cautions import cautions, on_dispersion
from hw4cli.opt.choosing import check_choosing, choose
from hw4cli.opt.describe import Description, describe
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import (
    ARRAYS,
    CHOOSE,
    DESCRIBE,
    ERRORS,
    SAVE,
    SEPARATED,
    SOLVE,
    WRITE,
    Choosing,
    Describing,
    Solving,
    Writing,
    options,
    take,
)
from hw4cli.opt.outputs import answer, check_outputs, choice, draw, provenance, save, searched, unwritten, with_arrays, write_json
from hw4cli.opt.report import figure_line, show, summary, title, warn
from hw4cli.progress import Bar
from hw4opt import Problem, Result, Status, fit
from hw4opt.solvers import find_solver

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hw4opt.selection import Selection

log = logging.getLogger("hw4opt.cli")


@click.command("solve")
@options(DESCRIBE, SOLVE, SEPARATED, ERRORS, CHOOSE, SAVE, ARRAYS, WRITE)
def command(**given: Any) -> int:
    """Fit a penalised or shape-constrained regression, and prove it.

    DATA is a CSV with a header, or a Parquet file. Left out: the step data of the assignment.
    """
    return solve(take(Describing, given), take(Solving, given), take(Choosing, given), take(Writing, given))


def solve(describing: Describing, solving: Solving, choosing: Choosing, writing: Writing) -> int:
    """The exit status: 0 certified, 1 not, 130 interrupted."""
    check_choosing(choosing)
    check_solver(solving.solver)
    check_outputs(writing, {"the data": describing.data})
    description = describe(describing, choosing.groups)
    counts.check_likelihood(description.problem.loss, solving)
    with Bar("choosing", writing.quiet) as bar:
        problem, selection = choose(description, choosing, describing.seed, bar.update)
    result = fit_named(problem, description, solving, writing)
    status = Status.INTERRUPTED if selection is not None and selection.interrupted else result.status
    settled = {**description.settled, **searched(problem, selection)}
    warnings = [*description.warnings, *(selection.notes if selection else []), *left_out(result), *cautions(result, settled)]
    warnings += on_dispersion(result, solving.errors)
    arrays = with_arrays(writing, len(problem.active_x))
    record = provenance(writing.seed, description.table.sha256) | answer(result, arrays, solving.errors)
    record |= description.sheet.record() | {"selection": choice(selection, arrays), "warnings": warnings}
    record["hyperparameters"] |= settled
    if status is Status.INTERRUPTED:
        record |= {"status": status.word, "message": status.value}
    write_json(description.sheet.blanked(record), writing.json)
    if status is Status.CERTIFIED:
        draw(writing.plot, lambda: figure(result, description, selection))
        save(result, writing.save)
    show(
        writing,
        title(result, description.table.source),
        ("", ""),
        summary(result, selection, description, solving.errors),
        figure_line(writing, "fit.png"),
    )
    warn(warnings)
    return ending(status, record["message"], writing)


def figure(result: Result, description: Description, selection: Selection | None) -> Figure:
    """The fit's figure, beside it how its hyper-parameters were chosen."""
    from hw4opt.plotting import figure_of, plot_choice, plot_fit

    if selection is None:
        return figure_of(plot_fit(result, truth=description.truth))
    return plot_choice(result, selection.table, description.truth)


def fit_named(problem: Problem, description: Description, solving: Solving, writing: Writing) -> Result:
    """The fit, with the names of its columns on it."""
    with Bar("solving", writing.quiet):
        result = fit(problem, **how(solving), separated=solving.separated)
    log.info("%s: %s after %d iterations", result.solver, result.status.word, result.iterations)
    return dataclasses.replace(result, context=description.context)


def how(solving: Solving) -> dict[str, Any]:
    """What every fit is given."""
    return {
        "solver": solving.solver,
        "tol": solving.tol,
        "max_iterations": solving.max_iterations,
        "time_limit": solving.time_limit,
    }


def left_out(result: Result) -> list[str]:
    """The warning of a fit without its separated rows."""
    if not result.is_without_separated_rows:
        return []
    said = result.existence_sentence
    return [f"separated rows were dropped, and the fit gives them the limit of their mean, with no linear predictor: {said}"]


def check_solver(name: str) -> None:
    """Raise `InputError` for a solver that does not exist, before any work."""
    if name != "auto":
        find_solver(name)


def ending(status: Status, message: str, writing: Writing) -> Exit:
    """The exit status, with a sentence where the answer carries no proof."""
    if status is Status.CERTIFIED:
        return Exit.CERTIFIED
    say((message if status is Status.INTERRUPTED else f"{status.word}: {message}") + unwritten(writing))
    return Exit.INTERRUPTED if status is Status.INTERRUPTED else Exit.UNPROVEN
