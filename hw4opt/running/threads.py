"""Threads: one for BLAS (the matrices are small, and on a busy machine several BLAS threads can be a hundred times
slower), several for NumPy."""

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

MIN_PARALLEL_ITEMS = 8  # for fewer items no threads are started
_threads: int | None = None  # number of threads by `set_threads`
SHARES_PER_THREAD = 4  # groups of items per thread: single items can cost more to hand over than to process

T = TypeVar("T")
R = TypeVar("R")


@cache
def _blas() -> list[LibController]:
    """The BLAS libraries that are loaded."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Context in which BLAS uses one thread; the earlier number is restored afterwards."""
    several = [(blas, count) for blas in _blas() if (count := blas.get_num_threads() or 1) > 1]
    for blas, _ in several:
        blas.set_num_threads(1)
    try:
        yield
    finally:
        for blas, count in several:
            blas.set_num_threads(count)


def set_threads(count: int | None) -> None:
    """Set the number of threads of this process; None: the number of cores that it may use."""
    global _threads
    _threads = count


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Context with `count` threads; None: the number outside."""
    before = _threads
    set_threads(before if count is None else count)
    try:
        yield
    finally:
        set_threads(before)


def threads_to_use() -> int:
    """The number of threads by `set_threads`, else 1 in a worker process, else the cores that this process may use."""
    if _threads is not None:
        return _threads
    processes = sys.modules.get("multiprocessing.process")  # loaded in worker processes, those of joblib included
    if processes is not None and processes.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(act: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`act` on every item, with results in order; in several threads for MIN_PARALLEL_ITEMS items or more (NumPy
    releases the GIL)."""
    items = list(items)
    if len(items) < MIN_PARALLEL_ITEMS:
        return [act(item) for item in items]
    threads = min(len(items), threads_to_use())
    if threads < 2:
        return [act(item) for item in items]
    size = -(-len(items) // (SHARES_PER_THREAD * threads))
    shares = [items[low : low + size] for low in range(0, len(items), size)]
    with ThreadPoolExecutor(threads) as pool:
        return list(chain.from_iterable(pool.map(lambda share: [act(item) for item in share], shares)))


def ordered_map(act: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`act` on every item of an iterable, with results in order, reading items while others are processed; at most one
    more item than threads is in memory."""
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
    """The items combined in pairs, the results in pairs, and so on, in a tree that depends only on their number, so
    that rounding does not depend on threads; None if there are no items."""
    waiting: list[tuple[int, R]] = []  # height in the tree, and the result
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
