"""The objective over rows in blocks: each block's rows of the loss, and its part of A made when it is visited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from hw4opt.blocks.rows import BlockSums, DataRows, R
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
    """Rows of a design whose part of A is made each time it is asked for."""

    def __init__(self, design: Design, x: Array) -> None:
        super().__init__(RowMap(len(x), first=0), x, 0, len(x), keep=False)
        self.design = design

    @property
    def matrix(self) -> Array:
        return self.design.evaluate(self.basis)


@dataclass(frozen=True, eq=False)
class BlockForms:
    """What makes the form of a block of a model over a design: it holds no rows, and is sent to whoever has them.

    penalty (1, r)   2 ridge on penalised columns, 0 on others;  level  what a free intercept is measured from
    """

    model: Model
    design: Design
    penalty: Array
    level: float

    def loss(self, rows: DataRows) -> TermRows:
        """The rows of the loss of a block."""
        return rows_of_loss(self.model, rows, self.level)

    def of(self, rows: DataRows) -> Form:
        """The form of a block alone."""
        assert rows.x is not None
        return Form(self.design, (self.loss(rows),), self.penalty, self.design.evaluate(rows.x))


@dataclass(frozen=True, eq=False)
class BlockedRows:
    """The rows of a model's loss in blocks, over one design."""

    forms: BlockForms
    sums: BlockSums
    survey: Survey

    @property
    def model(self) -> Model:
        return self.forms.model

    @property
    def design(self) -> Design:
        return self.forms.design

    @property
    def penalty(self) -> Array:
        return self.forms.penalty

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None:
        """A sum over the rows with a weight, x in the units of the design."""
        return self.survey.total(self.sums, act, combine, with_x)

    def objective(self, penalty: Array | None = None) -> Objective:
        """What Newton's method asks: a pass over the rows for each question; of several penalties (b, r) together."""
        return Objective(BlockedParts(self), None, self.penalty if penalty is None else penalty)


@dataclass(frozen=True, eq=False)
class BlockedParts:
    """The parts of the objective, made in every pass; all its problems share the rows."""

    blocked: BlockedRows

    def total(self, act: Callable[[Part], R], combine: Callable[[R, R], R]) -> R | None:
        forms = self.blocked.forms

        def one(rows: DataRows) -> R:
            assert rows.x is not None
            chunk = MadeChunk(forms.design, rows.x)
            return reduce(combine, (act((chunk, function)) for function in forms.loss(rows).functions))

        return self.blocked.total(one, combine)

    def cut(self, stay: np.ndarray) -> BlockedParts:
        return self


def rows_of_loss(model: Model, rows: DataRows, level: float) -> TermRows:
    """The rows of the model's loss."""
    given = ((rows.y, 0.0), (rows.weights, 1.0), (rows.offset, 0.0))
    y, weights, offset = (np.full((1, 1), default) if one is None else one[None] for one, default in given)
    return loss_rows((model.loss,), (y, weights, offset), np.full((1, 1), level), RowMap(len(rows), first=0))
