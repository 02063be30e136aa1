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
from hw4opt.blocks import Piece, Sheet
from hw4opt.form import Form
from hw4opt.rows import each
from hw4opt.terms import Coefficients, Differences, Slope
from hw4opt.terms.base import Array

EPS = float(np.finfo(float).eps)
ROUNDING = 8 * EPS  # of the largest fitted value (of a slope's own products): what evaluating a row may be off by
TRUNCATED = 1e-6  # of gap_scale: what the truncated basis may leave out of a certified answer
PLAINLY = 1e-9  # of gap_scale: a truncation that needs no closer look
EXACT_ROWS = 5_000  # functionals up to which truncation is looked at closely whether that matters or not


@dataclass(frozen=True)
class Certificate:
    """What is proven of one answer. None stands for "not proven"; `reason` says why.

    objective, dual_objective    P(w) and P(w) - gap
    gap, relative_gap            P(w) - P* is at most gap; relative to gap_scale
    stationarity                 ‖2 ridge w + Aᵀu‖∞ relative to the largest ‖A_kᵀu_k‖∞ (to |A|ᵀ|u| without ridge)
    violation                    worst constraint row: in units of y's interquartile range; order rows as slope · x-range over that
    largest_drop                 largest fall below the running maximum (rise above the minimum) under an order constraint, units of y
    norm_bound                   √((gap + truncation)/ridge): times √k(x,x) it bounds |f̂(x) - f*(x)|
    gap_scale                    what the fit explains (gap_scale.py)
    gap_rounding                 what rounding may have added to or taken from the sum that is the gap
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
        """Certified: gap + gap_rounding at most `tol` · gap_scale, violation at most `tol`, truncation at most max(tol, 1e-6) · gap_scale.

        A fit with nothing to explain (gap_scale 0) holds where its gap is rounding alone.
        """
        if self.gap is None or self.gap_scale is None or not self.violation <= tol:  # not a number is no proof
            return False
        if self.gap_scale == 0:
            return self.gap <= self.gap_rounding
        proven = self.gap + self.gap_rounding <= tol * self.gap_scale
        return proven and self.truncation <= max(tol, TRUNCATED) * self.gap_scale

    def solved(self, tol: float) -> bool:
        """Whether gap and violation are within `tol`, so that only rounding and truncation may fall short: no solver can better those."""
        return self.gap is not None and self.gap_scale is not None and self.gap <= tol * self.gap_scale and self.violation <= tol

    def shortfall(self, tol: float) -> str | None:
        """What keeps the answer from being certified, in words; None if nothing does, or if `reason` says it."""
        if self.gap is None or not self.gap_scale or self.holds(tol):
            return None
        if self.truncation > max(tol, TRUNCATED) * self.gap_scale:
            left = f"what the kernel's basis leaves out may count for {self.truncation / self.gap_scale:.1e} of what the fit explains"
            return f"{left} (at most {max(tol, TRUNCATED):.0e}); a larger ridge, or a smaller weight of tv or trend, lowers it"
        if self.violation > tol:
            return f"a constraint is violated by {self.violation:.1e} of y's spread"
        if self.gap > tol * self.gap_scale:
            return f"the relative gap is {self.gap / self.gap_scale:.1e} (at most {tol:.0e})"
        return f"rounding alone may count for {self.gap_rounding / self.gap_scale:.1e} of what the fit explains (at most {tol:.0e})"

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Proof:
    """Certificates of a batch, with the points w (b, r) and duals u (b, M) they speak of (blended and projected where that was needed)."""

    certificates: list[Certificate]
    w: Array
    u: Array


class _At(NamedTuple):
    """Point and duals, with the rows at the point and what rounding may do to them, one array a piece."""

    w: Array
    zs: Sequence[Array]
    duals: Sequence[Array]
    allowances: Sequence[Array]


def certify(form: Form, w: Array, u: Array, interior: Array | None = None) -> Proof:
    """Certificates at w (b, r) and u (b, M).

    Duals are first brought into the conjugates' domain, and onto Cᵀu = 0 for unpenalised columns C. An infeasible w is blended towards
    the strictly feasible `interior` (b, r), if that is given.
    """
    z = form.forward(w)
    u, balanced = balance(form, z, form.of_pieces(lambda piece: clip(piece, u[:, piece.span])))
    zs = form.by_piece(z)
    allowances = _allowances(form, w, zs)
    wrong = _worst(form, zs, allowances)
    if interior is not None and (wrong > 0).any():
        w = _blend(form, w, zs, interior, allowances, wrong > 0)
        zs = form.by_piece(form.forward(w))
        wrong = _worst(form, zs, allowances)
    return Proof(_assemble(form, _At(w, zs, form.by_piece(u), allowances), u, wrong, balanced), w, u)


def _allowances(form: Form, w: Array, zs: Sequence[Array]) -> list[Array]:
    """What rounding may do to the rows of each piece, (b, 1) or (b, m), in units of the rows."""
    fitted = [np.abs(z).max(axis=1) for piece, z in zip(form.pieces, zs, strict=True) if piece.block == 0]
    value = ROUNDING * np.max(fitted, axis=0)[:, None]
    return [_allowance(form, piece, w, value) for piece in form.pieces]


def _allowance(form: Form, piece: Piece, w: Array, value: Array) -> Array:
    """That of a row's fitted values, amplified by its coefficients; slopes are in units of f over x, and no sum of fitted values."""
    if isinstance(form.blocks[piece.block].acts, Slope | Coefficients):
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
    for piece, z, inside, allowance in zip(form.pieces, zs, form.by_piece(form.forward(interior)), allowances, strict=True):
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


