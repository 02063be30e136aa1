"""Where the interior point starts: rows at points near the central path, s d = τ with τ the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw4opt.form import BoxRows, Form, RowBlock, SmoothRows
from hw4opt.running.threads import parallel_map
from hw4opt.solvers._normal_equations import factor
from hw4opt.solvers._smooth_objective import Objective
from hw4opt.terms.base import Array

LARGEST_WEIGHT = 1e14  # of W, in units of the rest of H: more would swamp it,
LARGEST_WEIGHT_ON_ROWS = 1e20  # but where steps can be solved on the rows themselves
LARGEST_ROW_WORK = 5_000_000  # rows × r² up to which they can
GAP_OF_LEAST_SQUARES, GAP_OF_WARM_START = 0.3, 3e-2  # relative gaps that starts are centred at
FAR_ROUNDING = 1e4  # typical targets: from there on the rounding of a row would hide what the other rows lack
NEAR_BOUND = 1e-6  # of a bound: a distance to it that tells u better than u itself
LEAST_DISTANCE = 1e-14  # share of the way to a bound that a start keeps from it
FAR_TARGET = 10.0  # typical targets: from there on a row of a bounded slope pulls no more than one at that distance
SLACK_SHARE = 0.3  # of the mean residual: the slack of a row that starts in the middle of its bounds
CONSTRAINT_DISTANCE = 0.1  # units that a start keeps from a constraint


class Bound(NamedTuple):
    """One bound of the duals of a block: distances to it are sign·(value - u)."""

    sign: float
    value: Array


@dataclass
class BlockState:
    """Where the rows of one block stand: duals u, slack duals s of their bounds and the distances d to these (kept
    apart from u: near the end they are smaller than its rounding), and what the first pass of a step leaves for the
    next two. Smooth rows have no bounds.

    Rows that a problem does not have stand at a harmless inner point; `present` (b, m) is 0 there, None where all are
    there.
    """

    block: RowBlock
    u: Array
    bounds: list[Bound]
    s: list[Array]
    d: list[Array]
    ratio: list[Array]
    weight: Array
    k: Array
    du: Array
    least: Array  # of 1/W
    present: Array | None = None
    reach: Array | float = np.inf  # a |u| beyond what the loss could ask for
    exact: Array | None = None  # rounding of the row equation where targets are far out: no residual

    @property
    def rows(self) -> BoxRows:
        """The functions of rows with bounds."""
        assert isinstance(self.block.rows, BoxRows)
        return self.block.rows

    def counted(self, values: Array) -> Array:
        """The values, 0 on rows that a problem does not have."""
        return values if self.present is None else values * self.present

    def present_dual(self) -> Array:
        """u, that of a linear row where it is one."""
        return self.u if self.present is None else np.where(self.present > 0, self.u, self.rows.low)

    def dual(self, place: np.ndarray) -> Array:
        """u of some problems."""
        u = self.u[place]
        for (sign, bound), d in zip(
            self.bounds, self.d, strict=True
        ):  # near a bound, the distance has digits that u has not
            u = np.where(d[place] <= NEAR_BOUND * np.abs(bound[place]), bound[place] - sign * d[place], u)
        return u if self.present is None else np.where(self.present[place] > 0, u, self.rows.low[place])

    def cut(self, block: RowBlock, stay: np.ndarray) -> BlockState:
        """Some of the problems, whose block this is."""
        bounds = [Bound(sign, bound[stay]) for sign, bound in self.bounds]
        s, d, ratio = ([one[stay] for one in group] for group in (self.s, self.d, self.ratio))
        return BlockState(
            block,
            self.u[stay],
            bounds,
            s,
            d,
            ratio,
            self.weight[stay],
            self.k[stay],
            self.du[stay],
            self.least[stay],
            None if self.present is None else self.present[stay],
            self.reach[stay] if isinstance(self.reach, np.ndarray) else self.reach,
            None if self.exact is None else self.exact[stay],
        )


def solves_on_rows(form: Form) -> bool:
    """Whether a nearly singular step can be solved on the rows themselves."""
    return sum(block.count for block in form.nonquadratic) * form.penalty.shape[1] ** 2 <= LARGEST_ROW_WORK


def starting_point(form: Form, w: Array | None = None) -> tuple[list[BlockState], Array]:
    """u near the slope at w = 0, pulled inside; s from the row equation plus a share of the loss's own scale.

    Every block is measured in its own units: rows of D B are short, so their z are small and their duals large. Unless
    there are smooth rows, the start is centred at a first guess of w: a warm start where all duals have two bounds,
    else least squares.
    """
    z_scale, u_scale = form.scales
    states = [_start_block(form, block, z_scale, u_scale) for block in form.nonquadratic]
    if not states:
        return states, np.zeros(form.penalty.shape)
    if any(isinstance(state.block.rows, SmoothRows) for state in states):
        return _start_smooth(form, states)
    boxed = all(len(state.bounds) == 2 for state in states)
    warm = w is not None and boxed
    point = w if w is not None and boxed else _least_squares(form, u_scale / z_scale)
    zs = parallel_map(lambda state: point @ state.block.matrix.T, states)
    slopes = [state.rows.gradient(z) if boxed else state.u for state, z in zip(states, zs, strict=True)]
    size = np.maximum(_dual_size(form, point, slopes), 1e-3 * (z_scale * u_scale)[:, 0] * form.bounds)
    target = ((GAP_OF_WARM_START if warm else GAP_OF_LEAST_SQUARES) * size / form.bounds)[:, None]
    ratio = z_scale / form.loss_length
    parallel_map(lambda pair: _center(*pair, target, ratio * pair[0].block.length), list(zip(states, zs, strict=True)))
    return states, point


def _start_smooth(form: Form, states: list[BlockState]) -> tuple[list[BlockState], Array]:
    """Centred at the least squares of the smooth rows' own best z, where that is better than w = 0: far from it their
    steps are short."""
    parts = [(state.block.chunk, state.block.rows) for state in states if isinstance(state.block.rows, SmoothRows)]
    smooth, zero = Objective(parts, None, form.penalty), np.zeros(form.penalty.shape)
    w = smooth.start()
    bounded, (z_scale, u_scale) = [state for state in states if state.bounds], form.scales
    better = (smooth.at(w).value < smooth.at_zero()).all()
    if not better or not bounded:
        return states, w if better else zero
    target = GAP_OF_LEAST_SQUARES * z_scale * u_scale * len(form.design.x) / form.bounds[:, None]
    for state in bounded:
        _center(state, w @ state.block.matrix.T, target, z_scale * state.block.length / form.loss_length)
    return states, w


def _least_squares(form: Form, weight: Array) -> Array:
    """w of the ridge and the loss's targets alone, every residual squared; those far out weigh less, so that none pulls
    more than a few."""
    h, right = form.quadratic.h.copy(), -form.quadratic.b
    far = FAR_TARGET * form.scales.z
    for block in form.nonquadratic:
        if not form.has_loss or block.parts[0].term > 0 or not isinstance(block.rows, BoxRows):
            continue
        of_loss = slice(0, max(part.rows.stop for part in block.parts if part.term == 0))
        whole = of_loss.stop == block.count
        rows, a = (block.rows, block.matrix) if whole else (block.rows.cut(of_loss), block.matrix[of_loss])
        wide = np.broadcast_to(weight * rows.open, (form.batch, len(a)))
        wide = wide * np.minimum(1.0, far / np.maximum(np.abs(rows.shift), far))
        h += block.chunk.gram(a, wide)
        right = right + (wide * rows.shift) @ a
    return factor(h, form.penalty)(right)


def _center(state: BlockState, z: Array, target: Array, unit: Array) -> None:
    """The rows' point on the central path: v = q u + τ/(h - u) - τ/(u - l) up to rounding, and s = τ/d.

    With one bound, s d = τ at no less than a share of the row's unit from the constraint: a z outside it stays a
    residual.
    """
    q = state.rows.quadratic
    if len(state.bounds) == 1:
        ((sign, bound),) = state.bounds
        v = sign * (z - state.rows.shift - q * bound)
        s = np.maximum(0.5 * (v + np.sqrt(v * v + 4 * q * target)), CONSTRAINT_DISTANCE * unit)
        state.s, state.d = [s], [target / s]
        state.u = bound - sign * state.d[0]
        return
    (_, high), (_, low) = state.bounds
    v = z - state.rows.shift
    middle, half = 0.5 * (high + low), 0.5 * (high - low)
    reach = v - q * middle
    pull = target / half
    t = reach / (pull + q * half + np.hypot(pull, reach))  # in units of half, which of a small weight has no square
    t = np.clip(t, LEAST_DISTANCE - 1, 1 - LEAST_DISTANCE)
    for _ in range(6):
        room = (1 - t) * (1 + t)
        slope = q * half + 2 * pull * (1 + t * t) / (room * room)
        t = np.clip(t - (q * half * t + 2 * pull * t / room - reach) / slope, 0.5 * (t - 1), 0.5 * (t + 1))
    t = np.clip(t, LEAST_DISTANCE - 1, 1 - LEAST_DISTANCE)
    state.u = middle + half * t
    s = [pull / (1 - t), pull / (1 + t)]
    excess = v - q * state.u - s[0] + s[1]
    state.s = [s[0] + np.maximum(excess, 0), s[1] + np.maximum(-excess, 0)]
    state.d = [half * (1 - t), half * (1 + t)]
    if (wide := half > state.reach).any():
        _start_inside(state, v, unit, np.broadcast_to(wide, state.u.shape))


def _start_inside(state: BlockState, v: Array, unit: Array, wide: np.ndarray) -> None:
    """Rows whose bounds are far beyond any dual that the loss could ask for start in the middle, with slacks that cover
    their residuals."""
    (_, high), (_, low) = state.bounds
    inside = 0.1 * np.minimum(high - low, state.reach)
    u = np.clip(0.0, low + inside, high - inside)
    residual = v - state.rows.quadratic * u
    least = SLACK_SHARE * np.maximum(np.abs(residual).mean(axis=1, keepdims=True), unit)
    state.u = np.where(wide, u, state.u)
    slacks = zip(state.bounds, state.s, strict=True)
    state.s = [np.where(wide, np.maximum(sign * residual, 0) + least, s) for (sign, _), s in slacks]
    distances = zip(state.bounds, state.d, strict=True)
    state.d = [np.where(wide, sign * (bound - u), d) for (sign, bound), d in distances]


def _start_block(form: Form, block: RowBlock, z_scale: Array, u_scale: Array) -> BlockState:
    shape = (form.batch, block.count)
    empty = np.zeros((form.batch, 0))
    rows = block.rows
    if not isinstance(rows, BoxRows):
        return BlockState(block, np.zeros(shape), [], [], [], [], empty, empty, empty, empty)
    bounds, ratio = _bounds(block, rows), block.length / form.loss_length
    v = np.broadcast_to(-rows.shift, shape)
    reach = 10 * u_scale / ratio
    if len(bounds) == 2:
        (_, high), (_, low) = bounds
        inside = 0.1 * (high - low)
        u = np.clip(_slope_between(rows, v, low, high), low + inside, high - inside)
    else:
        ((sign, bound),) = bounds
        inner = bound - sign * reach
        slope = rows.gradient(np.zeros((1, 1)))
        u = np.where(np.isfinite(slope) & (sign * (inner - slope) >= 0), slope, inner)
        u = np.broadcast_to(u, shape)
    excess = v - rows.quadratic * u
    s = [np.maximum(sign * excess, 0) + z_scale * ratio for sign, _ in bounds]
    d = [sign * (bound - u) for sign, bound in bounds]
    curvature = form.penalty.max(axis=1, keepdims=True) + 1e-6 * len(form.design.x) * u_scale / z_scale
    largest = LARGEST_WEIGHT_ON_ROWS if solves_on_rows(form) else LARGEST_WEIGHT
    least = np.square(block.length) / (largest * curvature)
    least = np.broadcast_to(least, (form.batch, 1) if np.ndim(block.length) == 0 else shape)
    far = np.abs(rows.shift).max() > FAR_ROUNDING * z_scale.max()
    exact = 8 * np.finfo(float).eps * np.broadcast_to(np.abs(rows.shift), shape) if far else None
    present = None if rows.all_open else np.broadcast_to(rows.open, shape).astype(float)
    return BlockState(block, u, bounds, s, d, [], empty, empty, empty, least, present, reach, exact)


def _bounds(block: RowBlock, rows: BoxRows) -> list[Bound]:
    """The finite bounds, high before low; those of rows that a problem does not have are 1 and -1."""
    listed = ((1.0, block.kind.high_bounded, rows.high), (-1.0, block.kind.low_bounded, rows.low))
    return [
        Bound(sign, bound if rows.all_open else np.where(rows.open, bound, sign))
        for sign, there, bound in listed
        if there
    ]


def _slope_between(rows: BoxRows, v: Array, low: Array, high: Array) -> Array:
    """f' at v = z - shift, between these bounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(rows.quadratic > 0, v / rows.quadratic, np.where(v == 0, 0.0, np.copysign(np.inf, v)))
    return np.clip(free, low, high)


def _dual_size(form: Form, w: Array, duals: Sequence[Array]) -> Array:
    """The size of the dual objective at (w, u), (b,)."""
    value = 0.5 * np.vecdot(w, np.matvec(form.quadratic.h, w) + form.penalty * w) - form.quadratic.c
    for block, u in zip(form.nonquadratic, duals, strict=True):
        assert isinstance(block.rows, BoxRows)
        value += ((0.5 * block.rows.quadratic * u + block.rows.shift) * u).sum(axis=1)
    return np.abs(value)
