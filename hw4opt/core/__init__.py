"""The compiled core: C functions on flat arrays, and what calls them safely. It knows no term and no form.

C checks nothing: arrays are passed as what `given`, `made` and `updated` return (`arrays.py`). A function is declared
by `function` (`library.py`), and called by `spread` (`threads.py`), which makes exceptions of what it answers:

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
