"""Large arrays that a fit writes once and reads often: in memory, or in unnamed memory-mapped files if memory is
short."""

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

SMALLEST_FILE = 1 << 20  # bytes; smaller arrays are always in memory
LARGE_FILES = Path("/var/tmp")  # on disk, while the default temporary folder may be in memory
MEMORY_INFO = Path("/proc/meminfo")
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # control groups, as of containers
GROUP_FILES = {  # by controller ("" in version 2): files of the limit and the use, and the field of reclaimable cache
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}

Array = NDArray[np.float64]


class ArrayFiles:
    """Allocates the arrays of a fit: in memory while there is room, then in files.

    room                bytes of memory that are left
    vectors_in_memory   whether the solver's vectors per row, which change in every step, are in memory regardless of
                        `room`
    """

    def __init__(self, room: int, vectors_in_memory: bool = True) -> None:
        self.room, self.vectors_in_memory = room, vectors_in_memory

    def empty(self, shape: tuple[int, ...]) -> Array:
        """A new uninitialised array; its memory counts as free again once the array and its views are deleted."""
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
def arrays_within(room: int, vectors_in_memory: bool = True) -> Iterator[ArrayFiles]:
    """Context in which large arrays use at most `room` bytes of memory, and others are in files; so are the solver's
    vectors per row unless `vectors_in_memory`."""
    with arrays_in(ArrayFiles(room, vectors_in_memory)) as files:
        yield files


@contextmanager
def arrays_in(files: ArrayFiles) -> Iterator[ArrayFiles]:
    """Context in which large arrays are placed by `files`, which earlier contexts may have used."""
    token = _files.set(files)
    try:
        yield files
    finally:
        _files.reset(token)


def large_array(*shape: int) -> Array:
    """A new uninitialised array of this shape: within `arrays_within` possibly in a file, else in memory. Raises
    `RefusedError` if the disk is too small."""
    files = _files.get()
    if files is None or 8 * prod(shape) < SMALLEST_FILE:
        return np.empty(shape)
    return files.empty(shape)


def zeros_in_files() -> Callable[[int], Array] | None:
    """A function that allocates arrays (size,) of zeros in files for a solver; None if it should use memory."""
    files = _files.get()
    return None if files is None or files.vectors_in_memory else lambda size: _on_disk((size,), 8 * size)


def disk_folder() -> str:
    """The folder of the files: TMPDIR if set, else /var/tmp, else the system's temporary folder."""
    usual = not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return str(LARGE_FILES) if usual and os.access(LARGE_FILES, os.W_OK) else tempfile.gettempdir()


def free_memory() -> int:
    """Bytes of free memory: what the system reports as available, else its whole memory, and at most what the
    process's control groups allow."""
    try:
        fields = dict(line.split(":") for line in MEMORY_INFO.read_text().splitlines())
        free = 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 32
    return min([free, *_left_by_groups()])


def _left_by_groups() -> Iterator[int]:
    """For the process's control group and each of its parents, the limit minus the memory that cannot be reclaimed."""
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
    """An array in an unlinked file, which is freed with the array or the process. Its disk space is reserved first: a
    write to a page without space would kill the process."""
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
    for low in range(0, size, SMALLEST_FILE):  # a hole would not reserve space
        os.write(file, bytes(min(SMALLEST_FILE, size - low)))
