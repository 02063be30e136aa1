"""Tables for the terminal, and the warnings on stderr. rich is imported only to draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hw4cli.opt.exit_status import say
from hw4cli.opt.options import OutputOptions
from hw4cli.opt.outputs import coefficient_errors, command_line, searched
from hw4cli.output_paths import STDOUT
from hw4cli.text_table import TextTable
from hw4cli.texts import printable
from hw4cli.translate import translate
from hw4opt import Certificate, Result
from hw4opt.design import Sum
from hw4opt.errors import listed
from hw4opt.inference import ERRORS, ComponentFit, kinds_of
from hw4opt.problem import Model
from hw4opt.terms import Slope, Term, is_everywhere
from hw4opt.terms.base import Array

if TYPE_CHECKING:
    from hw4cli.opt.build_problem import BuiltProblem
    from hw4opt.selection import Selection

MAX_COEFFICIENTS = 20  # in the table


def warn(sentences: Iterable[str]) -> None:
    """Print warnings."""
    for sentence in sentences:
        say(f"warning: {sentence}")


def show(
    output_options: OutputOptions,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    last: Iterable[str] = (),
) -> None:
    """Print a table and the lines under it: on stderr if stdout holds the JSON, nothing with --quiet."""
    if not output_options.quiet:
        cells = ([printable(translate(cell)) for cell in row] for row in rows)
        lines = (printable(translate(line)) for line in last)
        table = TextTable(printable(title), [*map(printable, columns)], cells, lines)
        table.print(stderr=output_options.json == STDOUT)


def figure_line(output_options: OutputOptions, name: str) -> list[str]:
    """The command that would write a figure, if --plot is not given."""
    return [] if output_options.plot else [f"For a figure: {command_line()} --plot {name}"]


def number_text(value: float | None, digits: int = 6) -> str:
    """A number for a table, – for None."""
    return "–" if value is None else f"{value:.{digits}g}"


def value_range(values: Array) -> tuple[str, str]:
    """The lowest and the highest finite value, for a table."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return (f"{values.min():.6g}", f"{values.max():.6g}") if len(values) else ("–", "–")


def summary(
    result: Result, selection: Selection | None, built: BuiltProblem, errors: str = ERRORS[0]
) -> list[tuple[str, str]]:
    """The rows of the table of a fit; errors: the kind of its standard errors."""
    certificate = result.certificate
    selected = {*built.free, *(name for row in (selection.table if selection else []) for name in row)}
    values = {**result.problem.hyperparameters, **built.automatic, **searched(result.problem, selection)}
    origin = dict.fromkeys(built.automatic, "  (auto)") | dict.fromkeys(selected, "  (chosen)")
    rows = [("x", listed(built.columns.features.names))]
    rows += [(name, f"{value:.6g}{origin.get(name, '')}") for name, value in values.items()]
    if selection is not None:
        error = f"{selection.score:.6g} ± {selection.standard_error:.2g}"
        rows.append(
            (
                f"held-out {selection.metric}",
                f"{error}  ({selection.method}, {selection.fits} fits, {selection.seconds:.2f} s)",
            )
        )
    if result.problem.curves > 1:
        rows.append(("crossings", f"{result.crossings} at the data rows"))
    rows += [
        ("objective", f"{result.objective:.10g}"),
        *(("shape", one.sentence(*built.columns.features.names)) for one in result.shapes),
        *((f"f of {listed(one.columns)}", _component(one)) for one in result.components),
        *_explained(result),
        *_likelihood(result),
        *(_coefficients(result, errors) if result.problem.curves == 1 else _coefficients_of_levels(result)),
        ("relative gap", _gap(certificate)),
        ("fit is exact to", _bound(result)),
        ("solver", f"{result.solver}, {result.iterations} iterations, rank {result.rank}, {result.seconds:.2g} s"),
        ("status", f"{result.status.word}: {result.message}"),
    ]
    return rows


def _component(fit: ComponentFit) -> str:
    """The range of a component, and its degrees of freedom."""
    low, high = value_range(fit.fitted)
    return f"{fit.name}: from {low} to {high}, {number_text(fit.effective_degrees_of_freedom, 3)} degrees of freedom"


