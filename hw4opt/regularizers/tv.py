"""The term `tv`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Differences, PiecewiseQuadratic, Table, check_parameter


@dataclass(frozen=True)
class TotalVariation(PiecewiseQuadratic):
    """weight ‖D f‖₁ = weight Σ |f_{j+1} - f_j| over the distinct sorted x;  z = D f.   weight ≥ 0.   (Assignment 2c;
    Rudin et al. 1992.)"""

    name: ClassVar[str] = "tv"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_parameter(self.name, "weight", self.weight, low=0)

    @property
    def acts(self) -> Differences:
        return Differences(1)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(low=-1, high=1).times(self.weight),)

    def in_units(self, size: float) -> tuple[float, TotalVariation]:
        return size, self

    def model(self, cp: Any, z: Any) -> Any:
        return self.weight * cp.abs(z)
