"""The protocol of a form's functions f_i: box-constrained quadratic rows (box_rows.py) and smooth ones
(smooth_rows.py).

Arrays are (b, m) for a batch of b problems and m rows, or (b, 1) where all rows are alike; z = A w without the offset.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from hw4opt.terms.base import Array


class RowFunctions(ABC):
    """Convex functions f_i, each of its own z_i.

    Attributes of both kinds: `shift`, the origin of z; `open`, (b, m) or (b, 1) bool, rows that depend on z (the
    others have weight 0, or are linear); `all_open`; and `largest_curvature`, an upper bound of f''.
    """

    @abstractmethod
    def value(self, z: Array) -> Array:
        """f(z); infinite outside the domain."""

    @abstractmethod
    def excess(self, z: Array) -> Array:
        """f(z) - min f."""

    @abstractmethod
    def gradient(self, z: Array) -> Array:
        """u in ∂f(z), the one nearest to 0 at a breakpoint; infinite outside the domain."""

    @abstractmethod
    def curvature(self, z: Array) -> Array:
        """f''(z); 0 at breakpoints and beyond them."""

    def derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """f, f' and f'' of each row."""
        return self.value(z), self.gradient(z), self.curvature(z)

    @abstractmethod
    def slack(self, z: Array, u: Array, price: Array, rounding: Array | float = 0.0) -> Array:
        """f(z) + f*(u) - z u for u in the domain of f*; a constraint violated by more than `rounding` costs `price`
        times the violation."""

    @abstractmethod
    def clip_dual(self, u: Array) -> Array:
        """The nearest u in the domain of f*."""

    @abstractmethod
    def prox(self, v: Array, step: Array) -> Array:
        """argmin over z of f(z) + (z - v)²/(2 step)."""

    @abstractmethod
    def prox_dual(self, z: Array, center: Array, step: Array) -> Array:
        """argmin over u of f*(u) - z u + step (u - center)²/2; of step 0 the gradient."""

    @abstractmethod
    def prox_dual_slope(self, z: Array, center: Array, step: Array, u: Array) -> Array:
        """The derivative of `prox_dual`, whose value is u, by z."""

    @abstractmethod
    def cut(self, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> Self:
        """Some rows of some problems."""

    @abstractmethod
    def in_units(self, size: Array, worth: Array) -> Self:
        """The rows f(size·z)/worth, (b, 1) each."""


def cut_rows(array: Array, columns: slice | np.ndarray, batch: np.ndarray | slice = slice(None)) -> Array:
    """Some columns of some problems, by index, of an array (b, m) or (b, 1); the latter stays (b, 1)."""
    if isinstance(batch, np.ndarray) and not array.strides[0]:
        array = np.broadcast_to(array[0], (len(batch), array.shape[1]))
    else:
        array = array[batch]
    return array if array.shape[1] == 1 else array[:, columns]