class _Sums(NamedTuple):
    """Sums over the rows of a piece, (b,): the Fenchel-Young slack, f, and what rounding may do to the slack."""

    slack: Array
    value: Array
    rounding: Array


def _sums(piece: Piece, z: Array, u: Array, allowance: Array, unsure: Array) -> _Sums:
    """`unsure`: what rounding may do to z and to its distance from a breakpoint, (b, 1) or (b, m)."""
    if piece.sheet is None:
        return _smooth_sums(piece, z, u, unsure)
    sheet, q = piece.sheet, piece.sheet.quadratic
    v = z - sheet.shift
    low, high = (-np.inf if sheet.low is None else sheet.low), (np.inf if sheet.high is None else sheet.high)
    cancels = piece.chunk.rows.coef is not None or _outside(piece, v) is not None
    extra, at_kink = np.zeros(len(z)), np.zeros(v.shape, dtype=bool)
    if cancels and not np.any(q):  # rounding beyond a breakpoint counts as on it, at its price
        at_kink = np.abs(v) <= allowance
        extra = (np.abs(u) * np.where(at_kink, np.abs(v), 0.0)).sum(axis=1)
        v = np.where(at_kink, 0.0, v)
        p = np.where(v > 0, high, np.where(v < 0, low, u))
        finite = np.isfinite(p)  # a violation is counted apart
        p, v = np.where(finite, p, 0.0), np.where(finite, v, 0.0)
        u_at = np.where(finite, u, 0.0)
    else:
        p, u_at = sheet.slope(v), u
    slack = (p - u_at) * (v - 0.5 * q * (p + u_at))
    value = (v - 0.5 * q * p) * p
    rounding = _rounding(sheet, (v, p, u_at), unsure, at_kink)
    if sheet.active is not None:
        slack, value, rounding = slack * sheet.active, value * sheet.active, rounding * sheet.active
    return _Sums(np.maximum(slack, 0).sum(axis=1) + extra, value.sum(axis=1), rounding.sum(axis=1))


def _rounding(sheet: Sheet, at: tuple[Array, Array, Array], unsure: Array, at_kink: Array) -> Array:
    """What an error of `unsure` in v does to the slack of a row, whose slope in v is p - u and whose curvature is 1/q."""
    v, p, u = at
    q = sheet.quadratic
    unsure = unsure + EPS * (np.abs(v) + q * np.abs(u))
    first = np.abs(p - u) * unsure
    low, high = (-np.inf if sheet.low is None else sheet.low), (np.inf if sheet.high is None else sheet.high)
    with np.errstate(invalid="ignore"):
        bends = (q > 0) & (v + unsure >= q * low) & (v - unsure <= q * high)
    second = np.where(bends, np.square(unsure) / (2 * np.where(q > 0, q, 1.0)), 0.0)
    if not np.any(q == 0):
        return first + second
    width = np.inf if sheet.low is None or sheet.high is None else sheet.high - sheet.low
    crosses = np.where(at_kink, np.abs(u), np.where(np.isfinite(width), width, np.abs(u))) * unsure
    flat = np.where(np.abs(v) <= unsure, np.maximum(first, crosses), first)
    return np.where(q > 0, first + second, flat)


