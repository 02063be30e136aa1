"""Checks of arrays for every public callable: real, finite numbers, copied and read-only."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw4opt.errors import InputError, shown

Array = NDArray[Any]  # of float64; NumPy's own stubs widen results to "floating"

DATE_TYPES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def real_array(name: str, values: ArrayLike) -> Array:
    """The values as float64, in any number of dimensions; finite or not.

    Accepted: whatever NumPy converts to an array of numbers (lists, data frames, tensors), bool as 0 and 1, a masked
    array without masked values, complex numbers without imaginary parts. Raises `InputError` for masked values,
    imaginary parts, dates and time differences, text, None, ragged lists, sparse matrices, integers beyond a double,
    and for anything that is not an array.
    """
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    raw: Any = values
    if hasattr(raw, "toarray") and not isinstance(raw, np.ndarray):
        raise InputError(f"{name} is a sparse matrix; give {name}.toarray()")
    try:
        array = np.asarray(_without_mask(name, raw))
    except InputError:
        raise
    except Exception as error:  # a ragged list, or whatever an object of another library raises
        raise InputError(f"{name} does not hold numbers: {_first_line(error)}") from error
    return _as_float(name, array, values)


def finite_array(name: str, values: ArrayLike, copy: Callable[[Array], Array] = np.array) -> Array:
    """A finite, read-only copy. Raises `InputError` as `real_array` does."""
    array = real_array(name, values)
    array = copy(array) if array.ndim == 2 else np.array(array)
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        raise _error_at(place, f"{name} holds {array[tuple(place)]}", "give finite numbers or drop the row")
    array.setflags(write=False)
    return array


def finite_column(name: str, values: ArrayLike, rows: int) -> Array:
    """A finite, read-only vector of length `rows`; raises `InputError`."""
    array = finite_array(name, values)
    if array.shape != (rows,):
        raise InputError(f"{name} has shape {array.shape}; it needs one entry per row, {(rows,)}")
    return array


def broadcast(**values: ArrayLike) -> list[Array]:
    """The arrays broadcast to one shape; raises `InputError` as `real_array` does, and for incompatible shapes."""
    arrays = [real_array(name, one) for name, one in values.items()]
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(values, arrays, strict=True))
        raise InputError(f"the shapes contradict each other: {shapes}") from error


def group_numbers(name: str, labels: ArrayLike, rows: int) -> np.ndarray:
    """Labels of one kind, one per row, as numbers from 0; raises `InputError` for a missing label (None, NaN, NaT,
    masked)."""
    try:
        array = np.asarray(_without_mask(name, labels))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name} holds no labels: {_first_line(error)}") from error
    if array.shape != (rows,):
        raise InputError(f"{name} has shape {array.shape}; it needs one label per row, {(rows,)}")
    try:
        missing = np.array(
            [label is None or bool(label != label) for label in array.tolist()]
            if array.dtype == object
            else array != array
        )
        if missing.any():
            raise _error_at((np.argmax(missing),), f"{name} has no label", "give every row one, or drop the row")
        return np.unique(array, return_inverse=True)[1]
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name} holds labels of several kinds ({_first_line(error)}); give all text, or all numbers"
        ) from error


def read_only(value: Any) -> Any:
    """The value with its arrays made read-only, also those in tuples, lists and mappings."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, Mapping):
        read_only(list(value.values()))
    elif isinstance(value, tuple | list):
        for one in value:
            read_only(one)
    return value


