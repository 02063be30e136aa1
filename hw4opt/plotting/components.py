"""The figure of a sum: a panel per component, with partial residuals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hw4opt.plotting.fits import draw_points, level_styles
from hw4opt.plotting.frame import FIT_COLOR, note_color, plain
from hw4opt.solution import Solution
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked
from hw4opt.views import ComponentView, component_views, middle_level, names_of

MOST_PANELS_IN_A_ROW = 3
JITTER, BAR = 0.12, 0.3  # how far the points of a level, and its bar, reach to both sides of it


@checked
def plot_components(result: Solution) -> Figure:
    """Every component of a sum over its column, centered, with partial residuals: a curve; a bar per level of a
    categorical component; for one of several columns, partial residuals over its own values. For several quantiles,
    the curve of every level, and partial residuals of the middle one.

    The vertical scale, which all panels share, is that of the linear predictor. Rows of weight 0 are not drawn.
    Raises `InputError` for a fit that is not a sum.
    """
    views = component_views(result)
    across = min(len(views), MOST_PANELS_IN_A_ROW)
    down = math.ceil(len(views) / across)
    figure = Figure(figsize=(max(4.3 * across, 6.5), 3.9 * down + 0.4), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes, view in zip(panels, views, strict=False):
        _draw(axes, view, result.problem.loss.levels)
        plain(axes)
    for axes in panels[len(views) :]:
        axes.set_visible(False)
    for axes in panels[::across]:
        axes.set_ylabel(f"part of {names_of(result)[1]}")
    gap = result.certificate.relative_gap
    proof = "no proven gap" if gap is None else f"relative gap {gap:.1e}"
    figure.suptitle(
        f"{result.problem.loss.name} loss, {result.status.word}, {proof}, n = {len(result.fitted):,}",
        fontsize=10,
        color=note_color(),
    )
    return figure


def _draw(axes: Axes, view: ComponentView, quantiles: Sequence[float]) -> None:
    axes.set_title(": ".join([view.name, *([", ".join(view.terms)] if view.terms else [])]), loc="left", fontsize=11)
    axes.set_xlabel(", ".join(view.columns))
    middle = f"level {quantiles[middle_level(quantiles)]:g}" if quantiles else ""
    points = f"partial residuals of {middle}" if middle else "partial residuals"
    if view.curve_x is None or view.curve is None:
        ends = [view.x.min(), view.x.max()]
        draw_points(axes, view.x, view.partial, points)
        axes.plot(ends, ends, color=FIT_COLOR, lw=2, label=middle or "component", zorder=3)
        axes.set_xlabel(f"component of {', '.join(view.columns)}")
    elif view.levels is not None:
        spread = np.random.default_rng(0).uniform(-JITTER, JITTER, len(view.x))
        places = np.arange(len(view.curve_x))
        draw_points(axes, np.searchsorted(view.curve_x, view.x) + spread, view.partial, points)
        for curve, style in _curves(view.curve, quantiles):
            style["lw"] *= 1.5
            axes.hlines(curve, places - 2.5 * JITTER, places + 2.5 * JITTER, FIT_COLOR, zorder=3, **style)
        axes.set_xticks(places, view.levels)
    else:
        draw_points(axes, view.x, view.partial, points)
        for curve, style in _curves(view.curve, quantiles):
            axes.plot(view.curve_x, curve, color=FIT_COLOR, zorder=3, **style)
    if view.levels is None:
        axes.locator_params(axis="x", nbins=6)
    axes.legend(frameon=False, loc="best", fontsize=9)


def _curves(curve: Array, quantiles: Sequence[float]) -> Iterator[tuple[Array, dict[str, Any]]]:
    """Every curve of a component and its line style, the highest level first."""
    if not quantiles:
        yield curve, {"lw": 2.0, "label": "component"}
        return
    for place, style in level_styles(quantiles):
        yield curve[:, place], style
