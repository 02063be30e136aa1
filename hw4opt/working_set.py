"""l1 on many columns: solve over those that may be used, and add what the duals say is missing.

With weight t on every |w_j| a column outside the set stays at w_j = 0 exactly as long as |a_jᵀu| ≤ t for the other terms' duals u. The
answer over the set, with u_j = -a_jᵀu outside, is then one of the whole form, whose certificate is as good as that of the small one.
(Tibshirani et al. 2012, strong rules; Massias, Gramfort and Salmon 2018, working sets.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.answer import Answer, Options
from hw4opt.balance import balance
from hw4opt.blocks import Block
from hw4opt.form import Form
from hw4opt.rows import RowMap
from hw4opt.terms import Coefficients
from hw4opt.terms.base import Array

LEAST_COLUMNS = 100  # columns from which the set is smaller by enough
FIRST_COLUMNS = 20  # columns to begin with
GROWTH = 2  # times: by what the set grows at most
PULL_ROUNDING = 1e-13  # of the weight: rounding of a_jᵀu


@dataclass(frozen=True, eq=False)
class _Lasso:
    """A form and its l1 block: place among the blocks, and the columns (p,) that its rows are the coefficients of."""

    form: Form
    place: int
    columns: np.ndarray

    def restricted(self, chosen: np.ndarray) -> Form:
        """The form over some of the l1 block's columns, and those that it does not act on."""
        form, block = self.form, self.form.blocks[self.place]
        first = block.rows.first or 0
        rows = RowMap(len(chosen), index=(first + chosen)[:, None])
        weights = block.weights if block.weights.shape[1] == 1 else block.weights[:, chosen]
        offset = block.offset if block.offset.shape[1] == 1 else block.offset[:, chosen]
        part = replace(block, rows=rows, weights=weights, offset=offset, sheets=tuple(sheet.cut(chosen) for sheet in block.sheets))
        kept = self.kept(chosen)
        blocks = (*form.blocks[: self.place], part, *form.blocks[self.place + 1 :])
        return Form(form.design, blocks, form.penalty[:, kept], form.matrix[:, kept], form.units)

    def kept(self, chosen: np.ndarray) -> np.ndarray:
        """The columns of the restricted form."""
        return np.sort(np.concatenate([chosen, np.arange(len(self.columns), self.form.penalty.shape[1])]))

    def pull(self, of_blocks: Sequence[Array]) -> Array:
        """a_jᵀu of the other blocks' duals, (b, p)."""
        spread = np.zeros((self.form.batch, len(self.form.matrix)))
        for place, (block, u) in enumerate(zip(self.form.blocks, of_blocks, strict=True)):
            if place != self.place:
                spread += block.rows.spread(u, len(self.form.matrix))
        used = np.flatnonzero(spread.any(axis=0))
        return spread[:, used] @ self.form.matrix[used][:, : len(self.columns)]

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Of the l1 block's duals, (b, 1) each."""
        sheet = self.form.blocks[self.place].sheets[0]
        assert sheet.low is not None and sheet.high is not None
        return sheet.low, sheet.high


def lasso(form: Form) -> _Lasso | None:
    """The form's l1 block over many columns; None where there is none, or where other terms act on coefficients, too."""
    places = [place for place, block in enumerate(form.blocks) if isinstance(block.acts, Coefficients)]
    if len(places) != 1 or form.design.kernel is not None:
        return None
    block = form.blocks[places[0]]
    return _Lasso(form, places[0], np.arange(block.rows.count)) if block.rows.count >= LEAST_COLUMNS and _is_l1(block) else None


def _is_l1(block: Block) -> bool:
    """One |w_j| a row: least at 0, whichever way."""
    if len(block.sheets) != 1 or block.rows.coef is not None:
        return False
    (sheet,) = block.sheets
    if sheet.low is None or sheet.high is None or sheet.low.shape[1] > 1 or sheet.active is not None:
        return False
    return not sheet.quadratic.any() and not sheet.shift.any() and bool((sheet.low < 0).all() and (sheet.high > 0).all())


def solve_over_sets(whole: _Lasso, solve: Callable[[Form, Options], Answer], options: Options) -> Answer:
    """The answer of `solve` over sets of columns that grow until none is missing."""
    form = whole.form
    zero = np.zeros_like(form.penalty)
    low, high = whole.bounds
    beyond = _beyond(whole.pull(_slopes_at(form, zero, whole.place)), low, high).max(axis=0)
    chosen = np.sort(np.argsort(-beyond, kind="stable")[:FIRST_COLUMNS])
    started = time.monotonic()
    while True:
        part = whole.restricted(chosen)
        left = None if options.time_limit is None else max(options.time_limit - (time.monotonic() - started), 1e-9)
        answer = solve(part, replace(options, time_limit=left))
        u, _ = balance(part, part.forward(answer.w), answer.u)
        of_blocks = part.duals_of_blocks(u)
        pull = whole.pull(of_blocks)
        over = _beyond(pull, low, high)
        over[:, chosen] = -np.inf
        missing = np.flatnonzero((over > PULL_ROUNDING * np.maximum(high, -low)).any(axis=0))
        if not len(missing):
            return _assembled(whole, chosen, answer, of_blocks, pull)
        most = max(GROWTH * len(chosen) - len(chosen), FIRST_COLUMNS)
        worst = missing[np.argsort(-over[:, missing].max(axis=0), kind="stable")[:most]]
        chosen = np.union1d(chosen, worst)


def _slopes_at(form: Form, w: Array, without: int) -> list[Array]:
    """A dual of every block but one at w: the slopes there, 0 where they are not finite."""
    found = [np.zeros((form.batch, block.rows.count)) for block in form.blocks]
    for piece in form.pieces:
        if piece.block != without:
            z = w @ piece.chunk.matrix.T
            slope = piece.smooth.gradient(z) if piece.sheet is None else piece.sheet.slope(z - piece.sheet.shift)  # type: ignore[union-attr]
            found[piece.block][:, piece.chunk.low : piece.chunk.high] += np.where(np.isfinite(slope), slope, 0.0)
    return found


def _beyond(pull: Array, low: Array, high: Array) -> Array:
    """How far u_j = -a_jᵀu would lie outside its interval, (b, p)."""
    return np.maximum(-pull - high, low + pull)


def _assembled(whole: _Lasso, chosen: np.ndarray, answer: Answer, of_blocks: Sequence[Array], pull: Array) -> Answer:
    """The answer of the whole form: 0 outside the set, where the duals are what balances the others'."""
    form, kept = whole.form, whole.kept(chosen)

    def widened(w: Array | None) -> Array | None:
        if w is None:
            return None
        wide = np.zeros_like(form.penalty)
        wide[:, kept] = w
        return wide

    low, high = whole.bounds
    u = np.clip(-pull, low, high)
    u[:, chosen] = of_blocks[whole.place]
    every = [u if place == whole.place else one for place, one in enumerate(of_blocks)]
    w = widened(answer.w)
    assert w is not None
    return replace(answer, w=w, u=form.split_duals(every), interior=widened(answer.interior))
