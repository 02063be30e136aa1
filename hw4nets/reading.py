"""CIFAR-10 from what people have: official batches (pickle or binary) or an image folder, loose or in an archive."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import pickle
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hw4nets.errors import DataError, UnknownNameError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
LARGEST = 64 << 20  # bytes of one file: an official batch has 31 MB
DEPTH = 4  # folders searched below the one given
UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError)
UNREADABLE += (ValueError, RuntimeError, KeyError)  # a number that is none; an encrypted archive; a link to a file that is not there
OFFICIAL = {  # md5 of the official batches (torchvision's CIFAR10.train_list and test_list)
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
OFFICIAL_BINARY = {  # SHA-1 of the same in the binary version (MXNet's gluon.data.vision.CIFAR10)
    "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
}
BATCH = re.compile(r"(?:^|/)((?:data_batch_[1-5]|test_batch)(?:\.bin)?)$")
IMAGE = re.compile(r"(?:^|/)(train|test)/([^/]+)/([^/]+\.(?:jpe?g|png))$", re.IGNORECASE)
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"PK")  # how files of gzip, bzip2, xz and zip begin
ACCEPTED = "train/CLASS/*.jpg|png with test/CLASS/…, or the official data_batch_1 … test_batch (.bin too)"


class Part(NamedTuple):
    """Images of training or test: pixels uint8 (n, 3, 32, 32), labels int64 (n,) in 0 … 9."""

    pixels: np.ndarray
    labels: np.ndarray


class Found(NamedTuple):
    """What a source held; `official` where every batch has its official checksum."""

    train: Part
    test: Part
    official: bool = False


def read(path: Path, report: Callable[[int, int], None] = lambda done, total: None) -> Found:
    """Read and decode everything under a folder or in an archive; `report(done, total)` counts images."""
    files = _collect(path)
    images = {key: content for key, content in files.items() if "/" in key}
    batches = {key: content for key, content in files.items() if "/" not in key}
    if images and batches:
        raise DataError(f"{path} holds official batches and image folders; keep one of them")
    if images:
        return Found(_image_part(path, "train", images, report), _image_part(path, "test", images, report))
    if batches:
        return _batches(path, batches)
    raise DataError(f"{path} holds no CIFAR-10: wanted {ACCEPTED}")


# ---- files out of folders and archives ---------------------------------------------------------------------------------


def _collect(path: Path) -> dict[str, bytes]:
    """Key → content of every file that can be part of CIFAR-10; the key is train/CLASS/NAME or a batch's name."""
    files: dict[str, bytes] = {}
    try:
        for name, content in _entries(path):
            key = _key(name)
            if key in files:
                raise DataError(f"{path} holds {key} twice; give the folder that holds it once")
            files[key] = content()
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        why = str(error).partition("\n")[0].rstrip(":")  # tarfile tells what every kind of archive found
        raise DataError(f"{path} cannot be read to its end ({why}); it may be half a download: get it anew") from error
    return files


def _key(name: str) -> str:
    """What macOS adds to archives and foreign folders (`__MACOSX/`, `._name`) has none."""
    if any(part == "__MACOSX" or part.startswith("._") for part in name.split("/")):
        return ""
    batch, image = BATCH.search(name), IMAGE.search(name)
    return batch.group(1) if batch else "/".join(image.groups()) if image else ""


