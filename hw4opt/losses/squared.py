"""The term `squared`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Loss, PiecewiseQuadratic, Table


@dataclass(frozen=True)
class Squared(PiecewiseQuadratic, Loss):
    """Σ z²,  z = fitted - y of shape (n,), any real.   No factor ½.   (Assignment 2a.)"""

    name: ClassVar[str] = "squared"

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(quadratic=0.5),)

    def in_units(self, size: float) -> tuple[float, Squared]:
        return size * size, self

    def model(self, cp: Any, z: Any) -> Any:
        return cp.square(z)
