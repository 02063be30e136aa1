"""Mehrotra's predictor-corrector on the box dual, batched.

    minimise over w   ½ wᵀ P w + Σ_i max over l_i ≤ u_i ≤ h_i of  (a_iᵀw - t_i) u_i - ½ q_i u_i²  + Σ smooth f(a_iᵀ w)

with slack duals s ≥ 0 of both sides, d = u - l and h - u:   P w + Aᵀu = 0,   A w - t = q u + s_high - s_low,   s d = τ.
Rows without sides (squared loss) have u = (A w - t)/q and are folded into the quadratic once. Eliminating s and u of the others leaves
one (r, r) system a step, (H₀ + Aᵀ W A) dw = …, with W = 1/(q + Σ s/d), and W = f'' on smooth rows. Rows are visited a run at a time in
three passes: residuals and H; the affine direction and the corrector's right side; the step.
(Mehrotra 1992; Gertz and Wright 2003; damping of smooth rows: Sun and Tran-Dinh 2019.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw4opt.active_set import Finish, polish
from hw4opt.answer import Answer, Options, Status
from hw4opt.central import Row, small, start
from hw4opt.deadline import Deadline
from hw4opt.form import Form
from hw4opt.linear import factor
from hw4opt.rows import each
from hw4opt.terms.base import Array

LIMIT = 100
SAFE = 0.2  # centring of a step after one that was no gain
BACK = 0.995  # share of the way to the boundary
EARLY = 1e-7  # relative gap at which the active set is tried for the first time
NEGLIGIBLE_GAP = 1e-16  # of the least that a gap can be relative to: done, whatever the scale
GAP_SCALE_FROM = 1e-6  # … and from which on the gap is judged by what the fit explains
STEEP_WEIGHT = 1e12  # W of a row, over that of a typical row of the loss, from which a step is solved on the rows themselves
STEEP_ROWS_GAP = 1e-2  # relative gap above which no row's weight is that large
STALLED_STEPS = 8  # steps without gain, near the end, after which there is nothing more to gain
TINY = 1e-300


def refuse(form: Form) -> str | None:
    """Takes every form."""
    return None


def scale_free(form: Form) -> bool:
    """Every step is solved on columns scaled to a unit diagonal: a kernel's basis, orthonormal as it is, needs no other scale.

    Raw columns do, and columns beside an intercept that their means overlap with; but where no row has sides there is one step.
    """
    return not form.runs or (form.design.kernel is not None and not form.design.intercept and form.blocks[0].is_loss)


@dataclass
class State:
    """Sums over all rows at a point: H and right sides of the step, complementarity, and how far from done."""

    h: Array
    base: Array
    right: Array
    comp: Array
    gap: Array
    scale: Array

    def cut(self, stay: np.ndarray) -> State:
        return State(*(array[stay] for array in (self.h, self.base, self.right, self.comp, self.gap, self.scale)))


@dataclass
class Kept:
    """The best point of every problem: w (b, r), one dual array a run, its gap (b,), and the interior point that it came from."""

    w: Array
    duals: list[Array]
    gap: Array
    interior: Array

    @classmethod
    def none(cls, form: Form) -> Kept:
        b, zero = form.batch, np.zeros(form.penalty.shape)
        return cls(zero, [np.zeros((b, run.size)) for run in form.runs], np.full(b, np.inf), zero.copy())

    def take(self, place: np.ndarray, found: Finish, interior: Array) -> None:
        """Points of some problems, where they are no worse than what is kept."""
        better = ~(found.gap > self.gap[place])
        place = place[better]
        self.w[place], self.gap[place], self.interior[place] = found.w[better], found.gap[better], interior[better]
        for target, u in zip(self.duals, found.duals, strict=True):
            target[place] = u[better]


def solve(form: Form, options: Options) -> Answer:
    """Every problem of the batch; each leaves when it is done: finished exactly at EARLY, or at the tolerance."""
    limit, deadline = options.max_iterations or LIMIT, Deadline(options.time_limit)
    b = form.batch
    reached, iterations, kept = [Status.ITERATION_LIMIT] * b, np.full(b, limit), Kept.none(form)
    rows, point = start(form, solve)
    part = form
    active, best, tried, stalled = np.arange(b), np.full(b, np.inf), np.zeros(b, dtype=bool), np.zeros(b, dtype=int)
    if (nothing := perfect_at_zero(form)).any():
        iterations[nothing] = 0
        active = np.flatnonzero(~nothing)
        reached = [Status.CERTIFIED if done else Status.ITERATION_LIMIT for done in nothing]
        if not len(active):
            return Answer(kept.w, form.duals_from_runs(kept.duals, kept.w), reached, iterations, kept.interior)
        part, point = form.cut(active), point[active]
        rows = [row.cut(run, active) for row, run in zip(rows, part.runs, strict=True)]
    for iteration in range(limit + 1):
        state = evaluate(part, rows, point)
        better = (state.gap < best[active]) | (iteration == 0)
        best[active[better]] = state.gap[better]
        stalled[active] = np.where(better, 0, stalled[active] + 1)
        relative = state.gap / state.scale
        lost = ~np.isfinite(relative) | ((state.gap > 1e3 * best[active]) & (best[active] <= 1e-4 * state.scale))
        lost |= (stalled[active] >= STALLED_STEPS) & (best[active] <= EARLY * state.scale)  # rounding allows no more
        good = relative <= 0.5 * options.tol  # half: the certificate counts the gap its own way
        last = iteration == limit or deadline.passed()
        now = (better & (((relative <= EARLY) & ~tried[active]) | good)) | last | lost if form.runs else good | last
        now &= np.isfinite(relative) | last
        tried[active[now]] = True
        if now.any():
            place = np.flatnonzero(now)
            sub = part.cut(place) if len(place) < len(active) else part
            before = [row.dual(place) for row in rows]
            finish = polish(sub, point[place], before, state.gap[place], 0.5 * options.tol * state.scale[place])
            good[place] |= finish.gap <= 0.5 * options.tol * state.scale[place]
            kept.take(active[place], finish, point[place])
        elsewhere = np.flatnonzero(~now & better & (relative <= EARLY) & (state.gap < kept.gap[active]))
        if len(elsewhere):
            raw = Finish(point[elsewhere], [row.dual(elsewhere) for row in rows], state.gap[elsewhere])
            kept.take(active[elsewhere], raw, point[elsewhere])
        done = good | lost | last
        iterations[active[done]] = iteration
        for problem in active[good]:
            reached[problem] = Status.CERTIFIED
        if done.all():
            break
        if done.any():
            stay = np.flatnonzero(~done)
            active, part, point, state = active[stay], part.cut(stay), point[stay], state.cut(stay)
            rows = [row.cut(run, stay) for row, run in zip(rows, part.runs, strict=True)]
        slow = ~better[~done]
        point = step(part, rows, point, state, slow)
    notes = deadline.notes(reached)
    return Answer(kept.w, form.duals_from_runs(kept.duals, kept.w), reached, iterations, kept.interior, notes)


def perfect_at_zero(form: Form) -> np.ndarray:
    """Problems whose every term is smallest at w = 0, u = 0, (b,)."""
    if any(piece.smooth is not None for piece in form.pieces):
        return np.zeros(form.batch, dtype=bool)
    perfect = np.ones(form.batch, dtype=bool)
    for piece in form.pieces:
        sheet = piece.sheet
        assert sheet is not None
        low = -np.inf if sheet.low is None else sheet.low
        high = np.inf if sheet.high is None else sheet.high
        v = -sheet.shift
        rest = (low <= 0) & (high >= 0) & ((v == 0) | ((v > 0) & (high <= 0)) | ((v < 0) & (low >= 0)))
        perfect &= (rest if sheet.active is None else rest | (sheet.active == 0)).all(axis=1)
    return perfect


def evaluate(form: Form, rows: list[Row], w: Array) -> State:
    """First pass: residuals, H, the affine right side, and the gap that complementarity and residuals leave."""
    penalty, fixed = form.penalty, form.fixed
    quadratic = np.matmul(fixed.h, w[:, :, None])[:, :, 0]
    h, pull, right = fixed.h.copy(), fixed.b + quadratic, np.zeros_like(w)
    comp, leak, value = np.zeros(len(w)), np.zeros(len(w)), 0.5 * (w * quadratic).sum(axis=1) - fixed.c
    for gram, adjoint, affine, products, leaks, dual in each(lambda row: _evaluate_row(row, w), rows):
        h += gram
        pull = pull + adjoint
        right = right + affine
        comp = comp + products
        leak = leak + leaks
        value = value + dual
    norm = penalty * w
    residual = norm + pull
    gap = comp + leak + form.stationarity_cost(w, residual)
    return State(h, -residual, right, comp, gap, _scale(form, w, gap, value + 0.5 * (norm * w).sum(axis=1)))


def _scale(form: Form, w: Array, gap: Array, dual: Array) -> Array:
    """What a gap is relative to: the size of the dual objective far from the end, and near it what the fit explains."""
    rough = np.maximum(np.abs(dual), 1e-300)
    if (gap > GAP_SCALE_FROM * rough).all() or (form.blocks[0].is_loss and (gap <= NEGLIGIBLE_GAP * form.reference.least).all()):
        return rough
    return np.minimum(rough, form.gap_scale(w, gap))


def _evaluate_row(row: Row, w: Array) -> tuple[Array, Array, Array | float, Array | float, Array | float, Array]:
    run, a = row.run, row.run.matrix
    z = w @ a.T
    if run.sheet is None:
        smooth = run.smooth
        row.u, row.weight = smooth.gradient(z), smooth.curvature(z)  # type: ignore[union-attr]
        return run.gram(a, row.weight), row.u @ a, 0.0, 0.0, 0.0, (z * row.u - smooth.value(z)).sum(axis=1)  # type: ignore[union-attr]
    sheet = run.sheet
    qu = sheet.quadratic * row.u
    row.k = k = qu + sheet.shift - z
    total, rest, comp = sheet.quadratic, k, 0.0
    row.ratio = []
    for (sign, _), s, d in zip(row.sides, row.s, row.d, strict=True):
        ratio = s / d
        total, rest = total + ratio, rest + s if sign > 0 else rest - s
        comp = comp + np.vecdot(s, d if sheet.active is None else d * sheet.active)
        row.ratio.append(ratio)
    total = np.maximum(total, row.least)
    row.weight = weight = 1.0 / total if sheet.active is None else sheet.active / total
    dual_u = row.u if sheet.active is None else row.u * sheet.active
    leak = np.vecdot(np.abs(rest) if row.exact is None else np.maximum(np.abs(rest) - row.exact, 0.0), np.abs(dual_u))
    dual = np.vecdot(0.5 * qu + sheet.shift, dual_u)
    return run.gram(a, weight), dual_u @ a, (weight * k) @ a, comp, leak, dual


def step(form: Form, rows: list[Row], w: Array, state: State, slow: np.ndarray) -> Array:
    """Predictor, centring by its success, corrector, and the step to near the boundary; updates the rows and returns the new w.

    Where the last step was no gain (`slow`), a plain well-centred step breaks the cycle that Mehrotra's correction can fall into.
    """
    near = (state.gap <= STEEP_ROWS_GAP * state.scale).any()
    solve_h = factor(state.h, form.penalty, _weighted_rows(form, rows), _steep(form, rows) if near else ())
    direction = solve_h(state.base + state.right)
    sided = [row for row in rows if row.sides]
    target = np.zeros((len(w), 1))
    if sided:
        found = each(lambda row: _affine_row(row, direction), sided)
        steepest, center, second, cross = found[0]
        for one in found[1:]:
            steepest, center, second, cross = np.maximum(steepest, one[0]), center + one[1], second + one[2], cross + one[3]
        length = 1.0 / np.maximum(steepest, 1.0)
        after = np.maximum((1 - length) * state.comp + length**2 * cross, 0.0)
        share = (after / np.maximum(state.comp, TINY)) ** 3
        if slow.any():
            share, second = np.where(slow, SAFE, share), np.where(slow[:, None], 0.0, second)
        behind = np.maximum(state.gap - state.comp, 0)  # residuals: complementarity must not run ahead of them,
        catch_up = SAFE * behind
        if len(sided) < len(rows):  # but those of smooth rows fall by themselves, and over a tiny ridge are no measure
            catch_up = np.minimum(catch_up, state.comp)
        wanted = np.where((behind > 10 * state.comp) & (state.gap < state.scale), catch_up, share * state.comp)
        target = (wanted / form.sides)[:, None]
        direction = solve_h(state.base + state.right + target * center + second)
    moves = each(lambda row: _move_row(row, direction, target, slow), rows)
    if not moves:
        return w + direction
    steepest, _, stretch = moves[0]
    for one in moves[1:]:
        steepest, stretch = np.maximum(steepest, one[0]), np.maximum(stretch, one[2])
    length = np.minimum(1.0, BACK / np.maximum(steepest, TINY))
    if stretch.any():
        stretch = np.maximum(stretch, 1e-12)
        length = np.minimum(length, np.log1p(stretch) / stretch)
    length = length[:, None]

    def advance(pair: tuple[Row, tuple[Array, list[Array], Array]]) -> None:
        row, (_, ds, _) = pair
        if row.sides:
            row.u = row.u + length * row.du
            row.s = [s + length * change for s, change in zip(row.s, ds, strict=True)]
            row.d = [d - sign * length * row.du for d, (sign, _) in zip(row.d, row.sides, strict=True)]

    each(advance, list(zip(rows, moves, strict=True)))
    return w + length * direction


def _steep(form: Form, rows: list[Row]) -> list[int]:
    """The problems whose rows' weights differ so much that their sum has lost the small ones."""
    unit = STEEP_WEIGHT * form.loss_length**2 * form.scales[1][:, 0] / form.scales[0][:, 0]
    steep: set[int] = set()
    for row in rows if small(form) else []:
        longest = np.square(np.max(row.run.length))
        if row.weight.max() * longest > unit.min():  # else none of them, seen at once
            steep |= set(np.flatnonzero((row.weight * np.square(row.run.length)).max(axis=1) > unit).tolist())
    return sorted(steep)


