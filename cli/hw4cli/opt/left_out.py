"""The columns that are no features by default, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from hw4opt.errors import listed
from hw4opt.tables import Table
from hw4opt.tables.table import DECIMAL_COMMA, MOSTLY, first_cells

INDEX = re.compile(r"|Unnamed: 0(\.\d+)?|__index_level_\d+__")  # what pandas calls an index that has no name


def kind_of(table: Table, name: str) -> str:
    """What a column holds: numbers, times, text, decimal commas, few numbers, nothing, or pandas' index."""
    if INDEX.fullmatch(name):
        return "index"
    if table.is_numeric(name):
        return "numbers"
    if table.is_times(name):
        return "times"
    missing = table.missing(name)
    if missing.all():
        return "nothing"
    if np.count_nonzero(~np.isnan(table.floats(name))) > MOSTLY * np.count_nonzero(~missing):
        return "few"
    sample = [cell.strip() for cell in first_cells(table.text(name))]
    return "commas" if sum(map(bool, map(DECIMAL_COMMA.fullmatch, sample))) > MOSTLY * len(sample) else "text"


WORDS = {
    "index": ("{is} an index without a name of its own", "name the features with --x to take it"),
    "times": ("{holds} dates", "--x {first} takes it as days or seconds since the first"),
    "commas": ("{holds} decimal commas ({cell})", "write them with a point"),
    "text": ("{holds} text ({cell})", "--categorical {first} takes its levels as 0/1 columns"),
    "few": ("{misses} a number in most rows", "--x {first} takes it, with --missing drop in the rows where it is known"),
    "nothing": ("{is} empty", "name the features with --x"),
}


def left_out(table: Table, kinds: Mapping[str, str], features: Collection[str]) -> list[str]:
    """A sentence for each kind of column that is no feature by default."""
    found: dict[str, list[str]] = {}
    used = set(features)
    for name, kind in kinds.items():
        if name not in used:
            found.setdefault(kind, []).append(name)
    return [_on_left_out(table, kind, of_kind) for kind, of_kind in found.items()]


def _on_left_out(table: Table, kind: str, names: Sequence[str]) -> str:
    one, (what, advice) = len(names) == 1, WORDS[kind]
    cell = "".join(first_cells(table.text(names[0]), 1))[:40]
    verbs = {"is": "is", "holds": "holds", "misses": "misses"} if one else {"is": "are", "holds": "hold", "misses": "miss"}
    said = what.format(cell=repr(cell), **verbs)
    columns = f"column{'' if one else 's'} {listed(map(repr, names))}"
    return f"{columns} {said} and {verbs['is']} left out of the features; {advice.format(first=names[0])}"
