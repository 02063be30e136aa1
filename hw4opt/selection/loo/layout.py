"""The rows of every fold together: those of the full data, and the differences merged over points that leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.form import Form
from hw4opt.problem import Problem
from hw4opt.terms import Acts
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap


@dataclass(frozen=True, eq=False)
class Layout:
    """By what a term acts on: the row map over all folds, the full data's rows first; (F, m) whether a fold has a row.

    It speaks of points, not of a basis: every gamma shares it.
    """

    maps: dict[Acts, tuple[RowMap, np.ndarray]]

    @classmethod
    def of(cls, problem: Problem, held_out: Sequence[np.ndarray]) -> Layout:
        maps = {}
        for term in problem.terms:
            if term.acts not in maps:
                of_data = problem.design.rows(term.acts, term.name)
                rows, has = term.acts.fold_rows(problem.design, of_data, held_out)
                every = np.ones((len(held_out), rows.count), dtype=bool)
                maps[term.acts] = rows, every if has is None else has > 0
        return cls(maps)


@dataclass(frozen=True, eq=False)
class Union:
    """The rows of all functions in turn over one basis: A (M, r), and which of them the data and each fold have."""

    a: Array
    unit: Array  # (M,) of each row's z, where fitted values have 1: how far their rounding is amplified
    sizes: tuple[int, ...]  # rows of each function
    values: int  # how many rows, the first ones, are fitted values
    full: np.ndarray  # (M,) bool
    have: np.ndarray  # (F, M) bool

    @classmethod
    def of(cls, form: Form, layout: Layout) -> Union:
        matrices = {acts: rows.take(form.design.matrix) for acts, (rows, _) in layout.maps.items()}
        units = {acts: _unit(rows, matrices[acts], form.loss_length) for acts, (rows, _) in layout.maps.items()}
        listed = [(term.acts, term.count) for term in form.terms for _ in term.functions]
        return cls(
            a=np.concatenate([matrices[acts] for acts, _ in listed]),
            unit=np.concatenate([units[acts] for acts, _ in listed]),
            values=len(matrices[listed[0][0]]),
            sizes=tuple(len(matrices[acts]) for acts, _ in listed),
            full=np.concatenate([np.arange(len(matrices[acts])) < count for acts, count in listed]),
            have=np.concatenate([layout.maps[acts][1] for acts, _ in listed], axis=1),
        )


def _unit(rows: RowMap, matrix: Array, length: float) -> Array:
    """Σ|coef| of differences; of others ‖a‖ beside that of a fitted value's typical row."""
    return np.linalg.norm(matrix, axis=1) / length if rows.coef is None else np.abs(rows.coef).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Tables:
    """q, t and the bounds of u (infinite: none) by setting and row of the union, (S, M); and z there, t + q·bound."""

    q: Array
    t: Array
    low: Array
    high: Array
    z_low: Array
    z_high: Array

    @classmethod
    def of(cls, form: Form, sizes: Sequence[int]) -> Tables:
        boxes = [box for term in form.terms for box in term.boxes]

        def joined(arrays: list[Array]) -> Array:
            wide = [np.broadcast_to(one, (form.batch, size)) for one, size in zip(arrays, sizes, strict=True)]
            return np.concatenate(wide, axis=1)

        q, t = joined([box.quadratic for box in boxes]), joined([box.shift for box in boxes])
        low, high = joined([box.low for box in boxes]), joined([box.high for box in boxes])
        breakpoints = (
            t + np.where(np.isfinite(end), q * np.where(np.isfinite(end), end, 0.0), end) for end in (low, high)
        )
        return cls(q, t, low, high, *breakpoints)
