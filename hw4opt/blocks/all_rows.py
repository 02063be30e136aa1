"""Fits whose rows have a state each, a dual: the columns that a model needs are read once and sorted along x, and the
ordinary solver runs on them (fit.py), with basis and row table in files where memory is short (array_files.py)."""

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

ROW_BYTES = 112  # of memory that a row takes: y, weight, offset, and what its loss is made of,
COLUMN_BYTES = 16  # for each of its x,
FREE_BYTES = 48  # where a column has no penalty, whose duals are projected,
STATE_BYTES = 124  # and, in memory or on disk, for each function of a term on it: the interior point's vectors


def keeps_states(model: Model) -> bool:
    """Whether the fit has duals that sums over the rows do not give: of terms besides the ridge, and of losses that
    bend where they have no curvature."""
    return bool(terms_with_states(model))


def terms_with_states(model: Model) -> list[str]:
    """The labels of the terms that have such duals."""
    others = [term.label for term in (*model.regularizers, *model.constraints) if not isinstance(term, Ridge)]
    return others if all(map(_is_curved, model.loss.curves)) else [model.loss.label, *others]


def _is_curved(loss: Loss) -> bool:
    return not isinstance(loss, PiecewiseQuadratic) or all(table.quadratic > 0 for table in loss.tables)


def fit_all_rows(
    model: Model,
    rows: Iterable[DataRows],
    seen: Survey,
    memory: int | None = None,
    tol: float | None = None,
    max_iterations: int | None = None,
    time_limit: float | None = None,
) -> Result:
    """The fit of `hw4opt.fit` to those of the rows that have a weight, in the order of one x column.

    memory    bytes that it may take, None: half of what is free. Some are needed (`bytes_a_row`); of what is left the
              states of the rows take theirs (`state_bytes_a_row`), then the basis, 8 r bytes a row, and the row
              table. What has no room lies on disk

    Raises `RefusedError` where memory or disk do not hold that.
    """
    with arrays_for(model, seen.count, memory, bytes_a_row(model, seen.span.shape[1])):
        problem = model.on(data_of(model, sorted_rows(rows, seen, numbered=False)))
        return fit(problem, "auto", tol, max_iterations, time_limit=time_limit)


@contextmanager
def arrays_for(model: Model, count: int, memory: int | None, of_row: int) -> Iterator[ArrayFiles]:
    """Inside the block, large arrays are in memory as far as it holds them beside so many bytes for each of the
    rows. Raises `RefusedError` where it does not hold those."""
    memory = free_memory() // 2 if memory is None else memory
    needed, of_states = of_row * count, state_bytes_a_row(model) * count
    if needed > memory:
        raise RefusedError(
            f"{listed(terms_with_states(model))} over rows in blocks takes {of_row} bytes of memory a row besides what "
            f"may lie on disk: {size_text(needed)} for {count:,} rows, which may take {size_text(memory)}; "
            "give a larger `memory`, or fewer rows"
        )
    states = needed + of_states <= memory
    with arrays_within(memory - needed - (of_states if states else 0), states) as files:
        yield files


def bytes_a_row(model: Model, columns: int) -> int:
    """Memory that a row of so many x takes, about, whatever lies in files."""
    free = FREE_BYTES if model.intercept or not model.ridge else 0
    return ROW_BYTES + COLUMN_BYTES * columns + free


def state_bytes_a_row(model: Model) -> int:
    """Memory that a row's states take, about, or disk where memory is short."""
    return STATE_BYTES * sum(
        len(one.tables) if isinstance(one, PiecewiseQuadratic) else 1 for one in terms_on_rows(model)
    )


def terms_on_rows(model: Model) -> list[Term]:
    """The terms, the loss among them, that act on values of f at the rows."""
    return [term for term in model.terms if not term.acts.of_coefficients]


def data_of(model: Model, rows: DataRows) -> Data:
    """The data that the model is fitted to."""
    assert rows.x is not None
    return model.data_of(rows.x, rows.y, rows.weights, rows.offset)


def sorted_rows(parts: Iterable[DataRows], seen: Survey, numbered: bool) -> DataRows:
    """The rows that have a weight, in the order of one x column, with their numbers if they are asked for."""
    rows = _gathered(parts, seen, ("y", "x", "weights", "offset", *(["numbers"] if numbered else [])))
    if rows.x is not None and rows.x.shape[1] == 1 and (rows.x[1:] < rows.x[:-1]).any():
        rows = rows.cut(np.argsort(rows.x[:, 0], kind="stable"))
    return rows


def _gathered(parts: Iterable[DataRows], seen: Survey, names: Sequence[str]) -> DataRows:
    """These columns of the rows that have a weight, in one piece."""
    columns: dict[str, np.ndarray] = {}
    low = high = 0
    for part in parts:
        rows = seen.kept.weighted(part)
        high = low + len(rows)
        if high > seen.count:
            break
        for name in names:
            if (values := getattr(rows, name)) is not None:
                if name not in columns:
                    columns[name] = np.empty((seen.count, *values.shape[1:]), values.dtype)
                columns[name][low:high] = values
        low = high
    if high != seen.count:
        raise InputError("the rows are not those of the first pass; a source gives the same ones each time")
    return DataRows(**columns)
