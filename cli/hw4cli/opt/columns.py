"""The columns of a table by their role in a fit, and which rows are used; a warning for everything left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4cli.opt.missing_cells import dropped_sentence, missing_cells, refuse_missing
from hw4cli.opt.options import TableOptions
from hw4cli.opt.unused_columns import column_kind, unused_column_warnings
from hw4opt import InputError
from hw4opt.errors import listed
from hw4opt.tables import Table
from hw4opt.tables.features import Codes, Column, Features, Levels, Moments, Numbers
from hw4opt.tables.table import DECIMAL_COMMA, repeated
from hw4opt.terms.base import Array

DEFAULT_TARGET = "y"  # of --y
LARGEST_VALUE = 1e150  # squares of numbers up to it can be summed


@dataclass(frozen=True)
class Roles:
    """The columns that the options name."""

    x: str | None
    y: str
    weights: str | None = None
    offset: str | None = None
    exposure: str | None = None
    groups: str | None = None
    init: str | None = None

    @property
    def taken(self) -> dict[str, str]:
        """Column → role, for the columns that are not features."""
        found: dict[str, str] = {}
        for role, name in vars(self).items():
            if role != "x" and name is not None:
                found.setdefault(name, role)
        return found


@dataclass(frozen=True, eq=False)
class DataColumns:
    """The values of the columns, for all n rows of the table.

    x (n, d)       the features, finite; an unused row without finite values has those of the first used row
    y (n,)         the targets, likewise;  target  the kind of their column
    weights (n,)   None without a column of weights
    used (n,)      rows with a weight above 0 that are not dropped
    dropped (n,)   rows with a missing cell
    blank (n,)     unused rows whose x and y are those of another row
    """

    table: Table
    features: Features
    target: Column
    x: Array
    y: Array
    weights: Array | None
    used: np.ndarray
    dropped: np.ndarray
    blank: np.ndarray
    warnings: tuple[str, ...]

    def without_dropped(self, values: Any) -> Any:
        """An array without its dropped rows; None stays None."""
        return values if values is None or not self.dropped.any() else values[~self.dropped]

    def of_used(self, values: Array) -> Array:
        """The used rows of an array."""
        return values if self.used.all() else values[self.used]

    def record(self) -> dict[str, Any]:
        """Features and dropped rows (from 0) for the JSON."""
        return {"features": self.features.names, "dropped_rows": np.flatnonzero(self.dropped)}

    def with_blank_rows(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON record with NaN in the blank rows of its arrays."""
        blank = self.without_dropped(self.blank)
        names = (
            [name for name in ("x", "y", "fitted", "mean", "responsibilities") if name in record] if blank.any() else []
        )
        found = {**record, **{name: _with_nan(record[name], blank) for name in names}}
        for component in found.get("components", []) if names else []:
            if "fitted" in component:
                component["fitted"] = _with_nan(component["fitted"], blank)
        return found

    def context(self) -> dict[str, Any]:
        """The description in a model file, so that new rows are read in the same way."""
        plain = all(isinstance(column, Numbers) for column in self.features.columns)
        found: dict[str, Any] = {"x": list(self.features.names)} | (
            {} if plain else {"features": self.features.stored()}
        )
        return found | ({"target": Features((self.target,)).stored()} if isinstance(self.target, Moments) else {})


def _with_nan(values: Any, blank: np.ndarray) -> Array:
    found = np.array(values, dtype=float)
    found[blank] = np.nan
    return found


def read_columns(
    table: Table,
    table_options: TableOptions,
    roles: Roles,
    drop_first: bool,
    candidates: Sequence[str] | None = None,
    allow_no_features: bool = False,
    more: Sequence[str] = (),
    levels: Collection[str] = (),
    levels_option: str = "--categorical {name}",
) -> DataColumns:
    """Read the columns in their roles. Raises `InputError`.

    drop_first       leave out the first level of a column of text, for the intercept
    candidates       columns that may become features without --x; None: all of them
    allow_no_features    accept a table without any feature
    more             columns that become features besides those of --x
    levels           columns of levels, each converted to one column of level numbers
    levels_option    what the user gives to use the levels of a column
    """
    if roles.y == DEFAULT_TARGET and DEFAULT_TARGET not in table.columns:
        raise InputError(f"no column {DEFAULT_TARGET!r}, the default target; name yours by --y: {listed(table.names)}")
    for name in (*roles.taken, *table_options.categorical):
        table.column(name)
    names, warnings = _named_features(table, table_options, roles, more), []
    if roles.x is None:
        named = {*names, *roles.taken}
        kinds = {name: column_kind(table, name) for name in candidates or table.names if name not in named}
        names = _default_features(table, kinds, names)
        warnings = unused_column_warnings(table, kinds, names, levels_option) if candidates is None else []
        if not names and not allow_no_features:
            _refuse_no_features(table, roles, kinds, levels_option)
    weights = None if roles.weights is None else table.floats(roles.weights)
    used = np.ones(len(table), dtype=bool) if weights is None else ~(weights == 0)
    texts = {*table_options.categorical, *levels, *([] if roles.groups is None else [roles.groups])}
    gaps = missing_cells(table, texts, [*names, *roles.taken])
    dropped = used & np.logical_or.reduce(list(gaps.values()))
    if dropped.any() and table_options.missing == "refuse":
        refuse_missing(table, roles.groups, {name: gap & used for name, gap in gaps.items()})
    used &= ~dropped
    if dropped.any():
        if not used.any():
            raise InputError(
                f"every row of {table.source} misses a cell of {listed(map(repr, gaps))}; --missing drop leaves none"
            )
        sentence = dropped_sentence(dropped, {name: gap & dropped for name, gap in gaps.items()})
        warnings.append(f"{sentence}; row numbers in messages on the fit count the remaining rows")
    if weights is not None:
        weights = _weights(table, str(roles.weights), used | (weights == 0))
    features = Features(
        tuple(
            Codes.of(table, name, used, dropped=False)
            if name in levels
            else _column(table, name, used, table_options, drop_first, levels_option)
            for name in names
        )
    )
    target = _plain_column(table, roles.y, used)
    if (twice := repeated(features.names)) is not None:
        raise InputError(f"two features are named {twice!r}; rename a column")
    x, y = features.matrix(table, used), target.values(table, roles.y, used)[:, 0]
    blank = ~used
    if blank.any():
        blank[blank] = ~((np.abs(x[blank]) <= LARGEST_VALUE).all(axis=1) & (np.abs(y[blank]) <= LARGEST_VALUE))
        x[blank], y = x[np.argmax(used)], np.where(blank, y[np.argmax(used)], y)
    warnings += [sentence for column in features.columns if (sentence := _column_sentence(column)) is not None]
    if isinstance(target, Moments):
        warnings.append(f"column {roles.y!r} is taken as {target.unit}, and so are predictions")
    return DataColumns(table, features, target, x, y, weights, used, dropped, blank, tuple(warnings))


