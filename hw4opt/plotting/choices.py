"""Figures of a search: held-out scores along one hyper-parameter or over two, and the fits along a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hw4opt.errors import InputError, shown
from hw4opt.plotting.fits import draw_points, plot_fit
from hw4opt.plotting.frame import DATA_COLOR, FIT_COLOR, MARK_COLOR, figure_of, finite, new_axes, note_color, plain
from hw4opt.problem.hyperparameters import RIDGE
from hw4opt.solution import Solution
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked, is_finite
from hw4opt.views import CURVE_POINTS, SCORED, Truth, drawn_rows, drawn_values, names_of, observed_targets


@checked
def plot_choice(result: Solution, table: Sequence[Mapping[str, float]], truth: Truth | None = None) -> Figure:
    """The fit, and beside it the held-out scores: along the one hyper-parameter chosen, or a heat map over two.

    The map is over the first one and the next that is not the ridge, if any; scores are the lowest over all others.
    """
    _check_table(table)
    varied = [name for name in table[0] if name not in SCORED and len({row[name] for row in table}) > 1]
    if not varied:
        return figure_of(plot_fit(result, truth=truth))
    figure = Figure(figsize=(13.5, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(7, 5))
    plot_fit(result, left, truth)
    if len(varied) == 1:
        plot_scores(table, varied[0], right)
    else:
        others = [name for name in varied[1:] if name != RIDGE] or varied[1:]
        plot_heatmap(table, varied[0], others[0], right)
    return figure


@checked
def plot_path(
    results: Sequence[Solution],
    name: str,
    values: Sequence[float],
    scores: Sequence[float | None],
    errors: Sequence[float | None],
) -> Figure:
    """Held-out scores with their standard errors along one hyper-parameter and, for one x column, the fits."""
    sizes = len(results), len(values), len(scores), len(errors)
    if not results or len(set(sizes)) > 1:
        raise InputError(f"results, values, scores and errors have {sizes} entries; give as many of each, at least one")
    one_column = np.asarray(results[0].problem.x).shape[1] == 1
    figure = Figure(figsize=(12 if one_column else 7, 4.8), layout="constrained")
    spots = figure.subplots(1, 2 if one_column else 1, squeeze=False)[0]
    known = np.array([np.nan if score is None else score for score in scores])
    best = int(np.nanargmin(known)) if np.isfinite(known).any() else None
    if one_column:
        _draw_family(spots[0], name, values, results, best)
    if best is None:
        spots[-1].plot(values, [result.objective for result in results], color=FIT_COLOR, marker="o", ms=4, lw=1.6)
        spots[-1].set_ylabel("objective")
    else:
        _draw_scores(
            spots[-1],
            name,
            np.array(values),
            known,
            np.array([np.nan if error is None else error for error in errors]),
            best,
        )
    spots[-1].set_xscale("log")
    spots[-1].set_xlabel(name)
    for axes in spots:
        plain(axes)
    return figure


@checked
def plot_scores(table: Sequence[Mapping[str, float]], name: str, axes: Axes | None = None) -> Axes:
    """Held-out score with its standard error along one hyper-parameter, with the lowest marked.

    table     rows with the hyper-parameter, `score` and `standard_error`, as `Selection.table`
    """
    _check_table(table, name)
    axes = new_axes() if axes is None else axes
    rows = sorted(table, key=lambda row: row[name])
    values, scores, errors = (np.array([row[key] for row in rows]) for key in (name, "score", "standard_error"))
    axes.set(xscale="log", xlabel=name)
    plain(axes)
    if not np.isfinite(scores).any():
        return _no_score(axes)
    _draw_scores(axes, name, values, scores, errors, int(np.nanargmin(finite(scores))))
    bounds = np.array([bool(row.get("dropped")) for row in rows])
    if bounds.any():
        axes.plot(values[bounds], scores[bounds], "^", color=DATA_COLOR, ms=7, zorder=3, label="at least (dropped)")
        axes.legend(frameon=False)
    return axes


@checked
def plot_heatmap(table: Sequence[Mapping[str, float]], across: str, up: str, axes: Axes | None = None) -> Axes:
    """Held-out score over two hyper-parameters, the best over the others, with the lowest marked.

    The color of a point is that of the nearest tried setting on log axes, so that refined grids show as they are; it is
    blank where no score is finite.

    table     rows with the hyper-parameters and `score`, as `Selection.table`
    """
    from scipy.interpolate import NearestNDInterpolator

    _check_table(table, across, up)
    axes = new_axes() if axes is None else axes
    best: dict[tuple[float, float], float] = {}
    for row in table:
        spot = (row[across], row[up])
        best[spot] = min(best.get(spot, np.inf), row["score"])
    points, scores = np.log10(np.array(list(best))), finite(np.array(list(best.values())))
    known = scores[np.isfinite(scores)]
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    if not known.size:
        return _no_score(axes)
    grids = [np.linspace(points[:, k].min(), points[:, k].max(), 240) for k in (0, 1)]
    mesh = np.meshgrid(*grids)
    nearest = NearestNDInterpolator(points, scores, rescale=True)(*mesh)
    top = max(float(np.quantile(known, 0.9)), float(known.min()) * 1.01)  # beyond, scores share one color
    scale = LogNorm(float(known.min()), top) if known.min() > 0 else None
    image = axes.pcolormesh(
        10 ** mesh[0], 10 ** mesh[1], nearest, norm=scale, cmap="viridis_r", shading="nearest", rasterized=True
    )
    axes.plot(*10**points.T, ".", color="white", ms=2, alpha=0.5)
    chosen = points[np.nanargmin(scores)]
    axes.plot(*10**chosen, marker="*", ms=16, color=MARK_COLOR, mec="white", mew=0.8)
    lowest = ", ".join(f"{name} = {10**value:.4g}" for name, value in zip((across, up), chosen, strict=True))
    axes.set_title(f"lowest held-out score at {lowest}", loc="left", fontsize=11)
    others = [name for name in table[0] if name not in (across, up, *SCORED)]
    label = "held-out score" + (f" (lowest over {', '.join(others)})" if others else "")
    label += ", at least, where dropped" if any(row.get("dropped") for row in table) else ""
    figure_of(axes).colorbar(image, ax=axes, label=label, extend="max" if known.max() > top else "neither")
    return axes


def _check_table(table: Sequence[Mapping[str, float]], *names: str) -> None:
    """Raise `InputError` unless there is a row, and each has a score and a number above 0 under these names."""
    if not len(table):
        raise InputError("table has no rows; give rows as those of Selection.table")
    for name in (*SCORED[:2], *names):
        if not all((name in SCORED and name in row) or (is_finite(row.get(name)) and row[name] > 0) for row in table):
            raise InputError(
                f"table has a row without a number above 0 for {shown(name)}; give rows as those of Selection.table"
            )


def _draw_family(axes: Axes, name: str, values: Sequence[float], results: Sequence[Solution], best: int | None) -> None:
    x: Array = np.asarray(results[0].problem.x)[:, 0]
    dense = np.linspace(x.min(), x.max(), CURVE_POINTS // 2)
    draw_points(axes, x[drawn_rows(results[0])], observed_targets(results[0]), "data")
    shades = ScalarMappable(LogNorm(min(values), max(values)), colormaps["viridis"])
    for color, result in zip(shades.to_rgba(np.array(values)), results, strict=True):
        axes.plot(dense, drawn_values(result, result.predict(dense)), color=color, lw=1.3, alpha=0.9)
    if best is not None:
        line, *_ = axes.plot(dense, drawn_values(results[best], results[best].predict(dense)), color=MARK_COLOR, lw=2.2)
        line.set_label("lowest held-out error")
    figure_of(axes).colorbar(shades, ax=axes, label=name, pad=0.02)
    names, target = names_of(results[0])
    axes.set_xlabel(names[0])
    axes.set_ylabel(target)
    axes.set_title(f"fits along {name}", loc="left", fontsize=11)
    axes.legend(frameon=False, loc="best")


def _draw_scores(axes: Axes, name: str, values: Array, scores: Array, errors: Array, best: int) -> None:
    axes.errorbar(
        values,
        finite(scores),
        yerr=finite(errors),
        color=FIT_COLOR,
        marker="o",
        ms=4,
        lw=1.6,
        elinewidth=0.9,
        ecolor=DATA_COLOR,
        capsize=2,
    )
    axes.scatter(
        [values[best]], [scores[best]], s=110, facecolors="none", edgecolors=MARK_COLOR, linewidths=1.6, zorder=4
    )
    axes.set_ylabel("held-out error, ± one standard error")
    axes.set_title(f"lowest at {name} = {values[best]:.4g}", loc="left", fontsize=11)


def _no_score(axes: Axes) -> Axes:
    axes.set(xscale="linear", yscale="linear", xticks=[], yticks=[])
    axes.text(0.5, 0.5, "no finite score", transform=axes.transAxes, ha="center", va="center", color=note_color())
    return axes
