"""The term `increasing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Differences, Shape, Slope, Table, check_whole


@dataclass(frozen=True)
class Increasing(Shape):
    """f_{j+1} ≥ f_j over the distinct sorted x: z = D f ≥ 0. With `column`, of several: z = ∂f/∂x_column ≥ 0 at the
    data rows. With `everywhere`: f' ≥ 0 at every x, too.   (Assignment 2d.)
    """

    name: ClassVar[str] = "increasing"
    usage: ClassVar[str] = "increasing (of several x: increasing:column=COL)"
    derivative: ClassVar[int] = 1

    column: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.column is not None:
            check_whole(self.name, "column", self.column, low=0, high=1_000_000)

    @property
    def acts(self) -> Differences | Slope:
        return Differences(1) if self.column is None else Slope(self.column)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(high=0),)

    def in_units(self, size: float) -> tuple[float, Increasing]:
        return 1.0, self

    def model(self, cp: Any, z: Any) -> Any:
        return [z >= 0]