def _entries(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name and content of the files that `_key` knows, in the order they are stored."""
    if path.is_dir():
        yield from _folder_entries(path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if _key(item.filename) and item.file_size <= LARGEST:
                    yield item.filename, lambda item=item: archive.read(item)
    elif not _packed(path):
        raise DataError(f"{path} is no archive (tar, tar.gz, tar.bz2, tar.xz or zip); give one that holds {ACCEPTED}")
    else:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                counts = (member.isreg() or member.islnk()) and _key(member.name) and member.size <= LARGEST
                file = archive.extractfile(member) if counts else None
                if file is not None:
                    yield member.name, partial(file.read, LARGEST)  # a hard link does not tell the size of its file
            while archive.fileobj and archive.fileobj.read(1 << 20):  # gzip's checksum stands at the end, behind what tar reads
                pass


def _packed(path: Path) -> bool:
    """Whether the file is an archive, whole or cut short."""
    with path.open("rb") as file:
        start = file.read(8)
    return start.startswith(PACKED) or tarfile.is_tarfile(path)


def _folder_entries(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, file in _folder_files(path):
        if _stat(file).st_size <= LARGEST:
            yield name, file.read_bytes


def _folder_files(path: Path) -> Iterator[tuple[str, Path]]:
    """Every file that `_key` knows, in order, and its name below the folder's."""
    for folder, inner, names in os.walk(path):
        inner.sort()
        if len(Path(folder).relative_to(path).parts) >= DEPTH:
            inner.clear()
        for name in sorted(names):
            file = Path(folder, name)
            relative = f"{path.name}/{file.relative_to(path).as_posix()}"
            if _key(relative):
                yield relative, file


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as error:
        why = "it is a link to nothing" if file.is_symlink() else error.strerror
        raise DataError(f"{file} cannot be read ({why}); replace or remove it") from error


def source_key(path: Path) -> str:
    """Changes when the source does: a hash of its place and of size and time of the file, or of every file that counts.

    Of those also name and number (inode): when two folders change names, every size and time still stands where it stood.
    """
    digest = hashlib.sha256(str(path.resolve()).encode())
    if path.is_file():
        stat = _stat(path)
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    else:
        for name, file in _folder_files(path):
            stat = _stat(file)
            digest.update(f"{name!r} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}".encode(errors="backslashreplace"))
    return digest.hexdigest()[:20]


# ---- image folders -----------------------------------------------------------------------------------------------------


def _image_part(path: Path, part: str, files: Mapping[str, bytes], report: Callable[[int, int], None]) -> Part:
    keys = sorted(key for key in files if key.split("/")[0].lower() == part)
    classes = {key.split("/")[1] for key in keys}
    for name in sorted(classes - set(CLASSES)):
        raise UnknownNameError(f"class of CIFAR-10 for the folder {part}/", name, CLASSES)
    missing = [name for name in CLASSES if name not in classes]
    if missing:
        raise DataError(f"{path}: {part}/ lacks images of {', '.join(missing)}; every class needs some: {ACCEPTED}")
    pixels = np.empty((len(keys), *SHAPE), np.uint8)

    def decode(place: int) -> None:
        pixels[place] = _decode(keys[place], files[keys[place]])

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without holding the interpreter's lock
        for done, _ in enumerate(pool.map(decode, range(len(keys)), chunksize=64), start=1):
            if done % 1000 == 0:
                report(done, len(keys))
    return Part(pixels, np.array([CLASSES.index(key.split("/")[1]) for key in keys], np.int64))


def _decode(name: str, content: bytes) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.size != (32, 32):
                raise DataError(f"{name} is {image.size[0]}×{image.size[1]}; CIFAR-10 has 32×32")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is no image that can be decoded, or is cut short; replace it") from error


# ---- official batches --------------------------------------------------------------------------------------------------


def _batches(path: Path, files: Mapping[str, bytes]) -> Found:
    binary = any(name.endswith(".bin") for name in files)
    names = list(OFFICIAL_BINARY if binary else OFFICIAL)
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; the official batches are {', '.join(names)}")
    parts = [(_binary_batch if binary else _pickle_batch)(name, files[name]) for name in names]
    official = all(_digest(files[name], "sha1" if binary else "md5") == (OFFICIAL_BINARY | OFFICIAL)[name] for name in names)
    train = Part(*(np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True)))
    for which, part in (("training", train), ("test", parts[-1])):
        absent = sorted(set(range(len(CLASSES))) - set(part.labels.tolist()))
        if absent:
            raise DataError(f"{path}: the {which} batches hold no image of {', '.join(CLASSES[label] for label in absent)}")
    return Found(train, parts[-1], official)


def _digest(content: bytes, kind: str) -> str:
    return hashlib.new(kind, content, usedforsecurity=False).hexdigest()


def _binary_batch(name: str, content: bytes) -> Part:
    """Rows of 1 label byte and 3,072 pixel bytes (channel, row, column)."""
    if not content or len(content) % (1 + PIXELS):
        raise DataError(f"{name} has {len(content)} bytes, not a multiple of {1 + PIXELS}: it is cut short, or no CIFAR-10 batch")
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    return _checked(name, rows[:, 1:], rows[:, 0])


def _pickle_batch(name: str, content: bytes) -> Part:
    """A pickled dict with `data` uint8 (n, 3072) and a list `labels`."""
    try:
        batch = _Restricted(io.BytesIO(content), encoding="bytes").load()
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        return _checked(name, np.asarray(batch["data"]), np.asarray(batch["labels"]))
    except DataError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its opcodes run into
        raise DataError(f"{name} is no batch of CIFAR-10, or is damaged ({type(error).__name__}: {error})") from error


def _checked(name: str, pixels: np.ndarray, labels: np.ndarray) -> Part:
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape != (len(labels), PIXELS) or not len(labels):
        raise DataError(f"{name}: pixels of shape {pixels.shape} and type {pixels.dtype}; wanted uint8 ({len(labels)}, {PIXELS})")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise DataError(f"{name} holds the label {labels.max()}; labels are 0 … {len(CLASSES) - 1}")
    return Part(pixels.reshape(-1, *SHAPE), labels.astype(np.int64))


class _Restricted(pickle.Unpickler):
    """Arrays and plain containers only: a pickle is a program, and this one may not call anything else."""

    ALLOWED = frozenset(
        (f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")
    ) | frozenset((("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")))

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)
