"""Proof of an answer: the duality gap of a form at (w, u). Knows no solver.

    gap = Σ_k [f_k(z_k) + f_k*(u_k) - ⟨z_k, u_k⟩] + ridge ‖w + Aᵀu/(2 ridge)‖²,      z_k = A_k w + c_k,

a sum of non-negative parts, so nothing cancels. With ridge > 0 the objective is strongly convex, hence ‖f̂ - f*‖_H ≤ √(gap/ridge) and
|f̂(x) - f*(x)| ≤ √(k(x,x) gap/ridge). What the reduced basis leaves out of the user's kernel adds ridge (Σ_j |α_j| √d_j)² to the gap of
that bound, d = diag(K - BBᵀ).   (Rockafellar 1970, §31; Fine and Scheinberg 2001 for the truncation.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from hw4opt.balance import balance, clip
from hw4opt.blocks import Piece
from hw4opt.form import Form
from hw4opt.rows import each
from hw4opt.terms import Differences, Slope
from hw4opt.terms.base import Array

ROUNDING = 8 * np.finfo(float).eps  # of the largest fitted value (of a slope's own products): what evaluating a row may be off by


@dataclass(frozen=True)
class Certificate:
    """What is proven of one answer. None stands for "not proven"; `reason` says why.

    objective, dual_objective    P(w) and P(w) - gap
    gap, relative_gap            P(w) - P* is at most gap; relative to max(|P|, |D|, 1e-6 · loss at w = 0)
    stationarity                 ‖2 ridge w + Aᵀu‖∞ relative to the largest ‖A_kᵀu_k‖∞ (to |A|ᵀ|u| without ridge)
    violation                    worst constraint row: in units of y's spread; order rows as slope · x-range over that spread
    largest_drop                 largest fall below the running maximum (rise above the minimum) under an order constraint, units of y
    norm_bound                   √((gap + truncation)/ridge): times √k(x,x) it bounds |f̂(x) - f*(x)|
    gap_scale                    what the gap is relative to: gap = relative_gap · gap_scale
    gap_rounding                 what rounding may have added to or taken from the gap
    """

    objective: float
    dual_objective: float | None
    gap: float | None
    relative_gap: float | None
    stationarity: float
    violation: float
    largest_drop: float | None
    truncation: float
    norm_bound: float | None
    reason: str | None
    norm_bound_reason: str | None
    gap_scale: float | None = None
    gap_rounding: float = 0.0

    def holds(self, tol: float) -> bool:
        """Certified: relative gap and violation at most `tol`."""
        return self.relative_gap is not None and self.relative_gap <= tol and self.violation <= tol

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Proof:
    """Certificates of a batch, with the points and duals they speak of (blended and projected where that was needed)."""

    certificates: list[Certificate]
    w: Array
    duals: list[Array]


class _At(NamedTuple):
    """Point and duals, with the rows at the point and what rounding may do to them, one array a piece."""

    w: Array
    zs: Sequence[Array]
    duals: Sequence[Array]
    allowances: Sequence[Array]


def certify(form: Form, w: Array, duals: Sequence[Array], interior: Array | None = None) -> Proof:
    """Certificates at w (b, r) and one dual array a piece.

    Duals are first brought into the conjugates' domain, and onto Cᵀu = 0 for unpenalised columns C. An infeasible w is blended towards
    the strictly feasible `interior` (b, r), if that is given.
    """
    duals = [clip(piece, u) for piece, u in zip(form.pieces, duals, strict=True)]
    zs = form.forward(w)
    duals, balanced = balance(form, zs, duals)
    allowances = _allowances(form, w, zs)
    wrong = _worst(form, zs, allowances)
    if interior is not None and (wrong > 0).any():
        w = _blend(form, w, zs, interior, allowances, wrong > 0)
        zs = form.forward(w)
        wrong = _worst(form, zs, allowances)
    return Proof(_assemble(form, _At(w, zs, duals, allowances), wrong, balanced), w, list(duals))


def _allowances(form: Form, w: Array, zs: Sequence[Array]) -> list[Array]:
    """What rounding may do to the rows of each piece, (b, 1) or (b, m), in units of the rows."""
    fitted = [np.abs(z).max(axis=1) for piece, z in zip(form.pieces, zs, strict=True) if piece.block == 0]
    value = ROUNDING * np.max(fitted, axis=0)[:, None]
    return [_allowance(form, piece, w, value) for piece in form.pieces]


def _allowance(form: Form, piece: Piece, w: Array, value: Array) -> Array:
    """That of a row's fitted values, amplified by its coefficients; slopes are in units of f over x, and no sum of fitted values."""
    if isinstance(form.blocks[piece.block].terms[0].acts, Slope):
        return ROUNDING * (np.abs(w) @ np.abs(piece.chunk.matrix).T)
    return value * _row_size(piece)


