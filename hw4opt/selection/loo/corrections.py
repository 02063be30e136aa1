"""Folds of smooth losses along paths: rows are replaced by the quadratics that touch them at the full fit, and what the
slopes of each fold lack is added until nothing is lacking.

    g_f(w) = Σ_i a_i [f_i'(a_iᵀw) - f_i'(z_i) - f_i''(z_i) (a_iᵀw - z_i)],   i over the rows of fold f, z of the full fit

w ← the fold of the quadratics with g_f(w)ᵀw beside them: Newton steps of all folds with the full fit's Hessian, less the
rows that leave. Each gains a constant number of digits. At the slopes f' themselves a fold's residual is that of its
quadratics and the change of g_f, so that its gap is at most (√gap + √(cost of the change))².
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from hw4opt.form import Form, SmoothRows
from hw4opt.form.gap_cost import stationarity_cost
from hw4opt.selection.fold_fits import EXACT_GAP
from hw4opt.selection.loo.layout import Layout
from hw4opt.terms.base import Array

ROUND_LIMIT = 60
SLOW_COST_RATIO = 0.7  # of the cost before: a fold whose round leaves more is given up
FINAL_COST_SHARE = 1e-4  # of what counts as exact
NEAR_CURVATURE = 2 - 4 / math.e  # share of f'' that is left within 1/c of a point
# what a sum of held-out losses is known to: of the limit of a race, and of what gaps are relative to
LIMIT_MARGIN, GAP_MARGIN = 1e-7, 1e-10


@dataclass(frozen=True, eq=False)
class Corrections:
    """The rounds of the folds of some settings over one basis.

    quadratic      the form with the quadratics
    a (n, r)       the rows of the loss
    z, slope, bend (S, n)    their values, slopes and curvatures at the full fit
    has (F, n)     the rows of each fold
    gap_scale, limit (S,)    what gaps are relative to; what held-out losses may add up to
    gap, cost (S, F), rounds    so far; going: folds that are not done
    loss (S, F), least (S,)     what held-out losses are at least; their sum where it is above the limit, else NaN
    """

    form: Form
    quadratic: Form
    a: Array
    z: Array
    slope: Array
    bend: Array
    has: np.ndarray
    gap_scale: Array
    limit: Array
    gap: Array
    cost: Array
    rounds: np.ndarray
    going: np.ndarray
    loss: Array
    least: Array
    leverages: dict[int, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, form: Form, w: Array, layout: Layout, limit: float) -> Corrections:
        smooth, n = form.loss.smooth, form.smooth_count
        assert smooth is not None
        a, has = form.loss.map.take(form.design.matrix), layout.maps[form.loss.acts][1][:, :n]
        z = w @ a.T
        rows = smooth.quadratic_at(z, np.zeros((form.batch, 1), dtype=bool))
        bend = np.where(rows.low < rows.high, 1.0 / rows.quadratic, 0.0)
        quadratic = Form(form.design, (replace(form.loss, functions=(rows,)), *form.terms[1:]), form.penalty, form.matrix)
        shape = (form.batch, len(has))
        scale = form.gap_scale(w, np.zeros(form.batch))
        with np.errstate(invalid="ignore"):
            lowest = smooth.value(z) - smooth.excess(z)
        return cls(
            form,
            quadratic.knowing(scales=form.scales, loss_length=form.loss_length),
            a,
            z,
            smooth.gradient(z),
            bend,
            has,
            scale,
            limit + LIMIT_MARGIN * abs(limit) + GAP_MARGIN * scale,
            np.full(shape, np.inf),
            np.full(shape, np.inf),
            np.zeros(shape, dtype=int),
            np.ones(shape, dtype=bool),
            lowest @ ~has.T,
            np.full(form.batch, np.nan),
        )

    def correct(self, setting: int, w: Array, gap: Array, force: Array) -> np.ndarray:
        """After a round: g_f at w (F, r) into `force`, and the folds that need another one."""
        going = np.flatnonzero(self.going[setting])
        smooth, penalty = self.form.loss.smooth, self.form.penalty[setting]
        assert smooth is not None
        smooth, w = smooth.cut(slice(None), np.array([setting])), w[going]
        z = w @ self.a.T
        with np.errstate(over="ignore", invalid="ignore"):
            lacking = smooth.gradient(z) - self.slope[setting] - self.bend[setting] * (z - self.z[setting])
            pull = np.where(self.has[going], lacking, 0.0) @ self.a
            cost = stationarity_cost(penalty, pull - force[going], w, self.form.w_scale[setting]) / self.gap_scale[setting]
            total = np.square(np.sqrt(gap[going]) + np.sqrt(cost))
        slow = ~(cost <= SLOW_COST_RATIO * self.cost[setting, going])
        done = (cost <= FINAL_COST_SHARE * EXACT_GAP) | slow | ~np.isfinite(total) 
        self.rounds[setting, going] += 1
        self.gap[setting, going], self.cost[setting, going] = np.where(np.isfinite(total), total, np.inf), cost
        force[going] = np.where(done[:, None], 0.0, pull)
        self.going[setting, going[done]] = False
        if math.isfinite(self.limit[setting]) and self._exceeds(setting, smooth, going, z):
            self.going[setting] = False
        return self.going[setting] & (self.rounds[setting] < ROUND_LIMIT)

    def _exceeds(self, setting: int, smooth: SmoothRows, folds: np.ndarray, z: Array) -> bool:
        """Whether the held-out losses, which are convex, must add up to more than the limit."""
        fold, row = np.nonzero(~self.has[folds])
        with np.errstate(over="ignore", invalid="ignore"):
            rows, at, apart = smooth.cut(row), z[fold, row][None], self._apart(setting, folds, z)[fold, row]
            value = rows.value(at)[0]
            least = np.fmax(value - np.abs(rows.gradient(at)[0]) * apart, value - rows.excess(at)[0])
        self.loss[setting, folds] = np.bincount(fold, least, len(folds))
        total = self.loss[setting].sum()
        if total > self.limit[setting]:
            self.least[setting] = total
        return total > self.limit[setting]

    def _apart(self, setting: int, folds: np.ndarray, z: Array) -> Array:
        """How far z (F, n) of each fold is from that of its optimum at most; infinite where that is not known.

        With d between the two, Δ the largest |z - z of the full fit|, H the full fit's Hessian and h_i, v_i = a_iᵀH⁻¹a_i
        of the rows that leave: |f'''| ≤ c f'' makes gap ≥ ½ κ e^(-cΔ) (1 - Σ h_i v_i) dᵀHd where c |a_jᵀd| ≤ 1,
        κ = 2 - 4/e, and |a_jᵀd|² ≤ v_j dᵀHd.
        """
        has, leverage = self.has[folds], self._leverage(setting)
        c = self.form.loss.smooth.term.self_concordance
        away = np.where(has, np.abs(z - self.z[setting]), 0.0).max(axis=1)
        stays = np.maximum(1.0 - (~has) @ (self.bend[setting] * leverage), 0.0)
        with np.errstate(divide="ignore"):
            square = 2 * self.gap[setting, folds] * self.gap_scale[setting] / (NEAR_CURVATURE * np.exp(-c * away) * stays)
        square = np.where(c * c * square * leverage.max() <= 1.0, square, np.inf)
        return np.sqrt(square[:, None] * leverage)

    def _leverage(self, setting: int) -> Array:
        """a_iᵀH⁻¹a_i of every row, (n,)."""
        if setting not in self.leverages:
            h = (self.a.T * self.bend[setting]) @ self.a + np.diag(self.form.penalty[setting])
            root = np.linalg.cholesky(h)
            self.leverages[setting] = np.square(np.linalg.solve(root, self.a.T)).sum(axis=0)
        return self.leverages[setting]
