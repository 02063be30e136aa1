"""Settings of all tests: no GPU, one thread per process, temporary folders in memory; and Ctrl-C as on a terminal.

What is expected to the last bit holds on a CPU. Environment variables have to be set before anything imports NumPy or
torch. Without torch, which is an extra, the tests of hw4nets are left out.
"""

import gc
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore = [] if find_spec("torch") else ["hw4nets"]

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # dozens of processes import the packages: compiled once, not by each
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # pytest -n 2 on two cores: more threads only wait for each other
MEMORY, FREE_BYTES = Path("/dev/shm"), 1 << 30
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= FREE_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))  # studies and checkpoints wait for no disk


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Exclude the collected tests from garbage collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the variants of a test marked `thinned(step)` every step-th stays, the others are slow."""
    seen: Counter[str] = Counter()
    for item in items:
        if (thinned := item.get_closest_marker("thinned")) is not None:
            test = item.nodeid.partition("[")[0]
            if seen[test] % thinned.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[test] += 1


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C in this process as on a terminal; in a background job it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ctrl_c_after(ctrl_c: None) -> Iterator[Callable[[float], None]]:
    """Ctrl-C in this process after some seconds, unless the test has ended by then."""
    timers: list[threading.Timer] = []

    def start(seconds: float) -> None:
        timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.cancel()
        timer.join()
