"""Proof of g(x) ≥ 0 at every x by branch and bound over cells.

On a cell with midpoint c and half width h, g(c + t) ≥ g(c) - |g'(c)| |t| + ½ (g''(c) - third h/3) t² - rounding, with
third ≥ |g'''|. A cell is proven if the minimum of this bound is > 0, and split otherwise, unless g(c) < 0 beyond
rounding. For a constant function a bound of 0 suffices; for others it may result from an underflow.
(Moore, Kearfott and Cloud 2009, ch. 6.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw4opt.shapes.enclosure import Cells, Enclosure, minimize_between
from hw4opt.terms.base import EPS, Array

MAX_EVALUATIONS = 200_000  # cells evaluated in one search
CHUNK_CELLS = 4_096  # cells evaluated at once
SMALLEST_NORMAL = float(np.finfo(float).tiny)  # avoids division by 0
MIN_PARTS, MAX_PARTS = 4, 16  # parts that a cell is split into: with fewer, hard cells take many passes
PARTS_MARGIN = 1.3  # factor on the estimated number of parts


@dataclass(frozen=True, eq=False)
class Search:
    """The result of a search for violations of g ≥ 0.

    margin        lower bound of g over all proven cells
    proven        number of proven cells
    evaluations   number of cells evaluated
    left          cells that are not proven, sorted by x
    values        g at their midpoints
    is_violated   whether g < 0 beyond rounding in one of them
    is_unclear    whether one of them cannot be decided because of rounding
    """

    margin: float
    proven: int
    evaluations: int
    left: Cells
    values: Array
    is_violated: bool
    is_unclear: bool


def local_minima(enclosure: Enclosure) -> Search:
    """The local minima of g < 0 over the initial cells, as cells of width 0: minima inside a cell, and cells lower than
    their neighbours. A fast search without proof."""
    cells = enclosure.start()
    value, slope = _at_ends(enclosure, cells)
    x, lowest = np.where(value[0] <= value[1], cells.low, cells.high), value.min(axis=0)
    inside = (slope[0] < 0) & (slope[1] > 0)
    low, high, (fall, rise) = cells.low[inside], cells.high[inside], slope[:, inside]
    x[inside], lowest[inside] = minimize_between(enclosure, low + (high - low) * fall / (fall - rise), low, high)
    beside = np.pad(lowest, 1, constant_values=np.inf)
    kept = (lowest < 0) & (inside | ((lowest <= beside[:-2]) & (lowest < beside[2:])))
    x, lowest = x[kept], lowest[kept]
    return Search(0.0, 0, len(x), Cells(x, x, cells.piece[kept]), lowest, bool(len(x)), False)


def _at_ends(enclosure: Enclosure, cells: Cells) -> tuple[Array, Array]:
    """g and g' at both ends of k neighbouring cells, (2, k) each; a common end of cells in one piece is evaluated
    once."""
    count, last = len(cells.low), np.append(cells.piece[1:] != cells.piece[:-1], True)
    ends, piece = np.append(cells.low, cells.high[last]), np.append(cells.piece, cells.piece[last])
    place = np.array([np.arange(count), np.arange(1, count + 1)])
    place[1, last] = count + np.arange(last.sum())
    value, slope = enclosure.at(ends, piece, 1)
    return value[place], slope[place]


def search(enclosure: Enclosure) -> Search:
    """Split cells until each is proven, violates g ≥ 0 beyond rounding, or is so small that rounding dominates; at most
    MAX_EVALUATIONS cells."""
    open_cells, margin, proven, evaluations = [enclosure.start()], np.inf, 0, 0
    is_constant = not enclosure.condition.function.w.any()
    left: list[Cells] = []
    values: list[Array] = []
    is_violated = is_unclear = False
    while open_cells and evaluations < MAX_EVALUATIONS:
        cells = open_cells.pop()
        if len(cells.low) > CHUNK_CELLS:
            open_cells.append(cells.take(slice(CHUNK_CELLS, None)))
            cells = cells.take(slice(CHUNK_CELLS))
        evaluations += len(cells.low)
        middle = 0.5 * (cells.low + cells.high)
        half = (1 + 4 * EPS) * np.maximum(cells.high - middle, middle - cells.low)
        value, slope, curvature = enclosure.at(middle, cells.piece, 2)
        rounding, slope_rounding, curvature_rounding = enclosure.rounding(cells)
        max_slope, min_curvature, third = (
            np.abs(slope) + slope_rounding,
            curvature - curvature_rounding,
            enclosure.third(cells),
        )
        drop = _drop(max_slope, min_curvature - third * half / 3, half)
        lower_bound = value - rounding - drop
        holds = lower_bound >= 0 if is_constant else lower_bound > 0
        short = drop <= rounding
        violated = ~(value >= -rounding)  # also where g is NaN
        final = ~holds & (violated | short | (half <= EPS * np.abs(middle)))
        is_violated, is_unclear = is_violated or bool(violated.any()), is_unclear or bool((final & ~violated).any())
        margin, proven = min(margin, float(lower_bound[holds].min(initial=np.inf))), proven + int(holds.sum())
        left.append(cells.take(final))
        values.append(value[final].astype(float))
        rest = ~holds & ~final
        if rest.any():
            room, third = (np.broadcast_to(one, rest.shape)[rest] for one in (np.maximum(value - rounding, 0), third))
            reach = _provable_half_width(room, max_slope[rest], min_curvature[rest], third).astype(float)
            parts = np.ceil(PARTS_MARGIN * half[rest] / np.maximum(reach, PARTS_MARGIN * half[rest] / MAX_PARTS))
            open_cells.append(cells.take(rest).split(np.maximum(parts, MIN_PARTS).astype(int)))
    left += open_cells  # not evaluated, because of MAX_EVALUATIONS
    values += [np.zeros(len(cells.low)) for cells in open_cells]
    found, of_found = Cells(*map(np.concatenate, zip(*left, strict=True))), np.concatenate(values)
    order = np.argsort(found.low, kind="stable")
    return Search(margin, proven, evaluations, found.take(order), of_found[order], is_violated, is_unclear)


def _drop(max_slope: Array, min_curvature: Array, half: Array) -> Array:
    """The maximum of max_slope t - ½ min_curvature t² over 0 ≤ t ≤ half."""
    inside = min_curvature * half > max_slope
    return np.where(
        inside,
        0.5 * max_slope * max_slope / np.where(inside, min_curvature, 1.0),
        half * (max_slope - 0.5 * min_curvature * half),
    )


def _provable_half_width(room: Array, max_slope: Array, min_curvature: Array, third: Array) -> Array:
    """The approximate half width of a cell for which the drop is at most `room`."""
    of_curvature, of_third = np.sqrt(0.5 * np.maximum(-min_curvature, 0.0) * room), np.cbrt(third * room * room / 6)
    curvature_limits = (
        2 * room * min_curvature > max_slope * max_slope
    )  # positive curvature limits the drop to less than `room`
    spare = np.where(
        curvature_limits, min_curvature - 0.5 * max_slope * max_slope / np.where(curvature_limits, room, 1.0), 0.0
    )
    return np.maximum(
        room / (max_slope + of_curvature + of_third + SMALLEST_NORMAL), 3 * spare / (third + SMALLEST_NORMAL)
    )
