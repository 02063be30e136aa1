"""The report on a fit: one HTML file with the problem, the answer and its proof."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw4cli.opt.build_problem import BuiltProblem
from hw4cli.opt.explorer.records import as_curve, band_record
from hw4cli.opt.report import number_text, summary, title
from hw4cli.pages.markup import code, notes, pairs, paragraph, place, section, table, text, verdict
from hw4cli.pages.report import SHOWN_DIGITS, made_by, report_page, short
from hw4cli.translate import translate
from hw4opt import Result, Status
from hw4opt.crosscheck import Crosscheck
from hw4opt.design import Sum
from hw4opt.inference import ERRORS
from hw4opt.terms.base import Array
from hw4opt.views import (
    CurveView,
    Truth,
    choice_view,
    component_views,
    curve_view,
    drawn_rows,
    fitted_values,
    middle_level,
    names_of,
    observed_targets,
    outliers,
)

if TYPE_CHECKING:
    from hw4opt.selection import Selection

REPORT_POINTS = 500  # of the curve, besides the data's own x
PARTS_SENTENCE = "Each part is centered; the points are partial residuals: the part plus the residual of the whole fit."
MAX_REPORT_ROWS = 5_000  # drawn; of more, a seeded part
MOST_ROWS_LISTED = 10
WAY_NAMES = {"loo": "leave-one-out", "loo:x": "leaving rows of equal x out together"}


@dataclasses.dataclass(frozen=True, eq=False)
class Reported:
    """The content of a report.

    origin      version, command, seed, platform and hash of the data, as in every JSON
    repeats     commands and scripts that repeat the fit, by what they are
    check       the comparison of solvers, where it was asked for
    """

    result: Result
    built: BuiltProblem
    selection: Selection | None
    warnings: Sequence[str]
    origin: Mapping[str, Any]
    repeats: Mapping[str, str]
    truth: Truth | None = None
    check: Crosscheck | None = None
    errors: str = ERRORS[0]


def fit_report(about: Reported) -> str:
    """The HTML of the report."""
    result, source = about.result, about.built.table.source
    drawn, parts_drawn = _drawn(about), _components_drawn(result)
    maps = [] if about.selection is None else _maps(about)
    parts = (
        verdict(result.status is Status.CERTIFIED, result.status.word.replace("_", " "), translate(result.message)),
        section("Fit", place("fit", "Figure of the fit")) if drawn else "",
        section("Components", paragraph(PARTS_SENTENCE, "soft"), _places(parts_drawn)) if parts_drawn else "",
        f'<div class="two">{section("Answer", pairs(_rows(about)))}{_residuals(about) if drawn else ""}</div>',
        section("What is proven", *map(paragraph, certificate_sentences(result))),
        _choice(about, maps),
        _comparison(about.check),
        section("Warnings", notes(map(translate, about.warnings))),
        section("To repeat it", *(code(content, label) for label, content in about.repeats.items())),
        section("Made by", made_by("hw4opt", about.origin)),
    )
    figures = ([{"place": "fit", **drawn}] if drawn else []) + parts_drawn
    data = {"figures": figures, "maps": maps, **({} if about.selection is None else _tried(about.selection))}
    return report_page("hw4opt", source, title(result, source), parts, data)


def _rows(about: Reported) -> list[tuple[str, str]]:
    rows = summary(about.result, about.selection, about.built, about.errors)
    return [(name, translate(value)) for name, value in rows if name != "status"]


# ---- the figure ------------------------------------------------------------------------------------------------------


def _drawn(about: Reported) -> dict[str, Any] | None:
    """Data and curve as the figure takes them; of several x columns, observed against fitted. None without a fit."""
    result = about.result
    one = np.asarray(result.problem.x).shape[1] == 1
    view = curve_view(result, about.truth, REPORT_POINTS) if one else _observed_view(result)
    if not (np.isfinite(view.curve).all() and np.isfinite(view.fitted).all()):
        return None
    return _figure(view) | {"bands": band_record(result) if one and result.problem.curves == 1 else None}


def _components_drawn(result: Result) -> list[dict[str, Any]]:
    """Every component of a sum, with partial residuals."""
    if not isinstance(result.problem.kernel, Sum) or not np.isfinite(result.fitted).all():
        return []
    found = []
    for k, component in enumerate(component_views(result, REPORT_POINTS)):
        figure = _figure(as_curve(component, result))
        figure["view"] |= {"ticks": component.levels, "names": [figure["data"]["xName"], figure["data"]["yName"]]}
        asked = f": {', '.join(component.terms)}" if component.terms else ""
        found.append({"place": f"part-{k}", "title": f"{component.name}{asked}", **figure})
    return found


def _places(figures: Sequence[Mapping[str, Any]]) -> str:
    inner = "".join(f"<div><h3>{text(one['title'])}</h3>{place(one['place'], one['title'])}</div>" for one in figures)
    return f'<div class="maps">{inner}</div>'


def _figure(view: CurveView) -> dict[str, Any]:
    """A view as the script draws it."""
    marked = view.outliers
    kept = _kept(len(view.rows), marked)
    data = {"x": short(view.x[kept]), "y": short(view.y[kept]), "xName": view.x_name, "yName": view.y_name}
    shown = {
        "rows": np.arange(len(kept)),
        "x": data["x"],
        "y": data["y"],
        "fitted": short(view.fitted[kept]),
        "curve_x": short(view.curve_x),
        "curve": short(view.curve),
        "bound": None if view.bound is None else short(view.bound),
        "outliers": np.searchsorted(kept, marked),
        "levels": view.levels,
        "level_curves": None if view.level_curves is None else [short(one) for one in view.level_curves],
    }
    truth = None if view.truth is None else {"x": short(view.truth_x), "y": short(view.truth)}
    return {"data": data, "view": shown, "truth": truth, "bands": None}


def _observed_view(result: Result) -> CurveView:
    """Observed targets over fitted ones, and the line where they are equal."""
    fitted, (_, target) = _middle(result), names_of(result)
    ends = np.array([fitted.min(), fitted.max()])
    names = f"fitted {target}", f"observed {target}"
    rows, observed = drawn_rows(result), observed_targets(result)
    return CurveView(rows, fitted, observed, fitted, ends, ends, None, None, None, None, *names)


def _middle(result: Result) -> Array:
    """The fit at the drawn rows, of several levels the middle one."""
    fitted, levels = fitted_values(result), result.problem.loss.levels
    return fitted[:, middle_level(levels)] if levels else fitted


def _kept(count: int, marked: np.ndarray) -> np.ndarray:
    """The places that are drawn: all, or a seeded part with those that are marked."""
    if count <= MAX_REPORT_ROWS:
        return np.arange(count)
    some = np.random.default_rng(0).choice(count, MAX_REPORT_ROWS, replace=False)
    return np.union1d(some, marked)


def _residuals(about: Reported) -> str:
    """The distribution of residuals, and outlying rows."""
    result = about.result
    observed, fitted, rows = observed_targets(result), _middle(result), drawn_rows(result)
    sizes = np.abs(observed - fitted)
    if not np.isfinite(sizes).all():
        return ""
    shares = [
        (f"{share:.0%} are below" if share < 1 else "largest", np.quantile(sizes, share)) for share in (0.5, 0.9, 1)
    ]
    x, marked = np.asarray(result.problem.x), {*outliers(sizes).tolist()}
    largest = np.argsort(-sizes, kind="stable")[:MOST_ROWS_LISTED]
    one = x.shape[1] == 1
    listed = [
        (
            f"{rows[k] + 1}{' ←' if k in marked else ''}",
            *([f"{x[rows[k], 0]:.5g}"] if one else []),
            f"{observed[k]:.5g}",
            f"{fitted[k]:.5g}",
            f"{observed[k] - fitted[k]:+.3g}",
        )
        for k in largest
    ]
    names, target = names_of(result)
    columns = ("row", *names[:1] * one, target, "fit", "residual")
    levels = result.problem.loss.levels
    return section(
        f"Residuals of level {levels[middle_level(levels)]:g}" if levels else "Residuals",
        pairs((f"sizes: {name}", f"{value:.4g}") for name, value in shares),
        paragraph("The largest ones; ← marks outliers. Rows are counted from 1.", "soft"),
        table(columns, listed),
    )


# ---- what is proven --------------------------------------------------------------------------------------------------


def certificate_sentences(result: Result) -> list[str]:
    """The certificate in plain words, and what it means for predictions."""
    certificate, bound = result.certificate, result.prediction_error_bound
    if certificate.gap is None or not np.isfinite(certificate.gap):
        return [f"Nothing is proven: {translate(result.message)}."]
    sentences = [
        f"The answer's objective is {certificate.objective:.10g}. A lower bound that no function can be below was "
        f"computed from its dual variables, and lies {certificate.gap:.2g} under it: no fit is better by more than "
        f"that, {number_text(certificate.relative_gap, 2)} of what the fit can explain."
    ]
    if certificate.violation:
        sentences.append(f"Constraints hold to {certificate.violation:.2g}.")
    elif result.problem.constraints:
        sentences.append("Every constraint holds at the data rows.")
    reason = certificate.norm_bound_reason or certificate.reason
    left_out = "" if reason is None else f" ({translate(reason)})"
    if bound is not None:
        sentences.append(
            f"Every prediction at a data row lies within {bound:.2g} of the exact optimum's{left_out}: further digits "
            "are not significant. This is the accuracy of the solution, not the uncertainty from the data."
        )
    elif reason is not None:
        sentences.append(f"No bound on predictions: {translate(reason)}.")
    return sentences


# ---- how it was chosen -----------------------------------------------------------------------------------------------


def _maps(about: Reported) -> list[dict[str, Any]]:
    """The map over two hyper-parameters, and what was tried along each."""
    assert about.selection is not None
    view = choice_view(about.selection.table)
    sets = [view.names] * (len(view.names) > 1) + [(name,) for name in view.names]
    return [{"place": f"map-{k}", "names": names} for k, names in enumerate(sets)]


def _tried(selection: Selection) -> dict[str, Any]:
    """Every setting that was tried, and the chosen one."""
    rows = [{key: _digits(value) for key, value in row.items()} for row in selection.table]
    return {"rows": rows, "here": {**selection.problem.hyperparameters, "score": selection.score}}


def _digits(value: Any) -> Any:
    return float(f"{value:.{SHOWN_DIGITS}g}") if isinstance(value, float) else value


def _choice(about: Reported, maps: Sequence[Mapping[str, Any]]) -> str:
    selection = about.selection
    if selection is None:
        return ""
    way = WAY_NAMES.get(selection.method, f"{selection.method.partition(':')[2]}-fold cross-validation")
    names = ", ".join(choice_view(selection.table).names) or "nothing"
    sentence = (
        f"{names} chosen by {way}: the {selection.metric} averaged over held-out rows is {selection.score:.6g}, with a "
        f"standard error of {selection.standard_error:.2g}; {len(selection.table)} settings, {selection.fits:,} fits, "
        f"{selection.seconds:.2f} s. The lowest error found slightly underestimates the error on new data."
    )
    places = "".join(place(one["place"], "Held-out errors of the settings tried") for one in maps)
    return section("How hyper-parameters were chosen", paragraph(sentence), f'<div class="maps">{places}</div>')


def _comparison(check: Crosscheck | None) -> str:
    if check is None:
        return ""
    rows = (
        (
            row.solver,
            row.status.replace("_", " "),
            number_text(row.objective, 10),
            number_text(row.relative_gap, 2),
            number_text(row.seconds, 2),
            translate(row.message) if row.status != Status.CERTIFIED.word else "",
        )
        for row in check.rows
    )
    message = "; ".join(check.faults) or "The solvers agree within their gaps."
    columns = ("solver", "status", "objective", "relative gap", "seconds", "")
    return section("Solvers compared", paragraph(translate(message)), table(columns, rows))
