"""Folds along the path of the optimum from the fit of all rows: the table that the core reads (core/folds.h).

Rows of the full data come first, then those that only folds have. Functions of the same row without curvature and with
the same breakpoint are merged into one: an order in both directions, say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.core.folds import FoldTable, Race, folds
from hw4opt.form import Form
from hw4opt.form.box_rows import BoxRows
from hw4opt.selection.fold_fits import FoldFits
from hw4opt.selection.loo.layout import Layout
from hw4opt.terms import Acts
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap
from hw4opt.validation.frozen import cached_property

# accuracy of a sum of held-out losses: relative to the limit of a race, and to the gap scale
LIMIT_MARGIN, GAP_MARGIN = 1e-7, 1e-10


@dataclass(frozen=True, eq=False)
class FullFits:
    """The settings of one basis, solved on (nearly) all rows: w (S, r) and the duals u of all rows (S, m)."""

    form: Form
    w: Array
    u: Array

    def cut(self, settings: np.ndarray) -> FullFits:
        """Some of the settings."""
        return FullFits(self.form.cut(settings), self.w[settings], self.u[settings])


def solve_folds(fits: Sequence[FullFits], layout: Layout, limit: float = math.inf) -> list[FoldFits]:
    """The fits of every fold, basis by basis; but a setting is dropped once its held-out losses must exceed a limit."""
    tables = [fold_table(one, layout, limit) for one in fits]
    points = folds(tables)
    least = [_exceeding(one.bound, table.race) for one, table in zip(points, tables, strict=True)]
    return [FoldFits(one.w, one.gap, one.events + 1, bound) for one, bound in zip(points, least, strict=True)]


def _exceeding(bound: Array, race: Race | None) -> Array | None:
    return None if race is None else np.where(bound > race.limit, bound, np.nan)


def fold_table(fits: FullFits, layout: Layout, limit: float = math.inf) -> FoldTable:
    """The settings and their folds."""
    form, rows = fits.form, _Rows(fits.form, layout)
    tables = rows.tables()
    gap_scale = form.gap_scale(fits.w, np.zeros(form.batch))
    leave, enter = layout.moves(rows.acts, rows.counts)
    return FoldTable(
        rows=sum(rows.counts),
        values=form.loss.count,
        a=rows.joined([rows.matrices[acts] for acts in rows.acts]),
        unit=rows.joined([rows.units[acts] for acts in rows.acts]),
        q=tables["q"],
        t=tables["t"],
        low=tables["low"],
        high=tables["high"],
        penalty=np.ascontiguousarray(form.penalty),
        w_scale=np.ascontiguousarray(np.broadcast_to(form.w_scale, form.penalty.shape)),
        z_scale=form.scales.z[:, 0].copy(),
        u_scale=form.scales.u[:, 0].copy(),
        gap_scale=gap_scale,
        w=np.ascontiguousarray(fits.w),
        u=rows.duals(fits.u),
        leave=leave,
        enter=enter,
        race=rows.race(limit, gap_scale) if math.isfinite(limit) else None,
    )


class _Rows:
    """The functions of a form, grouped by those that share a row, and their rows over all folds."""

    def __init__(self, form: Form, layout: Layout) -> None:
        self.form, self.layout = form, layout
        listed = [(term.acts, term.count, box) for term in form.terms for box in term.boxes]
        groups: list[list[int]] = []
        for place, (acts, _, box) in enumerate(listed):
            mate = next(
                (group for group in groups if listed[group[0]][0] == acts and _add_up(listed[group[0]][2], box)), None
            )
            if mate is None:
                groups.append([place])
            else:
                mate.append(place)
        self.groups, self.boxes = groups, [[listed[place][2] for place in group] for group in groups]
        self.acts: list[Acts] = [listed[group[0]][0] for group in groups]
        self.counts = [listed[group[0]][1] for group in groups]

    @cached_property
    def matrices(self) -> dict[Acts, Array]:
        return {acts: rows.take(self.form.design.matrix) for acts, (rows, _) in self.layout.maps.items()}

    @cached_property
    def units(self) -> dict[Acts, Array]:
        maps = self.layout.maps
        return {acts: _unit(rows, self.matrices[acts], self.form.loss_length) for acts, (rows, _) in maps.items()}

    def joined(self, arrays: Sequence[Array]) -> Array:
        """The groups' arrays (rows, …) concatenated, rows of the full data first."""
        parts = list(zip(arrays, self.counts, strict=True))
        return np.ascontiguousarray(np.concatenate([a[:m] for a, m in parts] + [a[m:] for a, m in parts]))

    def tables(self) -> dict[str, Array]:
        """q, t, low and high, (S, M) each."""
        sums = {"quadratic": np.maximum, "shift": np.maximum, "low": np.add, "high": np.add}
        ends = {"quadratic": np.max, "shift": np.max, "low": np.min, "high": np.max}
        found = {}
        for name, of in (("q", "quadratic"), ("t", "shift"), ("low", "low"), ("high", "high")):
            arrays = []
            for acts, count, boxes in zip(self.acts, self.counts, self.boxes, strict=True):
                array = getattr(boxes[0], of)
                for box in boxes[1:]:
                    array = sums[of](array, getattr(box, of))
                more = len(self.matrices[acts]) - count
                own = np.broadcast_to(array, (self.form.batch, count))
                new = np.broadcast_to(ends[of](array, axis=1, keepdims=True), (self.form.batch, more))
                arrays.append(np.concatenate([own, new], axis=1).T)
            found[name] = np.ascontiguousarray(self.joined(arrays).T)
        return found

    def race(self, limit: float, gap_scale: Array) -> Race | None:
        """The limit beyond which settings are dropped, rounding allowed for; None if rows of the loss and of another
        term are merged, or a loss has no least value."""
        losses = self.form.loss.boxes
        own = [sum(any(box is loss for loss in losses) for box in boxes) for boxes in self.boxes]
        mixed = any(0 < count < len(boxes) for count, boxes in zip(own, self.boxes, strict=True))
        if mixed or any((box.low > 0).any() or (box.high < 0).any() for box in losses):
            return None
        scored = [np.full(rows, min(count, 1)) for rows, count in zip(self.counts, own, strict=True)]
        return Race(limit * (1 + LIMIT_MARGIN) + GAP_MARGIN * gap_scale, np.concatenate(scored).astype(np.int64))

    def duals(self, u: Array) -> Array:
        """u (S, rows of the full data) from that of the form's rows."""
        spans = [span for term in self.form.spans for span in term]
        return np.concatenate([sum(u[:, spans[place]] for place in group) for group in self.groups], axis=1)


def _add_up(one: BoxRows, other: BoxRows) -> bool:
    """Whether two functions of the same z can be merged."""
    return not one.quadratic.any() and not other.quadratic.any() and np.array_equal(one.shift, other.shift)


def _unit(rows: RowMap, matrix: Array, length: float) -> Array:
    """Σ|coef| for differences; for other functionals, ‖a‖ relative to that of a typical row of a fitted value."""
    return np.linalg.norm(matrix, axis=1) / length if rows.coef is None else np.abs(rows.coef).sum(axis=1)
