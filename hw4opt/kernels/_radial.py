"""Kernels that depend on the distance of two points."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt.kernels._base import Kernel
from hw4opt.terms.base import Array

LARGEST_SQUARE = 1e200  # exp(-√s) is 0 beyond, and so is √s times it, but not ∞ times it


@dataclass(frozen=True)
class Radial(Kernel):
    """k = φ(s), s = ‖x - z‖², φ(0) = 1.

    A subclass defines `profile`. x and z are measured in units in which gamma is near 1, because squares of 1e-200 or
    1e200 underflow or overflow. With one gamma per column, s = Σ_j (gamma_j/gamma) (x_j - z_j)², gamma the largest.
    """

    gamma_by_column: ClassVar[bool] = True

    @property
    def length(self) -> float:
        """1/√(2 gamma)."""
        return 1 / math.sqrt(2 * self.rate)

    @abstractmethod
    def profile(self, s: Array, gamma: float, order: int) -> Array:
        """φ(s), φ'(s) or φ''(s), by `order` 0, 1 or 2, for that gamma."""

    @property
    def _unit(self) -> tuple[Array | float, float]:
        """(unit of every column, gamma/unit²); one unit for all is a power of two, so that nothing is rounded."""
        _, exponent = math.frexp(self.rate)
        unit = math.ldexp(1.0, exponent // 2)
        columns = np.sqrt(np.array(self.gammas) / self.rate) if self.gammas else 1.0
        return unit * columns, self.rate / unit / unit

    def gram(self, x: Array, z: Array) -> Array:
        unit, gamma = self._unit
        with np.errstate(over="ignore"):  # the square of a distance too large overflows, and k is 0
            return self.profile(square_distance(unit * x, unit * z), gamma, 0)

    def diagonal(self, x: Array) -> Array:
        return np.ones(len(x))

    def slope(self, x: Array, z: Array, column: int) -> Array:
        unit, gamma = self._unit
        x, z, unit = unit * x, unit * z, np.broadcast_to(unit, x.shape[1])
        return 2 * unit[column] * (self.profile(square_distance(x, z), gamma, 1) * (x[:, column, None] - z[:, column]))

    def cross_slope(self, x: Array, z: Array, first: int, second: int) -> Array:
        unit, gamma = self._unit
        x, z, unit = unit * x, unit * z, np.broadcast_to(unit, x.shape[1])
        s = square_distance(x, z)
        apart = (x[:, first, None] - z[:, first]) * (x[:, second, None] - z[:, second])
        return (
            unit[first]
            * unit[second]
            * (-2 * self.profile(s, gamma, 1) * (first == second) - 4 * self.profile(s, gamma, 2) * apart)
        )


def square_distance(x: Array, z: Array) -> Array:
    """‖x_i - z_j‖², shape (m, p)."""
    total = np.square(x[:, :1] - z[:, 0])
    for column in range(1, x.shape[1]):
        total += np.square(x[:, column, None] - z[:, column])
    return total
