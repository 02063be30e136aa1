"""Proof of an answer: the duality gap of a form at (w, u). Knows no solver.

    gap = Σ_k [f_k(z_k) + f_k*(u_k) - ⟨z_k, u_k⟩] + ridge ‖w + Aᵀu/(2 ridge)‖²,      z_k = A_k w + c_k,

a sum of non-negative parts, so nothing cancels. With ridge > 0 the objective is strongly convex, hence ‖f̂ - f*‖_H ≤
√(gap/ridge) and |f̂(x) - f*(x)| ≤ √(k(x,x) gap/ridge). What the reduced basis leaves out of the user's kernel adds
ridge (Σ_j |α_j| √d_j)² to the gap of that bound, d = diag(K - BBᵀ).   (Rockafellar 1970, §31; Fine and Scheinberg 2001
for the truncation.)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from hw4opt.form import BoxRows, Form, RowBlock, SmoothRows
from hw4opt.form.dual_projection import project_dual
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import EPS, Array

ROW_EVALUATION_ROUNDING = 8 * EPS  # of the largest fitted value (of a slope's own products), in a row
MAX_TRUNCATION = 1e-6  # of gap_scale: what the truncated basis may leave out of a certified answer
NEGLIGIBLE_TRUNCATION = 1e-9  # of gap_scale: a truncation that needs no closer look
MAX_EXACT_TRUNCATION_ROWS = 5_000  # functionals up to which a closer look does not wait until it decides


@dataclass(frozen=True)
class Certificate:
    """What is proven of one answer. None stands for "not proven"; `reason` says why.

    objective, dual_objective    P(w) and P(w) - gap
    gap, relative_gap            P(w) - P* is at most gap; relative to gap_scale
    stationarity                 ‖2 ridge w + Aᵀu‖∞ relative to the largest ‖A_kᵀu_k‖∞ (to |A|ᵀ|u| without ridge)
    violation                    worst constraint row: in units of y's interquartile range; order rows as slope ·
                                 x-range over that
    largest_drop                 largest fall below the running maximum (rise above the minimum) under an order
                                 constraint, units of y
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
        """Certified: gap + gap_rounding at most `tol` · gap_scale, violation at most `tol`, truncation at most max(tol,
        1e-6) · gap_scale.

        A fit with nothing to explain (gap_scale 0) holds where its gap is rounding alone.
        """
        if self.gap is None or self.gap_scale is None or not self.violation <= tol:  # not a number is no proof
            return False
        if self.gap_scale == 0:
            return self.gap <= self.gap_rounding
        proven = self.gap + self.gap_rounding <= tol * self.gap_scale
        return proven and self.truncation <= max(tol, MAX_TRUNCATION) * self.gap_scale

    def solved(self, tol: float) -> bool:
        """Whether gap and violation are within `tol`, so that only rounding and truncation may fall short: no solver
        can better those."""
        return (
            self.gap is not None
            and self.gap_scale is not None
            and self.gap <= tol * self.gap_scale
            and self.violation <= tol
        )

    def shortfall(self, tol: float) -> str | None:
        """What keeps the answer from being certified, in words; None if nothing does, or if `reason` says it."""
        if self.gap is None or not self.gap_scale or self.holds(tol):
            return None
        if self.truncation > max(tol, MAX_TRUNCATION) * self.gap_scale:
            left = (
                "what the kernel's basis leaves out may count for "
                f"{self.truncation / self.gap_scale:.1e} of what the fit explains"
            )
            return (
                f"{left} (at most {max(tol, MAX_TRUNCATION):.0e}); a larger ridge, or a smaller "
                "weight of tv or trend, lowers it"
            )
        if self.violation > tol:
            return f"a constraint is violated by {self.violation:.1e} of y's spread"
        if self.gap > tol * self.gap_scale:
            return f"the relative gap is {self.gap / self.gap_scale:.1e} (at most {tol:.0e})"
        return (
            f"rounding alone may count for {self.gap_rounding / self.gap_scale:.1e} of what the "
            f"fit explains (at most {tol:.0e})"
        )

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Proof:
    """Certificates of a batch, with the points w (b, r) and duals u (b, M) they speak of (blended and projected where
    that was needed)."""

    certificates: list[Certificate]
    w: Array
    u: Array


