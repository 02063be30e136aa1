"""Coefficients that the duals hold at a breakpoint of their term, put there exactly: zeros of l1, ends of bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks import Piece
from hw4opt.form import Form
from hw4opt.terms import Coefficients
from hw4opt.terms.base import Array

INNER_MARGIN = 1e-7  # of the interval's width (of the largest dual where it has one end): a dual this far from the ends holds its row
NEAR_BREAKPOINT = 1e-3  # of the fitted values' scale: what a coefficient may be off its breakpoint and count as on it


@dataclass(frozen=True, eq=False)
class _Held:
    """Rows of one piece that act on coefficients: (b, m) which are held, and where their coefficients belong."""

    columns: slice
    held: np.ndarray
    place: Array


def on_breakpoints(form: Form, w: Array, u: Array) -> Array | None:
    """w (b, r) with every coefficient whose dual is strictly inside its interval, and which is near the breakpoint, on it.

    A dual u_j strictly inside the interval of ∂f at a breakpoint is in ∂f nowhere else: at the optimum the coefficient lies there.
    None where nothing moves. Whether the point proves as much is for the certificate to say.
    """
    moved = w.copy()
    for one in _held(form, w, u):
        moved[:, one.columns] = np.where(one.held, one.place, moved[:, one.columns])
    return None if np.array_equal(moved, w) else moved


def _held(form: Form, w: Array, u: Array) -> Iterator[_Held]:
    for piece in form.pieces:
        sheet = piece.sheet
        if sheet is None or not isinstance(form.blocks[piece.block].acts, Coefficients) or sheet.quadratic.any():
            continue
        low, high = (-np.inf if sheet.low is None else sheet.low), (np.inf if sheet.high is None else sheet.high)
        mine = u[:, piece.span]
        largest = np.abs(mine).max(axis=1, keepdims=True)
        margin = INNER_MARGIN * (np.where(np.isfinite(high - low), high - low, largest))
        columns = slice(piece.chunk.low, piece.chunk.high)
        place = sheet.shift / _factors(piece)
        scale = form.w_scale[:, columns]
        near = (np.abs(w[:, columns] - place) <= NEAR_BREAKPOINT * scale) | (scale == 0)
        yield _Held(columns, (mine > low + margin) & (mine < high - margin) & (margin > 0) & near, np.broadcast_to(place, near.shape))


def _factors(piece: Piece) -> Array | float:
    """z = factor · w of the piece's rows: 1, or what turns a coefficient into that of the raw column."""
    coef = piece.chunk.rows.coef
    return 1.0 if coef is None else coef[piece.chunk.low : piece.chunk.high, 0]
