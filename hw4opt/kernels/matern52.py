"""The kernel `matern52`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt.kernels._decaying import Decaying
from hw4opt.kernels._radial import LARGEST_SQUARE, Radial
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Matern52(Decaying, Radial):
    """(1 + t + t²/3) exp(-t),  t = √5 ‖x - z‖/length,  length = 1/√(2 gamma).   (Rasmussen and Williams 2006, 4.17.)"""

    name: ClassVar[str] = "matern52"

    def profile(self, s: Array, gamma: float, order: int) -> Array:
        t = np.sqrt(10 * gamma * np.minimum(s, LARGEST_SQUARE))
        decay = np.exp(-t)
        if order == 0:
            return (1 + t + t * t / 3) * decay
        return -5 / 3 * gamma * (1 + t) * decay if order == 1 else 25 / 3 * gamma**2 * decay

    @property
    def functional_order(self) -> int:
        """2: k has derivatives up to order 4 at equal points."""
        return 2

    def decay(self, kind: type[np.floating]) -> tuple[np.floating, Array]:
        return np.sqrt(10 * kind(self.rate)), np.array([1, 1, kind(1) / 3])
