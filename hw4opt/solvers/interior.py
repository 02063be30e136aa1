"""Mehrotra's predictor-corrector on the box dual, batched.

    minimise over w   ½ wᵀ P w + Σ_i max over l_i ≤ u_i ≤ h_i of  (a_iᵀw - t_i) u_i - ½ q_i u_i²  + Σ smooth f(a_iᵀ w)

with slack duals s ≥ 0 of both sides, d = u - l and h - u:   P w + Aᵀu = 0,   A w - t = q u + s_high - s_low,   s d = τ.
Rows without bounds (squared loss) have u = (A w - t)/q and are in the quadratic. Eliminating s and u of the others
leaves one (r, r) system a step, (H₀ + Aᵀ W A) dw = …, with W = 1/(q + Σ s/d), and W = f'' on smooth rows. Rows are
visited a block at a time in three passes: residuals and H; the affine direction and the corrector's right side; the
step. (Mehrotra 1992; Gertz and Wright 2003; damping of smooth rows: Sun and Tran-Dinh 2019.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.form import Form, SmoothRows
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.form.subsample import subsample
from hw4opt.running.threads import parallel_map
from hw4opt.solvers._base import Solver
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers._interior_start import BlockState, solves_on_rows, starting_point
from hw4opt.solvers._normal_equations import factor
from hw4opt.solvers._polish import Polished, polish
from hw4opt.terms.base import Array

INTERIOR_STEP_LIMIT = 100
SAFE_CENTERING = 0.2  # of a step after one that was no gain
BOUNDARY_SHARE = 0.995  # of the way to the boundary that a step goes
FIRST_POLISH_GAP = 1e-7  # relative gap at which the active set is tried for the first time
SUBSAMPLED_FROM = 60_000  # data rows from which one problem starts at the solution of a part of them,
SUBSAMPLE_ROWS = 16_000  # about so many
SUBSAMPLE_TOL = 1e-4
NEGLIGIBLE_GAP = 1e-16  # of the least that a gap can be relative to: done, whatever the scale
GAP_SCALE_FROM = 1e-6  # … and from which on the gap is judged by what the fit explains
STEEP_WEIGHT = (
    1e12  # W of a row, over that of a typical row of the loss, from which a step is solved on the rows themselves
)
STEEP_ROWS_GAP = 1e-2  # relative gap above which no row's weight is that large
STALLED_STEPS = 8  # steps without gain, near the end, after which there is nothing more to gain
SMALLEST_DIVISOR = 1e-300  # in place of 0


@dataclass
class Sums:
    """Over all rows at a point: H and right sides of the step, complementarity, the gap and what it is relative to."""

    h: Array
    base: Array
    right: Array
    complementarity: Array
    gap: Array
    scale: Array

    def cut(self, stay: np.ndarray) -> Sums:
        """Some of the problems."""
        return Sums(*(array[stay] for array in vars(self).values()))


@dataclass
class Kept:
    """The best point of every problem: w (b, r), u (b, M), its gap (b,), and the interior point that it came from."""

    w: Array
    u: Array
    gap: Array
    interior: Array

    @classmethod
    def none(cls, form: Form) -> Kept:
        b, zero = form.batch, np.zeros(form.penalty.shape)
        return cls(zero, np.zeros((b, form.size)), np.full(b, np.inf), zero.copy())

    def take(self, place: np.ndarray, found: Polished, interior: Array) -> None:
        """Points of some problems, where they are no worse than what is kept."""
        better = ~(found.gap > self.gap[place])
        place = place[better]
        self.w[place], self.u[place] = found.w[better], found.u[better]
        self.gap[place], self.interior[place] = found.gap[better], interior[better]


class Interior(Solver):
    """The interior point, for every form."""

    name = "interior"
    tolerance = 1e-9

    def refuse(self, form: Form) -> str | None:
        """Takes every form."""
        return None

    def scale_free(self, form: Form) -> bool:
        """Every step is solved on columns scaled to a unit diagonal: a kernel's basis, orthonormal as it is, needs no
        other scale.

        Raw columns do, and columns beside an intercept that their means overlap with; but where every row is quadratic
        there is one step.
        """
        return not form.nonquadratic or (form.design.kernel is not None and not form.design.intercept and form.has_loss)

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Every problem of the batch; each leaves when it is done: polished at FIRST_POLISH_GAP, or at the tolerance.

        A warm start is polished first, and is where the path begins if that is not enough.
        """
        limit, deadline = options.max_iterations or INTERIOR_STEP_LIMIT, Deadline(options.time_limit)
        b = form.batch
        reached, iterations, kept = [Status.ITERATION_LIMIT] * b, np.full(b, limit), Kept.none(form)
        states, point = starting_point(form, _first_guess(form, start))
        part = form
        active, best, tried, stalled = np.arange(b), np.full(b, np.inf), np.zeros(b, dtype=bool), np.zeros(b, dtype=int)
        ended = perfect_at_zero(form)
        if start is not None and not ended.all():
            aim = 0.5 * options.tol * form.gap_scale(start.w, np.zeros(b))
            polished = polish(form, start.w, start.u, None, aim)
            ended |= polished.gap <= aim
            kept.take(
                np.flatnonzero(polished.gap <= aim), polished.cut(polished.gap <= aim), start.w[polished.gap <= aim]
            )
        if ended.any():
            iterations[ended] = 0
            active = np.flatnonzero(~ended)
            reached = [Status.CERTIFIED if done else Status.ITERATION_LIMIT for done in ended]
            if not len(active):
                return Answer(kept.w, form.complete_dual(kept.u, kept.w), reached, iterations, kept.interior)
            part, point = form.cut(active), point[active]
            states = [state.cut(block, active) for state, block in zip(states, part.nonquadratic, strict=True)]
        for iteration in range(limit + 1):
            sums = evaluate(part, states, point)
            better = (sums.gap < best[active]) | (iteration == 0)
            best[active[better]] = sums.gap[better]
            stalled[active] = np.where(better, 0, stalled[active] + 1)
            relative = sums.gap / sums.scale
            lost = ~np.isfinite(relative) | ((sums.gap > 1e3 * best[active]) & (best[active] <= 1e-4 * sums.scale))
            lost |= (stalled[active] >= STALLED_STEPS) & (
                best[active] <= FIRST_POLISH_GAP * sums.scale
            )  # rounding allows no more
            good = relative <= 0.5 * options.tol  # half: the certificate counts the gap its own way
            last = iteration == limit or deadline.passed()
            now = (
                (better & (((relative <= FIRST_POLISH_GAP) & ~tried[active]) | good)) | last | lost
                if form.nonquadratic
                else good | last
            )
            now &= np.isfinite(relative) | last
            tried[active[now]] = True
            if now.any():
                place = np.flatnonzero(now)
                sub = part.cut(place) if len(place) < len(active) else part
                aim = 0.5 * options.tol * sums.scale[place]
                polished = polish(sub, point[place], _dual(sub, states, place), sums.gap[place], aim)
                good[place] |= polished.gap <= aim
                kept.take(active[place], polished, point[place])
            elsewhere = np.flatnonzero(~now & better & (relative <= FIRST_POLISH_GAP) & (sums.gap < kept.gap[active]))
            if len(elsewhere):
                raw = Polished(point[elsewhere], _dual(part, states, elsewhere), sums.gap[elsewhere])
                kept.take(active[elsewhere], raw, point[elsewhere])
            done = good | lost | last
            iterations[active[done]] = iteration
            for problem in active[good]:
                reached[problem] = Status.CERTIFIED
            if done.all():
                break
            if done.any():
                stay = np.flatnonzero(~done)
                active, part, point, sums = active[stay], part.cut(stay), point[stay], sums.cut(stay)
                states = [state.cut(block, stay) for state, block in zip(states, part.nonquadratic, strict=True)]
            slow = ~better[~done]
            point = step(part, states, point, sums, slow)
        notes = deadline.notes(reached)
        return Answer(kept.w, form.complete_dual(kept.u, kept.w), reached, iterations, kept.interior, notes)


