"""When the maximum likelihood of counts exists, settled before anything is fitted.

The log-likelihood Σ ω_i (y_i z_i - exp z_i), z = Xw + offset, is concave. It has no finite maximum exactly if some
direction v never lowers it and raises it for ever: x_iᵀv = 0 where y_i > 0 (else -exp z or y z pulls back), x_iᵀv ≤ 0
where y_i = 0, and < 0 in at least one of those rows, whose mean then goes to 0. Such rows are *separated*; without
them, a maximum of the rest exists, and its likelihood is the supremum of the whole, to which separated rows add log 1 =
0.   (Correia, Guimarães and Zylkin 2019; Haberman 1974.)

Full column rank of the rows with y > 0 therefore proves existence. Else v lies in their null space, and a linear
program there finds it: maximise -Σ x_iᵀv over the rows with y = 0 in a box, again without the rows found, until none is
left. Only ratios of rows matter, so columns and rows are scaled to unit length first. What the program finds is
believed only after it is checked: v is projected onto the rows that it leaves at 0, and every sign is looked at again.

Counts truncated at 0 behave alike with y = 1 in place of y = 0: their loss log(exp(exp z) - 1) - y z falls to 0 as z
falls if y = 1, and rises without bound on both sides if y > 1. Separated rows then have a mean that goes to 1.

The same holds for any form: a row of a term whose conjugate lives on [l, h] grows along v as h s for s = a_iᵀv > 0 and
as l s for s < 0. It pins s to 0 if l < 0 < h, and is one-sided if l or h is 0. Penalised columns cannot take part.
(Rockafellar 1970, §8: recession.) So labels are settled too: each row of a logistic loss is one-sided, and separated
where a direction classifies it right and no row wrong (Albert and Anderson 1984: complete and quasi-complete
separation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.design.unit_diagonal import NEGLIGIBLE_SINGULAR_VALUE, inverse_root_diagonal, least_pivot, scaled_by
from hw4opt.form import Form, SmoothRows
from hw4opt.terms.base import Array

PINNED_SAMPLE_ROWS = 2_048  # pinned rows that are looked at first, for each 16 columns
FULL_RANK_PIVOT = 1e-8  # squared pivot of a Gram matrix with unit diagonal that proves full rank
SEPARATING_SLOPE = 1e-6  # of a row of unit length: the slope from which a row counts as separated
PINNING_MARGIN = 0.01  # of a row's weight: how far inside its domain a dual pins the row, whatever the fit lacks
SLOPE_ROUNDING = 1e-11  # of a row of unit length: up to here a slope is 0 but for rounding


@dataclass(frozen=True)
class Existence:
    """Whether a finite maximum exists.

    rows       the separated rows, counted from 0;  columns    of the design (the intercept last) that take part in
               their direction
    supremum   of the log-likelihood, None where it was not needed
    """

    finite: bool
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    supremum: float | None = None

    def columns_named(self, names: Sequence[str]) -> str:
        """The columns of the direction, by name."""
        along = " and ".join(names[column] for column in self.columns[:5]) + (
            " and others" if len(self.columns) > 5 else ""
        )
        return along or "a direction"

    def sentence(self, names: Sequence[str], least: float = 0.0) -> str:
        """What is wrong, with the columns' names; least: the smallest count of the law."""
        few = ", ".join(map(str, self.rows[:5])) + (f" and {len(self.rows) - 5} more" if len(self.rows) > 5 else "")
        means = "the mean of one row" if len(self.rows) == 1 else f"the means of {len(self.rows)} rows"
        towards = (
            ""
            if self.supremum is None
            else f"; the log-likelihood rises towards {self.supremum:.10g} and never reaches it"
        )
        falls = f"{means} with y = {least:g} can fall to {least:g} for ever"
        return f"along {self.columns_named(names)} {falls} (counted from 0: {few}){towards}"


