"""What the rows of a term depend on, and the rows that folds have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from hw4opt.terms.row_map import RowMap
from hw4opt.validation.arrays import Array

if TYPE_CHECKING:
    from hw4opt.terms.acts import Acts


class Points(Protocol):
    """What the rows of a term depend on, as `Design` has it.

    Functionals are counted: values at `base_x`, the slopes there by column, what was appended, the coefficients.
    """

    @property
    def x(self) -> Array:
        """The data rows (n, d)."""
        ...

    @property
    def base_x(self) -> Array:
        """The base points (N, d): distinct sorted x in one dimension, else the data rows."""
        ...

    @property
    def row_of(self) -> np.ndarray | None:
        """The base point of each data row; None: they are the same."""
        ...

    @property
    def slopes(self) -> tuple[int, ...]:
        """The columns whose slopes are functionals."""
        ...

    def first_row(self, acts: Acts) -> int:
        """The first of the functionals that were appended for `acts`."""
        ...

    def component(self, name: str) -> tuple[Points, int]:
        """What a component of a sum depends on, and the first of its functionals."""
        ...

    @property
    def curve_rows(self) -> int:
        """How many functionals there are of each curve."""
        ...

    @property
    def has_coefficients(self) -> bool:
        """Whether the design is linear in the columns."""
        ...

    @property
    def polynomial_degree(self) -> int | None:
        """The degree of the polynomials that the design's functions are, None where they are not."""
        ...

    @property
    def spread(self) -> Array | None:
        """The unit of each column, (d,), where they are standardized."""
        ...


class FoldRows(NamedTuple):
    """The rows of all folds together, and which of them each fold has, (folds, rows); None: all."""

    map: RowMap
    has: Array | None
