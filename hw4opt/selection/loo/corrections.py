"""Folds of smooth losses with other terms: those of quadratic approximations of the loss, corrected in rounds.

At the full fit each f_i is replaced by its second-order expansion. The error of a fold's gradient,

    g(w) = Σ_i a_i [f_i'(a_iᵀw) - f_i'(z_i) - f_i''(z_i) (a_iᵀw - z_i)],      i over the fold's rows, z of the full fit,

is added as a linear term, and w ← the fold of the quadratics with g(w)ᵀw added: proximal Newton steps of all folds with
the full fit's Hessian, less the held-out rows, which converge linearly (Lee, Sun and Saunders 2014). At the duals f' a
fold's residual is that of its quadratics plus the change of g: its gap is at most (√gap + √(cost of the change))².
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hw4opt.core.folds import FoldTable, folds
from hw4opt.form import BoxRows, Form, SmoothRows
from hw4opt.form.gap_cost import stationarity_cost
from hw4opt.form.gap_scale import relative_gap
from hw4opt.selection.fold_fits import EXACT_GAP, FoldFits
from hw4opt.selection.loo.layout import Layout
from hw4opt.selection.loo.path import GAP_MARGIN, LIMIT_MARGIN, FullFits, fold_table
from hw4opt.terms.base import Array

ROUND_LIMIT = 60
SLOW_COST_RATIO = 0.7  # of the cost before: a fold with a larger ratio after a round is given up
FINAL_COST_SHARE = 1e-4  # of the gap that counts as exact
NEAR_CURVATURE = 2 - 4 / math.e  # share of a curvature that counts within 1/c of a point, where |f'''| ≤ c f''


def solve_folds(fits: Sequence[FullFits], layout: Layout, limit: float = math.inf) -> list[FoldFits]:
    """The fits of every fold, basis by basis; but a setting is dropped once its held-out losses must exceed a limit."""
    settings = [[Corrections.of(one.cut(np.array([k])), layout, limit) for k in range(one.form.batch)] for one in fits]
    points = folds([_table(one, mine, layout) for one, mine in zip(fits, settings, strict=True)])
    found = []
    for one, mine in zip(points, settings, strict=True):
        gap, rounds, least = (np.array([getattr(its, name) for its in mine]) for name in ("gap", "rounds", "least"))
        found.append(FoldFits(one.w, gap, rounds, least if math.isfinite(limit) else None))
    return found


def _table(fits: FullFits, settings: Sequence[Corrections], layout: Layout) -> FoldTable:
    """The table of the quadratics; the last row of every fold is the linear function that corrects it."""
    form, parts = fits.form, [its.quadratic for its in settings]
    arrays = ([getattr(part, name) for part in parts] for name in ("quadratic", "shift", "low", "high"))
    loss = replace(form.loss, functions=(BoxRows(*map(np.concatenate, arrays)),))
    quadratic = Form(form.design, (loss, *form.terms[1:]), form.penalty, form.matrix)
    table = fold_table(replace(fits, form=quadratic.knowing(scales=form.scales)), layout)
    (begins, rows), size = table.enter, len(table.a)
    return replace(
        table,
        a=np.concatenate([table.a, np.zeros((1, table.a.shape[1]))]),
        unit=np.append(table.unit, 1.0),
        **{name: _one_more(getattr(table, name), value) for name, value in (("q", 0.0), ("t", 0.0))},
        **{name: _one_more(getattr(table, name), 1.0) for name in ("low", "high")},
        enter=(begins + np.arange(len(begins)), np.insert(rows, begins[1:], size)),
        gap_scale=np.array([its.gap_scale for its in settings]),
        correct=[its.correct for its in settings],
    )


def _one_more(array: Array, value: float) -> Array:
    return np.concatenate([array, np.full((len(array), 1), value)], axis=1)


@dataclass(eq=False)
class Corrections:
    """The rounds of one setting's folds.

    form, w (1, r)             the full fit
    a (n, r), has (F, n)       the loss's rows, and which of them each fold has
    gap_scale, limit           the unit of relative gaps; the largest sum of held-out losses
    gap, cost, rounds (F,)     relative gap, cost of the change of g, rounds so far;  going (F,): folds not done
    losses (F,)                lower bounds of held-out losses;  least: their sum above the limit, else NaN
    """

    form: Form
    w: Array
    a: Array
    has: np.ndarray
    gap_scale: float
    limit: float
    gap: Array
    cost: Array
    rounds: np.ndarray
    going: np.ndarray
    losses: Array
    least: float = math.nan

    @classmethod
    def of(cls, fits: FullFits, layout: Layout, limit: float) -> Corrections:
        form, has = fits.form, layout.maps[fits.form.loss.acts][1][:, : fits.form.smooth_count]
        scale, (count, _) = float(form.gap_scale(fits.w, np.zeros(1))[0]), has.shape
        found = cls(
            form=form,
            w=fits.w,
            a=form.loss.map.take(form.design.matrix),
            has=has,
            gap_scale=scale,
            limit=limit + LIMIT_MARGIN * abs(limit) + GAP_MARGIN * scale,
            gap=np.full(count, np.inf),
            cost=np.full(count, np.inf),
            rounds=np.zeros(count, dtype=int),
            going=np.ones(count, dtype=bool),
            losses=np.full(count, -np.inf),
        )
        return found

    @cached_property
    def smooth(self) -> SmoothRows:
        """The loss."""
        (rows,) = self.form.loss.functions
        assert isinstance(rows, SmoothRows)
        return rows

    @cached_property
    def z(self) -> Array:
        """(1, n) at the full fit."""
        return self.w @ self.a.T

    @cached_property
    def quadratic(self) -> BoxRows:
        """The second-order expansions of the loss there; linear where it has no curvature."""
        return self.smooth.quadratic_at(self.z, np.zeros((1, 1), dtype=bool))

    @cached_property
    def bend(self) -> Array:
        """Their curvatures, (1, n)."""
        return np.where(self.quadratic.open, 1.0 / self.quadratic.quadratic, 0.0)

    @cached_property
    def slope(self) -> Array:
        """Their slopes at z, (1, n)."""
        return self.quadratic.gradient(self.z)

    def correct(self, w: Array, gap: Array, force: Array) -> np.ndarray:
        """After a round, for w (F, r) with the gaps of the quadratics (F,): write g(w) into `force` (F, r), and return
        the folds that need another round, (F,)."""
        going = np.flatnonzero(self.going)
        w = w[going]
        with np.errstate(over="ignore", invalid="ignore"):
            z = w @ self.a.T
            lacking = self.smooth.gradient(z) - self.slope - self.bend * (z - self.z)
            pull = np.where(self.has[going], lacking, 0.0) @ self.a
            change = stationarity_cost(self.form.penalty, pull - force[going], w, self.form.w_scale)
            cost = relative_gap(change, self.gap_scale)
            total = np.square(np.sqrt(gap[going]) + np.sqrt(cost))
        total = np.where(np.isfinite(total), total, np.inf)
        slow = ~(cost <= SLOW_COST_RATIO * self.cost[going])
        done = (cost <= FINAL_COST_SHARE * EXACT_GAP) | slow | np.isinf(total)
        self.rounds[going] += 1
        self.gap[going], self.cost[going] = total, cost
        force[going] = np.where(done[:, None], 0.0, pull)
        self.going[going] = ~done & (self.rounds[going] < ROUND_LIMIT)
        if math.isfinite(self.limit) and self._exceeds(going, z):
            self.going[:] = False
        return self.going

    def _exceeds(self, some: np.ndarray, z: Array) -> bool:
        """Whether the sum of the held-out losses, which are convex, must exceed the limit; z (f, n) of some folds."""
        fold, row = np.nonzero(~self.has[some])
        with np.errstate(over="ignore", invalid="ignore"):
            rows, at, apart = self.smooth.cut(row), z[fold, row][None], self.apart(some, z)[fold, row]
            value = rows.value(at)[0]
            least = np.fmax(value - np.abs(rows.gradient(at)[0]) * apart, value - rows.excess(at)[0])
        self.losses[some] = np.bincount(fold, least, len(some))
        total = float(self.losses.sum())
        if total > self.limit:
            self.least = total
        return total > self.limit

    def apart(self, some: np.ndarray, z: Array) -> Array:
        """Bounds of the distance of z (f, n) of some folds from z of their optima; infinite where not known.

        With d between the two, Δ the largest |z - z of the full fit|, H the full fit's Hessian, v_i = a_iᵀH⁻¹a_i and
        h_i the curvatures of the held-out rows: |f'''| ≤ c f'' makes gap ≥ ½ κ e^(-cΔ) (1 - Σ h_i v_i) dᵀHd,
        κ = 2 - 4/e, where c |a_jᵀd| ≤ 1, and |a_jᵀd|² ≤ v_j dᵀHd.   (Bach 2010.)
        """
        has, c = self.has[some], self.smooth.term.self_concordance
        away = np.where(has, np.abs(z - self.z), 0.0).max(axis=1)
        stays = np.maximum(1.0 - (~has) @ (self.bend[0] * self.leverage), 0.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            squared = 2 * self.gap[some] * self.gap_scale / (NEAR_CURVATURE * np.exp(-c * away) * stays)
            near = c * c * squared * self.leverage.max() <= 1.0
            return np.sqrt(np.where(near, squared, np.inf)[:, None] * self.leverage)

    @cached_property
    def leverage(self) -> Array:
        """a_iᵀH⁻¹a_i of every row, (n,); infinite where H is not positive definite."""
        h = (self.a.T * self.bend) @ self.a + np.diag(self.form.penalty[0])
        try:
            root = np.linalg.cholesky(h)
        except np.linalg.LinAlgError:
            return np.full(len(self.a), np.inf)
        return np.square(np.linalg.solve(root, self.a.T)).sum(axis=0)
