"""Tables for people, and the sentences on stderr. rich is imported only to draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hw4cli.opt.endings import say
from hw4cli.opt.options import Writing
from hw4cli.opt.outputs import command_line, searched
from hw4cli.outputs import STDOUT
from hw4cli.tables import Table
from hw4cli.texts import printable
from hw4cli.translate import translate
from hw4opt import Certificate, Result
from hw4opt.errors import listed
from hw4opt.inference import ERRORS
from hw4opt.terms import Slope, Term
from hw4opt.terms.base import Array

if TYPE_CHECKING:
    from hw4cli.opt.describe import Description
    from hw4opt.selection import Selection

SHOWN = 20  # coefficients in the table


def warn(sentences: Iterable[str]) -> None:
    """Sentences that do not change what is done."""
    for sentence in sentences:
        say(f"warning: {sentence}")


def show(writing: Writing, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], last: Iterable[str] = ()) -> None:
    """One table and the lines under it; on stderr when stdout holds the JSON, nowhere with --quiet."""
    if not writing.quiet:
        cells = ([printable(translate(cell)) for cell in row] for row in rows)
        lines = (printable(translate(line)) for line in last)
        table = Table(printable(title), [*map(printable, columns)], cells, lines)
        table.print(stderr=writing.json == STDOUT)


def figure_line(writing: Writing, name: str) -> list[str]:
    """The line that would make a figure, where none was asked for."""
    return [] if writing.plot else [f"For a figure: {command_line()} --plot {name}"]


def figure_text(value: float | None, digits: int = 6) -> str:
    """A number for a table, – where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def span(values: Array) -> tuple[str, str]:
    """The lowest and the highest of the finite values, for a table."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return (f"{values.min():.6g}", f"{values.max():.6g}") if len(values) else ("–", "–")


def summary(result: Result, selection: Selection | None, description: Description, errors: str = ERRORS[0]) -> list[tuple[str, str]]:
    """The rows of a fit's table; errors: of which kind its standard errors are."""
    certificate = result.certificate
    chosen = {*description.free, *(name for row in (selection.table if selection else []) for name in row)}
    values = {**result.problem.hyperparameters, **description.settled, **searched(result.problem, selection)}
    how = dict.fromkeys(description.settled, "  (auto)") | dict.fromkeys(chosen, "  (chosen)")
    rows = [("x", listed(description.sheet.features.names))]
    rows += [(name, f"{value:.6g}{how.get(name, '')}") for name, value in values.items()]
    if selection is not None:
        error = f"{selection.score:.6g} ± {selection.standard_error:.2g}"
        rows.append((f"held-out {selection.metric}", f"{error}  ({selection.method}, {selection.fits} fits, {selection.seconds:.2f} s)"))
    rows += [
        ("objective", f"{result.objective:.10g}"),
        *_likelihood(result, errors),
        ("relative gap", _gap(certificate)),
        ("fit is exact to", _bound(result)),
        ("solver", f"{result.solver}, {result.iterations} iterations, rank {result.rank}, {result.seconds:.2g} s"),
        ("status", f"{result.status.word}: {result.message}"),
    ]
    return rows


def _likelihood(result: Result, errors: str) -> list[tuple[str, str]]:
    """Log-likelihood, deviance, and the coefficients with their standard errors."""
    inference = result.infer(errors)
    if inference is None:
        return []
    rows = [("log-likelihood", f"{inference.log_likelihood:.10g}"), ("deviance", f"{inference.deviance:.6g}")]
    if result.coef is None:
        return rows
    names, values = result.column_names, [*result.coef.tolist(), *([] if result.intercept is None else [result.intercept])]
    own = inference.standard_errors
    if own is not None and result.intercept is not None:
        own = np.roll(own, -1)  # the intercept is named last
    for place, (name, value) in enumerate(zip(names[:SHOWN], values[:SHOWN], strict=True)):
        rows.append((name, coefficient(value, None if own is None else own[place])))
    if inference.errors != ERRORS[0]:
        rows.append(("± are", f"{inference.errors} standard errors"))
    return rows if inference.reason is None else [*rows, ("standard errors", f"– ({inference.reason})")]


def coefficient(value: float, error: float | None, digits: int = 6) -> str:
    """A coefficient with its standard error, which is NaN where it is not identified."""
    if error is None:
        return f"{value:.{digits}g}"
    return "– (not identified)" if np.isnan(error) else f"{value:.{digits}g} ± {error:.2g}"


def _gap(certificate: Certificate) -> str:
    """The gap and what else counts against an answer, relative to what the fit explains."""
    gap, scale = figure_text(certificate.relative_gap, 2), certificate.gap_scale
    if not scale:
        return gap
    return f"{gap}  (rounding {certificate.gap_rounding / scale:.1g}, truncated basis {certificate.truncation / scale:.1g})"


def _bound(result: Result) -> str:
    bound, reason = result.prediction_error_bound, result.certificate.norm_bound_reason or result.certificate.reason
    return ("–" if bound is None else f"{bound:.2g} at every data row") + ("" if reason is None else f" ({reason})")


def _label(term: Term, result: Result) -> str:
    """The term's label, its x column by name."""
    names = result.context.get("x")
    return f"{term.name}:column={names[term.acts.column]}" if isinstance(term.acts, Slope) and names else term.label


def title(result: Result, source: str) -> str:
    """What was fitted to what."""
    problem = result.problem
    design = "linear design" if problem.kernel is None else f"{problem.kernel.name} kernel"
    terms = " + ".join(_label(term, result) for term in (*problem.regularizers, *problem.constraints))
    return f"{problem.loss.name} loss, {design}{', ' if terms else ''}{terms}: {source}, {len(result.fitted)} rows"
