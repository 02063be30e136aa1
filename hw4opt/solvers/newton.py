"""Newton's method for forms without kinks, batched over one design.

    minimise over w   ½ wᵀ(diag(penalty) + H₀)w + b₀ᵀw + Σ_i ω_i ℓ(a_iᵀw + o_i, y_i),      ℓ smooth and convex, |ℓ'''| ≤ ℓ''

One pass over the rows gives value, gradient and Hessian, a chunk at a time, so that memory beyond the data is that of a chunk. The start
is the weighted least squares of each row's own best z (of a count y: log(y + ½)), finished on a part of the rows where there are many.
A step is solved on columns scaled to a unit diagonal and shortened until it lowers the value: that, not a clipped model, is what guards
exp. Steps end when one is so short that what is left is its square. Collinear columns: the free columns are replaced by an orthonormal
set that spans as much, found from their triangular factor; w is then the shortest of the minimizers on scaled columns.
(Bach 2010 for |ℓ'''| ≤ ℓ''; Björck 1996, §2.7 for the rank.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw4opt.answer import Answer, Options, Status
from hw4opt.form import Fixed, Form, SmoothRows
from hw4opt.rows import Chunk, RowMap, each
from hw4opt.terms.base import Array

LIMIT = 100
SHORT = 1e-5  # root mean square change of z in the last step: it leaves about its square, and one more with the same Hessian its cube
ENOUGH = 1e-4  # share of the slope that a step has to gain (Armijo)
NOISE = 1e-14  # of the sum of absolute values: what a value may be off by
SHRINK, TRIALS = 0.25, 40
PIECE = 16_384  # rows visited at a time
EASY = 12  # steps within which the part's minimum must be found
PART = 4_096  # rows of the part that a large problem starts on, for each 16 columns
MANY = 8  # times as many rows as in the part from which it is worth while
WEAK = 1e-9  # squared pivot of a Hessian with unit diagonal below which its columns may be collinear
RANK = 1e-13  # singular value of scaled columns, over the largest, that counts as none

Part = tuple[Chunk, SmoothRows]


@dataclass(frozen=True, eq=False)
class Minimum:
    """The minimizers of a batch.

    w           (b, r)
    hessian     (b, r, r) AᵀWA of the smooth rows at w (to the last step's length), penalty not in it
    iterations  (b,) passes over the rows;  converged (b,): the last step was short (else the limit or rounding ended it)
    rank        of the columns
    """

    w: Array
    hessian: Array
    iterations: np.ndarray
    converged: np.ndarray
    rank: int


def refuse(form: Form) -> str | None:
    """Takes forms whose every row is smooth, or quadratic without sides."""
    sided = {form.blocks[piece.block].name for piece in form.pieces if piece.smooth is None and not piece.is_quadratic}
    if not sided:
        return None
    return f"newton needs every term to be smooth; {' and '.join(sorted(sided))} {'is' if len(sided) == 1 else 'are'} not"


def solve(form: Form, options: Options) -> Answer:
    """Every problem of the batch; the duals are the slopes of the rows."""
    parts = []
    for block in form.blocks:
        if block.smooth is not None:
            parts += _parts(block.rows, form.design.matrix, block.smooth)
    whole = Objective(parts, form.fixed if any(piece.is_quadratic for piece in form.pieces) else None, form.penalty)
    found = _minimize(whole, None, options.max_iterations or LIMIT)
    reached = [Status.CERTIFIED if done else Status.ITERATION_LIMIT for done in found.converged]
    return Answer(found.w, form.pieces_from_runs(_nothing(form), found.w), reached, found.iterations, rank=found.rank)


def minimize(matrix: Array, smooth: SmoothRows, penalty: Array, start: Array | None = None, limit: int = LIMIT) -> Minimum:
    """Minimise Σ_i ω_i ℓ(a_iᵀw + o_i, y_i) + ½ wᵀ diag(penalty) w for a batch of weights, targets, offsets and penalties.

    matrix   (n, r), rows a_i;  smooth: arrays (b, n), or (b, 1) where all rows are alike;  penalty (b, r), 0 on free columns
    start    (b, r) or None for a start from the data
    limit    passes over the rows

    Memory beyond the arguments is that of some chunks of rows. Row weights of 0 are allowed; where the minimum lies at infinity, steps go
    on until they gain nothing more.
    """
    parts = _parts(RowMap(len(matrix), first=0), matrix, smooth)
    return _minimize(Objective(parts, None, np.asarray(penalty, dtype=float)), start, limit)


def _parts(rows: RowMap, matrix: Array, smooth: SmoothRows) -> list[Part]:
    bounds = [(low, min(low + PIECE, rows.count)) for low in range(0, rows.count, PIECE)]
    return [(Chunk(rows, matrix, low, high, keep=rows.index is not None), smooth.cut(slice(low, high))) for low, high in bounds]


def _nothing(form: Form) -> list[Array]:
    """Of the runs' duals none is needed: every run is smooth."""
    return [np.zeros((form.batch, run.size)) for run in form.runs]


@dataclass(frozen=True, eq=False)
class Point:
    """What one pass over the rows finds at w: value and what it may be off by, gradient, Hessian, and what a step's slope is relative to:
    the sum of the curvatures, so that slope/curvature is a mean square of changes of z (of the quadratic's rows, their value at 0)."""

    value: Array
    noise: Array
    gradient: Array
    hessian: Array
    curvature: Array

    def cut(self, stay: np.ndarray) -> Point:
        return Point(self.value[stay], self.noise[stay], self.gradient[stay], self.hessian[stay], self.curvature[stay])

    def put(self, place: np.ndarray, other: Point) -> Point:
        """This point with the problems `place` taken from another."""
        for array, fresh in zip(
            vars(mixed := Point(*(one.copy() for one in vars(self).values()))).values(), vars(other).values(), strict=True
        ):
            array[place] = fresh
        return mixed


@dataclass(frozen=True, eq=False)
class Objective:
    """Rows in parts, the quadratic of rows that have none of their own, the penalty, and the columns in use (w = basis v)."""

    parts: Sequence[Part]
    fixed: Fixed | None
    penalty: Array
    basis: Array | None = None

    def cut(self, stay: np.ndarray) -> Objective:
        """Some of the problems."""
        if len(stay) == len(self.penalty):
            return self
        fixed = None if self.fixed is None else Fixed(self.fixed.h[stay], self.fixed.b[stay], self.fixed.c[stay])
        return replace(
            self, parts=[(chunk, rows.cut(slice(None), stay)) for chunk, rows in self.parts], fixed=fixed, penalty=self.penalty[stay]
        )

    def columns(self, chunk: Chunk) -> Array:
        """A of some rows, on the columns in use."""
        return chunk.matrix if self.basis is None else chunk.matrix @ self.basis

    def at(self, w: Array) -> Point:
        """One pass over the rows."""

        def one(part: Part) -> tuple[Array, Array, Array, Array, Array]:
            chunk, rows = part
            a = self.columns(chunk)
            z = w @ a.T
            value, weight = rows.value(z), rows.curvature(z)
            with np.errstate(invalid="ignore"):  # a step too far may end at infinity; it is taken back
                return value.sum(axis=1), np.abs(value).sum(axis=1), rows.gradient(z) @ a, chunk.gram(a, weight), weight.sum(axis=1)

        b, r = w.shape
        value, size, gradient, hessian, curvature = np.zeros(b), np.zeros(b), np.zeros((b, r)), np.zeros((b, r, r)), np.zeros(b)
        for found in each(one, self.parts):
            for total, term in zip((value, size, gradient, hessian, curvature), found, strict=True):
                total += term
        pull = self.penalty * w
        value, gradient = value + 0.5 * np.vecdot(w, pull), gradient + pull
        if self.fixed is not None:
            bend = np.matvec(self.fixed.h, w)
            value = value + np.vecdot(w, 0.5 * bend + self.fixed.b) + self.fixed.c
            gradient, hessian = gradient + bend + self.fixed.b, hessian + self.fixed.h
            curvature = curvature + self.fixed.c
        return Point(value, NOISE * (size + np.abs(value)), gradient, hessian, curvature)

    def gradient(self, w: Array) -> Array:
        """The gradient alone."""

        def one(part: Part) -> Array:
            a = self.columns(part[0])
            return part[1].gradient(w @ a.T) @ a

        total = sum(each(one, self.parts), self.penalty * w)
        return total if self.fixed is None else total + np.matvec(self.fixed.h, w) + self.fixed.b

    def value(self, w: Array) -> Array:
        """The value alone."""

        def one(part: Part) -> Array:
            return part[1].value(w @ self.columns(part[0]).T).sum(axis=1)

        value = sum(each(one, self.parts), 0.5 * np.vecdot(w, self.penalty * w))
        if self.fixed is not None:
            value = value + np.vecdot(w, 0.5 * np.matvec(self.fixed.h, w) + self.fixed.b) + self.fixed.c
        return value

    def on(self, basis: Array) -> Objective:
        """The same on other columns; those that a penalty acts on must stand alone in the basis."""
        fixed = self.fixed
        if fixed is not None:
            fixed = Fixed(basis.T @ fixed.h @ basis, fixed.b @ basis, fixed.c)
        return replace(self, fixed=fixed, penalty=self.penalty @ (basis != 0), basis=basis)

    def triangle(self, columns: np.ndarray) -> Array:
        """R of A = QR for some columns of the rows that have a weight."""

        def one(part: Part) -> Array:
            chunk, rows = part
            held = np.any(rows.weights > 0, axis=0)
            return np.asarray(np.linalg.qr(chunk.matrix[:, columns] * held[:, None], mode="r"))

        return np.asarray(np.linalg.qr(np.concatenate(each(one, self.parts)), mode="r"))

    def start(self) -> Array:
        """Weighted least squares of every row's own best z: one Newton step of the rows from there."""

        def one(part: Part) -> tuple[Array, Array]:
            chunk, rows = part
            a = self.columns(chunk)
            t = rows.term.guess(rows.targets)
            weight = rows.weights * rows.term.curvature(t, rows.targets)
            pull = weight * (t - rows.offset) - rows.weights * rows.term.gradient(t, rows.targets)
            return chunk.gram(a, np.broadcast_to(weight, (len(self.penalty), len(chunk)))), np.broadcast_to(pull, weight.shape) @ a

        b, r = self.penalty.shape
        gram, pull = (np.zeros((b, r, r)), np.zeros((b, r))) if self.fixed is None else (self.fixed.h.copy(), -self.fixed.b)
        for h, right in each(one, self.parts):
            gram, pull = gram + h, pull + right
        return _descent(gram, self.penalty, -pull)

    def some_rows(self) -> Objective | None:
        """A part of the rows, spread over all of them; None where there are too few for that to pay."""
        rows, size = sum(len(chunk) for chunk, _ in self.parts), PART * -(-self.penalty.shape[1] // 16)
        if rows < MANY * size or self.fixed is not None:
            return None
        share, matrix, smooth = size / rows, [], []
        for number, (chunk, some) in enumerate(self.parts):
            count = round(share * len(chunk))
            place = np.sort((np.arange(count) * len(chunk) // max(count, 1) + 7 * number) % len(chunk))
            matrix.append(chunk.matrix[place])
            smooth.append(some.cut(place))
        return replace(
            self, parts=_parts(RowMap(sum(map(len, matrix)), first=0), np.concatenate(matrix), _join(smooth)), penalty=share * self.penalty
        )


def _join(smooth: Sequence[SmoothRows]) -> SmoothRows:
    """Smooth rows behind each other."""
    columns = zip(*((rows.targets, rows.offset, rows.weights) for rows in smooth), strict=True)
    return SmoothRows(smooth[0].term, *(group[0] if group[0].shape[1] == 1 else np.concatenate(group, axis=1) for group in columns))


def _minimize(whole: Objective, start: Array | None, limit: int) -> Minimum:
    w = _bounded(whole, _first(whole) if start is None else np.array(start, dtype=float))
    here = whole.at(w)
    independent = _independent(whole, here)
    if independent is None:
        return _newton(whole, w, here, limit)
    basis, inverse = independent
    inner = whole.on(basis)
    v = w @ inverse.T
    found = _newton(inner, v, inner.at(v), limit)
    return replace(found, w=found.w @ basis.T, hessian=inverse.T @ found.hessian @ inverse)


def _first(whole: Objective) -> Array:
    """The minimum over a part of the rows where that is cheap and found; else the least squares start over all of them."""
    part = whole.some_rows()
    if part is not None:
        w = _bounded(part, part.start())
        found = _newton(part, w, part.at(w), EASY)
        if found.converged.all():
            return found.w
    return whole.start()


def _bounded(whole: Objective, w: Array) -> Array:
    """w, halved until it is no worse than 0: far above the rows' best z Newton's steps are short, for exp is steep there."""
    zero = whole.value(np.zeros_like(w))
    for _ in range(TRIALS):
        worse = ~(whole.value(w) <= zero)
        if not worse.any():
            break
        w = np.where(worse[:, None], 0.5 * w, w)
    return w


def _newton(whole: Objective, w: Array, here: Point, limit: int) -> Minimum:
    """Direction, step, until the step was the last: a short one, or none that lowers the value."""
    b, r = w.shape
    found = Minimum(w.copy(), np.empty((b, r, r)), np.full(b, limit), np.zeros(b, dtype=bool), r)
    active, part = np.arange(b), whole
    for iteration in range(1, limit + 1):
        d = _descent(here.hessian, part.penalty, here.gradient)
        slope = -np.vecdot(d, here.gradient)
        short = slope <= SHORT**2 * here.curvature
        length, there = _search(part, w, d, slope, here, short)
        w = w + length[:, None] * d
        found.w[active], found.hessian[active] = w, here.hessian
        ended = short | (length == 0)
        found.iterations[active[ended]], found.converged[active[short]] = iteration, True
        if ended.all():
            break
        stay = np.flatnonzero(~ended)
        active, part, w, here = active[stay], part.cut(stay), w[stay], there.cut(stay)
    found.w[:] += np.where(found.converged[:, None], _descent(found.hessian, whole.penalty, whole.gradient(found.w)), 0.0)
    if whole.fixed is not None:
        found.hessian[:] -= whole.fixed.h
    return found


def _search(part: Objective, w: Array, d: Array, slope: Array, here: Point, short: np.ndarray) -> tuple[Array, Point]:
    """Lengths of steps along d that lower the value enough, 0 where none does, and the points they lead to; a short step is 1, unseen."""
    length, there, trying = np.ones(len(w)), here, np.flatnonzero(~short)
    for _ in range(TRIALS):
        if not len(trying):
            break
        found = part.cut(trying).at(w[trying] + length[trying, None] * d[trying])
        lower = found.value <= here.value[trying] - ENOUGH * length[trying] * slope[trying] + here.noise[trying]
        there = found if lower.all() and len(trying) == len(w) else there.put(trying[lower], found.cut(np.flatnonzero(lower)))
        trying = trying[~lower]
        length[trying] *= SHRINK
    length[trying] = 0.0
    return length, there


def _descent(hessian: Array, penalty: Array, gradient: Array) -> Array:
    """-(hessian + diag(penalty))⁻¹ gradient on columns scaled to a unit diagonal; directions without curvature are left alone."""
    h = hessian.copy()
    diagonal = np.einsum("bii->bi", h)
    diagonal += penalty
    root = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 0.0)
    h *= root[:, :, None]
    h *= root[:, None, :]
    right, d = root * gradient, np.empty_like(gradient)
    strong = _least_pivot(h) > WEAK
    if strong.any():
        d[strong] = np.linalg.solve(h[strong], right[strong][:, :, None])[:, :, 0]
    if not strong.all():
        values, vectors = np.linalg.eigh(h[~strong])
        level = np.finfo(float).eps * h.shape[1] * values[:, -1:]
        along = np.matvec(vectors.transpose(0, 2, 1), right[~strong])
        d[~strong] = np.matvec(vectors, np.where(values > level, along / np.where(values > level, values, 1.0), 0.0))
    return -root * d


def _least_pivot(h: Array) -> Array:
    """The smallest squared pivot of Cholesky's factor, (b,); 0 for all where one matrix is not positive definite."""
    try:
        lower = np.linalg.cholesky(h)
    except np.linalg.LinAlgError:
        return np.zeros(len(h))
    return np.square(np.einsum("bii->bi", lower)).min(axis=1)


def _independent(whole: Objective, here: Point) -> tuple[Array, Array] | None:
    """A basis of as many columns as are independent, and its inverse on their span; None where the columns are plainly so.

    One well-conditioned Hessian of the batch proves them independent. Else the free columns' triangular factor decides.
    """
    free = np.flatnonzero((whole.penalty == 0).all(axis=0))
    if not len(free) or not whole.parts:
        return None
    h = here.hessian[:, free][:, :, free]
    root = np.sqrt(np.maximum(np.einsum("bii->bi", h), 1e-300))
    if (_least_pivot(h / (root[:, :, None] * root[:, None, :])) > WEAK).any():
        return None
    factor = whole.triangle(free)
    norms = np.linalg.norm(factor, axis=0)
    scale = np.where(norms > 0, norms, 1.0)
    _, s, vt = np.linalg.svd(factor / scale)
    s = s[s > RANK * s[0]]
    others = np.setdiff1d(np.arange(whole.penalty.shape[1]), free)
    basis = np.zeros((whole.penalty.shape[1], len(others) + len(s)))
    inverse = np.zeros(basis.shape[::-1])
    basis[others, range(len(others))] = inverse[range(len(others)), others] = 1.0
    basis[free, len(others) :] = (vt[: len(s)] / (s[:, None] * scale)).T
    inverse[len(others) :, free] = vt[: len(s)] * s[:, None] * scale
    return basis, inverse
