"""From problems to their form: each term's rows, and its tables as sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hw4opt.blocks import Block, Sheet, SmoothRows
from hw4opt.design import Design
from hw4opt.errors import InputError
from hw4opt.fold_rows import fold_rows, keep_mask
from hw4opt.form import Form
from hw4opt.problem import Problem
from hw4opt.rows import DENSE, RowMap
from hw4opt.terms import Loss, PiecewiseQuadratic, Smooth, Table, Term, Values
from hw4opt.terms.base import Array

ROW_ROUNDING = 2 * float(np.finfo(float).eps)  # of the largest entry of B, times the row's coefficients: entries of D B that are nothing


def canonicalize(problems: Problem | Sequence[Problem], held_out: Sequence[np.ndarray] | None = None) -> Form:
    """The form of one problem, or of a batch that shares x, kernel, intercept and the kinds of its terms (`InputError` if it does not).

    held_out     for each problem the data rows (of those with weight above 0) that are left out altogether: their losses go, and
                 differences run over the points that remain
    """
    batch = [problems] if isinstance(problems, Problem) else list(problems)
    if not batch:
        raise InputError("there is no problem to solve")
    first = batch[0]
    for number, problem in enumerate(batch[1:], 1):
        _check_shared(first, problem, number)
    design = first.design
    loss_keep = None if held_out is None else keep_mask(len(design.x), held_out)
    level = np.array([[problem.level] for problem in batch])
    maps: dict[object, tuple[RowMap, Array | None]] = {}
    blocks = []
    for group in _shared_rows(first):
        columns = [tuple(problem.terms[position] for problem in batch) for position in group]
        acts = columns[0][0].acts
        if acts not in maps:
            maps[acts] = fold_rows(design, columns[0][0], held_out)
        rows, mask = maps[acts]
        active = loss_keep if isinstance(acts, Values) else mask
        if group == [0]:
            blocks.append(_loss_block(batch, columns[0], rows, active))
        elif (block := term_block(columns, rows, active, level if isinstance(acts, Values) else 0 * level)) is not None:
            blocks.append(_without_rounding(block, design))
    ridge = np.array([problem.ridge for problem in batch], dtype=float)
    return Form(design, tuple(blocks), 2 * ridge[:, None] * design.penalized, design.matrix)


def _shared_rows(problem: Problem) -> list[list[int]]:
    """The places of the terms, those together that act on the same rows without curvature: total variation beside an order, say.

    Such functions of one z add up to one, f* on [Σ low, Σ high], as long as that interval has an end.
    """
    groups: list[list[int]] = []
    for place, term in enumerate(problem.terms):
        mate = next((group for group in groups if place and _add_up([problem.terms[one] for one in group], term)), None)
        if mate is None:
            groups.append([place])
        else:
            mate.append(place)
    return groups


def _add_up(group: Sequence[Term], term: Term) -> bool:
    tables = [_tables(one) for one in (*group, term)]
    if any(one.acts != term.acts or isinstance(one, Loss) for one in group):
        return False
    if any(len(row) != 1 or row[0].quadratic or row[0].linear for row in tables):
        return False
    (low, high) = (sum(getattr(row[0], end) for row in tables) for end in ("low", "high"))
    return not (math.isinf(low) and math.isinf(high))


def _check_shared(first: Problem, other: Problem, number: int) -> None:
    same_rows = other.x is first.x or np.array_equal(other.x, first.x)
    same_active = (other.active is None and first.active is None) or np.array_equal(
        np.arange(len(first.y)) if first.active is None else first.active, np.arange(len(other.y)) if other.active is None else other.active
    )
    if not (
        same_rows
        and same_active
        and other.kernel == first.kernel
        and other.intercept == first.intercept
        and other.standardize == first.standardize
    ):
        raise InputError(
            f"problem {number} of the batch differs from the first in x, kernel, intercept or rows of weight 0; a batch shares them"
        )
    kinds = [(type(term), term.acts) for term in first.terms]
    if [(type(term), term.acts) for term in other.terms] != kinds:
        raise InputError(
            f"problem {number} of the batch has other terms than the first; a batch shares their kinds and differs in parameters"
        )


def _loss_block(batch: Sequence[Problem], terms: tuple[Term, ...], rows: RowMap, active: Array | None) -> Block:
    kept = [slice(None) if problem.active is None else problem.active for problem in batch]
    y = np.stack([problem.y[rows_] for problem, rows_ in zip(batch, kept, strict=True)])
    plain = all(problem.weights is None for problem in batch)
    weights = (
        np.ones((len(batch), 1))
        if plain
        else np.stack(
            [np.ones(len(problem.y))[r] if problem.weights is None else problem.weights[r] for problem, r in zip(batch, kept, strict=True)]
        )
    )
    offset = (
        np.zeros((len(batch), 1))
        if all(problem.offset is None for problem in batch)
        else np.stack(
            [np.zeros(len(problem.y))[r] if problem.offset is None else problem.offset[r] for problem, r in zip(batch, kept, strict=True)]
        )
    )
    held = weights if active is None else weights * active
    if isinstance(terms[0], Smooth):
        targets = np.stack([term.check_targets(row) for term, row in zip(terms, y, strict=True)])  # type: ignore[attr-defined]
        return Block((terms,), rows, offset, held, (), SmoothRows(terms[0], targets, offset, held))
    target = y - np.array([[problem.level] for problem in batch])  # first: as long as y is near its level, nothing is rounded
    sheets = _sheets(terms[0].name, [_tables(term) for term in terms], offset - target, None if plain else weights, active)
    return Block((terms,), rows, offset - target, held, sheets, None)


def term_block(columns: Sequence[tuple[Term, ...]], rows: RowMap, active: Array | None, offset: Array) -> Block | None:
    """The block of regularizers or constraints that share their rows, z = A w + offset; None if it has no rows, or weight 0 everywhere."""
    columns = [terms for terms in columns if any(table.low < table.high for term in terms for table in _tables(term))]
    if not rows.count or not columns:
        return None
    if len(columns) == 1:
        tables = [_tables(term) for term in columns[0]]
    else:
        each = [[_tables(term)[0] for term in terms] for terms in zip(*columns, strict=True)]
        tables = [(Table(low=sum(one.low for one in row), high=sum(one.high for one in row)),) for row in each]
    sheets = _sheets(columns[0][0].name, tables, offset, None, active)
    return Block(tuple(columns), rows, offset, np.ones((len(offset), 1)) if active is None else active, sheets, None)


def _without_rounding(block: Block, design: Design) -> Block:
    """The block without differences that no function of the design can have: rows of D B whose entries are rounding alone.

    Their duals would be arbitrary, and what they ask of f is met to rounding whatever it is.
    """
    coef = block.rows.coef
    if coef is None or block.rows.count * design.matrix.shape[1] > DENSE:
        return block
    rows = block.rows.take(design.matrix)
    least = ROW_ROUNDING * np.abs(coef).sum(axis=1) * np.abs(design.matrix).max()
    there = np.abs(rows).max(axis=1) > least
    if there.all():
        return block
    keep = np.broadcast_to(there.astype(float), (len(block.offset), block.rows.count))
    sheets = tuple(replace(sheet, active=keep if sheet.active is None else keep * sheet.active) for sheet in block.sheets)
    return replace(block, weights=block.weights * keep, sheets=sheets)


def _tables(term: Term) -> tuple[Table, ...]:
    return term.tables if isinstance(term, PiecewiseQuadratic) else ()


def _sheets(name: str, tables: Sequence[Sequence[Table]], offset: Array, weights: Array | None, active: Array | None) -> tuple[Sheet, ...]:
    """The sheets of a piecewise quadratic term, those left out that have weight 0 in every problem."""
    _check_sides(name, tables)
    sheets = [_sheet([row[copy] for row in tables], offset, weights, active) for copy in range(len(tables[0]))]
    return tuple(sheet for sheet in sheets if sheet is not None)


def _check_sides(name: str, tables: Sequence[Sequence[Table]]) -> None:
    """Problems of a batch share a term's rows: what bounds f from below in one cannot bound it from above in another."""
    if len(tables) == 1:
        return
    sides = [tuple((math.isinf(table.low), math.isinf(table.high)) for table in row) for row in tables]
    if number := next((i for i, one in enumerate(sides) if one != sides[0]), None):
        raise InputError(f"problem {number} of the batch has {name} on other sides than the first; a batch shares them")


def _sheet(tables: Sequence[Table], offset: Array, weights: Array | None, active: Array | None) -> Sheet | None:
    def column(name: str) -> Array:
        first = getattr(tables[0], name)
        same = all(table is tables[0] for table in tables)
        return np.full((len(tables), 1), first) if same else np.array([[getattr(table, name)] for table in tables], dtype=float)

    quadratic, low, high = column("quadratic"), column("low"), column("high")
    shift = column("linear") - offset
    empty = low == high  # weight 0: the row takes no part
    if empty.all():
        return None
    if empty.any():
        active = np.where(empty, 0.0, 1.0 if active is None else active)
        low, high = np.where(empty, -1.0, low), np.where(empty, 1.0, high)
    if weights is not None:
        quadratic, low, high = quadratic / weights, low * weights, high * weights
    return Sheet(quadratic, shift, None if np.isinf(low).all() else low, None if np.isinf(high).all() else high, active)
