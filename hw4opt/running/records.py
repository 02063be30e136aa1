"""Records in JSON files: arrays in base64, with a checksum, without pickle."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hw4opt.errors import Hw4Error, InputError, ModelFileError
from hw4opt.running.files import write_text
from hw4opt.validation.arrays import Array

R = TypeVar("R")


def write_record(record: dict[str, Any], path: str | Path, which: str) -> None:
    """Write a record with its checksum atomically; raises `InputError` for numbers that are not finite."""
    try:
        text = json.dumps({**record, "sha256": digest(record)}, allow_nan=False)
    except ValueError as error:
        raise InputError(f"a model file holds finite numbers only and {which} has others: {error}") from error
    write_text(path, text)


def is_record(path: str | Path, kind: str) -> bool:
    """Whether a file begins like a record of this kind."""
    try:
        if not Path(path).is_file():  # a FIFO can be read once
            return False
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return f'"kind": "{kind}"' in file.read(100)
    except (OSError, ValueError):
        return False


def read_record(path: str | Path, unpack: Callable[[dict[str, Any]], R]) -> R:
    """The result of `unpack` on a record; raises `ModelFileError` for a file that cannot be read or is damaged."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"cannot read the model file {path}: {getattr(error, 'strerror', None) or 'it is not text'}"
        ) from error
    try:
        with np.errstate(over="raise", invalid="raise"):  # invalid parameters of a damaged file
            return unpack(json.loads(text))
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except Hw4Error as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(f"{path} is not a model file of hw4opt, or it is damaged") from error


def digest(record: dict[str, Any]) -> str:
    """SHA-256 of a record, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()


def encode(array: Array) -> dict[str, Any]:
    """An array as stored in a record."""
    data = np.ascontiguousarray(array, dtype="<f8")
    return {"shape": list(data.shape), "float64": base64.b64encode(data.tobytes()).decode("ascii")}


def decode(stored: dict[str, Any]) -> Array:
    """The array that `encode` stored."""
    return (
        np.frombuffer(base64.b64decode(stored["float64"], validate=True), dtype="<f8")
        .reshape(stored["shape"])
        .astype(float)
    )
