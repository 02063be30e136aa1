"""The base class of kernels.

Points are rows of (m, d) arrays, and gamma is in units of the raw x.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from hw4opt.errors import InputError, RefusedError, listed
from hw4opt.terms import check_parameter, registry
from hw4opt.terms.base import Array

VALUE = -1  # the "column" of an evaluation functional; others name the column that is differentiated
CURVATURE = -2  # that of a second derivative along the only column
FUNCTIONAL_OF_ORDER = (VALUE, 0, CURVATURE)  # by the order of a derivative along the only column


@dataclass(frozen=True)
class Kernel(ABC):
    """A positive semidefinite kernel; raises `InputError` for gamma ≤ 0.

    gamma may be a sequence, one per column of x in their order, where the class has `gamma_by_column`: x_j is then
    measured in units of gamma_j^(-1/gamma_power), and gamma is 1.

    name          in messages, hyper-parameters and model files; for the classes in this folder, the name of the file
                  and on the command line
    usage         its form in help texts; "": the name with the parameters' defaults
    gamma_power   gamma is in units of 1/x^gamma_power
    has_gamma     whether gamma is one of its hyper-parameters
    """

    name: ClassVar[str] = ""
    usage: ClassVar[str] = ""
    gamma_power: ClassVar[int] = 2
    gamma_by_column: ClassVar[bool] = False
    has_gamma: ClassVar[bool] = True

    gamma: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        given: Any = self.gamma
        several = isinstance(given, tuple | list) or (isinstance(given, np.ndarray) and given.ndim > 0)
        if several and not self.gamma_by_column:
            able = listed([name for name, kind in registry.classes("kernel").items() if kind.gamma_by_column])
            raise InputError(f"the {self.name} kernel takes one gamma; one gamma per column is for {able}")
        for gamma in given if several else [given]:
            check_parameter(self.name, "gamma", gamma, low=0, strict=True)
        if several and not len(given):
            raise InputError(f"{self.name}: gamma holds no number; give one, or one per column")
        if several:
            gammas = list(map(float, given))
            vars(self).update(gamma=tuple(gammas) if len(gammas) > 1 else gammas[0])

    @property
    def rate(self) -> float:
        """gamma, or the largest of several."""
        return max(self.gamma) if isinstance(self.gamma, tuple) else self.gamma

    @property
    def gammas(self) -> tuple[float, ...]:
        """One gamma per column; () if there is one for all."""
        return self.gamma if isinstance(self.gamma, tuple) else ()

    @property
    def label(self) -> str:
        """The prefix of its hyper-parameters except gamma: the name."""
        return self.name

    @property
    def length(self) -> float:
        """The distance in x over which k(x, ·) varies; infinite for kernels without a length."""
        return float(self.rate ** (-1.0 / self.gamma_power))

    @property
    def polynomial_degree(self) -> int | None:
        """The degree of the polynomials that k(x, ·) spans; None if they are not polynomials."""
        return None

    @property
    def expansion(self) -> list[Fraction] | None:
        """c_0, c_1, … of k = Σ_j c_j (x z)^j for one column; None if k is not such a polynomial."""
        return None

    @property
    def functional_order(self) -> int | None:
        """The highest derivative, for one column, that a shape at every x may constrain; None if nothing can be
        proven."""
        return None

    @property
    def is_differentiable(self) -> bool:
        """Whether the class gives derivatives."""
        return type(self).slope is not Kernel.slope

    @abstractmethod
    def gram(self, x: Array, z: Array) -> Array:
        """k(x_i, z_j), shape (m, p)."""

    @abstractmethod
    def diagonal(self, x: Array) -> Array:
        """k(x_i, x_i), shape (m,)."""

    def slope(self, x: Array, z: Array, column: int) -> Array:
        """∂k(x_i, z_j)/∂x_column, shape (m, p); raises `RefusedError` for a kernel without derivative."""
        raise self._no_derivative()

    def cross_slope(self, x: Array, z: Array, first: int, second: int) -> Array:
        """∂²k(x_i, z_j)/∂x_first ∂z_second, shape (m, p)."""
        raise self._no_derivative()

    def along(self, distance: Array, highest: int) -> list[Array]:
        """The derivatives of k by a signed distance x - z of one column, of order 0 … highest, in its type; raises
        `RefusedError` for a kernel without."""
        raise self._no_derivative()

    def derivative(self, x: Array, z: Array, first: int, second: int) -> Array:
        """∂^first/∂x^first ∂^second/∂z^second k(x_i, z_j) of points of one column, shape (m, p)."""
        if first == second == 0:
            return self.gram(x, z)
        return (-1) ** second * self.along(x - z[:, 0], first + second)[-1]

    def derivative_bound(self, order: int) -> float:
        """The largest |f^(order)(x)| of functions of one column and norm 1: √(∂^order ∂^order k(x, x))."""
        raise self._no_derivative()

    def largest(self, order: int) -> tuple[float, float]:
        """Upper bounds of the order-th derivative in `along`, and of its rounding error in units of the type's
        epsilon."""
        raise self._no_derivative()

    def between(self, x: Array, first: int, z: Array, second: int) -> Array:
        """The Gram block of functionals: values (column `VALUE`), slopes along a column, or second derivatives
        (`CURVATURE`)."""
        if CURVATURE in (first, second):
            return self.derivative(x, z, FUNCTIONAL_OF_ORDER.index(first), FUNCTIONAL_OF_ORDER.index(second))
        if first == VALUE:
            return self.gram(x, z) if second == VALUE else self.slope(z, x, second).T
        return self.slope(x, z, first) if second == VALUE else self.cross_slope(x, z, first, second)

    def _no_derivative(self) -> RefusedError:
        *others, last = (name for name, kind in registry.classes("kernel").items() if kind.slope is not Kernel.slope)
        needed = f"a slope constraint needs {', '.join(others)} or {last}"
        return RefusedError(f"the {self.name} kernel has no derivative; {needed}")
