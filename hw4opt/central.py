"""Where the interior point starts: rows at points near the central path, s d = τ with τ the same for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.answer import Answer, Options
from hw4opt.blocks import Run, Sheet
from hw4opt.coarse import thin
from hw4opt.form import Form
from hw4opt.linear import factor
from hw4opt.objective import Objective
from hw4opt.rows import each
from hw4opt.terms.base import Array

STEEPEST = 1e14  # of W, in units of the rest of H: more would swamp it,
STEEPEST_ROWS = 1e20  # but where steps can be solved on the rows themselves
ROWS = 5_000_000  # rows × r² up to which they can
LARGE = 60_000  # data rows from which one problem starts at the solution of a part of them,
PART = 16_000  # about so many
NEAR, NEAR_PART = 0.3, 3e-2  # relative gap of a start from least squares, and from a part of the rows
FAR_ROUNDING = 1e4  # typical targets: from there on the rounding of a row would hide what the other rows lack
NEAR_BOUND = 1e-6  # of a bound: a distance to it that tells u better than u itself
NEAREST = 1e-14  # share of the way to a bound that a start keeps from it
FAR_OUT = 10.0  # typical targets: from there on a row of a bounded slope pulls no more than one at that distance
SLACK_SHARE = 0.3  # of the mean residual: the slack of a row that starts in the middle of its bounds
CLEAR = 0.1  # units that a start keeps from a constraint


@dataclass
class Row:
    """The state of one run: duals u, slack duals s of its sides and the distances d to them (kept apart from u: near the end they are
    smaller than its rounding), and what the first pass of a step leaves for the next two."""

    run: Run
    u: Array
    sides: list[tuple[float, Array]]
    s: list[Array]
    d: list[Array]
    ratio: list[Array]
    weight: Array
    k: Array
    du: Array
    least: Array  # of 1/W
    reach: Array | float = np.inf  # a |u| beyond what the loss could ask for
    exact: Array | None = None  # rounding of the row equation where targets are far out: no residual

    def dual(self, place: np.ndarray) -> Array:
        """u of some problems, 0 on rows that they do not have (where the state keeps a harmless inner point)."""
        active, u = (None if self.run.sheet is None else self.run.sheet.active), self.u[place]
        for (sign, bound), d in zip(self.sides, self.d, strict=True):  # near a bound, the distance has digits that u has not
            u = np.where(d[place] <= NEAR_BOUND * np.abs(bound[place]), bound[place] - sign * d[place], u)
        return u if active is None else u * active[place]

    def cut(self, run: Run, stay: np.ndarray) -> Row:
        sides = [(sign, bound[stay]) for sign, bound in self.sides]
        s, d, ratio = ([one[stay] for one in group] for group in (self.s, self.d, self.ratio))
        reach = self.reach[stay] if isinstance(self.reach, np.ndarray) else self.reach
        exact = None if self.exact is None else self.exact[stay]
        return Row(run, self.u[stay], sides, s, d, ratio, self.weight[stay], self.k[stay], self.du[stay], self.least[stay], reach, exact)


def small(form: Form) -> bool:
    """Whether a nearly singular step can be solved on the rows themselves."""
    return sum(run.size for run in form.runs) * form.penalty.shape[1] ** 2 <= ROWS


def sides_of(sheet: Sheet) -> list[tuple[float, Array]]:
    """(+1, high) and (-1, low), the bounded ones: distances are sign·(bound - u)."""
    return [(sign, bound) for sign, bound in ((1.0, sheet.high), (-1.0, sheet.low)) if bound is not None]


def start(form: Form, solve: Callable[[Form, Options], Answer]) -> tuple[list[Row], Array]:
    """u near the slope at w = 0, pulled inside; s from the row equation plus a share of the loss's own scale.

    Every sheet is measured in its own units: rows of D B are short, so their z are small and their duals large. Unless there are smooth
    rows, the start is centred at a first guess of w: least squares, or for large problems what `solve` finds on a part of the rows.
    """
    z_scale, u_scale = form.scales
    rows = [_start_row(form, run, z_scale, u_scale) for run in form.runs]
    if not rows:
        return rows, np.zeros(form.penalty.shape)
    if any(row.run.sheet is None for row in rows):
        return _start_smooth(form, rows)
    boxed = all(len(row.sides) == 2 for row in rows)
    if boxed and form.batch == 1 and len(form.design.x) > LARGE:
        w, near = solve(thin(form, len(form.design.x) // PART), Options(tol=1e-4)).interior, NEAR_PART
    else:
        w, near = _least_squares(form, u_scale / z_scale), NEAR
    assert w is not None
    zs = each(lambda row: w @ row.run.matrix.T, rows)
    slopes = [row.run.sheet.slope(z - row.run.sheet.shift) if boxed else row.u for row, z in zip(rows, zs, strict=True)]  # type: ignore[union-attr]
    size = np.maximum(_dual_size(form, w, slopes), 1e-3 * (z_scale * u_scale)[:, 0] * form.sides)
    target = (near * size / form.sides)[:, None]
    each(lambda pair: _center(*pair, target, z_scale * pair[0].run.length / form.loss_length), list(zip(rows, zs, strict=True)))
    return rows, w


def _start_smooth(form: Form, rows: list[Row]) -> tuple[list[Row], Array]:
    """Centred at the least squares of the smooth rows' own best z, where that is better than w = 0: far from it their steps are short."""
    parts = [(row.run.chunk, row.run.smooth) for row in rows if row.run.smooth is not None]
    smooth, zero = Objective(parts, None, form.penalty), np.zeros(form.penalty.shape)
    w = smooth.start()
    sided, (z_scale, u_scale) = [row for row in rows if row.run.sheet is not None], form.scales
    better = (smooth.at(w).value < smooth.at_zero()).all()
    if not better or not sided:
        return rows, w if better else zero
    zs = [w @ row.run.matrix.T for row in sided]
    target = NEAR * z_scale * u_scale * len(form.design.x) / form.sides[:, None]
    for row, z in zip(sided, zs, strict=True):
        _center(row, z, target, z_scale * row.run.length / form.loss_length)
    return rows, w


