"""The flat table of all rows that the compiled core reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hw4opt.core.interior import MapRows, RowTable
from hw4opt.form.box_rows import BoxRows
from hw4opt.form.operator import Segment
from hw4opt.form.term_rows import Rows
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap

if TYPE_CHECKING:
    from hw4opt.form.form import Form


def row_table(
    form: Form, gap_scale: Array | None = None, z: Array | None = None, far: np.ndarray | None = None
) -> RowTable:
    """The form's rows; smooth ones are the quadratics that touch them at z (b, M), which then is needed, for steps that
    may be `far` (b,).

    gap_scale (b,): what gaps are relative to, where it is not what the fit explains.
    """
    listed = [one for term in form.terms for one in term.functions]
    segments = [segment for segment in form.operator.segments if segment.map.count]
    functions = [one for one, segment in zip(listed, form.operator.segments, strict=True) if segment.map.count]
    boxes = [_box(one, z, far, segment.span) for one, segment in zip(functions, segments, strict=True)]
    given = {} if gap_scale is None else {"gap_scale": gap_scale}
    if gap_scale is None and not form.has_loss:
        given["gap_scale"] = np.full(form.batch, np.inf)
    elif gap_scale is None:
        reference = form.reference
        given["share"] = np.ascontiguousarray(np.broadcast_to(reference.share, reference.lost.shape))
        given |= {name: getattr(reference, name) for name in ("lost", "charged")} | {"least": reference.least}
    wide = form.penalty.shape
    return RowTable(
        base=np.ascontiguousarray(form.matrix),
        maps=[_map_rows(segment.map) for segment in segments],
        penalty=np.ascontiguousarray(form.penalty),
        **{name: _joined([getattr(box, of) for box in boxes], segments, form.batch) for name, of in COLUMNS.items()},
        length=_lengths(form),
        w_scale=np.ascontiguousarray(np.broadcast_to(form.w_scale, wide)),
        proximal=np.ascontiguousarray(np.broadcast_to(form.proximal_term, wide)),
        z_scale=form.scales.z[:, 0].copy(),
        u_scale=form.scales.u[:, 0].copy(),
        loss_length=form.loss_length,
        data_rows=len(form.design.x),
        loss_functions=len(form.terms[0].functions) if form.has_loss else 1,
        **given,
    )


COLUMNS = {"q": "quadratic", "t": "shift", "low": "low", "high": "high"}


def _box(rows: Rows, z: Array | None, far: np.ndarray | None, span: slice) -> BoxRows:
    if isinstance(rows, BoxRows):
        return rows
    assert z is not None
    return rows.quadratic_at(z[:, span], np.zeros((len(z), 1), dtype=bool) if far is None else far[:, None])


def _joined(arrays: Sequence[Array], segments: Sequence[Segment], batch: int) -> Array:
    found = np.empty((batch, sum(segment.map.count for segment in segments)))
    for array, segment in zip(arrays, segments, strict=True):
        found[:, segment.span] = array
    return found


def _lengths(form: Form) -> Array:
    found = np.ones(form.size)
    for block in form.blocks:
        found[block.span] = block.length
    return found


def _map_rows(rows: RowMap) -> MapRows:
    index = None if rows.index is None else np.ascontiguousarray(rows.index, dtype=np.int64)
    coef = rows.coef if rows.coef is None or rows.coef.strides[1] == rows.coef.itemsize else np.array(rows.coef)
    return MapRows(rows.count, rows.first or 0, index, coef)