def _weighted_rows(form: Form, rows: list[Row]) -> Callable[[int], Array]:
    """√W A of one problem's rows, those without sides by a root of their sum."""

    def of(problem: int) -> Array:
        values, vectors = np.linalg.eigh(form.fixed.h[problem])
        parts = [np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T]
        for row in rows:
            weight = np.broadcast_to(row.weight, (form.batch, row.run.size))[problem]
            parts.append(np.sqrt(weight)[:, None] * row.run.matrix)
        return np.concatenate(parts)

    return of


def _affine_row(row: Row, dw: Array) -> tuple[Array, Array, Array, Array]:
    """The steepest approach to a side, AᵀW of the centring and second-order terms, and Σ ds dd."""
    a, active = row.run.matrix, row.run.sheet.active  # type: ignore[union-attr]
    row.du = du = row.weight * (dw @ a.T - row.k)
    center, second, cross, steepest = 0.0, 0.0, 0.0, 0.0
    for (sign, _), s, d, ratio in zip(row.sides, row.s, row.d, row.ratio, strict=True):
        approach = du / d  # the side's distance shrinks by sign·approach, its s by 1 - sign·approach
        top, bottom = approach.max(axis=1), approach.min(axis=1)
        steepest = np.maximum(steepest, np.maximum(top, 1 - bottom) if sign > 0 else np.maximum(-bottom, 1 + top))
        product = du * (sign * s - ratio * du)
        cross = cross + (product if active is None else product * active).sum(axis=1)
        center = center + sign / d
        second = second - sign * product / d
    return np.broadcast_to(steepest, len(dw)), (row.weight * center) @ a, (row.weight * second) @ a, cross  # type: ignore[return-value]