def _explained(result: Result) -> list[tuple[str, str]]:
    """What the fit explains, and with how many degrees of freedom."""
    rows = [("R²", result.r_squared), ("deviance explained", result.deviance_explained)]
    rows += [("degrees of freedom", result.effective_degrees_of_freedom)]
    return [(name, number_text(value, 4)) for name, value in rows if value is not None]


def _likelihood(result: Result) -> list[tuple[str, str]]:
    """Log-likelihood and deviance."""
    found = result.inference
    if found is None:
        return []
    return [("log-likelihood", f"{found.log_likelihood:.10g}"), ("deviance", f"{found.deviance:.6g}")]


def _coefficients(result: Result, errors: str) -> list[tuple[str, str]]:
    """The coefficients with their standard errors, of losses that have them."""
    inference = coefficient_errors(result, errors)
    if inference is None or result.coef is None:
        return []
    rows: list[tuple[str, str]] = []
    names, values = (
        result.column_names,
        [*result.coef.tolist(), *([] if result.intercept is None else [result.intercept])],
    )
    standard_errors = inference.standard_errors
    if standard_errors is not None and result.intercept is not None:
        standard_errors = np.roll(standard_errors, -1)  # the intercept is named last
    for place, (name, value) in enumerate(zip(names[:MAX_COEFFICIENTS], values[:MAX_COEFFICIENTS], strict=True)):
        rows.append((name, coefficient(value, None if standard_errors is None else standard_errors[place])))
    if inference.errors != kinds_of(result.problem.loss)[0]:
        rows.append(("± are", f"{inference.errors} standard errors"))
    return rows if inference.reason is None else [*rows, ("standard errors", f"– ({inference.reason})")]


def _coefficients_of_levels(result: Result) -> list[tuple[str, str]]:
    """The coefficients of a linear design, each at every level."""
    if result.coef is None:
        return []
    values = np.vstack([result.coef, *([] if result.intercept is None else [result.intercept])])
    rows = zip(result.column_names, values.tolist(), strict=True)
    levels = result.problem.loss.levels
    return [
        (name, ", ".join(f"{one:.6g} at {level:g}" for one, level in zip(row, levels, strict=True)))
        for name, row in list(rows)[:MAX_COEFFICIENTS]
    ]


def coefficient(value: float, error: float | None, digits: int = 6) -> str:
    """A coefficient with its standard error, which is NaN if the coefficient is not identified."""
    if error is None:
        return f"{value:.{digits}g}"
    return "– (not identified)" if np.isnan(error) else f"{value:.{digits}g} ± {error:.2g}"


def _gap(certificate: Certificate) -> str:
    """The relative gap, with rounding and truncation relative to the same scale."""
    gap, scale = number_text(certificate.relative_gap, 2), certificate.gap_scale
    if not scale:
        return gap
    rounding, truncation = certificate.gap_rounding / scale, certificate.truncation / scale
    return f"{gap}  (rounding {rounding:.1g}, truncated basis {truncation:.1g})"


def _bound(result: Result) -> str:
    bound, reason = result.prediction_error_bound, result.certificate.norm_bound_reason or result.certificate.reason
    return ("–" if bound is None else f"{bound:.2g} at every data row") + ("" if reason is None else f" ({reason})")


def _label(term: Term, names: Sequence[str]) -> str:
    """The label of the term, with the name of its x column."""
    name = f"{term.name}:column={names[term.acts.column]}" if isinstance(term.acts, Slope) and names else term.label
    return f"{name}:everywhere" if is_everywhere(term) else name


def title(result: Result, source: str) -> str:
    """Loss, design, terms and data of the fit."""
    told = description(result.problem.model, result.context.get("x") or ())
    return f"{told}: {source}, {len(result.fitted)} rows"


def description(model: Model, names: Sequence[str]) -> str:
    """Loss, design and terms; names: of the x columns, where they have any."""
    design = "linear design" if model.kernel is None else f"{model.kernel.name} kernel"
    if isinstance(model.kernel, Sum):
        design = f"sum of {listed([part.name for part in model.kernel.parts])}"
    terms = " + ".join(_label(term, names) for term in (*model.regularizers, *model.constraints))
    levels = [f"{level:g}" for level in model.loss.levels]
    loss = f"{model.loss.name} loss" + (f" at {listed(levels)}" if levels else "")
    return f"{loss}, {design}{', ' if terms else ''}{terms}"
