"""CIFAR-10 decoded from official batches (pickle or binary) or from image folders, loose or in an archive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from hw4nets.archives import ACCEPTED_LAYOUTS, MAX_SOURCE_BYTES, collect, file_key, file_size, folder_files
from hw4nets.batches import official_batches, read_batches
from hw4nets.errors import DataError
from hw4nets.image_set import ImageSet
from hw4nets.images import read_images


class Decoded(NamedTuple):
    """The images of a source; `official` has its batches by name where every one has its official checksum."""

    train: ImageSet
    test: ImageSet
    official: Mapping[str, bytes] = {}


def read(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Decoded:
    """Read and decode everything under a folder or in an archive; `progress(done, total)` counts images."""
    files = collect(path)
    images = {key: content for key, content in files.items() if "/" in key}
    batches = {key: content for key, content in files.items() if "/" not in key}
    if images and batches:
        raise DataError(f"{path} holds official batches and image folders; keep one of them")
    if images:
        return Decoded(read_images(path, "train", images, progress), read_images(path, "test", images, progress))
    if batches:
        return Decoded(*read_batches(path, batches), official_batches(batches))
    raise DataError(f"{path} holds no CIFAR-10: wanted {ACCEPTED_LAYOUTS}")


def source_key(path: Path) -> str:
    """A hash of the content: of the archive, or of key and content of every file of the folder that has a key.

    Raises `DataError` where one cannot be read.
    """
    files = [(file_key(name), file) for name, file in folder_files(path)] if path.is_dir() else [("", path)]
    if not path.is_dir() and file_size(path) > MAX_SOURCE_BYTES:
        raise DataError(f"{path} has more than {MAX_SOURCE_BYTES >> 30} GiB; give one that holds {ACCEPTED_LAYOUTS}")
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
