"""Atomic files, and the location of the user's cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hw4nets.errors import InputError, WriteError

MAX_TEXT_BYTES = 64 << 20
LOCK_FILE = ".hw4nets.lock"  # in a folder that a process is using
MAX_AFFIX_BYTES = 100  # of a name's stem and suffix, in its temporary file's name
CACHE_VARIABLE = "HW4NETS_CACHE"  # the environment variable that moves the cache


def cache_folder() -> Path:
    """The folder of decoded images: $HW4NETS_CACHE, else the platform's folder for caches."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "hw4nets"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "hw4nets" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "hw4nets"


def make_folder(path: str | Path) -> Path:
    """The folder, created if absent; raises `InputError` if that fails."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{path} is a file; give a folder") from error
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"cannot write into {path}: permission denied")
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder against other processes for the block; raises `InputError` if another one has it.

    The lock of a process that is killed is released.
    """
    from filelock import FileLock, Timeout

    path = folder / LOCK_FILE
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"another process works in {folder}; wait until it ends, or give another `folder`") from error
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            path.unlink()
        lock.release()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that replaces it when the block succeeds, and is removed otherwise."""
    path = Path(path)
    stem, suffix = _affixes(path)
    temporary = path.parent / f".{stem}.{os.urandom(4).hex()}{suffix}"
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def leftover_files(folder: Path, names: Iterable[str]) -> list[Path]:
    """The temporary files of these names that a killed process left behind."""
    pairs = (name.rpartition(".") for name in names)
    return [path for stem, _, suffix in pairs for path in folder.glob(f".{stem}.????????.{suffix}")]


def read_text(path: str | Path) -> str:
    """The content of a regular file of at most MAX_TEXT_BYTES bytes in UTF-8.

    Raises FileNotFoundError if it is absent, and `InputError` for other faults.
    """
    path = Path(path)
    try:
        if not path.is_file() and path.exists():
            raise InputError(f"{path} is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
        if len(content) > MAX_TEXT_BYTES:
            raise InputError(f"{path} has more than {MAX_TEXT_BYTES >> 20} MiB: it was not written by this program")
        return content.decode()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_with(path: str | Path, write: Callable[[Path], None]) -> None:
    """Let `write` write a temporary file (a figure, say) that then replaces `path`."""
    with replacing(path) as temporary:
        write(temporary)


def _to_disk(path: Path) -> None:
    """Wait until the content is on the disk, so that after a power cut the renamed file is not empty."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _affixes(path: Path) -> list[str]:
    """Stem and suffix of the name, cut if long."""
    return [os.fsencode(part)[:MAX_AFFIX_BYTES].decode(errors="ignore") for part in (path.stem, path.suffix)]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
