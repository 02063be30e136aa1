"""The flat table of all rows that the compiled core reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hw4opt.core.interior import MapRows, RowTable
from hw4opt.form.box_rows import BoxRows
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap

if TYPE_CHECKING:
    from hw4opt.form.form import Form


def row_table(
    form: Form, gap_scale: Array | None = None, z: Array | None = None, far: np.ndarray | None = None
) -> RowTable:
    """The form's rows; smooth ones are replaced by their second-order expansions at z (b, M), which is then required,
    for steps that may be `far` (b,).

    gap_scale (b,): the scale of gaps, if it is not that of the fit.
    """
    boxes, first, loss = form.boxes, form.smooth_count, form.loss.functions[0]
    if isinstance(loss, SmoothRows):
        assert z is not None
        far = np.zeros((form.batch, 1), dtype=bool) if far is None else far[:, None]
        boxes = BoxRows.join([loss.quadratic_at(z[:, :first], far), boxes], [first, form.size - first])
    given = {} if gap_scale is None else {"gap_scale": gap_scale}
    if gap_scale is None and not form.has_loss:
        given["gap_scale"] = np.full(form.batch, np.inf)
    elif gap_scale is None:
        reference = form.reference
        given = {name: getattr(reference, name) for name in ("share", "lost", "charged", "least")}
    nothing = np.zeros(form.penalty.shape)  # both are of columns without penalty
    return RowTable(
        base=np.ascontiguousarray(form.matrix),
        maps=[_map_rows(one.map) for one in form.operator.segments if one.map.count],
        penalty=np.ascontiguousarray(form.penalty),
        q=boxes.quadratic,
        t=boxes.shift,
        low=boxes.low,
        high=boxes.high,
        length=form.operator.lengths,
        w_scale=nothing if form.all_penalized else form.w_scale,
        proximal=nothing if form.all_penalized else form.proximal_term,
        z_scale=form.scales.z[:, 0],
        u_scale=form.scales.u[:, 0],
        loss_length=form.loss_length,
        data_rows=len(form.design.x),
        loss_functions=len(form.terms[0].functions) if form.has_loss else 1,
        **given,
    )


def _map_rows(rows: RowMap) -> MapRows:
    index = None if rows.index is None else np.ascontiguousarray(rows.index, dtype=np.int64)
    coef = rows.coef if rows.coef is None or rows.coef.strides[1] == rows.coef.itemsize else np.array(rows.coef)
    return MapRows(rows.count, rows.first or 0, index, coef)
