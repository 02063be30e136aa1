"""Settings of the whole process: CPU threads, memory that torch frees, and torch's global generators."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

MMAP_MAX, TRIM_THRESHOLD = (-4, 0), (-1, 2**31 - 1)  # of <malloc.h>: no block from mmap; nothing given back below 2 GB


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the block torch uses this number of CPU threads; 0 changes nothing."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_freed_memory() -> bool:
    """Let the process keep the memory that torch frees on the CPU; False if that is impossible (not glibc).

    glibc returns every block above 32 MB to the system at once, and the next step's page faults fetch it again, zeroed:
    half of the processor time of a training step of `conv`. This affects the whole process, so programs call it, and
    `train` does not.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False  # Windows, macOS, musl
    return all(mallopt(option, value) for option, value in (MMAP_MAX, TRIM_THRESHOLD))


@contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Restore torch's global generators, of the CPU and of the device in use, after the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
