"""The term `quantile`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, shown
from hw4opt.terms import Loss, PiecewiseQuadratic, Table, check_parameter
from hw4opt.validation.arrays import Array, real_array
from hw4opt.validation.frozen import set_fields


@dataclass(frozen=True)
class Quantile(PiecewiseQuadratic, Loss):
    """Σ max(-tau z, (1 - tau) z),  z = fitted - y of shape (n,): the tau-quantile, a share tau of the y lie below it.

    0 < tau < 1; tau = ½ is half the absolute loss.   (Koenker and Bassett 1978.)

    Several levels, as in (0.05, 0.5, 0.95), are several curves, fitted together: the sum of their losses, z of shape
    (levels · n,), curve after curve. The curve of a higher level does not lie below that of a lower one at the data
    rows; between them this is not guaranteed. The ridge, regularizers and constraints apply to every curve separately.
    Raises `InputError` for levels that do not increase.
    """

    name: ClassVar[str] = "quantile"
    usage: ClassVar[str] = "quantile:tau=0.5 (several curves: tau=0.05;0.5;0.95)"
    tau: float | tuple[float, ...] = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.tau, tuple | list):
            check_parameter(self.name, "tau", self.tau, low=0, high=1, strict=True)
            return
        for level in self.tau:
            check_parameter(self.name, "tau", level, low=0, high=1, strict=True)
        if len(self.tau) < 2 or any(one >= other for one, other in pairwise(self.tau)):
            raise InputError(f"quantile: tau is {shown(self.tau)}; give a number, or two or more increasing levels")
        set_fields(self, tau=tuple(map(float, self.tau)))

    @property
    def curves(self) -> tuple[Quantile, ...]:
        return tuple(map(Quantile, self.tau)) if isinstance(self.tau, tuple) else (self,)

    @property
    def levels(self) -> tuple[float, ...]:
        return self.tau if isinstance(self.tau, tuple) else ()

    @property
    def tables(self) -> tuple[Table, ...]:
        if isinstance(self.tau, tuple):
            raise InputError(f"{shown(self)} has one table per level; take those of its curves")
        return (Table(low=-self.tau, high=1 - self.tau),)

    def _levels(self, size: int) -> Array | float:
        """The level of every entry of a z of that size; the number if there is only one."""
        if not isinstance(self.tau, tuple):
            return self.tau
        if size % len(self.tau):
            raise InputError(f"quantile: z has {size} rows; {len(self.tau)} levels need one curve each")
        return np.repeat(self.tau, size // len(self.tau))

    def in_units(self, size: float) -> tuple[float, Quantile]:
        return size, self

    def pointwise(self, z: ArrayLike, y: ArrayLike = 0.0) -> Array:
        z = real_array("z", z)
        tau = self._levels(z.shape[-1] if z.ndim else 1)
        return np.maximum(-tau * z, (1 - tau) * z)

    def prox(self, v: ArrayLike, step: float) -> Array:
        if not isinstance(self.tau, tuple):
            return super().prox(v, step)
        parts = np.split(real_array("v", v), len(self.tau))
        return np.concatenate([one.prox(part, step) for one, part in zip(self.curves, parts, strict=True)])

    def conjugate(self, u: ArrayLike) -> float:
        if not isinstance(self.tau, tuple):
            return super().conjugate(u)
        parts = np.split(real_array("u", u), len(self.tau))
        return sum(one.conjugate(part) for one, part in zip(self.curves, parts, strict=True))

    def model(self, cp: Any, z: Any) -> Any:
        tau = self._levels(z.shape[0])
        return cp.maximum(cp.multiply(-tau, z), cp.multiply(1 - tau, z))
