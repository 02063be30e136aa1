"""Proof of a condition at every x, by cells: branch and bound.

On a cell with middle c and half width h, g ≥ g(c) - |g'(c)| h - bend h²/2, less what rounding may have done. CellRun
where that is not above 0 are split, unless g(c) is below 0 beyond rounding.   (Moore, Kearfott and Cloud 2009, ch. 6.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.shapes.enclosure import CellRun, Enclosure, lowest_between
from hw4opt.terms.base import EPS, Array

MAX_EVALUATIONS = 200_000  # cells looked at
CHUNK_CELLS = 4_096  # cells looked at together
MAX_PARTS, SPARE_PARTS = 16, 1.3  # a cell is split into at most so many parts, each so much smaller than seems needed


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
    """Where g < 0, of the lowest points between the ends and middles of the cells to start with, as cells without
    length; nothing is proven."""
    cells = enclosure.start()
    x = np.sort(np.concatenate([cells.low, 0.5 * (cells.low + cells.high), cells.high[-1:]]))
    value = np.concatenate([[np.inf], enclosure.at(x, enclosure.piece_of(x), 0)[0], [np.inf]])
    (place,) = np.nonzero((value[1:-1] <= value[:-2]) & (value[1:-1] < value[2:]))
    x, value = lowest_between(enclosure, x[place], x[np.maximum(place - 1, 0)], x[np.minimum(place + 1, len(x) - 1)])
    x, value = x[value < 0], value[value < 0]
    return Search(0.0, 0, len(value), CellRun(x, x, enclosure.piece_of(x)), value, bool(len(value)), False)


def search(enclosure: Enclosure) -> Search:
    """Look at cells until each is proven, known to violate the condition, or too short for what rounding leaves."""
    open_cells, margin, proven, evaluations = [enclosure.start()], np.inf, 0, 0
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
        value, slope = enclosure.at(middle, cells.piece, 1)
        unsure, of_slope = enclosure.rounding(cells)
        steep, bend = np.abs(slope) + of_slope, enclosure.bend(cells)
        least = value - unsure - half * (steep + 0.5 * bend * half)
        holds = least > 0
        short = half * (steep + 0.5 * bend * half) <= unsure
        violated = ~(value >= -unsure)  # also where g is no number
        ends = ~holds & (violated | short | (half <= EPS * np.abs(middle)))
        is_violated, is_unclear = is_violated or bool(violated.any()), is_unclear or bool((ends & ~violated).any())
        margin, proven = min(margin, float(least[holds].min(initial=np.inf))), proven + int(holds.sum())
        left.append(cells.some(ends))
        values.append(value[ends].astype(float))
        rest = ~holds & ~ends
        if rest.any():
            room, steep, bend = (np.broadcast_to(one, rest.shape)[rest] for one in (value - unsure, steep, bend))
            reach = 2 * np.maximum(room, 0) / (steep + np.sqrt(steep * steep + 2 * bend * np.maximum(room, 0)))
            parts = np.ceil(SPARE_PARTS * half[rest] / np.maximum(reach, SPARE_PARTS * half[rest] / MAX_PARTS))
            open_cells.append(cells.some(rest).split(np.maximum(parts, 2).astype(int)))
    left += open_cells  # where there were too many
    values += [np.zeros(len(cells.low)) for cells in open_cells]
    found, of_found = CellRun(*map(np.concatenate, zip(*left, strict=True))), np.concatenate(values)
    order = np.argsort(found.low, kind="stable")
    return Search(margin, proven, evaluations, found.some(order), of_found[order], is_violated, is_unclear)
