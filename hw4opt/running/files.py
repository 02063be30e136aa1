"""Atomic writing of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hw4opt.errors import InputError

# Bytes of a file's stem, and of its suffix, in the name of its temporary file, which must not become too long.
KEPT_NAME_BYTES = 100


class _UnwrittenError(OSError):
    """An `OSError` that names the target file, not the temporary one."""


def check_writable(path: str | Path) -> None:
    """Raise `InputError` if a file could not be written at `path`."""
    path = Path(path)
    try:
        _check(path, path.parent)
    except OSError as error:  # e.g. a name that is too long, a loop of links
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _check(path: Path, folder: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file; give a file name")
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write {path}: permission denied")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Context with a temporary file beside `path` that replaces it on success and is deleted otherwise. Raises
    `InputError` if `path` is not writable; an `OSError` inside names `path`."""
    path = Path(path)
    check_writable(path)
    stem, suffix = _affixes(path)
    temporary = path.parent / f".{stem}.{os.urandom(4).hex()}{suffix}"
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except _UnwrittenError:  # of another file, from a nested context
        raise
    except OSError as error:  # e.g. a full disk
        raise _UnwrittenError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically; raises `InputError` as `check_writable`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_with(path: str | Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file (e.g. a figure) that then replaces `path`."""
    with replacing(path) as temporary:
        write(temporary)


def _affixes(path: Path) -> list[str]:
    """Stem and suffix of the name, truncated to KEPT_NAME_BYTES bytes."""
    return [os.fsencode(part)[:KEPT_NAME_BYTES].decode(errors="ignore") for part in (path.stem, path.suffix)]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
