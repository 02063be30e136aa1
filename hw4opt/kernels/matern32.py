"""The kernel `matern32`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt.kernels._decaying import Decaying
from hw4opt.kernels._radial import LARGEST_SQUARE, Radial
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Matern32(Decaying, Radial):
    """(1 + t) exp(-t),  t = √3 ‖x - z‖/length,  length = 1/√(2 gamma).   (Rasmussen and Williams 2006, 4.17.)"""

    name: ClassVar[str] = "matern32"

    def profile(self, s: Array, gamma: float, order: int) -> Array:
        t = np.sqrt(6 * gamma * np.minimum(s, LARGEST_SQUARE))
        decay = np.exp(-t)
        if order == 0:
            return (1 + t) * decay
        return -3 * gamma * decay if order == 1 else 9 * gamma**2 * decay / np.maximum(t, 1e-150)

    @property
    def functional_order(self) -> int:
        """1: k has derivatives up to order 2 at equal points."""
        return 1

    def decay(self, kind: type[np.floating]) -> tuple[np.floating, Array]:
        return np.sqrt(6 * kind(self.rate)), np.ones(2, dtype=kind)
