"""The term `l1`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Coefficients, PiecewiseQuadratic, Table, check_parameter


@dataclass(frozen=True)
class L1(PiecewiseQuadratic):
    """weight ‖w‖₁ of the coefficients of a linear design, intercept excluded;  z = w.   weight ≥ 0.   (Tibshirani 1996,
    the lasso.)"""

    name: ClassVar[str] = "l1"
    usage: ClassVar[str] = "l1 (linear design)"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_parameter(self.name, "weight", self.weight, low=0)

    @property
    def acts(self) -> Coefficients:
        return Coefficients()

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(low=-1, high=1).times(self.weight),)

    def in_units(self, size: float) -> tuple[float, L1]:
        return size, self

    def model(self, cp: Any, z: Any) -> Any:
        return self.weight * cp.abs(z)
