"""Figures of one fit: its curve over the data, or fitted against observed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hw4opt.plotting.frame import DATA_COLOR, FIT_COLOR, MARK_COLOR, new_axes, note_color, plain, text_color
from hw4opt.plotting.labels import SpreadLabel
from hw4opt.solution import Solution
from hw4opt.terms import ComponentTerm, Likelihood, Term, own_term
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked
from hw4opt.validation.arrays import real_array
from hw4opt.views import (
    BAND_LABEL,
    Truth,
    band_view,
    curve_view,
    drawn_rows,
    drawn_values,
    fitted_values,
    middle_level,
    names_of,
    observed_targets,
    outliers,
)

MAX_POINTS_DRAWN = 20_000  # points drawn of larger data
TITLE_CHARACTERS = 86  # of a line of the title
NO_BREAK = "\N{NO-BREAK SPACE}"


@checked
def plot_fit(result: Solution, axes: Axes | None = None, truth: Truth | None = None) -> Axes:
    """Data, fit and (if given) truth, with the largest residuals marked; for several x columns, fitted over observed.

    Several curves are all drawn; with several x columns, the middle one, with the range between lowest and highest.
    If the problem has held-out fits, intervals of level 0.9 are drawn as well (not for counts with an offset, whose
    errors depend on each row's exposure, and not for fewer than 9 rows). Rows of weight 0 are not drawn.
    Targets of logistic fits are drawn as 0 and 1, and their fit as a probability; counts with an exposure as counts per
    unit of it.

    truth     f at the data rows, shape (n,), or a function of x
    """
    axes = new_axes() if axes is None else axes
    if result.problem.curves > 1:
        _draw_levels(result, axes)
    elif np.asarray(result.problem.x).shape[1] == 1:
        _draw_curve(result, axes, truth)
    else:
        _draw_observed(result, axes)
    _title(result, axes)
    plain(axes)
    return axes


@checked
def plot_predictions(result: Solution, x: ArrayLike, axes: Axes) -> Axes:
    """Add predictions at new x (m, d) to a fit's figure: on the curve, or for several columns along the axis of fitted
    values, there with the middle level of several."""
    predicted, x = drawn_values(result, result.predict(x)), real_array("x", x)
    if result.problem.x.shape[1] == 1:
        axes.scatter(
            np.repeat(x.ravel(), result.problem.curves),
            predicted.ravel(),
            marker="D",
            s=20,
            color=MARK_COLOR,
            alpha=0.8,
            linewidths=0,
            label="predictions",
            zorder=6,
        )
    else:
        bottom, levels = axes.get_ylim()[0], result.problem.loss.levels
        predicted = predicted[:, middle_level(levels)] if levels else predicted
        axes.scatter(
            predicted,
            np.full(len(predicted), bottom),
            marker="|",
            color=MARK_COLOR,
            label="predictions",
            zorder=6,
            clip_on=False,
        )
    axes.legend(frameon=False, loc="best")
    return axes


def draw_points(axes: Axes, x: Array, y: Array, label: str) -> None:
    """A cloud of (x, y); of a large one, a random sample with a fixed seed."""
    if len(x) > MAX_POINTS_DRAWN:
        kept = np.sort(np.random.default_rng(0).choice(len(x), MAX_POINTS_DRAWN, replace=False))
        label, x, y = f"{label} ({MAX_POINTS_DRAWN:,} of {len(x):,} rows)", x[kept], y[kept]
    few = len(x) <= 500
    axes.scatter(
        x,
        y,
        s=22 if few else 5,
        color=DATA_COLOR,
        alpha=0.85 if few else 0.3,
        linewidths=0,
        label=label,
        rasterized=not few,
        zorder=2,
    )


def _draw_curve(result: Solution, axes: Axes, truth: Truth | None) -> None:
    view = curve_view(result, truth)
    draw_points(axes, view.x, view.y, "data")
    if view.truth_x is not None and view.truth is not None:
        axes.plot(view.truth_x, view.truth, color=text_color(), lw=1.1, ls=(0, (4, 2)), label="truth", zorder=2)
    axes.plot(view.curve_x, view.curve, color=FIT_COLOR, lw=2, label="fit", zorder=3)
    if (band := view.band) is not None:
        x = view.curve_x[band.places]
        axes.fill_between(x, band.lower, band.upper, color=FIT_COLOR, alpha=0.15, lw=0, label=BAND_LABEL, zorder=1)
    _mark_residuals(axes, view.x, view.y, view.fitted)
    axes.set_xlabel(view.x_name)
    per = "" if result.names.exposure is None else f" per {result.names.exposure}"
    expected = result.problem.loss.expected if isinstance(result.problem.loss, Likelihood) else None
    axes.set_ylabel(view.y_name if expected is None else f"{expected} {view.y_name}{per}")
    axes.legend(frameon=False, loc="best")


def level_styles(levels: Sequence[float]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The index of every level and the style of its curve, from the highest level down; the middle one is strongest."""
    middle = middle_level(levels)
    for place in reversed(range(len(levels))):
        weight = {"lw": 2.0, "alpha": 1.0} if place == middle else {"lw": 1.2, "alpha": 0.75}
        yield place, {**weight, "label": f"level {levels[place]:g}"}


def _draw_levels(result: Solution, axes: Axes) -> None:
    """The curve of every level; for several x columns, the range of a row's levels over its middle one."""
    names, target = names_of(result)
    levels, marks = result.problem.loss.levels, dict[str, Any]()
    middle = middle_level(levels)
    if len(names) == 1:
        view = curve_view(result)
        assert view.level_curves is not None
        draw_points(axes, view.x, view.y, "data")
        at, curves = view.curve_x, view.level_curves
        axes.set_xlabel(names[0])
        axes.fill_between(at, curves[0], curves[-1], color=FIT_COLOR, alpha=0.1, lw=0, zorder=1)
    else:
        fitted = fitted_values(result)
        draw_points(axes, fitted[:, middle], observed_targets(result), "data")
        order = np.argsort(fitted[:, middle], kind="stable")
        at, curves = fitted[order, middle], fitted[order].T
        axes.set_xlabel(f"fitted level {levels[middle]:g} of {target}, from {', '.join(names[:4])}")
        marks = {"ls": "", "marker": "_", "ms": 4}
    for place, style in level_styles(levels):
        axes.plot(at, curves[place], color=FIT_COLOR, zorder=3, **style, **marks)
    axes.set_ylabel(target)
    axes.legend(frameon=False, loc="best")


def _draw_observed(result: Solution, axes: Axes) -> None:
    observed, fitted = observed_targets(result), fitted_values(result)
    draw_points(axes, fitted, observed, "data")
    ends = [fitted.min(), fitted.max()]
    axes.plot(ends, ends, color=FIT_COLOR, lw=1.5, label="fitted = observed", zorder=2)
    count = min(len(fitted), MAX_POINTS_DRAWN)
    some = np.argsort(fitted, kind="stable")[np.unique(np.linspace(0, len(fitted) - 1, count).astype(int))]
    if (band := band_view(result, result.problem.x[drawn_rows(result)[some]])) is not None:
        at = fitted[some[band.places]]
        axes.vlines(at, band.lower, band.upper, color=FIT_COLOR, alpha=0.2, lw=1, label=BAND_LABEL, zorder=1)
    _mark_residuals(axes, fitted, observed, fitted)
    names, target = names_of(result)
    axes.set_xlabel(f"fitted {target}, from {', '.join(names[:4])}{' …' if len(names) > 4 else ''}")
    axes.set_ylabel(f"observed {target}")
    axes.legend(frameon=False, loc="best")


def _mark_residuals(axes: Axes, x: Array, observed: Array, fitted: Array) -> None:
    edge = float(x.min() + 0.8 * np.ptp(x))
    marked = outliers(observed - fitted)
    label = "largest residual" + ("s" if len(marked) > 1 else "")
    axes.scatter(
        x[marked],
        observed[marked],
        s=80,
        facecolors="none",
        edgecolors=MARK_COLOR,
        linewidths=1.6,
        label=label,
        zorder=5,
    )
    labels: list[SpreadLabel] = []
    for row in marked[np.argsort(-(observed + fitted)[marked])]:  # from the top: a label without room moves down first
        at, ends = float(x[row]), (float(observed[row]), float(fitted[row]))
        axes.plot([at, at], ends, color=MARK_COLOR, lw=1.3, ls=":", zorder=4)
        words = f"residual {ends[0] - ends[1]:+.3g}".replace("-", "−")
        labels.append(SpreadLabel(axes, words, (at, sum(ends) / 2), at > edge, MARK_COLOR, tuple(labels)))


def _title(result: Solution, axes: Axes) -> None:
    problem = result.problem
    parts = [
        _description(problem.loss),
        *(_asked(term, names_of(result)[0]) for term in problem.constraints),
    ]
    parts += [f"{name} {value:.4g}" for name, value in problem.hyperparameters.items()]
    gap = result.certificate.relative_gap
    proof = "no proven gap" if gap is None else f"relative gap {gap:.1e}"
    lines = wrap(" · ".join(part.replace(" ", NO_BREAK) for part in parts), TITLE_CHARACTERS)
    axes.set_title("\n".join(lines).replace(NO_BREAK, " "), loc="left", fontsize=11, pad=20)
    axes.text(
        0,
        1.02,
        f"{result.status.word}, {proof}, n = {len(result.fitted):,}",
        transform=axes.transAxes,
        fontsize=9,
        color=note_color(),
    )


def _asked(term: Term, columns: Sequence[str]) -> str:
    """A constraint and its parameters; for one of a component, after the component's name."""
    owner = f"{term.component}." if isinstance(term, ComponentTerm) else ""
    return owner + _description(own_term(term), columns)


def _description(term: object, columns: Sequence[str] = ()) -> str:
    """A term and its parameters, as in huber delta=1; infinite bounds are left out, and columns are named."""
    given = {
        key: value
        for key, value in vars(term).items()
        if isinstance(value, int | float) and value is not False and math.isfinite(value)
    }
    several = {key: value for key, value in vars(term).items() if isinstance(value, tuple)}
    values = [
        key if value is True else f"{key}={columns[int(value)] if key == 'column' else f'{value:.4g}'}"
        for key, value in given.items()
    ]
    values += [f"{key}={', '.join(f'{one:.4g}' for one in value)}" for key, value in several.items()]
    return " ".join([getattr(term, "name", ""), *values])
