"""The finish that native solvers share: find the active set and land on it exactly.

Proximal method of multipliers on the duals u with semismooth Newton steps inside (Rockafellar 1976; Li, Sun and Toh 2018): rows with
q = 0 get a quadratic ε, so that

    P w + Aᵀ u⁺(w) = 0,   u⁺ = clip((A w - t + ε u₀)/(q + ε), l, h)

is piecewise linear; Newton solves it exactly once the active set is right, and u₀ ← u⁺ removes ε again. The result is taken only where
its duality gap is below the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form, Run
from hw4opt.linear import factor
from hw4opt.terms.base import Array

SMOOTHING = 1e-3  # ε, in units of z over u
ROUNDS = 6
EXACT = 1e-14  # of the gap at which there is nothing left to gain, relative to the aim
LARGEST = 50_000_000  # rows × r²: above it a finish costs more than it gives


@dataclass(frozen=True, eq=False)
class Finish:
    """The better of the two points, problem by problem: w (b, r), one dual array a run, and their gap (b,)."""

    w: Array
    duals: list[Array]
    gap: Array


def polish(form: Form, w: Array, duals: Sequence[Array], aim: Array, rounds: int = ROUNDS) -> Finish:
    """Finish (w, one dual array a run). A problem is left alone once its gap is below `aim` (b,) and no longer falls fast."""
    z = [w @ run.matrix.T for run in form.runs]
    duals = list(duals)
    gap = measure(form, w, z, duals)
    best_w, best_u, best = w.copy(), [u.copy() for u in duals], gap.copy()
    rows = sum(run.size for run in form.runs)
    if rows * form.penalty.shape[1] ** 2 > LARGEST or not form.runs:
        return Finish(best_w, best_u, best)
    epsilon = [_smoothing(run, one, u) for run, one, u in zip(form.runs, z, duals, strict=True)]
    active, part = np.arange(form.batch), form
    for _ in range(rounds):
        answers = [respond(run, one, u, eps) for run, one, u, eps in zip(part.runs, z, duals, epsilon, strict=True)]
        gram, residual = part.fixed.h.copy(), part.penalty * w + part.fixed.b + np.matmul(part.fixed.h, w[:, :, None])[:, :, 0]
        for run, (u, weight) in zip(part.runs, answers, strict=True):
            gram += run.gram(run.matrix, weight)
            residual += u @ run.matrix
        w = w - factor(gram, part.penalty)(residual)
        z = [w @ run.matrix.T for run in part.runs]
        duals = [respond(run, one, u, eps)[0] for run, one, u, eps in zip(part.runs, z, duals, epsilon, strict=True)]
        gap = measure(part, w, z, duals)
        before = best[active]
        better = gap < before
        best[active[better]], best_w[active[better]] = gap[better], w[better]
        for kept, fresh in zip(best_u, duals, strict=True):
            kept[active[better]] = fresh[better]
        going = (gap > EXACT * aim[active]) & ~((before <= aim[active]) & (gap > 1e-2 * before))
        if not going.any():
            break
        if not going.all():
            stay = np.flatnonzero(going)
            active, part, w = active[stay], part.cut(stay), w[stay]
            z, duals, epsilon = ([one[stay] for one in group] for group in (z, duals, epsilon))
    return Finish(best_w, best_u, best)


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
        if sheet.low is None or sheet.high is None:
            p = np.where(np.isfinite(p), p, -9 * u - np.sign(v) * -10 * np.abs(u).max(axis=1, keepdims=True))
        slack = (p - u) * (v - 0.5 * sheet.quadratic * (p + u))
        total += np.maximum(slack if sheet.active is None else slack * sheet.active, 0.0).sum(axis=1)
    safe = np.maximum(form.penalty, 1e-300)
    return total + np.where(form.penalty > 0, 0.5 * np.square(residual) / safe, np.abs(residual * w)).sum(axis=1)


def _smoothing(run: Run, z: Array, u: Array) -> Array:
    """ε: SMOOTHING times the run's z over its u, 0 where the row has curvature of its own."""
    if run.sheet is None:
        return np.zeros((len(z), 1))
    size = np.maximum(np.abs(u).max(axis=1, keepdims=True), 1e-300)
    unit = np.abs(z).mean(axis=1, keepdims=True) / np.mean(run.length) * run.length
    return np.where(run.sheet.quadratic == 0, np.maximum(SMOOTHING * unit / size, 1e-290), 0.0)


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


def magnitude(form: Form, w: Array, z: Sequence[Array], duals: Sequence[Array]) -> Array:
    """|D|, the size of the dual objective at (w, u): what a tolerance is relative to, (b,)."""
    quadratic = np.matmul(form.fixed.h, w[:, :, None])[:, :, 0]
    value = 0.5 * (w * (quadratic + form.penalty * w)).sum(axis=1) - form.fixed.c
    for run, one, u in zip(form.runs, z, duals, strict=True):
        if run.sheet is None:
            value += (one * u - run.smooth.value(one)).sum(axis=1)  # type: ignore[union-attr]
        else:
            value += ((0.5 * run.sheet.quadratic * u + run.sheet.shift) * u).sum(axis=1)
    return np.maximum(np.abs(value), 1e-300)
