"""Tests see no GPU: what they expect to the last bit holds on a CPU. It has to be said before anything imports torch.

Without torch, which is an extra, those of hw4nets are left out.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest

collect_ignore = [] if find_spec("torch") else ["hw4nets"]

os.environ["CUDA_VISIBLE_DEVICES"] = ""


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
