"""What `hw4opt em` reads: a table of songs and plays as features, counts and rows, or the built-in listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw4cli.opt import counts
from hw4opt import InputError, Poisson
from hw4opt.datasets import Table, read_table
from hw4opt.poisson.check import Rows
from hw4opt.poisson.listener import FEATURES, Listener, simulated_listener
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Listening:
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

    def roles(self, listened: Listened) -> dict[str, str]:
        """The columns that have a role, for the model file."""
        given = {"y": listened.target, "offset": self.offset, "exposure": self.exposure, "groups": self.groups}
        return {role: name for role, name in given.items() if name is not None}


@dataclass(frozen=True, eq=False)
class Listened:
    """The data: features (n, d) of the columns `names`, counts of the column `target`, what rows have besides, and initial labels.

    truth    the listener, where she is simulated
    """

    table: Table
    names: tuple[str, ...]
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
    table = truth.table if truth is not None else read_table(str(options.data))
    target = options.y or ("plays" if truth is not None else "y")
    names = _features(options, table, target)
    features, plays = features_of(table, names), table.numbers(target)
    weights = None if options.weights is None else table.numbers(options.weights)
    here = np.full(len(table), True) if weights is None else weights > 0
    loss = Poisson(quasi=options.quasi, truncated=options.truncated)
    warnings = counts.check(plays, target, loss, weights, "--truncated")
    if here.any() and (plays[here] == (least := loss.law.least)).all():
        raise InputError(
            f"every count in column {target!r} is {least:g}, so that the likelihood has no finite maximum; give the column of counts"
        )
    if not names:
        warnings.append(f"{table.source} has no numeric column besides {target!r}: each mood is a rate alone")
    if options.intercept and here.sum() > 1:
        counts.check_columns(features[here], names)
    rows = Rows(
        counts.offset(table, options.offset, options.exposure),
        weights,
        None if options.groups is None else table.labels(options.groups),
        names,
    )
    labels = None if options.init is None else table.numbers(options.init)
    return Listened(table, names, features, plays, rows, labels, truth, target, tuple(warnings))


def features_of(table: Table, names: Sequence[str]) -> Array:
    """The named columns as numbers, (n, d)."""
    return np.column_stack([np.empty((len(table), 0)), *(table.numbers(name) for name in names)])


def text_columns(table: Table) -> dict[str, list[str]]:
    """The columns that hold text: what a playlist calls its songs."""
    return {name: table.text(name) for name in table.names if not table.is_numeric(name)}


def _features(options: Listening, table: Table, target: str) -> tuple[str, ...]:
    roles = {"y": target, "offset": options.offset, "exposure": options.exposure, "weights": options.weights}
    roles |= {"groups": options.groups, "init": options.init}
    taken = {name: role for role, name in roles.items() if name is not None}
    for name in taken:
        table.column(name)
    if options.x is None:
        known = FEATURES if options.data is None else table.names
        names = tuple(name for name in known if name not in taken and table.is_numeric(name))
        if not names and not options.intercept:
            raise InputError(f"{table.source} has no numeric column besides {', '.join(taken)}; name the features with --x")
        return names
    names = tuple(name.strip() for name in options.x.split(","))
    for name in names:
        table.column(name)
        if names.count(name) > 1:
            raise InputError(f"--x names the column {name!r} twice")
        if name in taken:
            raise InputError(f"column {name!r} is both x and {taken[name]}")
    return names
