"""The interface of saved models of both kinds for `hw4opt predict`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from hw4cli.opt.options import OutputOptions, TableOptions
from hw4opt.tables import Table
from hw4opt.tables.features import Column, Features
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class PredictOptions(TableOptions):
    """The model, the data and the output of a prediction."""

    model: str
    data: str
    out: str
    x: str | None
    y: str | None
    outside: str
    interval: tuple[float, ...]
    interval_method: str


class MixtureColumns(NamedTuple):
    """The columns of counts and groups of new rows, None where there are none, and warnings on missing ones."""

    counts: Column | None = None
    name: str = ""
    groups: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PredictionRows:
    """The m of n new rows without a missing cell, which `used` (n,) marks: x (m, d), offset, counts y, groups (m,)."""

    x: Array
    offset: Array | None
    y: Array | None
    groups: np.ndarray | None
    used: np.ndarray

    @property
    def table_rows(self) -> np.ndarray:
        """Their rows in the table (m,), from 0."""
        return np.flatnonzero(self.used)


class PredictionNotes(NamedTuple):
    """Warnings on the predictions, and the rows (m,) whose missing predictions they explain."""

    sentences: list[str]
    rows: np.ndarray


class Predictor(Protocol):
    """A saved model.

    kind           how sentences name it;  context  what it holds of the columns it was fitted to
    count          the number of its features
    caveats        sentences on what its intervals do not guarantee
    span (2, d)    the lowest and the highest x of the fitted rows, None if unknown
    """

    kind: ClassVar[str]

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
    @property
    def caveats(self) -> list[str]: ...

    def check(self, predict_options: PredictOptions, output_options: OutputOptions) -> None:
        """Raise `InputError` for options that do not apply to it."""
        ...

    def mixture_columns(self, predict_options: PredictOptions, table: Table) -> MixtureColumns:
        """The columns of counts and groups in the table."""
        ...

    def notes(self, rows: PredictionRows, columns: MixtureColumns) -> PredictionNotes:
        """Warnings on the predictions; raises `InputError` for counts that are none."""
        ...

    def predictions(self, rows: PredictionRows) -> dict[str, Array]:
        """The predictions, each (m,), by the name of their column."""
        ...

    def status_record(self, message: str, predictions: Mapping[str, Array]) -> dict[str, Any]:
        """status, message and other properties of the model for the JSON."""
        ...

    def figure(self, x: Array) -> Any:
        """The fit with predictions at x (m, d)."""
        ...

    def save(self, path: str) -> None:
        """Write the model."""
        ...


def unproven_lines(record: Mapping[str, Any]) -> list[str]:
    """The line under the table on why there is no bound."""
    return [f"No proven bound: {record['bound_reason']}"] if "bound_reason" in record else []
