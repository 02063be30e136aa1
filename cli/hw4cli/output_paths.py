"""Checks of output paths before any work: they can be written, and overwrite no input and no other output."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

STDOUT = "-"
FIGURE_SUFFIXES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")
MAX_DEPTH = 5  # levels of folders searched below an input folder


@dataclass(frozen=True)
class Files:
    """The files that a command reads or writes at one path.

    what    how a sentence names them: "--json a.json", "the data"
    path    a file; or a folder if `includes` is given: whether a relative path in it is one of the files
    """

    what: str
    path: str
    includes: Callable[[str], bool] | None = None


def whole_folder(name: str) -> bool:
    """For `Files.includes`: every file in the folder."""
    return True


def named_files(names: Collection[str]) -> Callable[[str], bool]:
    """For `Files.includes`: files with these names."""
    return lambda name: name in names


def inputs(given: Mapping[str, str | None], folders: bool = False) -> list[Files]:
    """Input files by the name that sentences use; with `folders`, a folder stands for every file in it."""
    return [
        Files(what, path, whole_folder if folders and os.path.isdir(path) else None)
        for what, path in given.items()
        if path is not None
    ]


def outputs(given: Mapping[str, str | None]) -> list[Files]:
    """Output files by the name of their option; --json - is not a file."""
    return [
        Files(f"--{name} {path}", path)
        for name, path in given.items()
        if path is not None and (name, path) != ("json", STDOUT)
    ]


def check_files(written: Sequence[Files], read: Sequence[Files]) -> None:
    """Raise `click.UsageError` for an output that cannot be written, or that is an input or another output.

    Links are resolved.
    """
    known = list(read)
    for one in written:
        try:
            _check_writable(one)
            other = next((other for other in known if _overlap(one, other)), None)
        except (OSError, ValueError) as error:  # a name that is too long, a loop of links; a zero byte
            name = one.path if one.includes is None else f"to {one.what}"
            raise click.UsageError(f"cannot write {name}: {getattr(error, 'strerror', None) or error}") from error
        if other is not None:
            raise click.UsageError(
                f"{one.what} would overwrite {other.what}; give another {'path' if one.includes is None else 'folder'}"
            )
        known.append(one)


def check_figure(path: str | None) -> None:
    """Raise `click.UsageError` for a figure format that is not supported."""
    if path is not None and Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        raise click.UsageError(f"--plot {path}: a figure's name ends in {', '.join(FIGURE_SUFFIXES)}")


# ---- writable --------------------------------------------------------------------------------------------------------


def _check_writable(one: Files) -> None:
    if not one.path:
        raise click.UsageError(
            f"{one.what.rstrip()}: the name is empty; give {'a file name' if one.includes is None else 'a folder'}"
        )
    if one.path == STDOUT:
        raise click.UsageError(f"{one.what}: nothing but --json goes to stdout; give a name, as in ./{STDOUT}")
    if one.includes is None:
        _check_file(one, one.path)
    else:
        _check_folder(one, one.includes)


def _check_file(one: Files, path: str) -> None:
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise click.UsageError(f"{path} is a folder; give a file name")
    status = _stat(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise click.UsageError(f"{path} is not a regular file; give a file name")
    if not os.path.isdir(folder):
        raise click.UsageError(f"cannot write {path}: the folder {folder} does not exist")
    if status is not None and not os.access(path, os.W_OK):
        raise click.UsageError(f"cannot write {path}: permission denied")
    _check_folder_writable(folder)


def _check_folder(one: Files, includes: Callable[[str], bool]) -> None:
    """Raise `click.UsageError` unless the folder exists or can be made."""
    existing = next(str(path) for path in (Path(one.path), *Path(one.path).parents) if _stat(str(path)) is not None)
    if not os.path.isdir(existing):
        itself = existing == str(Path(one.path))
        raise click.UsageError(
            f"{one.what} is a file; give a folder"
            if itself
            else f"cannot write to {one.what}: {existing} is not a folder"
        )
    _check_folder_writable(existing)
    if os.path.isdir(one.path):
        for name in filter(includes, os.listdir(one.path)):
            _check_file(one, os.path.join(one.path, name))


def _stat(path: str) -> os.stat_result | None:
    """The status of an existing path, None if there is nothing; raises OSError where that cannot be determined."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _check_folder_writable(folder: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, f"permission denied for the folder {folder}")
    tempfile.TemporaryFile(dir=folder).close()


# ---- overlapping -----------------------------------------------------------------------------------------------------


def _overlap(one: Files, other: Files) -> bool:
    if one.includes is None and other.includes is None:
        return os.path.realpath(one.path) == os.path.realpath(other.path) or _same_file(
            _stat(one.path), _stat(other.path)
        )
    if one.includes is None:
        return _contains_file(other, one.path)
    if other.includes is None:
        return _contains_file(one, other.path)
    return _includes_path(one, other.path) or _includes_path(other, one.path)


def _contains_file(folder: Files, path: str) -> bool:
    """Whether the file is one of the folder's files, by its path or through links."""
    if _includes_path(folder, path):
        return True
    status = _stat(path)
    return status is not None and any(_same_file(status, _stat(file)) for file in _members(folder))


def _includes_path(folder: Files, path: str) -> bool:
    below = os.path.relpath(os.path.realpath(path), os.path.realpath(folder.path))
    return folder.includes is not None and not below.startswith("..") and folder.includes(below.replace(os.sep, "/"))


def _members(folder: Files) -> Iterator[str]:
    for root, inner, names in os.walk(folder.path):
        below = os.path.relpath(root, folder.path).replace(os.sep, "/")
        if below.count("/") >= MAX_DEPTH:
            inner.clear()
        for name in names:
            if folder.includes is not None and folder.includes(name if below == "." else f"{below}/{name}"):
                yield os.path.join(root, name)


def _same_file(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    return one is not None and other is not None and os.path.samestat(one, other)
