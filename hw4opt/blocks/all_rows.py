"""Fits with a dual variable per row: the model's columns are read into memory and sorted by x, and the in-memory solver
runs on them (fit.py). If memory is short, basis and row table are stored in files (array_files.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from hw4opt.blocks.rows import DataRows
from hw4opt.blocks.survey import Survey
from hw4opt.errors import InputError, RefusedError, listed, size_text
from hw4opt.fit import fit
from hw4opt.problem import Data, Model
from hw4opt.regularizers.ridge import Ridge
from hw4opt.result import Result
from hw4opt.running.array_files import ArrayFiles, arrays_within, free_memory
from hw4opt.terms import Loss, PiecewiseQuadratic, Term

ROW_BYTES = 112  # memory per row: y, weight, offset, and the parameters of its loss
COLUMN_BYTES = 16  # memory per row and column of x
FREE_BYTES = 48  # memory per row if a column has no penalty: the dual is projected
DUAL_BYTES = 124  # memory or disk per row and row function of a term: the interior point's vectors


def needs_row_duals(model: Model) -> bool:
    """Whether the fit needs a dual variable per row: it has a term other than the ridge, or a piecewise quadratic loss
    with a piece of zero curvature, so that the duals do not follow from w."""
    return bool(terms_with_row_duals(model))


def terms_with_row_duals(model: Model) -> list[str]:
    """The labels of the terms that need a dual variable per row."""
    others = [term.label for term in (*model.regularizers, *model.constraints) if not isinstance(term, Ridge)]
    return others if all(map(_is_curved, model.loss.curves)) else [model.loss.label, *others]


def _is_curved(loss: Loss) -> bool:
    return not isinstance(loss, PiecewiseQuadratic) or all(table.quadratic > 0 for table in loss.tables)


def fit_all_rows(
    model: Model,
    rows: Iterable[DataRows],
    survey: Survey,
    memory: int | None = None,
    tol: float | None = None,
    max_iterations: int | None = None,
    time_limit: float | None = None,
) -> Result:
    """`hw4opt.fit` on the rows of positive weight, sorted by x if x has one column.

    memory    limit in bytes; None: half of the free memory. `bytes_per_row` bytes per row are always in memory. The
              remainder is used first for the dual variables (`dual_bytes_per_row`), then for the basis (8 r bytes per
              row) and the row table; arrays that do not fit are stored in files

    Raises `RefusedError` if memory or disk is too small.
    """
    with arrays_for(model, survey.count, memory, bytes_per_row(model, survey.span.shape[1])):
        problem = model.on(data_of(model, sorted_rows(rows, survey, numbered=False)))
        return fit(problem, "auto", tol, max_iterations, time_limit=time_limit)


@contextmanager
def arrays_for(model: Model, count: int, memory: int | None, row_bytes: int) -> Iterator[ArrayFiles]:
    """Context in which large arrays of `count` rows are in memory as far as they fit beside `row_bytes` bytes per row,
    else in files. Raises `RefusedError` if `row_bytes` bytes per row exceed the memory."""
    memory = free_memory() // 2 if memory is None else memory
    needed, dual_bytes = row_bytes * count, dual_bytes_per_row(model) * count
    if needed > memory:
        raise RefusedError(
            f"{listed(terms_with_row_duals(model))} over rows in blocks needs {row_bytes} bytes of memory per row, "
            f"besides what may be on disk: {size_text(needed)} for {count:,} rows, and the limit is "
            f"{size_text(memory)}; give a larger `memory`, or fewer rows"
        )
    vectors_in_memory = needed + dual_bytes <= memory
    with arrays_within(memory - needed - (dual_bytes if vectors_in_memory else 0), vectors_in_memory) as files:
        yield files


def bytes_per_row(model: Model, columns: int) -> int:
    """Approximate bytes per row with `columns` columns of x that are always in memory."""
    free = FREE_BYTES if model.intercept or not model.ridge else 0
    return ROW_BYTES + COLUMN_BYTES * columns + free


def dual_bytes_per_row(model: Model) -> int:
    """Approximate bytes per row of the dual variables, in memory, or on disk if memory is short."""
    return DUAL_BYTES * sum(
        len(one.tables) if isinstance(one, PiecewiseQuadratic) else 1 for one in terms_on_rows(model)
    )


def terms_on_rows(model: Model) -> list[Term]:
    """The terms, including the loss, that act on values of f at the rows."""
    return [term for term in model.terms if not term.acts.of_coefficients]


def data_of(model: Model, rows: DataRows) -> Data:
    """The rows as `Data` of the model."""
    assert rows.x is not None
    return model.data_of(rows.x, rows.y, rows.weights, rows.offset)


def sorted_rows(parts: Iterable[DataRows], survey: Survey, numbered: bool) -> DataRows:
    """The rows of positive weight, sorted by x if x has one column; with their numbers if `numbered`."""
    rows = _gathered(parts, survey, ("y", "x", "weights", "offset", *(["numbers"] if numbered else [])))
    if rows.x is not None and rows.x.shape[1] == 1 and (rows.x[1:] < rows.x[:-1]).any():
        rows = rows.cut(np.argsort(rows.x[:, 0], kind="stable"))
    return rows


def _gathered(parts: Iterable[DataRows], survey: Survey, names: Sequence[str]) -> DataRows:
    """The columns `names` of the rows of positive weight, concatenated."""
    columns: dict[str, np.ndarray] = {}
    low = high = 0
    for part in parts:
        rows = survey.kept.weighted(part)
        high = low + len(rows)
        if high > survey.count:
            break
        for name in names:
            if (values := getattr(rows, name)) is not None:
                if name not in columns:
                    columns[name] = np.empty((survey.count, *values.shape[1:]), values.dtype)
                columns[name][low:high] = values
        low = high
    if high != survey.count:
        raise InputError("the rows differ from those of the first pass; a source must give the same rows each time")
    return DataRows(**columns)
