"""What is known of a condition on cells of x: value, slope and curvature in the middle, and how that can change."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from hw4opt.shapes.function import Condition
from hw4opt.terms.base import Array

BOTTOM_STEPS = 2  # towards the lowest point of a violation


class CellRun(NamedTuple):
    """low ≤ x ≤ high, (k,) each, and the piece of the function that each lies in."""

    low: Array
    high: Array
    piece: np.ndarray

    def some(self, which: np.ndarray | slice) -> CellRun:
        """Those of a mask, or of a slice."""
        return CellRun(*(array[which] for array in self))

    def split(self, parts: np.ndarray) -> CellRun:
        """Each in so many parts, which share their ends."""
        place = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        low, high, piece, count = (np.repeat(one, parts) for one in (*self, parts))
        inner = [low + (high - low) * (k / count) for k in (place, place + 1)]
        return CellRun(np.where(place == 0, low, inner[0]), np.where(place + 1 == count, high, inner[1]), piece)


class Curve(Protocol):
    """The g of a condition g ≥ 0, twice differentiable within each of its pieces."""

    condition: Condition

    def piece_of(self, x: Array) -> np.ndarray:
        """The piece that each x lies in."""
        ...

    def at(self, x: Array, piece: np.ndarray, highest: int = 2) -> list[Array]:
        """g and its derivatives at x up to the highest order, 2 at most, (k,) each."""
        ...


def lowest_between(curve: Curve, x: Array, low: Array, high: Array) -> Array:
    """Points (2, k) and g there: the lowest near each x between its ends, by Newton's method."""
    ends = [np.clip(end, curve.condition.low, curve.condition.high) for end in (low, high)]
    places, longest = np.array([x, *ends, x]), 0.5 * (ends[1] - ends[0])
    for _ in range(BOTTOM_STEPS):
        _, slope, curvature = curve.at(x, curve.piece_of(x))
        step = np.where(curvature > 0, -slope / np.where(curvature > 0, curvature, 1.0), -np.sign(slope) * longest)
        places[-1] = x = np.clip(x + step.astype(float), *ends)
    values = curve.at(places.ravel(), curve.piece_of(places.ravel()), 0)[0].reshape(places.shape)
    best = values.argmin(axis=0), np.arange(len(x))
    return np.array([places[best], values[best]], dtype=float)


class Enclosure(Curve, Protocol):
    """With bounds of what g can be between."""

    def start(self) -> CellRun:
        """CellRun that cover the range, none of them long beside what g varies over."""
        ...

    def third(self, cells: CellRun) -> Array | float:
        """Upper bounds of |g'''| over the cells."""
        ...

    def rounding(self, cells: CellRun) -> tuple[Array | float, Array | float, Array | float]:
        """What rounding may do to g, g' and g'' anywhere in the cells, at most."""
        ...
