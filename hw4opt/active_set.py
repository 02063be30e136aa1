"""The finish that native solvers share: find the active set and land on it exactly.

Proximal method of multipliers on the duals u with semismooth Newton steps inside (Rockafellar 1976; Li, Sun and Toh 2018): rows with
q = 0 get a quadratic ε, so that

    P w + Aᵀ u⁺(w) = 0,   u⁺ = clip((A w - t + ε u₀)/(q + ε), l, h)

is the gradient of a convex piecewise quadratic; Newton with a line search solves it, exactly once the active set is right, and u₀ ← u⁺
removes ε again. The result is taken only where its duality gap is below the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks import Run
from hw4opt.form import Form
from hw4opt.linear import factor
from hw4opt.pricing import row_slack
from hw4opt.terms.base import Array

PRICE = 1e5  # of a violated constraint, in units of the largest |u|: a finish must not gain by violating one
SMOOTHING = 1e-3  # ε, in units of z over u
SMOOTHING_FACTOR = 0.3  # … and by what it shrinks when the duals' center moves: the steps then converge faster than linearly
ROUNDS = 8  # of a finish that starts near the end,
FIRST_ORDER_ROUNDS = 40  # and of one that starts from a first-order method
EXACT = 1e-5  # of the aim: there is nothing left to gain below
ROUNDING = 1e-14  # of the largest z: no violation
LARGEST = 50_000_000  # rows × r²: above it a finish costs more than it gives


@dataclass(frozen=True, eq=False)
class Finish:
    """The better of the two points, problem by problem: w (b, r), one dual array a run, and their gap (b,)."""

    w: Array
    duals: list[Array]
    gap: Array


@dataclass
class Iterate:
    """Where the problems that are still going stand; arrays by run."""

    part: Form
    active: np.ndarray
    w: Array
    z: list[Array]
    center: list[Array]
    epsilon: list[Array]

    def cut(self, stay: np.ndarray) -> Iterate:
        z, center, epsilon = ([one[stay] for one in group] for group in (self.z, self.center, self.epsilon))
        return Iterate(self.part.cut(stay), self.active[stay], self.w[stay], z, center, epsilon)

    def respond(self, z: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """u⁺ and its slopes of every run."""
        found = [respond(*args) for args in zip(self.part.runs, z, self.center, self.epsilon, strict=True)]
        return [u for u, _ in found], [weight for _, weight in found]


def polish(form: Form, w: Array, duals: Sequence[Array], gap: Array | None, aim: Array, rounds: int = ROUNDS) -> Finish:
    """Finish (w, one dual array a run) of that gap, if it is known. A problem is left alone once its gap is well below `aim` (b,)."""
    z = [w @ run.matrix.T for run in form.runs]
    best = Finish(w.copy(), [u.copy() for u in duals], measure(form, w, z, duals) if gap is None else gap.copy())
    if sum(run.size for run in form.runs) * form.penalty.shape[1] ** 2 > LARGEST or not form.runs:
        return best
    epsilon = [_smoothing(form, run, one, u) for run, one, u in zip(form.runs, z, duals, strict=True)]
    now = Iterate(form, np.arange(form.batch), w, z, list(duals), epsilon)
    with np.errstate(over="ignore", invalid="ignore"):  # a step of an exponential loss may overflow; what is kept stands
        _rounds(best, now, aim, rounds)
    return best


def _rounds(best: Finish, now: Iterate, aim: Array, rounds: int) -> None:
    """Newton steps until every problem is settled; the best points go into `best`."""
    for number in range(rounds + 1):
        finite = np.isfinite(now.w).all(axis=1)
        if not finite.any():
            break
        now = now if finite.all() else now.cut(np.flatnonzero(finite))
        u, weights = now.respond(now.z)
        gap = measure(now.part, now.w, now.z, u)
        before = best.gap[now.active]
        _keep(best, now, u, gap, gap < before)
        settled = (gap <= EXACT * aim[now.active]) | ((before <= aim[now.active]) & (gap > 0.1 * before))
        if settled.all() or number == rounds:
            break
        if settled.any():
            stay = np.flatnonzero(~settled)
            now = now.cut(stay)
            u, weights = [one[stay] for one in u], [one[stay] for one in weights]
        _newton(now, u, weights)


def _keep(best: Finish, now: Iterate, u: Sequence[Array], gap: Array, better: np.ndarray) -> None:
    place = now.active[better]
    best.gap[place], best.w[place] = gap[better], now.w[better]
    for kept, fresh in zip(best.duals, u, strict=True):
        kept[place] = fresh[better]


def _newton(now: Iterate, u: list[Array], weights: list[Array]) -> None:
    """Move u₀ where the inner problem is solved well enough, then one Newton step with a line search."""
    part, runs = now.part, now.part.runs
    base = part.penalty * now.w + part.fixed.b + np.matvec(part.fixed.h, now.w)
    gradient = base + sum((one @ run.matrix for run, one in zip(runs, u, strict=True)), 0.0)
    moved = sum((np.vecdot(eps * (one - c), one - c) for eps, one, c in zip(now.epsilon, u, now.center, strict=True)), 0.0)
    solved = (2 * part.stationarity_cost(now.w, gradient) <= moved)[:, None]
    if solved.any():
        now.center = [np.where(solved, one, c) for one, c in zip(u, now.center, strict=True)]
        now.epsilon = [np.where(solved, SMOOTHING_FACTOR * one, one) for one in now.epsilon]
        u, weights = now.respond(now.z)
        gradient = base + sum((one @ run.matrix for run, one in zip(runs, u, strict=True)), 0.0)
    gram = part.fixed.h.copy()
    for run, weight in zip(runs, weights, strict=True):
        gram += run.gram(run.matrix, weight)
    d = -factor(gram, part.penalty + part.anchor)(gradient)
    dz = [d @ run.matrix.T for run in runs]
    curve = np.vecdot(d, part.penalty * d + np.matvec(part.fixed.h, d))
    length = _line_search(now, dz, np.vecdot(d, base), curve, np.vecdot(d, gradient))
    now.w = now.w + length * d
    now.z = [one + length * change for one, change in zip(now.z, dz, strict=True)]


def _line_search(now: Iterate, dz: Sequence[Array], linear: Array, curve: Array, start: Array) -> Array:
    """A step at which the slope along d has all but vanished, by false position between 0 and 1; (b, 1)."""

    def slope(length: Array) -> Array:
        u, _ = now.respond([one + length * change for one, change in zip(now.z, dz, strict=True)])
        return linear + length[:, 0] * curve + sum((np.vecdot(change, one) for change, one in zip(dz, u, strict=True)), 0.0)

    length, low, high = np.ones((len(start), 1)), np.zeros((len(start), 1)), np.ones((len(start), 1))
    here = slope(length)
    at_low, at_high = start, here
    for _ in range(8):
        past, short = here > 0.1 * np.abs(start), (here < -0.5 * np.abs(start)) & (length[:, 0] < 1)
        if not (past | short).any():
            break
        high, at_high = np.where(past[:, None], length, high), np.where(past, here, at_high)
        low, at_low = np.where(short[:, None], length, low), np.where(short, here, at_low)
        share = np.clip(-at_low / np.maximum(at_high - at_low, 1e-300), 0.1, 0.9)[:, None]
        length = np.where((past | short)[:, None], low + share * (high - low), length)
        here = slope(length)
    return length


def measure(form: Form, w: Array, z: Sequence[Array], duals: Sequence[Array]) -> Array:
    """The duality gap at (w, u) with z = A w of every run, violations of constraints at a multiple of their price |u|, (b,)."""
    residual = form.penalty * w + form.fixed.b + np.matmul(form.fixed.h, w[:, :, None])[:, :, 0]
    total = np.zeros(form.batch)
    for run, one, u in zip(form.runs, z, duals, strict=True):
        residual += u @ run.matrix
        if run.sheet is None:
            total += run.smooth.slack(one, u).sum(axis=1)  # type: ignore[union-attr]
            continue
        sheet, v = run.sheet, one - run.sheet.shift
        p = sheet.slope(v)
        unit = np.maximum(np.abs(u).max(axis=1, keepdims=True), form.scales[1] * form.loss_length / run.length)
        if sheet.low is None or sheet.high is None:
            v = np.where(np.abs(v) <= ROUNDING * np.abs(one).max(axis=1, keepdims=True), 0.0, v)
        slack = row_slack(p, u, v, sheet.quadratic, PRICE * unit)
        total += (slack if sheet.active is None else slack * sheet.active).sum(axis=1)
    return total + form.stationarity_cost(w, residual)


def _smoothing(form: Form, run: Run, z: Array, u: Array) -> Array:
    """ε: SMOOTHING times the run's z over its u, 0 where the row has curvature of its own."""
    if run.sheet is None:
        return np.zeros((len(z), 1))
    (z_scale, u_scale), loss_length = form.scales, form.loss_length
    size = np.maximum(np.abs(u).max(axis=1, keepdims=True), ROUNDING * u_scale)
    unit = np.abs(z).mean(axis=1, keepdims=True) / np.mean(run.length) * run.length
    least = ROUNDING * z_scale * run.length / (loss_length * size)
    return np.where(run.sheet.quadratic == 0, np.maximum(SMOOTHING * unit / size, least), 0.0)


def respond(run: Run, z: Array, center: Array, eps: Array) -> tuple[Array, Array]:
    """u⁺(w) and its slopes: 1/(q + ε) on rows inside their box, 0 at an end."""
    if run.sheet is None:
        return run.smooth.gradient(z), run.smooth.curvature(z)  # type: ignore[union-attr]
    sheet = run.sheet
    rate = 1.0 / (sheet.quadratic + eps)
    free = (z - sheet.shift + eps * center) * rate
    u = free if sheet.low is None else np.maximum(free, sheet.low)
    u = u if sheet.high is None else np.minimum(u, sheet.high)
    weight = rate * (u == free)
    return (u, weight) if sheet.active is None else (u * sheet.active, weight * sheet.active)
