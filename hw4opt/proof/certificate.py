"""Proof of an answer: the duality gap of a form at (w, u). Knows no solver.

    gap = Σ_k [f_k(z_k) + f_k*(u_k) - ⟨z_k, u_k⟩] + ridge ‖w + Aᵀu/(2 ridge)‖²,      z_k = A_k w + c_k,

a sum of non-negative parts, so nothing cancels. With ridge > 0 the objective is strongly convex, hence ‖f̂ - f*‖_H ≤
√(gap/ridge) and |f̂(x) - f*(x)| ≤ √(k(x,x) gap/ridge). The truncation of the kernel to its reduced basis adds
ridge (Σ_j |α_j| √d_j)² to the gap in that bound, d = diag(K - BBᵀ).   (Rockafellar 1970, §31; Fine and Scheinberg 2001
for the truncation.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from hw4opt.form import Form
from hw4opt.form.dual_projection import project_dual
from hw4opt.proof._row_sums import row_sums
from hw4opt.proof._violations import blend, largest_drop, relative_violation, worst_violation
from hw4opt.running.threads import parallel_map
from hw4opt.terms.base import EPS, Array

MAX_TRUNCATION = 1e-6  # of gap_scale: the truncation allowed in a certified answer
# distances from the constraints that points are blended to, in units of their rounding, one after the other while
# rounding still leaves a violation
BLEND_DISTANCES = (0.0, 1.0)
NEGLIGIBLE_TRUNCATION = 1e-9  # of gap_scale: a truncation whose bound needs no refinement
MAX_EXACT_TRUNCATION_ROWS = 5_000  # functionals up to which the bound is always refined


@dataclass(frozen=True, repr=False)
class Certificate:
    """The proof of one answer. None stands for "not proven", for the `reason` given.

    objective, dual_objective    P(w) and P(w) - gap
    gap, relative_gap            P(w) - P* is at most gap; relative to gap_scale
    stationarity                 ‖2 ridge w + Aᵀu‖∞ relative to the largest ‖A_kᵀu_k‖∞ (to |A|ᵀ|u| without ridge)
    violation                    of the worst constraint row, in units of y's interquartile range; for order rows,
                                 slope · x-range in these units
    largest_drop                 largest fall below the running maximum (rise above the minimum) under an order
                                 constraint, units of y
    norm_bound                   √((gap + truncation)/ridge): times √k(x,x) it bounds |f̂(x) - f*(x)|; for a sum, ridge
                                 is the largest ρ_j, and k(x,x) stands for Σ_j k_j(x,x) ρ/ρ_j over the ρ_j > 0
    gap_scale                    the part of the objective that the fit explains (gap_scale.py)
    gap_rounding                 bound of the rounding in the gap
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

    def __repr__(self) -> str:  # of the relative gap; notebooks show 30 letters of it
        return f"Certificate(gap={'None' if self.relative_gap is None else f'{self.relative_gap:.2g}'})"

    def holds(self, tol: float) -> bool:
        """Certified: gap + gap_rounding at most `tol` · gap_scale, violation at most `tol`, truncation at most max(tol,
        1e-6) · gap_scale.

        A fit with nothing to explain (gap_scale 0) holds where its gap is rounding alone.
        """
        if self.gap is None or self.gap_scale is None or not self.violation <= tol:  # NaN proves nothing
            return False
        if self.gap_scale == 0:
            return self.gap <= self.gap_rounding
        proven = self.gap + self.gap_rounding <= tol * self.gap_scale
        return proven and self.truncation <= max(tol, MAX_TRUNCATION) * self.gap_scale

    def solved(self, tol: float) -> bool:
        """Whether gap and violation are within `tol`, so that only rounding and truncation may exceed it, which no
        solver can improve."""
        return (
            self.gap is not None
            and self.gap_scale is not None
            and self.gap <= tol * self.gap_scale
            and self.violation <= tol
        )

    def shortfall(self, tol: float) -> str | None:
        """The reason why the answer is not certified, in words; None if it is, or if `reason` gives it."""
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
    """Certificates of a batch, with their points w (b, r) and duals u (b, M), blended and projected where needed."""

    certificates: list[Certificate]
    w: Array
    u: Array


