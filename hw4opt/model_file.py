"""The model file: one JSON object, arrays in base64, a checksum, no pickle.

A term or kernel of a user's own class is stored by the class's import path, and loading imports it: load files with
such classes only from where you would run code from.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from hw4opt.design import Sum
from hw4opt.errors import InputError, ModelFileError
from hw4opt.form.answer import Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.inference.intervals import refusal
from hw4opt.problem import ColumnNames, HeldOutFits, Problem
from hw4opt.problem.stored_design import pack_design, unpack_design
from hw4opt.problem.stored_model import check_model_known, pack_model, unpack_model
from hw4opt.proof.certificate import Certificate
from hw4opt.proof.existence import Existence
from hw4opt.running.records import decode, digest, encode, read_record, write_record
from hw4opt.shapes.stored import pack_shapes, unpack_proofs, with_stored_rows
from hw4opt.solution import Solution
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_argument, check_fields

MODEL_KIND = "hw4opt model"
# 1: an intercept was measured from 0; up to 2: no rows at points between the data; to 3: one curve, one gamma, no sum
MODEL_FORMAT, FORMAT_OF_ONE_CURVE, FORMAT_WITHOUT_SHAPE_ROWS = 4, 3, 2


def save(solution: Solution, path: str | Path) -> None:
    """Write one file, in one piece.

    Raises `InputError` for a solution with numbers that are not finite, and for a term or kernel whose class cannot be
    imported.
    """
    write_record(_pack(solution), path, f"this result ({solution.status.word})")


def load(path: str | Path) -> Solution:
    """Read a model file; raises `ModelFileError` if it is damaged, of another kind, or newer than this package."""
    return read_record(path, _unpack)


def check_record(stored: dict[str, Any], kind: str, newest: int) -> None:
    """Raise `ModelFileError` for a record of another kind or a newer format, with unknown terms, or damaged."""
    if stored.get("kind") != kind:
        raise ModelFileError("it is not a model file of hw4opt" if kind == MODEL_KIND else f"it is not a {kind}")
    if stored["format"] > newest:
        newer = f"its format {stored['format']} is newer than this hw4opt reads ({newest})"
        raise ModelFileError(f"{newer}; upgrade hw4opt")
    check_model_known(stored)
    if stored.pop("sha256") != digest(stored):
        raise ModelFileError("it is damaged: its contents do not match their checksum")


def _pack(solution: Solution) -> dict[str, Any]:
    problem = solution.problem
    labels = [name for term in canonicalize(problem).terms for name in term.names]  # a batch has rows for weight 0, too
    arrays = {"x": problem.x, "y": problem.y, "weights": problem.weights, "offset": problem.offset, "w": solution.w}
    return {
        "format": _format_of(solution),
        "kind": MODEL_KIND,
        "arrays": {name: encode(array) for name, array in arrays.items() if array is not None},
        **pack_model(problem.model),
        **pack_design(solution.design),
        "duals": {name: encode(solution.duals[name]) for name in labels},
        "solver": solution.solver,
        "status": solution.status.word,
        "certificate": solution.certificate.as_dict(),
        "iterations": solution.iterations,
        "seconds": solution.seconds,
        "note": solution.note,
        "context": {**problem.data.names.as_dict(), **solution.context},
        "existence": None if solution.existence is None else dataclasses.asdict(solution.existence),
        "columns": solution.columns,
        "held_out": None if problem.held_out is None else _pack_held_out(problem.held_out),
        **pack_shapes(problem, solution.shapes),
    }


def _format_of(solution: Solution) -> int:
    """The oldest format version that can hold the solution."""
    kernel = solution.problem.kernel
    if isinstance(kernel, Sum) or solution.problem.curves > 1 or (kernel is not None and kernel.gammas):
        return MODEL_FORMAT
    has_shape_rows = solution.problem.shape_rows or solution.shapes
    return FORMAT_OF_ONE_CURVE if has_shape_rows else FORMAT_WITHOUT_SHAPE_ROWS


def _pack_held_out(fits: HeldOutFits) -> dict[str, Any]:
    return {
        "w": encode(fits.w),
        "fold_of": encode(fits.fold_of),
        "method": fits.method,
        "grouped": fits.grouped,
        "unproven": fits.unproven,
    }


def _unpack(stored: dict[str, Any]) -> Solution:
    check_record(stored, MODEL_KIND, MODEL_FORMAT)
    problem, w = _unpack_problem(stored), decode(stored["arrays"]["w"])
    if (design := unpack_design(problem, stored)) is not None:
        problem.share_design(design)
    if len(w) != problem.design.matrix.shape[1]:
        raise ModelFileError("it is damaged: the point does not fit the basis")
    if (held_out := stored.get("held_out")) is not None:
        problem = _unpack_held_out(problem, held_out).attached_to(problem, problem.design)
    solution = Solution(
        problem,
        stored["solver"],
        Status[stored["status"].upper()],
        Certificate(**stored["certificate"]),
        _from_zero(problem, w) if stored["format"] < 2 else w,
        _unpack_duals(problem, stored["duals"]),
        stored["iterations"],
        stored["seconds"],
        stored["note"],
        stored["context"],
        _existence(stored.get("existence")),
        stored.get("columns"),
        unpack_proofs(stored),
    )
    _check_records(solution)
    return solution


def _unpack_problem(stored: dict[str, Any]) -> Problem:
    arrays = {name: decode(array) for name, array in stored["arrays"].items()}
    check_argument("context", stored["context"], "dict[str, Any]", {})
    model, names = unpack_model(stored), ColumnNames().updated(stored["context"])
    problem = model.on(model.data_of(arrays["x"], arrays["y"], arrays.get("weights"), arrays.get("offset"), names))
    return with_stored_rows(problem, stored)


def _unpack_duals(problem: Problem, stored: dict[str, Any]) -> dict[str, Array]:
    """The dual of every term by its label; old files have it under the term's name."""
    names = {term.label: term.name for term in problem.terms}
    sizes = {label: rows.count for rows in canonicalize(problem).terms for label in rows.names}
    duals = {label: decode(stored[label if label in stored else names[label]]) for label in sizes}
    if len(duals) != len(stored) or any(duals[label].shape != (count,) for label, count in sizes.items()):
        raise ModelFileError("it is damaged: the duals do not fit the terms")
    return duals


