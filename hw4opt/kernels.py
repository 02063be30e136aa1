"""Kernels k(x, z) and their derivatives.

Points are rows of (m, d) arrays. gamma is in units of 1/x² (1/x for the laplacian), for the raw x.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt.errors import RefusedError, UnknownNameError
from hw4opt.terms import check_parameter, check_whole
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked

FAR = 1e200  # exp(-√FAR) is 0, and √FAR times it, too: ∞ times it would not be
VALUE = -1  # the "column" of an evaluation functional; others name the column that is differentiated


def _square_distance(x: Array, z: Array) -> Array:
    total = np.square(x[:, :1] - z[:, 0])
    for column in range(1, x.shape[1]):
        total += np.square(x[:, column, None] - z[:, column])
    return total


@dataclass(frozen=True)
class Kernel(ABC):
    """A positive semidefinite kernel; raises `InputError` for gamma ≤ 0."""

    gamma: float = 1.0
    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_parameter(self.name, "gamma", self.gamma, low=0, strict=True)

    @property
    def label(self) -> str:
        """What its hyper-parameters go by besides gamma: the name."""
        return self.name

    @abstractmethod
    def gram(self, x: Array, z: Array) -> Array:
        """k(x_i, z_j), shape (m, p)."""

    @abstractmethod
    def diagonal(self, x: Array) -> Array:
        """k(x_i, x_i), shape (m,)."""

    def slope(self, x: Array, z: Array, column: int) -> Array:
        """∂k(x_i, z_j)/∂x_column, shape (m, p); raises `RefusedError` for a kernel without derivative."""
        raise RefusedError(f"the {self.name} kernel has no derivative; a slope constraint needs rbf, matern32, matern52 or polynomial")

    def cross_slope(self, x: Array, z: Array, first: int, second: int) -> Array:
        """∂²k(x_i, z_j)/∂x_first ∂z_second, shape (m, p)."""
        raise RefusedError(f"the {self.name} kernel has no derivative; a slope constraint needs rbf, matern32, matern52 or polynomial")

    def between(self, x: Array, first: int, z: Array, second: int) -> Array:
        """The Gram block of functionals: values (column `VALUE`) or slopes along a column."""
        if first == VALUE:
            return self.gram(x, z) if second == VALUE else self.slope(z, x, second).T
        return self.slope(x, z, first) if second == VALUE else self.cross_slope(x, z, first, second)


class _Radial(Kernel):
    """k = φ(s), s = ‖x - z‖².   x and z are measured in 1/unit, where gamma is near 1: squares of 1e-200 or 1e200 would be 0 or inf."""

    @property
    def _unit(self) -> tuple[float, float]:
        """(unit, gamma/unit²); a power of two, so that nothing is rounded."""
        _, exponent = math.frexp(self.gamma)
        unit = math.ldexp(1.0, exponent // 2)
        return unit, self.gamma / unit / unit

    @abstractmethod
    def _profile(self, s: Array, gamma: float, order: int) -> Array:
        """φ, φ' or φ'' for that gamma."""

    def gram(self, x: Array, z: Array) -> Array:
        unit, gamma = self._unit
        with np.errstate(over="ignore"):  # what is too far apart to be squared is unrelated
            return self._profile(_square_distance(unit * x, unit * z), gamma, 0)

    def diagonal(self, x: Array) -> Array:
        return np.ones(len(x))

    def slope(self, x: Array, z: Array, column: int) -> Array:
        unit, gamma = self._unit
        x, z = unit * x, unit * z
        return 2 * unit * (self._profile(_square_distance(x, z), gamma, 1) * (x[:, column, None] - z[:, column]))

    def cross_slope(self, x: Array, z: Array, first: int, second: int) -> Array:
        unit, gamma = self._unit
        x, z = unit * x, unit * z
        s = _square_distance(x, z)
        apart = (x[:, first, None] - z[:, first]) * (x[:, second, None] - z[:, second])
        return unit * unit * (-2 * self._profile(s, gamma, 1) * (first == second) - 4 * self._profile(s, gamma, 2) * apart)


@dataclass(frozen=True)
class RBF(_Radial):
    """exp(-gamma ‖x - z‖²).   (The assignment's kernel.)"""

    name: ClassVar[str] = "rbf"

    def _profile(self, s: Array, gamma: float, order: int) -> Array:
        value = np.multiply(s, -gamma)
        np.exp(value, out=value)
        return (-gamma) ** order * value if order else value


