"""Fits, held-out errors and choices as the records that the page draws."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hw4cli.opt.build_problem import BuiltProblem
from hw4cli.opt.explorer.state import State
from hw4cli.opt.fit_warnings import fit_warnings
from hw4cli.opt.option_syntax import LogRange, parse_range
from hw4cli.opt.outputs import searched
from hw4cli.opt.repeat import command_text, given_words, python_text
from hw4cli.opt.select_hyperparameters import select_with_options, with_full_name
from hw4cli.opt.solve import solver_arguments
from hw4cli.translate import translate
from hw4opt import InputError, Problem, Result, Status, fit
from hw4opt.design import Design
from hw4opt.terms.base import Array
from hw4opt.views import (
    BAND_LABEL,
    ComponentView,
    CurveView,
    component_view,
    curve_view,
    drawn_rows,
    fitted_values,
    middle_level,
    names_of,
    observed_targets,
)

if TYPE_CHECKING:
    from hw4opt.selection import Selection

EXPLORED_POINTS = 400  # of the curve, besides the data's own x
MAX_LEFT_OUT = 1_000  # rows up to which the held-out error of a fit is that of leave-one-out, else of 10 folds
DRAWN_DIGITS = 7  # of the range that is drawn: zoomed in, a pixel is a forty-thousandth of it, and values are read off
MOST_DIGITS = 300
HALF_BAR = 0.3  # of the piece that is drawn of a level
SLIDER_REACH = 30.0  # times: how far a slider goes on beyond the range that a search starts with

Truth = Callable[[Array], Array]


def solved(state: State, built: BuiltProblem, before: Problem | None = None) -> Result:
    """The fit, with the names of its columns; it reuses the basis of the previous problem if that is the same."""
    if before is not None and _same_basis(before.design, built.problem.design):
        built.problem.share_design(before.design)
    result = fit(built.problem, **solver_arguments(state.solver))
    return dataclasses.replace(result, context=built.context)


def _same_basis(one: Design, other: Design) -> bool:
    """Whether two designs are of the same rows, kernel and functionals; none has some at points beside the data."""
    names = ("kernel", "intercept", "slopes", "curves", "acting")  # the last of sums alone
    alike = all(getattr(one, name, None) == getattr(other, name, None) for name in names)
    if not alike or one.appended or other.appended or (one.spread is None) != (other.spread is None):
        return False
    same_spread = one.spread is None or other.spread is None or np.array_equal(one.spread, other.spread)
    return same_spread and np.array_equal(one.x, other.x)


def fit_record(state: State, before: Problem | None = None) -> tuple[dict[str, Any], BuiltProblem, Result]:
    """The fit as it is drawn, with what proves it and what repeats it; before: the problem that was fitted before."""
    began = time.perf_counter()
    built = state.built()
    result = solved(state, built, before)
    certificate = result.certificate
    targets = built.columns.without_dropped(built.columns.y)
    record = {
        "view": drawn(state, result, targets),
        "status": result.status.word,
        "certified": result.status is Status.CERTIFIED,
        "message": translate(result.message),
        "solver": result.solver,
        "objective": result.objective,
        "relative_gap": certificate.relative_gap,
        "exact_to": result.prediction_error_bound,
        "shapes": [proof.sentence(str(state.options.x)) for proof in result.shapes],
        "rank": result.rank,
        "iterations": result.iterations,
        "hyperparameters": result.problem.hyperparameters,
        "automatic": dict(built.automatic),
        "warnings": [translate(sentence) for sentence in built.warnings],
        "command": command_text(["solve", *solve_words(state)]),
        "python": python_text(built, state.options),
    }
    return record | {"seconds": result.seconds, "all_seconds": time.perf_counter() - began}, built, result


def drawn(state: State, result: Result, targets: Array) -> dict[str, Any]:
    """What the page draws: the curve, or the shown component of a sum over its column, with partial residuals."""
    if not state.components:
        return view_record(curve_view(result, points=EXPLORED_POINTS), targets)
    component = component_view(result, state.shown, EXPLORED_POINTS)
    view = as_curve(component, result)
    fixed = state.x_name is None  # then the page does not know where its points are
    record = {"x": view.x if fixed else None, "ticks": component.levels, "names": [view.x_name, view.y_name]}
    return view_record(view, targets) | record


def as_curve(component: ComponentView, result: Result) -> CurveView:
    """A component as a curve, of quantiles as one each; of several columns over its own values, of levels as bars."""
    at, x_name, levels = component.curve_x, component.columns[0], result.problem.loss.levels
    if at is None or component.curve is None:
        at = np.array([component.fitted.min(), component.fitted.max()])
        curves, levels, x_name = at[:, None], (), f"component of {', '.join(component.columns)}"
    else:
        curves = component.curve.reshape(len(at), -1)
        if component.levels is not None:
            at, curves = (at[:, None] + [-HALF_BAR, HALF_BAR, HALF_BAR]).ravel(), np.repeat(curves, 3, axis=0)
            curves[2::3] = np.nan
    quantiles = result.problem.loss.levels
    points = f", points of level {quantiles[middle_level(quantiles)]:g}" if quantiles else ""
    return CurveView(
        rows=drawn_rows(result),
        x=component.x,
        y=component.partial,
        fitted=component.fitted,
        curve_x=at,
        curve=curves[:, middle_level(levels)],
        bound=None,
        truth_x=None,
        truth=None,
        band=None,
        x_name=x_name,
        y_name=f"part of {names_of(result)[1]}{points}",
        levels=levels,
        level_curves=curves.T if levels else None,
    )


def solve_words(state: State) -> list[str]:
    """The words of `hw4opt solve` that make this fit."""
    from hw4cli.opt.solve import command

    x = None if state.options.data is None else state.options.x
    return given_words(command, {**vars(state.options), **vars(state.solver), "x": x, "select": "none"})


def view_record(view: CurveView, targets: Array) -> dict[str, Any]:
    """The view as the page draws it, with digits that the eye can tell apart.

    What the page has is null: rows, where all of its rows are drawn, and y, where they are drawn as its `targets` are.
    """
    digits = _digits(np.concatenate([view.curve, view.y]))
    short = {name: np.round(getattr(view, name), digits) for name in ("fitted", "curve")}
    same = np.array_equal(view.y, targets[view.rows])
    return short | {
        "rows": None if len(view.rows) == len(targets) else view.rows,
        "y": None if same else view.y,
        "curve_x": view.curve_x,
        "bound": None if view.bound is None else np.round(view.bound, digits),
        "outliers": view.outliers,
        "levels": view.levels,
        "level_curves": None if view.level_curves is None else np.round(view.level_curves, digits),
    }


def _digits(values: Array) -> int:
    """Digits behind the point that a drawing of these values shows."""
    finite = values[np.isfinite(values)]
    spread = float(np.ptp(finite)) if len(finite) else 0.0
    return DRAWN_DIGITS - int(np.clip(math.ceil(math.log10(spread or 1.0)), -MOST_DIGITS, MOST_DIGITS))


def fitted_record(state: State) -> dict[str, Any]:
    """The columns of the data, the fit and its residuals, with every digit."""
    built = state.built()
    result = solved(state, built)
    rows, fitted, observed = drawn_rows(result), fitted_values(result), observed_targets(result)
    columns = {name: np.asarray(column)[rows] for name, column in state.data(built)["columns"].items()}
    if levels := result.problem.loss.levels:
        return {"columns": columns | {f"fitted {level:g}": f for level, f in zip(levels, fitted.T, strict=True)}}
    return {"columns": columns | {"fitted": fitted, "residual": observed - fitted}}


def beside_record(state: State, built: BuiltProblem, result: Result, bands: bool = False) -> dict[str, Any]:
    """What takes longer than the fit: the held-out error of its setting, and warnings on what it may hide.

    bands    whether intervals are asked for, too
    """
    record: dict[str, Any] = {"warnings": [translate(one) for one in fit_warnings(result, built.automatic)]}
    with_band = bands and not state.components and result.problem.curves == 1  # intervals are around one curve
    try:
        folds = "loo" if len(built.problem.active_x) <= MAX_LEFT_OUT else "kfold:10"
        method = folds if state.selection.select in ("auto", "none") else state.selection.select
        options = dataclasses.replace(state.selection, select=method, search="zoom", one_se=False, keep_folds=with_band)
        selection = select_with_options(built, built.problem, (), {}, options, state.options.seed)
    except InputError as error:
        return record | {"held_out": None, "reason": translate(str(error))}
    if with_band:
        record["band"] = band_record(solved(state, dataclasses.replace(built, problem=selection.problem)))
    return record | {"held_out": selection.score, "standard_error": selection.standard_error, **_way(selection)}


def band_record(result: Result) -> dict[str, Any] | None:
    """Intervals along the curve, None where there are none."""
    view = curve_view(result, points=EXPLORED_POINTS)
    if view.band is None:
        return None
    ends = {"lower": view.band.lower, "upper": view.band.upper}
    return {"x": view.curve_x[view.band.places], **ends, "name": BAND_LABEL}


def choice_record(state: State, progress: Callable[[int, int, float], None]) -> tuple[dict[str, Any], Selection]:
    """The hyper-parameters of the lowest held-out error, and everything that was tried."""
    built = state.built()
    ranges = _ranges(state, built)
    names = [name for name in built.problem.hyperparameters if not state.components or name in built.given]
    options = state.selection
    if options.select == "none":
        options = dataclasses.replace(options, select="auto")
    selection = select_with_options(built, built.problem, names, ranges, options, state.options.seed, progress)
    chosen = {**selection.problem.hyperparameters, **searched(selection.problem, selection)}
    record = {"hyperparameters": chosen, "score": selection.score, "standard_error": selection.standard_error}
    record |= {"table": selection.table, "fits": selection.fits, "seconds": selection.seconds}
    return record | {"notes": [translate(note) for note in selection.notes], **_way(selection)}, selection


def _way(selection: Selection) -> dict[str, Any]:
    return {"method": selection.method, "metric": selection.metric}


def _ranges(state: State, built: BuiltProblem) -> dict[str, LogRange]:
    spans = (parse_range("--grid", text) for text in state.selection.grid)
    free = dataclasses.replace(built, given=frozenset())  # on the page every hyper-parameter has a value
    return {span.name: span for span in (with_full_name(free, "--grid", span) for span in spans)}


def slider_ranges(problem: Problem) -> dict[str, list[float]]:
    """Lowest and highest value of the slider of every hyper-parameter."""
    from hw4opt.selection.ranges import default_range

    found: dict[str, list[float]] = {}
    for name in problem.hyperparameters:
        low, high = default_range(problem, name)
        reach = 1.0 if name.endswith("gamma") else SLIDER_REACH
        found[name] = [low / reach, high * reach]
    return found


def starting_values(problem: Problem, free: tuple[str, ...]) -> dict[str, float]:
    """The middle of the default range, of every hyper-parameter that was not given."""
    from hw4opt.selection.ranges import default_range

    spans = {name: default_range(problem, name) for name in free}
    return {name: float(f"{np.sqrt(low * high):.2g}") for name, (low, high) in spans.items()}
