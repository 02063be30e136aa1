"""Enclosures by the RKHS norm, for stationary kernels with bounded derivatives.

|f^(m)(x)| ≤ ‖f‖ √(∂^m ∂^m k(x, x)), and ‖f‖² = Σ_pq coef_p coef_q ⟨functional p, functional q⟩.
"""

from __future__ import annotations

import math
from functools import cached_property, reduce
from operator import add

import numpy as np

from hw4opt.kernels import Kernel
from hw4opt.shapes.enclosure import Cells
from hw4opt.shapes.function import Condition
from hw4opt.terms.base import Array

CELLS_PER_LENGTH = 8  # initial cells per kernel length
MIN_CELLS = 8  # initial cells at least
BOUND_ALLOWANCE = 1.01  # factor for the rounding in the bounds themselves


class NormBound:
    """g = side (f^(m) - level): an `Enclosure` with one piece, for kernels with `derivative_bound` and `largest`."""

    def __init__(self, condition: Condition) -> None:
        self.condition, self.function = condition, condition.function
        self.kernel: Kernel = condition.function.kernel
        function = condition.function
        self._orders = np.unique(function.orders).tolist()
        signed = condition.side * (-1) ** function.orders * function.coef
        self._coef = [np.where(function.orders == n, signed, 0).astype(function.kind) for n in self._orders]

    def start(self) -> Cells:
        low, high = self.condition.low, self.condition.high
        count = max(MIN_CELLS, math.ceil(CELLS_PER_LENGTH * (high - low) / self.kernel.length))
        edges = np.linspace(low, high, count + 1)
        return Cells(edges[:-1], edges[1:], np.zeros(count, dtype=int))

    def piece_of(self, x: Array) -> np.ndarray:
        return np.zeros(len(x), dtype=int)

    def at(self, x: Array, piece: np.ndarray, highest: int = 2) -> list[Array]:
        function, first = self.function, self.condition.order
        distance = x.astype(function.kind)[:, None] - function.points
        along = self.kernel.along(distance, first + highest + self._orders[-1])
        found = [
            reduce(add, [along[order + n] @ coef for n, coef in zip(self._orders, self._coef, strict=True)])
            for order in range(first, first + highest + 1)
        ]
        found[0] = found[0] - self.condition.side * self.condition.shift
        return found

    def third(self, cells: Cells) -> float:
        return self._third

    def rounding(self, cells: Cells) -> tuple[float, float, float]:
        return self._rounding

    @cached_property
    def _third(self) -> float:
        return BOUND_ALLOWANCE * self._norm() * self.kernel.derivative_bound(self.condition.order + 3)

    @cached_property
    def _rounding(self) -> tuple[float, float, float]:
        of_value, of_slope, of_curvature = (self._rounding_of(self.condition.order + more) for more in range(3))
        return of_value + self.condition.shift_rounding, of_slope, of_curvature

    def _rounding_of(self, derivative: int) -> float:
        """A bound of the rounding in f^(derivative): of kernel values, of their sum, and of coef."""
        function, total = self.function, 0.0
        for n in self._orders:
            mine = function.orders == n
            size, value_rounding = self.kernel.largest(derivative + n)
            of_sum = function.eps * (value_rounding + (len(function.coef) + 2) * size)
            total += of_sum * float(np.abs(function.coef[mine]).sum()) + size * float(
                function.coef_rounding[mine].sum()
            )
        return BOUND_ALLOWANCE * total

    def _norm(self) -> float:
        """An upper bound of ‖f‖."""
        function, kernel = self.function, self.kernel
        points, square, error = function.points[:, None], 0.0, 0.0
        for one in self._orders:
            for other in self._orders:
                mine, theirs = function.orders == one, function.orders == other
                first, second = function.coef[mine], function.coef[theirs]
                square += float(first @ kernel.derivative(points[mine], points[theirs], one, other) @ second)
                size, value_rounding = kernel.largest(one + other)
                sums = [float(np.abs(coef).sum()) for coef in (first, second)]
                errors = [float(function.coef_rounding[which].sum()) for which in (mine, theirs)]
                error += function.eps * (value_rounding + (2 * len(points) + 4) * size) * sums[0] * sums[1]
                error += size * (errors[0] * sums[1] + sums[0] * errors[1] + errors[0] * errors[1])
        return math.sqrt(max(square, 0.0) + BOUND_ALLOWANCE * error)
