"""Effective degrees of freedom of a fit: the sensitivity of its fitted values to the targets.

    df = Σ_i ∂f_i/∂y_i      (Efron 1986; Ye 1998)

As long as no row changes its state, f is a smooth function of y: rows with curvature h_i are quadratic in a_iᵀw, rows
without curvature whose dual lies strictly between its bounds hold a_iᵀw at their breakpoint, and the others are linear.
With E the held rows, N a basis of their null space, H = P + Σ h_i a_i a_iᵀ, and G that sum over the rows of the loss,

    df = tr((NᵀHN)⁺ NᵀGN) + (rank of E - rank of E without the loss's rows).

For squared loss with ridge that is the trace of the hat matrix; for the lasso, the number of nonzero coefficients (Zou,
Hastie and Tibshirani 2007); for quantile regression, the number of interpolated rows (Koenker, Ng and Portnoy 1994);
for total variation, the number of pieces (Tibshirani and Taylor 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.form import BoxRows, Form, Rows
from hw4opt.terms.base import Array

HELD_RANK_TOLERANCE = 1e-12  # singular value of unit rows, relative to the largest, below which they are dependent
NEGLIGIBLE_EIGENVALUE = 1e-12  # of NᵀHN with unit diagonal, relative to the largest


class _Rows(NamedTuple):
    """The sums over some rows: Σ h a aᵀ (r, r), and a triangle (m, r) whose null space is that of the held rows."""

    gram: Array
    held: Array

    def joined(self, a: Array, curvature: Array, is_held: Array) -> _Rows:
        """With further rows a (m, r)."""
        held = np.concatenate([self.held, a[is_held > 0]])
        return _Rows(
            self.gram + (a.T * curvature) @ a,
            np.asarray(np.linalg.qr(held, mode="r")) if len(held) > a.shape[1] else held,
        )


@dataclass(frozen=True, eq=False)
class _Response:
    """The derivative of w by y: Σ h a aᵀ and the held rows, of the loss and of all else; N(NᵀHN)⁺Nᵀ = moved movedᵀ."""

    loss: _Rows
    others: _Rows
    scale: Array  # (r,) of the columns, which makes H one of unit diagonal
    rank: int
    moved: Array

    @classmethod
    def of(cls, form: Form, w: Array, u: Array) -> _Response:
        size, end_of_loss = len(w), form.spans[0][-1].stop
        loss, others = (
            _Rows(np.zeros((size, size)), np.zeros((0, size))),
            _Rows(np.diag(form.penalty[0]), np.zeros((0, size))),
        )
        z, states = form.forward(w[None])[0], np.zeros((2, form.size))  # curvature, and whether a row is held
        for piece in form.pieces:
            states[:, piece.span] = _states(piece.rows, z[piece.span], u[piece.span])
        for block in form.blocks:
            before = max(min(end_of_loss - block.span.start, block.count), 0)
            curvature, is_held = states[:, block.span]
            loss = loss.joined(block.matrix[:before], curvature[:before], is_held[:before])
            others = others.joined(block.matrix[before:], curvature[before:], is_held[before:])
        total = loss.gram + others.gram
        scale = 1 / np.sqrt(np.maximum(np.diagonal(total), 0) + form.proximal_term[0])
        null, rank = _null_space(np.concatenate([others.held, loss.held]) * scale)
        basis = scale[:, None] * null
        values, vectors = np.linalg.eigh(basis.T @ total @ basis)
        kept = values > NEGLIGIBLE_EIGENVALUE * values.max(initial=0.0)
        return cls(loss, others, scale, rank, basis @ (vectors[:, kept] / np.sqrt(values[kept])))


def effective_degrees_of_freedom(form: Form, w: Array, u: Array) -> float:
    """Σ ∂f_i/∂y_i at the optimum w (r,) with duals u (M,) of a form of one problem; between 0 and r."""
    found = _Response.of(form, w, u)
    _, rank_of_terms = _null_space(found.others.held * found.scale)
    smooth = float(np.einsum("ij,ik,kj->", found.moved, found.loss.gram, found.moved))
    return smooth + found.rank - rank_of_terms


def degrees_of_columns(form: Form, w: Array, u: Array) -> Array:
    """Σ_i a_ij ∂w_j/∂y_i over the loss's rows, (r,): the share of each column in the effective degrees of freedom.

    The derivative of w by the targets of held rows E is (I - N(NᵀHN)⁺NᵀH) E⁺; of dependent rows, the smallest such w.
    """
    found = _Response.of(form, w, u)
    smooth = np.einsum("ij,ij->i", found.moved, found.loss.gram.T @ found.moved)
    if not len(found.loss.held):
        return smooth
    held = np.concatenate([found.others.held, found.loss.held]) * found.scale
    inverse = np.linalg.pinv(held, rcond=HELD_RANK_TOLERANCE)
    own = found.loss.held * found.scale
    lifted = found.scale[:, None] * (inverse @ inverse.T) @ own.T @ own / found.scale
    follows = found.moved @ (found.moved.T @ ((found.loss.gram + found.others.gram) @ lifted))
    return smooth + np.diagonal(lifted - follows)


def _states(rows: Rows, z: Array, u: Array) -> tuple[Array, Array]:
    """The curvature of each row, and 1 where it is held: without curvature, and its dual farther from its bounds than z
    is from the breakpoint, both distances relative to the largest of their kind."""
    curvature = rows.curvature(z[None])[0]
    if not isinstance(rows, BoxRows):
        return curvature, np.zeros(len(z))
    flat = np.broadcast_to(rows.flat[0], z.shape)
    room = np.where(flat, np.minimum(u - rows.low, rows.high - u), 0.0)[0]
    apart = np.abs(z - rows.shift)[0]
    held = (room > 0) & (room * apart.max(where=flat, initial=0.0) >= apart * np.abs(u).max(initial=0.0))
    return np.where(flat, 0.0, curvature), held


def _null_space(rows: Array) -> tuple[Array, int]:
    """An orthonormal basis (r, r - rank) of the null space of rows (m, r), normalized first, and their rank."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    if not len(unit):
        return np.eye(rows.shape[1]), 0
    _, values, v = np.linalg.svd(unit)
    rank = int((values > HELD_RANK_TOLERANCE * values[0]).sum())
    return v[rank:].T, rank