def _first_guess(form: Form, start: Start | None) -> Array | None:
    """w of a warm start, or of a part of the rows of one large problem; None for a start from the form itself."""
    if start is not None or form.batch > 1 or len(form.design.x) <= SUBSAMPLED_FROM:
        return None if start is None else start.w
    kinds = [block.kind for block in form.nonquadratic]
    if not kinds or not all(kind.low_bounded and kind.high_bounded for kind in kinds):
        return None
    part = subsample(form, len(form.design.x) // SUBSAMPLE_ROWS)
    return Interior().solve(part, Options(tol=SUBSAMPLE_TOL)).interior


def _dual(form: Form, states: list[BlockState], place: np.ndarray) -> Array:
    """u (b, M) of some problems, 0 on quadratic rows."""
    u = np.zeros((len(place), form.size))
    for state in states:
        u[:, state.block.span] = state.dual(place)
    return u


def perfect_at_zero(form: Form) -> np.ndarray:
    """Problems whose every term is smallest at w = 0, u = 0, (b,)."""
    if any(block.kind.smooth for block in form.blocks):
        return np.zeros(form.batch, dtype=bool)
    perfect, zero = np.ones(form.batch, dtype=bool), np.zeros((1, 1))
    for block in form.blocks:
        rows = block.rows
        perfect &= ((rows.clip_dual(zero) == 0) & (rows.gradient(zero) == 0)).all(axis=1)
    return perfect


def evaluate(form: Form, states: list[BlockState], w: Array) -> Sums:
    """First pass: residuals, H, the affine right side, and the gap that complementarity and residuals leave."""
    penalty, quadratic = form.penalty, form.quadratic
    bend = np.matvec(quadratic.h, w)
    h, pull, right = quadratic.h.copy(), quadratic.b + bend, np.zeros_like(w)
    complementarity, residual_cost = np.zeros(len(w)), np.zeros(len(w))
    value = 0.5 * (w * bend).sum(axis=1) - quadratic.c
    for one in parallel_map(lambda state: _evaluate_block(state, w), states):
        h += one.gram
        pull = pull + one.adjoint
        right = right + one.affine
        complementarity = complementarity + one.complementarity
        residual_cost = residual_cost + one.residual_cost
        value = value + one.dual
    norm = penalty * w
    residual = norm + pull
    gap = complementarity + residual_cost + form.stationarity_cost(w, residual)
    scale = _scale(form, w, gap, value + 0.5 * (norm * w).sum(axis=1))
    return Sums(h, -residual, right, complementarity, gap, scale)


def _scale(form: Form, w: Array, gap: Array, dual: Array) -> Array:
    """What a gap is relative to: the size of the dual objective far from the end, and near it what the fit explains."""
    rough = np.maximum(np.abs(dual), 1e-300)
    if (gap > GAP_SCALE_FROM * rough).all() or (form.has_loss and (gap <= NEGLIGIBLE_GAP * form.reference.least).all()):
        return rough
    return np.minimum(rough, form.gap_scale(w, gap))


class _PassSums(NamedTuple):
    """What the first pass sums over the rows of a block, (b, …) or one number."""

    gram: Array
    adjoint: Array
    affine: Array | float
    complementarity: Array | float
    residual_cost: Array | float
    dual: Array  # minus f*(u), less u times the shift


def _evaluate_block(state: BlockState, w: Array) -> _PassSums:
    block, a = state.block, state.block.matrix
    z = w @ a.T
    if isinstance(block.rows, SmoothRows):
        state.u, state.weight = block.rows.gradient(z), block.rows.curvature(z)
        dual = (z * state.u - block.rows.value(z)).sum(axis=1)
        return _PassSums(block.gram(state.weight), state.u @ a, 0.0, 0.0, 0.0, dual)
    rows = state.rows
    qu = rows.quadratic * state.u
    state.k = k = qu + rows.shift - z
    total, rest, complementarity = rows.quadratic, k, 0.0
    state.ratio = []
    for (sign, _), s, d in zip(state.bounds, state.s, state.d, strict=True):
        ratio = s / d
        total, rest = total + ratio, rest + s if sign > 0 else rest - s
        complementarity = complementarity + np.vecdot(s, state.counted(d))
        state.ratio.append(ratio)
    total = np.maximum(total, state.least)
    state.weight = weight = state.counted(1.0 / total)
    u = state.present_dual()
    lacking = np.abs(rest) if state.exact is None else np.maximum(np.abs(rest) - state.exact, 0.0)
    residual_cost = np.vecdot(lacking, np.abs(state.counted(u)))
    dual = np.vecdot(0.5 * qu + rows.shift, u)
    return _PassSums(block.gram(weight), u @ a, (weight * k) @ a, complementarity, residual_cost, dual)


def step(form: Form, states: list[BlockState], w: Array, sums: Sums, slow: np.ndarray) -> Array:
    """Predictor, centring by its success, corrector, and the step to near the boundary; updates the states and returns
    the new w.

    Where the last step was no gain (`slow`), a plain well-centred step breaks the cycle that Mehrotra's correction can
    fall into.
    """
    near = (sums.gap <= STEEP_ROWS_GAP * sums.scale).any()
    steep = _steep(form, states) if near else ()
    solve_h = factor(sums.h, form.penalty, _weighted_rows(form, states), steep)
    direction = solve_h(sums.base + sums.right)
    bounded = [state for state in states if state.bounds]
    target = np.zeros((len(w), 1))
    if bounded:
        found = parallel_map(lambda state: _affine_block(state, direction), bounded)
        steepest = found[0].steepest
        for one in found[1:]:
            steepest = np.maximum(steepest, one.steepest)
        center, second = sum(one.center for one in found), sum(one.second for one in found)
        cross = sum(one.cross for one in found)
        length = 1.0 / np.maximum(steepest, 1.0)
        after = np.maximum((1 - length) * sums.complementarity + length**2 * cross, 0.0)
        share = (after / np.maximum(sums.complementarity, SMALLEST_DIVISOR)) ** 3
        if slow.any():
            share, second = np.where(slow, SAFE_CENTERING, share), np.where(slow[:, None], 0.0, second)
        infeasibility = np.maximum(
            sums.gap - sums.complementarity, 0
        )  # complementarity must not run ahead of residuals,
        floor = SAFE_CENTERING * infeasibility
        if len(bounded) < len(
            states
        ):  # but those of smooth rows fall by themselves, and over a tiny ridge are no measure
            floor = np.minimum(floor, sums.complementarity)
        ahead = (infeasibility > 10 * sums.complementarity) & (sums.gap < sums.scale)
        target = (np.where(ahead, floor, share * sums.complementarity) / form.bounds)[:, None]
        direction = solve_h(sums.base + sums.right + target * center + second)
    moves = parallel_map(lambda state: _move_block(state, direction, target, slow), states)
    if not moves:
        return w + direction
    steepest, stretch = moves[0].steepest, moves[0].stretch
    for one in moves[1:]:
        steepest, stretch = np.maximum(steepest, one.steepest), np.maximum(stretch, one.stretch)
    length = np.minimum(1.0, BOUNDARY_SHARE / np.maximum(steepest, SMALLEST_DIVISOR))
    if stretch.any():
        stretch = np.maximum(stretch, 1e-12)
        length = np.minimum(length, np.log1p(stretch) / stretch)
    length = length[:, None]

    def advance(pair: tuple[BlockState, _Move]) -> None:
        state, move = pair
        if state.bounds:
            state.u = state.u + length * state.du
            state.s = [s + length * change for s, change in zip(state.s, move.ds, strict=True)]
            state.d = [d - sign * length * state.du for d, (sign, _) in zip(state.d, state.bounds, strict=True)]

    parallel_map(advance, list(zip(states, moves, strict=True)))
    return w + length * direction


def _steep(form: Form, states: list[BlockState]) -> list[int]:
    """The problems whose rows' weights differ so much that their sum has lost the small ones."""
    unit = STEEP_WEIGHT * form.loss_length**2 * form.scales.u[:, 0] / form.scales.z[:, 0]
    steep: set[int] = set()
    for state in states if solves_on_rows(form) else []:
        longest = np.square(np.max(state.block.length))
        if state.weight.max() * longest > unit.min():  # else none of them, seen at once
            steep |= set(np.flatnonzero((state.weight * np.square(state.block.length)).max(axis=1) > unit).tolist())
    return sorted(steep)


def _weighted_rows(form: Form, states: list[BlockState]) -> Callable[[int], Array]:
    """√W A of one problem's rows, the quadratic ones by a root of their sum."""

    def of(problem: int) -> Array:
        values, vectors = np.linalg.eigh(form.quadratic.h[problem])
        parts = [np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T]
        for state in states:
            weight = np.broadcast_to(state.weight, (form.batch, state.block.count))[problem]
            parts.append(np.sqrt(weight)[:, None] * state.block.matrix)
        return np.concatenate(parts)

    return of


class _Affine(NamedTuple):
    """Of the affine direction: the steepest approach to a bound, AᵀW of the centring and second-order terms, and Σ ds
    dd."""

    steepest: Array
    center: Array
    second: Array
    cross: Array


def _affine_block(state: BlockState, dw: Array) -> _Affine:
    a = state.block.matrix
    state.du = du = state.weight * (dw @ a.T - state.k)
    center, second, cross, steepest = 0.0, 0.0, 0.0, 0.0
    for (sign, _), s, d, ratio in zip(state.bounds, state.s, state.d, state.ratio, strict=True):
        approach = du / d  # the distance shrinks by sign·approach, its s by 1 - sign·approach
        top, bottom = approach.max(axis=1), approach.min(axis=1)
        steepest = np.maximum(steepest, np.maximum(top, 1 - bottom) if sign > 0 else np.maximum(-bottom, 1 + top))
        product = du * (sign * s - ratio * du)
        cross = cross + state.counted(product).sum(axis=1)
        center = center + sign / d
        second = second - sign * product / d
    steepest = np.broadcast_to(steepest, len(dw))
    return _Affine(steepest, (state.weight * center) @ a, (state.weight * second) @ a, np.asarray(cross))


class _Move(NamedTuple):
    """Of the combined direction: the steepest approach to a bound, ds, and c times the largest |dz| of a smooth row."""

    steepest: Array
    ds: list[Array]
    stretch: Array


def _move_block(state: BlockState, dw: Array, target: Array, slow: np.ndarray) -> _Move:
    """Sets du."""
    a = state.block.matrix
    if isinstance(state.block.rows, SmoothRows):
        term = state.block.rows.term
        dz = term.self_concordance * (dw @ a.T)
        return _Move(np.zeros(len(dw)), [], (dz if term.steepening else np.abs(dz)).max(axis=1, initial=0.0))
    before = state.du
    second = np.where(slow[:, None], 0.0, before) if slow.any() else before
    k, aims = state.k, []
    for (sign, _), s, d, ratio in zip(state.bounds, state.s, state.d, state.ratio, strict=True):
        aim = (target - second * (sign * s - ratio * before)) / d
        aims.append(aim - s)
        k = k + aim if sign > 0 else k - aim
    state.du = du = state.weight * (dw @ a.T - k)
    steepest, ds = np.zeros(len(dw)), []
    for (sign, _), s, d, ratio, aim in zip(state.bounds, state.s, state.d, state.ratio, aims, strict=True):
        pull = ratio * du
        change = state.counted(aim + pull if sign > 0 else aim - pull)
        ds.append(change)
        approach = du / d
        near = approach.max(axis=1) if sign > 0 else -approach.min(axis=1)
        steepest = np.maximum(steepest, np.maximum(near, -(change / s).min(axis=1)))
    return _Move(steepest, ds, np.zeros(len(dw)))
