"""A table's columns by what they are to a fit, and its rows by whether they count; what is left out gets a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4cli.opt.left_out import kind_of, left_out
from hw4cli.opt.options import Reading
from hw4opt import InputError, ModelFileError
from hw4opt.errors import listed
from hw4opt.tables import Table
from hw4opt.tables.features import Column, Features, Levels, Moments, Numbers
from hw4opt.tables.table import DECIMAL_COMMA, repeated
from hw4opt.terms.base import Array

LARGEST = 1e150  # a number that can be squared and summed
ADVICE = "drop the row, or give --missing drop"


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
        """Column → role, of those that are no features."""
        found: dict[str, str] = {}
        for role, name in vars(self).items():
            if role != "x" and name is not None:
                found.setdefault(name, role)
        return found


@dataclass(frozen=True, eq=False)
class Sheet:
    """What the columns hold, every row of the table in it.

    x (n, d)     of the features;  target  what y is;  y (n,)  both finite, in rows that do not count by another row's numbers
    weights      None without such a column;  here (n,)  rows that count: of weight above 0 and not dropped
    dropped (n,) rows that miss a cell;  blank (n,)  rows that do not count and whose x or y is another row's
    """

    table: Table
    features: Features
    target: Column
    x: Array
    y: Array
    weights: Array | None
    here: np.ndarray
    dropped: np.ndarray
    blank: np.ndarray
    warnings: tuple[str, ...]

    def kept(self, values: Any) -> Any:
        """An array's rows without those that were dropped; None stays None."""
        return values if values is None or not self.dropped.any() else values[~self.dropped]

    def counted(self, values: Array) -> Array:
        """An array's rows that count."""
        return values if self.here.all() else values[self.here]

    def record(self) -> dict[str, Any]:
        """Its part of the JSON; rows are counted from 0."""
        return {"features": self.features.names, "dropped_rows": np.flatnonzero(self.dropped)}

    def blanked(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record's arrays with nothing in the rows whose cells held nothing."""
        blank = self.kept(self.blank)
        names = [name for name in ("x", "y", "fitted", "mean", "responsibilities") if name in record] if blank.any() else []
        return {**record, **{name: _without(record[name], blank) for name in names}}

    def context(self) -> dict[str, Any]:
        """What a model file keeps, so that new rows are read as these were."""
        plain = all(isinstance(column, Numbers) for column in self.features.columns)
        found: dict[str, Any] = {"x": list(self.features.names)} | ({} if plain else {"features": self.features.stored()})
        return found | ({"target": Features((self.target,)).stored()} if isinstance(self.target, Moments) else {})


def _without(values: Any, blank: np.ndarray) -> Array:
    found = np.array(values, dtype=float)
    found[blank] = np.nan
    return found


def read_sheet(
    table: Table, reading: Reading, roles: Roles, drop_first: bool, known: Sequence[str] | None = None, bare: bool = False
) -> Sheet:
    """The columns in their roles. Raises `InputError`.

    drop_first    the first level of a column of text is left to the intercept;  known  the columns looked at where --x is not given
    bare          a table without any feature will do
    """
    for name in (*roles.taken, *reading.categorical):
        table.column(name)
    names, warnings = _named(table, reading, roles), []
    if roles.x is None:
        used = {*names, *roles.taken}
        kinds = {name: kind_of(table, name) for name in known or table.names if name not in used}
        names = _by_default(table, kinds, names)
        warnings = left_out(table, kinds, names) if known is None else []
        if not names and not bare:
            _refuse_bare(table, roles, kinds)
    weights = None if roles.weights is None else table.floats(roles.weights)
    here = np.ones(len(table), dtype=bool) if weights is None else ~(weights == 0)
    texts = {*reading.categorical, *([] if roles.groups is None else [roles.groups])}
    gaps = _gaps(table, texts, [*names, *roles.taken])
    dropped = here & np.logical_or.reduce(list(gaps.values()))
    if dropped.any() and reading.missing == "refuse":
        _refuse(table, roles.groups, {name: gap & here for name, gap in gaps.items()})
    here &= ~dropped
    if dropped.any():
        if not here.any():
            raise InputError(f"every row of {table.source} misses a cell of {listed(map(repr, gaps))}; --missing drop leaves none")
        said = _on_dropped(dropped, {name: gap & dropped for name, gap in gaps.items()})
        warnings.append(f"{said}; what is said of rows of the fit counts those that stay")
    if weights is not None:
        weights = _weights(table, str(roles.weights), here | (weights == 0))
    features = Features(tuple(_column(table, name, here, reading, drop_first) for name in names))
    target = _plain_column(table, roles.y, here)
    if (twice := repeated(features.names)) is not None:
        raise InputError(f"two features are named {twice!r}; rename a column")
    x, y = features.matrix(table, here), target.values(table, roles.y, here)[:, 0]
    blank = ~here
    if blank.any():
        blank[blank] = ~((np.abs(x[blank]) <= LARGEST).all(axis=1) & (np.abs(y[blank]) <= LARGEST))
        x[blank], y = x[np.argmax(here)], np.where(blank, y[np.argmax(here)], y)
    warnings += [sentence for column in features.columns if (sentence := _on_column(column)) is not None]
    if isinstance(target, Moments):
        warnings.append(f"column {roles.y!r} is taken as {target.unit}, and so are predictions")
    return Sheet(table, features, target, x, y, weights, here, dropped, blank, tuple(warnings))


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows for a fit that was made: x (m, d) of those (n,) that miss no cell of a feature."""

    x: Array
    here: np.ndarray
    warnings: tuple[str, ...]


def features_of(context: Any, count: int) -> Features | None:
    """The `count` features that a model with this context was fitted to, None where it does not name them; raises `ModelFileError`."""
    if not isinstance(context, dict):
        raise ModelFileError("the model file is damaged: it says nothing of its columns")
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
    """What a model with this context takes the column `name` of targets for; raises `ModelFileError`."""
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
) -> NewRows:
    """The features of a table other than the one that was fitted; `names` are its columns where they are called otherwise.

    more    columns of numbers that are used besides;  groups  a column of groups that is, too
    """
    names = [column.name for column in features.columns] if names is None else names
    texts = {name for name, column in zip(names, features.columns, strict=True) if isinstance(column, Levels)}
    used = [*names, *more, *([] if groups is None else [groups])]
    gaps = _gaps(table, texts if groups is None else {*texts, groups}, used)
    dropped = np.logical_or.reduce([np.zeros(len(table), dtype=bool), *gaps.values()])
    if dropped.any() and missing == "refuse":
        _refuse(table, groups, gaps)
    if dropped.all():
        raise InputError(f"every row of {table.source} misses a cell of {listed(map(repr, gaps))}; --missing drop leaves none")
    x = features.matrix(table, ~dropped, names)[~dropped]
    return NewRows(x, ~dropped, (_on_dropped(dropped, gaps),) if dropped.any() else ())


def _named(table: Table, reading: Reading, roles: Roles) -> list[str]:
    """The feature columns of --x and --categorical."""
    taken = roles.taken
    if (other := next((name for name in reading.categorical if name in taken), None)) is not None:
        raise InputError(f"column {other!r} is both --categorical and {taken[other]}")
    names = [] if roles.x is None else [name.strip() for name in roles.x.split(",")]
    for name in names:
        table.column(name)
        if name in taken and taken[name] not in ("weights", "groups", "init"):
            raise InputError(f"column {name!r} is both x and {taken[name]}")
    if (twice := repeated(names)) is not None:
        raise InputError(f"--x names the column {twice!r} twice")
    return list(dict.fromkeys([*names, *reading.categorical]))


def _by_default(table: Table, kinds: Mapping[str, str], categorical: Collection[str]) -> list[str]:
    """Without --x: the columns of numbers, or, where there is none, of dates; beside those of --categorical, in the table's order."""
    numbers = {name for name, kind in kinds.items() if kind == "numbers"} | set(categorical)
    taken = numbers or {name for name, kind in kinds.items() if kind == "times"}
    return [name for name in table.names if name in taken]


def _refuse_bare(table: Table, roles: Roles, kinds: Mapping[str, str]) -> None:
    text = next((name for name, kind in kinds.items() if kind == "text"), None)
    advice = "name the features with --x" if text is None else f"--categorical {text} takes the levels of its text as features"
    raise InputError(f"{table.source} has no numeric column besides {', '.join(roles.taken)}; {advice}")


def _gaps(table: Table, texts: Collection[str], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Of every column, the rows (n,) in which it misses a cell; `texts` are those whose cells are no numbers."""
    return {name: table.empty(name) if name in texts else table.missing(name) for name in dict.fromkeys(names)}


def _refuse(table: Table, groups: str | None, gaps: Mapping[str, np.ndarray]) -> None:
    for name, gap in gaps.items():
        if gap.any():
            what = "give every row a group" if name == groups else "give a value"
            table.refuse(name, int(np.argmax(gap)), f"{what}, {ADVICE}")


def _on_dropped(dropped: np.ndarray, gaps: Mapping[str, np.ndarray]) -> str:
    rows = np.flatnonzero(dropped) + 1
    columns = listed(repr(name) for name, gap in gaps.items() if gap.any())
    many = f"{len(rows)} row{' misses' if len(rows) == 1 else 's miss'} a cell of {columns} and {'is' if len(rows) == 1 else 'are'} dropped"
    return f"{many}: {listed(map(str, rows.tolist()))}"


def _weights(table: Table, name: str, rows: np.ndarray) -> Array:
    """Numbers ≥ 0, not all 0, in these rows."""
    weights = np.where(rows, table.numbers(name, rows), 0.0)
    if weights.min() < 0:
        row = int(np.argmin(weights))
        raise InputError(f"column {name!r} holds the weight {weights[row]:g} in row {row + 1}; weights must be 0 or more")
    if not weights.any():
        raise InputError(f"every weight in column {name!r} is 0; at least two rows need a weight above 0")
    return weights


def _column(table: Table, name: str, here: np.ndarray, reading: Reading, drop_first: bool) -> Column:
    if name in reading.categorical:
        return Levels.of(table, name, here, drop_first)
    column = _plain_column(table, name, here)
    if isinstance(column, Numbers) and not table.is_numeric(name) and (wrong := here & ~np.isfinite(table.floats(name))).any():
        row = int(np.argmax(wrong))
        comma = DECIMAL_COMMA.fullmatch(table.text(name)[row].strip())
        other = "with a point" if comma else f"or --categorical {name} to take its levels as 0/1 columns"
        table.refuse(name, row, f"give numbers{'' if comma else ','} {other}")
    return column


def _plain_column(table: Table, name: str, here: np.ndarray) -> Column:
    if not table.is_numeric(name) and not np.isfinite(table.floats(name)[here]).all() and table.is_times(name):
        return Moments.of(table, name, here)
    return Numbers(name)


def _on_column(column: Column) -> str | None:
    if isinstance(column, Numbers):
        return None
    if isinstance(column, Moments):
        return f"column {column.name!r} is taken as {column.unit}"
    rest = f"; the first, {column.levels[0]!r}, is where all of them are 0" if column.dropped else ""
    return f"column {column.name!r} is taken as 0/1 columns of its levels {listed(column.levels[column.dropped :])}{rest}"
