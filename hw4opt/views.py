"""The data of figures and pages of a fit: frozen records, drawn by matplotlib, written as JSON, or shown by a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.design import Categorical, Sum
from hw4opt.errors import InputError
from hw4opt.inference import component_values, intervals, level_names
from hw4opt.problem import Problem
from hw4opt.solution import Solution
from hw4opt.terms import ComponentTerm, Likelihood, Smooth, Term, is_everywhere
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import finite_column, real_array

Truth = Array | Callable[[Array], Array]

CURVE_POINTS = 2_000  # points of a drawn curve, besides the data's own x
MIN_OUTLIER_RATIO = 6.0  # ratio of a residual to the median of their sizes
MAX_MARKED = 3
LEAST_PARTIAL_CURVATURE = 1e-3  # least curvature of a smooth loss that a partial residual is divided by
BAND_LEVEL = 0.9  # of the intervals that are drawn
MAX_BAND_ENTRIES = 50_000_000  # points × rows of a drawn band
BAND_LABEL = f"{BAND_LEVEL:g} interval"

# the keys of a row of `Selection.table` besides hyper-parameters
SCORED = ("score", "standard_error", "unproven", "dropped")


@dataclass(frozen=True, eq=False)
class BandView:
    """Prediction intervals at some of a figure's points: their places (k,), and lower and upper ends (k,)."""

    places: np.ndarray
    lower: Array
    upper: Array


@dataclass(frozen=True, eq=False)
class CurveView:
    """The fit of one x column: a curve over points, on the scale of the drawing (`drawn_values`).

    rows (k,)                 the drawn rows of the data
    x, y, fitted (k,)         those rows: x, the observed targets, the fit
    curve_x, curve (m,)       the curve, in order of x
    bound (m,)                proven |fit - optimum| along it; None if nothing is proven, or on another scale
    truth_x, truth (l,)       the true f, in order of x; None if not known
    band                      intervals along the curve; None without held-out fits
    x_name, y_name            of the columns
    levels                    the levels of several curves; the fields above are of the middle one; () for one curve
    level_curves (levels, m)  all curves
    """

    rows: np.ndarray
    x: Array
    y: Array
    fitted: Array
    curve_x: Array
    curve: Array
    bound: Array | None
    truth_x: Array | None
    truth: Array | None
    band: BandView | None
    x_name: str
    y_name: str
    levels: tuple[float, ...] = ()
    level_curves: Array | None = None

    @property
    def outliers(self) -> np.ndarray:
        """The indices (among the drawn rows) of the outlying residuals; see `outliers`."""
        return outliers(self.y - self.fitted)


def curve_view(result: Solution, truth: Truth | None = None, points: int = CURVE_POINTS) -> CurveView:
    """The view of a fit of one x column; raises `InputError` for several.

    truth     f at the data rows, shape (n,), or a function of x
    points    of the curve, besides the data's own x if there are at most as many
    """
    x: Array = np.asarray(result.problem.x)
    if x.shape[1] != 1:
        raise InputError(f"the fit has {x.shape[1]} x columns; a curve has one")
    x, rows, levels = x[:, 0], drawn_rows(result), result.problem.loss.levels
    curve_x = np.union1d(np.linspace(x.min(), x.max(), points), x if len(x) <= points else x[:0])
    likelihood = isinstance(result.problem.loss, Likelihood)
    truth_x = None if truth is None else curve_x if callable(truth) else np.sort(x)
    names, target = names_of(result)
    fitted, curve, middle = fitted_values(result), drawn_values(result, result.predict(curve_x)), middle_level(levels)
    return CurveView(
        rows=rows,
        x=x[rows],
        y=observed_targets(result),
        fitted=fitted[:, middle] if levels else fitted,
        curve_x=curve_x,
        curve=curve[:, middle] if levels else curve,
        bound=None if likelihood or result.problem.intercept else result.bound(curve_x),
        truth_x=truth_x,
        truth=None if truth is None or truth_x is None else _truth_at(truth, truth_x, x),
        band=band_view(result, curve_x),
        x_name=names[0],
        y_name=target,
        levels=levels,
        level_curves=curve.T if levels else None,
    )


