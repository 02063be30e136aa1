"""The basis of a kernel design over rows in blocks: pivots among a sample, checked at all rows in a pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw4opt.blocks.rows import BlockSums, DataRows
from hw4opt.blocks.survey import Survey
from hw4opt.design import Design
from hw4opt.design.basis import DIAGONAL_ROUNDING, build_basis, check_size
from hw4opt.problem import Model
from hw4opt.terms.base import Array

WORST_ROWS = 256  # rows that a pass adds to the points from which pivots are chosen


def design_of(model: Model, survey: Survey, sums: BlockSums) -> Design:
    """The design of the model: linear, or over a basis that leaves no more of k(x, x) at any row than rounding may.

    Where the rank limit stops it, it leaves more, as in memory.
    """
    x = survey.sample.x
    assert x is not None
    kernel = model.kernel
    design = Design(x[:2], kernel, model.intercept)  # a linear one: it holds no rows
    while kernel is not None:
        basis, _ = build_basis(kernel, np.unique(x, axis=0) if x.shape[1] == 1 else x)
        design = Design(basis.points, kernel, model.intercept, basis=basis)
        if not basis.complete:
            break
        left, points = _worst(design, survey, sums)
        if left[0] <= DIAGONAL_ROUNDING:
            break
        x = np.concatenate([x, points])
    return design


def _worst(design: Design, survey: Survey, sums: BlockSums) -> tuple[Array, Array]:
    """What the basis leaves of k(x, x) where it leaves most, relative to the largest k(x, x), in falling order; and
    these x."""
    bare = replace(design, intercept=False)

    def one(rows: DataRows) -> tuple[Array, Array, float]:
        assert rows.x is not None
        values, exact = bare.evaluate(rows.x), design.diagonal(rows.x)
        assert design.kernel is not None
        check_size(design.kernel, exact)
        return _most(exact - np.vecdot(values, values), rows.x, float(exact.max()))

    def both(a: tuple[Array, Array, float], b: tuple[Array, Array, float]) -> tuple[Array, Array, float]:
        return _most(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]), max(a[2], b[2]))

    found = survey.total(sums, one, both)
    assert found is not None
    return found[0] / found[2], found[1]


def _most(left: Array, x: Array, largest: float) -> tuple[Array, Array, float]:
    if len(left) > WORST_ROWS:
        here = left >= np.partition(left, -WORST_ROWS)[-WORST_ROWS]
        left, x = left[here], x[here]
    order = np.argsort(-left, kind="stable")[:WORST_ROWS]
    return left[order], x[order], largest