class _Rounding(NamedTuple):
    """What rounding may do to the rows, (b, M) each: to z - shift where that decides about a breakpoint, and to z -
    shift."""

    breakpoint: Array
    residual: Array


def certify(form: Form, w: Array, u: Array, interior: Array | None = None) -> Proof:
    """Certificates at w (b, r) and u (b, M).

    Duals are first brought into the conjugates' domain, and onto Cᵀu = 0 for unpenalised columns C. An infeasible w is
    blended towards the strictly feasible `interior` (b, r), if that is given.
    """
    z = form.forward(w)
    u, balanced = project_dual(form, z, form.clip_dual(u))
    allowed = _breakpoint_rounding(form, w, z)
    wrong = _worst_violation(form, z, allowed)
    if interior is not None and (wrong > 0).any():
        w = _blend(form, w, z, interior, allowed, wrong > 0)
        z = form.forward(w)
        wrong = _worst_violation(form, z, allowed)
    rounding = _Rounding(allowed, _residual_rounding(form, w, z))
    return Proof(_assemble(form, w, z, u, rounding, wrong, balanced), w, u)


def _breakpoint_rounding(form: Form, w: Array, z: Array) -> Array:
    """That of a row's fitted values, amplified by its coefficients, (b, M); slopes, in units of f over x, are no sums
    of fitted values."""
    largest = np.abs(z[:, : form.loss.count]).max(axis=1, keepdims=True)
    return _row_rounding(form, w, ROW_EVALUATION_ROUNDING * largest, ROW_EVALUATION_ROUNDING)


def _residual_rounding(form: Form, w: Array, z: Array) -> Array:
    """That of r products and of the shift, amplified by a row's coefficients, (b, M)."""
    largest = np.abs(z[:, : form.loss.count]).max(axis=1)
    reach = np.maximum(np.abs(w) @ np.sqrt(form.column_square), largest)[:, None]
    level = 0.5 * EPS * (np.sqrt(w.shape[1]) + 4)
    found = _row_rounding(form, w, level * reach, level)
    for term, spans in zip(form.terms, form.spans, strict=True):
        for rows, span in zip(term.functions, spans, strict=True):
            if not term.acts.own_unit:
                found[:, span] += EPS * np.abs(rows.shift)
    return found


def _row_rounding(form: Form, w: Array, of_values: Array, of_products: float) -> Array:
    """`of_values` (b, 1) times Σ|coef| of each row, or of rows in units of their own `of_products` times |A||w|; (b,
    M)."""
    found = np.empty((form.batch, form.size))
    for term, spans in zip(form.terms, form.spans, strict=True):
        coef = term.map.coef
        if term.acts.own_unit:
            size = of_products * (np.abs(w) @ np.abs(term.map.take(form.matrix)).T)
        else:
            size = of_values * (1.0 if coef is None else 2.0 if term.map.is_difference else np.abs(coef).sum(axis=1))
        for span in spans:
            found[:, span] = size
    return found


def _constrained(form: Form) -> list[tuple[RowBlock, BoxRows]]:
    return [
        (block, block.rows) for block in form.blocks if isinstance(block.rows, BoxRows) and block.rows.has_constraints
    ]


def _worst_violation(form: Form, z: Array, allowed: Array) -> Array:
    """The largest constraint violation beyond rounding, (b,), in units of each row."""
    worst = np.zeros(form.batch)
    for block, rows in _constrained(form):
        beyond = rows.violation(z[:, block.span]) - allowed[:, block.span]
        worst = np.maximum(worst, beyond.max(axis=1, initial=0.0))
    return worst