def _smooth_sums(piece: Piece, z: Array, u: Array, unsure: Array) -> _Sums:
    smooth = piece.smooth
    assert smooth is not None
    slack, (value, slope, curvature) = smooth.slack(z, u), smooth.derivatives(z)
    rounding = np.abs(slope - u) * unsure + 0.5 * curvature * np.square(unsure) + smooth.slack_rounding(z, u, slack)
    return _Sums(slack.sum(axis=1), value.sum(axis=1), rounding.sum(axis=1))


def _unsure(form: Form, at: _At) -> list[Array]:
    """What rounding may do to z - shift of each piece's rows: that of r products, amplified by a row's coefficients."""
    fitted = [np.abs(z).max(axis=1) for piece, z in zip(form.pieces, at.zs, strict=True) if piece.block == 0]
    reach = np.maximum(np.abs(at.w) @ np.sqrt(form.column_square), np.max(fitted, axis=0))[:, None]
    level = 0.5 * EPS * (np.sqrt(at.w.shape[1]) + 4)
    found = []
    for piece in form.pieces:
        if isinstance(form.blocks[piece.block].acts, Slope | Coefficients):  # in units of their own
            found.append(level * (np.abs(at.w) @ np.abs(piece.chunk.matrix).T))
        else:
            shift = piece.smooth.offset if piece.sheet is None else piece.sheet.shift  # type: ignore[union-attr]
            found.append(level * reach * _row_size(piece) + EPS * np.abs(shift))
    return found


def _residual_rounding(form: Form, duals: Sequence[Array], w: Array) -> Array:
    """What rounding may do to the sums P w + Aᵀu, (b, r)."""
    squares = np.zeros((len(form.blocks), form.batch))
    for piece, u in zip(form.pieces, duals, strict=True):
        squares[piece.block] += np.square(u).sum(axis=1)
    rows = sum(block.rows.count for block in form.blocks)
    sums = sum(np.sqrt(squares[k])[:, None] * form.column_lengths(k) for k in range(len(form.blocks)))
    return EPS * ((np.sqrt(rows) + 4) * sums + form.penalty * np.abs(w))