def _least_squares(form: Form, weight: Array) -> Array:
    """w of the ridge and the loss's targets alone, every residual squared; those far out weigh less, so that none pulls more than a few."""
    h, right = form.fixed.h.copy(), -form.fixed.b
    for piece in form.pieces:
        if form.blocks[piece.block].is_loss and piece.sheet is not None and not piece.is_quadratic:
            wide = np.broadcast_to(weight if piece.sheet.active is None else weight * piece.sheet.active, (form.batch, len(piece.chunk)))
            z_scale = form.scales[0]
            wide = wide * np.minimum(1.0, FAR_OUT * z_scale / np.maximum(np.abs(piece.sheet.shift), FAR_OUT * z_scale))
            a = piece.chunk.matrix
            h += piece.chunk.gram(a, wide)
            right = right + (wide * piece.sheet.shift) @ a
    return factor(h, form.penalty)(right)


def _center(row: Row, z: Array, target: Array, unit: Array) -> None:
    """The row's point on the central path: v = q u + τ/(h - u) - τ/(u - l) up to rounding, and s = τ/d.

    With one side, s d = τ at no less than a share of the row's unit from the constraint: a z outside it stays a residual.
    """
    if len(row.sides) == 1:
        ((sign, bound),), q = row.sides, row.run.sheet.quadratic  # type: ignore[union-attr]
        v = sign * (z - row.run.sheet.shift - q * bound)  # type: ignore[union-attr]
        s = np.maximum(0.5 * (v + np.sqrt(v * v + 4 * q * target)), CLEAR * unit)
        row.s, row.d = [s], [target / s]
        row.u = bound - sign * row.d[0]
        return
    (_, high), (_, low) = row.sides
    v = z - row.run.sheet.shift  # type: ignore[union-attr]
    middle, half, q = 0.5 * (high + low), 0.5 * (high - low), row.run.sheet.quadratic  # type: ignore[union-attr]
    reach = v - q * middle
    pull = target / half
    t = reach / (pull + q * half + np.hypot(pull, reach))  # in units of half, which of a small weight has no square
    t = np.clip(t, NEAREST - 1, 1 - NEAREST)
    for _ in range(6):
        room = (1 - t) * (1 + t)
        slope = q * half + 2 * pull * (1 + t * t) / (room * room)
        t = np.clip(t - (q * half * t + 2 * pull * t / room - reach) / slope, 0.5 * (t - 1), 0.5 * (t + 1))
    t = np.clip(t, NEAREST - 1, 1 - NEAREST)
    row.u = middle + half * t
    s = [pull / (1 - t), pull / (1 + t)]
    excess = v - q * row.u - s[0] + s[1]
    row.s = [s[0] + np.maximum(excess, 0), s[1] + np.maximum(-excess, 0)]
    row.d = [half * (1 - t), half * (1 + t)]
    if (wide := half > row.reach).any():
        _start_inside(row, v, unit, np.broadcast_to(wide, row.u.shape))


