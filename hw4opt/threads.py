"""BLAS on one thread: the matrices are small, and more threads make them slower by up to a hundred times on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside the block, BLAS uses one thread; what it used before comes back after."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