class ReadOnly:
    """A record whose arrays stay read-only when it is copied or unpickled; NumPy's own copies are writable."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(read_only(state))


def check_gram(x: Array) -> None:
    """Raise `InputError` for a matrix that is not a Gram matrix: not square, not symmetric or not positive
    semidefinite."""
    if x.shape[0] != x.shape[1]:
        raise InputError(f"a precomputed kernel needs the Gram matrix (n, n); x has shape {x.shape}")
    largest = np.abs(x).max()
    if np.abs(x - x.T).max() > 1e-8 * largest:
        raise InputError("the precomputed Gram matrix is not symmetric")
    if np.linalg.eigvalsh(x)[0] < -1e-8 * largest * len(x):
        raise InputError("the precomputed Gram matrix is not positive semidefinite")


def _without_mask(name: str, values: Any) -> Any:
    """The values; those of masked arrays, and of lists that hold some, without their masks. Raises `InputError` for
    masked ones. Nothing is masked before numpy.ma is imported, which takes longer than a fit."""
    if "numpy.ma" not in sys.modules:
        return values
    values = _one_masked_array(name, values) if isinstance(values, list | tuple) else values
    if not isinstance(values, np.ma.MaskedArray):
        return values
    masked = np.argwhere(np.ma.getmaskarray(values))
    if len(masked):
        raise _error_at(masked[0], f"{name} is masked", "fill the value in or drop the row")
    return np.ma.getdata(values)


def _one_masked_array(name: str, values: Any) -> Any:
    """A list, or a masked array if the list holds masked arrays: NumPy would drop the masks."""
    kinds = set(map(type, values))
    if kinds & {list, tuple}:
        kinds |= set(map(type, chain.from_iterable(row for row in values if isinstance(row, list | tuple))))
    if type(np.ma.masked) in kinds:
        rows = (row if isinstance(row, list | tuple) else (row,) for row in values)
        place = next(place for place, row in enumerate(rows) if any(cell is np.ma.masked for cell in row))
        raise _error_at((place,), f"{name} is masked", "fill the value in or drop the row")
    return np.ma.array(values) if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds) else values


def _as_float(name: str, array: Array, values: Any) -> Array:
    kind = array.dtype.kind
    if kind == "O" and array.ndim:
        return _of_objects(name, array)
    if kind in "mM":
        raise InputError(
            f"{name} holds {'dates' if kind == 'M' else 'time differences'}; give days or seconds as numbers"
        )
    if kind in "UT" and array.ndim:
        raise _no_number(name, array)
    if kind not in "biufc":
        raise InputError(f"{name} is {shown(values)}; give an array of numbers")
    if kind == "c":
        imaginary = np.argwhere(np.imag(array) != 0)
        if len(imaginary):
            raise _error_at(imaginary[0], f"{name} holds complex numbers", "give real ones")
        array = np.real(array)
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype=float)


def _of_objects(name: str, array: Array) -> Array:
    """The numbers of an array of Python objects (decimals, or integers too large for NumPy's)."""
    kinds = set(map(type, array.flat))
    no_numbers = str | bytes | complex | np.complexfloating | np.ndarray | Iterable
    if kinds & {type(None), type(np.ma.masked)} or any(issubclass(kind, no_numbers) for kind in kinds):
        raise _no_number(name, array)
    if any(issubclass(kind, DATE_TYPES) for kind in kinds):
        raise InputError(f"{name} holds dates or times; give days or seconds as numbers")
    try:
        return array.astype(float)
    except Exception as error:
        raise InputError(f"{name} does not hold numbers: {_first_line(error)}") from error


def _no_number(name: str, array: Array) -> InputError:
    """The message on the first cell that is not a number, or that is a number given as text."""
    cells = list(zip(np.ndindex(array.shape), array.flat, strict=True))
    place, cell = next((pair for pair in cells if not _says_number(pair[1])), cells[0])
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return _error_at(place, f"{name} does not hold numbers: {shown(cell)}", "give numbers, or drop the row")


def _says_number(cell: Any) -> bool:
    try:
        float(cell)
        return True
    except (TypeError, ValueError, OverflowError):
        return False


def _error_at(place: Any, fault: str, advice: str) -> InputError:
    """The error on the value at an index, which has no row in an array of dimension 0."""
    if not len(place):
        return InputError(f"{fault}; {advice}")
    row = int(place[0])
    return InputError(f"{fault} in row {row}; {advice}", row)


def _first_line(error: Exception) -> str:
    return shown(str(error).partition("\n")[0]).strip("'\"") or type(error).__name__
