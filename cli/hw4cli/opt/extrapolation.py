"""New rows outside the range of the fitted rows, and predictions beyond floating point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.errors import listed
from hw4opt.terms.base import Array

OUTSIDE_ADVICE = {
    "keep": "predictions there depend on the kernel or the line, not on data: --outside empty leaves them "
    "empty, --outside clip predicts at the nearest x inside",
    "empty": "predictions there are left empty",
    "clip": "predictions there are those at the nearest x inside, column by column",
}


@dataclass(frozen=True, eq=False)
class RowRange:
    """New rows x (m, d) and the range of the fitted rows.

    low, high (d,)    the range in each column;  rows (m,)  where the new rows stand in their table, from 0
    """

    x: Array
    low: Array
    high: Array
    rows: np.ndarray

    @classmethod
    def of(cls, span: Array | None, x: Array, rows: np.ndarray) -> RowRange:
        """`span` (2, d) is the lowest and highest x of the fitted rows; None: no limits."""
        low, high = np.repeat([[-np.inf], [np.inf]], x.shape[1], axis=1) if span is None else span
        return cls(x, low, high, rows)

    @property
    def beyond(self) -> np.ndarray:
        """(m, d) whether the row lies outside the range in that column."""
        return np.not_equal(self.nearest, self.x)

    @property
    def outside(self) -> np.ndarray:
        """(m,) whether the row lies outside the range in any column."""
        return np.asarray(self.beyond.any(axis=1))

    @property
    def nearest(self) -> Array:
        """(m, d) the nearest x inside the range, column by column."""
        return np.clip(self.x, self.low, self.high)

    def warnings(self, names: Sequence[str] | None, treatment: str) -> list[str]:
        """The warning on rows outside the range; `treatment` is the value of --outside."""
        outside = self.rows[self.outside]
        if not len(outside):
            return []
        places = np.flatnonzero(self.beyond.any(axis=0)).tolist()
        verb = "lies" if len(outside) == 1 else "lie"
        spans = listed(
            [f"{names[at] if names else f'x{at + 1}'} from {self.low[at]:.6g} to {self.high[at]:.6g}" for at in places]
        )
        return [
            f"{row_list(outside)} {verb} outside the range of the fitted rows ({spans}); {OUTSIDE_ADVICE[treatment]}"
        ]

    def overflow_warnings(self, columns: Mapping[str, Array], except_rows: np.ndarray) -> list[str]:
        """The warning on predictions that are not finite, except in the rows of the mask (m,)."""
        overflowed = ~except_rows & ~np.logical_and.reduce(
            [np.isfinite(np.asarray(values, dtype=float)) for values in columns.values()]
        )
        if not overflowed.any():
            return []
        return [
            f"{row_list(self.rows[overflowed])}: a prediction, or its bound, is beyond floating point and left empty"
        ]


def with_empty_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The values (m,) with NaN in these rows, None if they are whole numbers."""
    return np.where(rows, np.nan if values.dtype.kind == "f" else np.array(None), values) if rows.any() else values


def row_list(rows: np.ndarray) -> str:
    """Rows (from 0) as a sentence lists them, from 1: "rows 2, 3"."""
    return f"row{'' if len(rows) == 1 else 's'} {listed([str(row + 1) for row in rows.tolist()])}"
