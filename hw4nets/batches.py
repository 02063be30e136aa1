"""Batches of CIFAR-10, pickled or binary; the official ones are recognised by their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hw4nets.errors import DataError
from hw4nets.image_set import CLASSES, IMAGE_SHAPE, IMAGE_VALUES, ImageSet
from hw4nets.pickled import PickleError, read_pickle

OFFICIAL_MD5 = {  # md5 of the official batches (torchvision's CIFAR10.train_list and test_list)
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
OFFICIAL_BINARY_SHA1 = {  # SHA-1 of the same in the binary version (MXNet's gluon.data.vision.CIFAR10)
    "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
}


def read_batches(path: Path, files: Mapping[str, bytes]) -> tuple[ImageSet, ImageSet]:
    """The training and the test images of five batches and the test batch, given by name."""
    binary = _binary(files)
    names = list(OFFICIAL_BINARY_SHA1 if binary else OFFICIAL_MD5)
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; the official batches are {', '.join(names)}")
    parts = [(_binary_batch if binary else _pickle_batch)(name, files[name]) for name in names]
    train = ImageSet(*(np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True)))
    for which, part in (("training", train), ("test", parts[-1])):
        absent = sorted(set(range(len(CLASSES))) - set(part.labels.tolist()))
        if absent:
            raise DataError(
                f"{path}: the {which} batches hold no image of {', '.join(CLASSES[label] for label in absent)}"
            )
    return train, parts[-1]


def official_batches(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The six batches, if each has its official checksum; else none."""
    kind, sums = ("sha1", OFFICIAL_BINARY_SHA1) if _binary(files) else ("md5", OFFICIAL_MD5)
    right = all(
        name in files and hashlib.new(kind, files[name], usedforsecurity=False).hexdigest() == sums[name]
        for name in sums
    )
    return {name: files[name] for name in sums} if right else {}


def _binary(files: Mapping[str, bytes]) -> bool:
    return any(name.endswith(".bin") for name in files)


def _binary_batch(name: str, content: bytes) -> ImageSet:
    """Rows of 1 label byte and 3,072 pixel bytes (channel, row, column)."""
    if not content or len(content) % (1 + IMAGE_VALUES):
        raise DataError(
            f"{name} has {len(content)} bytes, not a multiple of {1 + IMAGE_VALUES}: "
            "it is cut short, or not a CIFAR-10 batch"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + IMAGE_VALUES)
    return ImageSet(_pixels(name, rows[:, 1:], len(rows)), _labels(name, rows[:, 0]))


def _pickle_batch(name: str, content: bytes) -> ImageSet:
    """A pickled dict with `data` uint8 (n, 3072) and `labels`, n whole numbers."""
    try:
        batch = read_pickle(content)
    except PickleError as error:
        raise DataError(f"{name} is not a batch of CIFAR-10, or is damaged ({error})") from error
    named = (
        {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
        if type(batch) is dict
        else {}
    )
    missing = [key for key in ("data", "labels") if key not in named]
    if missing:
        raise DataError(
            f"{name} is not a batch of CIFAR-10: it is not a dict with data and labels (no {' and no '.join(missing)})"
        )
    labels = _labels(name, named["labels"])
    return ImageSet(_pixels(name, named["data"], len(labels)), labels)


def _pixels(name: str, pixels: Any, count: int) -> np.ndarray:
    kind = f"type {type(pixels).__name__}"
    if isinstance(pixels, np.ndarray):
        if pixels.dtype == np.uint8 and pixels.shape == (count, IMAGE_VALUES) and count:
            return np.ascontiguousarray(pixels).reshape(-1, *IMAGE_SHAPE)
        kind = f"shape {pixels.shape} and type {pixels.dtype}"
    raise DataError(f"{name}: pixels of {kind}; wanted uint8 ({count}, {IMAGE_VALUES}), one row a label, at least one")


def _labels(name: str, labels: Any) -> np.ndarray:
    """A flat list of whole numbers or a 1-d array of them, checked before numpy makes an array of it."""
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = labels.tolist()
    if type(labels) is not list or any(type(label) is not int for label in labels):
        raise DataError(
            f"{name}: its labels are not a flat list of numbers from 0 to {len(CLASSES) - 1}, one per image"
        )
    wrong = next((label for label in labels if not 0 <= label < len(CLASSES)), None)
    if wrong is not None:
        label = f"the label {wrong}" if abs(wrong) < 1 << 63 else "a label of more than 63 bits"
        raise DataError(f"{name} holds {label}; labels are 0 … {len(CLASSES) - 1}")
    return np.array(labels, np.int64)
