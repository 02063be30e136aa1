"""Whether a likelihood has a finite maximum, decided before the fit.

The Poisson log-likelihood Σ ω_i (y_i z_i - exp z_i), z = Xw + offset, is concave. It has no finite maximum exactly if
there is a direction of recession v along which it increases without attaining its supremum: x_iᵀv = 0 for y_i > 0
(otherwise -exp z or y z decreases without bound), x_iᵀv ≤ 0 for y_i = 0, and < 0 in at least one of these rows, whose
mean tends to 0. Such rows are *separated*. Without them the maximum exists, and its likelihood is the supremum of the
whole, since separated rows contribute log 1 = 0.   (Correia, Guimarães and Zylkin 2019; Haberman 1974.)

Full column rank of the rows with y > 0 therefore proves existence. Otherwise v is in their null space, and a linear
program finds it there: maximise -Σ x_iᵀv over the rows with y = 0 in a box, and repeat without the separated rows until
there are none. Only ratios within rows matter, so columns and rows are scaled to unit length first. A solution of the
program is verified: v is projected onto the null space of the rows with x_iᵀv ≈ 0, and the signs of all x_iᵀv are
checked again.

For counts truncated at 0, y = 1 takes the place of y = 0: their loss log(exp(exp z) - 1) - y z tends to 0 as z → -∞ if
y = 1, and is unbounded on both sides if y > 1. The mean of separated rows tends to 1.

The same holds for any form: the recession function of a row whose dual domain is [l, h] is h s for s = a_iᵀv > 0 and
l s for s < 0. The row *pins* s to 0 if l < 0 < h, and is *one-sided* if l or h is 0. Penalised columns have v_j = 0.
(Rockafellar 1970, §8.) It covers labels, too: each row of a logistic loss is one-sided, and separated if some direction
classifies it correctly and no row incorrectly (Albert and Anderson 1984: complete and quasi-complete separation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.design.unit_diagonal import NEGLIGIBLE_SINGULAR_VALUE, inverse_root_diagonal, least_pivot, scaled_by
from hw4opt.form import Form, SmoothRows
from hw4opt.terms.base import Array

PINNED_SAMPLE_ROWS = 2_048  # rows, per 16 columns, of the sample of pinned rows whose rank is tested first
FULL_RANK_PIVOT = 1e-8  # squared pivot of a Gram matrix with unit diagonal that proves full rank
SEPARATING_SLOPE = 1e-6  # |aᵀv| of a row a of unit length above which the row counts as separated
PINNING_MARGIN = 0.01  # distance of a dual from the bounds of its domain, relative to the weight, that pins the row
SLOPE_ROUNDING = 1e-11  # |aᵀv| of a row a of unit length up to which it counts as 0


@dataclass(frozen=True)
class Existence:
    """Whether a finite maximum exists.

    rows       the separated rows, counted from 0
    columns    the columns of the design (the intercept last) with v_j ≠ 0 in the direction of recession
    supremum   of the log-likelihood; None if it was not computed
    """

    finite: bool
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    supremum: float | None = None

    def columns_named(self, names: Sequence[str]) -> str:
        """The names of at most five columns of the direction."""
        along = " and ".join(names[column] for column in self.columns[:5]) + (
            " and others" if len(self.columns) > 5 else ""
        )
        return along or "a direction"

    def sentence(self, names: Sequence[str], least: float = 0.0) -> str:
        """The reason in words. names: of the columns; least: smallest count of the distribution."""
        few = ", ".join(map(str, self.rows[:5])) + (f" and {len(self.rows) - 5} more" if len(self.rows) > 5 else "")
        means = "the mean of one row" if len(self.rows) == 1 else f"the means of {len(self.rows)} rows"
        towards = (
            ""
            if self.supremum is None
            else f"; the log-likelihood rises towards {self.supremum:.10g} and never reaches it"
        )
        falls = f"{means} with y = {least:g} can approach {least:g} without reaching it"
        return f"along {self.columns_named(names)} {falls} (counted from 0: {few}){towards}"


def settle(form: Form, problem: int, w: Array | None = None) -> Existence:
    """Whether a problem of the form has a finite maximum; rows are those of the form's loss.

    w    (r,), a point that is stationary to rounding: it pins more rows (`inside_rows`), which can make the linear
         program unnecessary
    """
    free = np.flatnonzero(form.penalty[problem] == 0)
    if not len(free):
        return Existence(True)
    pinned, low_side = pinned_and_one_sided(form, problem)
    if _has_full_rank(form, pinned[0] if w is None else np.flatnonzero(inside_rows(form, problem, w[None])[0]), free):
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
    """For rows with a v ≤ 0: which of them some direction v in `span` separates, and the columns of the direction of
    smallest ℓ1 norm; None if there is no such direction.

    a        (m, r) rows;  span (r, k)  orthonormal columns
    counts   (m,) the rows whose separation matters
    """
    inside = unit_rows(a) @ span
    inside[np.linalg.norm(inside, axis=1) <= SLOPE_ROUNDING] = 0.0
    directions = row_space(inside)
    if directions is None:
        return None
    separated = _separate(unit_rows(inside @ directions), counts)
    if not separated.any():
        return None
    part = np.abs(_shortest(a, separated, span))
    return separated, np.flatnonzero(part > SEPARATING_SLOPE * part.max())


def pinned_rows(form: Form, problem: int) -> np.ndarray:
    """The indices of the loss's rows that pin a_iᵀv to 0 in every direction of recession v."""
    return pinned_and_one_sided(form, problem)[0][0]


