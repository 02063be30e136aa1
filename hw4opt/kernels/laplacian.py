"""The kernel `laplacian`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt.kernels._decaying import Decaying
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Laplacian(Decaying):
    """exp(-gamma ‖x - z‖₁), or exp(-Σ_j gamma_j |x_j - z_j|);  gamma in units of 1/x."""

    name: ClassVar[str] = "laplacian"
    gamma_power: ClassVar[int] = 1
    gamma_by_column: ClassVar[bool] = True

    def gram(self, x: Array, z: Array) -> Array:
        rate = self.rate
        if self.gammas:
            x, z = (one * (np.array(self.gammas) / rate) for one in (x, z))
        total = np.abs(x[:, :1] - z[:, 0])
        for column in range(1, x.shape[1]):
            total += np.abs(x[:, column, None] - z[:, column])
        return np.exp(-rate * total)

    def diagonal(self, x: Array) -> Array:
        return np.ones(len(x))

    @property
    def functional_order(self) -> int:
        """0: f may have kinks."""
        return 0

    def decay(self, kind: type[np.floating]) -> tuple[np.floating, Array]:
        return kind(self.rate), np.ones(1, dtype=kind)