def _start_inside(row: Row, v: Array, unit: Array, wide: np.ndarray) -> None:
    """Rows whose bounds are far beyond any dual that the loss could ask for start in the middle, with slacks that cover their residuals."""
    (_, high), (_, low) = row.sides
    inside = 0.1 * np.minimum(high - low, row.reach)
    u = np.clip(0.0, low + inside, high - inside)
    residual = v - row.run.sheet.quadratic * u  # type: ignore[union-attr]
    least = SLACK_SHARE * np.maximum(np.abs(residual).mean(axis=1, keepdims=True), unit)
    row.u = np.where(wide, u, row.u)
    row.s = [np.where(wide, np.maximum(sign * residual, 0) + least, s) for (sign, _), s in zip(row.sides, row.s, strict=True)]
    row.d = [np.where(wide, sign * (bound - u), d) for (sign, bound), d in zip(row.sides, row.d, strict=True)]


def _start_row(form: Form, run: Run, z_scale: Array, u_scale: Array) -> Row:
    shape = (form.batch, run.size)
    empty = np.zeros((form.batch, 0))
    if run.sheet is None:
        return Row(run, np.zeros(shape), [], [], [], [], empty, empty, empty, empty)
    sheet, sides, ratio = run.sheet, sides_of(run.sheet), run.length / form.loss_length
    v = np.broadcast_to(-sheet.shift, shape)
    reach = 10 * u_scale / ratio
    low = None if sheet.low is None else sheet.low + (0.1 * (sheet.high - sheet.low) if sheet.high is not None else reach)
    high = None if sheet.high is None else sheet.high - (0.1 * (sheet.high - sheet.low) if sheet.low is not None else reach)
    slope, only = sheet.slope(v), low if high is None else high
    u = np.clip(slope if only is None else np.where(np.isfinite(slope), slope, only), low, high)
    excess = v - sheet.quadratic * u
    s = [np.maximum(sign * excess, 0) + z_scale * ratio for sign, _ in sides]
    d = [sign * (bound - u) for sign, bound in sides]
    curvature = form.penalty.max(axis=1, keepdims=True) + 1e-6 * len(form.design.x) * u_scale / z_scale
    least = np.square(run.length) / ((STEEPEST_ROWS if small(form) else STEEPEST) * curvature)
    least = np.broadcast_to(least, (form.batch, 1) if np.ndim(run.length) == 0 else shape)
    far = np.abs(sheet.shift).max() > FAR_ROUNDING * z_scale.max()
    exact = 8 * np.finfo(float).eps * np.broadcast_to(np.abs(sheet.shift), shape) if far else None
    return Row(run, u, sides, s, d, [], empty, empty, empty, least, reach, exact)


def _dual_size(form: Form, w: Array, duals: Sequence[Array]) -> Array:
    """The size of the dual objective at (w, u), (b,)."""
    value = 0.5 * np.vecdot(w, np.matvec(form.fixed.h, w) + form.penalty * w) - form.fixed.c
    for run, u in zip(form.runs, duals, strict=True):
        assert run.sheet is not None
        value += ((0.5 * run.sheet.quadratic * u + run.sheet.shift) * u).sum(axis=1)
    return np.abs(value)
