"""CIFAR-10 from what people have: official batches (pickle or binary) or an image folder, loose or in an archive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from hw4nets.archives import ACCEPTED, LARGEST_SOURCE, collect, file_key, file_size, folder_files
from hw4nets.batches import official_batches, read_batches
from hw4nets.errors import DataError
from hw4nets.images import read_images
from hw4nets.parts import Part


class Found(NamedTuple):
    """What a source held; `official` holds the batches by name where every one has its official checksum."""

    train: Part
    test: Part
    official: Mapping[str, bytes] = {}


def read(path: Path, report: Callable[[int, int], None] = lambda done, total: None) -> Found:
    """Read and decode everything under a folder or in an archive; `report(done, total)` counts images."""
    files = collect(path)
    images = {key: content for key, content in files.items() if "/" in key}
    batches = {key: content for key, content in files.items() if "/" not in key}
    if images and batches:
        raise DataError(f"{path} holds official batches and image folders; keep one of them")
    if images:
        return Found(read_images(path, "train", images, report), read_images(path, "test", images, report))
    if batches:
        return Found(*read_batches(path, batches), official_batches(batches))
    raise DataError(f"{path} holds no CIFAR-10: wanted {ACCEPTED}")


def source_key(path: Path) -> str:
    """A hash of the content: of the archive, or of key and content of every file of the folder that counts. Raises `DataError`."""
    files = [(file_key(name), file) for name, file in folder_files(path)] if path.is_dir() else [("", path)]
    if not path.is_dir() and file_size(path) > LARGEST_SOURCE:
        raise DataError(f"{path} has more than {LARGEST_SOURCE >> 30} GiB; give one that holds {ACCEPTED}")
    digest = hashlib.sha256()
    for key, file in files:
        digest.update(f"{key}\0".encode(errors="surrogateescape") + _file_digest(file))
    return digest.hexdigest()[:20]


def _file_digest(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").digest()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
