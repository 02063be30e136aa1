"""The term `coef_bounds`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hw4opt.terms import Coefficients, Interval


@dataclass(frozen=True)
class CoefBounds(Interval):
    """lower ≤ w_j ≤ upper for every coefficient of a linear design, intercept excluded;  z = w.   Either bound left
    out.

    Units of y over those of the raw columns, also where the columns are standardised.   (Stark and Parker 1995: bounded
    least squares.)
    """

    name: ClassVar[str] = "coef_bounds"
    usage: ClassVar[str] = "coef_bounds:lower=0,upper=1 (coefficients of a linear design)"

    @property
    def acts(self) -> Coefficients:
        return Coefficients(raw=True)
