"""Threads that work together on one problem of many rows (team.h), for the duration of a call."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Thread

from hw4opt.core.library import library
from hw4opt.running.threads import threads_to_use

TEAM_ROWS = 32_768  # rows from which a problem is cut in groups (GROUPED_BLOCKS in rows.c)


@contextmanager
def helpers(problems: int, rows: int) -> Iterator[int | None]:
    """Context with the address of a team for one problem of many rows; None if the work is not divided."""
    count = threads_to_use() - 1 if problems == 1 and rows >= TEAM_ROWS else 0
    if count < 1:
        yield None
        return
    team = ctypes.create_string_buffer(_size())
    address = ctypes.c_void_p(ctypes.addressof(team))
    threads = [
        Thread(target=library().core_help, args=(address,), name="hw4opt-core", daemon=True) for _ in range(count)
    ]
    try:
        for thread in threads:
            thread.start()
        yield address.value
    finally:
        library().core_close_team(address)
        for thread in threads:
            if thread.ident is not None:
                thread.join()


@cache
def _size() -> int:
    size = library().core_team_size
    size.restype = ctypes.c_size_t
    return size()
