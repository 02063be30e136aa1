"""Sources decoded: official batches of CIFAR-10 (pickle or binary), or images of classes, loose or in an archive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from hw4nets.archives import (
    ACCEPTED_LAYOUTS,
    LABELS_FILE,
    MAX_SOURCE_BYTES,
    collect,
    file_key,
    file_size,
    folder_files,
)
from hw4nets.batches import official_batches, read_batches
from hw4nets.errors import DataError
from hw4nets.image_set import CLASSES
from hw4nets.images import Pictures, read_folders, read_labelled


class Decoded(NamedTuple):
    """The images of a source; `official` has its batches by name if all have their official checksums."""

    pictures: Pictures
    official: Mapping[str, bytes] = {}


def read(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Decoded:
    """Read and decode everything under a folder or in an archive; `progress(done, total)` counts images."""
    files = collect(path)
    images = {key: content for key, content in files.items() if key.count("/") == 2}
    batches = {key: content for key, content in files.items() if "/" not in key and key != LABELS_FILE}
    labelled = {key: content for key, content in files.items() if key not in images and key not in batches}
    if LABELS_FILE not in labelled or len(labelled) == 1:  # loose images without labels, or a table without images
        labelled = {}
    kinds = {"official batches": batches, "image folders": images, f"images with {LABELS_FILE}": labelled}
    present = [kind for kind, found in kinds.items() if found]
    if len(present) > 1:
        raise DataError(f"{path} holds {' and '.join(present)}; keep one of them")
    if images:
        return Decoded(read_folders(path, images, progress))
    if labelled:
        return Decoded(read_labelled(path, labelled, progress))
    if batches:
        return Decoded(Pictures(*read_batches(path, batches), CLASSES), official_batches(batches))
    raise DataError(f"{path} holds neither CIFAR-10 nor class folders: wanted {ACCEPTED_LAYOUTS}")


def source_key(path: Path) -> str:
    """A hash of the content: of the archive, or of key and content of every file of the folder that has a key.

    Raises `DataError` if one cannot be read.
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
