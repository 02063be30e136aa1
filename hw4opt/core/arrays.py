"""What is passed to C, which checks nothing: contiguous arrays of the right type and shape, finite where that is asked,
and no array that is written shares memory with another argument."""

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
    """Where an array begins that C reads or writes: of exactly this shape and type, row by row without gaps. The caller
    keeps the array."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise InputError(f"{name} must be a NumPy array of {np.dtype(dtype)}")
    if array.shape != shape and array.shape != (shape,):
        raise InputError(f"{name} must have the shape {shape}; it has {array.shape}")
    buffer: Any = array  # which typing does not know it is
    try:
        return ctypes.addressof(Bytes.from_buffer(buffer))  # four times faster than asking the array
    except TypeError:  # read-only, or with gaps
        if not array.flags.c_contiguous:
            raise InputError(f"{name} must lie in memory row by row, without gaps") from None
        return array.__array_interface__["data"][0]


def given(name: str, array: Array, shape: Shape, dtype: DTypeLike = FLOAT64, finite: bool = True) -> Pointer:
    """An array that C reads, as `address` says, and finite unless `finite` is False."""
    pointer = _pointer(name, array, shape, dtype)
    if finite and array.dtype == FLOAT64 and not _all_finite()(pointer, array.size):
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InputError(f"{name} must be finite; its entry {place} (from 0) is {array.flat[place]}")
    return pointer


def updated(name: str, array: Array, shape: Shape, dtype: DTypeLike = FLOAT64) -> Pointer:
    """A caller's array that C writes, and perhaps reads; `apart` has to see it with the other arguments."""
    pointer = _pointer(name, array, shape, dtype)
    if not array.flags.writeable:
        raise InputError(f"{name} must be an array that can be written to")
    return pointer


def made(shape: Shape, dtype: DTypeLike = FLOAT64) -> tuple[Array, Pointer]:
    """A new array of zeros that C writes, which shares memory with nothing, and its address."""
    array = np.zeros(shape, dtype)
    return array, _pointer("the new array", array, array.shape, dtype)


def apart(written: Sequence[Pointer], read: Sequence[Pointer] = ()) -> None:
    """Refuse arrays that are written and share memory with each other, or with one that is read."""
    spans = [(one.value or 0, one.array.nbytes, True) for one in written if one.array.size]
    spans += [(one.value or 0, one.array.nbytes, False) for one in read if one.array.size]
    end = end_of_written = 0
    for first, size, writes in sorted(spans):
        if first < (end if writes else end_of_written):
            raise InputError("an array that the core writes shares memory with another of its arguments")
        end = max(end, first + size)
        end_of_written = max(end_of_written, first + size) if writes else end_of_written


class Struct(ctypes.Structure):
    """A structure of C with addresses of arrays, which it keeps alive."""

    def __init__(self, *values: float) -> None:
        super().__init__(*values)
        self.kept: list[object] = []

    def put(self, shape: tuple[int, ...], dtype: DTypeLike = FLOAT64, **arrays: np.ndarray) -> None:
        """Fields from arrays of this shape."""
        self.kept.append(arrays)
        for name, array in arrays.items():
            setattr(self, name, address(name, array, shape, dtype))

    def put_each(self, shape: tuple[int, ...], names: Sequence[str], stack: np.ndarray) -> None:
        """Fields from the arrays of this shape that lie behind each other in one."""
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