def _move_row(row: Row, dw: Array, target: Array, slow: np.ndarray) -> tuple[Array, list[Array], Array]:
    """Sets du; gives the steepest approach to a side, ds of the combined direction, and c times the largest |dz| of a smooth row."""
    a = row.run.matrix
    if row.run.sheet is None:
        term = row.run.smooth.term  # type: ignore[union-attr]
        dz = term.self_concordance * (dw @ a.T)
        return np.zeros(len(dw)), [], (dz if term.steepening else np.abs(dz)).max(axis=1, initial=0.0)
    active, before = row.run.sheet.active, row.du
    second = np.where(slow[:, None], 0.0, before) if slow.any() else before
    k, aims = row.k, []
    for (sign, _), s, d, ratio in zip(row.sides, row.s, row.d, row.ratio, strict=True):
        aim = (target - second * (sign * s - ratio * before)) / d
        aims.append(aim - s)
        k = k + aim if sign > 0 else k - aim
    row.du = du = row.weight * (dw @ a.T - k)
    steepest, ds = np.zeros(len(dw)), []
    for (sign, _), s, d, ratio, aim in zip(row.sides, row.s, row.d, row.ratio, aims, strict=True):
        pull = ratio * du
        change = aim + pull if sign > 0 else aim - pull
        change = change if active is None else change * active
        ds.append(change)
        approach = du / d
        near = approach.max(axis=1) if sign > 0 else -approach.min(axis=1)
        steepest = np.maximum(steepest, np.maximum(near, -(change / s).min(axis=1)))
    return steepest, ds, np.zeros(len(dw))
