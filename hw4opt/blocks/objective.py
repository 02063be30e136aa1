"""The objective over rows in blocks: each block's rows of the loss, and its part of A made when it is visited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from hw4opt.blocks.rows import Anew, DataRows, RowSource
from hw4opt.blocks.survey import Survey
from hw4opt.design import Design
from hw4opt.form import Form, TermRows
from hw4opt.form.canonicalize import loss_rows
from hw4opt.form.chunks import Chunk
from hw4opt.problem import Model
from hw4opt.solvers._smooth_objective import Objective, Part
from hw4opt.terms.base import Array
from hw4opt.terms.row_map import RowMap


class MadeChunk(Chunk):
    """DataRows of a design whose part of A is made each time it is asked for."""

    def __init__(self, design: Design, x: Array) -> None:
        super().__init__(RowMap(len(x), first=0), x, 0, len(x), keep=False)
        self.design = design

    @property
    def matrix(self) -> Array:
        return self.design.evaluate(self.basis)


@dataclass(frozen=True, eq=False)
class BlockedRows:
    """The rows of a model's loss in blocks, over one design.

    penalty (1, r)   2 ridge on penalised columns, 0 on others;  level  what a free intercept is measured from
    """

    model: Model
    source: RowSource
    survey: Survey
    design: Design
    penalty: Array
    level: float

    def blocks(self, with_x: bool = True) -> Iterator[DataRows]:
        """The rows with a weight, x in the units of the design."""
        return self.survey.blocks(self.source, with_x)

    def loss(self, rows: DataRows) -> TermRows:
        """The rows of the loss of a block."""
        return rows_of_loss(self.model, rows, self.level)

    def form(self, rows: DataRows) -> Form:
        """The form of a block alone."""
        assert rows.x is not None
        return Form(self.design, (self.loss(rows),), self.penalty, self.design.evaluate(rows.x))

    def objective(self) -> Objective:
        """What Newton's method asks: a pass over the rows for each question."""
        return Objective(self._parts(), None, self.penalty)

    def _parts(self) -> Iterable[Part]:
        def made() -> Iterator[Part]:
            for rows in self.blocks():
                assert rows.x is not None
                for function in self.loss(rows).functions:
                    yield MadeChunk(self.design, rows.x), function

        return Anew(made)


def rows_of_loss(model: Model, rows: DataRows, level: float) -> TermRows:
    """The rows of the model's loss."""
    given = ((rows.y, 0.0), (rows.weights, 1.0), (rows.offset, 0.0))
    y, weights, offset = (np.full((1, 1), default) if one is None else one[None] for one, default in given)
    return loss_rows((model.loss,), (y, weights, offset), np.full((1, 1), level), RowMap(len(rows), first=0))