def _row_size(piece: Piece) -> Array | float:
    """Σ_c |coef| of a piece's rows: how far the rounding of fitted values is amplified."""
    coef = piece.chunk.rows.coef
    if coef is None:
        return 1.0
    return 2.0 if piece.chunk.rows.is_difference else np.abs(coef[piece.chunk.low : piece.chunk.high]).sum(axis=1)


def _outside(piece: Piece, v: Array) -> Array | None:
    """How far v lies outside the domain of a piece, or None if the domain is everything."""
    sheet = piece.sheet
    if sheet is None or not np.all(sheet.quadratic == 0) or (sheet.low is not None and sheet.high is not None):
        return None
    out = np.maximum(v if sheet.high is None else -v, 0.0)
    return out if sheet.active is None else out * sheet.active


def _worst(form: Form, zs: Sequence[Array], allowances: Sequence[Array]) -> Array:
    """The largest constraint violation beyond rounding, (b,), in units of each row."""
    worst = np.zeros(form.batch)
    for piece, z, allowance in zip(form.pieces, zs, allowances, strict=True):
        if piece.sheet is not None and (out := _outside(piece, z - piece.sheet.shift)) is not None:
            worst = np.maximum(worst, (out - allowance).max(axis=1, initial=0.0))
    return worst


def _blend(form: Form, w: Array, zs: Sequence[Array], interior: Array, allowances: Sequence[Array], which: np.ndarray) -> Array:
    """The nearest feasible point on the way to `interior`."""
    share = np.zeros(form.batch)
    for piece, z, inside, allowance in zip(form.pieces, zs, form.forward(interior), allowances, strict=True):
        if piece.sheet is None or _outside(piece, z) is None:
            continue
        sign = -1.0 if piece.sheet.high is None else 1.0
        v, v_inside = sign * (z - piece.sheet.shift), sign * (inside - piece.sheet.shift)
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.where(v < 0, -v / (v_inside - v), 0.0)
        needed = np.where((v < 0) & (v_inside <= 0), np.where(v < -allowance, 1.0, 0.0), needed)
        if piece.sheet.active is not None:
            needed = needed * piece.sheet.active
        share = np.maximum(share, needed.max(axis=1, initial=0.0))
    share = np.where(which, np.minimum(share * (1 + 1e-9), 1.0), 0.0)[:, None]
    return w + share * (interior - w)


def _slack(piece: Piece, z: Array, u: Array, allowance: Array) -> tuple[Array, Array]:
    """Sums over rows of the Fenchel-Young slack, each part of it a product of one sign, and of f."""
    if piece.sheet is None:
        smooth = piece.smooth
        assert smooth is not None
        return smooth.slack(z, u).sum(axis=1), smooth.value(z).sum(axis=1)
    sheet = piece.sheet
    v = z - sheet.shift
    out = _outside(piece, v)
    extra = np.zeros(len(z))
    if out is not None:  # a constraint: rounding beyond the boundary counts as on it, at its price
        extra = (np.abs(u) * np.minimum(out, allowance)).sum(axis=1)
        p = np.zeros_like(u)
        v = np.where(out > 0, 0.0, v)
    else:
        p = sheet.slope(v)
    slack = (p - u) * (v - 0.5 * sheet.quadratic * (p + u))
    value = (v - 0.5 * sheet.quadratic * p) * p
    if sheet.active is not None:
        slack, value = slack * sheet.active, value * sheet.active
    return np.maximum(slack, 0).sum(axis=1) + extra, value.sum(axis=1)


