"""The objective over rows in blocks: the loss of each block's rows, and their part of A, which is evaluated in each
pass."""

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


class EvaluatedChunk(Chunk):
    """Rows of a design whose part of A is evaluated at each access and not stored."""

    def __init__(self, design: Design, x: Array) -> None:
        super().__init__(RowMap(len(x), first=0), x, 0, len(x), keep=False)
        self.design = design

    @property
    def matrix(self) -> Array:
        return self.design.evaluate(self.basis)


@dataclass(frozen=True, eq=False)
class BlockForms:
    """Builds the form of a block from its rows; it holds no rows itself, so that it can be sent to workers.

    penalty (1, r)   2 ridge on penalised columns, 0 on others;  level  constant that f is relative to
    """

    model: Model
    design: Design
    penalty: Array
    level: float

    def loss(self, rows: DataRows) -> TermRows:
        """The loss of a block's rows."""
        return rows_of_loss(self.model, rows, self.level)

    def of(self, rows: DataRows) -> Form:
        """The form of one block."""
        assert rows.x is not None
        return Form(self.design, (self.loss(rows),), self.penalty, self.design.evaluate(rows.x))


@dataclass(frozen=True, eq=False)
class BlockedRows:
    """A model over one design, and the sums over its rows in blocks."""

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
        """A sum over the rows of positive weight, x in units of the design."""
        return self.survey.total(self.sums, act, combine, with_x)

    def objective(self, penalty: Array | None = None) -> Objective:
        """The objective for Newton's method, with one pass over the rows per evaluation; for several penalties (b, r)
        it is a batch."""
        return Objective(BlockedParts(self), None, self.penalty if penalty is None else penalty)


@dataclass(frozen=True, eq=False)
class BlockedParts:
    """`ObjectiveParts` that are built again in each pass; all problems of the batch share the rows."""

    blocked: BlockedRows

    def total(self, act: Callable[[Part], R], combine: Callable[[R, R], R]) -> R | None:
        forms = self.blocked.forms

        def one(rows: DataRows) -> R:
            assert rows.x is not None
            chunk = EvaluatedChunk(forms.design, rows.x)
            return reduce(combine, (act((chunk, function)) for function in forms.loss(rows).functions))

        return self.blocked.total(one, combine)

    def cut(self, stay: np.ndarray) -> BlockedParts:
        return self


def rows_of_loss(model: Model, rows: DataRows, level: float) -> TermRows:
    """The model's loss at these rows, f relative to `level`."""
    given = ((rows.y, 0.0), (rows.weights, 1.0), (rows.offset, 0.0))
    y, weights, offset = (np.full((1, 1), default) if one is None else one[None] for one, default in given)
    return loss_rows((model.loss,), (y, weights, offset), np.full((1, 1), level), RowMap(len(rows), first=0))
