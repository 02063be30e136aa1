"""Kernels that are a polynomial times a decaying exponential along one column."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from hw4opt.kernels._base import Kernel
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Decaying(Kernel):
    """k = q(t) exp(-t) along one column, t = rate |x - z|: a subclass gives rate and q."""

    @abstractmethod
    def decay(self, kind: type[np.floating]) -> tuple[np.floating, Array]:
        """rate, and the coefficients of q from the constant on, in that type."""

    def along(self, distance: Array, highest: int) -> list[Array]:
        """(±rate)^m q_m(t) exp(-t), q_m = q_{m-1}' - q_{m-1}, by the sign of the distance."""
        rate, q = self.decay(distance.dtype.type)
        t, signed = rate * np.abs(distance), np.where(distance < 0, -rate, rate)
        decay, factor, found = np.exp(-t), np.ones_like(t), []
        for polynomial in derivatives_of(q, highest):
            found.append(factor * np.polynomial.polynomial.polyval(t, polynomial) * decay)
            factor = factor * signed
        return found


def derivatives_of(q: Array, highest: int) -> list[Array]:
    """q_0 … q_highest of the derivatives q_m(t) exp(-t) of q(t) exp(-t), of one length."""
    found = [q]
    for _ in range(highest):
        slope = np.append(found[-1][1:] * np.arange(1, len(q)), 0)
        found.append(slope - found[-1])
    return found
