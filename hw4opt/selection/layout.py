"""The rows of every fold together: those of the full data, and the differences merged over points that leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.fold_rows import fold_rows, keep_mask
from hw4opt.form import Form
from hw4opt.problem import Problem
from hw4opt.rows import RowMap
from hw4opt.terms import Values
from hw4opt.terms.base import Acts, Array


@dataclass(frozen=True, eq=False)
class Layout:
    """By what a term acts on: the row map over all folds (the full data's rows first), and which of its rows each fold has, (F, m) bool.

    It speaks of points, not of a basis: every gamma shares it.
    """

    maps: dict[Acts, tuple[RowMap, np.ndarray]]

    @classmethod
    def of(cls, problem: Problem, held_out: Sequence[np.ndarray]) -> Layout:
        maps = {}
        for term in problem.terms:
            if term.acts not in maps:
                rows, mask = fold_rows(problem.design, term, held_out)
                mask = keep_mask(rows.count, held_out) if isinstance(term.acts, Values) else mask
                have = np.ones((len(held_out), rows.count), dtype=bool) if mask is None else mask > 0
                maps[term.acts] = rows, have
        return cls(maps)


@dataclass(frozen=True, eq=False)
class Union:
    """The sheets' rows one after the other over one basis: A (M, r), and which rows the full data and each fold have."""

    a: Array
    unit: Array  # (M,) of each row's z, where fitted values have 1: how far their rounding is amplified
    sizes: tuple[int, ...]  # rows of each sheet
    values: int  # how many rows, the first ones, are fitted values
    full: np.ndarray  # (M,) bool
    have: np.ndarray  # (F, M) bool

    @classmethod
    def of(cls, form: Form, layout: Layout) -> Union:
        matrices = {acts: rows.take(form.design.matrix) for acts, (rows, _) in layout.maps.items()}
        units = {acts: _unit(rows, matrices[acts], form.loss_length) for acts, (rows, _) in layout.maps.items()}
        sheets = [(block.acts, block.rows.count) for block in form.blocks for _ in block.sheets]
        return cls(
            a=np.concatenate([matrices[acts] for acts, _ in sheets]),
            unit=np.concatenate([units[acts] for acts, _ in sheets]),
            values=len(matrices[sheets[0][0]]),
            sizes=tuple(len(matrices[acts]) for acts, _ in sheets),
            full=np.concatenate([np.arange(len(matrices[acts])) < count for acts, count in sheets]),
            have=np.concatenate([layout.maps[acts][1] for acts, _ in sheets], axis=1),
        )


def _unit(rows: RowMap, matrix: Array, length: float) -> Array:
    """Σ|coef| of differences; of others ‖a‖ beside that of a fitted value's typical row."""
    return np.linalg.norm(matrix, axis=1) / length if rows.coef is None else np.abs(rows.coef).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Tables:
    """q, t and the ends of u by setting and row of the union, (S, M), infinite where unbounded; and where z meets the ends, t + q·end."""

    q: Array
    t: Array
    low: Array
    high: Array
    z_low: Array
    z_high: Array

    @classmethod
    def of(cls, form: Form, sizes: Sequence[int]) -> Tables:
        sheets = [sheet for block in form.blocks for sheet in block.sheets]

        def wide(name: str, none: float) -> Array:
            arrays = [getattr(sheet, name) for sheet in sheets]
            parts = [np.full((form.batch, 1), none) if array is None else array for array in arrays]
            return np.concatenate([np.broadcast_to(part, (form.batch, size)) for part, size in zip(parts, sizes, strict=True)], axis=1)

        active = wide("active", 1.0) > 0
        q, t = wide("quadratic", 0.0), wide("shift", 0.0)
        low, high = np.where(active, wide("low", -np.inf), 0.0), np.where(active, wide("high", np.inf), 0.0)
        return cls(q, t, low, high, *(t + np.where(np.isfinite(end), q * np.where(np.isfinite(end), end, 0.0), end) for end in (low, high)))
