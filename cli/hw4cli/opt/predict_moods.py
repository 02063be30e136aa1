"""`hw4opt predict` for a mixture: the moods of new rows by their counts, or the mean over all moods where no count is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hw4cli.opt import counts
from hw4cli.opt.endings import Exit
from hw4cli.opt.listening import features_of
from hw4cli.opt.options import Writing
from hw4cli.opt.outputs import provenance, with_arrays, write_json
from hw4cli.opt.report import show, span, warn
from hw4opt import InputError, Status
from hw4opt.datasets import Table
from hw4opt.poisson.moods import Moods
from hw4opt.terms.base import Array


@dataclass(frozen=True)
class Columns:
    """The columns that were named: features, counts, offset or exposure."""

    x: str | None
    y: str | None
    offset: Mapping[str, str | None]


def predict_moods(
    paths: tuple[str, str], table: Table, named: Columns, writing: Writing, write: Callable[[dict[str, Array]], None]
) -> Exit:
    """The exit status; paths: of the model and of what is written, by `write`."""
    model, out = paths
    if writing.plot is not None:
        raise InputError(f"--plot {writing.plot}: predictions of a mixture have no figure; `hw4opt em --plot` draws its moods")
    moods = Moods.load(model)
    columns, said = _columns(moods, named, table)
    lost = np.flatnonzero(~np.isfinite(np.column_stack([*columns.values()])).all(axis=1))
    if len(lost):
        said.append(f"{len(lost)} rows, the first of them {lost[0] + 1}, have a rate that no number holds: their cells are empty")
    write(columns)
    message = f"{len(table)} predictions in {out}"
    record = provenance(writing.seed, table.sha256) | {"status": Status.CERTIFIED.word, "message": message, "k": len(moods.proportions)}
    record |= {"model": model, "out": out, "n": len(table), "warnings": said}
    write_json(record | (columns if with_arrays(writing, len(table)) else {}), writing.json)
    if writing.save is not None:
        moods.save(writing.save)
    rows = [(name, *span(values)) for name, values in columns.items()]
    show(writing, f"{len(table)} predictions of {model} in {out}", ("column", "lowest", "highest"), rows)
    warn(said)
    return Exit.CERTIFIED


def _columns(moods: Moods, named: Columns, table: Table) -> tuple[dict[str, Array], list[str]]:
    names = moods.names[int(moods.has_intercept) :]
    chosen = names if named.x is None else [name.strip() for name in named.x.split(",")]
    if len(chosen) != len(names):
        raise InputError(f"--x names {len(chosen)} columns and the mixture has {len(names)} features")
    x, offset = features_of(table, chosen), _offset(moods, named.offset, table)
    means = moods.means(x, offset)
    target = named.y or moods.context.get("y")
    if named.y is None and target not in table.names:
        missing = f"{table.source} has no column {target!r}" if target else "no column of counts is named with --y"
        return {"mean": means @ moods.proportions}, [f"{missing}: mean is that over all moods, by their proportions, whatever the count"]
    y = table.numbers(str(target))
    said = counts.check(y, str(target), moods.loss, None, None)
    groups, role = None, moods.context.get("groups")
    if role in table.names:
        groups = table.labels(str(role))
    elif role is not None:
        said.append(f"{table.source} has no column {role!r}, whose rows share a mood: each row is judged by its own count alone")
    shares = moods.posterior(x, y, offset, groups)
    found = {"mood": 1 + shares.argmax(axis=1)} | {f"responsibility_{j + 1}": share for j, share in enumerate(shares.T)}
    return found | {"mean": (shares * np.where(shares > 0, means, 0.0)).sum(axis=1)}, said


def _offset(moods: Moods, named: Mapping[str, str | None], table: Table) -> Array | None:
    given = {role: name for role, name in named.items() if name is not None}
    given = given or {role: moods.context[role] for role in named if role in moods.context}
    if not given and moods.has_offset:
        raise InputError("the mixture was fitted with an offset and does not name its column; give --offset or --exposure")
    return counts.offset(table, given.get("offset"), given.get("exposure"))
