"""`hw4opt report`: a fit as one HTML file."""

from __future__ import annotations

import dataclasses
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hw4cli.opt.fit_report import Reported, fit_report
from hw4cli.opt.options import (
    ARRAYS,
    MODEL_FILE,
    OUTPUT,
    PROBLEM,
    SEPARATED,
    SOLVE,
    STANDARD_ERRORS,
    OutputOptions,
    ProblemOptions,
    SolverOptions,
)
from hw4cli.opt.outputs import provenance
from hw4cli.opt.problem_file import PROBLEM_FILE, problem_text
from hw4cli.opt.repeat import command_text, given_words, python_text, settled_options
from hw4cli.opt.selection_options import KEEP_FOLDS, SELECT, SelectionOptions
from hw4cli.opt.solve import Solved, check_options, finish, solve_problem
from hw4cli.opt.solve import command as solve_command
from hw4cli.options import options, take
from hw4cli.progress import Bar
from hw4opt.crosscheck import Crosscheck, crosscheck
from hw4opt.running.files import write_text
from hw4opt.tables.features import Codes, Numbers

REPORT = (
    click.option("--out", default="report.html", show_default=True, metavar="PATH", help="The file to write."),
    click.option("--open", "opens", is_flag=True, help="Open the report in a browser."),
    click.option("--check", "compares", is_flag=True, help="Add a comparison of solvers, as `hw4opt check` makes."),
)


@click.command("report")
@options(PROBLEM, SOLVE, SEPARATED, STANDARD_ERRORS, SELECT, KEEP_FOLDS, REPORT, MODEL_FILE, ARRAYS, OUTPUT)
def command(out: str, opens: bool, compares: bool, **given: Any) -> int:
    """Fit as `hw4opt solve` does, and write a report: one self-contained HTML file.

    It has the fit as a figure that can be zoomed, the choice of hyper-parameters, outlying rows, the proof, warnings,
    and the commands that repeat it. It is also written if the answer is not certified, which it states.
    """
    problem_options, solver_options = take(ProblemOptions, given), take(SolverOptions, given)
    selection_options, output_options = take(SelectionOptions, given), take(OutputOptions, given)
    check_options(problem_options, solver_options, selection_options, output_options, out=out)
    solved = solve_problem(problem_options, solver_options, selection_options, output_options)
    check = _check(solved, output_options) if compares else None
    repeats = repeating(solved, problem_options, solver_options, selection_options)
    origin = provenance(output_options.seed, solved.built.table.sha256)
    about = Reported(
        solved.result,
        solved.built,
        solved.selection,
        solved.warnings,
        origin,
        repeats,
        solved.built.truth,
        check,
        solved.errors,
    )
    write_text(out, fit_report(about))
    if opens:
        webbrowser.open(Path(out).resolve().as_uri())
    return finish(solved, output_options, {"report": out})


def _check(solved: Solved, output_options: OutputOptions) -> Crosscheck:
    with Bar("comparing", output_options.quiet) as bar:
        return crosscheck(solved.result.problem, None, bar.describe)


def repeating(
    solved: Solved, problem_options: ProblemOptions, solver_options: SolverOptions, selection_options: SelectionOptions
) -> Mapping[str, str]:
    """Means to repeat the fit: the command with all hyper-parameters, a script if columns and rows are used unchanged,
    and the problem file with the original options."""
    settled = settled_options(problem_options, solved.result.problem)
    words = given_words(solve_command, {**vars(settled), **vars(solver_options), "select": "none"})
    repeats = {"Command line, the same fit": command_text(["solve", *words])}
    columns = solved.built.columns.features.columns
    plain = not (problem_options.offset or problem_options.exposure)
    plain = plain and not solved.built.columns.dropped.any()
    if plain and all(isinstance(column, Numbers | Codes) for column in columns):
        fitted = dataclasses.replace(solved.built, problem=solved.result.problem)
        repeats["Python, the same fit"] = python_text(fitted, settled)
    described = problem_text(problem_options, solver_options, selection_options, solved.built.table)
    return repeats | {PROBLEM_FILE: described}
