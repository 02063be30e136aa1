"""From problems to their form: each term's rows and their functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hw4opt.design import Design
from hw4opt.errors import InputError
from hw4opt.form.box_rows import BoxRows
from hw4opt.form.chunks import is_small
from hw4opt.form.form import Form
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.form.term_rows import TermRows
from hw4opt.problem import Problem
from hw4opt.terms import Acts, Loss, PiecewiseQuadratic, Smooth, Table, Term
from hw4opt.terms.base import EPS, Array
from hw4opt.terms.points import FoldRows
from hw4opt.terms.row_map import RowMap

ROW_ROUNDING = 2 * EPS  # of the largest entry of B, times the row's coefficients: smaller entries of D B count as 0


def canonicalize(problems: Problem | Sequence[Problem], held_out: Sequence[np.ndarray] | None = None) -> Form:
    """The form of one problem, or of a batch that shares x, kernel, intercept and the kinds of its terms (`InputError`
    if it does not).

    held_out     for each problem the data rows (of those with weight above 0) that are left out completely: their
                 losses are dropped, and differences are over the remaining points
    """
    batch = [problems] if isinstance(problems, Problem) else list(problems)
    if not batch:
        raise InputError("there is no problem to solve")
    first = batch[0]
    kinds = [(type(term), term.acts) for term in first.terms]
    for number, problem in enumerate(batch[1:], 1):
        _check_shared(first, kinds, problem, number)
    design = first.design
    level = np.array([[problem.level] for problem in batch]) if first.intercept else np.zeros((len(batch), 1))
    maps: dict[Acts, FoldRows] = {}
    terms = []
    of_batch = list(zip(*(problem.terms for problem in batch), strict=True))
    for group in _shared_rows(first.terms):
        columns = [of_batch[place] for place in group]
        acts, owner = columns[0][0].acts, columns[0][0].label
        if acts not in maps:
            rows = design.rows(acts, owner)
            maps[acts] = FoldRows(rows, None) if held_out is None else design.fold_rows(acts, owner, held_out)
        rows, active = maps[acts]
        if group == [0]:
            terms.append(_loss_rows(batch, columns[0], rows, active, level))
        else:
            offset = level if acts.of_values else np.zeros(level.shape)
            if (found := term_rows(columns, rows, active, offset)) is not None:
                terms.append(_without_rounding(found, design))
    ridges = np.array([problem.model.ridges for problem in batch])
    return Form(design, tuple(terms), 2 * design.by_column(ridges), design.matrix)


def _shared_rows(terms: Sequence[Term]) -> list[list[int]]:
    """The indices of the terms, the loss first, grouped by those that act on the same rows without curvature, such as
    total variation and an order.

    Such functions of one z sum to one function, f* on [Σ low, Σ high], if that interval is bounded on one side.
    """
    groups: list[list[int]] = [[0]]
    for place, term in enumerate(terms[1:], 1):
        mates = [group for group in groups[1:] if terms[group[0]].acts == term.acts]
        mate = next((group for group in mates if _add_up([*(terms[one] for one in group), term])), None)
        if mate is None:
            groups.append([place])
        else:
            mate.append(place)
    return groups


def _add_up(terms: Sequence[Term]) -> bool:
    tables = [_tables(one) for one in terms]
    if any(len(row) != 1 or row[0].quadratic or row[0].linear for row in tables):
        return False
    low, high = (sum(getattr(row[0], end) for row in tables) for end in ("low", "high"))
    return not (math.isinf(low) and math.isinf(high))


def _check_shared(first: Problem, kinds: Sequence[tuple[type, Acts]], other: Problem, number: int) -> None:
    same_rows = other.x is first.x or (other.x.shape == first.x.shape and bool((other.x == first.x).all()))
    same_active = (other.active is None and first.active is None) or np.array_equal(
        np.arange(len(first.y)) if first.active is None else first.active,
        np.arange(len(other.y)) if other.active is None else other.active,
    )
    if not (
        same_rows
        and same_active
        and other.kernel == first.kernel
        and other.intercept == first.intercept
        and other.standardize == first.standardize
    ):
        raise InputError(
            f"problem {number} of the batch differs from the first in x, kernel, intercept or rows "
            "of weight 0; a batch shares them"
        )
    if [(type(term), term.acts) for term in other.terms] != kinds:
        raise InputError(
            f"problem {number} of the batch has other terms than the first; a batch shares their "
            "kinds and differs in parameters"
        )


def _loss_rows(
    batch: Sequence[Problem], terms: tuple[Term, ...], rows: RowMap, active: Array | None, level: Array
) -> TermRows:
    y = _stacked(batch, [problem.y for problem in batch], 0.0)
    weights = _stacked(batch, [problem.weights for problem in batch], 1.0)
    offset = _stacked(batch, [problem.offset for problem in batch], 0.0)
    return loss_rows(terms, (y, weights, offset), level, rows, active)


def loss_rows(
    terms: tuple[Term, ...],
    columns: tuple[Array, Array, Array],
    level: Array | float,
    rows: RowMap,
    active: Array | None = None,
) -> TermRows:
    """The rows of the loss, one of `terms` a problem.

    columns    targets, weights and offset, (b, m), or (b, 1) where all rows are alike
    level      the origin of a free intercept, (b, 1)
    active     (b, m), 0 for rows that are left out; None: all are used
    """
    y, weights, offset = columns
    curves = list(zip(*(term.curves for term in terms if isinstance(term, Loss)), strict=True))
    held = _on_curves(weights, len(curves))
    held = held if active is None else held * active
    if smooth := [term for term in terms if isinstance(term, Smooth)]:  # all of them are of one kind
        targets = np.array([term.check_targets(row) for term, row in zip(smooth, y, strict=True)])
        return TermRows((terms,), rows, offset, held, (SmoothRows(smooth[0], targets, offset, held),))
    from_targets = offset - (y - level)  # level first: for y near it, nothing is rounded
    of_curves = [_boxes(terms[0].name, [_tables(one) for one in losses], from_targets) for losses in curves]
    if weights.shape[1] > 1:
        of_curves = [[one.weighted(weights) for one in boxes] for boxes in of_curves]
    boxes = of_curves[0]
    if len(curves) > 1:
        count = from_targets.shape[1]
        boxes = [BoxRows.join(parts, [count] * len(parts)) for parts in zip(*of_curves, strict=True)]
    return TermRows((terms,), rows, _on_curves(from_targets, len(curves)), held, _present(boxes, active))


def _on_curves(array: Array, curves: int) -> Array:
    """An array (b, n) of the data rows, repeated for every curve; (b, 1) stays as it is."""
    return array if curves == 1 or array.shape[1] == 1 else np.tile(array, curves)


def _stacked(batch: Sequence[Problem], arrays: Sequence[Array | None], default: float) -> Array:
    """One array per problem, of the rows in use: (b, n), or (b, 1) of the default if no problem has one."""
    if all(array is None for array in arrays):
        return np.full((len(arrays), 1), default)
    whole = [np.full(len(batch[0].y), default) if array is None else array for array in arrays]
    used = [problem.active for problem in batch]
    return np.array([array if rows is None else array[rows] for array, rows in zip(whole, used, strict=True)])


def _present(boxes: Sequence[BoxRows], active: Array | None) -> tuple[BoxRows, ...]:
    """The functions of the rows in use (`active`, None: all), without those that no problem uses."""
    if active is None:
        return tuple(boxes)
    here = [one.without(active == 0) for one in boxes]
    return tuple(one for one in here if one.open.any() or one.low.any()) or tuple(here[:1])


def term_rows(
    columns: Sequence[tuple[Term, ...]], rows: RowMap, active: Array | None, offset: Array
) -> TermRows | None:
    """The rows of regularizers or constraints that share them, z = A w + offset; None if there are none, or of weight
    0."""
    given = [(terms, [_tables(term) for term in terms]) for terms in columns]
    there = [pair for pair in given if any(one.low < one.high for tables in pair[1] for one in tables)]
    if not rows.count or not there:
        return None
    columns, tables = [terms for terms, _ in there], there[0][1]
    if len(there) > 1:
        each = zip(*(tables for _, tables in there), strict=True)
        tables = [(Table(low=sum(one.low for (one,) in row), high=sum(one.high for (one,) in row)),) for row in each]
    boxes = _present(_boxes(columns[0][0].name, tables, offset), active)
    weights = np.ones((len(offset), 1)) if active is None else active
    return TermRows(tuple(columns), rows, offset, weights, boxes)


def _without_rounding(term: TermRows, design: Design) -> TermRows:
    """The rows without those of differences that are 0 for every function of the design: rows of D B that are only
    rounding.

    Their duals would be arbitrary, and their constraints hold up to rounding for every f.
    """
    if term.map.coef is None or not is_small(term.count, design.matrix.shape[1]):
        return term
    rows = term.map.take(design.matrix)
    least = ROW_ROUNDING * term.map.total * np.abs(design.matrix).max()
    there = np.abs(rows).max(axis=1) > least
    if there.all():
        return term
    return replace(term, weights=term.weights * there, functions=tuple(box.without(~there[None]) for box in term.boxes))


def _tables(term: Term) -> tuple[Table, ...]:
    return term.tables if isinstance(term, PiecewiseQuadratic) else ()


def _boxes(name: str, tables: Sequence[Sequence[Table]], offset: Array) -> list[BoxRows]:
    """The functions of a piecewise quadratic term at z + offset, from its tables, one list per problem, without those
    that no problem uses."""
    _check_sides(name, tables)
    copies = list(zip(*tables, strict=True))
    there = [copy for copy in copies if any(one.low < one.high or one.low for one in copy)]
    return [_box(copy, offset) for copy in there or copies[:1]]


def _check_sides(name: str, tables: Sequence[Sequence[Table]]) -> None:
    """Raise `InputError` for a term that bounds f from below in one problem of the batch and from above in another."""
    if len(tables) == 1:
        return
    sides = [tuple((math.isinf(table.low), math.isinf(table.high)) for table in row) for row in tables]
    if number := next((i for i, one in enumerate(sides) if one != sides[0]), None):
        raise InputError(f"problem {number} of the batch has {name} on other sides than the first; a batch shares them")


def _box(tables: Sequence[Table], offset: Array) -> BoxRows:
    columns = np.array([(one.quadratic, one.linear, one.low, one.high) for one in tables], dtype=float)
    quadratic, linear, low, high = (columns[:, place : place + 1] for place in range(4))
    return BoxRows(quadratic, linear - offset, low, high)
