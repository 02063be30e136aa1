"""What `hw4opt predict` asks of a saved model, whichever kind it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from hw4cli.opt.options import Reading, Writing
from hw4opt.tables import Table
from hw4opt.tables.features import Column, Features
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Asking(Reading):
    """What is predicted by what."""

    model: str
    data: str
    out: str
    x: str | None
    y: str | None
    outside: str


class Told(NamedTuple):
    """The columns of counts and groups that tell more of the rows, where there are any, and sentences on those that lack."""

    counts: Column | None = None
    name: str = ""
    groups: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Rows:
    """The m new rows `here` (n,) that miss no cell: x (m, d), and offset, counts y and groups (m,) where there are any."""

    x: Array
    offset: Array | None
    y: Array | None
    groups: np.ndarray | None
    here: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """Their places in the table (m,), from 0."""
        return np.flatnonzero(self.here)


class Said(NamedTuple):
    """Sentences on the predictions, and the rows (m,) that may be empty by them."""

    sentences: list[str]
    rows: np.ndarray


class Predictor(Protocol):
    """A model.

    what        as a sentence calls it;  context  what it keeps of the columns it was fitted to;  count  of its features
    span (2, d) the lowest and the highest of them in the rows fitted, None where that is not known
    """

    what: ClassVar[str]

    @property
    def context(self) -> Mapping[str, Any]: ...
    @property
    def features(self) -> Features | None: ...
    @property
    def count(self) -> int: ...
    @property
    def has_offset(self) -> bool: ...
    @property
    def span(self) -> Array | None: ...

    def check(self, asking: Asking, writing: Writing) -> None:
        """Raise `InputError` for options that it has no use for."""
        ...

    def told(self, asking: Asking, table: Table) -> Told:
        """What the table tells of its rows besides."""
        ...

    def said(self, rows: Rows, told: Told) -> Said:
        """What is to be said of their predictions; raises `InputError` for counts that are none."""
        ...

    def columns(self, rows: Rows) -> dict[str, Array]:
        """The predictions, each (m,), by the name of their column."""
        ...

    def ending(self, message: str, columns: Mapping[str, Array]) -> dict[str, Any]:
        """status, message, and what else the JSON says of the model."""
        ...

    def figure(self, x: Array) -> Any:
        """The fit with predictions at x (m, d)."""
        ...

    def save(self, path: str) -> None:
        """Write it again."""
        ...
