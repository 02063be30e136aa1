"""Checkpoints: written atomically every epoch, with a checksum, and the previous one kept.

A checkpoint is a nested dict of tensors, numbers and words, which `torch.load(path, weights_only=True)` reads: no code.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hw4nets.errors import CheckpointError, DamagedError, WriteError, out_of_memory
from hw4nets.files import write_with

VERSION = 1
LAST_FILE, BEST_FILE, BEFORE_FILE = "last.pt", "best.pt", "before.pt"


def save_checkpoint(folder: Path, state: Mapping[str, Any], best: bool) -> None:
    """Write last.pt, keep the previous one as before.pt, and make the new one best.pt too if `best`.

    last.pt exists and is whole at every moment.
    """
    content = {"version": VERSION, "state": state, "sha256": checksum(state)}
    if (folder / LAST_FILE).exists():
        _link_or_copy(folder / LAST_FILE, folder / BEFORE_FILE)
    write_tensors(folder / LAST_FILE, content)
    if best:
        keep_as_best(folder)


def keep_as_best(folder: Path) -> None:
    """Make best.pt the same as last.pt."""
    _link_or_copy(folder / LAST_FILE, folder / BEST_FILE)


def write_tensors(path: str | Path, content: Mapping[str, Any]) -> None:
    """`torch.save`, atomically; `WriteError` where the disk is full."""
    try:
        write_with(path, lambda temporary: _save(content, temporary))
    except RuntimeError as error:  # torch's error for a full disk
        raise WriteError(f"cannot write {path} ({str(error).splitlines()[0]}); is the disk full?") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state; raises `CheckpointError` if the file is damaged, newer, or not a checkpoint."""
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
        version = whole["version"]
        damaged = version == VERSION and checksum(whole["state"]) != whole["sha256"]
        state = dict(whole["state"])
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # readers of damaged archives raise any exception
        if out_of_memory(error):
            raise MemoryError(str(error)) from error  # not a fault of the file
        raise DamagedError(f"{path} is damaged, or not a checkpoint of hw4nets ({type(error).__name__})") from error
    if version != VERSION:
        raise CheckpointError(f"{path} has format {str(version)[:20]}; this program reads format {VERSION}")
    if damaged:
        raise DamagedError(f"{path} is damaged: its checksum does not fit its content")
    return state


def newest_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The state of last.pt, or None if there is none; and notes for the user.

    A damaged or absent last.pt is replaced by before.pt, so that the next save keeps a valid one. Raises
    `CheckpointError` if there are checkpoints and none can be used: starting over is the user's choice.
    """
    last, before = folder / LAST_FILE, folder / BEFORE_FILE
    if not last.exists() and not before.exists():
        return None, []
    if not last.exists():
        _rename(before, last)
    try:
        return load_checkpoint(last), []
    except DamagedError as error:
        if not before.exists():
            raise CheckpointError(f"{error}, and there is no other; `overwrite=True` starts over") from error
        return _recovered(last, before, error)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; `overwrite=True` starts over") from error


def _recovered(last: Path, before: Path, damage: DamagedError) -> tuple[dict[str, Any], list[str]]:
    try:
        state = load_checkpoint(before)
    except CheckpointError as error:
        raise CheckpointError(f"{damage}; {error}; `overwrite=True` starts over") from error
    _rename(before, last)
    return state, [f"{damage}; going on from the checkpoint before it"]


def _rename(path: Path, other: Path) -> None:
    try:
        os.replace(path, other)
    except OSError as error:
        raise WriteError(f"cannot write {other}: {error.strerror or error}") from error


def checksum(state: Any) -> str:
    """sha256 over every name, number, word and tensor of a nested dict, in order."""
    digest = hashlib.sha256()
    for piece in _pieces(state):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield repr(key).encode()
            yield from _pieces(entry)
    elif isinstance(value, list | tuple):
        yield str(len(value)).encode()
        for entry in value:
            yield from _pieces(entry)
    elif isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        yield f"{plain.dtype} {tuple(plain.shape)}".encode()
        yield plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield repr(value).encode()


def _save(content: Mapping[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(content, file)


def _link_or_copy(path: Path, other: Path) -> None:
    """Make `other` the same file as `path`, atomically: a hard link where the file system has them, else a copy."""
    temporary = other.with_name(f".{other.stem}.{secrets.token_hex(4)}{other.suffix}")
    try:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)
        os.replace(temporary, other)
    except OSError as error:
        raise WriteError(f"cannot write {other}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