def certify(form: Form, w: Array, u: Array, interior: Array | None = None) -> Proof:
    """Certificates at w (b, r) and u (b, M).

    Duals are first brought into the conjugates' domain, and onto Cᵀu = 0 for unpenalised columns C. An infeasible w is
    blended towards the strictly feasible `interior` (b, r), if that is given.
    """
    z = form.forward(w)
    u, balanced = project_dual(form, z, form.clip_dual(u))
    if any(len(term.functions) > 1 for term in form.terms):
        u = form.split_duals(form.of_terms(u))  # as they are kept: their sum, of a term of two functions
    sums = row_sums(form, w, z, u)
    wrong = worst_violation(sums.beyond)
    for distance in BLEND_DISTANCES:
        if interior is not None and (wrong > 0).any():
            w = blend(form, w, interior, wrong > 0, distance)
            sums = row_sums(form, w, form.forward(w), u)
            wrong = worst_violation(sums.beyond)
    pulls = form.adjoint_of_terms(u)
    residual = form.penalty * w + pulls.sum(axis=0)
    w_scale = None if form.all_penalized else form.w_scale
    cost, of_cost = cost_of_residual(form.penalty, w, residual, _pull_rounding(form, u, w), w_scale)
    charged, gap, unsure = 0.5 * np.vecdot(w, form.penalty * w), sums.slack + cost, sums.rounding + of_cost
    scale, drop = form.gap_scale_of(sums.excess, charged, gap), largest_drop(form, w)
    sizes = _stationarity(form, u, pulls, residual), relative_violation(form, sums.beyond), _truncation(form, u, scale)
    numbers = np.array([wrong, sums.value + charged, gap, scale, unsure, *sizes, form.ridge]).T.tolist()
    drops = [None] * form.batch if drop is None else drop.tolist()
    rows = zip(numbers, drops, balanced.tolist(), strict=True)
    unbounded = "intercept" if form.design.intercept else None
    if not form.all_penalized and (np.delete(form.penalty, form.design.levels, axis=1) == 0).any():
        unbounded = "intercept and components"
    return Proof([certificate_of(unbounded, *row) for row in rows], w, u)


def certificate_of(unbounded: str | None, numbers: Sequence[float], drop: float | None, balanced: bool) -> Certificate:
    """The certificate of one problem from its numbers, in the order of `certify`.

    unbounded    the part without penalty, which the bound excludes;  balanced    whether Cᵀu = 0 on its columns
    """
    wrong, objective, gap, scale, unsure, stationarity, violation, truncation, ridge = numbers
    reason = _reason(wrong, balanced, gap)
    return Certificate(
        objective=objective,
        dual_objective=None if reason else objective - gap,
        gap=None if reason else gap,
        relative_gap=None if reason else _relative(gap, scale, unsure),
        stationarity=stationarity,
        violation=violation,
        largest_drop=drop,
        truncation=truncation,
        norm_bound=None if reason or ridge == 0 else math.sqrt((gap + truncation) / ridge),
        reason=reason,
        norm_bound_reason=reason or _bound_reason(unbounded, ridge),
        gap_scale=scale,
        gap_rounding=unsure,
    )


def _pull_rounding(form: Form, u: Array, w: Array) -> Array:
    """A bound of the rounding in the sums P w + Aᵀu, (b, r)."""
    rows = sum(term.count for term in form.terms)
    size = np.sqrt([np.vecdot(u[:, span], u[:, span]) for span in form.spans_of_terms])
    sums = reduce(add, (one[:, None] * form.column_lengths(term) for one, term in zip(size, form.terms, strict=True)))
    return pull_rounding(rows, sums, form.penalty, w)


