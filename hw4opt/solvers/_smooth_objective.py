"""The objective of forms whose rows are smooth, batched over one design, for Newton's method.

    ½ wᵀ(diag(penalty) + H₀)w + b₀ᵀw + Σ_i ω_i ℓ(a_iᵀw + o_i, y_i)

One pass over the rows gives value, gradient and Hessian, a chunk at a time, so that memory beyond the data is that of a
chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from hw4opt.design.unit_diagonal import least_pivot
from hw4opt.form import Quadratic, Rows, SmoothRows
from hw4opt.form.chunks import MAX_PRODUCT_ENTRIES, Chunk, products
from hw4opt.running.threads import parallel_map, tree_reduce
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap

VALUE_ROUNDING = 1e-14  # of the sum of absolute values: the error of a value
PIECE_ROWS = 16_384  # rows visited at a time
START_ROWS = 2_048  # rows of the part that a large problem starts on, for each 16 columns
MIN_ROWS_PER_START_ROW = 8  # ratio of all rows to those of the part from which it is worthwhile
COLLINEAR_PIVOT = 1e-9  # squared pivot of a Hessian with unit diagonal below which its columns may be collinear

Part = tuple[Chunk, Rows]
Sums = tuple[Array, ...]
R = TypeVar("R")


class ObjectiveParts(Protocol):
    """The rows of an objective in parts: sums over them, and the same rows of some of its problems."""

    def total(self, act: Callable[[Part], R], combine: Callable[[R, R], R]) -> R | None: ...

    def cut(self, stay: np.ndarray) -> ObjectiveParts: ...


@dataclass(frozen=True, eq=False)
class HeldParts:
    """ObjectiveParts in memory."""

    items: Sequence[Part]

    def total(self, act: Callable[[Part], R], combine: Callable[[R, R], R]) -> R | None:
        return tree_reduce(combine, parallel_map(act, self.items))

    def cut(self, stay: np.ndarray) -> HeldParts:
        return HeldParts([(chunk, rows.cut(slice(None), stay)) for chunk, rows in self.items])


def _added(one: Sums, other: Sums) -> Sums:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _triangle_of(one: Array, other: Array) -> Array:
    """R of the rows of two triangles."""
    return np.asarray(np.linalg.qr(np.concatenate([one, other]), mode="r"))


def pieces_of(rows: RowMap, matrix: Array) -> list[Chunk]:
    """The rows cut into pieces; keep the result where the same rows are solved repeatedly."""
    bounds = [(low, min(low + PIECE_ROWS, rows.count)) for low in range(0, rows.count, PIECE_ROWS)]
    keep = rows.index is not None or products(rows.count, matrix.shape[1]) <= MAX_PRODUCT_ENTRIES
    return [Chunk(rows, matrix, low, high, keep=keep) for low, high in bounds]


def parts_of(pieces: Sequence[Chunk], smooth: Rows) -> list[Part]:
    """The pieces with their smooth rows."""
    return [(chunk, smooth.cut(slice(chunk.low, chunk.high))) for chunk in pieces]


@dataclass(frozen=True, eq=False)
class Point:
    """The result of one pass over the rows at w: value and its rounding, gradient, Hessian, and the sum of the
    curvatures, so that slope/curvature of a step is a mean square of changes of z (for the quadratic's rows, their
    value at 0)."""

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
            vars(mixed := Point(*(one.copy() for one in vars(self).values()))).values(),
            vars(other).values(),
            strict=True,
        ):
            array[place] = fresh
        return mixed


@dataclass(frozen=True, eq=False)
class Objective:
    """Rows in parts, the quadratic of rows that have none of their own, the penalty, and the columns in use (w = basis
    v)."""

    parts: ObjectiveParts
    fixed: Quadratic | None
    penalty: Array
    basis: Array | None = None

    def cut(self, stay: np.ndarray) -> Objective:
        """Some of the problems."""
        if len(stay) == len(self.penalty):
            return self
        fixed = None if self.fixed is None else self.fixed.cut(stay)
        return replace(self, parts=self.parts.cut(stay), fixed=fixed, penalty=self.penalty[stay])

    def at(self, w: Array) -> Point:
        """One pass over the rows."""
        basis = self.basis

        def one(part: Part) -> Sums:
            chunk, rows = part
            a = _columns(chunk, basis)
            with np.errstate(over="ignore", invalid="ignore"):  # too long a step may end at infinity; it is rejected
                z = w @ a.T
                value, slope, weight = rows.derivatives(z)
                return (
                    value.sum(axis=1),
                    np.abs(value).sum(axis=1),
                    slope @ a,
                    chunk.gram(a, weight),
                    weight.sum(axis=1),
                )

        b, r = w.shape
        sums = self.parts.total(one, _added)
        none = (np.zeros(b), np.zeros(b), np.zeros((b, r)), np.zeros((b, r, r)), np.zeros(b))
        value, size, gradient, hessian, curvature = none if sums is None else sums
        pull = self.penalty * w
        value, gradient = value + 0.5 * np.vecdot(w, pull), gradient + pull
        if self.fixed is not None:
            bend = np.matvec(self.fixed.h, w)
            value = value + np.vecdot(w, 0.5 * bend + self.fixed.b) + self.fixed.c
            gradient, hessian = gradient + bend + self.fixed.b, hessian + self.fixed.h
            curvature = curvature + self.fixed.c
        return Point(value, VALUE_ROUNDING * (size + np.abs(value)), gradient, hessian, curvature)

    def gradient(self, w: Array) -> Array:
        """The gradient alone."""
        basis = self.basis

        def one(part: Part) -> Array:
            a = _columns(part[0], basis)
            return part[1].gradient(w @ a.T) @ a

        pull, total = self.parts.total(one, np.add), self.penalty * w
        total = total if pull is None else total + pull
        return total if self.fixed is None else total + np.matvec(self.fixed.h, w) + self.fixed.b

    def at_zero(self) -> Array:
        """The value at w = 0."""
        value = np.zeros(len(self.penalty))
        total = self.parts.total(lambda part: part[1].value(np.zeros((1, len(part[0])))).sum(axis=1), np.add)
        value = value if total is None else value + total
        return value if self.fixed is None else value + self.fixed.c

    def on(self, basis: Array) -> Objective:
        """The same on other columns; those with a penalty must be columns of the basis by themselves."""
        fixed = self.fixed
        if fixed is not None:
            fixed = Quadratic(basis.T @ fixed.h @ basis, fixed.b @ basis, fixed.c)
        return replace(self, fixed=fixed, penalty=self.penalty @ (basis != 0), basis=basis)

    def triangle(self, columns: np.ndarray) -> Array:
        """R of A = QR for some columns of the rows that have a weight."""

        def one(part: Part) -> Array:
            chunk, rows = part
            held = np.any(rows.open, axis=0)
            return np.asarray(np.linalg.qr(chunk.matrix[:, columns] * held[:, None], mode="r"))

        found = self.parts.total(one, _triangle_of)
        return np.zeros((0, len(columns))) if found is None else found

    def start(self) -> Array:
        """Weighted least squares of every row's own minimizer z: one Newton step of the rows from there."""
        assert isinstance(self.parts, HeldParts)
        basis = self.basis

        def one(part: Part) -> tuple[Array, Array]:
            chunk, rows = part
            assert isinstance(rows, SmoothRows)
            a = _columns(chunk, basis)
            t = rows.term.guess(rows.targets)
            weight = rows.weights * rows.term.curvature(t, rows.targets)
            pull = weight * (t - rows.offset) - rows.weights * rows.term.gradient(t, rows.targets)
            return chunk.gram(a, np.broadcast_to(weight, (len(self.penalty), len(chunk)))), np.broadcast_to(
                pull, weight.shape
            ) @ a

        b, r = self.penalty.shape
        gram, pull = (
            (np.zeros((b, r, r)), np.zeros((b, r))) if self.fixed is None else (self.fixed.h.copy(), -self.fixed.b)
        )
        for h, right in parallel_map(one, self.parts.items):
            gram, pull = gram + h, pull + right
        return descent(gram, self.penalty, -pull)

    def some_rows(self) -> Objective | None:
        """A part of the rows, spread over all of them; None if there are too few for that to be worthwhile."""
        assert isinstance(self.parts, HeldParts)
        parts = self.parts.items
        rows, size = sum(len(chunk) for chunk, _ in parts), START_ROWS * -(-self.penalty.shape[1] // 16)
        if rows < MIN_ROWS_PER_START_ROW * size or self.fixed is not None:
            return None
        share, matrix, smooth = size / rows, [], []
        for number, (chunk, some) in enumerate(parts):
            count = round(share * len(chunk))
            place = np.sort((np.arange(count) * len(chunk) // max(count, 1) + 7 * number) % len(chunk))
            matrix.append(chunk.matrix[place])
            assert isinstance(some, SmoothRows)
            smooth.append(some.cut(place))
        pieces = pieces_of(RowMap(sum(map(len, matrix)), first=0), np.concatenate(matrix))
        return replace(self, parts=HeldParts(parts_of(pieces, _join(smooth))), penalty=share * self.penalty)


def _columns(chunk: Chunk, basis: Array | None) -> Array:
    """A of some rows, on the columns in use."""
    return chunk.matrix if basis is None else chunk.matrix @ basis


def _join(smooth: Sequence[SmoothRows]) -> SmoothRows:
    """Smooth rows concatenated."""
    columns = zip(*((rows.targets, rows.offset, rows.weights) for rows in smooth), strict=True)
    return SmoothRows(
        smooth[0].term, *(group[0] if group[0].shape[1] == 1 else np.concatenate(group, axis=1) for group in columns)
    )


def descent(hessian: Array, penalty: Array, gradient: Array) -> Array:
    """-(hessian + diag(penalty))⁻¹ gradient on columns scaled to a unit diagonal; 0 along directions without
    curvature."""
    return descents(hessian, penalty)(gradient)


def descents(hessian: Array, penalty: Array) -> Callable[[Array], Array]:
    """`descent` of one Hessian for several gradients in turn."""
    h = hessian.copy()
    diagonal = np.einsum("bii->bi", h)
    diagonal += penalty
    root = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 0.0)
    h *= root[:, :, None]
    h *= root[:, None, :]
    strong = least_pivot(h) > COLLINEAR_PIVOT
    inverse = np.empty_like(h)
    if strong.any():
        inverse[strong] = np.linalg.inv(h[strong])
    if not strong.all():
        values, vectors = np.linalg.eigh(h[~strong])
        level = np.finfo(float).eps * h.shape[1] * values[:, -1:]
        scale = np.where(values > level, 1 / np.where(values > level, values, 1.0), 0.0)
        inverse[~strong] = np.matmul(vectors * scale[:, None, :], vectors.transpose(0, 2, 1))
    return lambda gradient: -root * np.matvec(inverse, root * gradient)
