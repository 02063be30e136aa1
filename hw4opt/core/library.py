"""Loading of the compiled library: the one for AVX2 and FMA if the machine has them, else the baseline."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hw4opt.core import build
from hw4opt.errors import CoreError

VARIABLE = "HW4OPT_CORE"  # baseline, avx2, or the path of a library: instead of the choice by the machine


class Pointer(ctypes.c_void_p):
    """The address of an array's first entry, which `arrays.py` gives after its checks; it keeps the array alive."""

    array: Any


NULL = Pointer(None)
LANES = {"baseline": 2, "avx2": 4}


@cache
def library() -> ctypes.CDLL:
    """The compiled core, loaded once; built first if its sources have changed, as in an edited checkout."""
    asked = os.environ.get(VARIABLE, "")
    if asked in ("", *LANES):
        return _of_this_machine(asked)
    if os.path.basename(asked) == asked:
        raise CoreError(f"{VARIABLE} is {asked!r}; it takes baseline, avx2 or the path of a library")
    return _loaded(Path(asked))


def lanes() -> int:
    """The number of doubles per SIMD vector of the loaded library: 4 with AVX2, else 2."""
    return int(library().core_lanes())


def function(name: str, *arguments: Any) -> Callable[..., int]:
    """A function of the core that returns an int, with the ctypes types of its arguments.

    `Pointer` stands for an array (`NULL` for none), `Stop` for the flag.
    """
    found = getattr(library(), name)
    found.argtypes, found.restype = arguments, ctypes.c_int
    return found


def _of_this_machine(asked: str) -> ctypes.CDLL:
    baseline = _variant("baseline")
    if asked != "baseline" and baseline.core_has_avx2():
        return _variant("avx2")
    if asked == "avx2":
        raise CoreError(f"{VARIABLE} is avx2, which this machine doesn't have")
    return baseline


def _variant(name: str) -> ctypes.CDLL:
    path = build.library_path(name)
    if not path.exists():
        try:
            build.build()
        except (build.BuildError, OSError) as error:
            raise CoreError(str(error)) from error
    found = _loaded(path)
    if found.core_lanes() != LANES[name]:
        raise CoreError(f"{path} isn't the library that its name says; delete it")
    return found


def _loaded(path: Path) -> ctypes.CDLL:
    try:
        found = ctypes.CDLL(str(path))
        found.core_lanes  # noqa: B018 (an attribute that is missing says that it's another library)
    except (OSError, AttributeError) as error:
        raise CoreError(f"the compiled core {path} can't be loaded: {error}") from error
    return found