def _blend(form: Form, w: Array, z: Array, interior: Array, allowed: Array, which: np.ndarray) -> Array:
    """The nearest feasible point on the way to `interior`."""
    share, inside = np.zeros(form.batch), form.forward(interior)
    for block, rows in _constrained(form):
        sign = np.where(np.isinf(rows.high), -1.0, 1.0)
        v, v_inside = (sign * (one[:, block.span] - rows.shift) for one in (z, inside))
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.where(v < 0, -v / (v_inside - v), 0.0)
        outside = np.where(v < -allowed[:, block.span], 1.0, 0.0)
        needed = np.where((v < 0) & (v_inside <= 0), outside, needed)
        needed = np.where(rows.one_sided, needed, 0.0)
        share = np.maximum(share, needed.max(axis=1, initial=0.0))
    share = np.where(which, np.minimum(share * (1 + 1e-9), 1.0), 0.0)[:, None]
    return w + share * (interior - w)


class _RowSums(NamedTuple):
    """Sums over the rows of a block, (b,): the Fenchel-Young slack, f, and what rounding may do to the slack."""

    slack: Array
    value: Array
    rounding: Array


def _sums(form: Form, block: RowBlock, z: Array, u: Array, rounding: _Rounding) -> _RowSums:
    here = block.span
    unsure = rounding.residual[:, here]
    if isinstance(block.rows, SmoothRows):
        return _smooth_sums(block.rows, z[:, here], u[:, here], unsure)
    assert isinstance(block.rows, BoxRows)
    rows, q, u = block.rows, block.rows.quadratic, u[:, here]
    v = z[:, here] - rows.shift
    extra, met = np.zeros(len(z)), np.zeros(v.shape, dtype=bool)
    if (cancels := _cancels(form, block, rows)).any():  # rounding beyond a breakpoint counts as on it, at its price
        met = cancels & (np.abs(v) <= rounding.breakpoint[:, here])
        extra = (np.abs(u) * np.where(met, np.abs(v), 0.0)).sum(axis=1)
        v = np.where(met, 0.0, v)
    p = _best_dual(rows, v)
    p = np.where(cancels & (v == 0), u, p)
    finite = np.isfinite(p)
    if not finite.all():  # a violation is counted apart
        p, v, u = np.where(finite, p, 0.0), np.where(finite, v, 0.0), np.where(np.isfinite(u), u, 0.0)
    slack = (p - u) * (v - 0.5 * q * (p + u))
    value = (v - 0.5 * q * p) * p
    unsure = np.where(rows.open, _slack_rounding(rows, v, p, u, unsure, met), 0.0)
    return _RowSums(np.maximum(slack, 0).sum(axis=1) + extra, value.sum(axis=1), unsure.sum(axis=1))


def _cancels(form: Form, block: RowBlock, rows: BoxRows) -> np.ndarray:
    """(b, m) or (1, m) bool: rows without curvature that are differences of fitted values, or constraints."""
    differences = np.zeros((1, block.count), dtype=bool)
    for part in block.parts:
        differences[:, part.rows] = form.terms[part.term].map.coef is not None
    return (differences & (rows.quadratic == 0)) | rows.one_sided


def _best_dual(rows: BoxRows, v: Array) -> Array:
    """The u at which v u - ½ q u² is largest on low ≤ u ≤ high."""
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(rows.quadratic > 0, v / rows.quadratic, np.where(v == 0, 0.0, np.copysign(np.inf, v)))
    return np.clip(free, rows.low, rows.high)


