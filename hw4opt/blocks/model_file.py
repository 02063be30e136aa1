"""The model file of a fit to rows in blocks: basis and w, as in hw4opt/model_file.py, without rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hw4opt.blocks.result import BlocksResult
from hw4opt.design import Design
from hw4opt.design.basis import Basis
from hw4opt.errors import ModelFileError
from hw4opt.form.answer import Status
from hw4opt.kernels import VALUE
from hw4opt.model_file import check_record
from hw4opt.problem.stored_design import pack_design
from hw4opt.problem.stored_model import pack_model, unpack_model
from hw4opt.proof.certificate import Certificate
from hw4opt.proof.existence import Existence
from hw4opt.running.records import decode, encode, is_record, read_record, write_record
from hw4opt.validation.arguments import check_fields, checked

BLOCKS_KIND = "hw4opt model of rows in blocks"
BLOCKS_FORMAT = 1
STORED_ARRAYS = ("center", "spread", "span", "w")
STORED_FIELDS = (
    "level",
    "count",
    "largest",
    "iterations",
    "passes",
    "seconds",
    "has_offset",
    "columns",
    "context",
    "note",
    "solver",
)


def is_blocks_file(path: str | Path) -> bool:
    """Whether the file begins like one that `save_blocks` wrote."""
    return is_record(path, BLOCKS_KIND)


@checked
def save_blocks(result: BlocksResult, path: str | Path) -> None:
    """Write the result to a file atomically. Raises `InputError` for a result with numbers that are not finite."""
    existence = result.existence
    record = {
        "format": BLOCKS_FORMAT,
        "kind": BLOCKS_KIND,
        "arrays": {name: encode(getattr(result, name)) for name in STORED_ARRAYS},
        **pack_model(result.model),
        **pack_design(result.design),
        "status": result.status.word,
        "certificate": result.certificate.as_dict(),
        "existence": None if existence is None else {"finite": existence.finite, "columns": list(existence.columns)},
        **{name: getattr(result, name) for name in STORED_FIELDS},
    }
    write_record(record, path, f"this result ({result.status.word})")


@checked
def load_blocks(path: str | Path) -> BlocksResult:
    """Read a result that `save_blocks` wrote. Raises `ModelFileError` for a file that is damaged, of another kind, or
    of a newer format."""
    return read_record(path, _unpacked)


def _unpacked(stored: dict[str, Any]) -> BlocksResult:
    check_record(stored, BLOCKS_KIND, BLOCKS_FORMAT)
    stored.setdefault("solver", "newton")  # older files name no solver
    model, arrays = unpack_model(stored), {name: decode(stored["arrays"][name]) for name in STORED_ARRAYS}
    width, r = len(arrays["center"]), width_of(stored)
    shapes = {"center": (width,), "spread": (width,), "span": (2, width), "w": (r + model.intercept,)}
    if any(arrays[name].shape != shape or not np.isfinite(arrays[name]).all() for name, shape in shapes.items()):
        raise ModelFileError("it is damaged: its arrays do not fit each other")
    design = Design(np.zeros((2, width)), None, model.intercept)
    if model.kernel is not None:
        packed = stored["basis"]
        points, factor, columns = decode(packed["points"]), decode(packed["factor"]), np.array(packed["columns"])
        shapes_fit = points.shape == (r, width) and factor.shape == (r, r) and columns.shape == (r,)
        if not shapes_fit or not np.isin(columns, np.arange(VALUE, width)).all():
            raise ModelFileError("it is damaged: its basis does not fit its columns")
        basis = Basis(model.kernel, points, columns, factor, bool(packed["complete"]))
        design = Design(points, model.kernel, model.intercept, basis=basis)
    existence = stored["existence"]
    found = BlocksResult(
        model=model,
        design=design,
        status=Status[stored["status"].upper()],
        certificate=Certificate(**stored["certificate"]),
        existence=None if existence is None else Existence(existence["finite"], columns=tuple(existence["columns"])),
        **arrays,
        **{name: stored[name] for name in STORED_FIELDS},
    )
    check_fields(found)
    check_fields(found.certificate)
    return found


def width_of(stored: dict[str, Any]) -> int:
    """The number of columns of the basis, or of the linear design."""
    return len(decode(stored["arrays"]["center"] if stored["basis"] is None else stored["basis"]["points"]))
