"""l1 on many columns: solve over a working set of columns, and add those that violate the dual constraint.

With weight t on every |w_j| a column outside the set is 0 at the optimum if |a_jᵀu| ≤ t for the other terms' duals u.
The answer over the set, with u_j = -a_jᵀu outside, is then one of the whole form, with the same gap. (Tibshirani et
al. 2012, strong rules; Massias, Gramfort and Salmon 2018, working sets.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.form import BoxRows, Form, TermRows
from hw4opt.form.answer import Answer, Options, Start
from hw4opt.form.dual_projection import project_dual
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap

LEAST_COLUMNS = 100  # columns from which working sets are used
FIRST_COLUMNS = 20  # columns to begin with
GROWTH = 2  # largest factor by which the set grows
PULL_ROUNDING = 1e-13  # of the weight: rounding of a_jᵀu


@dataclass(frozen=True, eq=False)
class _Lasso:
    """A form and its l1 term: its index, and the columns (p,) whose coefficients are its rows."""

    form: Form
    place: int
    columns: np.ndarray

    def restricted(self, chosen: np.ndarray) -> Form:
        """The form over some of the l1 term's columns, and all columns that it does not act on."""
        form, term = self.form, self.form.terms[self.place]
        rows = RowMap(len(chosen), index=((term.map.first or 0) + chosen)[:, None])
        weights, offset = (one if one.shape[1] == 1 else one[:, chosen] for one in (term.weights, term.offset))
        part = TermRows(term.terms, rows, offset, weights, (self.box.cut(chosen),))
        kept = self.kept(chosen)
        terms = (*form.terms[: self.place], part, *form.terms[self.place + 1 :])
        return Form(form.design, terms, form.penalty[:, kept], form.matrix[:, kept], form.units)

    def kept(self, chosen: np.ndarray) -> np.ndarray:
        """The columns of the restricted form."""
        return np.sort(np.concatenate([chosen, np.arange(len(self.columns), self.form.penalty.shape[1])]))

    def pull(self, of_terms: Sequence[Array]) -> Array:
        """a_jᵀu of the other terms' duals, (b, p)."""
        spread = np.zeros((self.form.batch, len(self.form.matrix)))
        for place, (term, u) in enumerate(zip(self.form.terms, of_terms, strict=True)):
            if place != self.place:
                spread += term.map.spread(u, len(self.form.matrix))
        used = np.flatnonzero(spread.any(axis=0))
        return spread[:, used] @ self.form.matrix[used][:, : len(self.columns)]

    @property
    def box(self) -> BoxRows:
        """The l1 term's function, whose duals have bounds (b, 1)."""
        return self.form.terms[self.place].boxes[0]


def lasso(form: Form) -> _Lasso | None:
    """The form's l1 term over many columns; None where there is none, or where other terms act on coefficients, too."""
    places = [place for place, term in enumerate(form.terms) if term.acts.of_coefficients]
    if len(places) != 1 or form.design.kernel is not None or form.design.curves > 1:
        return None
    term = form.terms[places[0]]
    return _Lasso(form, places[0], np.arange(term.count)) if term.count >= LEAST_COLUMNS and _is_l1(term) else None


def _is_l1(term: TermRows) -> bool:
    """Whether every row is one |w_j|, with its minimum at 0."""
    if len(term.functions) != 1 or not term.boxes or term.map.coef is not None:
        return False
    (box,) = term.boxes
    if box.low.shape[1] > 1 or not np.isfinite(box.low).all() or not np.isfinite(box.high).all():
        return False
    return not box.quadratic.any() and not box.shift.any() and bool((box.low < 0).all() and (box.high > 0).all())


def solve_over_sets(whole: _Lasso, solve: Callable[[Form, Options, Start | None], Answer], options: Options) -> Answer:
    """The answer of `solve` over sets of columns that grow until no column is missing."""
    form, low, high = whole.form, whole.box.low, whole.box.high
    beyond = _beyond(whole.pull(_slopes_at_zero(form)), low, high).max(axis=0)
    chosen = np.sort(np.argsort(-beyond, kind="stable")[:FIRST_COLUMNS])
    started = time.monotonic()
    while True:
        part = whole.restricted(chosen)
        left = None if options.time_limit is None else max(options.time_limit - (time.monotonic() - started), 1e-9)
        answer = solve(part, replace(options, time_limit=left), None)
        of_terms = part.of_terms(project_dual(part, part.forward(answer.w), answer.u).u)
        pull = whole.pull(of_terms)
        over = _beyond(pull, low, high)
        over[:, chosen] = -np.inf
        missing = np.flatnonzero((over > PULL_ROUNDING * np.maximum(high, -low)).any(axis=0))
        if not len(missing):
            return _assembled(whole, chosen, answer, of_terms, pull)
        most = max(GROWTH * len(chosen) - len(chosen), FIRST_COLUMNS)
        worst = missing[np.argsort(-over[:, missing].max(axis=0), kind="stable")[:most]]
        chosen = np.union1d(chosen, worst)


def _slopes_at_zero(form: Form) -> list[Array]:
    """A dual of every term at w = 0: the slopes there, 0 where they are not finite."""
    slopes = form.gradient(np.zeros((form.batch, form.size)))
    return form.of_terms(np.where(np.isfinite(slopes), slopes, 0.0))


def _beyond(pull: Array, low: Array, high: Array) -> Array:
    """The distance of u_j = -a_jᵀu from its interval, (b, p)."""
    return np.maximum(-pull - high, low + pull)


def _assembled(whole: _Lasso, chosen: np.ndarray, answer: Answer, of_terms: Sequence[Array], pull: Array) -> Answer:
    """The answer of the whole form: w is 0 outside the set, where the duals balance those of the other terms."""
    form, kept = whole.form, whole.kept(chosen)

    def widened(w: Array) -> Array:
        wide = np.zeros_like(form.penalty)
        wide[:, kept] = w
        return wide

    u = np.clip(-pull, whole.box.low, whole.box.high)
    u[:, chosen] = of_terms[whole.place]
    every = [u if place == whole.place else one for place, one in enumerate(of_terms)]
    interior = None if answer.interior is None else widened(answer.interior)
    return replace(answer, w=widened(answer.w), u=form.split_duals(every), interior=interior)
