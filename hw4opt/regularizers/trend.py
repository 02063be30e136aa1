"""The term `trend`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Differences, PiecewiseQuadratic, Table, check_parameter, check_whole


@dataclass(frozen=True)
class Trend(PiecewiseQuadratic):
    """weight ‖D^order f‖₁ over the distinct sorted x, D^order by divided differences.

    Order 1 is total variation, order 2 Σ |changes of slope|;  z = D^order f;  weight ≥ 0.   (Kim et al. 2009;
    Tibshirani 2014.)
    """

    name: ClassVar[str] = "trend"
    weight: float = 1.0
    order: int = 2

    def __post_init__(self) -> None:
        check_parameter(self.name, "weight", self.weight, low=0)
        check_whole(self.name, "order", self.order, low=1, high=4)

    @property
    def acts(self) -> Differences:
        return Differences(int(self.order))

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(low=-1, high=1).times(self.weight),)

    def in_units(self, size: float) -> tuple[float, Trend]:
        return size, self

    def model(self, cp: Any, z: Any) -> Any:
        return self.weight * cp.abs(z)
