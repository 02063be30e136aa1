"""Figures of fits, paths and comparisons, on matplotlib's object interface: nothing is shown, no global state is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from hw4opt.result import Result
from hw4opt.terms import Smooth
from hw4opt.terms.base import Array


class SolverRow(Protocol):
    """What a comparison shows of one solver's answer; `hw4opt.crosscheck.Row` is one."""

    @property
    def solver(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def relative_gap(self) -> float | None: ...
    @property
    def seconds(self) -> float | None: ...


Truth = Array | Callable[[Array], Array]

DATA, FIT, TRUE, MARK, QUIET = "#8a97a6", "#0b5fa5", "#2b2b2b", "#d1495b", "#5c6670"
DENSE = 2_000  # points of a drawn curve, besides the data's own x
MANY = 20_000  # points drawn of larger data
FAR = 6.0  # times the usual size of a residual: an outlier
MOST_MARKS = 3


def plot_fit(result: Result, axes: Axes | None = None, truth: Truth | None = None) -> Axes:
    """Data, fit and (if given) truth, with the largest residuals marked; of several x columns, fitted against observed.

    truth     f at the data rows, shape (n,), or a function of x
    Targets of logistic fits are drawn as 0 and 1, and their fit as a probability; counts with an exposure as counts per unit of it.
    """
    axes = _new_axes() if axes is None else axes
    observed, fitted = _observed(result), _shown(result, result.fitted - _offset(result))
    if np.asarray(result.problem.x).shape[1] == 1:
        _draw_curve(result, axes, observed, fitted, truth)
    else:
        _draw_observed(result, axes, observed, fitted)
    _title(result, axes)
    _plain(axes)
    return axes


def plot_predictions(result: Result, x: Array, axes: Axes) -> Axes:
    """Add a fit's predictions at new x (m, d) to its figure: on the curve, or as a strip along the fitted axis of several columns."""
    predicted = _shown(result, result.predict(x))
    if x.shape[1] == 1:
        axes.scatter(x[:, 0], predicted, marker="D", s=20, color=MARK, alpha=0.8, linewidths=0, label="predictions", zorder=6)
    else:
        bottom = axes.get_ylim()[0]
        axes.scatter(predicted, np.full(len(predicted), bottom), marker="|", color=MARK, label="predictions", zorder=6, clip_on=False)
    axes.legend(frameon=False, loc="best")
    return axes


def plot_path(
    results: Sequence[Result], name: str, values: Sequence[float], scores: Sequence[float | None], errors: Sequence[float | None]
) -> Figure:
    """Held-out scores with their standard errors along one hyper-parameter and, of one x column, the fits themselves."""
    one_column = np.asarray(results[0].problem.x).shape[1] == 1
    figure = Figure(figsize=(12 if one_column else 7, 4.8), layout="constrained")
    spots = figure.subplots(1, 2 if one_column else 1, squeeze=False)[0]
    known = np.array(scores, dtype=float)
    best = int(np.nanargmin(known)) if np.isfinite(known).any() else None
    if one_column:
        _draw_family(spots[0], name, values, results, best)
    if best is None:
        spots[-1].plot(values, [result.objective for result in results], color=FIT, marker="o", ms=4, lw=1.6)
        spots[-1].set_ylabel("objective")
    else:
        _draw_scores(spots[-1], name, np.array(values), known, np.array(errors, dtype=float), best)
    spots[-1].set_xscale("log")
    spots[-1].set_xlabel(name)
    for axes in spots:
        _plain(axes)
    return figure


def plot_heatmap(table: Sequence[Mapping[str, float]], across: str, up: str, axes: Axes | None = None) -> Axes:
    """Held-out score over two hyper-parameters, the best over the others, with the lowest marked. Every tried setting is a point of a
    nearest-neighbour map on log axes, so that refined grids are drawn as they are; it is blank where no score is finite.

    table     rows with the hyper-parameters and `score`, as `Selection.table`
    """
    from scipy.interpolate import NearestNDInterpolator

    axes = _new_axes() if axes is None else axes
    best: dict[tuple[float, float], float] = {}
    for row in table:
        spot = (row[across], row[up])
        best[spot] = min(best.get(spot, np.inf), row["score"])
    points, scores = np.log10(np.array(list(best))), _finite(np.array(list(best.values())))
    known = scores[np.isfinite(scores)]
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    if not known.size:
        return _no_score(axes)
    grids = [np.linspace(points[:, k].min(), points[:, k].max(), 240) for k in (0, 1)]
    mesh = np.meshgrid(*grids)
    shown = NearestNDInterpolator(points, scores, rescale=True)(*mesh)
    top = max(float(np.quantile(known, 0.9)), float(known.min()) * 1.01)  # a few hopeless settings would take all the colors
    scale = LogNorm(float(known.min()), top) if known.min() > 0 else None
    image = axes.pcolormesh(10 ** mesh[0], 10 ** mesh[1], shown, norm=scale, cmap="viridis_r", shading="nearest", rasterized=True)
    axes.plot(*10**points.T, ".", color="white", ms=2, alpha=0.5)
    chosen = points[np.nanargmin(scores)]
    axes.plot(*10**chosen, marker="*", ms=16, color=MARK, mec="white", mew=0.8)
    lowest = ", ".join(f"{name} = {10**value:.4g}" for name, value in zip((across, up), chosen, strict=True))
    axes.set_title(f"lowest held-out score at {lowest}", loc="left", fontsize=11)
    others = [name for name in table[0] if name not in (across, up, "score", "standard_error")]
    label = "held-out score" + (f" (lowest over {', '.join(others)})" if others else "")
    figure_of(axes).colorbar(image, ax=axes, label=label, extend="max" if known.max() > top else "neither")
    return axes


def plot_scores(table: Sequence[Mapping[str, float]], name: str, axes: Axes | None = None) -> Axes:
    """Held-out score with its standard error along one hyper-parameter, with the lowest marked; `table` as `Selection.table`."""
    axes = _new_axes() if axes is None else axes
    rows = sorted(table, key=lambda row: row[name])
    values, scores, errors = (np.array([row[key] for row in rows]) for key in (name, "score", "standard_error"))
    axes.set(xscale="log", xlabel=name)
    _plain(axes)
    if not np.isfinite(scores).any():
        return _no_score(axes)
    _draw_scores(axes, name, values, scores, errors, int(np.nanargmin(_finite(scores))))
    return axes


def plot_choice(result: Result, table: Sequence[Mapping[str, float]], truth: Truth | None = None) -> Figure:
    """The fit, and beside it how its hyper-parameters were chosen: the scores along one of them, or a heat map over two (a third, or more,
    at its best: the penalty that is not the ridge before the ridge)."""
    varied = [name for name in table[0] if name not in ("score", "standard_error") and len({row[name] for row in table}) > 1]
    if not varied:
        return figure_of(plot_fit(result, truth=truth))
    figure = Figure(figsize=(13.5, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(7, 5))
    plot_fit(result, left, truth)
    if len(varied) == 1:
        plot_scores(table, varied[0], right)
    else:
        others = [name for name in varied[1:] if name != "ridge"] or varied[1:]
        plot_heatmap(table, varied[0], others[0], right)
    return figure


def plot_check(rows: Sequence[SolverRow]) -> Figure:
    """Relative gap and seconds of every solver that gave an answer."""
    solved = [row for row in rows if row.relative_gap is not None and row.seconds is not None]
    figure = Figure(figsize=(9, 1.2 + 0.36 * max(len(solved), 2)), layout="constrained")
    gaps, times = figure.subplots(1, 2, sharey=True)
    names = [row.solver for row in solved]
    colors = [FIT if row.status == "certified" else MARK for row in solved]
    for axes, sizes, label in (
        (gaps, [max(row.relative_gap or 0.0, 1e-17) for row in solved], "relative gap"),
        (times, [row.seconds or 0.0 for row in solved], "seconds"),
    ):
        axes.set_xscale("log")
        axes.hlines(names, min(sizes, default=1) / 3, sizes, color=DATA, lw=1)
        axes.scatter(sizes, names, c=colors, s=36, zorder=3)
        axes.xaxis.set_major_locator(LogLocator(numticks=7))
        axes.set_xlabel(label)
        _plain(axes)
    gaps.invert_yaxis()
    gaps.set_title("certified" if MARK not in colors else "certified (blue) and not (red)", loc="left", fontsize=10)
    return figure


def figure_of(axes: Axes) -> Figure:
    """The figure that holds the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _new_axes() -> Axes:
    return Figure(figsize=(8, 5), layout="constrained").add_subplot()


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)


def _finite(values: Array) -> Array:
    """NaN for what is infinite: matplotlib leaves it out."""
    return np.where(np.isfinite(values), values, np.nan)


def _no_score(axes: Axes) -> Axes:
    axes.set(xscale="linear", yscale="linear", xticks=[], yticks=[])
    axes.text(0.5, 0.5, "no finite score", transform=axes.transAxes, ha="center", va="center", color=QUIET)
    return axes


def _offset(result: Result) -> Array | float:
    return 0.0 if result.problem.offset is None else np.asarray(result.problem.offset)


def _observed(result: Result) -> Array:
    """Targets on the scale of the drawing, shape (n,)."""
    y: Array = np.asarray(result.problem.y)
    loss = result.problem.loss
    if not isinstance(loss, Smooth):
        return y - _offset(result)
    return loss.without_offset(loss.check_targets(y), np.broadcast_to(_offset(result), y.shape))


def _shown(result: Result, f: Array) -> Array:
    loss = result.problem.loss
    return loss.mean(f) if isinstance(loss, Smooth) else f


def _names(result: Result) -> tuple[list[str], str]:
    count = np.asarray(result.problem.x).shape[1]
    names = result.context.get("x") or (["x"] if count == 1 else [f"x{column + 1}" for column in range(count)])
    return names, result.context.get("y", "y")


def _draw_curve(result: Result, axes: Axes, observed: Array, fitted: Array, truth: Truth | None) -> None:
    x: Array = np.asarray(result.problem.x)[:, 0]
    dense = np.union1d(np.linspace(x.min(), x.max(), DENSE), x if len(x) <= DENSE else x[:0])
    _draw_points(axes, x, observed, "data")
    if truth is not None:
        at, values = (dense, truth(dense)) if callable(truth) else (np.sort(x), np.asarray(truth)[np.argsort(x, kind="stable")])
        axes.plot(at, values, color=TRUE, lw=1.1, ls=(0, (4, 2)), label="truth", zorder=2)
    axes.plot(dense, _shown(result, result.predict(dense)), color=FIT, lw=2, label="fit", zorder=3)
    _mark_residuals(axes, x, observed, fitted)
    names, target = _names(result)
    axes.set_xlabel(names[0])
    per = f" per {result.context['exposure']}" if "exposure" in result.context else ""
    axes.set_ylabel(f"{result.problem.loss.expected} {target}{per}" if isinstance(result.problem.loss, Smooth) else target)
    axes.legend(frameon=False, loc="best")


def _draw_observed(result: Result, axes: Axes, observed: Array, fitted: Array) -> None:
    _draw_points(axes, fitted, observed, "data")
    ends = [fitted.min(), fitted.max()]
    axes.plot(ends, ends, color=FIT, lw=1.5, label="fitted = observed", zorder=2)
    _mark_residuals(axes, fitted, observed, fitted)
    names, target = _names(result)
    axes.set_xlabel(f"fitted {target}, from {', '.join(names[:4])}{' …' if len(names) > 4 else ''}")
    axes.set_ylabel(f"observed {target}")
    axes.legend(frameon=False, loc="best")


def _draw_points(axes: Axes, x: Array, y: Array, label: str) -> None:
    if len(x) > MANY:
        kept = np.sort(np.random.default_rng(0).choice(len(x), MANY, replace=False))
        label, x, y = f"{label} ({MANY:,} of {len(x):,} rows)", x[kept], y[kept]
    few = len(x) <= 500
    axes.scatter(x, y, s=22 if few else 5, color=DATA, alpha=0.85 if few else 0.3, linewidths=0, label=label, rasterized=not few, zorder=2)


def outliers(residuals: Array) -> np.ndarray:
    """The largest residual and up to two more that stand out and are near it in size, largest first; none where all are 0."""
    size = np.abs(residuals)
    first = np.argsort(-size, kind="stable")[:MOST_MARKS]
    keep = size[first] > max(FAR * float(np.median(size)), size[first[0]] / 3)
    keep[0] = size[first[0]] > 0
    return first[keep]


def _mark_residuals(axes: Axes, x: Array, observed: Array, fitted: Array) -> None:
    edge = float(x.min() + 0.8 * np.ptp(x))
    marked = outliers(observed - fitted)
    label = "largest residual" + ("s" if len(marked) > 1 else "")
    axes.scatter(x[marked], observed[marked], s=80, facecolors="none", edgecolors=MARK, linewidths=1.6, label=label, zorder=5)
    for row in marked:
        axes.plot([x[row], x[row]], [observed[row], fitted[row]], color=MARK, lw=1.3, ls=":", zorder=4)
        axes.annotate(
            f"residual {observed[row] - fitted[row]:+.3g}".replace("-", "−"),
            (x[row], (observed[row] + fitted[row]) / 2),
            xytext=(-7 if x[row] > edge else 7, 0),
            textcoords="offset points",
            ha="right" if x[row] > edge else "left",
            va="center",
            color=MARK,
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
        )


def _draw_family(axes: Axes, name: str, values: Sequence[float], results: Sequence[Result], best: int | None) -> None:
    x: Array = np.asarray(results[0].problem.x)[:, 0]
    dense = np.linspace(x.min(), x.max(), DENSE // 2)
    _draw_points(axes, x, _observed(results[0]), "data")
    shades = ScalarMappable(LogNorm(min(values), max(values)), colormaps["viridis"])
    for color, result in zip(shades.to_rgba(np.array(values)), results, strict=True):
        axes.plot(dense, _shown(result, result.predict(dense)), color=color, lw=1.3, alpha=0.9)
    if best is not None:
        axes.plot(dense, _shown(results[best], results[best].predict(dense)), color=MARK, lw=2.2, label="lowest held-out error")
    figure_of(axes).colorbar(shades, ax=axes, label=name, pad=0.02)
    names, target = _names(results[0])
    axes.set_xlabel(names[0])
    axes.set_ylabel(target)
    axes.set_title(f"fits along {name}", loc="left", fontsize=11)
    axes.legend(frameon=False, loc="best")


def _draw_scores(axes: Axes, name: str, values: Array, scores: Array, errors: Array, best: int) -> None:
    axes.errorbar(
        values, _finite(scores), yerr=_finite(errors), color=FIT, marker="o", ms=4, lw=1.6, elinewidth=0.9, ecolor=DATA, capsize=2
    )
    axes.scatter([values[best]], [scores[best]], s=110, facecolors="none", edgecolors=MARK, linewidths=1.6, zorder=4)
    axes.set_ylabel("held-out error, ± one standard error")
    axes.set_title(f"lowest at {name} = {values[best]:.4g}", loc="left", fontsize=11)


def _title(result: Result, axes: Axes) -> None:
    problem = result.problem
    parts = [_word(problem.loss), *(_word(term, _names(result)[0]) for term in problem.constraints)]
    parts += [f"{name} {value:.4g}" for name, value in problem.hyperparameters.items()]
    gap = result.certificate.relative_gap
    proof = "no proven gap" if gap is None else f"relative gap {gap:.1e}"
    axes.set_title(" · ".join(parts), loc="left", fontsize=11, pad=20)
    axes.text(0, 1.02, f"{result.status.word}, {proof}, n = {len(result.fitted):,}", transform=axes.transAxes, fontsize=9, color=QUIET)


def _word(term: object, columns: Sequence[str] = ()) -> str:
    """A term and its parameters, as in huber delta=1; sides of bounds that are open are left out, and columns go by their name."""
    given = {
        key: value for key, value in vars(term).items() if isinstance(value, int | float) and value is not False and np.isfinite(value)
    }
    values = [f"{key}={columns[int(value)] if key == 'column' else f'{value:.4g}'}" for key, value in given.items()]
    return " ".join([getattr(term, "name", ""), *values])
