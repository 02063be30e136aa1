"""Whether a likelihood over rows in blocks has a finite maximum (proof/existence.py).

Rows that pin every direction count by their span alone, which a triangle of as many rows as columns has too; of the
others only those count that change along a direction which the pinned ones leave open.
"""

from __future__ import annotations

import numpy as np

from hw4opt.blocks.objective import BlockedRows
from hw4opt.blocks.rows import DataRows
from hw4opt.errors import RefusedError
from hw4opt.form import Form
from hw4opt.proof.existence import (
    SLOPE_ROUNDING,
    Existence,
    inside_rows,
    null_space,
    separation_of,
    sides,
    unit_rows,
)
from hw4opt.terms.base import Array

MAX_OPEN_ROWS = 50_000  # different rows among which a separating direction is looked for


def settle_blocks(blocked: BlockedRows, w: Array | None = None) -> Existence:
    """Whether there is a finite maximum; rows are left out: they have no number in memory.

    w    (1, r), a fit that is stationary to rounding: it pins more rows
    """
    free, forms = np.flatnonzero(blocked.penalty[0] == 0), blocked.forms
    if not len(free):
        return Existence(True)

    def pinned(form: Form) -> np.ndarray:
        here = np.zeros(form.loss.count, dtype=bool)
        here[sides(form, 0)[0][0]] = True
        return here if w is None else inside_rows(form, 0, w)[0]

    def triangle(rows: DataRows) -> Array:
        form = forms.of(rows)
        return np.asarray(np.linalg.qr(form.matrix[pinned(form)][:, free], mode="r"))

    def together(one: Array, other: Array) -> Array:
        return np.asarray(np.linalg.qr(np.concatenate([one, other]), mode="r"))

    held = blocked.total(triangle, together)
    assert held is not None
    scale = np.linalg.norm(held, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    span = null_space(unit_rows(np.concatenate([held, np.zeros((1, len(free)))]) / scale))
    if not span.shape[1]:
        return Existence(True)

    def open_rows(rows: DataRows) -> Array:
        form = forms.of(rows)
        some, sign = sides(form, 0)[1][0]
        stays = ~pinned(form)[some]
        some, sign = some[stays], sign[stays]
        a = unit_rows(sign[:, None] * form.matrix[some][:, free] / scale)
        return _different(a[np.linalg.norm(a @ span, axis=1) > SLOPE_ROUNDING])

    def both(one: Array, other: Array) -> Array:
        return _different(np.concatenate([one, other]))

    a = blocked.total(open_rows, both)
    found = None if a is None or not len(a) else separation_of(a, span, np.ones(len(a), dtype=bool))
    return Existence(True) if found is None else Existence(False, columns=tuple(free[found[1]].tolist()))


def _different(a: Array) -> Array:
    """The different rows; raises `RefusedError` for more than a linear program should get."""
    found = np.unique(a, axis=0)
    if len(found) > MAX_OPEN_ROWS:
        raise RefusedError(
            f"whether the likelihood has a finite maximum hangs on more than {MAX_OPEN_ROWS:,} rows, too many for rows "
            "in blocks; give the ridge a weight above 0, or leave out columns that are collinear"
        )
    return found
