"""Files of folders and archives that can be part of CIFAR-10, with a limit on what they unpack to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from hw4nets.errors import DataError
from hw4nets.image_set import MAX_FILE_BYTES

MAX_SOURCE_BYTES = 2 << 30  # of a source, or of an archive's content unpacked: CIFAR-10 has 184 MB
MAX_FILES = 200_000  # CIFAR-10 has 60,000 images
MAX_FOLDER_DEPTH = 4  # levels of folders searched below the one given
CHUNK_BYTES = 1 << 20
ZIP_CHUNK_BYTES = 4096  # of packed content: bzip2 and LZMA unpack all of a chunk at once
ACCEPTED_LAYOUTS = (
    "train/CLASS/*.jpg|png with test/CLASS/… or val/CLASS/…, the official data_batch_1 … test_batch (.bin too), "
    "or Kaggle's train/*.png with trainLabels.csv"
)
LABELS_FILE = "trainLabels.csv"
BATCH_NAME = re.compile(r"(?:^|/)((?:data_batch_[1-5]|test_batch)(?:\.bin)?)$")
IMAGE_NAME = re.compile(r"(?:^|/)(train|test|val)/([^/]+)/([^/]+\.(?:jpe?g|png))$", re.IGNORECASE)
KAGGLE_NAME = re.compile(rf"(?:^|/)({re.escape(LABELS_FILE)}|train/[^/]+\.(?:jpe?g|png))$")
OPENERS: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
PACKED_MAGIC = (*OPENERS, b"PK")  # first bytes of gzip, bzip2, xz and zip files

Content = Callable[[], bytes]
Key = Callable[[str], str]  # of a file's name; "" for a file that is skipped


def collect(path: Path) -> dict[str, bytes]:
    """Key → content of every file that can be part of a source: train/CLASS/NAME, a batch's name, or Kaggle's.

    Raises `DataError` where the source is damaged, or holds more than MAX_SOURCE_BYTES bytes or MAX_FILES files.
    """
    files: dict[str, bytes] = {}
    for name, content in contents(path, file_key, MAX_FILES):
        key = file_key(name)
        if key in files:
            raise DataError(f"{path} holds {key} twice; give the folder that holds it once")
        files[key] = content
    return files


def contents(path: Path, key: Key, max_files: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files of a folder or an archive that have a key, in the order they are stored.

    Raises `DataError` where the source is damaged, or holds more than MAX_SOURCE_BYTES bytes or `max_files` files.
    """
    room = MAX_SOURCE_BYTES
    try:
        for count, (name, read) in enumerate(_entries(path, key, max_files), start=1):
            content = read()
            room -= len(content)
            if room < 0 or count > max_files:
                raise _too_large(path, max_files)
            yield name, content
    except (DataError, MemoryError):
        raise
    except Exception as error:  # readers of damaged archives raise any exception
        why = str(error).partition("\n")[0].rstrip(":")  # tarfile appends the errors of every format that it tried
        message = f"{path} cannot be read to its end ({why}); the download may be incomplete: download it again"
        raise DataError(message) from error


def file_key(name: str) -> str:
    """The key of a file name, "" if it has none, as files that macOS adds to archives (`__MACOSX/`, `._name`)."""
    if any(part == "__MACOSX" or part.startswith("._") for part in name.split("/")):
        return ""
    batch, image, kaggle = BATCH_NAME.search(name), IMAGE_NAME.search(name), KAGGLE_NAME.search(name)
    return batch[1] if batch else "/".join(image.groups()) if image else kaggle[1] if kaggle else ""


def folder_files(path: Path) -> Iterator[tuple[str, Path]]:
    """Relative name and path of every file of a folder that has a key, in order; raises `DataError` for too many."""
    room, count = MAX_SOURCE_BYTES, 0
    for folder, inner, names in os.walk(path):
        inner.sort()
        if len(Path(folder).relative_to(path).parts) >= MAX_FOLDER_DEPTH:
            inner.clear()
        for name in sorted(names):
            file = Path(folder, name)
            relative = f"{path.name}/{file.relative_to(path).as_posix()}"
            if file_key(relative) and (size := file_size(file)) <= MAX_FILE_BYTES:
                room, count = room - size, count + 1
                if room < 0 or count > MAX_FILES:
                    raise _too_large(path, MAX_FILES)
                yield relative, file


