"""The certificate of a fit over rows in blocks: the same sums as `proof.certificate`, a block at a time.

Duals are the slopes of the rows at w, moved by the unpenalised columns until these balance (form/dual_projection.py);
none is kept. What the basis leaves out of the kernel counts by its bound (Σ_i |u_i| √d_i)²/(4 ridge), over all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.blocks.objective import BlockedRows
from hw4opt.blocks.reference import Trivial
from hw4opt.blocks.rows import DataRows
from hw4opt.design.unit_diagonal import inverse_root_diagonal, scaled_by
from hw4opt.form import BoxRows, Form
from hw4opt.form.gap_scale import scale_of
from hw4opt.proof._row_sums import row_sums
from hw4opt.proof.certificate import Certificate, certificate_of, cost_of_residual, pull_rounding
from hw4opt.terms.base import EPS, Array

MAX_DUAL_PASSES = 6  # passes in which unpenalised columns are balanced
BALANCE_ROUNDING = 1e-13  # times √rows, of |C|ᵀ|u|: what may be left of a balanced column


@dataclass(frozen=True, eq=False)
class _Totals:
    """Sums over rows: slack, f, what rounding may do to the slack, r_i, ℓ_i - r_i, u², |u| √d; Aᵀu, squares of A and,
    without ridge, |u|ᵀ|A| by column, (r,); of unpenalised columns what their pull may be off by the rounding of, (c,),
    and its slope (c, c). And the two largest r_i and ℓ_i - r_i, (2, 2), and the largest k(x, x)."""

    numbers: Array
    pull: Array
    square: Array
    reach: Array
    size: Array
    slope: Array
    tops: Array
    largest: float

    def plus(self, other: _Totals) -> _Totals:
        """Of both together."""
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
    """The certificate at w (1, r), by one pass over the rows, and as many more as balance unpenalised columns."""
    free = np.flatnonzero(blocked.penalty[0] == 0)
    totals, balanced = _balanced(blocked, w, trivial, free)
    slack, value, unsure, remains, lost, u_square, left_out = totals.numbers
    penalty, count, ridge = blocked.penalty, blocked.survey.count, 0.5 * float(blocked.penalty.max(initial=0.0))
    residual = penalty * w + totals.pull
    rounding = pull_rounding(count, np.sqrt(u_square * totals.square)[None], penalty, w)
    w_scale = trivial.z_scale / np.sqrt(np.maximum(totals.square / count, 1e-300))
    cost, of_cost = cost_of_residual(penalty, w, residual, rounding, w_scale if len(free) else None)
    charged, gap = 0.5 * np.vecdot(w, penalty * w), slack + cost
    without = np.array([remains, lost]) + (totals.tops[:, 0] - totals.tops[:, 1] if count > 1 else 0.0)
    spread_charged = np.array([ridge * trivial.spread**2 / (totals.largest or 1.0)])
    scale = scale_of(without[:1], without[1:], charged, gap, spread_charged, np.array([trivial.least]))
    size = float(np.abs(totals.pull if ridge else totals.reach).max(initial=0.0))
    off = float(np.abs(residual).max(initial=0.0))
    stationarity = off / (size or off or 1.0)
    truncation = left_out**2 / (4 * ridge) if ridge else 0.0
    numbers = [*(0.0, value + charged[0], gap[0], scale[0], unsure + of_cost[0], stationarity, 0.0, truncation, ridge)]
    certificate = certificate_of(
        "intercept" if blocked.design.intercept else None, [float(one) for one in numbers], None, balanced
    )
    return BlockedProof(certificate, totals.largest)


def _balanced(blocked: BlockedRows, w: Array, trivial: Trivial, free: np.ndarray) -> tuple[_Totals, bool]:
    """The sums at duals that balance the unpenalised columns, and whether they do."""
    shift = np.zeros(len(free))
    best = totals = _pass(blocked, w, trivial, free, shift)
    for _ in range(MAX_DUAL_PASSES if len(free) else 0):
        off = np.abs(best.pull[free] / np.maximum(best.size, 1e-300)).max()
        if off <= EPS:
            break
        root = inverse_root_diagonal(totals.slope)
        scaled = scaled_by(totals.slope, root) + 1e-12 * np.eye(len(free))
        shift = shift + root * np.linalg.solve(scaled, root * totals.pull[free])
        totals = _pass(blocked, w, trivial, free, shift)
        if not np.abs(totals.pull[free] / np.maximum(totals.size, 1e-300)).max() < off:
            break
        best = totals
    level = BALANCE_ROUNDING * np.sqrt(blocked.survey.count)
    return best, not (np.abs(best.pull[free]) > level * best.size).any()


def _pass(blocked: BlockedRows, w: Array, trivial: Trivial, free: np.ndarray, shift: Array) -> _Totals:
    forms = blocked.forms
    found = blocked.total(lambda rows: _of_block(forms.of(rows), rows, w, trivial, free, shift), _Totals.plus)
    assert found is not None
    return found


def _of_block(form: Form, rows: DataRows, w: Array, trivial: Trivial, free: np.ndarray, shift: Array) -> _Totals:
    assert rows.x is not None
    z = form.forward(w)
    u, size, slope = _duals(form, z, free, shift)
    sums = row_sums(form, w, z, u)
    share = trivial.share(rows.weights)
    remains = share * form.of_terms(sums.excess)[0][0]
    explained = share * form.loss.excess(trivial.constant)[0] - remains
    tops = np.stack([np.partition(np.concatenate([one, [-np.inf, -np.inf]]), -2)[-2:] for one in (remains, explained)])
    matrix, of_rows = form.matrix, form.of_terms(u)[0][0]
    exact = form.design.diagonal(rows.x)
    left_out = 0.0
    if form.design.kernel is not None:
        kernel_part = matrix[:, : matrix.shape[1] - form.design.intercept]
        left = np.maximum(exact - np.vecdot(kernel_part, kernel_part), 4 * EPS * exact)
        left_out = float(np.abs(of_rows) @ np.sqrt(left))
    numbers = [sums.slack[0], sums.value[0], sums.rounding[0], remains.sum(), explained.sum(), np.vecdot(u, u)[0]]
    return _Totals(
        np.array([*numbers, left_out]),
        of_rows @ matrix,
        form.operator.column_squares(form.loss.map),
        np.zeros(0) if form.penalty.any() else np.abs(of_rows) @ np.abs(matrix),
        size,
        slope,
        tops,
        float(exact.max()),
    )


def _duals(form: Form, z: Array, free: np.ndarray, shift: Array) -> tuple[Array, Array, Array]:
    """u(ν) = clip(f'(z) - s·Cν), what Cᵀu may be off by the rounding of, and -d(Cᵀu)/dν; s is f'' of smooth rows, else
    1 (form/dual_projection.py)."""
    u = form.gradient(z)
    if not len(free):
        return u, np.zeros(0), np.zeros((0, 0))
    c = form.matrix[:, free]
    by, size, slope = c @ shift, np.zeros(len(free)), np.zeros((len(free), len(free)))
    found = np.empty_like(u)
    for function, span in zip(form.loss.functions, form.spans[0], strict=True):
        box = isinstance(function, BoxRows)
        bend = np.ones((1, 1)) if box else function.curvature(z)
        found[:, span] = mine = function.clip_dual(u[:, span] - bend * by)
        moves = ((mine > function.low) & (mine < function.high)) if isinstance(function, BoxRows) else bend
        size += np.abs(mine[0]) @ np.abs(c) + (0.0 if box else bend[0] @ np.abs(c))
        slope += (c * np.broadcast_to(moves, mine.shape)[0][:, None]).T @ c
    return found, size, slope
