"""The kernel `rbf`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from hw4opt.kernels import Radial
from hw4opt.terms.base import Array

HERMITE_GRID = np.linspace(0, 9, 4_001)  # |t| at which the largest values are searched
HERMITE_GRID.setflags(write=False)
BETWEEN_GRID = 1.01  # factor by which they may be larger between these points


@dataclass(frozen=True)
class RBF(Radial):
    """exp(-gamma ‖x - z‖²), or exp(-Σ_j gamma_j (x_j - z_j)²).   (The assignment's kernel.)"""

    name: ClassVar[str] = "rbf"

    def profile(self, s: Array, gamma: float, order: int) -> Array:
        value = np.multiply(s, -gamma)
        np.exp(value, out=value)
        return (-gamma) ** order * value if order else value

    @property
    def functional_order(self) -> int:
        """2, for convex functions."""
        return 2

    def along(self, distance: Array, highest: int) -> list[Array]:
        """Polynomials of Hermite times k: φ_{m+1} = -2 gamma (d φ_m + m φ_{m-1})."""
        gamma = distance.dtype.type(self.rate)
        found = [np.exp(-gamma * distance * distance)]
        for order in range(highest):
            inner = distance * found[order]
            if order:
                inner += order * found[order - 1]
            inner *= -2 * gamma
            found.append(inner)
        return found

    def derivative_bound(self, order: int) -> float:
        """√((2 order)!/order!) gamma^(order/2)."""
        return math.sqrt(math.factorial(2 * order) / math.factorial(order)) * self.rate ** (order / 2)

    def largest(self, order: int) -> tuple[float, float]:
        size, rounding = _largest(order)
        return size * self.rate ** (order / 2), rounding * self.rate ** (order / 2)


@cache
def _largest(order: int) -> tuple[float, float]:
    """The bounds for gamma = 1, from the recursion with every sign positive.

    The error of a distance, a product of three and an exponential (4 ulp) is 4 t² + 4 epsilons, and 6 more per step.
    """
    t, sizes = HERMITE_GRID, [np.exp(-np.square(HERMITE_GRID))]
    for step in range(order):
        sizes.append(2 * (t * sizes[step] + (step * sizes[step - 1] if step else 0)))
    rounding = (4 * np.square(t) + 4 + 6 * order) * sizes[-1]
    return BETWEEN_GRID * float(sizes[-1].max()), BETWEEN_GRID * float(rounding.max())
