"""Threads: BLAS on one (the matrices are small, and more make them slower by up to a hundred times on a busy machine),
NumPy on many."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import TypeVar

from threadpoolctl import LibController, ThreadpoolController

FEWEST_ITEMS = 8  # that several threads are started for
_threads: int | None = None  # what `set_threads` says
SHARES_PER_THREAD = 4  # that the items are handed out in: to hand over one may cost more than to work on it

T = TypeVar("T")
R = TypeVar("R")


@cache
def _blas() -> list[LibController]:
    """The libraries of BLAS that are loaded."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside the block, BLAS uses one thread; what it used before comes back after."""
    several = [(blas, count) for blas in _blas() if (count := blas.get_num_threads() or 1) > 1]
    for blas, _ in several:
        blas.set_num_threads(1)
    try:
        yield
    finally:
        for blas, count in several:
            blas.set_num_threads(count)


def set_threads(count: int | None) -> None:
    """How many threads work of this process is spread over; None: the cores that it may use."""
    global _threads
    _threads = count


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Inside the block, work is spread over so many threads; None: over those of outside."""
    before = _threads
    set_threads(before if count is None else count)
    try:
        yield
    finally:
        set_threads(before)


def threads_to_use() -> int:
    """What `set_threads` says, else 1 in a worker process, else the cores that this process may use."""
    if _threads is not None:
        return _threads
    processes = sys.modules.get("multiprocessing.process")  # loaded by whoever starts processes, joblib among them
    if processes is not None and processes.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(act: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`act` on every item, in order; on several threads where there are several large items (NumPy lets go of the
    lock)."""
    items = list(items)
    if len(items) < FEWEST_ITEMS:
        return [act(item) for item in items]
    threads = min(len(items), threads_to_use())
    if threads < 2:
        return [act(item) for item in items]
    size = -(-len(items) // (SHARES_PER_THREAD * threads))
    shares = [items[low : low + size] for low in range(0, len(items), size)]
    with ThreadPoolExecutor(threads) as pool:
        return list(chain.from_iterable(pool.map(lambda share: [act(item) for item in share], shares)))


def ordered_map(act: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`act` on every item, in order, of an iterable such as rows that are read while others are worked on: with no more
    items in memory than there are threads, and one."""
    threads = threads_to_use()
    if threads < 2:
        yield from map(act, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(act, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def tree_reduce(combine: Callable[[R, R], R], items: Iterable[R]) -> R | None:
    """The items combined in pairs, the pairs in pairs, and so on, by their places alone: the same rounding however many
    threads made them. None of nothing."""
    waiting: list[tuple[int, R]] = []  # how often combined, and what that gave
    for found in items:
        height = 0
        while waiting and waiting[-1][0] == height:
            height, found = height + 1, combine(waiting.pop()[1], found)
        waiting.append((height, found))
    if not waiting:
        return None
    _, total = waiting.pop()
    while waiting:
        total = combine(waiting.pop()[1], total)
    return total
