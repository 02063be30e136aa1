"""The same form on a part of its rows: a cheap first guess for large problems."""

from __future__ import annotations

import numpy as np

from hw4opt.blocks import Block, SmoothRows
from hw4opt.canonical import sheet_block, term_block
from hw4opt.design import Design
from hw4opt.form import Form
from hw4opt.rows import RowMap


def thin(form: Form, stride: int) -> Form:
    """Every `stride`-th data row in the order of x, at `stride` times its weight, over the same basis: nearly the same optimum."""
    design = form.design
    order = np.arange(len(design.x)) if design.row_of is None else np.argsort(design.row_of, kind="stable")
    keep = order[stride // 2 :: stride]
    part = Design(design.x[keep], design.kernel, design.intercept, design.slopes, design.reduced)
    maps = {acts: part.rows(acts, "") for acts in {block.terms[0].acts for block in form.blocks}}
    blocks = [_block(block, maps[block.terms[0].acts], keep, float(stride)) for block in form.blocks]
    return Form(part, tuple(block for block in blocks if block is not None), form.ridge)


def _block(block: Block, rows: RowMap, keep: np.ndarray, factor: float) -> Block | None:
    if not block.is_loss:
        return term_block(block.terms, rows, None)
    offset, weights = (array if array.shape[1] == 1 else array[:, keep] for array in (block.offset, block.weights))
    if block.smooth is None:
        return sheet_block(block.terms, rows, offset, weights * factor, None, weights * factor)
    smooth = block.smooth.cut(keep)
    smooth = SmoothRows(smooth.term, smooth.targets, smooth.offset, smooth.weights * factor)
    return Block(block.terms, rows, offset, weights * factor, (), smooth)
