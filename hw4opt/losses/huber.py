"""The term `huber`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hw4opt.terms import Loss, PiecewiseQuadratic, Table, check_parameter


@dataclass(frozen=True)
class Huber(PiecewiseQuadratic, Loss):
    """Σ h(z),  h(z) = z² if |z| ≤ delta, else 2 delta |z| - delta²;  z = fitted - y of shape (n,).

    cvxpy's scale, twice scikit-learn's; delta > 0 in units of y.   (Huber 1964; assignment 2b has delta = 1.)
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_parameter("huber", "delta", self.delta, low=0, strict=True)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(quadratic=0.5, low=-2 * self.delta, high=2 * self.delta),)

    def in_units(self, size: float) -> tuple[float, Huber]:
        return size * size, Huber(self.delta / size)

    def model(self, cp: Any, z: Any) -> Any:
        return cp.huber(z, self.delta)
