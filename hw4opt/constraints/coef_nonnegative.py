"""The term `coef_nonnegative`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Coefficients, PiecewiseQuadratic, Table


@dataclass(frozen=True)
class CoefNonnegative(PiecewiseQuadratic):
    """w_j ≥ 0 for every coefficient of a linear design, intercept excluded;  z = w ≥ 0.   (Lawson and Hanson 1974.)"""

    name: ClassVar[str] = "coef_nonnegative"
    usage: ClassVar[str] = "coef_nonnegative (coefficients of a linear design)"

    @property
    def acts(self) -> Coefficients:
        return Coefficients(raw=True)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(high=0),)

    def in_units(self, size: float) -> tuple[float, CoefNonnegative]:
        return 1.0, self

    def model(self, cp: Any, z: Any) -> Any:
        return [z >= 0]
