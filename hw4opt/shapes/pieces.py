"""Enclosures for kernels that are a polynomial times a decaying exponential (Matérn). Between neighbouring centers

    f(x) = exp(-τ) P(τ) + exp(-σ) Q(σ),      τ = rate (x - left),   σ = rate (right - x),

P from the centers to the left of the piece, Q from those to its right. All summands decay with the distance from their
center, so that the rounding of a piece does not depend on remote centers.
"""

from __future__ import annotations

import math

import numpy as np

from hw4opt.kernels import Decaying, derivatives_of
from hw4opt.shapes.enclosure import Cells
from hw4opt.shapes.function import Condition
from hw4opt.terms.base import Array

MAX_CELL_LENGTH = 1.0  # width of initial cells, in lengths 1/rate
TERM_ROUNDING, LENGTH_ROUNDING = 30, 5  # rounding of exp(-t) q(t): TERM_ROUNDING + LENGTH_ROUNDING t epsilons
BOUND_ALLOWANCE = 1.01  # factor for the rounding in the bounds themselves


class Pieces:
    """g = side (f^(m) - level): an `Enclosure` with a piece between neighbouring centers, or the ends of the range."""

    def __init__(self, condition: Condition, kernel: Decaying) -> None:
        self.condition, function = condition, condition.function
        self.rate, q = kernel.decay(function.kind)
        self.eps, self.kind, order = function.eps, function.kind, condition.order
        inner = np.unique(function.points.astype(float))
        inner = inner[(inner > condition.low) & (inner < condition.high)]
        self.edges = np.concatenate([[condition.low], inner, [condition.high]])
        polynomials = derivatives_of(q, order + int(function.orders.max()))
        self.coef = np.zeros((2, len(self.edges) - 1, len(q)), dtype=function.kind)  # of P and Q
        self.coef_error = np.zeros(self.coef.shape)
        for n in np.unique(function.orders).tolist():
            mine, k = function.orders == n, order + n
            own, own_error = function.coef[mine] * self.rate**k, function.coef_rounding[mine] * float(self.rate) ** k
            for place, (ends, sign) in enumerate(((self.edges[:-1], (-1) ** n), (self.edges[1:], (-1) ** order))):
                distance = (1 - 2 * place) * (ends[:, None] - function.points[mine])
                t = self.rate * np.maximum(distance, 0)
                decay = np.where(distance >= 0, np.exp(-t), 0)
                rounding = self.eps * (len(function.w) + TERM_ROUNDING + LENGTH_ROUNDING * t.astype(float))
                for power in range(len(q)):
                    derived = np.polynomial.polynomial.polyder(polynomials[k], power) / math.factorial(power)
                    values, sizes = (
                        np.polynomial.polynomial.polyval(t, one) * decay for one in (derived, np.abs(derived))
                    )
                    self.coef[place, :, power] += sign * (values @ own)
                    sizes = sizes.astype(float)
                    self.coef_error[place, :, power] += (sizes * rounding) @ np.abs(own).astype(
                        float
                    ) + sizes @ own_error

    def start(self) -> Cells:
        count = np.maximum(np.ceil(np.diff(self.edges) * float(self.rate) / MAX_CELL_LENGTH), 1).astype(int)
        pieces = Cells(self.edges[:-1], self.edges[1:], np.arange(len(count)))
        return pieces.split(count)

    def piece_of(self, x: Array) -> np.ndarray:
        return np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.edges) - 2)

    def at(self, x: Array, piece: np.ndarray, highest: int = 2) -> list[Array]:
        found = [np.zeros(len(x), dtype=self.kind) for _ in range(highest + 1)]
        for place, t in enumerate(self._lengths(x, piece)):
            decay, polynomial, sign = np.exp(-t), self.coef[place, piece], 1
            for total in found:
                total += sign * decay * _values(polynomial, t)
                polynomial, sign = _slope(polynomial) - polynomial, sign * (1 - 2 * place) * self.rate
        side = self.condition.side
        return [side * (found[0] - self.condition.shift), *(side * one for one in found[1:])]

    def third(self, cells: Cells) -> Array:
        total = np.zeros(len(cells.low))
        for place, (near, far) in enumerate(self._reach(cells)):
            polynomial = self.coef[place, cells.piece].astype(float)
            for _ in range(3):
                polynomial = _slope(polynomial) - polynomial
            total += np.exp(-near) * _values(np.abs(polynomial), far)
        return BOUND_ALLOWANCE * float(self.rate) ** 3 * total

    def rounding(self, cells: Cells) -> tuple[Array, Array, Array]:
        found = np.zeros((3, len(cells.low)))
        for place, (near, far) in enumerate(self._reach(cells)):
            size = np.abs(self.coef[place, cells.piece]).astype(float)
            level = self.eps * (TERM_ROUNDING + LENGTH_ROUNDING * far)[:, None]
            error, decay = self.coef_error[place, cells.piece] + level * size, np.exp(-near)
            for order, total in enumerate(found):
                total += float(self.rate) ** order * decay * _values(error, far)
                error = _slope(error) + error
        of_value, of_slope, of_curvature = BOUND_ALLOWANCE * found
        return of_value + self.condition.shift_rounding, of_slope, of_curvature

    def _lengths(self, x: Array, piece: np.ndarray) -> tuple[Array, Array]:
        """τ and σ at x, (k,) each."""
        x = x.astype(self.kind)
        return self.rate * (x - self.edges[piece]), self.rate * (self.edges[piece + 1] - x)

    def _reach(self, cells: Cells) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """The smallest and largest τ, and σ, over the cells, (k,) each."""
        ends = [[t.astype(float) for t in self._lengths(x, cells.piece)] for x in (cells.low, cells.high)]
        return (ends[0][0], ends[1][0]), (ends[1][1], ends[0][1])


def _values(polynomials: Array, t: Array) -> Array:
    """The polynomials (k, degree + 1) at t (k,), one each."""
    total = polynomials[:, -1]
    for power in range(polynomials.shape[1] - 2, -1, -1):
        total = total * t + polynomials[:, power]
    return total


def _slope(polynomials: Array) -> Array:
    """The derivatives of the polynomials, padded to the same length."""
    powers = np.arange(1, polynomials.shape[1])
    return np.pad(polynomials[:, 1:] * powers, ((0, 0), (0, 1)))