def without(form: Form, rows: Sequence[int]) -> Form:
    """The form of one problem with weight 0 for some rows of the loss."""
    loss, smooth = form.loss, _smooth_of(form)
    weights = np.broadcast_to(loss.weights, (1, loss.count)).copy()
    weights[:, list(rows)] = 0.0
    lone = replace(loss, weights=weights, functions=(replace(smooth, weights=weights),))
    return replace(form, terms=(lone, *form.terms[1:]))


def _smooth_of(form: Form) -> SmoothRows:
    """The rows of the form's loss, which must be smooth."""
    (rows,) = form.loss.functions
    assert isinstance(rows, SmoothRows)
    return rows


def pinned_and_one_sided(form: Form, problem: int) -> tuple[list[np.ndarray], list[tuple[np.ndarray, Array]]]:
    """For each term: the rows that pin s = a_iᵀv to 0, and the one-sided rows with the sign for which sign · s ≤ 0."""
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
    """(F, rows) bool: whether the dual u_i = f'(a_iᵀw) of a row of the loss is strictly inside the domain of f*, at
    each stationary point w (F, r).

    Such a row pins a_iᵀv to 0: the recession function of row i is at least u_i a_iᵀv, with equality only for a_iᵀv = 0
    if u_i is inside; the u_i a_iᵀv add up to 0 at a stationary point, and the recession functions to at most 0.
    """
    loss, rows = form.loss, _smooth_of(form).cut(slice(None), np.array([problem]))
    shape = (1, loss.count)
    y, weights = np.broadcast_to(rows.targets, shape), np.broadcast_to(rows.weights, shape)
    u = rows.gradient(w @ loss.map.take(form.matrix).T)
    low, high = (weights * rows.term.clip_dual(np.full(shape, end), y) for end in (-np.inf, np.inf))
    return (u - low > PINNING_MARGIN * weights) & (high - u > PINNING_MARGIN * weights)