def settle(form: Form, problem: int, w: Array | None = None) -> Existence:
    """Whether a problem of the form has a finite maximum; rows are those of the form's loss.

    w    (r,), a fit that is stationary to rounding: it pins more rows, and so saves the linear program
    """
    free = np.flatnonzero(form.penalty[problem] == 0)
    if not len(free):
        return Existence(True)
    pinned, low_side = sides(form, problem)
    if _plainly_full(form, pinned[0] if w is None else np.flatnonzero(inside_rows(form, problem, w[None])[0]), free):
        return Existence(True)
    a, loss_rows = _one_sided(form, low_side, free)
    fixed = [
        term.map.take(form.matrix)[rows][:, free] for term, rows in zip(form.terms, pinned, strict=True) if len(rows)
    ]
    scale = np.sqrt(sum((np.square(rows).sum(axis=0) for rows in (*fixed, a)), np.zeros(len(free))))
    scale = np.where(scale > 0, scale, 1.0)
    a = a / scale
    span = null_space(unit_rows(np.concatenate([*fixed, np.zeros((1, len(free)))]) / scale))
    found = separation_of(a, span, loss_rows >= 0)
    if found is None:
        return Existence(True)
    separated, columns = found
    return Existence(False, tuple(loss_rows[separated].tolist()), tuple(free[columns].tolist()))


