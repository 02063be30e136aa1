"""`hw4opt path`: fits and held-out errors along one hyper-parameter."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from hw4cli.opt.choosing import Progress, check_choosing, check_open, choose, completed, held_out, named
from hw4cli.opt.describe import Description, describe
from hw4cli.opt.endings import Exit, say
from hw4cli.opt.options import CHOOSE, DESCRIBE, SAVE, SOLVE, WRITE, Choosing, Describing, Solving, Writing, options, take
from hw4cli.opt.outputs import check_outputs, draw, provenance, save, unwritten, write_json
from hw4cli.opt.report import figure_line, figure_text, show, warn
from hw4cli.opt.solve import check_solver, how
from hw4cli.opt.words import Range, parse_range
from hw4cli.progress import Bar
from hw4cli.translate import translate
from hw4opt import InputError, Problem, Result, Status, fit, fit_batch

if TYPE_CHECKING:
    from hw4opt.selection import Selection

BATCH = 2_000_000  # rows × settings solved as one batch: more would only take memory


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting of the path."""

    value: float
    result: Result
    score: float | None
    standard_error: float | None


@click.command("path")
@options(
    DESCRIBE,
    (click.option("--vary", required=True, metavar="NAME=LOW:HIGH:COUNT", help="The hyper-parameter, log-spaced, as in ridge=0.01:1:5."),),
    SOLVE,
    CHOOSE,
    SAVE,
    WRITE,
)
def command(vary: str, **given: Any) -> int:
    """Fits and held-out errors along one hyper-parameter.

    The others keep their given values; those not given are first chosen together with it, as `hw4opt solve` does, and then held.
    With --select none there are no held-out errors. --save writes the model with the lowest one.
    """
    return path(vary, take(Describing, given), take(Solving, given), take(Choosing, given), take(Writing, given))


def path(vary: str, describing: Describing, solving: Solving, choosing: Choosing, writing: Writing) -> int:
    """The exit status: 0 if every fit is certified, 1 if not."""
    span = parse_range("--vary", vary)
    check_choosing(choosing)
    check_solver(solving.solver)
    if choosing.select == "none" and writing.save is not None:
        raise InputError(f"--save {writing.save} keeps the model of lowest held-out error and --select none has none; drop one of them")
    check_outputs(writing, {"the data": describing.data})
    description = describe(describing, choosing.groups)
    span = named(description, "--vary", span)
    with Bar("choosing", writing.quiet) as bar:
        problem, selection = _others(description, choosing, span, describing.seed, bar.update)
        completed(selection)
        scores = _scores(description, problem, span, choosing, describing.seed, bar.update)
        completed(scores)
    with Bar("solving", writing.quiet):
        points = _points(problem, span, solving, scores)
    best = min(points, key=lambda point: np.inf if point.score is None else point.score)
    failed = [point for point in points if point.result.status is not Status.CERTIFIED]
    worst = failed[0].result if failed else best.result
    notes = [*description.warnings, *(note for one in (selection, scores) if one is not None for note in one.notes)]
    notes = [translate(note).replace(f"--grid {span.name}=", f"--vary {span.name}=") for note in notes]
    record = provenance(writing.seed, description.table.sha256) | {
        "status": worst.status.word,
        "message": worst.message,
        "solver": best.result.solver,
        "vary": span.name,
        "best": None if scores is None else best.value,
        "hyperparameters": {
            name: value for name, value in (problem.hyperparameters | dict(description.settled)).items() if name != span.name
        },
        "method": None if scores is None else scores.method,
        "metric": None if scores is None else scores.metric,
        "rows": [_row(span.name, point) for point in points],
        "warnings": notes,
    }
    record |= description.sheet.record()
    write_json(record, writing.json)
    if not failed:
        draw(writing.plot, lambda: _figure(span, points))
        save(dataclasses.replace(best.result, context=description.context), writing.save)
    _show(description, span, points, best, writing)
    warn(notes)
    for point in failed:
        told = unwritten(writing) if point is failed[-1] else ""
        say(f"{span.name} = {point.value:.6g}: {point.result.status.word}: {point.result.message}{told}")
    return Exit.UNPROVEN if failed else Exit.CERTIFIED


def _others(description: Description, choosing: Choosing, span: Range, seed: int, progress: Progress) -> tuple[Problem, Selection | None]:
    """The problem with everything but the varied one settled."""
    if set(description.free) <= {span.name} and not choosing.grid and choosing.select != "none":
        check_open(choosing, ())
        return description.problem, None
    return choose(description, choosing, seed, progress, along=span)


def _scores(description: Description, problem: Problem, span: Range, choosing: Choosing, seed: int, progress: Progress) -> Selection | None:
    if choosing.select == "none":
        return None
    every = dataclasses.replace(choosing, search="grid", one_se=False)
    return held_out(description, problem, (), {span.name: span}, every, seed, progress)


def _points(problem: Problem, span: Range, solving: Solving, scores: Selection | None) -> list[Point]:
    spaced = np.geomspace(span.low, span.high, span.count).tolist()
    values = list(dict.fromkeys(problem.settled(span.name, value) for value in spaced))  # a whole number is tried once
    results = _fits([problem.with_hyperparameters({span.name: value}) for value in values], solving)
    rows = [_nearest(span.name, value, scores) for value in values]
    return [
        Point(value, result, row.get("score"), row.get("standard_error")) for value, result, row in zip(values, results, rows, strict=True)
    ]


def _fits(problems: Sequence[Problem], solving: Solving) -> list[Result]:
    """One batch where the problems share their basis and kinds of terms, else one by one."""
    first = problems[0]
    kinds = [[term.acts for term in problem.terms] for problem in problems]
    shared = all(problem.kernel == first.kernel for problem in problems) and all(kind == kinds[0] for kind in kinds)
    if shared and len(problems) * len(first.active_x) <= BATCH:
        return fit_batch(problems, **how(solving))
    return [fit(problem, **how(solving)) for problem in problems]


def _nearest(name: str, value: float, scores: Selection | None) -> dict[str, float]:
    return {} if scores is None else min(scores.table, key=lambda row: abs(row[name] - value))


def _row(name: str, point: Point) -> dict[str, Any]:
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


def _figure(span: Range, points: Sequence[Point]) -> Any:
    from hw4opt.plotting import plot_path

    scores, errors = [point.score for point in points], [point.standard_error for point in points]
    return plot_path([point.result for point in points], span.name, [point.value for point in points], scores, errors)


def _show(description: Description, span: Range, points: Sequence[Point], best: Point, writing: Writing) -> None:
    columns = (span.name, "objective", "held-out error", "± one s.e.", "relative gap", "status")
    rows = [
        (
            f"{point.value:.6g}",
            f"{point.result.objective:.10g}",
            figure_text(point.score) + (" ← lowest" if point is best and point.score is not None else ""),
            figure_text(point.standard_error, 2),
            figure_text(point.result.certificate.relative_gap, 2),
            point.result.status.word,
        )
        for point in points
    ]
    show(writing, f"Along {span.name}: {description.table.source}", columns, rows, figure_line(writing, "path.png"))
