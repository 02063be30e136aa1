"""The term `ridge`."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.terms import Term, check_parameter
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import real_array


@dataclass(frozen=True)
class Ridge(Term):
    """weight ‖w‖²: the squared RKHS norm αᵀKα of a kernel fit, or the squared norm of the coefficients of a linear
    design.

    weight ≥ 0; an intercept is not penalised.   (Assignment 2a: λ αᵀKα; Hoerl and Kennard 1970.)
    """

    name: ClassVar[str] = "ridge"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_parameter(self.name, "weight", self.weight, low=0)

    def value(self, z: ArrayLike) -> float:
        return self.weight * float(np.square(real_array("z", z)).sum())

    def prox(self, v: ArrayLike, step: float) -> Array:
        check_parameter(self.name, "step", step, low=0, strict=True)
        return real_array("v", v) / (1 + 2 * step * self.weight)

    def conjugate(self, u: ArrayLike) -> float:
        square = float(np.square(real_array("u", u)).sum())
        if self.weight == 0:
            return 0.0 if square == 0 else float("inf")
        return square / (4 * self.weight)

    def model(self, cp: Any, z: Any) -> Any:
        return self.weight * cp.square(z)
