"""The data of `hw4opt em`: a table of features and counts, or the built-in simulated listener."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4cli.opt import poisson_options
from hw4cli.opt.columns import DataColumns, Roles, read_columns
from hw4cli.opt.model_columns import new_rows
from hw4cli.opt.options import TableOptions
from hw4cli.opt.row_files import check_one_file
from hw4opt import InputError, Poisson
from hw4opt.mixture.listener import FEATURES, Listener, simulated_listener
from hw4opt.mixture.validation import Rows
from hw4opt.tables import Table, read_table
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class EmDataOptions(TableOptions):
    """The options that specify the data."""

    data: str | None
    x: str | None
    y: str | None
    offset: str | None
    exposure: str | None
    weights: str | None
    groups: str | None
    init: str | None
    intercept: bool
    quasi: bool
    truncated: bool
    seed: int

    def context(self, data: EmData) -> dict[str, Any]:
        """What a model file holds of the columns."""
        roles = {"y": data.target, "offset": self.offset, "exposure": self.exposure, "groups": self.groups}
        return {**data.columns.context(), **{role: name for role, name in roles.items() if name is not None}}


@dataclass(frozen=True, eq=False)
class EmData:
    """The data: features (n, d), counts (the column `target`), other properties of the rows, and initial labels.

    truth    the listener, if the data are simulated
    """

    columns: DataColumns
    features: Array
    counts: Array
    rows: Rows
    labels: Array | None
    truth: Listener | None
    target: str
    warnings: tuple[str, ...]


def read_data(options: EmDataOptions) -> EmData:
    """Read the table and its columns. Raises `InputError`."""
    truth = simulated_listener(options.seed) if options.data is None else None
    if truth is None:
        check_one_file(str(options.data))
    table = truth.table if truth is not None else read_table(str(options.data), options.max_input)
    target = options.y or ("plays" if truth is not None else "y")
    roles = Roles(options.x, target, options.weights, options.offset, options.exposure, options.groups, options.init)
    columns = read_columns(
        table,
        options,
        roles,
        options.intercept,
        None if truth is None else FEATURES,
        allow_no_features=options.intercept,
    )
    names, features, counts, used = columns.features.names, columns.x, columns.y, columns.used
    loss = Poisson(quasi=options.quasi, truncated=options.truncated)
    warnings = [*columns.warnings, *poisson_options.check_counts(counts, target, loss, used, "--truncated")]
    if used.any() and (columns.of_used(counts) == (least := loss.law.least)).all():
        raise InputError(
            f"every count in column {target!r} is {least:g}, so that the likelihood has no finite maximum; "
            "give the column of counts"
        )
    if not names:
        warnings.append(f"{table.source} has no numeric column besides {target!r}: each mood is a rate alone")
    if options.intercept and used.sum() > 1:
        poisson_options.check_columns(columns.of_used(features), names)
    rows = Rows(
        columns.without_dropped(poisson_options.log_offset(table, options.offset, options.exposure, used)),
        columns.without_dropped(columns.weights),
        None if options.groups is None else columns.without_dropped(table.labels(options.groups, used)),
        names,
    )
    labels = None if options.init is None else columns.without_dropped(np.nan_to_num(table.numbers(options.init, used)))
    return EmData(
        columns,
        columns.without_dropped(features),
        columns.without_dropped(counts),
        rows,
        labels,
        truth,
        target,
        tuple(warnings),
    )


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The songs that playlists rank: features x (m, d), their rows (from 0) in the table, and its columns of text."""

    x: Array
    rows: np.ndarray
    texts: dict[str, list[str]]
    warnings: tuple[str, ...] = ()


def read_catalogue(data: EmData, path: str | None, table_options: TableOptions) -> Catalogue:
    """Read the songs to rank; path None: those of the data. Raises `InputError`."""
    columns = data.columns
    if path is None:
        rows = np.flatnonzero(~(columns.dropped | columns.blank))
        return Catalogue(columns.x[rows], rows, text_columns(columns.table))
    table = read_table(path, table_options.max_input)
    try:
        new = new_rows(table, columns.features, table_options.missing)
    except InputError as error:
        raise InputError(f"the catalogue {path}: {error}", error.row) from error
    return Catalogue(new.x, np.flatnonzero(new.used), text_columns(table), new.warnings)


def text_columns(table: Table) -> dict[str, list[str]]:
    """The columns of text, by which a playlist names its songs."""
    return {name: table.text(name) for name in table.names if not table.is_numeric(name)}
