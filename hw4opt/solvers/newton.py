"""Newton's method for forms without kinks, batched over one design.

    minimise over w   ½ wᵀ(diag(penalty) + H₀)w + b₀ᵀw + Σ_i ω_i ℓ(a_iᵀw + o_i, y_i),      ℓ smooth and convex, |ℓ'''| ≤
    ℓ''

The start is the weighted least squares of each row's own minimizer z (log(y + ½) for a count y), improved on a part of
the rows if there are many. A step is solved on columns scaled to a unit diagonal, and halved until it lowers the value,
which is what controls exp. Once a step is short, the error left is about its square; further steps keep the Hessian and
pass over the rows only for the gradient, and each multiplies the error by about that step's length. If columns are
collinear, the free columns are replaced by an orthonormal basis of their span, found from their triangular factor; w is
then the shortest of the minimizers on scaled columns. (Bach 2010 for |ℓ'''| ≤ ℓ''; Björck 1996, §2.7 for the rank.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hw4opt.design.unit_diagonal import NEGLIGIBLE_SINGULAR_VALUE, inverse_root_diagonal, least_pivot, scaled_by
from hw4opt.form import Form, SmoothRows
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.form.chunks import Chunk
from hw4opt.solvers._base import Solver
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers._smooth_objective import (
    COLLINEAR_PIVOT,
    HeldParts,
    Objective,
    Point,
    descent,
    descents,
    parts_of,
    pieces_of,
)
from hw4opt.terms.base import Array

NEWTON_STEP_LIMIT = 100
CHORD_CHANGE = 1e-3  # root mean square change of z in a step after which the Hessian is kept,
RETRIED_CHORD_CHANGE = 1e-6  # or, if that did not suffice, after which one such step is enough
FINAL_CHANGE = 1e-15  # root mean square change of z that the last step may leave
MAX_CHORD_STEPS = 5  # steps with one Hessian
ARMIJO_SHARE = 1e-4  # share of the slope that a step has to gain (Armijo)
BACKTRACKING_FACTOR = 0.25  # by which a step that gains too little is shortened
MAX_BACKTRACKING_STEPS = 40
START_STEP_LIMIT = 12  # steps within which the part's minimum must be found


@dataclass(frozen=True)
class Stop:
    """Stopping rules: the largest number of passes over the rows, the root mean square change of z in the last step,
    and the deadline."""

    limit: int = NEWTON_STEP_LIMIT
    left: float = FINAL_CHANGE
    deadline: Deadline = field(default_factory=lambda: Deadline(None))


@dataclass(frozen=True, eq=False)
class Minimum:
    """The minimizers of a batch.

    w           (b, r)
    iterations  (b,) Hessians formed;  converged (b,): whether the last step was negligible (else the limit or rounding
                ended it)
    rank        of the columns
    """

    w: Array
    iterations: np.ndarray
    converged: np.ndarray
    rank: int


class Newton(Solver):
    """Newton's method, for forms whose rows are all smooth or quadratic."""

    name = "newton"
    tolerance = 1e-9

    def refuse(self, form: Form) -> str | None:
        """The reason for a form with a row that is neither smooth nor quadratic, else None."""
        rough = [form.terms[part.term] for block in form.nonquadratic if not block.kind.smooth for part in block.parts]
        names = sorted({name for term in rough for name in term.wordings})
        if not names:
            return None
        return f"newton needs every term to be smooth; {' and '.join(names)} {'is' if len(names) == 1 else 'are'} not"

    def scale_free(self, form: Form) -> bool:
        """True: every step is solved on columns scaled to a unit diagonal."""
        return True

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Solve every problem of the batch; the duals are the slopes of the rows."""
        parts = []
        for term in form.terms:
            if (smooth := term.smooth) is not None:
                parts += parts_of(pieces_of(term.map, form.matrix), smooth)
        has_quadratic = any(block.kind.is_quadratic for block in form.blocks)
        whole = Objective(HeldParts(parts), form.quadratic if has_quadratic else None, form.penalty)
        deadline = Deadline(options.time_limit)
        found = minimize_objective(
            whole,
            None if start is None else start.w,
            Stop(options.max_iterations or NEWTON_STEP_LIMIT, deadline=deadline),
        )
        reached = [Status.CERTIFIED if done else Status.ITERATION_LIMIT for done in found.converged]
        u, notes = form.gradient(form.forward(found.w)), deadline.notes(reached)
        return Answer(found.w, u, reached, found.iterations, notes=notes, rank=found.rank)


def minimize(
    pieces: Sequence[Chunk], smooth: SmoothRows, penalty: Array, start: Array | None = None, stop: Stop = Stop()
) -> Minimum:
    """Minimise Σ_i ω_i ℓ(a_iᵀw + o_i, y_i) + ½ wᵀ diag(penalty) w for a batch of weights, targets, offsets and
    penalties.

    pieces   the rows a_i, of `pieces_of`;  smooth: arrays (b, n), or (b, 1) where all rows are alike;  penalty (b, r),
             0 on free columns
    start    (b, r) or None for a start from the data

    Memory beyond the arguments is that of some chunks of rows. Row weights of 0 are allowed; if the infimum is not
    attained, steps end when they gain nothing more.
    """
    parts = HeldParts(parts_of(pieces, smooth))
    return minimize_objective(Objective(parts, None, np.asarray(penalty, dtype=float)), start, stop)


def minimize_objective(whole: Objective, start: Array | None, stop: Stop) -> Minimum:
    """Minimise an objective from a start (b, r), which is required for rows outside memory."""
    w, here = _bounded(whole, _first(whole) if start is None else np.array(start, dtype=float))
    independent = _independent(whole, here)
    if independent is None:
        return _newton(whole, w, here, stop)
    basis, inverse = independent
    inner = whole.on(basis)
    v = w @ inverse.T
    found = _newton(inner, v, inner.at(v), stop)
    return replace(found, w=found.w @ basis.T)


def _first(whole: Objective) -> Array:
    """The minimum over a part of the rows if that is cheap and found; else the least-squares start over all rows."""
    part = whole.some_rows()
    if part is not None:
        found = _newton(part, *_bounded(part, part.start()), Stop(START_STEP_LIMIT))
        if found.converged.all():
            return found.w
    return whole.start()


def _bounded(whole: Objective, w: Array) -> tuple[Array, Point]:
    """w, halved until it is at least as good as 0: for z far above the minimizers, exp is steep and steps are short.

    By convexity the value at 0 is at least value - gradientᵀw; where that suffices, it is not evaluated.
    """
    here = whole.at(w)
    if (np.isfinite(here.value) & (np.vecdot(here.gradient, w) <= here.curvature)).all():
        return w, here
    zero = whole.at_zero()
    for _ in range(MAX_BACKTRACKING_STEPS):
        worse = ~(here.value <= zero)
        if not worse.any():
            break
        w = np.where(worse[:, None], 0.5 * w, w)
        here = whole.at(w)
    return w, here


def _newton(whole: Objective, w: Array, here: Point, stop: Stop) -> Minimum:
    """Newton steps until one is short, after which the Hessian is kept, or until none lowers the value."""
    b = len(w)
    found = Minimum(w.copy(), np.full(b, stop.limit), np.zeros(b, dtype=bool), w.shape[1])
    active, part, short = np.arange(b), whole, np.full(b, CHORD_CHANGE)
    for iteration in range(1, stop.limit + 1):
        d = descent(here.hessian, part.penalty, here.gradient)
        slope = -np.vecdot(d, here.gradient)
        near = slope <= short**2 * here.curvature
        still = slope <= FINAL_CHANGE**2 * np.abs(here.value)  # no gain, also if no row has curvature
        length, there = _search(part, w, d, slope, here, near)
        w = w + length[:, None] * d
        if near.any():
            w, near, failed = _keep(part, (w, here, slope), np.flatnonzero(near), stop.left)
            short[failed] = RETRIED_CHORD_CHANGE
            there = there.put(failed, part.cut(failed).at(w[failed])) if len(failed) else there
        found.w[active] = w
        ended, late = near | still | (length == 0), stop.deadline.passed()
        found.iterations[active[ended | late]], found.converged[active[near | still]] = iteration, True
        if ended.all() or late:
            break
        stay = np.flatnonzero(~ended)
        active, part, w, here, short = active[stay], part.cut(stay), w[stay], there.cut(stay), short[stay]
    return found


def _keep(
    whole: Objective, behind: tuple[Array, Point, Array], which: np.ndarray, left: float
) -> tuple[Array, np.ndarray, np.ndarray]:
    """Steps of the problems `which` with the Hessian of the point before a step (w after it, the point, its slope),
    until the last two steps show that the remaining change is less than `left`.

    Returns w, (b,) where that was reached, and those of `which` where it was not.
    """
    w, here, slope = behind
    part, at, v, last = whole.cut(which), here.cut(which), w[which], slope[which]
    enough = last <= RETRIED_CHORD_CHANGE**2 * at.curvature
    done = last <= left * at.curvature  # the error after a step is about its square
    direct = descents(at.hessian, part.penalty)
    for _ in range(MAX_CHORD_STEPS):
        if done.all():
            break
        gradient = part.gradient(v)
        d = direct(gradient)
        v = np.where(done[:, None], v, v + d)
        before, last = last, np.abs(np.vecdot(d, gradient))
        done |= enough | (last * last <= left**2 * at.curvature * before)
    w, ended = w.copy(), np.zeros(len(w), dtype=bool)
    w[which], ended[which] = v, done
    return w, ended, which[~done]


def _search(part: Objective, w: Array, d: Array, slope: Array, here: Point, short: np.ndarray) -> tuple[Array, Point]:
    """Lengths of steps along d that lower the value enough, 0 where none does, and their end points; the length of a
    short step is 1, unchecked."""
    length, there, trying = np.ones(len(w)), here, np.flatnonzero(~short)
    for _ in range(MAX_BACKTRACKING_STEPS):
        if not len(trying):
            break
        found = part.cut(trying).at(w[trying] + length[trying, None] * d[trying])
        lower = found.value <= here.value[trying] - ARMIJO_SHARE * length[trying] * slope[trying] + here.noise[trying]
        there = (
            found
            if lower.all() and len(trying) == len(w)
            else there.put(trying[lower], found.cut(np.flatnonzero(lower)))
        )
        trying = trying[~lower]
        length[trying] *= BACKTRACKING_FACTOR
    length[trying] = 0.0
    return length, there


def _independent(whole: Objective, here: Point) -> tuple[Array, Array] | None:
    """A basis of the span of dependent columns, and its inverse there; None if the columns are independent.

    One well-conditioned Hessian of the batch proves independence; else the free columns' triangular factor decides.
    """
    free = np.flatnonzero((whole.penalty == 0).all(axis=0))
    if not len(free):
        return None
    h = here.hessian[:, free][:, :, free]
    if (least_pivot(scaled_by(h, inverse_root_diagonal(h))) > COLLINEAR_PIVOT).any():
        return None
    factor = whole.triangle(free)
    if not len(factor):
        return None
    norms = np.linalg.norm(factor, axis=0)
    scale = np.where(norms > 0, norms, 1.0)
    _, s, vt = np.linalg.svd(factor / scale)
    s = s[s > NEGLIGIBLE_SINGULAR_VALUE * s[0]]
    others = np.setdiff1d(np.arange(whole.penalty.shape[1]), free)
    basis = np.zeros((whole.penalty.shape[1], len(others) + len(s)))
    inverse = np.zeros(basis.shape[::-1])
    basis[others, range(len(others))] = inverse[range(len(others)), others] = 1.0
    basis[free, len(others) :] = (vt[: len(s)] / (s[:, None] * scale)).T
    inverse[len(others) :, free] = vt[: len(s)] * s[:, None] * scale
    return basis, inverse
