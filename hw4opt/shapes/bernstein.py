"""Polynomials: if all Bernstein coefficients on a cell are ≥ 0, the polynomial is ≥ 0 there. Computed in exact rational
arithmetic, since all coefficients are doubles.   (Farouki 2012.)"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from operator import mul

import numpy as np

from hw4opt.shapes.branch import Search
from hw4opt.shapes.enclosure import Cells
from hw4opt.shapes.function import Condition, KernelSum
from hw4opt.terms.base import Array

MAX_BERNSTEIN_CELLS = 1_000  # evaluated in one search
VIOLATED_CELL = Fraction(1, 16)  # of the range: width to which a violation is localized


class Bernstein:
    """g = side (f^(m) - level) on the range as a polynomial in t, x = low + (high - low) t."""

    def __init__(self, condition: Condition) -> None:
        self.condition, expansion = condition, condition.function.kernel.expansion
        assert expansion is not None
        coef = _power_coefficients(condition.function, expansion)
        for _ in range(condition.order):
            coef = [power * one for power, one in enumerate(coef)][1:] or [Fraction(0)]
        coef[0] -= sum(map(Fraction, condition.shifts))
        low, width = Fraction(condition.low), Fraction(condition.high) - Fraction(condition.low)
        shifted = [Fraction(0)] * len(coef)
        for one in reversed(coef):  # Horner's rule with coefficients that are polynomials in t
            shifted = [
                low * mine + (width * shifted[power - 1] if power else one) for power, mine in enumerate(shifted)
            ]
        self.coef = [condition.side * one for one in shifted]

    def search(self) -> Search:
        """Bisect cells until each is proven, or is at most VIOLATED_CELL wide with g < 0 at an end."""
        degree = len(self.coef) - 1
        weights = [[Fraction(math.comb(j, k), math.comb(degree, k)) for k in range(j + 1)] for j in range(degree + 1)]
        whole = [sum(map(mul, row, self.coef), Fraction(0)) for row in weights]
        cells, margin, proven, evaluations = [(Fraction(0), Fraction(1), whole)], math.inf, 0, 0
        left: list[tuple[float, float, float]] = []
        while cells:
            low, high, b = cells.pop()
            evaluations += 1
            if min(b) >= 0:
                margin, proven = min(margin, float(min(b))), proven + 1
            elif (min(b[0], b[-1]) < 0 and high - low <= VIOLATED_CELL) or evaluations > MAX_BERNSTEIN_CELLS:
                left.append((self._x(low), self._x(high), float(min(b[0], b[-1]))))
            else:
                middle, (first, second) = (low + high) / 2, _halves(b)
                cells += [(low, middle, first), (middle, high, second)]
        table = np.array(sorted(left)).reshape(-1, 3)
        found = Cells(table[:, 0], table[:, 1], np.zeros(len(table), dtype=int))
        return Search(margin, proven, evaluations, found, table[:, 2], bool(left), False)

    def piece_of(self, x: Array) -> np.ndarray:
        return np.zeros(len(x), dtype=int)

    def at(self, x: Array, piece: np.ndarray, highest: int = 2) -> list[Array]:
        width = self.condition.high - self.condition.low
        polynomial = np.polynomial.Polynomial([float(one) for one in self.coef])
        t = (x - self.condition.low) / width
        return [polynomial.deriv(order)(t) / width**order for order in range(highest + 1)]

    def _x(self, t: Fraction) -> float:
        low, high = Fraction(self.condition.low), Fraction(self.condition.high)
        return float(low + (high - low) * t)


def _halves(b: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
    """The Bernstein coefficients on both halves of a cell (de Casteljau)."""
    first, second = [b[0]], [b[-1]]
    while len(b) > 1:
        b = [(one + other) / 2 for one, other in itertools.pairwise(b)]
        first.append(b[0])
        second.append(b[-1])
    return first, second[::-1]


def _power_coefficients(function: KernelSum, expansion: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of x^0, x^1, … in f without its constants, for k = Σ_j expansion_j (x z)^j."""
    w = [Fraction(one) for one in function.w.tolist()]
    moments = [Fraction(0)] * len(expansion)  # Σ_p coef_p ∂^order_p z_p^j
    rows = zip(function.points.tolist(), function.orders.tolist(), function.factor.tolist(), strict=True)
    for z, order, row in rows:
        own = sum((Fraction(one) * mine for one, mine in zip(row, w, strict=True)), Fraction(0))
        for j in range(order, len(expansion)):
            moments[j] += own * math.perm(j, order) * Fraction(z) ** (j - order)
    return [one * moment for one, moment in zip(expansion, moments, strict=True)]
