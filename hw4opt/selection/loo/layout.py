"""The rows of all folds: those of the full data, and differences merged over held-out points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw4opt.form import Form
from hw4opt.problem import Problem
from hw4opt.selection.folds import Folds
from hw4opt.terms import Acts, PiecewiseQuadratic
from hw4opt.terms.row_map import RowMap

RowLists = tuple[NDArray[np.int64], NDArray[np.int64]]  # of the folds: the start of each, (F + 1,), and all entries
LAYOUT_ENTRIES = 16_000_000  # rows × folds that are laid out together,
SMOOTH_ENTRIES = 1_500_000  # with a smooth loss, whose folds keep some numbers for each of their rows
KEPT_ENTRIES = 100_000_000  # rows × folds whose layouts are kept, a byte each


@dataclass(frozen=True, eq=False)
class Layout:
    """By functional: the row map over all folds, the full data's rows first; (F, m) whether a fold has a row.

    It refers to points, not to a basis, and is shared by all gammas.
    """

    maps: dict[Acts, tuple[RowMap, np.ndarray]]
    _moves: dict[object, tuple[RowLists, RowLists]] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, problem: Problem, held_out: Sequence[np.ndarray]) -> Layout:
        maps = {}
        for term in problem.terms:
            if term.acts not in maps:
                rows, has = problem.design.fold_rows(term.acts, term.label, held_out)
                every = np.ones((len(held_out), rows.count), dtype=bool)
                maps[term.acts] = rows, every if has is None else has > 0
        return cls(maps)

    @classmethod
    def of_all_rows(cls, form: Form) -> Layout:
        """One fold that has all rows of the form."""
        return cls({term.acts: (term.map, np.ones((1, term.count), dtype=bool)) for term in form.terms})

    def moves(self, acts: Sequence[Acts], counts: Sequence[int]) -> tuple[RowLists, RowLists]:
        """The rows that each fold loses and those that it gains, numbered as in a table of row groups: the first
        `counts` rows of every group, those of the full data, then the others of every group."""
        key = tuple(acts), tuple(counts)
        if key not in self._moves:
            groups = list(zip(acts, counts, strict=True))
            gone = np.concatenate([~self.maps[act][1][:, :count] for act, count in groups], axis=1)
            new = np.concatenate([self.maps[act][1][:, count:] for act, count in groups], axis=1)
            self._moves[key] = _lists(gone, 0), _lists(new, sum(counts))
        return self._moves[key]


def _lists(mask: np.ndarray, first: int) -> RowLists:
    """The True entries of every line: the start of each line's, and their columns, counted from `first`."""
    begins = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
    return begins, np.nonzero(mask)[1] + first


class Layouts:
    """The folds of a search in runs of limited size, each with its rows, which are kept if there is room for all."""

    def __init__(self, folds: Folds) -> None:
        self.folds = folds
        self._kept: dict[tuple[Acts, ...], dict[int, Layout]] = {}
        self._room = KEPT_ENTRIES

    def __reduce__(self) -> tuple[type[Layouts], tuple[Folds]]:
        return Layouts, (self.folds,)

    def spans(self, problem: Problem) -> list[slice]:
        """The runs of folds."""
        smooth = not all(isinstance(term, PiecewiseQuadratic) for term in problem.terms)
        step = max(8, (SMOOTH_ENTRIES if smooth else LAYOUT_ENTRIES) // self._rows(problem))
        return [slice(low, min(low + step, len(self.folds))) for low in range(0, len(self.folds), step)]

    def of(self, problem: Problem) -> Iterator[tuple[slice, Layout]]:
        """Every run, with its rows."""
        acts = tuple(term.acts for term in problem.terms)
        entries = self._rows(problem) * len(self.folds)
        if acts not in self._kept and entries <= self._room:
            self._kept[acts] = {}
            self._room -= entries
        kept = self._kept.get(acts)
        for span in self.spans(problem):
            layout = (kept or {}).get(span.start) or Layout.of(problem, self.folds[span])
            if kept is not None:
                kept[span.start] = layout
            yield span, layout

    @staticmethod
    def _rows(problem: Problem) -> int:
        return sum(max(len(problem.design.base_x), 1) for _ in problem.terms)
