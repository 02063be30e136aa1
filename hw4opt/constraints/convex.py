"""The term `convex`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Differences, Shape, Table


@dataclass(frozen=True)
class Convex(Shape):
    """Slopes between neighbouring distinct x do not fall: z = D² f ≥ 0. With `everywhere`: f'' ≥ 0 at every x, too.
    (Hildreth 1954.)
    """

    name: ClassVar[str] = "convex"
    derivative: ClassVar[int] = 2

    @property
    def acts(self) -> Differences:
        return Differences(2)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(high=0),)

    def in_units(self, size: float) -> tuple[float, Convex]:
        return 1.0, self

    def model(self, cp: Any, z: Any) -> Any:
        return [z >= 0]
