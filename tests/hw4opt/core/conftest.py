"""A library of the tests' own, and a copy of the package whose core is not yet built."""

import ctypes
import shutil
from pathlib import Path

import pytest

from core_processes import ROOT, SUFFIX
from hw4opt.core import Pointer, Stop, build

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def wait(tmp_path_factory):
    """`core_wait` of waiting.c."""
    folder = tmp_path_factory.mktemp("waiting")
    for source in (HERE / "waiting.c", build.FOLDER / "core.h"):
        shutil.copy(source, folder)
    out = folder / f"waiting{SUFFIX}"
    build.compile_all({"baseline": out}, folder)
    function = ctypes.CDLL(str(out)).core_wait
    sizes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_double, ctypes.c_size_t, ctypes.c_int)
    function.argtypes = (Pointer, *sizes, Stop)
    return function


@pytest.fixture
def checkout(tmp_path):
    """A folder to be on PYTHONPATH, with the package and no library; of C with what is quickly compiled."""
    ignored = shutil.ignore_patterns("__pycache__", f"_*{SUFFIX}")
    shutil.copytree(ROOT / "hw4opt", tmp_path / "hw4opt", ignore=ignored)
    for source in (tmp_path / "hw4opt" / "core").glob("*.c"):
        if source.name != "library.c":
            source.unlink()
    return tmp_path