def _assemble(form: Form, at: _At, wrong: Array, balanced: np.ndarray) -> list[Certificate]:
    b, (w, zs, duals, allowances) = form.batch, at
    sums = each(lambda args: _slack(*args), list(zip(form.pieces, zs, duals, allowances, strict=True)))
    slack, value = (sum((one[place] for one in sums), np.zeros(b)) for place in (0, 1))
    pulls, reaches = zip(
        *each(_pull, list(zip(form.pieces, duals, [bool((form.ridge == 0).any())] * len(duals), strict=True))), strict=True
    )
    by_block = np.zeros((len(form.blocks), *w.shape))
    for piece, pull in zip(form.pieces, pulls, strict=True):
        by_block[piece.block] += pull
    penalty = form.penalty
    residual = penalty * w + by_block.sum(axis=0)
    norm = np.square(w * (penalty > 0)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(penalty > 0, 0.5 * np.square(residual) / penalty, np.abs(residual * w)).sum(axis=1)
    objective = value + form.ridge * norm
    gap = slack + off
    scale = form.size(np.maximum(np.abs(objective), np.abs(objective - gap)))
    pull_size = np.abs(by_block).max(axis=(0, 2))
    if (form.ridge == 0).any():  # nothing but the terms' own rows to cancel against
        whole = sum(reaches)
        pull_size = np.where(form.ridge == 0, np.max(whole, axis=1), pull_size)
    stationarity = np.abs(residual).max(axis=1) / np.maximum(pull_size, 1e-300)
    violation, drop = _violations(form, zs, allowances, w)
    truncation = _truncation(form, duals)
    found = []
    for i in range(b):
        reason = _reason(form, wrong[i], bool(balanced[i]), float(gap[i]))
        ridge, size = float(form.ridge[i]), float(gap[i] + truncation[i])
        found.append(
            Certificate(
                objective=float(objective[i]),
                dual_objective=None if reason else float(objective[i] - gap[i]),
                gap=None if reason else float(gap[i]),
                relative_gap=None if reason else float(gap[i] / scale[i]),
                stationarity=float(stationarity[i]),
                violation=float(violation[i]),
                largest_drop=None if drop is None else float(drop[i]),
                truncation=float(truncation[i]),
                norm_bound=None if reason or ridge == 0 else math.sqrt(size / ridge),
                reason=reason,
                norm_bound_reason=reason or _bound_reason(form, ridge),
                gap_scale=float(scale[i]),
            )
        )
    return found


def _pull(args: tuple[Piece, Array, bool]) -> tuple[Array, Array | float]:
    """Aᵀu of a piece, and |A|ᵀ|u| where that is asked for."""
    piece, u, asked = args
    a = piece.chunk.matrix
    return u @ a, np.abs(u) @ np.abs(a) if asked else 0.0


def _reason(form: Form, wrong: float, balanced: bool, gap: float) -> str | None:
    if wrong > 0:
        return f"a constraint is violated by {wrong:.1e} and no strictly feasible point is known to blend towards"
    if not balanced:
        return "no dual point balances the unpenalised columns; give the ridge a weight above 0, or another solver"
    return None if math.isfinite(gap) else "the point lies outside the domain of a term"


def _bound_reason(form: Form, ridge: float) -> str | None:
    if ridge == 0:
        return "ridge is 0: the objective is not strongly convex"
    return "the bound covers the fit without its unpenalised intercept" if form.design.intercept else None


def _violations(form: Form, zs: Sequence[Array], allowances: Sequence[Array], w: Array) -> tuple[Array, Array | None]:
    """The worst constraint row beyond rounding, scaled; and the largest drop under an order-1 constraint."""
    loss = form.blocks[0]
    spread = np.ptp(loss.offset, axis=1) if loss.offset.shape[1] > 1 else np.ones(form.batch)
    spread = np.where(spread > 0, spread, 1.0)
    x = form.design.base_x
    worst, drop = np.zeros(form.batch), None
    for piece, z, allowance in zip(form.pieces, zs, allowances, strict=True):
        if piece.sheet is None or (out := _outside(piece, z - piece.sheet.shift)) is None:
            continue
        acts = form.blocks[piece.block].terms[0].acts
        out = np.maximum(out - allowance, 0)
        if isinstance(acts, Differences):
            width = float(x[-1, 0] - x[0, 0])
            rows = piece.chunk.rows
            if acts.order == 1:
                span = slice(piece.chunk.low, piece.chunk.high)
                ends = (x[1:, 0] - x[:-1, 0])[span] if rows.index is None else x[rows.index[span, 1], 0] - x[rows.index[span, 0], 0]
                out = out / ends
            out = out * width
        elif isinstance(acts, Slope):
            out = out * float(np.ptp(x[:, acts.column]))
        worst = np.maximum(worst, out.max(axis=1, initial=0.0) / spread)
    for block in form.blocks:
        if isinstance(block.terms[0].acts, Differences) and block.terms[0].acts.order == 1 and any(_one_sided(s) for s in block.sheets):
            fitted = w @ form.design.matrix[: len(x)].T
            fitted = fitted if block.sheets[0].low is None else -fitted
            fall = (np.maximum.accumulate(fitted, axis=1) - fitted).max(axis=1)
            drop = fall if drop is None else np.maximum(drop, fall)
    return worst, drop


def _one_sided(sheet: object) -> bool:
    return (sheet.low is None) != (sheet.high is None) and bool(np.all(sheet.quadratic == 0))  # type: ignore[attr-defined]


def _truncation(form: Form, duals: Sequence[Array]) -> Array:
    """ridge (Σ_j |α_j| √d_j)², α = -Sᵀu/(2 ridge): what the basis leaves out of the kernel."""
    if form.design.kernel is None or not (form.ridge > 0).any():
        return np.zeros(form.batch)
    sums = np.abs(form.spread(duals)) @ np.sqrt(form.design.left_over)
    return np.where(form.ridge > 0, np.square(sums) / (4 * np.where(form.ridge > 0, form.ridge, 1.0)), 0.0)
