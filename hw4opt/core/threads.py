"""One function of the core over many items, in threads that live only as long as the call.

Results do not depend on the number of threads: each item is computed independently.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from threading import Event, Lock, Thread

from hw4opt.running.threads import threads_to_use

DONE, MEMORY, STOPPED = 0, 1, 2  # as in core.h
DIRECT_WORK = 1e8  # floating-point operations, about 20 ms; less work runs in the calling thread
PIECE_WORK = 2e6  # least in a range that a thread takes
PIECES_A_THREAD = 16  # most ranges, on average
WAIT_SECONDS = 0.05  # between looks for Ctrl-C, where waiting can't be interrupted

Stop = ctypes.POINTER(ctypes.c_int)  # core.h's stop_flag: a c_int is passed by its address
Call = Callable[[int, int, ctypes.c_int], int]


def spread(call: Call, count: int, work: float, threads: int | None = None) -> None:
    """Run `call(low, high, stop)`, which returns a code of core.h, over ranges that partition 0 … count - 1, in any
    order.

    work       estimated floating-point operations of all items
    threads    number of threads; default: that of `hw4opt.running.threads`

    On Ctrl-C the flag `stop` is set, and KeyboardInterrupt is raised once the core has returned; small work runs in the
    calling thread and is completed first. Raises the first exception of a call, and `MemoryError` if the core has no
    memory.
    """
    if count < 1:
        return
    if work <= DIRECT_WORK:
        _raise_for(call(0, count, ctypes.c_int(0)))
        return
    _Spreading(call, count, work, max(1, threads_to_use() if threads is None else threads)).run()


class _Spreading:
    """One call of `spread` in threads, all of which have ended when `run` returns."""

    def __init__(self, call: Call, count: int, work: float, threads: int) -> None:
        self.call, self.count = call, count
        self.piece = max(
            1, min(math.ceil(PIECE_WORK * count / work), count), math.ceil(count / (threads * PIECES_A_THREAD))
        )
        self.threads = [
            Thread(target=self._work, name="hw4opt-core", daemon=True)
            for _ in range(min(threads, math.ceil(count / self.piece)))
        ]
        self.stop = ctypes.c_int(0)
        self.lock, self.done = Lock(), Event()
        self.next, self.left = 0, len(self.threads)
        self.failures: list[tuple[int, BaseException]] = []  # with the range's first item

    def run(self) -> None:
        """Run all ranges; raises the first exception in the order of items."""
        try:
            for thread in self.threads:
                thread.start()
            while not self.done.wait(WAIT_SECONDS):
                pass
        finally:
            self.stop.value = 1  # of no effect where all is done
            self._join()
        if self.failures:
            raise min(self.failures, key=lambda failure: failure[0])[1]

    def _join(self) -> None:
        """Wait for all started threads, and raise KeyboardInterrupt only afterwards."""
        waiting = [thread for thread in self.threads if thread.ident is not None]
        interrupt = None
        while waiting:
            try:
                waiting[-1].join(WAIT_SECONDS)
                if not waiting[-1].is_alive():
                    waiting.pop()
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _work(self) -> None:
        """The loop of a thread: take ranges until there are none or the stop flag is set."""
        low = 0
        try:
            while not self.stop.value and (low := self._take()) < self.count:
                _raise_for(self.call(low, min(low + self.piece, self.count), self.stop))
        except BaseException as error:
            self._fail(low, error)
        with self.lock:
            self.left -= 1
            if not self.left:
                self.done.set()

    def _take(self) -> int:
        with self.lock:
            low, self.next = self.next, self.next + self.piece
        return low

    def _fail(self, low: int, error: BaseException) -> None:
        """Record the exception of a range, unless it was only stopped because another range had failed."""
        with self.lock:
            if not (self.failures and isinstance(error, KeyboardInterrupt)):
                self.failures.append((low, error))
            self.stop.value = 1


def _raise_for(code: int) -> None:
    if code == MEMORY:
        raise MemoryError("the core found no memory")
    if code == STOPPED:
        raise KeyboardInterrupt
    if code != DONE:
        raise RuntimeError(f"the core answered {code}")
