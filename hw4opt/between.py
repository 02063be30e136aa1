"""By how much a shape that holds at the data rows is violated between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hw4opt.design import Sum
from hw4opt.inference import level_names
from hw4opt.kernels import Precomputed
from hw4opt.problem.noise import spread_of
from hw4opt.result import Result
from hw4opt.terms import ComponentTerm, Differences, PiecewiseQuadratic, Shape, Slope, Term, Values, own_term
from hw4opt.terms.base import Array
from hw4opt.terms.ordered_curves import CurveSteps

STEPS_PER_GAP = 20  # evaluation steps per gap
STEPS_PER_LENGTH = 8  # steps per length of the kernel, near the ends of a gap
LENGTHS_FROM_GAP_END = 6  # lengths of the kernel from both ends of a gap over which these steps are taken
MAX_POINTS = 50_000  # points evaluated; if there are more gaps, the widest are taken
MAX_START_ROWS = 2_000  # several columns: rows that points start from
NEIGHBOURS_PER_ROW = 3  # … towards this number of nearest neighbours
WAY_SHARES = (0.2, 0.4, 0.6, 0.8)  # … at these shares of the way
NEGLIGIBLE_FAILURE = 1e-6  # of the spread of y: smaller failures are ignored


@dataclass(frozen=True)
class Break:
    """A constraint's largest failure between the data rows: its size in units of y, and the x of its start and end.

    point    of several x columns, where it is (start and end are then those of the first column); the size of a slope's
             failure is the slope, in units of y over those of its column
    column   of one component of a sum, the x column that it is of; start and end lie there
    levels   of the point, what the levels of categorical columns are called, by x column
    """

    term: Term
    size: float
    start: float
    end: float
    point: tuple[float, ...] | None = None
    column: int = 0
    levels: Mapping[int, str] = field(default_factory=dict)

    def sentence(self, *names: str) -> str:
        """The sentence for the user; `names` are those of the x columns."""
        names = names or ("x",)
        x = names[self.column] if self.column < len(names) else f"x{self.column + 1}"
        if self.point is not None:
            names = (
                names if len(names) == len(self.point) else tuple(f"x{place + 1}" for place in range(len(self.point)))
            )
            return self._at(names, self.point)
        one = self.start == self.end
        where = f"at {x} = {self.end:.4g}" if one else f"between {x} = {self.start:.4g} and {self.end:.4g}"
        name = self.term.label if isinstance(self.term, ComponentTerm) else _name(self.term)
        holds = f"{name} holds at the data rows only: between them the curve"
        return f"{holds} {_verb(own_term(self.term))} by up to {self.size:.4g} {where}"

    def _at(self, names: Sequence[str], point: Sequence[float]) -> str:
        shown = (self.levels.get(place, f"{value:.4g}") for place, value in enumerate(point))
        where = ", ".join(f"{name} = {value}" for name, value in zip(names, shown, strict=True))
        name, along, unit = _name(self.term), "", ""
        if isinstance(self.term.acts, Slope):
            column = names[self.term.acts.column]
            name, along, unit = f"{name}:column={column}", f" along {column}", " a unit"
        said = f"{name} holds at the data rows only: between them the curve {_verb(self.term)}{along}"
        return f"{said} by up to {self.size:.4g}{unit} at {where}"


def breaks(result: Result) -> list[Break]:
    """The failures of more than 1e-6 of y's spread; none of a linear design, of a precomputed kernel, and of what is
    proven at every x.

    Several curves are checked one by one, and so is the order of adjacent ones.

    One column: the curve is evaluated at 20 steps per gap and, from both ends of gaps wider than that, at steps of an
    eighth of the kernel's length. Measured are, for increasing (decreasing), the largest fall (rise) from any point to
    a later one; for convex (concave), the largest distance from the lower (upper) hull; for bounds, the largest
    excess: each is a lower bound of the violation. Several columns: at 4 points between each row and its 3 nearest
    neighbours (columns in units of their spread), the largest excess over bounds and the steepest slope of the wrong
    sign.
    """
    problem = result.problem
    terms = (*problem.constraints, *problem.model.order)
    if not terms or problem.kernel is None or isinstance(problem.kernel, Precomputed):
        return []
    least = NEGLIGIBLE_FAILURE * spread_of(problem.y if problem.active is None else problem.y[problem.active])
    if isinstance(problem.kernel, Sum):
        return [*_breaks_of_components(result, problem.kernel, least), *_breaks_of_columns(result, terms, least)]
    if problem.x.shape[1] != 1:
        return list(_breaks_of_columns(result, terms, least))
    proven = _proven(result)
    left = [term for term in terms if term.label not in proven]
    ranges = [term.everywhere for term in left if isinstance(term, Shape)]
    ends = [end for one in ranges if isinstance(one, tuple) for end in one]
    x = _points(np.unique([*problem.active_x[:, 0], *ends]), problem.kernel.length * float(problem.scaling[1][0]))
    f = result.predict(x)
    f = f.reshape(len(x), -1)
    return [found for term in left if (found := _break(term, x, f)) is not None and found.size > least]


def _proven(result: Result) -> set[str]:
    """The labels of the shapes that are proven at every x."""
    return {one.name for one in result.shapes if one.proven}


def _breaks_of_components(result: Result, kernel: Sum, least: float) -> Iterator[Break]:
    """The violation of every shape of a component, found as for one column."""
    problem, proven = result.problem, _proven(result)
    for term in problem.constraints:
        if not isinstance(term, ComponentTerm):
            continue
        part, own = kernel.summand(term.component), own_term(term)
        if part.kernel is None or len(part.places) != 1 or term.label in proven:
            continue
        (column,) = part.places
        length = part.kernel.length * float(problem.scaling[1][column])
        ends = own.everywhere if isinstance(own, Shape) and isinstance(own.everywhere, tuple) else ()
        x = _points(np.unique([*problem.active_x[:, column], *ends]), length)
        rows = np.repeat(problem.active_x[:1], len(x), axis=0)
        rows[:, column] = x
        found = _break(term.term, x, result.predict_components(rows)[:, kernel.parts.index(part)].reshape(len(x), -1))
        if found is not None and found.size > least:
            yield replace(found, term=term, column=column)


def _breaks_of_columns(result: Result, terms: Sequence[Term], least: float) -> Iterator[Break]:
    """The largest violation of every constraint at points between neighbouring rows; a slope counts times the range of
    its column."""
    problem = result.problem
    categorical = problem.kernel.categorical_places if isinstance(problem.kernel, Sum) else ()
    x = _between_neighbours(problem.active_x, categorical)
    spread, design = problem.scaling[1], problem.design
    for term in terms:
        if not isinstance(term, PiecewiseQuadratic):
            continue
        match term.acts:
            case Values() | CurveSteps():
                z, unit = _of_term(term, result.predict(x).reshape(len(x), -1)), 1.0
            case Slope(column) if design.reduced is not None:
                rows = design.reduced.evaluate(problem.features(x), column)
                slopes = rows @ design.of_curves(result.w)[: rows.shape[1]] / spread[column]
                z, unit = slopes.reshape(len(x), -1), float(np.ptp(problem.active_x[:, column]))
            case _:
                continue
        short = np.max([side * (level - z) for side, level in _sides(term)], axis=(0, 2))
        at = int(np.argmax(short))
        if short[at] * unit > least:
            levels = {
                place: level_names(result.context, result.names, place, x[at, [place]])[0] for place in categorical
            }
            yield Break(term, float(short[at]), x[at, 0].item(), x[at, 0].item(), tuple(x[at].tolist()), levels=levels)


def _between_neighbours(x: Array, categorical: Sequence[int] = ()) -> Array:
    """Points between rows and their nearest neighbours, (m, d); if there are many rows, from an even sample of them.

    categorical    columns of levels, which keep the row's value
    """
    spread = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)
    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_START_ROWS)).astype(int))
    unit = x[rows] / spread
    squares = np.square(unit).sum(axis=1)
    apart = squares[:, None] + squares - 2 * unit @ unit.T
    np.fill_diagonal(apart, np.inf)
    count = min(NEIGHBOURS_PER_ROW, len(rows) - 1)
    near = (
        np.argpartition(apart, count - 1, axis=1)[:, :count]
        if count < len(rows) - 1
        else np.argsort(apart, axis=1)[:, :count]
    )
    start = np.repeat(rows, count)
    way = x[rows[near.ravel()]] - x[start]
    way[:, list(categorical)] = 0.0
    return np.concatenate([x[start] + share * way for share in WAY_SHARES])


def _points(x: Array, length: float) -> Array:
    """Sorted points within the widest gaps of sorted x, their ends included."""
    gaps = np.diff(x)
    step, fine = length / STEPS_PER_LENGTH, np.empty(0)
    if step < gaps.max() / STEPS_PER_GAP:
        fine = np.arange(1, STEPS_PER_LENGTH * LENGTHS_FROM_GAP_END) * step
    widest = np.argsort(-gaps, kind="stable")[: max(MAX_POINTS // (STEPS_PER_GAP + 2 * len(fine)), 1)]
    low, gap = x[widest, None], gaps[widest, None]
    even = low + gap * (np.arange(STEPS_PER_GAP + 1) / STEPS_PER_GAP)
    inside = fine < gap
    return np.unique(np.concatenate([even.ravel(), (low + fine)[inside], (x[widest + 1, None] - fine)[inside]]))


def _break(term: Term, x: Array, f: Array) -> Break | None:
    if not isinstance(term, PiecewiseQuadratic):
        return None
    sides = _sides(term)
    found = [_failure(term, x, z * side, level * side) for z in _of_term(term, f).T for side, level in sides]
    return max((one for one in found if one is not None), key=lambda one: one.size, default=None)


def _of_term(term: Term, f: Array) -> Array:
    """The values that the term constrains in the curves f (m, curves): f, or the steps from each curve to the next."""
    return np.diff(f, axis=1) if term.acts.between_curves else f


def _sides(term: PiecewiseQuadratic) -> list[tuple[int, float]]:
    """Pairs (side, level): the term requires side · z ≥ side · level of the values z that it acts on."""
    return [(1 if table.high == 0 else -1, table.linear) for table in term.tables if 0 in (table.low, table.high)]


def _failure(term: Term, x: Array, f: Array, level: float) -> Break | None:
    """The largest violation of f ≥ level, of f increasing, or of f convex, by what the term acts on."""
    match term.acts:
        case Values() | CurveSteps():
            at = int(np.argmin(f))
            return Break(term, float(level - f[at]), float(x[at]), float(x[at]))
        case Differences(1) | Slope():
            at = int(np.argmax(np.maximum.accumulate(f) - f))
            top = int(np.argmax(f[: at + 1]))
            return Break(term, float(f[top] - f[at]), float(x[top]), float(x[at]))
        case Differences(2):
            above = f - np.interp(x, *_lower_hull(x, f))
            at = int(np.argmax(above))
            return Break(term, float(above[at]), float(x[at]), float(x[at]))
    return None


def _lower_hull(x: Array, f: Array) -> tuple[list[float], list[float]]:
    """The corners of the largest convex function below the points (Andrew 1979)."""
    corners: list[tuple[float, float]] = []
    for u, v in zip(x.tolist(), f.tolist(), strict=True):
        while len(corners) > 1:
            (a, fa), (b, fb) = corners[-2:]
            if (fb - fa) * (u - b) < (v - fb) * (b - a):
                break
            corners.pop()
        corners.append((u, v))
    return [u for u, _ in corners], [v for _, v in corners]


def _name(term: Term) -> str:
    """The name of a constraint; for one that no user gave, a description."""
    return term.wording if term.acts.between_curves else term.name


def _verb(term: Term) -> str:
    """The verb for a curve that violates the term, as in "falls"."""
    above = isinstance(term, PiecewiseQuadratic) and _sides(term)[0][0] > 0
    match term.acts:
        case Differences(2):
            return "lies above its lower hull" if above else "lies below its upper hull"
        case Differences() | Slope():
            return "falls" if above else "rises"
        case CurveSteps():
            return "crosses the next one"
    return "leaves its bounds"