def _named_features(table: Table, table_options: TableOptions, roles: Roles, more: Sequence[str]) -> list[str]:
    """The feature columns that --x, --categorical and --component name."""
    taken = roles.taken
    for option, columns in (("--categorical", table_options.categorical), ("--component", more)):
        for name in columns:
            table.column(name)
            if name in taken:
                raise InputError(f"column {name!r} is both {option} and {taken[name]}")
    names = [] if roles.x is None else [name.strip() for name in roles.x.split(",")]
    for name in names:
        table.column(name)
        if name in taken and taken[name] not in ("weights", "groups", "init"):
            raise InputError(f"column {name!r} is both x and {taken[name]}")
    if (twice := repeated(names)) is not None:
        raise InputError(f"--x names the column {twice!r} twice")
    return list(dict.fromkeys([*names, *table_options.categorical, *more]))


def _default_features(table: Table, kinds: Mapping[str, str], categorical: Collection[str]) -> list[str]:
    """Without --x: the columns of --categorical and of numbers (of dates if both are missing), in the table's order."""
    numbers = {name for name, kind in kinds.items() if kind == "numbers"} | set(categorical)
    taken = numbers or {name for name, kind in kinds.items() if kind == "times"}
    return [name for name in table.names if name in taken]


def _refuse_no_features(table: Table, roles: Roles, kinds: Mapping[str, str], levels_option: str) -> None:
    text = next((name for name, kind in kinds.items() if kind == "text"), None)
    advice = (
        "name the features with --x"
        if text is None
        else f"{levels_option.format(name=text)} takes the levels of its text as features"
    )
    raise InputError(f"{table.source} has no numeric column besides {', '.join(roles.taken)}; {advice}")


def _weights(table: Table, name: str, rows: np.ndarray) -> Array:
    """The weights ≥ 0 in these rows, 0 in others; raises `InputError` if all are 0."""
    weights = np.where(rows, table.numbers(name, rows), 0.0)
    if weights.min() < 0:
        row = int(np.argmin(weights))
        raise InputError(
            f"column {name!r} holds the weight {weights[row]:g} in row {row + 1}; weights must be 0 or more"
        )
    if not weights.any():
        raise InputError(f"every weight in column {name!r} is 0; at least two rows need a weight above 0")
    return weights


def _column(
    table: Table, name: str, used: np.ndarray, table_options: TableOptions, drop_first: bool, levels_option: str
) -> Column:
    if name in table_options.categorical:
        return Levels.of(table, name, used, drop_first)
    column = _plain_column(table, name, used)
    if (
        isinstance(column, Numbers)
        and not table.is_numeric(name)
        and (wrong := used & ~np.isfinite(table.floats(name))).any()
    ):
        row = int(np.argmax(wrong))
        comma = DECIMAL_COMMA.fullmatch(table.text(name)[row].strip())
        other = "with a point" if comma else f"or {levels_option.format(name=name)} to take its levels"
        table.refuse(name, row, f"give numbers{'' if comma else ','} {other}")
    return column


def _plain_column(table: Table, name: str, used: np.ndarray) -> Column:
    if not table.is_numeric(name) and not np.isfinite(table.floats(name)[used]).all() and table.is_times(name):
        return Moments.of(table, name, used)
    return Numbers(name)


def _column_sentence(column: Column) -> str | None:
    if isinstance(column, Numbers):
        return None
    if isinstance(column, Moments):
        return f"column {column.name!r} is taken as {column.unit}"
    if isinstance(column, Codes):
        return f"column {column.name!r} is taken as the levels {listed(column.levels)}, which count from 0"
    rest = f"; the first, {column.levels[0]!r}, is where all of them are 0" if column.dropped else ""
    return (
        f"column {column.name!r} is taken as 0/1 columns of its levels {listed(column.levels[column.dropped :])}{rest}"
    )
