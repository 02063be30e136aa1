"""The same form on a part of its rows: a cheap start for large problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw4opt.form.box_rows import BoxRows
from hw4opt.form.form import Form
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.form.term_rows import TermRows
from hw4opt.terms.row_map import RowMap


def subsample(form: Form, stride: int) -> Form:
    """Every `stride`-th data row in the order of x, at `stride` times its weight, over the same columns: nearly the
    same optimum.

    The other terms are those of the points that are left, for forms whose rows all take part.
    """
    design = form.design
    order = np.arange(len(design.x)) if design.row_of is None else np.argsort(design.row_of, kind="stable")
    keep = order[stride // 2 :: stride]
    part = design.of_rows(keep)
    maps = {acts: part.rows(acts, "") for acts in {term.acts for term in form.terms}}
    terms = [_subsampled(term, maps[term.acts], keep, float(stride)) for term in form.terms if maps[term.acts].count]
    return Form(part, tuple(terms), form.penalty, form.matrix[design.functionals_of_rows(keep)], form.units)


def _subsampled(term: TermRows, rows: RowMap, keep: np.ndarray, factor: float) -> TermRows:
    if not term.is_loss:
        return replace(term, map=rows, functions=tuple(_everywhere(box) for box in term.boxes))
    offset, weights = (array if array.shape[1] == 1 else array[:, keep] for array in (term.offset, term.weights))
    functions = tuple(_weighted(one.cut(keep), factor) for one in term.functions)
    return replace(term, map=rows, offset=offset, weights=weights * factor, functions=functions)


def _everywhere(box: BoxRows) -> BoxRows:
    """One row for all: those of a row that takes part."""
    place = int(np.argmax(box.open[0])) if box.open.shape[1] > 1 else 0
    arrays = (box.quadratic, box.shift, box.low, box.high)
    return BoxRows(*(array if array.shape[1] == 1 else array[:, place : place + 1] for array in arrays))


def _weighted(rows: BoxRows | SmoothRows, factor: float) -> BoxRows | SmoothRows:
    if isinstance(rows, BoxRows):
        return rows.weighted(np.array([[factor]]))
    return replace(rows, weights=rows.weights * factor)
