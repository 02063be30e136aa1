"""Proof of a condition at every x, by cells: branch and bound.

On a cell with middle c and half width h, g(c + t) ≥ g(c) - |g'(c)| |t| + ½ (g''(c) - third h/3) t², third ≥ |g'''|,
less what rounding may have done. Cells where the least of that is not above 0 are split, unless g(c) is below 0 beyond
rounding. A constant function needs no margin above 0; elsewhere a bound of 0 may come from an underflow.
(Moore, Kearfott and Cloud 2009, ch. 6.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.shapes.enclosure import CellRun, Enclosure, lowest_between
from hw4opt.terms.base import EPS, Array

MAX_EVALUATIONS = 200_000  # cells looked at
CHUNK_CELLS = 4_096  # cells looked at together
LEAST_NUMBER = float(np.finfo(float).tiny)
MIN_PARTS, MAX_PARTS = 4, 16  # that a cell is split into: few, and hard cells take many passes
SPARE_PARTS = 1.3  # each part is so much smaller than seems needed


@dataclass(frozen=True, eq=False)
class Search:
    """What was found of g ≥ 0.

    margin        g is at least that in all proven cells
    proven        how many cells were proven
    evaluations   how many were looked at
    left          those that are not proven, in the order of x
    values        g in their middles
    is_violated   whether g < 0 in one of them for certain
    is_unclear    whether rounding leaves one of them open
    """

    margin: float
    proven: int
    evaluations: int
    left: CellRun
    values: Array
    is_violated: bool
    is_unclear: bool


def lowest_points(enclosure: Enclosure) -> Search:
    """Where g < 0, of the lowest points of the cells to start with: those in which it has a minimum, and those
    that lie lower than their neighbours. As cells without length; nothing is proven."""
    cells = enclosure.start()
    value, slope = _at_ends(enclosure, cells)
    x, lowest = np.where(value[0] <= value[1], cells.low, cells.high), value.min(axis=0)
    inside = (slope[0] < 0) & (slope[1] > 0)
    low, high, (fall, rise) = cells.low[inside], cells.high[inside], slope[:, inside]
    x[inside], lowest[inside] = lowest_between(enclosure, low + (high - low) * fall / (fall - rise), low, high)
    beside = np.pad(lowest, 1, constant_values=np.inf)
    kept = (lowest < 0) & (inside | ((lowest <= beside[:-2]) & (lowest < beside[2:])))
    x, lowest = x[kept], lowest[kept]
    return Search(0.0, 0, len(x), CellRun(x, x, cells.piece[kept]), lowest, bool(len(x)), False)


def _at_ends(enclosure: Enclosure, cells: CellRun) -> tuple[Array, Array]:
    """g and g' at both ends (2, k) of neighbouring cells, which share them within a piece."""
    count, last = len(cells.low), np.append(cells.piece[1:] != cells.piece[:-1], True)
    ends, piece = np.append(cells.low, cells.high[last]), np.append(cells.piece, cells.piece[last])
    place = np.array([np.arange(count), np.arange(1, count + 1)])
    place[1, last] = count + np.arange(last.sum())
    value, slope = enclosure.at(ends, piece, 1)
    return value[place], slope[place]


def search(enclosure: Enclosure) -> Search:
    """Look at cells until each is proven, known to violate the condition, or too short for what rounding leaves."""
    open_cells, margin, proven, evaluations = [enclosure.start()], np.inf, 0, 0
    is_constant = not enclosure.condition.function.w.any()
    left: list[CellRun] = []
    values: list[Array] = []
    is_violated = is_unclear = False
    while open_cells and evaluations < MAX_EVALUATIONS:
        cells = open_cells.pop()
        if len(cells.low) > CHUNK_CELLS:
            open_cells.append(cells.some(slice(CHUNK_CELLS, None)))
            cells = cells.some(slice(CHUNK_CELLS))
        evaluations += len(cells.low)
        middle = 0.5 * (cells.low + cells.high)
        half = (1 + 4 * EPS) * np.maximum(cells.high - middle, middle - cells.low)
        value, slope, curvature = enclosure.at(middle, cells.piece, 2)
        unsure, of_slope, of_curvature = enclosure.rounding(cells)
        steep, curved, third = np.abs(slope) + of_slope, curvature - of_curvature, enclosure.third(cells)
        drop = _drop(steep, curved - third * half / 3, half)
        least = value - unsure - drop
        holds = least >= 0 if is_constant else least > 0
        short = drop <= unsure
        violated = ~(value >= -unsure)  # also where g is NaN
        ends = ~holds & (violated | short | (half <= EPS * np.abs(middle)))
        is_violated, is_unclear = is_violated or bool(violated.any()), is_unclear or bool((ends & ~violated).any())
        margin, proven = min(margin, float(least[holds].min(initial=np.inf))), proven + int(holds.sum())
        left.append(cells.some(ends))
        values.append(value[ends].astype(float))
        rest = ~holds & ~ends
        if rest.any():
            room, third = (np.broadcast_to(one, rest.shape)[rest] for one in (np.maximum(value - unsure, 0), third))
            reach = _reach(room, steep[rest], curved[rest], third).astype(float)
            parts = np.ceil(SPARE_PARTS * half[rest] / np.maximum(reach, SPARE_PARTS * half[rest] / MAX_PARTS))
            open_cells.append(cells.some(rest).split(np.maximum(parts, MIN_PARTS).astype(int)))
    left += open_cells  # where there were too many
    values += [np.zeros(len(cells.low)) for cells in open_cells]
    found, of_found = CellRun(*map(np.concatenate, zip(*left, strict=True))), np.concatenate(values)
    order = np.argsort(found.low, kind="stable")
    return Search(margin, proven, evaluations, found.some(order), of_found[order], is_violated, is_unclear)


def _drop(steep: Array, curved: Array, half: Array) -> Array:
    """The largest steep t - ½ curved t² of 0 ≤ t ≤ half."""
    inside = curved * half > steep
    return np.where(inside, 0.5 * steep * steep / np.where(inside, curved, 1.0), half * (steep - 0.5 * curved * half))


def _reach(room: Array, steep: Array, curved: Array, third: Array) -> Array:
    """A half width at which the drop of a cell is no more than `room`, about."""
    of_curvature, of_third = np.sqrt(0.5 * np.maximum(-curved, 0.0) * room), np.cbrt(third * room * room / 6)
    turns = 2 * room * curved > steep * steep  # the curvature does, before the drop is `room`
    spare = np.where(turns, curved - 0.5 * steep * steep / np.where(turns, room, 1.0), 0.0)
    return np.maximum(room / (steep + of_curvature + of_third + LEAST_NUMBER), 3 * spare / (third + LEAST_NUMBER))
