"""Checks of arrays that are passed to C, which checks nothing: contiguous, of the required type and shape, finite if
required; and no array that is written shares memory with another argument."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hw4opt.core.library import Pointer, function
from hw4opt.errors import InputError

Array = NDArray[Any]
Shape = int | tuple[int, ...]
FLOAT64 = np.dtype(np.float64)
INT32 = np.dtype(np.int32)
INT64 = np.dtype(np.int64)
Bytes = ctypes.c_char * 0


def address(name: str, array: Array, shape: Shape, dtype: DTypeLike = FLOAT64) -> int:
    """The address of an array that C reads or writes, which must be C-contiguous and of exactly this shape and type.
    The caller keeps the array alive. Raises `InputError` otherwise."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise InputError(f"{name} must be a NumPy array of {np.dtype(dtype)}")
    if array.shape != shape and array.shape != (shape,):
        raise InputError(f"{name} must have the shape {shape}; it has {array.shape}")
    buffer: Any = array  # its type stub lacks the buffer protocol
    try:
        return ctypes.addressof(Bytes.from_buffer(buffer))  # four times faster than array.ctypes
    except TypeError:  # read-only, or not contiguous
        if not array.flags.c_contiguous:
            raise InputError(f"{name} must lie in memory row by row, without gaps") from None
        return array.__array_interface__["data"][0]


def given(name: str, array: Array, shape: Shape, dtype: DTypeLike = FLOAT64, finite: bool = True) -> Pointer:
    """The address of an array that C reads. Raises `InputError` as `address`, and for entries that are not finite
    unless `finite` is False."""
    pointer = _pointer(name, array, shape, dtype)
    if finite and array.dtype == FLOAT64 and not _all_finite()(pointer, array.size):
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InputError(f"{name} must be finite; its entry {place} (from 0) is {array.flat[place]}")
    return pointer


def updated(name: str, array: Array, shape: Shape, dtype: DTypeLike = FLOAT64) -> Pointer:
    """The address of a caller's array that C writes; `apart` must check it together with the other arguments."""
    pointer = _pointer(name, array, shape, dtype)
    if not array.flags.writeable:
        raise InputError(f"{name} must be an array that can be written to")
    return pointer


def made(shape: Shape, dtype: DTypeLike = FLOAT64) -> tuple[Array, Pointer]:
    """A new array of zeros for C to write, and its address."""
    array = np.zeros(shape, dtype)
    return array, _pointer("the new array", array, array.shape, dtype)


def apart(written: Sequence[Pointer], read: Sequence[Pointer] = ()) -> None:
    """Raise `InputError` if arrays that are written share memory with each other or with arrays that are read."""
    spans = [(one.value or 0, one.array.nbytes, True) for one in written if one.array.size]
    spans += [(one.value or 0, one.array.nbytes, False) for one in read if one.array.size]
    end = end_of_written = 0
    for first, size, writes in sorted(spans):
        if first < (end if writes else end_of_written):
            raise InputError("an array that the core writes shares memory with another of its arguments")
        end = max(end, first + size)
        end_of_written = max(end_of_written, first + size) if writes else end_of_written


class Struct(ctypes.Structure):
    """A C structure with addresses of arrays, which it keeps alive."""

    def __init__(self, *values: float) -> None:
        super().__init__(*values)
        self.kept: list[object] = []

    def put(self, shape: tuple[int, ...], dtype: DTypeLike = FLOAT64, **arrays: np.ndarray) -> None:
        """Set fields to arrays of this shape."""
        self.kept.append(arrays)
        for name, array in arrays.items():
            setattr(self, name, address(name, array, shape, dtype))

    def put_each(self, shape: tuple[int, ...], names: Sequence[str], stack: np.ndarray) -> None:
        """Set fields to consecutive arrays of this shape within one array."""
        first, step = address("the stack", stack, (len(names), *shape)), math.prod(shape) * FLOAT64.itemsize
        self.kept.append(stack)
        for place, name in enumerate(names):
            setattr(self, name, first + place * step)


@cache
def _all_finite() -> Callable[..., int]:
    return function("core_all_finite", Pointer, ctypes.c_size_t)


def _pointer(name: str, array: Array, shape: Shape, dtype: DTypeLike) -> Pointer:
    pointer = Pointer(address(name, array, shape, dtype))
    pointer.array = array
    return pointer
