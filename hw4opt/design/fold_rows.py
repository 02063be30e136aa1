"""The rows of a term, of the full data or of every fold together: points leave, and differences run over those that remain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw4opt.design import Design, difference_coefficients
from hw4opt.design.row_map import RowMap
from hw4opt.terms import Differences, Slope, Term, Values
from hw4opt.terms.base import Array


def keep_mask(size: int, held_out: Sequence[np.ndarray]) -> Array:
    """1 on the rows that stay, 0 on those held out, (folds, size)."""
    keep = np.ones((len(held_out), size))
    for row, held in enumerate(held_out):
        keep[row, held] = 0.0
    return keep


def fold_rows(design: Design, term: Term, held_out: Sequence[np.ndarray] | None) -> tuple[RowMap, Array | None]:
    """The term's row map and, for folds, which of its rows each problem has."""
    rows = design.rows(term.acts, term.name)
    if not rows.count:
        return rows, None
    if held_out is None or isinstance(term.acts, Values):
        return rows, None
    if isinstance(term.acts, Differences):
        return _fold_differences(design, term.acts.order, held_out)
    if isinstance(term.acts, Slope):  # slopes leave with the last row at their point
        return rows, np.stack([np.isin(np.arange(rows.count), _points_left(design, held)) for held in held_out]).astype(float)
    return rows, None


def _points_left(design: Design, held: np.ndarray) -> np.ndarray:
    """The base points that still have a row, ascending."""
    if not len(held):
        return np.arange(len(design.base_x))
    return np.delete(np.arange(len(design.x)), held) if design.row_of is None else np.unique(np.delete(design.row_of, held))


def _fold_differences(design: Design, order: int, held_out: Sequence[np.ndarray]) -> tuple[RowMap, Array]:
    """The union of every fold's difference rows, and which rows each fold has: those that touch a lost point give way to merged ones."""
    size = len(design.base_x)
    count = max(size - order, 0)
    windows = [tuple(range(j, j + order + 1)) for j in range(count)]
    place = {window: j for j, window in enumerate(windows)}
    have: dict[int, np.ndarray] = {}
    for held in held_out:
        if id(held) in have:
            continue
        left = _points_left(design, held)
        mine = np.lib.stride_tricks.sliding_window_view(left, order + 1) if len(left) > order else np.empty((0, order + 1), dtype=int)
        merged = mine[:, -1] - mine[:, 0] > order
        rows = [place.setdefault(window, len(place)) for window in map(tuple, mine[merged].tolist())]
        have[id(held)] = np.concatenate([mine[~merged, 0], np.array(rows, dtype=int)])
    mask = np.zeros((len(held_out), len(place)))
    for row, held in zip(mask, held_out, strict=True):
        row[have[id(held)]] = 1.0
    index = np.array(list(place), dtype=int).reshape(len(place), order + 1)
    return RowMap(len(place), index=index, coef=difference_coefficients(design.base_x[:, 0], order, index)), mask