def file_size(file: Path) -> int:
    """Bytes of a regular file; raises `DataError` for anything else: reading a pipe or a device may never end."""
    try:
        status = file.stat()
    except OSError as error:
        why = "it is a broken link" if file.is_symlink() else error.strerror
        raise DataError(f"{file} cannot be read ({why}); replace or remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{file} is not a regular file; replace or remove it")
    return status.st_size


def _too_large(path: Path, max_files: int) -> DataError:
    most = f"{MAX_SOURCE_BYTES >> 30} GiB or {max_files:,} files"
    return DataError(
        f"{path} holds or unpacks to more than {most}, and CIFAR-10 to 184 MB; give one that holds {ACCEPTED_LAYOUTS}"
    )


def is_archive(path: Path) -> bool:
    """Whether a file looks like a zip or a tar archive, packed or not."""
    with path.open("rb") as file:
        start = file.read(8)
    return start.startswith(PACKED_MAGIC) or zipfile.is_zipfile(path) or _is_tar(path)


def _entries(path: Path, key: Key, max_files: int) -> Iterator[tuple[str, Content]]:
    """Name and content of the files that have a key, in the order they are stored."""
    if path.is_dir():
        yield from ((name, file.read_bytes) for name, file in folder_files(path))
    elif zipfile.is_zipfile(path):
        yield from _zip_entries(path, key, max_files)
    elif is_archive(path):
        with path.open("rb") as file:
            opener = next((opener for magic, opener in OPENERS.items() if file.peek(8).startswith(magic)), None)
            with _Limited(path, file if opener is None else opener(file), opener is not None) as unpacked:
                yield from _tar_entries(unpacked, key, max_files)
    else:
        raise DataError(
            f"{path} is not an archive (tar, tar.gz, tar.bz2, tar.xz or zip); give one that holds {ACCEPTED_LAYOUTS}"
        )


def _is_tar(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            tarfile.open(fileobj=_Limited(path, file, packed=False), mode="r:").close()
        except tarfile.TarError:
            return False
    return True


def _zip_entries(path: Path, key: Key, max_files: int) -> Iterator[tuple[str, Content]]:
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > max_files:
            raise _too_large(path, max_files)
        for item in archive.infolist():
            if key(item.filename) and item.file_size <= MAX_FILE_BYTES:
                yield item.filename, lambda item=item: _unzipped(archive, item)


def _unzipped(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> bytes:
    """Its content, cut at the size that the archive states."""
    with archive.open(item) as file:
        return b"".join(iter(lambda: file.read(ZIP_CHUNK_BYTES), b""))


def _tar_entries(unpacked: _Limited, key: Key, max_files: int) -> Iterator[tuple[str, Content]]:
    read: dict[str, bytes] = {}
    with tarfile.open(fileobj=unpacked, mode="r:") as archive:
        for number, member in enumerate(archive):
            if number > max_files:
                raise _too_large(unpacked.path, max_files)
            if not key(member.name) or member.size > MAX_FILE_BYTES or not (member.isreg() or member.islnk()):
                continue
            if not member.islnk() or member.linkname not in read:  # a link to a file already read needs no seeking
                file = archive.extractfile(member)
                if file is None:
                    continue
                read[member.name] = file.read(MAX_FILE_BYTES)  # a hard link does not state the size of its file
            else:
                read[member.name] = read[member.linkname]
            yield member.name, lambda name=member.name: read[name]
        unpacked.to_end()  # gzip's checksum is at the end, which tar does not read


class _Limited:
    """An unpacked archive as a file; raises `DataError` beyond MAX_SOURCE_BYTES, where bytes read twice count twice."""

    def __init__(self, path: Path, file: IO[bytes], packed: bool) -> None:
        self.path, self.file, self.packed, self.room = path, file, packed, MAX_SOURCE_BYTES

    def __enter__(self) -> _Limited:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()

    def write(self, content: bytes) -> int:
        """The part of a readable file's interface that tarfile needs."""
        raise io.UnsupportedOperation("write")

    def tell(self) -> int:
        return self.file.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= min(self.room, MAX_FILE_BYTES):
            raise _too_large(self.path, MAX_FILES)
        content = self.file.read(size)
        self.room -= len(content)
        return content

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Seek; in a packed file by unpacking everything in between."""
        if not self.packed:
            return self.file.seek(place, whence)
        if place < self.file.tell():
            self.file.seek(0)
        while (ahead := place - self.file.tell()) > 0 and self.read(min(ahead, CHUNK_BYTES)):
            pass
        return self.file.tell()

    def to_end(self) -> None:
        while self.packed and self.read(CHUNK_BYTES):
            pass