def _assemble(form: Form, at: _At, u: Array, wrong: Array, balanced: np.ndarray) -> list[Certificate]:
    b, (w, zs, duals, allowances) = form.batch, at
    sums = each(lambda args: _sums(*args), list(zip(form.pieces, zs, duals, allowances, _unsure(form, at), strict=True)))
    slack, value, rounding = (sum((one[place] for one in sums), np.zeros(b)) for place in range(3))
    pulls, reaches = zip(
        *each(_pull, list(zip(form.pieces, duals, [bool((form.ridge == 0).any())] * len(duals), strict=True))), strict=True
    )
    by_block = np.zeros((len(form.blocks), *w.shape))
    for piece, pull in zip(form.pieces, pulls, strict=True):
        by_block[piece.block] += pull
    penalty = form.penalty
    residual = penalty * w + by_block.sum(axis=0)
    unsure = _residual_rounding(form, duals, w)
    if (penalty > 0).all():
        off = (0.5 * np.square(residual) / penalty).sum(axis=1)
        rounding = rounding + (unsure * (np.abs(residual) + 0.5 * unsure) / penalty).sum(axis=1)
    else:
        free, reach = penalty == 0, np.maximum(np.abs(w), form.w_scale)
        safe = np.where(free, 1.0, penalty)
        off = np.where(free, np.abs(residual) * reach, 0.5 * np.square(residual) / safe).sum(axis=1)
        squared = unsure * (np.abs(residual) + 0.5 * unsure) / safe
        rounding = rounding + np.where(free, unsure * np.abs(w), squared).sum(axis=1)
    objective = value + 0.5 * np.vecdot(w, penalty * w)
    gap = slack + off
    scale = form.gap_scale(w, gap, zs)
    pull_size = np.abs(by_block).max(axis=(0, 2))
    if (form.ridge == 0).any():  # nothing but the terms' own rows to cancel against
        whole = sum(reaches)
        pull_size = np.where(form.ridge == 0, np.max(whole, axis=1), pull_size)
    largest = np.abs(residual).max(axis=1, initial=0.0)
    stationarity = np.where(largest > 0, largest / np.where(pull_size > 0, pull_size, largest + (largest == 0)), 0.0)
    violation, drop = _violations(form, zs, allowances, w)
    truncation = _truncation(form, u, scale)
    found = []
    for i in range(b):
        reason = _reason(form, wrong[i], bool(balanced[i]), float(gap[i]))
        ridge, size = float(form.ridge[i]), float(gap[i] + truncation[i])
        found.append(
            Certificate(
                objective=float(objective[i]),
                dual_objective=None if reason else float(objective[i] - gap[i]),
                gap=None if reason else float(gap[i]),
                relative_gap=None if reason else _relative(float(gap[i]), float(scale[i]), float(rounding[i])),
                stationarity=float(stationarity[i]),
                violation=float(violation[i]),
                largest_drop=None if drop is None else float(drop[i]),
                truncation=float(truncation[i]),
                norm_bound=None if reason or ridge == 0 else math.sqrt(size / ridge),
                reason=reason,
                norm_bound_reason=reason or _bound_reason(form, ridge),
                gap_scale=float(scale[i]),
                gap_rounding=float(rounding[i]),
            )
        )
    return found


def _relative(gap: float, scale: float, rounding: float) -> float | None:
    if scale > 0:
        return gap / scale
    return 0.0 if gap <= rounding else None


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
    x = form.design.base_x
    worst, drop = np.zeros(form.batch), None
    for piece, z, allowance in zip(form.pieces, zs, allowances, strict=True):
        if piece.sheet is None or (out := _outside(piece, z - piece.sheet.shift)) is None:
            continue
        acts = form.blocks[piece.block].acts
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
        worst = np.maximum(worst, out.max(axis=1, initial=0.0) / form.target_spread)
    for block in form.blocks:
        if isinstance(block.acts, Differences) and block.acts.order == 1 and any(_one_sided(s) for s in block.sheets):
            fitted = w @ form.matrix[: len(x)].T
            fitted = fitted if block.sheets[0].low is None else -fitted
            fall = (np.maximum.accumulate(fitted, axis=1) - fitted).max(axis=1)
            drop = fall if drop is None else np.maximum(drop, fall)
    return worst, drop


def _one_sided(sheet: object) -> bool:
    return (sheet.low is None) != (sheet.high is None) and bool(np.all(sheet.quadratic == 0))  # type: ignore[attr-defined]


def _truncation(form: Form, u: Array, scale: Array) -> Array:
    """What the basis leaves out of the kernel: |sᵀ(K - BBᵀ)s|/(4 ridge), s = Sᵀu, up to EXACT_ROWS functionals.

    Above, where that is enough for an answer to be certified, and below, where it is next to nothing, it is the bound
    (Σ_j |s_j| √d_j)²/(4 ridge) with d = diag(K - BBᵀ), which costs no kernel values.
    """
    if form.design.kernel is None or not (form.ridge > 0).any():
        return np.zeros(form.batch)
    s, ridge = form.spread(u), np.where(form.ridge > 0, form.ridge, 1.0)
    bound = np.square(np.abs(s) @ np.sqrt(form.design.left_over)) / (4 * ridge)
    plainly = PLAINLY if s.shape[1] <= EXACT_ROWS else TRUNCATED
    unclear = np.flatnonzero((bound > plainly * scale) & (form.ridge > 0))
    if len(unclear):
        bound[unclear] = np.minimum(bound[unclear], form.design.left_out(s[unclear]) / (4 * ridge[unclear]))
    return np.where(form.ridge > 0, bound, 0.0)
