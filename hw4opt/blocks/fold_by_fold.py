"""Held-out errors of K folds for models with a dual variable per row: the columns are read once, and every fold is
fitted to them separately, with large arrays in files if memory is short (all_rows.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

import numpy as np

from hw4opt.blocks.all_rows import arrays_for, bytes_per_row, data_of, sorted_rows, terms_on_rows
from hw4opt.blocks.held_out import FoldRule, HeldOut, check_rows_held_out
from hw4opt.blocks.rows import DataRows
from hw4opt.blocks.survey import Survey
from hw4opt.form.canonicalize import canonicalize
from hw4opt.problem import Data, Model, Problem
from hw4opt.running.array_files import ArrayFiles, arrays_in
from hw4opt.running.processes import Executor, Workers
from hw4opt.running.threads import one_blas_thread
from hw4opt.selection.fold_results import FoldResults
from hw4opt.selection.folds import Folds
from hw4opt.selection.refits import FoldFit, fit_to_rest, refit_one_by_one
from hw4opt.selection.scores import scores_of

ROW_FOLD_BYTES = 64  # additional memory per row: number, fold, prediction, and score
TERM_FOLD_BYTES = 208  # additional memory per row and term: mask and bounds of the fold's rows


@contextmanager
def fold_by_fold(
    model: Model,
    rows: Iterable[DataRows],
    survey: Survey,
    rule: FoldRule,
    metric: str,
    first_fit: Callable[[float], None],
    memory: int | None = None,
    executor: Executor | None = None,
) -> Iterator[FoldByFold]:
    """Context with the scores of the model's settings; memory and errors as in `fit_all_rows`.

    first_fit    called after the first fit with its seconds, divided by the number of parallel fits
    executor     runs the fits of a setting in parallel, each within the memory limit; None: sequentially, here
    """
    with arrays_for(model, survey.count, memory, fold_bytes_per_row(model, survey.span.shape[1])):
        gathered = sorted_rows(rows, survey, numbered=True)
        assert gathered.numbers is not None
        data, folds = data_of(model, gathered), folds_of(rule, gathered.numbers)
        yield FoldByFold(data, folds, metric, first_fit, memory, executor or Workers(1))


def fold_bytes_per_row(model: Model, columns: int) -> int:
    """Approximate bytes per row with `columns` columns of x that are in memory while a fold is fitted."""
    return bytes_per_row(model, columns) + ROW_FOLD_BYTES + TERM_FOLD_BYTES * len(terms_on_rows(model))


def folds_of(rule: FoldRule, numbers: np.ndarray) -> Folds:
    """The indices of the rows that each fold holds out; `numbers`: row numbers in the source, in any order."""
    order, labels = np.argsort(numbers), np.empty(len(numbers), dtype=np.int32)
    labels[order] = rule.of(numbers[order])
    check_rows_held_out(np.bincount(labels, minlength=rule.count))
    return [np.flatnonzero(labels == fold) for fold in range(rule.count)]


class FoldRefits:
    """The fit without each fold, as a function of the fold's number.

    In another process it builds the problem from the columns at the first call, with large arrays in memory as far as
    that machine's memory allows.
    """

    def __init__(
        self, model: Model, rows: DataRows, folds: Folds, memory: int | None, problem: Problem | None = None
    ) -> None:
        self._sent = model, rows, folds, memory
        self._problem, self._lock = problem, Lock()
        self._files: ArrayFiles | None = None

    def __reduce__(self) -> tuple[type[FoldRefits], tuple[Model, DataRows, Folds, int | None]]:
        return FoldRefits, self._sent

    def __call__(self, fold: int) -> FoldFit:
        """The fit to the rows outside the fold."""
        model, rows, folds, _ = self._sent
        if self._problem is not None and self._files is None:  # in this process, within the caller's memory
            return fit_to_rest(self._problem, folds[fold])
        with self._lock, one_blas_thread(), self._arrays():
            if self._problem is None:
                self._problem = model.on(data_of(model, rows))
            return fit_to_rest(self._problem, folds[fold])

    @contextmanager
    def _arrays(self) -> Iterator[None]:
        """Context for large arrays, which counts those of earlier fits."""
        model, rows, _, memory = self._sent
        assert rows.x is not None
        row_bytes = fold_bytes_per_row(model, rows.x.shape[1])
        with (
            arrays_for(model, len(rows), memory, row_bytes) if self._files is None else arrays_in(self._files) as files
        ):
            self._files = files
            yield


class FoldByFold:
    """Scores of models that differ in their hyper-parameters."""

    def __init__(
        self,
        data: Data,
        folds: Folds,
        metric: str,
        first_fit: Callable[[float], None],
        memory: int | None,
        executor: Executor,
    ) -> None:
        self._data, self._folds, self._metric = data, folds, metric
        self._first_fit, self._fitted = first_fit, False
        self._memory, self._executor = memory, executor

    def __call__(self, models: Sequence[Model]) -> Iterator[HeldOut]:
        """One score per model; the models share a basis."""
        first: Problem | None = None
        for model in models:
            problem = model.on(self._data)
            if first is not None:
                problem.share_design(first.design)
            first = problem if first is None else first
            yield self._score(model, problem)

    def _score(self, model: Model, problem: Problem) -> HeldOut:
        started = time.perf_counter()

        def fitted() -> None:
            if not self._fitted:
                self._fitted = True
                self._first_fit((time.perf_counter() - started) / min(self._executor.count, len(self._folds)))

        result = FoldResults.none([problem], canonicalize(problem), self._folds, False)
        data = self._data
        columns = DataRows(data.y, data.x, data.weights, data.offset)
        fits = FoldRefits(model, columns, self._folds, self._memory, problem)
        refit_one_by_one(problem, result, fits, self._executor, fitted)
        (score,) = scores_of([problem], result, self._metric, None)
        return HeldOut(score.score, score.standard_error, score.largest_gap)