def _slack_rounding(rows: BoxRows, v: Array, p: Array, u: Array, unsure: Array, met: Array) -> Array:
    """What an error of `unsure` in v does to the slack of a row, whose slope in v is p - u and whose curvature is
    1/q."""
    q = rows.quadratic
    unsure = unsure + EPS * (np.abs(v) + q * np.abs(u))
    first = np.abs(p - u) * unsure
    with np.errstate(invalid="ignore"):
        bends = (q > 0) & (v + unsure >= q * rows.low) & (v - unsure <= q * rows.high)
    second = np.where(bends, np.square(unsure) / (2 * np.where(q > 0, q, 1.0)), 0.0)
    if not np.any(q == 0):
        return first + second
    width = rows.high - rows.low
    crosses = np.where(met | np.isinf(width), np.abs(u), width) * unsure
    flat = np.where(np.abs(v) <= unsure, np.maximum(first, crosses), first)
    return np.where(q > 0, first + second, flat)


def _smooth_sums(rows: SmoothRows, z: Array, u: Array, unsure: Array) -> _RowSums:
    slack, (value, slope, curvature) = rows.slack(z, u), rows.derivatives(z)
    rounding = np.abs(slope - u) * unsure + 0.5 * curvature * np.square(unsure) + rows.slack_rounding(z, u, slack)
    return _RowSums(slack.sum(axis=1), value.sum(axis=1), rounding.sum(axis=1))


def _pull_rounding(form: Form, u: Array, w: Array) -> Array:
    """What rounding may do to the sums P w + Aᵀu, (b, r)."""
    rows = sum(term.count for term in form.terms)
    sums = np.zeros_like(w)
    for term, spans in zip(form.terms, form.spans, strict=True):
        square = sum((np.square(u[:, span]).sum(axis=1) for span in spans), np.zeros(len(w)))
        sums += np.sqrt(square)[:, None] * form.column_lengths(term)
    return EPS * ((np.sqrt(rows) + 4) * sums + form.penalty * np.abs(w))


def _assemble(
    form: Form, w: Array, z: Array, u: Array, rounding: _Rounding, wrong: Array, balanced: np.ndarray
) -> list[Certificate]:
    sums = parallel_map(lambda block: _sums(form, block, z, u, rounding), form.blocks)
    slack, value, of_slack = (sum((one[place] for one in sums), np.zeros(form.batch)) for place in range(3))
    pulls = form.adjoint_of_terms(u)
    residual = form.penalty * w + pulls.sum(axis=0)
    cost, of_cost = _stationarity_cost(form, w, residual, _pull_rounding(form, u, w))
    objective, gap, unsure = value + 0.5 * np.vecdot(w, form.penalty * w), slack + cost, of_slack + of_cost
    scale = form.gap_scale(w, gap, z)
    pull_size = np.abs(pulls).max(axis=(0, 2))
    if (form.ridge == 0).any():  # nothing but the terms' own rows to cancel against
        reach = sum(
            parallel_map(lambda block: np.abs(u[:, block.span]) @ np.abs(block.matrix), form.blocks), np.zeros_like(w)
        )
        pull_size = np.where(form.ridge == 0, np.max(reach, axis=1), pull_size)
    largest = np.abs(residual).max(axis=1, initial=0.0)
    stationarity = np.where(largest > 0, largest / np.where(pull_size > 0, pull_size, largest + (largest == 0)), 0.0)
    violation, drop = _violations(form, z, rounding.breakpoint), _largest_drop(form, w)
    truncation = _truncation(form, u, scale)
    found = []
    for i in range(form.batch):
        reason = _reason(form, wrong[i], bool(balanced[i]), float(gap[i]))
        ridge, size = float(form.ridge[i]), float(gap[i] + truncation[i])
        found.append(
            Certificate(
                objective=float(objective[i]),
                dual_objective=None if reason else float(objective[i] - gap[i]),
                gap=None if reason else float(gap[i]),
                relative_gap=None if reason else _relative(float(gap[i]), float(scale[i]), float(unsure[i])),
                stationarity=float(stationarity[i]),
                violation=float(violation[i]),
                largest_drop=None if drop is None else float(drop[i]),
                truncation=float(truncation[i]),
                norm_bound=None if reason or ridge == 0 else math.sqrt(size / ridge),
                reason=reason,
                norm_bound_reason=reason or _bound_reason(form, ridge),
                gap_scale=float(scale[i]),
                gap_rounding=float(unsure[i]),
            )
        )
    return found