def pull_rounding(rows: int, sums: Array, penalty: Array, w: Array) -> Array:
    """A bound of the rounding in P w + Aᵀu over `rows` rows, (b, r); sums: Σ ‖u‖ ‖a_j‖ over the terms."""
    return EPS * ((math.sqrt(rows) + 4) * sums + penalty * np.abs(w))


def _stationarity(form: Form, u: Array, pulls: Array, residual: Array) -> Array:
    """The residual relative to the largest force of a term, (b,)."""
    largest, size = np.abs(residual).max(axis=1, initial=0.0), np.abs(pulls).max(axis=(0, 2), initial=0.0)
    if not form.ridge.all():  # without ridge, relative to the terms' own rows
        reach = sum(
            parallel_map(lambda block: np.abs(u[:, block.span]) @ np.abs(block.matrix), form.blocks),
            np.zeros_like(residual),
        )
        size = np.where(form.ridge == 0, np.max(reach, axis=1), size)
    return largest / np.where(size > 0, size, np.where(largest > 0, largest, 1.0))


def cost_of_residual(
    penalty: Array, w: Array, residual: Array, unsure: Array, w_scale: Array | None
) -> tuple[Array, Array]:
    """The cost of a residual of P w + Aᵀu = 0 in the gap, and of its rounding, (b,) each; on free columns |residual|
    times the size of w. w_scale: the least such size, None if every column is penalised."""
    if w_scale is None:
        rounding = (unsure * (np.abs(residual) + 0.5 * unsure) / penalty).sum(axis=1)
        return (0.5 * np.square(residual) / penalty).sum(axis=1), rounding
    free, safe = penalty == 0, np.where(penalty == 0, 1.0, penalty)
    of_free = np.abs(residual) * np.maximum(np.abs(w), w_scale)
    cost = np.where(free, of_free, 0.5 * np.square(residual) / safe).sum(axis=1)
    squared = unsure * (np.abs(residual) + 0.5 * unsure) / safe
    return cost, np.where(free, unsure * np.abs(w), squared).sum(axis=1)


def _relative(gap: float, scale: float, rounding: float) -> float | None:
    if scale > 0:
        return gap / scale
    return 0.0 if gap <= rounding else None


def _reason(wrong: float, balanced: bool, gap: float) -> str | None:
    if wrong > 0:
        return f"a constraint is violated by {wrong:.1e} and no strictly feasible point is known to blend towards"
    if not balanced:
        return "no dual point balances the unpenalised columns; give the ridge a weight above 0"
    return None if math.isfinite(gap) else "the point lies outside the domain of a term"


def _bound_reason(unbounded: str | None, ridge: float) -> str | None:
    if ridge == 0:
        return "ridge is 0: the objective is not strongly convex"
    return None if unbounded is None else f"the bound covers the fit without its unpenalised {unbounded}"


def _truncation(form: Form, u: Array, scale: Array) -> Array:
    """The truncation |sᵀ(K - BBᵀ)s|/(4 ridge) of the kernel to its basis, s = Sᵀu, up to MAX_EXACT_TRUNCATION_ROWS
    functionals.

    For more functionals, if it suffices for a certified answer, and for fewer, if it is negligible, it is the bound
    (Σ_j |s_j| √d_j)²/(4 ridge) with d = diag(K - BBᵀ), which needs no kernel values.
    """
    total = np.zeros(form.batch)
    if not form.ridge.any():
        return total
    for design, s, ridge in form.design.kernel_duals(form.spread(u), form.penalty, form.ridge):
        ridge = np.where(ridge > 0, ridge, np.inf)
        bound = np.square(np.abs(s) @ np.sqrt(design.left_over)) / (4 * ridge)
        allowed = NEGLIGIBLE_TRUNCATION if s.shape[1] <= MAX_EXACT_TRUNCATION_ROWS else MAX_TRUNCATION
        unclear = bound > allowed * scale
        if unclear.any():
            bound[unclear] = np.minimum(bound[unclear], design.left_out(s[unclear]) / (4 * ridge[unclear]))
        total += bound
    return total
