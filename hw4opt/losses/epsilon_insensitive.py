"""The term `epsilon_insensitive`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Loss, PiecewiseQuadratic, Table, check_parameter


@dataclass(frozen=True)
class EpsilonInsensitive(PiecewiseQuadratic, Loss):
    """Σ max(|z| - epsilon, 0),  z = fitted - y of shape (n,);  epsilon ≥ 0 in units of y.   (Vapnik 1995; support
    vector regression.)"""

    name: ClassVar[str] = "epsilon_insensitive"
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_parameter(self.name, "epsilon", self.epsilon, low=0)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(linear=self.epsilon, low=0, high=1), Table(linear=-self.epsilon, low=-1, high=0))

    def in_units(self, size: float) -> tuple[float, EpsilonInsensitive]:
        return size, EpsilonInsensitive(self.epsilon / size)

    def model(self, cp: Any, z: Any) -> Any:
        return cp.pos(cp.abs(z) - self.epsilon)
