"""Figures of one fit: its curve over the data, or fitted against observed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hw4opt import intervals
from hw4opt.errors import InputError
from hw4opt.plotting.frame import DATA_COLOR, FIT_COLOR, MARK_COLOR, NOTE_COLOR, TRUE_COLOR, new_axes, plain
from hw4opt.solution import Solution
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked
from hw4opt.validation.arrays import finite_column, real_array

Truth = Array | Callable[[Array], Array]

CURVE_POINTS = 2_000  # points of a drawn curve, besides the data's own x
MAX_POINTS_DRAWN = 20_000  # points drawn of larger data
MIN_OUTLIER_RATIO = 6.0  # of a residual to the median of their sizes
MAX_MARKED = 3
BAND_LEVEL = 0.9  # of the intervals that are drawn
MAX_BAND_ENTRIES = 50_000_000  # points × rows of a drawn band
BAND_LABEL = f"{BAND_LEVEL:g} interval"


@checked
def plot_fit(result: Solution, axes: Axes | None = None, truth: Truth | None = None) -> Axes:
    """Data, fit and (if given) truth, with the largest residuals marked; of several x columns, fitted against observed.

    Where the problem has held-out fits, intervals of level 0.9 are drawn besides (none of counts with an offset, whose
    errors are on the scale of each row's own, and none of fewer than 9 rows). Rows of weight 0 are not drawn.
    truth     f at the data rows, shape (n,), or a function of x
    Targets of logistic fits are drawn as 0 and 1, and their fit as a probability; counts with an exposure as counts per
    unit of it.
    """
    axes = new_axes() if axes is None else axes
    observed, fitted = (
        observed_targets(result),
        drawn_values(result, (result.fitted - _offset(result))[drawn_rows(result)]),
    )
    if np.asarray(result.problem.x).shape[1] == 1:
        _draw_curve(result, axes, observed, fitted, truth)
    else:
        _draw_observed(result, axes, observed, fitted)
    _title(result, axes)
    plain(axes)
    return axes


@checked
def plot_predictions(result: Solution, x: ArrayLike, axes: Axes) -> Axes:
    """Add predictions at new x (m, d) to a fit's figure: on the curve, or along the fitted axis of several columns."""
    predicted, x = drawn_values(result, result.predict(x)), real_array("x", x)
    if result.problem.x.shape[1] == 1:
        axes.scatter(
            x.ravel(),
            predicted,
            marker="D",
            s=20,
            color=MARK_COLOR,
            alpha=0.8,
            linewidths=0,
            label="predictions",
            zorder=6,
        )
    else:
        bottom = axes.get_ylim()[0]
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


def outliers(residuals: ArrayLike) -> np.ndarray:
    """The largest residual and up to two more outliers near it in size, largest first; none where all are 0."""
    size = np.abs(real_array("residuals", residuals))
    if size.ndim != 1 or not len(size):
        raise InputError(f"residuals has shape {size.shape}; give (n,), at least one")
    first = np.argsort(-size, kind="stable")[:MAX_MARKED]
    keep = size[first] > max(MIN_OUTLIER_RATIO * float(np.median(size)), size[first[0]] / 3)
    keep[0] = size[first[0]] > 0
    return first[keep]


def draw_points(axes: Axes, x: Array, y: Array, label: str) -> None:
    """A cloud of (x, y), a seeded part of it where it is large."""
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


def drawn_rows(result: Solution) -> np.ndarray:
    """The places of the rows that are drawn: those with a weight above 0."""
    return np.arange(len(result.problem.y)) if result.problem.active is None else result.problem.active


def observed_targets(result: Solution) -> Array:
    """Targets of the drawn rows on the scale of the drawing."""
    rows, loss = drawn_rows(result), result.problem.loss
    y, offset = np.asarray(result.problem.y)[rows], np.broadcast_to(_offset(result), len(result.problem.y))[rows]
    return loss.without_offset(loss.check_targets(y), offset) if isinstance(loss, Likelihood) else y - offset


def drawn_values(result: Solution, f: Array) -> Array:
    """A fit's values on the scale of the drawing."""
    loss = result.problem.loss
    return loss.mean(f) if isinstance(loss, Likelihood) else f


def names_of(result: Solution) -> tuple[list[str], str]:
    """The names of the x columns, and of y."""
    count = np.asarray(result.problem.x).shape[1]
    names = result.names
    unnamed = ["x"] if count == 1 else [f"x{column + 1}" for column in range(count)]
    return list(names.x or unnamed), "y" if names.y is None else names.y


def _offset(result: Solution) -> Array | float:
    return 0.0 if result.problem.offset is None else np.asarray(result.problem.offset)


def _draw_curve(result: Solution, axes: Axes, observed: Array, fitted: Array, truth: Truth | None) -> None:
    x: Array = np.asarray(result.problem.x)[:, 0]
    dense = np.union1d(np.linspace(x.min(), x.max(), CURVE_POINTS), x if len(x) <= CURVE_POINTS else x[:0])
    rows = drawn_rows(result)
    draw_points(axes, x[rows], observed, "data")
    if truth is not None:
        at = dense if callable(truth) else np.sort(x)
        values = finite_column("truth", truth(dense) if callable(truth) else truth, len(at))
        values = values if callable(truth) else values[np.argsort(x, kind="stable")]
        axes.plot(at, values, color=TRUE_COLOR, lw=1.1, ls=(0, (4, 2)), label="truth", zorder=2)
    axes.plot(dense, drawn_values(result, result.predict(dense)), color=FIT_COLOR, lw=2, label="fit", zorder=3)
    if (count := _band_points(result, len(dense))) is not None:
        at = dense[np.unique(np.linspace(0, len(dense) - 1, count).astype(int))]
        ends = _band(result, at)
        axes.fill_between(at, *ends, color=FIT_COLOR, alpha=0.15, lw=0, label=BAND_LABEL, zorder=1)
    _mark_residuals(axes, x[rows], observed, fitted)
    names, target = names_of(result)
    axes.set_xlabel(names[0])
    per = "" if result.names.exposure is None else f" per {result.names.exposure}"
    axes.set_ylabel(
        f"{result.problem.loss.expected} {target}{per}" if isinstance(result.problem.loss, Likelihood) else target
    )
    axes.legend(frameon=False, loc="best")


def _band_points(result: Solution, most: int) -> int | None:
    """At how many points intervals are drawn; None where there are none."""
    problem, fits = result.problem, result.problem.held_out
    counts = isinstance(problem.loss, Likelihood) and problem.offset is not None
    if fits is None or counts or intervals.rank(BAND_LEVEL, len(fits.fold_of)) > len(fits.fold_of):
        return None
    return min(most, max(2, MAX_BAND_ENTRIES // len(fits.fold_of)))


def _band(result: Solution, x: Array) -> Array:
    """Lower and upper ends (2, m) of the intervals at x, as an offset of 0 would have them."""
    offset = None if result.problem.offset is None else np.zeros(len(x))
    return result.predict_interval(x, BAND_LEVEL, offset=offset)[1][:, :, 0].T


def _draw_observed(result: Solution, axes: Axes, observed: Array, fitted: Array) -> None:
    draw_points(axes, fitted, observed, "data")
    ends = [fitted.min(), fitted.max()]
    axes.plot(ends, ends, color=FIT_COLOR, lw=1.5, label="fitted = observed", zorder=2)
    if (count := _band_points(result, min(len(fitted), MAX_POINTS_DRAWN))) is not None:
        some = np.argsort(fitted, kind="stable")[np.unique(np.linspace(0, len(fitted) - 1, count).astype(int))]
        ends = _band(result, result.problem.x[drawn_rows(result)[some]])
        axes.vlines(fitted[some], *ends, color=FIT_COLOR, alpha=0.2, lw=1, label=BAND_LABEL, zorder=1)
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
    for row in marked:
        axes.plot([x[row], x[row]], [observed[row], fitted[row]], color=MARK_COLOR, lw=1.3, ls=":", zorder=4)
        axes.annotate(
            f"residual {observed[row] - fitted[row]:+.3g}".replace("-", "−"),
            (x[row], (observed[row] + fitted[row]) / 2),
            xytext=(-7 if x[row] > edge else 7, 0),
            textcoords="offset points",
            ha="right" if x[row] > edge else "left",
            va="center",
            color=MARK_COLOR,
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
        )


def _title(result: Solution, axes: Axes) -> None:
    problem = result.problem
    parts = [_description(problem.loss), *(_description(term, names_of(result)[0]) for term in problem.constraints)]
    parts += [f"{name} {value:.4g}" for name, value in problem.hyperparameters.items()]
    gap = result.certificate.relative_gap
    proof = "no proven gap" if gap is None else f"relative gap {gap:.1e}"
    axes.set_title(" · ".join(parts), loc="left", fontsize=11, pad=20)
    axes.text(
        0,
        1.02,
        f"{result.status.word}, {proof}, n = {len(result.fitted):,}",
        transform=axes.transAxes,
        fontsize=9,
        color=NOTE_COLOR,
    )


def _description(term: object, columns: Sequence[str] = ()) -> str:
    """A term and its parameters, as in huber delta=1; open bounds are left out, and columns go by their name."""
    given = {
        key: value
        for key, value in vars(term).items()
        if isinstance(value, int | float) and value is not False and math.isfinite(value)
    }
    values = [f"{key}={columns[int(value)] if key == 'column' else f'{value:.4g}'}" for key, value in given.items()]
    return " ".join([getattr(term, "name", ""), *values])