def middle_level(levels: Sequence[float]) -> int:
    """The index of the curve that represents several."""
    return len(levels) // 2


def band_view(result: Solution, x: Array) -> BandView | None:
    """Intervals of level 0.9 at x (m,) or (m, d), for an offset of 0.

    None without held-out fits, for counts with an offset, whose errors depend on each row's exposure, and with too few
    rows for the level.
    """
    problem, fits = result.problem, result.problem.held_out
    counts = isinstance(problem.loss, Likelihood) and problem.offset is not None
    if fits is None or counts or intervals.rank(BAND_LEVEL, len(fits.fold_of)) > len(fits.fold_of):
        return None
    count = min(len(x), max(2, MAX_BAND_ENTRIES // len(fits.fold_of)))
    places = np.unique(np.linspace(0, len(x) - 1, count).astype(int))
    offset = None if problem.offset is None else np.zeros(len(places))
    lower, upper = result.predict_interval(x[places], BAND_LEVEL, offset=offset)[1][:, :, 0].T
    return BandView(places, lower, upper)


def _truth_at(truth: Truth, at: Array, x: Array) -> Array:
    if callable(truth):
        return finite_column("truth", truth(at), len(at))
    return finite_column("truth", truth, len(x))[np.argsort(x, kind="stable")]


@dataclass(frozen=True, eq=False)
class ChoiceView:
    """The settings that a search tried.

    names                     the hyper-parameters that vary, in the table's order
    values (k, len(names))    of every setting
    scores, errors (k,)       held-out scores and their standard errors; NaN if there is none
    dropped (k,)              whether the score is only a lower bound
    """

    names: tuple[str, ...]
    values: Array
    scores: Array
    errors: Array
    dropped: np.ndarray

    @property
    def best(self) -> int | None:
        """The setting of the lowest score, None if none is finite."""
        known = np.where(np.isfinite(self.scores), self.scores, np.inf)
        return int(np.argmin(known)) if np.isfinite(known).any() else None


def choice_view(table: Sequence[Mapping[str, float]]) -> ChoiceView:
    """The view of `Selection.table`."""
    named = [name for name in table[0] if name not in SCORED] if table else []
    names = tuple(name for name in named if len({row[name] for row in table}) > 1)
    columns = ([row[key] for row in table] for key in SCORED[:2])
    scores, errors = (np.where(np.isfinite(column), column, np.nan) for column in columns)
    return ChoiceView(
        names,
        np.array([[row[name] for name in names] for row in table], dtype=float).reshape(len(table), len(names)),
        scores,
        errors,
        np.array([bool(row.get("dropped")) for row in table]),
    )


def outliers(residuals: ArrayLike) -> np.ndarray:
    """The largest residual and up to two more outliers of similar size, largest first; none if all are 0."""
    size = np.abs(real_array("residuals", residuals))
    if size.ndim != 1 or not len(size):
        raise InputError(f"residuals has shape {size.shape}; give (n,), at least one")
    first = np.argsort(-size, kind="stable")[:MAX_MARKED]
    keep = size[first] > max(MIN_OUTLIER_RATIO * float(np.median(size)), size[first[0]] / 3)
    keep[0] = size[first[0]] > 0
    return first[keep]


def drawn_rows(result: Solution) -> np.ndarray:
    """The indices of the rows that are drawn: those with a weight above 0."""
    return np.arange(len(result.problem.y)) if result.problem.active is None else result.problem.active


def observed_targets(result: Solution) -> Array:
    """Targets of the drawn rows on the scale of the drawing."""
    rows, loss = drawn_rows(result), result.problem.loss
    y, offset = np.asarray(result.problem.y)[rows], np.broadcast_to(_offset(result), len(result.problem.y))[rows]
    return loss.without_offset(loss.check_targets(y), offset) if isinstance(loss, Likelihood) else y - offset


def fitted_values(result: Solution) -> Array:
    """The fit at the drawn rows, on the scale of the drawing: (k,), or (k, curves)."""
    return drawn_values(result, (result.fitted.T - _offset(result)).T[drawn_rows(result)])


def drawn_values(result: Solution, f: Array) -> Array:
    """A fit's values on the scale of the drawing: labels and counts are drawn with the fit's mean."""
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


@dataclass(frozen=True, eq=False)
class ComponentView:
    """One component of a sum, centered, on the scale of the linear predictor.

    x, partial (k,)           the drawn rows: its column (its own value if it has several columns), and the component
                              plus the residual of the whole fit: y - f, or -ℓ'/ℓ'' for likelihoods
    fitted (k,)               the component at those rows
    curve_x, curve (m,)       its curve; for a categorical one, a value per level of `levels`; for several columns, None
    terms                     its constraints and regularizers, as in ("increasing", "tv 0.3")
    With several quantiles `curve` is (m, curves), and rows are those of the middle one.
    """

    name: str
    columns: tuple[str, ...]
    x: Array
    partial: Array
    fitted: Array
    curve_x: Array | None
    curve: Array | None
    levels: tuple[str, ...] | None
    terms: tuple[str, ...]


def component_views(result: Solution, points: int = CURVE_POINTS) -> list[ComponentView]:
    """The views of all components, in their order; raises `InputError` for a fit that is not a sum."""
    return [component_view(result, part.name, points) for part in _sum(result).parts]


def _sum(result: Solution) -> Sum:
    if not isinstance(result.problem.kernel, Sum):
        raise InputError("the fit is not a sum of components; give `Additive([…])` as kernel")
    return result.problem.kernel


def component_view(result: Solution, name: str, points: int = CURVE_POINTS) -> ComponentView:
    """The view of one component; raises `InputError` for an unknown name."""
    problem, kernel, rows = result.problem, _sum(result), drawn_rows(result)
    part = kernel.summand(name)
    place, x = kernel.parts.index(part), np.asarray(problem.x)
    columns, own = tuple(names_of(result)[0][column] for column in part.places), x[rows, part.places[0]]
    f = _middle(problem, component_values(problem, result.w, x)[rows])[:, place]
    partial, terms = f + _left_over(result)[rows], tuple(_asked(term) for term in _terms_of(problem, name))
    if len(part.places) > 1:
        return ComponentView(name, columns, f, partial, f, None, None, None, terms)
    is_levels = isinstance(part.kernel, Categorical)
    curve_x = np.unique(own) if is_levels else np.union1d(np.linspace(own.min(), own.max(), points), own[:points])
    grid = np.repeat(x[rows[:1]], len(curve_x), axis=0)
    grid[:, part.places[0]] = curve_x
    curve = component_values(problem, result.w, grid)[:, place]
    levels = tuple(level_names(result.context, result.names, part.places[0], curve_x)) if is_levels else None
    return ComponentView(name, columns, own, partial, f, curve_x, curve, levels, terms)


def _middle(problem: Problem, values: Array) -> Array:
    """The middle one of several curves, which are along the last axis."""
    return values if problem.curves == 1 else values[..., problem.curves // 2]


def _left_over(result: Solution) -> Array:
    """The residual of every row on the scale of the linear predictor."""
    problem, loss = result.problem, result.problem.loss
    if not isinstance(loss, Smooth):
        return np.asarray(problem.y) - _middle(problem, result.fitted)
    y = loss.check_targets(np.asarray(problem.y))
    return -loss.gradient(result.fitted, y) / np.maximum(loss.curvature(result.fitted, y), LEAST_PARTIAL_CURVATURE)


def _terms_of(problem: Problem, component: str) -> list[Term]:
    """Constraints and regularizers of a component, except its ridge."""
    terms = [one for one in (*problem.constraints, *problem.model.terms) if isinstance(one, ComponentTerm)]
    return list(dict.fromkeys(one.term for one in terms if one.component == component))


def _asked(term: Term) -> str:
    weight = getattr(term, "weight", None)
    said = f"{term.name} at every x" if is_everywhere(term) else term.name
    return said if weight is None else f"{said} {weight:.3g}"
