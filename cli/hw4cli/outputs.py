"""Which names may be written, and what an output may not overwrite: one rule for both programs, applied before any work."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

STDOUT = "-"
FIGURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")
DEPTH = 5  # folders looked through below one that is read


@dataclass(frozen=True)
class Files:
    """What a command reads or writes under one name.

    what    as a sentence names it: "--json a.json", "the data"
    path    a file; or a folder, where `meant` says of a name below it whether it is one of the files that are meant
    """

    what: str
    path: str
    meant: Callable[[str], bool] | None = None


def whole_folder(name: str) -> bool:
    """For `Files.meant`: everything in the folder."""
    return True


def named_files(names: Collection[str]) -> Callable[[str], bool]:
    """For `Files.meant`: the files of these names."""
    return lambda name: name in names


def inputs(given: Mapping[str, str | None], folders: bool = False) -> list[Files]:
    """Files that are read, by what a sentence calls them; with `folders` one that is a folder counts with everything in it."""
    return [
        Files(what, path, whole_folder if folders and os.path.isdir(path) else None) for what, path in given.items() if path is not None
    ]


def outputs(given: Mapping[str, str | None]) -> list[Files]:
    """Files that are written, by their option's name; --json - is none."""
    return [Files(f"--{name} {path}", path) for name, path in given.items() if path is not None and (name, path) != ("json", STDOUT)]


def check_files(written: Sequence[Files], read: Sequence[Files]) -> None:
    """Raise `click.UsageError` for what could not be written later, or would overwrite what is read or written, links resolved."""
    taken = list(read)
    for one in written:
        try:
            _check_writable(one)
            other = next((other for other in taken if _meet(one, other)), None)
        except (OSError, ValueError) as error:  # a name that is too long, a loop of links; a zero byte
            name = one.path if one.meant is None else f"to {one.what}"
            raise click.UsageError(f"cannot write {name}: {getattr(error, 'strerror', None) or error}") from error
        if other is not None:
            raise click.UsageError(f"{one.what} would overwrite {other.what}; give another {'path' if one.meant is None else 'folder'}")
        taken.append(one)


def check_figure(path: str | None) -> None:
    """Raise `click.UsageError` for a figure of a kind that cannot be drawn."""
    if path is not None and Path(path).suffix.lower() not in FIGURES:
        raise click.UsageError(f"--plot {path}: a figure's name ends in {', '.join(FIGURES)}")


# ---- what can be written -----------------------------------------------------------------------------------------------


def _check_writable(one: Files) -> None:
    if not one.path:
        raise click.UsageError(f"{one.what.rstrip()}: the name is empty; give {'a file name' if one.meant is None else 'a folder'}")
    if one.meant is None:
        _check_file(one, one.path)
    else:
        _check_folder(one, one.meant)


def _check_file(one: Files, path: str) -> None:
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise click.UsageError(f"{path} is a folder; give a file name")
    there = _stat(path)
    if there is not None and not stat.S_ISREG(there.st_mode):
        raise click.UsageError(f"{path} is no regular file; give a file name")
    if not os.path.isdir(folder):
        raise click.UsageError(f"cannot write {path}: the folder {folder} does not exist")
    if there is not None and not os.access(path, os.W_OK):
        raise click.UsageError(f"cannot write {path}: permission denied")
    _try(folder)


def _check_folder(one: Files, meant: Callable[[str], bool]) -> None:
    """One that is there, or can be made."""
    there = next(str(path) for path in (Path(one.path), *Path(one.path).parents) if _stat(str(path)) is not None)
    if not os.path.isdir(there):
        itself = there == str(Path(one.path))
        raise click.UsageError(f"{one.what} is a file; give a folder" if itself else f"cannot write to {one.what}: {there} is no folder")
    _try(there)
    if os.path.isdir(one.path):
        for name in filter(meant, os.listdir(one.path)):
            _check_file(one, os.path.join(one.path, name))


def _stat(path: str) -> os.stat_result | None:
    """Of what is there, None where nothing is; raises OSError where that cannot be known."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _try(folder: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, f"permission denied for the folder {folder}")
    tempfile.TemporaryFile(dir=folder).close()


# ---- what meets --------------------------------------------------------------------------------------------------------


def _meet(one: Files, other: Files) -> bool:
    if one.meant is None and other.meant is None:
        return os.path.realpath(one.path) == os.path.realpath(other.path) or _same(_stat(one.path), _stat(other.path))
    if one.meant is None:
        return _holds(other, one.path)
    if other.meant is None:
        return _holds(one, other.path)
    return _lies_in(one, other.path) or _lies_in(other, one.path)


def _holds(folder: Files, path: str) -> bool:
    """Whether the file is one of the folder's, by its name or by what links lead to."""
    there = _stat(path)
    return _lies_in(folder, path) or (there is not None and any(_same(there, _stat(file)) for file in _members(folder)))


def _lies_in(folder: Files, path: str) -> bool:
    below = os.path.relpath(os.path.realpath(path), os.path.realpath(folder.path))
    return folder.meant is not None and not below.startswith("..") and folder.meant(below.replace(os.sep, "/"))


def _members(folder: Files) -> Iterator[str]:
    for root, inner, names in os.walk(folder.path):
        below = os.path.relpath(root, folder.path).replace(os.sep, "/")
        if below.count("/") >= DEPTH:
            inner.clear()
        for name in names:
            if folder.meant is not None and folder.meant(name if below == "." else f"{below}/{name}"):
                yield os.path.join(root, name)


def _same(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    return one is not None and other is not None and os.path.samestat(one, other)
