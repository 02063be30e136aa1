"""The kernel `polynomial`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from hw4opt.kernels import Kernel
from hw4opt.terms import check_parameter, check_whole
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Polynomial(Kernel):
    """(gamma ⟨x, z⟩ + coef0)^degree,  degree a whole number from 1, coef0 ≥ 0."""

    name: ClassVar[str] = "polynomial"
    degree: int = 3
    coef0: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parameter(self.name, "coef0", self.coef0, low=0)
        check_whole(self.name, "degree", self.degree, low=1, high=50)

    @property
    def length(self) -> float:
        """Infinite: a polynomial kernel has no length."""
        return math.inf

    @property
    def polynomial_degree(self) -> int:
        """The degree."""
        return int(self.degree)

    def _power(self, x: Array, z: Array, drop: int) -> Array:
        """degree!/(degree - drop)! · gamma^drop · (gamma ⟨x, z⟩ + coef0)^(degree - drop)."""
        degree = int(self.degree)
        if drop > degree:
            return np.zeros((len(x), len(z)))
        with np.errstate(over="ignore", invalid="ignore"):  # infinite values are refused where the basis is built
            return (
                math.perm(degree, drop)
                * np.float64(self.rate) ** drop
                * (self.rate * (x @ z.T) + self.coef0) ** (degree - drop)
            )

    def gram(self, x: Array, z: Array) -> Array:
        return self._power(x, z, 0)

    def diagonal(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return (self.rate * np.square(x).sum(axis=1) + self.coef0) ** int(self.degree)

    def slope(self, x: Array, z: Array, column: int) -> Array:
        return self._power(x, z, 1) * z[:, column]

    def cross_slope(self, x: Array, z: Array, first: int, second: int) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._power(x, z, 1) * (first == second) + self._power(x, z, 2) * z[:, first] * x[:, second, None]

    @property
    def expansion(self) -> list[Fraction]:
        """By the binomial theorem."""
        degree, gamma, coef0 = int(self.degree), Fraction(self.rate), Fraction(self.coef0)
        return [math.comb(degree, j) * gamma**j * coef0 ** (degree - j) for j in range(degree + 1)]

    @property
    def functional_order(self) -> int:
        """2, for convex functions."""
        return 2

    def derivative(self, x: Array, z: Array, first: int, second: int) -> Array:
        """By the rule of Leibniz, from ∂^second/∂z^second k = degree!/(degree - second)! gamma^second x^second (…)."""
        total = np.zeros((len(x), len(z)), dtype=np.result_type(x, z))
        for inner in range(min(first, second) + 1):  # the number of derivatives that x^second takes
            outer = first - inner
            factor = math.comb(first, inner) * math.perm(second, inner)
            total += factor * x ** (second - inner) * z[:, 0] ** outer * self._power(x, z, second + outer)
        return total
