"""The same form on a part of its rows: a cheap first guess for large problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw4opt.blocks import Block, Sheet
from hw4opt.design import Design
from hw4opt.form import Form
from hw4opt.rows import RowMap
from hw4opt.terms.base import Array


def thin(form: Form, stride: int) -> Form:
    """Every `stride`-th data row in the order of x, at `stride` times its weight, over the same columns: nearly the same optimum."""
    design = form.design
    order = np.arange(len(design.x)) if design.row_of is None else np.argsort(design.row_of, kind="stable")
    keep = order[stride // 2 :: stride]
    part = Design(design.x[keep], design.kernel, design.intercept, design.slopes, design.reduced)
    maps = {acts: part.rows(acts, "") for acts in {block.acts for block in form.blocks}}
    blocks = [_block(block, maps[block.acts], keep, float(stride)) for block in form.blocks if maps[block.acts].count]
    return Form(part, tuple(blocks), form.penalty, _matrix(form, keep), form.units)


def _matrix(form: Form, keep: np.ndarray) -> Array:
    """The functionals of the base rows that are left: values, slopes, and the coefficients of a linear design."""
    design, size = form.design, len(form.design.base_x)
    base = keep if design.row_of is None else np.unique(design.row_of[keep])
    functionals = [base + size * k for k in range(1 + len(design.slopes))]
    return form.matrix[np.concatenate([*functionals, np.arange(size * (1 + len(design.slopes)), len(form.matrix))])]


def _block(block: Block, rows: RowMap, keep: np.ndarray, factor: float) -> Block:
    if not block.is_loss:
        return replace(block, rows=rows, sheets=tuple(replace(sheet, active=None) for sheet in block.sheets))
    offset, weights = (array if array.shape[1] == 1 else array[:, keep] for array in (block.offset, block.weights))
    smooth = None if block.smooth is None else block.smooth.cut(keep)
    smooth = None if smooth is None else replace(smooth, weights=smooth.weights * factor)
    sheets = tuple(_weighted(sheet.cut(keep), factor) for sheet in block.sheets)
    return replace(block, rows=rows, offset=offset, weights=weights * factor, sheets=sheets, smooth=smooth)


def _weighted(sheet: Sheet, factor: float) -> Sheet:
    low, high = (None if bound is None else bound * factor for bound in (sheet.low, sheet.high))
    return replace(sheet, quadratic=sheet.quadratic / factor, low=low, high=high)
