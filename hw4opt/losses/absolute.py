"""The term `absolute`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Loss, PiecewiseQuadratic, Table


@dataclass(frozen=True)
class Absolute(PiecewiseQuadratic, Loss):
    """Σ |z|,  z = fitted - y of shape (n,): least absolute deviations, the conditional median.   (Koenker and Bassett
    1978.)"""

    name: ClassVar[str] = "absolute"

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(low=-1, high=1),)

    def in_units(self, size: float) -> tuple[float, Absolute]:
        return size, self

    def model(self, cp: Any, z: Any) -> Any:
        return cp.abs(z)
