"""Folds of smooth losses along paths: rows are replaced by the quadratics that touch them at the full fit, and what the
slopes of each fold lack is added until nothing is lacking.

    g_f(w) = Σ_i a_i [f_i'(a_iᵀw) - f_i'(z_i) - f_i''(z_i) (a_iᵀw - z_i)],   i over the rows of fold f, z of the full fit

w ← the fold of the quadratics with g_f(w)ᵀw beside them: Newton steps of all folds with the full fit's Hessian, less the
rows that leave. Each gains a constant number of digits. At the slopes f' themselves a fold's residual is that of its
quadratics and the change of g_f, so that its gap is at most (√gap + √(cost of the change))².
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.form import Form, SmoothRows
from hw4opt.form.gap_cost import stationarity_cost
from hw4opt.selection.fold_fits import EXACT_GAP
from hw4opt.selection.loo.layout import Layout
from hw4opt.terms.base import Array

ROUND_LIMIT = 60
SLOW_COST_RATIO = 0.7  # of the cost before: a fold whose round leaves more is given up
FINAL_COST_SHARE = 1e-4  # of what counts as exact
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
        """Whether the held-out losses must add up to more than the limit: each is convex, and z of a fold's optimum is
        within √(2 gap Σ_j a_j²/p_j) of its own."""
        fold, row = np.nonzero(~self.has[folds])
        gap = self.gap[setting, folds][fold]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            reach = np.square(self.a[row] / np.sqrt(self.form.penalty[setting])).sum(axis=1)
            apart = np.where(gap <= EXACT_GAP, 0.0, np.sqrt(2 * gap * self.gap_scale[setting] * reach))
            rows, at = smooth.cut(row), z[fold, row][None]
            value = rows.value(at)[0]
            least = np.fmax(value - np.abs(rows.gradient(at)[0]) * apart, value - rows.excess(at)[0])
        self.loss[setting, folds] = np.bincount(fold, least, len(folds))
        total = self.loss[setting].sum()
        if total > self.limit[setting]:
            self.least[setting] = total
        return total > self.limit[setting]
