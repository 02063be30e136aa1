"""`hw4opt path`: fits and held-out errors along one hyper-parameter."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from hw4cli.opt.build_problem import BuiltProblem, build_problem
from hw4cli.opt.exit_status import Exit, say
from hw4cli.opt.option_syntax import LogRange, parse_range
from hw4cli.opt.options import MODEL_FILE, OUTPUT, PROBLEM, SOLVE, OutputOptions, ProblemOptions, SolverOptions
from hw4cli.opt.outputs import check_outputs, draw, provenance, save, unwritten, write_json
from hw4cli.opt.problem_file_options import of_problem_file
from hw4cli.opt.report import figure_line, number_text, show, warn
from hw4cli.opt.select_hyperparameters import (
    Progress,
    check_anything_to_select,
    check_selection_options,
    choose,
    raise_if_interrupted,
    select_with_options,
    with_full_name,
)
from hw4cli.opt.selection_options import SELECT, SelectionOptions
from hw4cli.opt.solve import check_solver, solver_arguments
from hw4cli.options import options, take
from hw4cli.progress import Bar
from hw4cli.translate import translate
from hw4opt import InputError, Problem, Result, Status, fit, fit_batch

if TYPE_CHECKING:
    from hw4opt.selection import Selection

MAX_BATCH_ROWS = 2_000_000  # rows × settings solved as one batch; larger ones would only need more memory


@dataclasses.dataclass(frozen=True)
class PathPoint:
    """The fit at one value of the varied hyper-parameter."""

    value: float
    result: Result
    score: float | None
    standard_error: float | None


@click.command("path")
@options(
    PROBLEM,
    (
        click.option(
            "--vary",
            required=True,
            metavar="NAME=LOW:HIGH:COUNT",
            help="The hyper-parameter, log-spaced, as in ridge=0.01:1:5.",
        ),
    ),
    SOLVE,
    SELECT,
    MODEL_FILE,
    OUTPUT,
)
def command(vary: str, **given: Any) -> int:
    """Compute fits and held-out errors along one hyper-parameter.

    The others keep their given values; those not given are first selected together with it, as by `hw4opt solve`, and
    then fixed. With --select none there are no held-out errors. --save writes the model with the lowest one.
    """
    return path(
        vary,
        take(ProblemOptions, given),
        take(SolverOptions, given),
        take(SelectionOptions, given),
        take(OutputOptions, given),
    )


def path(
    vary: str,
    problem_options: ProblemOptions,
    solver_options: SolverOptions,
    selection_options: SelectionOptions,
    output_options: OutputOptions,
) -> int:
    """The exit status: 0 if every fit is certified, 1 if not."""
    span = parse_range("--vary", vary)
    check_selection_options(selection_options)
    check_solver(solver_options.solver)
    if selection_options.select == "none" and output_options.save is not None:
        raise InputError(
            f"--save {output_options.save} writes the model of lowest held-out error, which --select none does not "
            "compute; drop one of them"
        )
    check_outputs(output_options, problem_options.files)
    built = build_problem(problem_options, selection_options.groups)
    span = with_full_name(built, "--vary", span)
    with Bar("choosing", output_options.quiet) as bar:
        problem, selection = _others(built, selection_options, span, problem_options.seed, bar)
        raise_if_interrupted(selection)
        scores = _scores(built, problem, span, selection_options, problem_options.seed, bar.update)
        raise_if_interrupted(scores)
    with Bar("solving", output_options.quiet):
        points = _points(problem, span, solver_options, scores)
    best = min(points, key=lambda point: np.inf if point.score is None else point.score)
    failed = [point for point in points if point.result.status is not Status.CERTIFIED]
    worst = failed[0].result if failed else best.result
    notes = [*built.warnings, *(note for one in (selection, scores) if one is not None for note in one.notes)]
    if output_options.save is not None and of_problem_file("keep_folds"):
        notes.append(
            f"{output_options.save} holds no held-out fits: keep-folds of a problem file is for solve and report"
        )
    notes = [translate(note).replace(f"--grid {span.name}=", f"--vary {span.name}=") for note in notes]
    record = provenance(output_options.seed, built.table.sha256) | {
        "status": worst.status.word,
        "message": worst.message,
        "solver": best.result.solver,
        "vary": span.name,
        "best": None if scores is None else best.value,
        "hyperparameters": {
            name: value
            for name, value in (problem.hyperparameters | dict(built.automatic)).items()
            if name != span.name
        },
        "method": None if scores is None else scores.method,
        "metric": None if scores is None else scores.metric,
        "rows": [_row(span.name, point) for point in points],
        "warnings": notes,
    }
    record |= built.columns.record()
    write_json(record, output_options.json)
    if not failed:
        draw(output_options, lambda: _figure(span, points))
        save(dataclasses.replace(best.result, context=built.context), output_options.save)
    _show(built, span, points, best, output_options)
    warn(notes)
    for point in failed:
        files = unwritten(output_options) if point is failed[-1] else ""
        say(f"{span.name} = {point.value:.6g}: {point.result.status.word}: {point.result.message}{files}")
    return Exit.UNPROVEN if failed else Exit.CERTIFIED


def _others(
    built: BuiltProblem, selection_options: SelectionOptions, span: LogRange, seed: int, bar: Bar
) -> tuple[Problem, Selection | None]:
    """The problem with every hyper-parameter but the varied one given or selected."""
    if set(built.free) <= {span.name} and not selection_options.grid and selection_options.select != "none":
        check_anything_to_select(selection_options, ())
        return built.problem, None
    return choose(built, selection_options, seed, bar.update, along=span, budget=bar.budget)


def _scores(
    built: BuiltProblem,
    problem: Problem,
    span: LogRange,
    selection_options: SelectionOptions,
    seed: int,
    progress: Progress,
) -> Selection | None:
    if selection_options.select == "none":
        return None
    full_grid = dataclasses.replace(selection_options, search="grid", one_se=False)
    return select_with_options(built, problem, (), {span.name: span}, full_grid, seed, progress)


def _points(
    problem: Problem, span: LogRange, solver_options: SolverOptions, scores: Selection | None
) -> list[PathPoint]:
    spaced = np.geomspace(span.low, span.high, span.count).tolist()
    values = list(
        dict.fromkeys(problem.settled(span.name, value) for value in spaced)
    )  # an integer parameter is tried once
    results = _fits([problem.with_hyperparameters({span.name: value}) for value in values], solver_options)
    rows = [_nearest(span.name, value, scores) for value in values]
    return [
        PathPoint(value, result, row.get("score"), row.get("standard_error"))
        for value, result, row in zip(values, results, rows, strict=True)
    ]


def _fits(problems: Sequence[Problem], solver_options: SolverOptions) -> list[Result]:
    """The fits: in one batch if the problems share basis and kinds of terms, else one by one."""
    first = problems[0]
    kinds = [[term.acts for term in problem.terms] for problem in problems]
    shared = all(problem.kernel == first.kernel for problem in problems) and all(kind == kinds[0] for kind in kinds)
    if shared and len(problems) * len(first.active_x) <= MAX_BATCH_ROWS:
        return fit_batch(problems, **solver_arguments(solver_options))
    return [fit(problem, **solver_arguments(solver_options)) for problem in problems]


def _nearest(name: str, value: float, scores: Selection | None) -> dict[str, float]:
    return {} if scores is None else min(scores.table, key=lambda row: abs(row[name] - value))


def _row(name: str, point: PathPoint) -> dict[str, Any]:
    result = point.result
    return {
        name: point.value,
        "objective": result.objective,
        "score": point.score,
        "standard_error": point.standard_error,
        "relative_gap": result.certificate.relative_gap,
        "status": result.status.word,
        "rank": result.rank,
        "seconds": result.seconds,
    }


def _figure(span: LogRange, points: Sequence[PathPoint]) -> Any:
    from hw4opt.plotting import plot_path

    scores, errors = [point.score for point in points], [point.standard_error for point in points]
    return plot_path([point.result for point in points], span.name, [point.value for point in points], scores, errors)


def _show(
    built: BuiltProblem, span: LogRange, points: Sequence[PathPoint], best: PathPoint, output_options: OutputOptions
) -> None:
    columns = (span.name, "objective", "held-out error", "± one s.e.", "relative gap", "status")
    rows = [
        (
            f"{point.value:.6g}",
            f"{point.result.objective:.10g}",
            number_text(point.score) + (" ← lowest" if point is best and point.score is not None else ""),
            number_text(point.standard_error, 2),
            number_text(point.result.certificate.relative_gap, 2),
            point.result.status.word,
        )
        for point in points
    ]
    show(
        output_options,
        f"Along {span.name}: {built.table.source}",
        columns,
        rows,
        figure_line(output_options, "path.png"),
    )
