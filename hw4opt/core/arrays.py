"""What is passed to C, which checks nothing: contiguous arrays of the right type and size, finite where that is asked,
and no output that shares memory with another argument."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw4opt.core.library import function
from hw4opt.errors import InputError

Array = NDArray[Any]


class Pointer(ctypes.c_void_p):
    """The address of an array's first entry; it keeps the array alive."""

    array: Array


def given(
    name: str, array: Array, shape: tuple[int, ...] | int, dtype: Any = np.float64, finite: bool = True
) -> Pointer:
    """An array that C reads: of exactly this shape and type, contiguous, and finite unless `finite` is False."""
    _check(name, array, shape, dtype)
    if finite and array.dtype == np.float64 and not _all_finite()(pointer := _pointer(array), array.size):
        row = int(np.flatnonzero(~np.isfinite(pointer.array))[0])
        raise InputError(f"{name} must be finite; its entry {row} (from 0) is {array.flat[row]}")
    return _pointer(array)


def made(shape: tuple[int, ...] | int, dtype: Any = np.float64) -> tuple[Array, Pointer]:
    """A new array of zeros that C writes, which therefore shares memory with nothing, and its address."""
    array = np.zeros(shape, dtype)
    return array, _pointer(array)


def updated(name: str, array: Array, shape: tuple[int, ...] | int, dtype: Any = np.float64) -> Pointer:
    """A caller's array that C writes, and perhaps reads; `apart` has to see it with the other arguments."""
    _check(name, array, shape, dtype)
    if not array.flags.writeable:
        raise InputError(f"{name} must be an array that can be written to")
    return _pointer(array)


def apart(outputs: Iterable[Pointer], inputs: Iterable[Pointer] = ()) -> None:
    """Refuse outputs that share memory with each other or with an input."""
    spans = [(*_span(pointer.array), True) for pointer in outputs]
    spans += [(*_span(pointer.array), False) for pointer in inputs]
    end, written = 0, False  # of what reaches furthest so far
    written_end = 0
    for first, last, writes in sorted(spans):
        if first == last:
            continue
        if first < written_end or (writes and first < end):
            raise InputError("an array that the core writes shares memory with another of its arguments")
        end = max(end, last)
        written_end = max(written_end, last) if writes else written_end


@cache
def _all_finite() -> Any:
    return function("core_all_finite", ctypes.c_void_p, ctypes.c_size_t)


def _pointer(array: Array) -> Pointer:
    pointer = Pointer(array.__array_interface__["data"][0])
    pointer.array = array
    return pointer


def _span(array: Array) -> tuple[int, int]:
    first = array.__array_interface__["data"][0]
    return first, first + array.nbytes


def _check(name: str, array: Array, shape: tuple[int, ...] | int, dtype: Any) -> None:
    shape = (shape,) if isinstance(shape, int) else shape
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise InputError(f"{name} must be an array of {np.dtype(dtype)}")
    if array.shape != shape:
        raise InputError(f"{name} must have the shape {shape}; it has {array.shape}")
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise InputError(f"{name} must lie in memory row by row, without gaps")
