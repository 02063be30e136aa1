"""The term `quantile`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hw4opt.terms import Loss, PiecewiseQuadratic, Table, check_parameter


@dataclass(frozen=True)
class Quantile(PiecewiseQuadratic, Loss):
    """Σ max(-tau z, (1 - tau) z),  z = fitted - y of shape (n,): about a share tau of the y lie below the fit.

    0 < tau < 1; tau = ½ is half the absolute loss.   (Koenker and Bassett 1978.)
    """

    name: ClassVar[str] = "quantile"
    tau: float = 0.5

    def __post_init__(self) -> None:
        check_parameter(self.name, "tau", self.tau, low=0, high=1, strict=True)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table(low=-self.tau, high=1 - self.tau),)

    def in_units(self, size: float) -> tuple[float, Quantile]:
        return size, self

    def model(self, cp: Any, z: Any) -> Any:
        return cp.maximum(-self.tau * z, (1 - self.tau) * z)
