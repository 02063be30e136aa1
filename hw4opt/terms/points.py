"""The data that a term's rows depend on, and the rows of folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from hw4opt.terms.row_map import RowMap
from hw4opt.validation.arrays import Array

if TYPE_CHECKING:
    from hw4opt.terms.acts import Acts


class Points(Protocol):
    """The data that a term's rows depend on, provided by `Design`.

    The order of functionals: values at `base_x`, slopes there by column, appended ones, coefficients.
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
        """The same for one component of a sum, and the first of its functionals."""
        ...

    @property
    def curve_rows(self) -> int:
        """The number of functionals of each curve."""
        ...

    @property
    def has_coefficients(self) -> bool:
        """Whether the design is linear in the columns."""
        ...

    @property
    def polynomial_degree(self) -> int | None:
        """The degree of the design's functions as polynomials, None if they are not polynomials."""
        ...

    @property
    def spread(self) -> Array | None:
        """The unit of each column, (d,), where they are standardized."""
        ...


class FoldRows(NamedTuple):
    """The rows of all folds together, and which of them each fold has, (folds, rows); None: all."""

    map: RowMap
    has: Array | None
