"""Which columns are not features by default, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from hw4opt.errors import listed
from hw4opt.tables import Table
from hw4opt.tables.table import DECIMAL_COMMA, MAJORITY_SHARE, first_cells

UNNAMED_INDEX = re.compile(r"|Unnamed: 0(\.\d+)?|__index_level_\d+__")  # as pandas names it


def column_kind(table: Table, name: str) -> str:
    """The content of a column: numbers, times, text, (decimal) commas, few (numbers), nothing, or pandas' index."""
    if UNNAMED_INDEX.fullmatch(name):
        return "index"
    if table.is_numeric(name):
        return "numbers"
    if table.is_times(name):
        return "times"
    missing = table.missing(name)
    if missing.all():
        return "nothing"
    if np.count_nonzero(~np.isnan(table.floats(name))) > MAJORITY_SHARE * np.count_nonzero(~missing):
        return "few"
    sample = [cell.strip() for cell in first_cells(table.text(name))]
    return "commas" if sum(map(bool, map(DECIMAL_COMMA.fullmatch, sample))) > MAJORITY_SHARE * len(sample) else "text"


REASONS = {
    "index": ("{is} an index without a name", "name the features with --x to use it"),
    "times": ("{holds} dates", "--x {first} uses it as days or seconds since the first"),
    "commas": ("{holds} decimal commas ({cell})", "write them with a point"),
    "text": ("{holds} text ({cell})", "{levels} uses its levels"),
    "few": (
        "{misses} a number in most rows",
        "--x {first} uses it, with --missing drop in the rows that have one",
    ),
    "nothing": ("{is} empty", "name the features with --x"),
}


def unused_column_warnings(
    table: Table, kinds: Mapping[str, str], features: Collection[str], levels_option: str
) -> list[str]:
    """One warning for each kind of column that is not a feature by default."""
    found: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if name not in features:
            found.setdefault(kind, []).append(name)
    return [_unused_sentence(table, kind, of_kind, levels_option) for kind, of_kind in found.items()]


def _unused_sentence(table: Table, kind: str, names: Sequence[str], levels_option: str) -> str:
    one, (what, advice) = len(names) == 1, REASONS[kind]
    cell = "".join(first_cells(table.text(names[0]), 1))[:40]
    verbs = (
        {"is": "is", "holds": "holds", "misses": "misses"} if one else {"is": "are", "holds": "hold", "misses": "miss"}
    )
    reason = what.format(cell=repr(cell), **verbs)
    columns = f"column{'' if one else 's'} {listed(map(repr, names))}"
    advice = advice.format(first=names[0], levels=levels_option.format(name=names[0]))
    return f"{columns} {reason} and {verbs['is']} left out of the features; {advice}"
