"""A thread that acts on the newest item that it is given: older ones that it has not come to are dropped."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread, get_native_id
from typing import Generic, TypeVar

T = TypeVar("T")

NICE = 10  # of threads that give way to others, where threads have priorities of their own


class Newest(Generic[T]):
    """`put` items from any thread; `act` is called with the newest, one at a time, until `close`."""

    def __init__(self, act: Callable[[T], None], gives_way: bool = False) -> None:
        self._act, self._gives_way = act, gives_way
        self._items: list[T] = []  # at most one
        self._open = True
        self._changed = Condition()
        Thread(target=self._work, daemon=True).start()

    def put(self, item: T) -> None:
        """Replace what waits."""
        with self._changed:
            self._items = [item]
            self._changed.notify()

    def clear(self) -> None:
        """Drop what waits."""
        with self._changed:
            self._items = []

    def close(self) -> None:
        """Drop what waits, and end the thread when it has done what it is at."""
        with self._changed:
            self._items, self._open = [], False
            self._changed.notify()

    def _work(self) -> None:
        if self._gives_way and sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, get_native_id(), NICE)  # threads of the core that it starts inherit it
        while self._open:
            with self._changed:
                while self._open and not self._items:
                    self._changed.wait()
                items, self._items = self._items, []
            for item in items:
                self._act(item)
