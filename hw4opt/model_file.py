"""The model file: one JSON object, arrays in base64, a checksum, no pickle.

A term or kernel of a user's own class is stored by the class's import path, and loading imports it: load files with such classes
only from where you would run code from.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from hw4opt.design.basis import Basis
from hw4opt.errors import Hw4Error, InputError, ModelFileError, shown
from hw4opt.form.answer import Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.kernels import VALUE, Precomputed
from hw4opt.problem import Problem
from hw4opt.problem.stored import check_known, packed, unpacked
from hw4opt.proof.certificate import Certificate
from hw4opt.proof.existence import Existence
from hw4opt.result import Result
from hw4opt.running.files import write_text
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_argument, check_fields

FORMAT = 2  # 1: an intercept was measured from 0


def save(result: Result, path: str | Path) -> None:
    """Write one file, in one piece.

    Raises `InputError` for a result with numbers that are not finite, and for a term or kernel whose class cannot be imported.
    """
    record = _pack(result)
    try:
        text = json.dumps({**record, "sha256": _digest(record)}, allow_nan=False)
    except ValueError as error:
        raise InputError(
            f"a model file holds finite numbers only and this result ({result.status.word}) has others: {error}"
        ) from error
    write_text(path, text)


def load(path: str | Path) -> Result:
    """Read a model file; raises `ModelFileError` if it is damaged, of another kind, or newer than this package."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"cannot read the model file {path}: {getattr(error, 'strerror', None) or 'it is not text'}"
        ) from error
    try:
        with np.errstate(over="raise", invalid="raise"):  # parameters that no fit has had
            return _unpack(json.loads(text))
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except Hw4Error as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(f"{path} is no model file of hw4opt, or it is damaged") from error


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _pack(result: Result) -> dict[str, Any]:
    problem, basis = result.problem, result.design.reduced
    labels = [name for term in canonicalize(problem).terms for name in term.names]  # a batch has rows for a term of weight 0, too
    arrays = {"x": problem.x, "y": problem.y, "weights": problem.weights, "offset": problem.offset, "w": result.w}
    return {
        "format": FORMAT,
        "kind": "hw4opt model",
        "arrays": {name: _encode(array) for name, array in arrays.items() if array is not None},
        "kernel": None if problem.kernel is None else packed("kernel", problem.kernel),
        "loss": packed("loss", problem.loss),
        "regularizers": [packed("regularizer", term) for term in problem.regularizers],
        "constraints": [packed("constraint", term) for term in problem.constraints],
        "intercept": problem.intercept,
        "standardize": problem.standardize,
        "basis": None
        if basis is None
        else {
            "points": _encode(basis.points),
            "columns": basis.columns.tolist(),
            "factor": _encode(basis.factor),
            "complete": basis.complete,
        },
        "duals": {name: _encode(result.duals[name]) for name in labels},
        "solver": result.solver,
        "status": result.status.word,
        "certificate": result.certificate.as_dict(),
        "iterations": result.iterations,
        "seconds": result.seconds,
        "note": result.note,
        "context": result.context,
        "existence": None if result.existence is None else dataclasses.asdict(result.existence),
        "columns": result.columns,
    }