def _stationarity_cost(form: Form, w: Array, residual: Array, unsure: Array) -> tuple[Array, Array]:
    """What a residual of P w + Aᵀu = 0 costs, and what rounding of it may, (b,) each; on free columns |residual| times
    the size of w."""
    penalty = form.penalty
    if (penalty > 0).all():
        rounding = (unsure * (np.abs(residual) + 0.5 * unsure) / penalty).sum(axis=1)
        return (0.5 * np.square(residual) / penalty).sum(axis=1), rounding
    free, safe = penalty == 0, np.where(penalty == 0, 1.0, penalty)
    of_free = np.abs(residual) * np.maximum(np.abs(w), form.w_scale)
    cost = np.where(free, of_free, 0.5 * np.square(residual) / safe).sum(axis=1)
    squared = unsure * (np.abs(residual) + 0.5 * unsure) / safe
    return cost, np.where(free, unsure * np.abs(w), squared).sum(axis=1)


def _relative(gap: float, scale: float, rounding: float) -> float | None:
    if scale > 0:
        return gap / scale
    return 0.0 if gap <= rounding else None


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


def _violations(form: Form, z: Array, allowed: Array) -> Array:
    """The worst constraint row beyond rounding, (b,), in units of y's spread: differences and slopes as changes over
    the range of x."""
    worst = np.zeros(form.batch)
    for term, spans in zip(form.terms, form.spans, strict=True):
        for rows, span in zip(term.boxes, spans, strict=False):
            if rows.has_constraints:
                unit = term.acts.violation_unit(form.design, term.map)
                out = np.maximum(rows.violation(z[:, span]) - allowed[:, span], 0.0) * unit
                worst = np.maximum(worst, out.max(axis=1, initial=0.0) / form.target_spread)
    return worst


def _largest_drop(form: Form, w: Array) -> Array | None:
    """The largest fall below the running maximum (rise above the minimum) under an order constraint, (b,); None without
    one."""
    drop = None
    for term in form.terms:
        if term.acts.order != 1 or not any(one.has_constraints for one in term.boxes):
            continue
        fitted = w @ form.matrix[: len(form.design.base_x)].T
        fitted = fitted if not term.boxes[0].low_bounded else -fitted
        fall = (np.maximum.accumulate(fitted, axis=1) - fitted).max(axis=1)
        drop = fall if drop is None else np.maximum(drop, fall)
    return drop


def _truncation(form: Form, u: Array, scale: Array) -> Array:
    """What the basis leaves out of the kernel: |sᵀ(K - BBᵀ)s|/(4 ridge), s = Sᵀu, up to MAX_EXACT_TRUNCATION_ROWS
    functionals.

    Above, where that is enough for an answer to be certified, and below, where it is next to nothing, it is the bound
    (Σ_j |s_j| √d_j)²/(4 ridge) with d = diag(K - BBᵀ), which costs no kernel values.
    """
    if form.design.kernel is None or not (form.ridge > 0).any():
        return np.zeros(form.batch)
    s, ridge = form.spread(u), np.where(form.ridge > 0, form.ridge, 1.0)
    bound = np.square(np.abs(s) @ np.sqrt(form.design.left_over)) / (4 * ridge)
    allowed = NEGLIGIBLE_TRUNCATION if s.shape[1] <= MAX_EXACT_TRUNCATION_ROWS else MAX_TRUNCATION
    unclear = np.flatnonzero((bound > allowed * scale) & (form.ridge > 0))
    if len(unclear):
        bound[unclear] = np.minimum(bound[unclear], form.design.left_out(s[unclear]) / (4 * ridge[unclear]))
    return np.where(form.ridge > 0, bound, 0.0)