@dataclass(frozen=True)
class Matern32(_Radial):
    """(1 + t) exp(-t),  t = √3 ‖x - z‖/length,  length = 1/√(2 gamma).   (Rasmussen and Williams 2006, 4.17.)"""

    name: ClassVar[str] = "matern32"

    def _profile(self, s: Array, gamma: float, order: int) -> Array:
        t = np.sqrt(6 * gamma * np.minimum(s, FAR))
        decay = np.exp(-t)
        if order == 0:
            return (1 + t) * decay
        return -3 * gamma * decay if order == 1 else 9 * gamma**2 * decay / np.maximum(t, 1e-150)


@dataclass(frozen=True)
class Matern52(_Radial):
    """(1 + t + t²/3) exp(-t),  t = √5 ‖x - z‖/length,  length = 1/√(2 gamma).   (Rasmussen and Williams 2006, 4.17.)"""

    name: ClassVar[str] = "matern52"

    def _profile(self, s: Array, gamma: float, order: int) -> Array:
        t = np.sqrt(10 * gamma * np.minimum(s, FAR))
        decay = np.exp(-t)
        if order == 0:
            return (1 + t + t * t / 3) * decay
        return -5 / 3 * gamma * (1 + t) * decay if order == 1 else 25 / 3 * gamma**2 * decay


@dataclass(frozen=True)
class Laplacian(Kernel):
    """exp(-gamma ‖x - z‖₁)."""

    name: ClassVar[str] = "laplacian"

    def gram(self, x: Array, z: Array) -> Array:
        total = np.abs(x[:, :1] - z[:, 0])
        for column in range(1, x.shape[1]):
            total += np.abs(x[:, column, None] - z[:, column])
        return np.exp(-self.gamma * total)

    def diagonal(self, x: Array) -> Array:
        return np.ones(len(x))


@dataclass(frozen=True)
class Polynomial(Kernel):
    """(gamma ⟨x, z⟩ + coef0)^degree,  degree a whole number from 1, coef0 ≥ 0."""

    degree: int = 3
    coef0: float = 1.0
    name: ClassVar[str] = "polynomial"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parameter(self.name, "coef0", self.coef0, low=0)
        check_whole(self.name, "degree", self.degree, low=1, high=50)

    def _power(self, x: Array, z: Array, drop: int) -> Array:
        """degree!/(degree - drop)! · gamma^drop · (gamma ⟨x, z⟩ + coef0)^(degree - drop)."""
        degree = int(self.degree)
        if drop > degree:
            return np.zeros((len(x), len(z)))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where the basis is built
            return math.perm(degree, drop) * np.float64(self.gamma) ** drop * (self.gamma * (x @ z.T) + self.coef0) ** (degree - drop)

    def gram(self, x: Array, z: Array) -> Array:
        return self._power(x, z, 0)

    def diagonal(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return (self.gamma * np.square(x).sum(axis=1) + self.coef0) ** int(self.degree)

    def slope(self, x: Array, z: Array, column: int) -> Array:
        return self._power(x, z, 1) * z[:, column]

    def cross_slope(self, x: Array, z: Array, first: int, second: int) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._power(x, z, 1) * (first == second) + self._power(x, z, 2) * z[:, first] * x[:, second, None]


@dataclass(frozen=True)
class Precomputed(Kernel):
    """The problem's x *is* the Gram matrix (n, n); new points are given as their kernel rows against the training points."""

    name: ClassVar[str] = "precomputed"

    def gram(self, x: Array, z: Array) -> Array:
        raise RefusedError("a precomputed kernel cannot be evaluated at new pairs of points")

    def diagonal(self, x: Array) -> Array:
        if x.shape[0] != x.shape[1]:
            raise RefusedError("a precomputed kernel does not know k(x, x) at new points")
        return np.diagonal(x).copy()


KERNELS: dict[str, type[Kernel]] = {kernel.name: kernel for kernel in (RBF, Laplacian, Matern32, Matern52, Polynomial, Precomputed)}


@checked
def find_kernel(name: str, **given: float) -> Kernel:
    """The kernel of that name; raises `UnknownNameError` for a name or parameter that does not exist."""
    if name not in KERNELS:
        raise UnknownNameError("kernel", name, KERNELS)
    known = [field.name for field in dataclasses.fields(KERNELS[name])]
    for parameter in given:
        if parameter not in known:
            raise UnknownNameError(f"parameter of {name}", parameter, known)
    return KERNELS[name](**given)
