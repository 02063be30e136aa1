"""Base classes of terms.

A term is a closed convex function f of a vector z, in four forms: `value`, `prox`, `conjugate`, and `model`, its
cvxpy expression, written independently so that it checks the other three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.terms.acts import Acts, Values
from hw4opt.validation.arrays import Array

EPS = float(np.finfo(float).eps)
FITTED_VALUES = Values()
AUTO = "auto"  # in place of a number: the parameter is taken from the data


class Term(ABC):
    """A convex function of a vector: a frozen dataclass whose fields are its parameters.

    name     in messages, hyper-parameters and model files; for the classes in this package's folders, the name of the
             file and on the command line
    usage    its form in help texts; "": the name with the parameters' defaults
    """

    name: ClassVar[str] = ""
    usage: ClassVar[str] = ""

    @property
    def label(self) -> str:
        """The name that is unique in a problem: the class's name, and the x column if it acts along one of several."""
        return self.name + self.acts.suffix

    @property
    def wording(self) -> str:
        """Its name in messages: the label, or a description for terms that no user gave."""
        return self.label

    @property
    def acts(self) -> Acts:
        """The linear functionals of the fit that the term acts on."""
        return FITTED_VALUES

    @abstractmethod
    def value(self, z: ArrayLike) -> float:
        """f(z), a sum over rows; infinite outside the domain."""

    @abstractmethod
    def prox(self, v: ArrayLike, step: float) -> Array:
        """argmin over z of f(z) + ‖z - v‖²/(2 step), shape of `v`."""

    @abstractmethod
    def conjugate(self, u: ArrayLike) -> float:
        """f*(u) = sup over z of ⟨u, z⟩ - f(z); infinite outside the domain."""

    @abstractmethod
    def model(self, cp: Any, z: Any) -> Any:
        """The cvxpy expression, one entry per row (`cp` is the cvxpy module); for a constraint, the list of cvxpy
        constraints."""

    def in_units(self, size: float) -> tuple[float, Term] | None:
        """(c, g) with f(size z) = c g(z), g of the same kind, used to write a cvxpy model in units of its data.

        None: not known.
        """
        return None


class Loss(Term):
    """A term of the data. Residual losses act on z = fitted - y; those with `targets` on z = fitted and y apart."""

    targets: ClassVar[bool] = False
    automatic: ClassVar[tuple[str, ...]] = ()  # parameters that may be "auto" until a problem is made

    def settle(self, noise: Callable[[], float]) -> Loss:
        """The loss with every parameter as a number; noise() gives the size of the noise in y, in units of y."""
        return self

    @property
    def curves(self) -> tuple[Loss, ...]:
        """The losses of the curves that are fitted together, the lowest curve first; for most losses, only itself.

        The functions of a loss of several curves take z of shape (curves · n,), curve after curve.
        """
        return (self,)

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of several curves; () for one."""
        return ()

    @abstractmethod
    def pointwise(self, z: ArrayLike, y: ArrayLike = 0.0) -> Array:
        """The loss of each row; `y` is read only by losses with `targets`."""
