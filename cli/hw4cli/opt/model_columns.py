"""The columns of a fitted model, and new rows for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4cli.opt.missing_cells import dropped_sentence, missing_cells, refuse_missing
from hw4opt import InputError, ModelFileError
from hw4opt.errors import listed
from hw4opt.tables import Table
from hw4opt.tables.features import Column, Features, Levels, Numbers
from hw4opt.terms.base import Array


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows for a prediction: x (m, d) of the rows without a missing cell, which `used` (n,) marks."""

    x: Array
    used: np.ndarray
    warnings: tuple[str, ...]


def features_of(context: Any, count: int) -> Features | None:
    """The features of a fitted model, None if its context does not name them; raises `ModelFileError`.

    count    how many there are
    """
    if not isinstance(context, dict):
        raise ModelFileError("the model file is damaged: it does not describe its columns")
    names = context.get("x")
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) != count:
        raise ModelFileError(f"the model file is damaged: it does not name its {count} features")
    if "features" not in context:
        return Features(tuple(map(Numbers, names)))
    features = Features.load(context["features"])
    if list(features.names) != names:
        raise ModelFileError("the model file is damaged: its features have two sets of names")
    return features


def target_of(context: Mapping[str, Any], name: str) -> Column:
    """How a model with this context reads the target column `name`; raises `ModelFileError`."""
    columns = Features.load(context["target"]).columns if "target" in context else (Numbers(name),)
    if len(columns) != 1 or isinstance(columns[0], Levels):
        raise ModelFileError("the model file is damaged: it has no column of targets")
    return columns[0]


def new_rows(
    table: Table,
    features: Features,
    missing: str,
    names: Sequence[str] | None = None,
    more: Sequence[str] = (),
    groups: str | None = None,
    may_be_empty: bool = False,
) -> NewRows:
    """The features of a table other than the fitted one. Raises `InputError` where no row is left, unless that may be.

    names     its feature columns, if they are named differently
    more      further columns of numbers that are used;  groups  a column of groups that is used
    """
    names = [column.name for column in features.columns] if names is None else names
    texts = {name for name, column in zip(names, features.columns, strict=True) if isinstance(column, Levels)}
    used = [*names, *more, *([] if groups is None else [groups])]
    gaps = missing_cells(table, texts if groups is None else {*texts, groups}, used)
    dropped = np.logical_or.reduce([np.zeros(len(table), dtype=bool), *gaps.values()])
    if dropped.any() and missing == "refuse":
        refuse_missing(table, groups, gaps)
    if dropped.all() and may_be_empty:
        return NewRows(np.empty((0, len(names))), ~dropped, ())
    if dropped.all():
        raise InputError(
            f"every row of {table.source} misses a cell of {listed(map(repr, gaps))}; --missing drop leaves none"
        )
    x = features.matrix(table, ~dropped, names)[~dropped]
    return NewRows(x, ~dropped, (dropped_sentence(dropped, gaps),) if dropped.any() else ())
