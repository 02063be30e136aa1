"""Fits, held-out errors and choices as the records that the page draws."""

from __future__ import annotations

import dataclasses
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
from hw4opt.terms.base import Array
from hw4opt.views import BAND_LABEL, CurveView, curve_view

if TYPE_CHECKING:
    from hw4opt.selection import Selection

EXPLORED_POINTS = 400  # of the curve, besides the data's own x
MAX_LEFT_OUT = 1_000  # rows up to which the held-out error of a fit is that of leave-one-out, else of 10 folds
SLIDER_REACH = 30.0  # times: how far a slider goes on beyond the range that a search starts with

Truth = Callable[[Array], Array]


def solved(state: State, built: BuiltProblem) -> Result:
    """The fit, with the names of its columns."""
    result = fit(built.problem, **solver_arguments(state.solver))
    return dataclasses.replace(result, context=built.context)


def fit_record(state: State, truth: Truth | None = None) -> tuple[dict[str, Any], BuiltProblem, Result]:
    """The fit as it is drawn, with what proves it and what repeats it."""
    began = time.perf_counter()
    built = state.built()
    result = solved(state, built)
    certificate = result.certificate
    record = curve_record(curve_view(result, truth, EXPLORED_POINTS)) | {
        "status": result.status.word,
        "certified": result.status is Status.CERTIFIED,
        "message": translate(result.message),
        "solver": result.solver,
        "objective": result.objective,
        "relative_gap": certificate.relative_gap,
        "exact_to": result.prediction_error_bound,
        "rank": result.rank,
        "iterations": result.iterations,
        "hyperparameters": result.problem.hyperparameters,
        "automatic": dict(built.automatic),
        "warnings": [translate(sentence) for sentence in built.warnings],
        "command": command_text(["solve", *solve_words(state)]),
        "python": python_text(built, state.options),
    }
    return record | {"seconds": result.seconds, "all_seconds": time.perf_counter() - began}, built, result


def solve_words(state: State) -> list[str]:
    """The words of `hw4opt solve` that make this fit."""
    from hw4cli.opt.solve import command

    x = None if state.options.data is None else state.options.x
    return given_words(command, {**vars(state.options), **vars(state.solver), "x": x, "select": "none"})


def curve_record(view: CurveView) -> dict[str, Any]:
    """The curve and the points of a view."""
    drawn = {item.name: getattr(view, item.name) for item in dataclasses.fields(view) if item.name != "band"}
    return {"view": drawn | {"outliers": view.outliers}}


def beside_record(state: State, built: BuiltProblem, result: Result, bands: bool = False) -> dict[str, Any]:
    """What takes longer than the fit: the held-out error of its setting, and warnings on what it may hide.

    bands    whether intervals are asked for, too
    """
    record: dict[str, Any] = {"warnings": [translate(one) for one in fit_warnings(result, built.automatic)]}
    try:
        folds = "loo" if len(built.problem.active_x) <= MAX_LEFT_OUT else "kfold:10"
        method = folds if state.selection.select in ("auto", "none") else state.selection.select
        options = dataclasses.replace(state.selection, select=method, search="zoom", one_se=False, keep_folds=bands)
        selection = select_with_options(built, built.problem, (), {}, options, state.options.seed)
    except InputError as error:
        return record | {"held_out": None, "reason": translate(str(error))}
    if bands:
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
    names = list(built.problem.hyperparameters)
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
        reach = 1.0 if name == "gamma" else SLIDER_REACH
        found[name] = [low / reach, high * reach]
    return found


def starting_values(problem: Problem, free: tuple[str, ...]) -> dict[str, float]:
    """The middle of the default range, of every hyper-parameter that was not given."""
    from hw4opt.selection.ranges import default_range

    spans = {name: default_range(problem, name) for name in free}
    return {name: float(f"{np.sqrt(low * high):.2g}") for name, (low, high) in spans.items()}
