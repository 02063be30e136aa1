"""Shapes at every x in a model file: rows at points, and proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hw4opt.problem import Problem
from hw4opt.problem.shape_rows import having_rows
from hw4opt.shapes.proof import ShapeProof
from hw4opt.terms import ShapeRows
from hw4opt.validation.arguments import check_fields


def pack_shapes(problem: Problem, proofs: Sequence[ShapeProof]) -> dict[str, Any]:
    """The rows at points, each with the index of its constraint, and the proofs; empty if there are none."""
    if not problem.shape_rows and not proofs:
        return {}
    rows = [
        {"constraint": problem.constraints.index(one.constraint), "points": list(one.points), "margin": one.margin}
        for one in problem.shape_rows
    ]
    return {"shape_rows": rows, "shapes": [asdict(one) for one in proofs]}


def with_stored_rows(problem: Problem, stored: Mapping[str, Any]) -> Problem:
    """The problem with the rows at points of its model file."""
    rows = [
        ShapeRows(problem.constraints[one["constraint"]], tuple(map(float, one["points"])), one["margin"])
        for one in stored.get("shape_rows", ())
    ]
    for one in rows:
        check_fields(one)
    return having_rows(problem, rows) if rows else problem


def unpack_proofs(stored: Mapping[str, Any]) -> tuple[ShapeProof, ...]:
    """The proofs of a model file."""
    proofs = []
    for one in stored.get("shapes", ()):
        left = None if one["left"] is None else tuple(one["left"])
        proofs.append(ShapeProof(**{**one, "left": left}))
        check_fields(proofs[-1])
    return tuple(proofs)
