"""The compiled core: C functions on flat arrays, and their safe Python wrappers. It does not depend on terms or forms.

C checks no arguments: arrays are passed by the return values of `given`, `made` and `updated` (`arrays.py`). A function
is declared by `function` (`library.py`), and called by `spread` (`threads.py`), which raises exceptions for its codes:

    scale = function("core_scale", Pointer, Pointer, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t, Stop)
    x, (y, into) = given("x", x, (n, r)), made((n, r))
    spread(lambda low, high, stop: scale(x, into, r, low, high, stop), n, work=n * r)
"""

from __future__ import annotations

from hw4opt.core.arrays import FLOAT64, INT32, apart, given, made, updated
from hw4opt.core.library import NULL, Pointer, function, lanes, library
from hw4opt.core.threads import Stop, spread

__all__ = [
    "FLOAT64",
    "INT32",
    "NULL",
    "Pointer",
    "Stop",
    "apart",
    "function",
    "given",
    "lanes",
    "library",
    "made",
    "spread",
    "updated",
]