def separation_of(a: Array, span: Array, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Of rows a s ≤ 0, which a direction in the span separates, and the columns of the shortest such one; None if none
    does. Only rows that count are looked for."""
    inside = unit_rows(a) @ span
    inside[np.linalg.norm(inside, axis=1) <= SLOPE_ROUNDING] = 0.0  # rounding
    directions = acting(inside)
    if directions is None:
        return None
    separated = _separate(unit_rows(inside @ directions), counts)
    if not separated.any():
        return None
    part = np.abs(_shortest(a, separated, span))
    return separated, np.flatnonzero(part > SEPARATING_SLOPE * part.max())


def pinned_rows(form: Form, problem: int) -> np.ndarray:
    """The rows of the loss along which no direction can be followed for ever."""
    return sides(form, problem)[0][0]


def without(form: Form, rows: Sequence[int]) -> Form:
    """The form of one problem without the losses of some rows."""
    loss, smooth = form.loss, _smooth_of(form)
    weights = np.broadcast_to(loss.weights, (1, loss.count)).copy()
    weights[:, list(rows)] = 0.0
    lone = replace(loss, weights=weights, functions=(replace(smooth, weights=weights),))
    return replace(form, terms=(lone, *form.terms[1:]))


def _smooth_of(form: Form) -> SmoothRows:
    """The functions of the form's loss, which is smooth."""
    (rows,) = form.loss.functions
    assert isinstance(rows, SmoothRows)
    return rows


def sides(form: Form, problem: int) -> tuple[list[np.ndarray], list[tuple[np.ndarray, Array]]]:
    """By term: the rows that pin s to 0; and the one-sided rows with the sign that makes them s ≤ 0."""
    pinned, one_sided = [], []
    for term in form.terms:
        functions = [rows.cut(slice(None), np.array([problem])) for rows in term.functions]
        low, high = (
            np.sum([rows.clip_dual(np.broadcast_to(end, (1, term.count)))[0] for rows in functions], axis=0)
            for end in (-np.inf, np.inf)
        )
        pinned.append(np.flatnonzero((low < 0) & (high > 0)))
        alone = np.flatnonzero((low < 0) ^ (high > 0))
        one_sided.append((alone, np.where(high[alone] > 0, 1.0, -1.0)))
    return pinned, one_sided


def inside_rows(form: Form, problem: int, w: Array) -> np.ndarray:
    """(F, rows) bool: the rows of the loss whose dual u = f'(a_iᵀw) lies inside the domain of f*, at each fit w (F, r).

    Along a direction v that never costs anything every row grows by at least u_i a_iᵀv, and at a stationary point these
    add to 0: so no row grows by more, and those with u_i inside do not move at all.
    """
    loss, rows = form.loss, _smooth_of(form).cut(slice(None), np.array([problem]))
    shape = (1, loss.count)
    y, weights = np.broadcast_to(rows.targets, shape), np.broadcast_to(rows.weights, shape)
    u = rows.gradient(w @ loss.map.take(form.matrix).T)
    low, high = (weights * rows.term.clip_dual(np.full(shape, end), y) for end in (-np.inf, np.inf))
    return (u - low > PINNING_MARGIN * weights) & (high - u > PINNING_MARGIN * weights)


def _plainly_full(form: Form, pinned: np.ndarray, free: np.ndarray) -> bool:
    """Whether a sample of the loss's pinned rows has full column rank beyond doubt."""
    size = PINNED_SAMPLE_ROWS * -(-len(free) // 16)
    some = pinned if len(pinned) <= size else pinned[np.arange(size) * len(pinned) // size]
    if len(some) < len(free):
        return False
    base = form.loss.map
    a = (form.matrix[some + (base.first or 0)] if base.index is None else form.matrix[base.index[some, 0]])[:, free]
    gram = a.T @ a
    return bool(least_pivot(scaled_by(gram, inverse_root_diagonal(gram))) > FULL_RANK_PIVOT)


def _one_sided(form: Form, sides: Sequence[tuple[np.ndarray, Array]], free: np.ndarray) -> tuple[Array, np.ndarray]:
    """The one-sided rows as s ≤ 0 on the free columns, and which row of the loss each is (-1: of another term)."""
    parts, numbers = [], []
    for place, (term, (rows, sign)) in enumerate(zip(form.terms, sides, strict=True)):
        parts.append(sign[:, None] * term.map.take(form.matrix)[rows][:, free])
        numbers.append(rows if place == 0 else np.full(len(rows), -1))
    return np.concatenate(parts), np.concatenate(numbers)


def unit_rows(a: Array) -> Array:
    """Rows of unit length, those of length 0 left."""
    lengths = np.linalg.norm(a, axis=1)
    return a / np.where(lengths > 0, lengths, 1.0)[:, None]


def null_space(a: Array) -> Array:
    """Orthonormal v with a v = 0, as columns."""
    _, s, vt = np.linalg.svd(np.linalg.qr(a, mode="r"))
    return vt[int((s > NEGLIGIBLE_SINGULAR_VALUE * max(s[0], 1e-300)).sum()) :].T


def acting(a: Array) -> Array | None:
    """Orthonormal directions along which some row changes; None if there is none: the columns are only collinear."""
    if not a.size:
        return None
    _, s, vt = np.linalg.svd(np.linalg.qr(a, mode="r"))
    count = int((s > SLOPE_ROUNDING * np.sqrt(len(a))).sum())
    return vt[:count].T if count else None


def _separate(a: Array, counts: np.ndarray) -> np.ndarray:
    """The rows with a v < 0 for some v that has a v ≤ 0 everywhere; only rows that count are looked for."""
    separated = np.zeros(len(a), dtype=bool)
    while (wanted := counts & ~separated).any():
        v = _direction(np.unique(a[~separated], axis=0), a[wanted].sum(axis=0))
        if v is None or not (found := wanted & (a @ v < -SEPARATING_SLOPE)).any():
            break
        separated |= found
    return separated


def _direction(a: Array, objective: Array) -> Array | None:
    """v in a box with a v ≤ 0 that lowers objectiveᵀv as far as possible, checked; None if only v = 0 has that."""
    if len(objective) == 1:  # one way or none: a program would take a thousand times as long
        v = -np.sign(objective) * (a @ -np.sign(objective) <= 0).all()
    else:
        v = _program(objective / max(float(np.abs(objective).max()), 1e-300), a, np.zeros(len(a)), (-1, 1))
    if v is None or not (slopes := a @ v).min(initial=0.0) < -SEPARATING_SLOPE:
        return None
    for level in (1e-9, 1e-8, 1e-7, SEPARATING_SLOPE):  # rows that the program leaves at 0 but for its own tolerance
        still = null_space(np.concatenate([a[np.abs(slopes) <= level], np.zeros((1, len(v)))]))
        exact = still @ (still.T @ v)
        now = a @ exact
        if now.max(initial=0.0) <= SLOPE_ROUNDING and now.min(initial=0.0) < -SEPARATING_SLOPE:
            return exact
    return None


def _shortest(a: Array, separated: np.ndarray, span: Array) -> Array:
    """The v in the span with the smallest Σ|v_j| along which every separated row falls: it names few columns."""
    inside = a @ span
    fall = np.where(separated, -np.linalg.norm(a[separated], axis=1).min(), 0.0)
    size, count = span.shape
    table = np.block([[inside, np.zeros((len(a), size))], [span, -np.eye(size)], [-span, -np.eye(size)]])
    cost = np.concatenate([np.zeros(count), np.ones(size)])
    found = _program(cost, table, np.concatenate([fall, np.zeros(2 * size)]), (None, None))
    return span @ (inside[separated].sum(axis=0) if found is None else found[:count])


def _program(cost: Array, a: Array, most: Array, box: tuple[float | None, float | None]) -> Array | None:
    """argmin costᵀx subject to a x ≤ most and x in the box; None where the program finds none."""
    from scipy.optimize import linprog

    return linprog(cost, A_ub=a, b_ub=most, bounds=box, method="highs").x
