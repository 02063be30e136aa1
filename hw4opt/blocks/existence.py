"""Whether a likelihood over rows in blocks has a finite maximum (proof/existence.py).

Of two-sided rows (a_iᵀd ≠ 0 lowers the likelihood for either sign) only the span matters, which the triangular factor R
of their QR factorisation keeps. Of one-sided rows only those matter that vary over the null space of R; they form the
linear program.
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
    pinned_and_one_sided,
    separation_of,
    unit_rows,
)
from hw4opt.terms.base import Array

MAX_ONE_SIDED_ROWS = 50_000  # distinct one-sided rows in the linear program for a separating direction


def settle_blocks(blocked: BlockedRows, w: Array | None = None) -> Existence:
    """Whether the likelihood has a finite maximum, and the columns that diverge if not; separated rows are not listed.
    Raises `RefusedError` for more than MAX_ONE_SIDED_ROWS distinct one-sided rows.

    w    (1, r), a point that is stationary to rounding: rows inside their domain there count as two-sided
    """
    free, forms = np.flatnonzero(blocked.penalty[0] == 0), blocked.forms
    if not len(free):
        return Existence(True)

    def two_sided(form: Form) -> np.ndarray:
        here = np.zeros(form.loss.count, dtype=bool)
        here[pinned_and_one_sided(form, 0)[0][0]] = True
        return here if w is None else inside_rows(form, 0, w)[0]

    def triangular_factor(rows: DataRows) -> Array:
        form = forms.of(rows)
        return np.asarray(np.linalg.qr(form.matrix[two_sided(form)][:, free], mode="r"))

    def stacked(one: Array, other: Array) -> Array:
        return np.asarray(np.linalg.qr(np.concatenate([one, other]), mode="r"))

    factor = blocked.total(triangular_factor, stacked)
    assert factor is not None
    scale = np.linalg.norm(factor, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    span = null_space(unit_rows(np.concatenate([factor, np.zeros((1, len(free)))]) / scale))
    if not span.shape[1]:
        return Existence(True)

    def varying_rows(rows: DataRows) -> Array:
        form = forms.of(rows)
        some, sign = pinned_and_one_sided(form, 0)[1][0]
        varying = ~two_sided(form)[some]
        some, sign = some[varying], sign[varying]
        a = unit_rows(sign[:, None] * form.matrix[some][:, free] / scale)
        return _distinct(a[np.linalg.norm(a @ span, axis=1) > SLOPE_ROUNDING])

    def merged(one: Array, other: Array) -> Array:
        return _distinct(np.concatenate([one, other]))

    a = blocked.total(varying_rows, merged)
    found = None if a is None or not len(a) else separation_of(a, span, np.ones(len(a), dtype=bool))
    return Existence(True) if found is None else Existence(False, columns=tuple(free[found[1]].tolist()))


def _distinct(a: Array) -> Array:
    """The distinct rows; raises `RefusedError` for more than MAX_ONE_SIDED_ROWS."""
    found = np.unique(a, axis=0)
    if len(found) > MAX_ONE_SIDED_ROWS:
        raise RefusedError(
            f"whether the likelihood has a finite maximum depends on more than {MAX_ONE_SIDED_ROWS:,} rows, too many "
            "for rows in blocks; give the ridge a weight above 0, or leave out columns that are collinear"
        )
    return found
