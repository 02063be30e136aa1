"""The term `nonnegative`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Shape, Table


@dataclass(frozen=True)
class Nonnegative(Shape):
    """f(x_i) ≥ 0 at every data row:  z = f ≥ 0. With `everywhere`: at every x, too."""

    name: ClassVar[str] = "nonnegative"

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(high=0),)

    def in_units(self, size: float) -> tuple[float, Nonnegative]:
        return 1.0, self

    def model(self, cp: Any, z: Any) -> Any:
        return [z >= 0]
