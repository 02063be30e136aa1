"""New rows outside the range of the fitted ones, and predictions that no number holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hw4opt.errors import listed
from hw4opt.terms.base import Array

OUTSIDE = {
    "keep": "predictions there follow from the kernel or the line alone, not from data: --outside empty leaves them out, --outside clip "
    "takes the nearest x inside",
    "empty": "predictions there are left empty",
    "clip": "predictions there are those at the nearest x inside, each column by itself",
}


@dataclass(frozen=True, eq=False)
class Place:
    """Where new rows lie. low, high (d,): the range of the fitted rows in each column; rows (m,) their places in the table, from 0."""

    x: Array
    low: Array
    high: Array
    rows: np.ndarray

    @classmethod
    def of(cls, span: Array | None, x: Array, rows: np.ndarray) -> Place:
        """Beside fitted rows whose lowest and highest x are `span` (2, d); None: they lie nowhere."""
        low, high = np.repeat([[-np.inf], [np.inf]], x.shape[1], axis=1) if span is None else span
        return cls(x, low, high, rows)

    @property
    def beyond(self) -> np.ndarray:
        """(m, d) whether the row lies below or above the fitted ones in that column."""
        return np.not_equal(self.nearest, self.x)

    @property
    def outside(self) -> np.ndarray:
        """(m,) whether it does in any column."""
        return np.asarray(self.beyond.any(axis=1))

    @property
    def nearest(self) -> Array:
        """(m, d) the nearest x inside, each column by itself."""
        return np.clip(self.x, self.low, self.high)

    def warnings(self, names: Sequence[str] | None, what: str) -> list[str]:
        """The sentence on the rows outside; `what` is done with them."""
        outside = self.rows[self.outside]
        if not len(outside):
            return []
        places = np.flatnonzero(self.beyond.any(axis=0)).tolist()
        spans = listed([f"{names[at] if names else f'x{at + 1}'} from {self.low[at]:.6g} to {self.high[at]:.6g}" for at in places])
        return [
            f"{numbered(outside)} {'lies' if len(outside) == 1 else 'lie'} outside the range of the fitted rows ({spans}); {OUTSIDE[what]}"
        ]

    def lost(self, columns: Mapping[str, Array], but: np.ndarray) -> list[str]:
        """The sentence on predictions that are no finite number, in rows other than those of the mask `but` (m,)."""
        lost = ~but & ~np.logical_and.reduce([np.isfinite(np.asarray(values, dtype=float)) for values in columns.values()])
        if not lost.any():
            return []
        return [f"{numbered(self.rows[lost])}: a prediction, or its bound, is beyond floating point and left empty"]


def emptied(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The values (m,) with nothing in these rows: NaN among floats, None among whole numbers."""
    return np.where(rows, np.nan if values.dtype.kind == "f" else np.array(None), values) if rows.any() else values


def numbered(rows: np.ndarray) -> str:
    """Rows (from 0) for a sentence, as in "rows 2, 3"."""
    return f"row{'' if len(rows) == 1 else 's'} {listed([str(row + 1) for row in rows.tolist()])}"
