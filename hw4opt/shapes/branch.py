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
LOOK_PARTS = 2  # of a cell to start with, in which a look without a proof sees one minimum
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
    """Where g < 0, of the lowest points of parts of the cells to start with: those in which it has a minimum, and those
    that lie lower than their neighbours. As cells without length; nothing is proven."""
    cells = enclosure.start()
    cells = cells.split(np.full(len(cells.low), LOOK_PARTS))
    ends, twice = np.concatenate([cells.low, cells.high]), np.tile(cells.piece, 2)
    value, slope = (one.reshape(2, -1) for one in enclosure.at(ends, twice, 1))
    x, lowest = np.where(value[0] <= value[1], cells.low, cells.high), value.min(axis=0)
    inside = (slope[0] < 0) & (slope[1] > 0)
    low, high, (fall, rise) = cells.low[inside], cells.high[inside], slope[:, inside]
    x[inside], lowest[inside] = lowest_between(enclosure, low + (high - low) * fall / (fall - rise), low, high)
    beside = np.pad(lowest, 1, constant_values=np.inf)
    kept = (lowest < 0) & (inside | ((lowest <= beside[:-2]) & (lowest < beside[2:])))
    x, lowest = x[kept], lowest[kept]
    return Search(0.0, 0, len(x), CellRun(x, x, cells.piece[kept]), lowest, bool(len(x)), False)


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