def _unpack(stored: dict[str, Any]) -> Result:
    if stored.get("kind") != "hw4opt model":
        raise ModelFileError("it is no model file of hw4opt")
    if stored["format"] > FORMAT:
        raise ModelFileError(
            f"its format {stored['format']} is newer than this hw4opt reads ({FORMAT}); upgrade hw4opt"
        )
    parts = {"loss": [stored["loss"]], "regularizer": stored["regularizers"], "constraint": stored["constraints"]}
    for kind, terms in parts.items():
        for term in terms:
            check_known(kind, term)
    if stored.pop("sha256") != _digest(stored):
        raise ModelFileError("it is damaged: its contents do not match their checksum")
    arrays = {name: _decode(text) for name, text in stored["arrays"].items()}
    kernel = None if stored["kernel"] is None else unpacked("kernel", stored["kernel"])
    loss, regularizers, constraints = ([unpacked(kind, term) for term in terms] for kind, terms in parts.items())
    problem = Problem(
        arrays["x"],
        arrays["y"],
        kernel,
        loss[0],
        regularizers,
        constraints,
        arrays.get("weights"),
        arrays.get("offset"),
        stored["intercept"],
        stored["standardize"],
    )
    if stored["basis"] is not None:
        kept, fresh = stored["basis"], problem.design
        basis = Basis(
            fresh.kernel,  # type: ignore[arg-type]
            _decode(kept["points"]),
            np.array(kept["columns"]),
            _decode(kept["factor"]),
            kept["complete"],
        )
        _check_basis(problem, basis)
        problem.share_design(dataclasses.replace(fresh, basis=basis))
    if len(arrays["w"]) != problem.design.matrix.shape[1]:
        raise ModelFileError("it is damaged: the point does not fit the basis")
    if stored["format"] < 2:
        arrays["w"] = _from_zero(problem, arrays["w"])
    sizes = {name: term.count for term in canonicalize(problem).terms for name in term.names}
    duals = {label: _decode(stored["duals"][label if label in stored["duals"] else label.partition(":")[0]]) for label in sizes}
    if len(duals) != len(stored["duals"]) or any(duals[label].shape != (count,) for label, count in sizes.items()):
        raise ModelFileError("it is damaged: the duals do not fit the terms")
    result = Result(
        problem,
        stored["solver"],
        Status[stored["status"].upper()],
        Certificate(**stored["certificate"]),
        arrays["w"],
        duals,
        stored["iterations"],
        stored["seconds"],
        stored["note"],
        stored["context"],
        _existence(stored.get("existence")),
        stored.get("columns"),
    )
    _check_records(result)
    return result


def _check_basis(problem: Problem, basis: Basis) -> None:
    """Raise `InputError` for a basis that is none of the problem's design."""
    r, width = len(basis.points), 1 if isinstance(problem.kernel, Precomputed) else problem.x.shape[1]
    kinds = {VALUE, *problem.design.slopes}
    if basis.points.shape != (r, width) or basis.factor.shape != (r, r) or basis.columns.shape != (r,):
        raise InputError("the basis does not fit the data")
    if not isinstance(basis.complete, bool) or not {type(column) for column in basis.columns.tolist()} <= {int}:
        raise InputError("the basis holds something that is no column")
    if not set(basis.columns.tolist()) <= kinds or (
        isinstance(problem.kernel, Precomputed) and not _are_rows(basis.points, problem)
    ):
        raise InputError("the basis names a column or row that the data do not have")


def _are_rows(points: Array, problem: Problem) -> bool:
    return bool(np.isin(points, np.arange(len(problem.active_x))).all())


def _check_records(result: Result) -> None:
    """Raise `InputError` for a field of another kind, and for names that are not those of the columns."""
    check_fields(result)
    check_fields(result.certificate)
    if result.existence is not None:
        check_fields(result.existence)
        if not {*result.existence.rows} <= {*range(len(result.problem.y))} or not {*result.existence.columns} <= {
            *range(result.w.size)
        }:
            raise InputError("existence names a row or column that the data do not have")
    names, count = result.context.get("x"), result.problem.x.shape[1]
    if names is not None and (
        not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names)
    ):
        raise InputError(f"the names of the {count} x columns are {shown(names)}")
    for role in ("y", "offset", "exposure"):
        check_argument(f"the name of {role}", result.context.get(role), "str | None", {})


def _from_zero(problem: Problem, w: Array) -> Array:
    """A point whose intercept was measured from 0, and with raw columns, as the problem measures it."""
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


def _encode(array: Array) -> dict[str, Any]:
    data = np.ascontiguousarray(array, dtype="<f8")
    return {"shape": list(data.shape), "float64": base64.b64encode(data.tobytes()).decode("ascii")}


def _decode(stored: dict[str, Any]) -> Array:
    return (
        np.frombuffer(base64.b64decode(stored["float64"], validate=True), dtype="<f8")
        .reshape(stored["shape"])
        .astype(float)
    )
