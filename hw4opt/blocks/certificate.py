"""The certificate of a fit over rows in blocks: the sums of `proof.certificate`, accumulated one block at a time.

The dual point is u = f'(Aw), projected onto Cᵀu = 0 for the unpenalised columns C (form/dual_projection.py); it is
recomputed in each pass and not stored. The truncation of the kernel is bounded by (Σ_i |u_i| √d_i)²/(4 ridge) over all
rows, d = diag(K - BBᵀ).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.blocks.objective import BlockedRows
from hw4opt.blocks.reference import Trivial
from hw4opt.blocks.rows import DataRows
from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.form import BoxRows, Form
from hw4opt.form.dual_projection import sensitivity
from hw4opt.form.gap_scale import scale_of
from hw4opt.proof._row_sums import row_sums
from hw4opt.proof.certificate import Certificate, certificate_of, cost_of_residual, pull_rounding
from hw4opt.terms.base import EPS, Array

MAX_DUAL_PASSES = 6  # Newton steps, of one pass each, towards Cᵀu = 0
BALANCE_ROUNDING = 1e-13  # times √rows: |Cᵀu| relative to |C|ᵀ|u| that counts as 0


@dataclass(frozen=True, eq=False)
class _Totals:
    """Sums over rows.

    numbers    Σ of slack, f, bound of the slack's rounding, r_i, ℓ_i - r_i, u², |u| √d
    pull       Aᵀu (r,);  square  Σ a_ij² (r,);  reach  |A|ᵀ|u| (r,), empty with a ridge
    size       |C|ᵀ times the size of u that bounds the rounding of Cᵀu, (c,);  slope  -d(Cᵀu)/dν (c, c)
    tops       the two largest r_i and the two largest ℓ_i - r_i, (2, 2);  largest  max k(x, x)
    """

    numbers: Array
    pull: Array
    square: Array
    reach: Array
    size: Array
    slope: Array
    tops: Array
    largest: float

    def plus(self, other: _Totals) -> _Totals:
        """The sums over the rows of both."""
        tops = np.sort(np.concatenate([self.tops, other.tops], axis=1), axis=1)[:, -2:]
        return _Totals(
            self.numbers + other.numbers,
            self.pull + other.pull,
            self.square + other.square,
            self.reach + other.reach,
            self.size + other.size,
            self.slope + other.slope,
            tops,
            max(self.largest, other.largest),
        )


@dataclass(frozen=True, eq=False)
class BlockedProof:
    """The certificate, and the largest k(x, x) of the rows (‖x‖² of a linear design)."""

    certificate: Certificate
    largest: float


def certify(blocked: BlockedRows, w: Array, trivial: Trivial) -> BlockedProof:
    """The certificate at w (1, r): one pass over the rows, and at most MAX_DUAL_PASSES more if there are unpenalised
    columns."""
    free = np.flatnonzero(blocked.penalty[0] == 0)
    totals, balanced = _projected_totals(blocked, w, trivial, free)
    slack, value, slack_rounding, remains, lost, u_square, truncated = totals.numbers
    penalty, count, ridge = blocked.penalty, blocked.survey.count, 0.5 * float(blocked.penalty.max(initial=0.0))
    residual = penalty * w + totals.pull
    rounding = pull_rounding(count, np.sqrt(u_square * totals.square)[None], penalty, w)
    w_scale = trivial.z_scale / np.sqrt(np.maximum(totals.square / count, 1e-300))
    cost, cost_rounding = cost_of_residual(penalty, w, residual, rounding, w_scale if len(free) else None)
    penalties, gap = 0.5 * np.vecdot(w, penalty * w), slack + cost
    without_largest = np.array([remains, lost]) + (totals.tops[:, 0] - totals.tops[:, 1] if count > 1 else 0.0)
    spread_penalty = np.array([ridge * trivial.spread**2 / (totals.largest or 1.0)])
    scale = scale_of(
        without_largest[:1], without_largest[1:], penalties, gap, spread_penalty, np.array([trivial.least])
    )
    size = float(np.abs(totals.pull if ridge else totals.reach).max(initial=0.0))
    largest_residual = float(np.abs(residual).max(initial=0.0))
    stationarity = largest_residual / (size or largest_residual or 1.0)
    truncation = truncated**2 / (4 * ridge) if ridge else 0.0
    numbers = [
        *(
            0.0,
            value + penalties[0],
            gap[0],
            scale[0],
            slack_rounding + cost_rounding[0],
            stationarity,
            0.0,
            truncation,
            ridge,
        )
    ]
    certificate = certificate_of(
        "intercept" if blocked.design.intercept else None, [float(one) for one in numbers], None, balanced
    )
    return BlockedProof(certificate, totals.largest)


def _projected_totals(blocked: BlockedRows, w: Array, trivial: Trivial, free: np.ndarray) -> tuple[_Totals, bool]:
    """The sums at the projected dual, and whether Cᵀu = 0 holds to rounding."""
    shift = np.zeros(len(free))
    best = totals = _totals_at(blocked, w, trivial, free, shift)
    for _ in range(MAX_DUAL_PASSES if len(free) else 0):
        imbalance = np.abs(best.pull[free] / np.maximum(best.size, 1e-300)).max()
        if imbalance <= EPS:
            break
        root = inverse_root_diagonal(totals.slope)
        scaled = scaled_by(totals.slope, root) + 1e-12 * np.eye(len(free))
        shift = shift + root * np.linalg.solve(scaled, root * totals.pull[free])
        totals = _totals_at(blocked, w, trivial, free, shift)
        if not np.abs(totals.pull[free] / np.maximum(totals.size, 1e-300)).max() < imbalance:
            break
        best = totals
    rounding = BALANCE_ROUNDING * np.sqrt(blocked.survey.count)
    return best, not (np.abs(best.pull[free]) > rounding * best.size).any()


def _totals_at(blocked: BlockedRows, w: Array, trivial: Trivial, free: np.ndarray, shift: Array) -> _Totals:
    forms = blocked.forms
    found = blocked.total(lambda rows: _block_totals(forms.of(rows), rows, w, trivial, free, shift), _Totals.plus)
    assert found is not None
    return found


def _block_totals(form: Form, rows: DataRows, w: Array, trivial: Trivial, free: np.ndarray, shift: Array) -> _Totals:
    assert rows.x is not None
    z = form.forward(w)
    u, size, slope = _duals(form, z, free, shift, trivial.z_scale)
    sums = row_sums(form, w, z, u)
    share = trivial.share(rows.weights)
    remains = share * form.of_terms(sums.excess)[0][0]
    explained = share * form.loss.excess(trivial.constant)[0] - remains
    tops = np.stack([np.partition(np.concatenate([one, [-np.inf, -np.inf]]), -2)[-2:] for one in (remains, explained)])
    matrix, of_rows = form.matrix, form.of_terms(u)[0][0]
    diagonal = form.design.diagonal(rows.x)
    truncated = 0.0
    if form.design.kernel is not None:
        kernel_part = matrix[:, : matrix.shape[1] - form.design.intercept]
        residual_diagonal = np.maximum(diagonal - np.vecdot(kernel_part, kernel_part), 4 * EPS * diagonal)
        truncated = float(np.abs(of_rows) @ np.sqrt(residual_diagonal))
    numbers = [sums.slack[0], sums.value[0], sums.rounding[0], remains.sum(), explained.sum(), np.vecdot(u, u)[0]]
    return _Totals(
        np.array([*numbers, truncated]),
        of_rows @ matrix,
        form.operator.column_squares(form.loss.map),
        np.zeros(0) if form.penalty.any() else np.abs(of_rows) @ np.abs(matrix),
        size,
        slope,
        tops,
        float(diagonal.max()),
    )


def _duals(form: Form, z: Array, free: np.ndarray, shift: Array, typical: float) -> tuple[Array, Array, Array]:
    """u(ν) = clip(f'(z) - s·Cν), the size whose rounding bounds that of Cᵀu, and -d(Cᵀu)/dν (form/dual_projection.py);
    typical: size of z."""
    u = form.gradient(z)
    if not len(free):
        return u, np.zeros(0), np.zeros((0, 0))
    c = form.matrix[:, free]
    correction, size, slope = c @ shift, np.zeros(len(free)), np.zeros((len(free), len(free)))
    found = np.empty_like(u)
    for function, span in zip(form.loss.functions, form.spans[0], strict=True):
        change = sensitivity(function, z[:, span], u[:, span], typical)
        found[:, span] = clipped = function.clip_dual(u[:, span] - change * correction)
        size += np.abs(clipped[0]) @ np.abs(c)
        if isinstance(function, BoxRows):
            change = change * ((clipped > function.low) & (clipped < function.high))
        else:
            size += change[0] @ np.abs(c)
        slope += (c * np.broadcast_to(change, clipped.shape)[0][:, None]).T @ c
    return found, size, slope
