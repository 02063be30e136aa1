"""The reduced basis of a kernel design over rows in blocks: pivots are chosen from a sample, and a pass over all rows
checks the residual of the kernel's diagonal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw4opt.blocks.rows import BlockSums, DataRows
from hw4opt.blocks.survey import Survey
from hw4opt.design import Design
from hw4opt.design.basis import DIAGONAL_ROUNDING, build_basis, check_size
from hw4opt.problem import Model
from hw4opt.terms.base import Array

WORST_ROWS = 256  # rows of largest residual that a pass adds to the candidates for pivots


def design_of(model: Model, survey: Survey, sums: BlockSums) -> Design:
    """The design of the model: linear, or over a basis with k(x, x) - ‖b(x)‖² ≤ DIAGONAL_ROUNDING · max k(x, x) at
    every row. If the rank limit is reached first, the residual is larger, as for rows in memory."""
    x = survey.sample.x
    assert x is not None
    kernel = model.kernel
    design = Design(x[:2], kernel, model.intercept)  # sufficient for a linear design, which stores no rows
    while kernel is not None:
        basis, _ = build_basis(kernel, np.unique(x, axis=0) if x.shape[1] == 1 else x)
        design = Design(basis.points, kernel, model.intercept, basis=basis)
        if not basis.complete:
            break
        residuals, points = _largest_residuals(design, survey, sums)
        if residuals[0] <= DIAGONAL_ROUNDING:
            break
        x = np.concatenate([x, points])
    return design


def _largest_residuals(design: Design, survey: Survey, sums: BlockSums) -> tuple[Array, Array]:
    """The WORST_ROWS largest residuals (k(x, x) - ‖b(x)‖²)/max k(x, x) over the rows, in decreasing order, and their
    x."""
    without_intercept = replace(design, intercept=False)

    def residuals(rows: DataRows) -> tuple[Array, Array, float]:
        assert rows.x is not None
        values, diagonal = without_intercept.evaluate(rows.x), design.diagonal(rows.x)
        assert design.kernel is not None
        check_size(design.kernel, diagonal)
        return _largest(diagonal - np.vecdot(values, values), rows.x, float(diagonal.max()))

    def merged(a: tuple[Array, Array, float], b: tuple[Array, Array, float]) -> tuple[Array, Array, float]:
        return _largest(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]), max(a[2], b[2]))

    total = survey.total(sums, residuals, merged)
    assert total is not None
    return total[0] / total[2], total[1]


def _largest(residuals: Array, x: Array, largest: float) -> tuple[Array, Array, float]:
    if len(residuals) > WORST_ROWS:
        kept = residuals >= np.partition(residuals, -WORST_ROWS)[-WORST_ROWS]
        residuals, x = residuals[kept], x[kept]
    order = np.argsort(-residuals, kind="stable")[:WORST_ROWS]
    return residuals[order], x[order], largest
