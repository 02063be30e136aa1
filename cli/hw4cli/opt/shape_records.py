"""The part of shapes in the JSON of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hw4opt import Result
from hw4opt.between import breaks
from hw4opt.design import Sum
from hw4opt.terms import ComponentTerm, Shape, Term, own_term


def _along(result: Result, term: Term, names: Sequence[str]) -> str | None:
    """The x column that a shape is along."""
    kernel = result.problem.kernel
    if isinstance(term, ComponentTerm) and isinstance(kernel, Sum):
        return names[kernel.summand(term.component).places[0]]
    column = vars(term).get("column")
    return names[column or 0] if len(names) == 1 or column is not None else None


def shape_part(result: Result, names: Sequence[str]) -> dict[str, Any]:
    """`shapes`, one record for each constraint on f or a derivative of it; `names` are those of the x columns.

    component            the component of a sum that it constrains, if any
    everywhere           whether it is imposed at every x from low to high; proven: whether that is proven
    margin, asked        the proven margin, and that imposed by the rows at `points` points between the data
    cells, evaluations   of the proof
    fall                 the largest failure that was found, 0 where none was, between fall_from and fall_to
    Of shapes at every x, `shape_points` and `lower_bound` of the `Solution` besides.
    """
    proofs = {one.name: one for one in result.shapes}
    of_term = {one.term: one for one in (breaks(result) if np.isfinite(result.w).all() else ())}
    records: list[dict[str, Any]] = []
    for term in result.problem.constraints:
        own = own_term(term)
        if not isinstance(own, Shape):
            continue
        proof, failure = proofs.get(term.label), of_term.get(term)
        record = {"name": own.name, "column": _along(result, term, names)}
        record |= {"component": term.component} if isinstance(term, ComponentTerm) else {}
        record["everywhere"] = bool(own.everywhere)
        for key in ("low", "high", "proven", "margin", "asked", "points", "cells", "evaluations"):
            record[key] = None if proof is None else getattr(proof, key)
        size, start, end = (0.0, None, None) if failure is None else (failure.size, failure.start, failure.end)
        records.append(record | {"fall": size, "fall_from": start, "fall_to": end})
    if not records:
        return {}
    if not result.shapes:
        return {"shapes": records}
    points = [{**point._asdict(), "column": names[point.column]} for point in result.shape_points]
    return {"shapes": records, "shape_points": points, "lower_bound": result.lower_bound}
