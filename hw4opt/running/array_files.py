"""Large arrays that a fit makes once and reads often: in memory, or in files that no name leads to, where there is
little of it."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw4opt.errors import RefusedError, size_text

SMALLEST_FILE = 1 << 20  # bytes: smaller arrays are always in memory
LARGE_FILES = Path("/var/tmp")  # of systems whose usual temporary folder may lie in memory
MEMORY_INFO = Path("/proc/meminfo")
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # of control groups, which containers have
GROUP_FILES = {  # by the name of the controller, none in version 2: limit, use, and what of that are pages of files
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}

Array = NDArray[np.float64]


class ArrayFiles:
    """Where the arrays of a fit go: into memory while there is room, into files of a folder from then on.

    room      bytes of memory that are left
    states    whether what a solver keeps for each row, and changes at every step, is in memory whatever room is left
    """

    def __init__(self, room: int, states: bool = True) -> None:
        self.room, self.states = room, states

    def empty(self, shape: tuple[int, ...]) -> Array:
        """A new array, whose entries are anything; its place is free again with the last view of it."""
        size = 8 * prod(shape)
        if size > self.room:
            return _on_disk(shape, size)
        self.room -= size
        found = np.empty(shape)
        weakref.finalize(found, self._give_back, size).atexit = False
        return found

    def _give_back(self, size: int) -> None:
        self.room += size


_files: ContextVar[ArrayFiles | None] = ContextVar("array files of the fit", default=None)


@contextmanager
def arrays_within(room: int, states: bool = True) -> Iterator[ArrayFiles]:
    """Inside the block, large arrays take no more than so many bytes of memory; the others are in files, and without
    `states` what a solver keeps for each row, too."""
    with arrays_in(ArrayFiles(room, states)) as files:
        yield files


@contextmanager
def arrays_in(files: ArrayFiles) -> Iterator[ArrayFiles]:
    """Inside the block, large arrays go where these files say, which other blocks may have used before."""
    token = _files.set(files)
    try:
        yield files
    finally:
        _files.reset(token)


def large_array(*shape: int) -> Array:
    """A new array that is written once, some rows at a time: as `arrays_within` says, elsewhere in memory. Raises
    `RefusedError` where the disk has no room for it."""
    files = _files.get()
    if files is None or 8 * prod(shape) < SMALLEST_FILE:
        return np.empty(shape)
    return files.empty(shape)


def zeros_in_files() -> Callable[[int], Array] | None:
    """What makes arrays (size,) of zeros in files, for a solver; None where it takes memory."""
    files = _files.get()
    return None if files is None or files.states else lambda size: _on_disk((size,), 8 * size)


def disk_folder() -> str:
    """Where the files are: the folder that TMPDIR names, else /var/tmp, else the system's temporary folder."""
    usual = not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return str(LARGE_FILES) if usual and os.access(LARGE_FILES, os.W_OK) else tempfile.gettempdir()


def free_memory() -> int:
    """Bytes that new work may take: what the system says is available, else its whole memory, and no more than the
    process's control groups leave."""
    try:
        fields = dict(line.split(":") for line in MEMORY_INFO.read_text().splitlines())
        free = 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 32
    return min([free, *_left_by_groups()])


def _left_by_groups() -> Iterator[int]:
    """What the limit of the process's group, and of each group around it, leaves beside what cannot be given back."""
    try:
        lines = [line.split(":", 2) for line in OWN_GROUPS.read_text().splitlines()]
    except OSError:
        return
    for _, controller, own in lines:
        if (names := GROUP_FILES.get(controller)) is None:
            continue
        group = GROUPS / controller / own.lstrip("/")
        for folder in (group, *group.parents):
            try:
                limit, used = (int((folder / name).read_text()) for name in names[:2])
                fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield max(limit - used + int(fields.get(names[2], 0)), 1)
            except (OSError, ValueError):  # no such group, or no limit: "max"
                continue


def _on_disk(shape: tuple[int, ...], size: int) -> Array:
    """In a file that is gone with the array, or with the process, whatever ends it. Its room is taken before: a page
    that finds none when it is written would end the process."""
    folder = disk_folder()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), size)
            return np.ndarray(shape, buffer=mmap.mmap(file.fileno(), size))
    except OSError as error:
        free = shutil.disk_usage(folder).free if os.path.isdir(folder) else 0
        raise RefusedError(
            f"memory does not hold an array of {size_text(size)}, and neither does {folder}, where "
            f"{size_text(free)} are free ({error.strerror or error}); give a larger `memory`, or set TMPDIR to a "
            "folder of a larger disk"
        ) from error


def _reserve(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    for low in range(0, size, SMALLEST_FILE):  # a hole would be no room
        os.write(file, bytes(min(SMALLEST_FILE, size - low)))
