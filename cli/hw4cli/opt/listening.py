"""What `hw4opt em` reads: a table of songs and plays as features, counts and rows, or the built-in listener."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hw4cli.opt import counts
from hw4cli.opt.columns import Roles, Sheet, new_rows, read_sheet
from hw4cli.opt.options import Reading
from hw4opt import InputError, Poisson
from hw4opt.poisson.check import Rows
from hw4opt.poisson.listener import FEATURES, Listener, simulated_listener
from hw4opt.tables import Table, read_table
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Listening(Reading):
    """The options that say what the data are."""

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

    def context(self, listened: Listened) -> dict[str, Any]:
        """What a model file keeps of the columns."""
        roles = {"y": listened.target, "offset": self.offset, "exposure": self.exposure, "groups": self.groups}
        return {**listened.sheet.context(), **{role: name for role, name in roles.items() if name is not None}}


@dataclass(frozen=True, eq=False)
class Listened:
    """The data: features (n, d), counts of the column `target`, what rows have besides, and initial labels.

    truth    the listener, where she is simulated
    """

    sheet: Sheet
    features: Array
    plays: Array
    rows: Rows
    labels: Array | None
    truth: Listener | None
    target: str
    warnings: tuple[str, ...]


def read(options: Listening) -> Listened:
    """Read the table and find its columns. Raises `InputError`."""
    truth = simulated_listener(options.seed) if options.data is None else None
    table = truth.table if truth is not None else read_table(str(options.data), options.max_input)
    target = options.y or ("plays" if truth is not None else "y")
    roles = Roles(options.x, target, options.weights, options.offset, options.exposure, options.groups, options.init)
    sheet = read_sheet(table, options, roles, options.intercept, None if truth is None else FEATURES, bare=options.intercept)
    names, features, plays, here = sheet.features.names, sheet.x, sheet.y, sheet.here
    loss = Poisson(quasi=options.quasi, truncated=options.truncated)
    warnings = [*sheet.warnings, *counts.check(plays, target, loss, here, "--truncated")]
    if here.any() and (sheet.counted(plays) == (least := loss.law.least)).all():
        raise InputError(
            f"every count in column {target!r} is {least:g}, so that the likelihood has no finite maximum; give the column of counts"
        )
    if not names:
        warnings.append(f"{table.source} has no numeric column besides {target!r}: each mood is a rate alone")
    if options.intercept and here.sum() > 1:
        counts.check_columns(sheet.counted(features), names)
    rows = Rows(
        sheet.kept(counts.offset(table, options.offset, options.exposure, here)),
        sheet.kept(sheet.weights),
        None if options.groups is None else sheet.kept(table.labels(options.groups, here)),
        names,
    )
    labels = None if options.init is None else sheet.kept(np.nan_to_num(table.numbers(options.init, here)))
    return Listened(sheet, sheet.kept(features), sheet.kept(plays), rows, labels, truth, target, tuple(warnings))


@dataclass(frozen=True, eq=False)
class Songs:
    """The rows of a table that playlists are made of: features (m, d) of its rows (from 0), and what it says in text."""

    x: Array
    rows: np.ndarray
    texts: dict[str, list[str]]
    warnings: tuple[str, ...] = ()


def catalogue(listened: Listened, path: str | None, reading: Reading) -> Songs:
    """The songs to rank, those of the listener's own table for None. Raises `InputError`."""
    sheet = listened.sheet
    if path is None:
        rows = np.flatnonzero(~(sheet.dropped | sheet.blank))
        return Songs(sheet.x[rows], rows, text_columns(sheet.table))
    table = read_table(path, reading.max_input)
    try:
        new = new_rows(table, sheet.features, reading.missing)
    except InputError as error:
        raise InputError(f"the catalogue {path}: {error}", error.row) from error
    return Songs(new.x, np.flatnonzero(new.here), text_columns(table), new.warnings)


def text_columns(table: Table) -> dict[str, list[str]]:
    """The columns that hold text: what a playlist calls its songs."""
    return {name: table.text(name) for name in table.names if not table.is_numeric(name)}