def _has_full_rank(form: Form, pinned: np.ndarray, free: np.ndarray) -> bool:
    """Whether a sample of the loss's pinned rows has full column rank, beyond rounding."""
    size = PINNED_SAMPLE_ROWS * -(-len(free) // 16)
    some = pinned if len(pinned) <= size else pinned[np.arange(size) * len(pinned) // size]
    if len(some) < len(free):
        return False
    base = form.loss.map
    a = (form.matrix[some + (base.first or 0)] if base.index is None else form.matrix[base.index[some, 0]])[:, free]
    gram = a.T @ a
    return bool(least_pivot(scaled_by(gram, inverse_root_diagonal(gram))) > FULL_RANK_PIVOT)


def _one_sided(form: Form, sides: Sequence[tuple[np.ndarray, Array]], free: np.ndarray) -> tuple[Array, np.ndarray]:
    """The one-sided rows on the unpenalised columns, with the sign for which a v ≤ 0, and the index of each in the loss
    (-1 for rows of other terms)."""
    parts, numbers = [], []
    for place, (term, (rows, sign)) in enumerate(zip(form.terms, sides, strict=True)):
        parts.append(sign[:, None] * term.map.take(form.matrix)[rows][:, free])
        numbers.append(rows if place == 0 else np.full(len(rows), -1))
    return np.concatenate(parts), np.concatenate(numbers)


def unit_rows(a: Array) -> Array:
    """The rows scaled to unit length; rows of 0 stay 0."""
    lengths = np.linalg.norm(a, axis=1)
    return a / np.where(lengths > 0, lengths, 1.0)[:, None]


def null_space(a: Array) -> Array:
    """An orthonormal basis of {v: a v = 0}, as columns."""
    _, s, vt = np.linalg.svd(np.linalg.qr(a, mode="r"))
    return vt[int((s > NEGLIGIBLE_SINGULAR_VALUE * max(s[0], 1e-300)).sum()) :].T


def row_space(a: Array) -> Array | None:
    """An orthonormal basis of the row space of a, as columns; None if a is 0 up to rounding: then the columns are only
    collinear."""
    if not a.size:
        return None
    _, s, vt = np.linalg.svd(np.linalg.qr(a, mode="r"))
    count = int((s > SLOPE_ROUNDING * np.sqrt(len(a))).sum())
    return vt[:count].T if count else None


def _separate(a: Array, counts: np.ndarray) -> np.ndarray:
    """(m,) bool: the rows of `counts` with a_iᵀv < 0 for some v with a v ≤ 0."""
    separated = np.zeros(len(a), dtype=bool)
    while (remaining := counts & ~separated).any():
        v = _direction(np.unique(a[~separated], axis=0), a[remaining].sum(axis=0))
        if v is None or not (found := remaining & (a @ v < -SEPARATING_SLOPE)).any():
            break
        separated |= found
    return separated


def _direction(a: Array, objective: Array) -> Array | None:
    """argmin objectiveᵀv in the box |v_j| ≤ 1 subject to a v ≤ 0; None if it is 0 or fails the verification."""
    if len(objective) == 1:  # v = ±1 or none: a thousand times as fast as a linear program
        v = -np.sign(objective) * (a @ -np.sign(objective) <= 0).all()
    else:
        v = _program(objective / max(float(np.abs(objective).max()), 1e-300), a, np.zeros(len(a)), (-1, 1))
    if v is None or not (slopes := a @ v).min(initial=0.0) < -SEPARATING_SLOPE:
        return None
    for level in (1e-9, 1e-8, 1e-7, SEPARATING_SLOPE):  # slopes that are 0 up to the program's tolerance
        null = null_space(np.concatenate([a[np.abs(slopes) <= level], np.zeros((1, len(v)))]))
        exact = null @ (null.T @ v)
        exact_slopes = a @ exact
        if exact_slopes.max(initial=0.0) <= SLOPE_ROUNDING and exact_slopes.min(initial=0.0) < -SEPARATING_SLOPE:
            return exact
    return None


def _shortest(a: Array, separated: np.ndarray, span: Array) -> Array:
    """The v in `span` of smallest ℓ1 norm with a_iᵀv < 0 for all separated rows: it has few nonzero columns."""
    inside = a @ span
    fall = np.where(separated, -np.linalg.norm(a[separated], axis=1).min(), 0.0)
    size, count = span.shape
    table = np.block([[inside, np.zeros((len(a), size))], [span, -np.eye(size)], [-span, -np.eye(size)]])
    cost = np.concatenate([np.zeros(count), np.ones(size)])
    found = _program(cost, table, np.concatenate([fall, np.zeros(2 * size)]), (None, None))
    return span @ (inside[separated].sum(axis=0) if found is None else found[:count])


def _program(cost: Array, a: Array, most: Array, box: tuple[float | None, float | None]) -> Array | None:
    """argmin costᵀx subject to a x ≤ most and x in the box; None if HiGHS finds none."""
    from scipy.optimize import linprog

    return linprog(cost, A_ub=a, b_ub=most, bounds=box, method="highs").x