def _unpack_held_out(problem: Problem, stored: dict[str, Any]) -> HeldOutFits:
    """The fits without each fold; raises `InputError` for fits that do not match the problem."""
    w, fold_of = decode(stored["w"]), decode(stored["fold_of"])
    if w.ndim != 2 or w.shape[1] != problem.design.matrix.shape[1] or not np.isfinite(w).all():
        raise InputError("the held-out fits do not fit the basis")
    if fold_of.shape != (len(problem.active_x),) or not np.array_equal(np.unique(fold_of), np.arange(len(w))):
        raise InputError("the held-out fits do not fit the rows")
    fits = HeldOutFits(w, fold_of.astype(int), stored["method"], stored["grouped"], stored["unproven"])
    check_fields(fits)
    if (refused := refusal(problem.loss)) is not None:
        raise InputError(refused)
    if not 0 <= fits.unproven <= fits.folds:
        raise InputError("the number of held-out fits without proof exceeds that of held-out fits")
    return fits


def _check_records(solution: Solution) -> None:
    """Raise `InputError` for a field of another kind, and for rows and columns that the data do not have."""
    check_fields(solution)
    check_fields(solution.certificate)
    existence = solution.existence
    if existence is not None:
        check_fields(existence)
        rows, columns = range(len(solution.problem.y)), range(solution.w.size)
        if not {*existence.rows} <= {*rows} or not {*existence.columns} <= {*columns}:
            raise InputError("existence names a row or column that the data do not have")


def _from_zero(problem: Problem, w: Array) -> Array:
    """A point of an old file, whose intercept and columns were measured from 0, in the problem's units."""
    if not problem.intercept:
        return w
    w = w.copy()
    w[-1] -= problem.level
    if not problem.standardize and problem.kernel is None:
        w[-1] += problem.scaling[0] @ w[:-1]
    return w


def _existence(stored: dict[str, Any] | None) -> Existence | None:
    if stored is None:
        return None
    return Existence(stored["finite"], tuple(stored["rows"]), tuple(stored["columns"]), stored["supremum"])
