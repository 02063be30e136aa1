"""The arrays and the basis of a design in a model file."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hw4opt.design import AdditiveDesign, Design, SummandBasis
from hw4opt.design.basis import Basis
from hw4opt.errors import InputError
from hw4opt.kernels import Kernel, Precomputed
from hw4opt.problem.problem import Problem
from hw4opt.running.records import decode, encode
from hw4opt.terms.base import Array


def pack_design(design: Design) -> dict[str, Any]:
    """The basis, or those of the components of a sum with the centers of their columns."""
    if not isinstance(design, AdditiveDesign):
        return {"basis": None if design.reduced is None else _pack_basis(design.reduced)}
    bases = [
        {"center": encode(one.center), "basis": None if one.basis is None else _pack_basis(one.basis)}
        for one in design.summand_bases
    ]
    return {"basis": None, "bases": bases}


def _pack_basis(basis: Basis) -> dict[str, Any]:
    return {
        "points": encode(basis.points),
        "columns": basis.columns.tolist(),
        "factor": encode(basis.factor),
        "complete": basis.complete,
    }


def unpack_design(problem: Problem, stored: dict[str, Any]) -> Design | None:
    """The problem's design in the stored basis; None for a linear design."""
    design = problem.design
    if isinstance(design, AdditiveDesign):
        if len(stored["bases"]) != len(design.summands):
            raise InputError("the number of bases is not that of the components")
        bases = tuple(
            SummandBasis(part, decode(one["center"]), _unpack_basis(part.kernel, own, problem, one["basis"]))
            for part, own, one in zip(design.summands, design.parts.values(), stored["bases"], strict=True)
        )
        if any(one.center.shape != (len(one.part.places),) for one in bases):
            raise InputError("the center of a component does not fit its columns")
        return dataclasses.replace(design, bases=bases)
    basis = _unpack_basis(problem.kernel, design, problem, stored["basis"])
    return None if basis is None else dataclasses.replace(design, basis=basis)


def _unpack_basis(
    kernel: Kernel | None, design: Design, problem: Problem, stored: dict[str, Any] | None
) -> Basis | None:
    if (kernel is None) != (stored is None):
        raise InputError("only a kernel has a basis, a linear design or component has none")
    if kernel is None or stored is None:
        return None
    factor, columns = decode(stored["factor"]), np.array(stored["columns"])
    basis = Basis(kernel, decode(stored["points"]), columns, factor, stored["complete"])
    _check_basis(problem, design, basis)
    return basis


def _check_basis(problem: Problem, design: Design, basis: Basis) -> None:
    """Raise `InputError` for a basis that cannot be that of the problem's design, or of one component's."""
    r, width = len(basis.points), 1 if isinstance(problem.kernel, Precomputed) else design.x.shape[1]
    kinds = {one.column for one in design.functionals}
    if basis.points.shape != (r, width) or basis.factor.shape != (r, r) or basis.columns.shape != (r,):
        raise InputError("the basis does not fit the data")
    if not isinstance(basis.complete, bool) or not {type(column) for column in basis.columns.tolist()} <= {int}:
        raise InputError("the basis holds something that is not a column")
    if not set(basis.columns.tolist()) <= kinds or (
        isinstance(problem.kernel, Precomputed) and not _are_rows(basis.points, problem)
    ):
        raise InputError("the basis names a column or row that the data do not have")


def _are_rows(points: Array, problem: Problem) -> bool:
    return bool(np.isin(points, np.arange(len(problem.active_x))).all())
