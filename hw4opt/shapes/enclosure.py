"""The interface of a condition g ≥ 0 for branch and bound: value, slope and curvature of g at points, and bounds of its
third derivative and of rounding over cells."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from hw4opt.shapes.function import Condition
from hw4opt.terms.base import Array

MINIMUM_STEPS = 2  # Newton steps towards a local minimum


class Cells(NamedTuple):
    """Cells low ≤ x ≤ high, (k,) each, and the piece of the function that contains each."""

    low: Array
    high: Array
    piece: np.ndarray

    def take(self, which: np.ndarray | slice) -> Cells:
        """The selected cells."""
        return Cells(*(array[which] for array in self))

    def split(self, parts: np.ndarray) -> Cells:
        """Each cell split into `parts` (k,) parts of equal width, which share their ends."""
        place = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        low, high, piece, count = (np.repeat(one, parts) for one in (*self, parts))
        inner = [low + (high - low) * (k / count) for k in (place, place + 1)]
        return Cells(np.where(place == 0, low, inner[0]), np.where(place + 1 == count, high, inner[1]), piece)


class Curve(Protocol):
    """The function g of a condition g ≥ 0, twice differentiable within each of its pieces."""

    condition: Condition

    def piece_of(self, x: Array) -> np.ndarray:
        """The index of the piece that contains each x, (k,)."""
        ...

    def at(self, x: Array, piece: np.ndarray, highest: int = 2) -> list[Array]:
        """g and its derivatives at x up to order `highest` ≤ 2, (k,) each."""
        ...


def minimize_between(curve: Curve, x: Array, low: Array, high: Array) -> Array:
    """x and g, (2, k), at the approximate minimum of g on each [low, high], by Newton's method from x."""
    ends = [np.clip(end, curve.condition.low, curve.condition.high) for end in (low, high)]
    places, longest = np.array([x, *ends, x]), 0.5 * (ends[1] - ends[0])
    for _ in range(MINIMUM_STEPS):
        _, slope, curvature = curve.at(x, curve.piece_of(x))
        step = np.where(curvature > 0, -slope / np.where(curvature > 0, curvature, 1.0), -np.sign(slope) * longest)
        places[-1] = x = np.clip(x + step.astype(float), *ends)
    values = curve.at(places.ravel(), curve.piece_of(places.ravel()), 0)[0].reshape(places.shape)
    best = values.argmin(axis=0), np.arange(len(x))
    return np.array([places[best], values[best]], dtype=float)


class Enclosure(Curve, Protocol):
    """A curve with bounds over cells."""

    def start(self) -> Cells:
        """Initial cells that cover the range, short compared with the length over which g varies."""
        ...

    def third(self, cells: Cells) -> Array | float:
        """Upper bounds of |g'''| over each cell."""
        ...

    def rounding(self, cells: Cells) -> tuple[Array | float, Array | float, Array | float]:
        """Upper bounds of the rounding in g, g' and g'' over each cell."""
        ...
