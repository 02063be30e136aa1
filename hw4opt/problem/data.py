"""The data of a regression: checked arrays, one entry per row, and the names of their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError, shown
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_argument
from hw4opt.validation.arrays import ReadOnly, finite_array, finite_column, read_only
from hw4opt.validation.frozen import cached_property, set_fields

MIN_RELATIVE_WEIGHT = 1e-60  # of the largest: below, a row's loss is lost in the rounding of the others'


@dataclass(frozen=True)
class ColumnNames:
    """The names of the columns of the table that the data come from; None where a name is not known.

    exposure    the column whose logarithm is the offset, in place of `offset`
    """

    x: tuple[str, ...] | None = None
    y: str | None = None
    weights: str | None = None
    offset: str | None = None
    exposure: str | None = None

    def updated(self, named: Mapping[str, Any]) -> ColumnNames:
        """These names, replaced by those in `named`, by role as in `as_dict`; other entries of it are ignored.

        Raises `InputError` for a value that is not a name.
        """
        given = {role.name: named[role.name] for role in fields(self) if role.name in named}
        for role, name in given.items():
            if role != "x":
                check_argument(f"the name of {role}", name, "str | None", {})
        if (x := given.get("x")) is not None:
            if not isinstance(x, list | tuple) or not all(isinstance(name, str) for name in x):
                raise InputError(f"the names of the x columns are {shown(x)}; give a list of strings")
            given["x"] = tuple(x)
        return ColumnNames(**{**asdict(self), **given})

    def as_dict(self) -> dict[str, Any]:
        """The known names by role; those of x are a list."""
        known = {role: name for role, name in asdict(self).items() if name is not None}
        return known if self.x is None else {**known, "x": list(self.x)}


@dataclass(frozen=True, eq=False, init=False)
class Data(ReadOnly):
    """Rows of numbers, copied and locked.

    x         (n,) or (n, d), kept as (n, d); of a precomputed kernel, the Gram matrix (n, n)
    y         (n,) targets
    weights   (n,) ω ≥ 0 of the rows' losses; below 1e-60 of the largest, it counts as 0
    offset    (n,) added to the fit in the loss
    names     of the columns
    copy      how x is copied: `Model.data_of` leaves room beside it for the other columns of a linear design

    Raises `InputError`, whose sentence names what is wrong.
    """

    x: Array
    y: Array
    weights: Array | None
    offset: Array | None
    names: ColumnNames

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        names: ColumnNames | None = None,
        copy: Callable[[Array], Array] = np.array,
    ) -> None:
        if names is not None:
            check_argument("names", names, "ColumnNames | None", globals())
        x, y = finite_array("x", x, copy), finite_array("y", y)
        shapes = x.shape, y.shape
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim != 2 or y.ndim != 1 or len(x) != len(y):
            raise InputError(f"x has shape {shapes[0]} and y {shapes[1]}; give x (n,) or (n, d) and y (n,)")
        if len(y) < 2:
            raise InputError(f"there is {'one row' if len(y) == 1 else 'no row'}; a regression needs at least two")
        names = ColumnNames() if names is None else names
        if names.x is not None and len(names.x) != x.shape[1]:
            raise InputError(f"the names of the {x.shape[1]} x columns are {shown(list(names.x))}")
        set_fields(
            self,
            x=x,
            y=y,
            weights=None if weights is None else _checked_weights(weights, len(y)),
            offset=None if offset is None else finite_column("offset", offset, len(y)),
            names=names,
        )

    @cached_property
    def active(self) -> np.ndarray | None:
        """The rows with a weight above 0, or None for all of them."""
        if self.weights is None or self.weights.min() > 0:
            return None
        return read_only(np.flatnonzero(self.weights))

    @property
    def active_y(self) -> Array:
        """The targets of the rows with a weight above 0."""
        return self.y if self.active is None else self.y[self.active]

    @property
    def active_residual_targets(self) -> Array:
        """Targets less the offset, of the rows with a weight above 0: a residual loss compares the fit with them."""
        targets = self.y if self.offset is None else self.y - self.offset
        return targets if self.active is None else targets[self.active]


def _checked_weights(given: ArrayLike, rows: int) -> Array:
    weights = finite_column("weights", given, rows)
    if weights.min() < 0:
        row = int(np.argmin(weights))
        raise InputError(f"weights holds {weights[row]:g} in row {row}; weights must be 0 or more", row)
    tiny = (weights < MIN_RELATIVE_WEIGHT * weights.max()) & (weights > 0)
    if tiny.any():
        weights = finite_array("weights", np.where(tiny, 0.0, weights))
    if not weights.any():
        raise InputError("the weight of every row is zero; a regression needs at least two rows with one above 0")
    if np.count_nonzero(weights) < 2:
        raise InputError("fewer than two rows have a weight above 0; a regression needs at least two")
    return weights
