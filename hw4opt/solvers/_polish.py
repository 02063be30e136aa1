"""Polishing, which native solvers share: find the active set and land on it exactly.

Proximal method of multipliers on the duals u with semismooth Newton steps inside (Rockafellar 1976; Li, Sun and Toh
2018): rows with q = 0 get a quadratic ε, so that

    P w + Aᵀ u⁺(w) = 0,   u⁺ = clip((A w - t + ε u₀)/(q + ε), l, h)

is the gradient of a convex piecewise quadratic; Newton with a line search solves it, exactly once the active set is
right, and u₀ ← u⁺ removes ε again. The result is taken only where its duality gap is below the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import BoxRows, Form, RowBlock
from hw4opt.solvers._normal_equations import factor
from hw4opt.terms.base import Array

VIOLATION_PRICE = 1e5  # of a violated constraint, in units of the largest |u|: polishing must not gain by violating one
SMOOTHING = 1e-3  # ε, in units of z over u
SMOOTHING_FACTOR = (
    0.3  # … and by what it shrinks when the duals' center moves: the steps then converge faster than linearly
)
POLISH_ROUNDS = 8  # from a point near the optimum,
FIRST_ORDER_ROUNDS = 40  # and from that of a first-order method
NEGLIGIBLE_SHARE = 1e-5  # of the aim: there is nothing left to gain below
LEAST_DUAL = 1e-14  # of the typical dual: no smaller one sets ε
LARGEST_WORK = 50_000_000  # rows × r²: above it polishing costs more than it gives


@dataclass(frozen=True, eq=False)
class Polished:
    """The better of the two points, problem by problem: w (b, r), u (b, M) of the nonquadratic rows, and their gap
    (b,)."""

    w: Array
    u: Array
    gap: Array

    def cut(self, stay: np.ndarray) -> Polished:
        """Some of the problems."""
        return Polished(self.w[stay], self.u[stay], self.gap[stay])


@dataclass
class Iterate:
    """Where the problems that are still going stand; one array a nonquadratic block."""

    part: Form
    active: np.ndarray
    w: Array
    z: list[Array]
    center: list[Array]
    epsilon: list[Array]

    def cut(self, stay: np.ndarray) -> Iterate:
        """Some of the problems."""
        z, center, epsilon = ([one[stay] for one in group] for group in (self.z, self.center, self.epsilon))
        return Iterate(self.part.cut(stay), self.active[stay], self.w[stay], z, center, epsilon)

    def prox_dual(self, z: Sequence[Array]) -> list[Array]:
        """u⁺ of every block."""
        rows = zip(self.part.nonquadratic, z, self.center, self.epsilon, strict=True)
        return [block.rows.prox_dual(one, center, eps) for block, one, center, eps in rows]

    def slopes(self, u: Sequence[Array]) -> list[Array]:
        """The derivatives of u⁺ by z."""
        rows = zip(self.part.nonquadratic, self.z, u, self.center, self.epsilon, strict=True)
        return [block.rows.prox_dual_slope(z, center, eps, one) for block, z, one, center, eps in rows]


def polish(form: Form, w: Array, u: Array, gap: Array | None, aim: Array, rounds: int = POLISH_ROUNDS) -> Polished:
    """Polish (w, u) of that gap, if it is known. A problem is left alone once its gap is well below `aim` (b,)."""
    blocks = form.nonquadratic
    z = [w @ block.matrix.T for block in blocks]
    best = Polished(w.copy(), u.copy(), measure(form, w, z, u) if gap is None else gap.copy())
    if not blocks or sum(block.count for block in blocks) * form.penalty.shape[1] ** 2 > LARGEST_WORK:
        return best
    center = [u[:, block.span] for block in blocks]
    epsilon = [_smoothing(form, *row) for row in zip(blocks, z, center, strict=True)]
    now = Iterate(form, np.arange(form.batch), w, z, center, epsilon)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # a step of an exponential loss may overflow; what is kept stands
        _rounds(best, now, aim, rounds)
    return best


def _rounds(best: Polished, now: Iterate, aim: Array, rounds: int) -> None:
    """Newton steps until every problem is settled; the best points go into `best`."""
    for number in range(rounds + 1):
        finite = np.isfinite(now.w).all(axis=1)
        if not finite.any():
            break
        now = now if finite.all() else now.cut(np.flatnonzero(finite))
        u = now.prox_dual(now.z)
        gap = _measure(now.part, now.w, now.z, u)
        before = best.gap[now.active]
        _keep(best, now, u, gap, gap < before)
        settled = (gap <= NEGLIGIBLE_SHARE * aim[now.active]) | ((before <= aim[now.active]) & (gap > 0.1 * before))
        if settled.all() or number == rounds:
            break
        if settled.any():
            stay = np.flatnonzero(~settled)
            now, u = now.cut(stay), [one[stay] for one in u]
        _newton(now, u)


def _keep(best: Polished, now: Iterate, u: Sequence[Array], gap: Array, better: np.ndarray) -> None:
    place = now.active[better]
    best.gap[place], best.w[place] = gap[better], now.w[better]
    for block, fresh in zip(now.part.nonquadratic, u, strict=True):
        best.u[place, block.span] = fresh[better]


def _newton(now: Iterate, u: list[Array]) -> None:
    """Move u₀ where the inner problem is solved well enough, then one Newton step with a line search."""
    part, blocks = now.part, now.part.nonquadratic
    base = part.penalty * now.w + part.quadratic.b + np.matvec(part.quadratic.h, now.w)
    gradient = base + sum((one @ block.matrix for block, one in zip(blocks, u, strict=True)), 0.0)
    moved = sum(
        (np.vecdot(eps * (one - c), one - c) for eps, one, c in zip(now.epsilon, u, now.center, strict=True)), 0.0
    )
    solved = (2 * part.stationarity_cost(now.w, gradient) <= moved)[:, None]
    if solved.any():
        now.center = [np.where(solved, one, c) for one, c in zip(u, now.center, strict=True)]
        now.epsilon = [np.where(solved, SMOOTHING_FACTOR * one, one) for one in now.epsilon]
        u = now.prox_dual(now.z)
        gradient = base + sum((one @ block.matrix for block, one in zip(blocks, u, strict=True)), 0.0)
    gram = part.quadratic.h.copy()
    for block, weight in zip(blocks, now.slopes(u), strict=True):
        gram += block.gram(weight)
    d = -factor(gram, part.penalty + part.proximal_term)(gradient)
    dz = [d @ block.matrix.T for block in blocks]
    curve = np.vecdot(d, part.penalty * d + np.matvec(part.quadratic.h, d))
    length = _line_search(now, dz, np.vecdot(d, base), curve, np.vecdot(d, gradient))
    now.w = now.w + length * d
    now.z = [one + length * change for one, change in zip(now.z, dz, strict=True)]


def _line_search(now: Iterate, dz: Sequence[Array], linear: Array, curve: Array, start: Array) -> Array:
    """A step at which the slope along d has all but vanished, by false position between 0 and 1; (b, 1)."""

    def slope(length: Array) -> Array:
        u = now.prox_dual([one + length * change for one, change in zip(now.z, dz, strict=True)])
        return (
            linear
            + length[:, 0] * curve
            + sum((np.vecdot(change, one) for change, one in zip(dz, u, strict=True)), 0.0)
        )

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


def measure(form: Form, w: Array, z: Sequence[Array], u: Array) -> Array:
    """The duality gap at (w, u), z = A w by nonquadratic block; violations of constraints at a multiple of their price
    |u|, (b,)."""
    return _measure(form, w, z, [u[:, block.span] for block in form.nonquadratic])


def _measure(form: Form, w: Array, z: Sequence[Array], duals: Sequence[Array]) -> Array:
    residual = form.penalty * w + form.quadratic.b + np.matvec(form.quadratic.h, w)
    total = np.zeros(form.batch)
    for block, one, u in zip(form.nonquadratic, z, duals, strict=True):
        residual += u @ block.matrix
        unit = form.scales.u * form.loss_length / block.length
        price = VIOLATION_PRICE * np.maximum(np.abs(u).max(axis=1, keepdims=True), unit)
        total += block.rows.slack(one, u, price).sum(axis=1)
    return total + form.stationarity_cost(w, residual)


def _smoothing(form: Form, block: RowBlock, z: Array, u: Array) -> Array:
    """ε: SMOOTHING times the block's z over its u, 0 where the row has curvature of its own."""
    if not isinstance(block.rows, BoxRows):
        return np.zeros((len(z), 1))
    size = np.maximum(np.abs(u).max(axis=1, keepdims=True), LEAST_DUAL * form.scales.u)
    unit = np.abs(z).mean(axis=1, keepdims=True) / np.mean(block.length) * block.length
    least = LEAST_DUAL * form.scales.z * block.length / (form.loss_length * size)
    return np.where(block.rows.quadratic == 0, np.maximum(SMOOTHING * unit / size, least), 0.0)
