"""Images as arrays, of CIFAR-10 or other classes: from any source, cached, and identified by a fingerprint."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

from hw4nets.batches import official_batches, read_batches
from hw4nets.decode import Decoded, read, source_key
from hw4nets.errors import DataError, InputError
from hw4nets.files import CACHE_VARIABLE, cache_folder, make_folder, write_with
from hw4nets.image_set import CLASS_COUNTS, CLASSES, IMAGE_SHAPE, IMAGE_SIDES, ImageSet
from hw4nets.images import Pictures

Progress = Callable[[int, int], None]
HELD_OUT_IMAGES = 5_000  # of 50,000 training images, for validation
# Channel means and deviations of the official training images, on the scale 0 … 1.
CHANNEL_MEANS = (0.4914, 0.4822, 0.4465)
CHANNEL_DEVIATIONS = (0.2470, 0.2435, 0.2616)
INPUT_SCALES = {"standard": (CHANNEL_MEANS, CHANNEL_DEVIATIONS), "half": ((0.5,) * 3, (0.5,) * 3)}


@dataclass(frozen=True)
class Data:
    """Training and test images.

    train, test   pixels uint8 (n, 3, side, side), labels int64 (n,), indices of `classes`
    pixels        "official", "synthetic" or "other: HEX", HEX being the start of the fingerprint
    sha256        the fingerprint of all labelled pixels, independent of their order
    source        the argument of `load`: official, synthetic, or the path
    validation    images of val/, if there are also test images
    notes         sentences on images used in place of test images
    """

    train: ImageSet
    test: ImageSet
    pixels: str
    sha256: str
    source: str = ""
    classes: tuple[str, ...] = field(default=CLASSES)
    validation: ImageSet | None = None
    notes: tuple[str, ...] = ()

    @property
    def side(self) -> int:
        """The side of the images, in pixels."""
        return self.train.pixels.shape[-1]

    @property
    def about(self) -> dict[str, Any]:
        """The description of the images in a file of settings."""
        return {
            "data": self.source,
            "pixels": self.pixels,
            "data_sha256": self.sha256,
            "image_side": self.side,
            "classes": list(self.classes),
        }

    @property
    def order(self) -> str:
        """A hash of the labels in order: batches are drawn by index, so the order of the images matters to a run."""
        return hashlib.sha256(self.train.labels.tobytes()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """The source without its folders."""
        return Path(self.source).name


def load(source: str, progress: Progress = lambda done, total: None) -> Data:
    """The images of `official` (downloaded), of a folder or archive, or `synthetic`; decoded once, then from the cache.

    progress   called as (done, total) images while they are decoded
    """
    if source == "synthetic":
        return synthetic()
    if source == "official":
        return _cached("official", lambda: _download(progress))
    path = Path(source)
    try:
        place = os.path.realpath(path)
        place.encode()
        there = path.exists()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{source!r} lies in a folder whose name is not UTF-8, which no settings can name; rename it"
        ) from error
    except (OSError, ValueError) as error:  # a name that is too long; a zero byte
        raise DataError(f"no data {source!r}: {getattr(error, 'strerror', None) or error}") from error
    if not there:
        raise DataError(f"no data {source!r}: give official, synthetic, or the path of a folder or archive that exists")
    return _cached(source_key(path), lambda: read(path, progress), place)


def normalize(pixels: torch.Tensor, scale: str = "standard") -> torch.Tensor:
    """(pixels/255 - mean) / deviation by channel, float32 (n, 3, side, side).

    scale   standard: CIFAR-10's means and deviations, for other images, too; half: ½ and ½, which maps to [-1, 1], as
            the tutorial does
    """
    mean, deviation = _scale(scale, pixels.device)
    return pixels.to(torch.float32).sub_(mean).div_(deviation)


@cache
def _scale(name: str, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cached on the device: a copy in every step would make each step wait for it."""
    mean, deviation = (torch.tensor(values, device=device).view(3, 1, 1) * 255 for values in INPUT_SCALES[name])
    return mean, deviation


def fingerprint(
    train: ImageSet, test: ImageSet, validation: ImageSet | None = None, classes: tuple[str, ...] = CLASSES
) -> str:
    """sha256 over every image with its label, sorted within each set: independent of the files and of their order.

    Names of classes other than CIFAR-10's count, too.
    """
    digest = hashlib.sha256()
    for images in (train, test) if validation is None else (train, test, validation):
        kind = np.uint8 if len(classes) <= 256 else np.uint16
        rows = zip(images.labels.astype(kind), np.ascontiguousarray(images.pixels), strict=True)
        for image_digest in sorted(hashlib.sha256(label.tobytes() + image.tobytes()).digest() for label, image in rows):
            digest.update(image_digest)
        digest.update(b"|")
    if classes != CLASSES:
        digest.update("/".join(classes).encode(errors="surrogateescape"))
    return digest.hexdigest()


def hold_out(data: Data, seed: int, count: int | None = None) -> Data:
    """Training images split at random: the held-out ones become `test`, and the true test images are removed.

    Validation images, if any, are the held-out ones.

    count   number of held-out images; default: a tenth, 5,000 of 50,000
    """
    if data.validation is not None and count is None:
        return replace(data, test=data.validation, validation=None)
    n = len(data.train.labels)
    count = n * HELD_OUT_IMAGES // 50_000 if count is None else count
    if not 0 < count < n:
        raise InputError(f"{count} of {n} training images cannot be held out for validation")
    train, held_out = data.train.split(count, seed)
    return replace(data, train=train, test=held_out, validation=None)


def synthetic(train: int = 2_000, test: int = 500, seed: int = 0) -> Data:
    """Ten smooth coloured patterns, shifted and with noise: learnable in seconds, unlike photographs."""
    draw = np.random.default_rng(seed)
    coarse = draw.normal(size=(len(CLASSES), 3, 4, 4))
    patterns = np.kron(coarse, np.ones((8, 8)))
    parts = (_noisy_images(patterns, train, draw), _noisy_images(patterns, test, draw))
    return Data(*parts, pixels="synthetic", sha256=fingerprint(*parts), source="synthetic")


def _noisy_images(patterns: np.ndarray, count: int, draw: np.random.Generator) -> ImageSet:
    labels = np.arange(count) % len(patterns)
    noise = draw.normal(scale=1.0, size=(count, *IMAGE_SHAPE))
    shifts = draw.integers(-4, 5, size=count)
    shifted = np.stack([np.roll(patterns[label], shift, axis=-1) for label, shift in zip(labels, shifts, strict=True)])
    return ImageSet(np.clip(128 + 24 * shifted + 56 * noise, 0, 255).astype(np.uint8), labels.astype(np.int64))


# ---- cache -----------------------------------------------------------------------------------------------------------


def _cached(key: str, make: Callable[[], Decoded], source: str = "official") -> Data:
    path = cache_folder() / f"cifar10-{key}.npz"
    cached = _load_cache(path, key, source)
    if cached is not None:
        return cached
    try:
        make_folder(path.parent)
    except InputError as error:
        raise InputError(f"{error}; decoded images are kept there: set {CACHE_VARIABLE} to another folder") from error
    decoded = make()
    data = _data(decoded, source)
    write_with(path, lambda temporary: _save_cache(temporary, key, decoded, data.sha256))
    return data


def _data(decoded: Decoded, source: str) -> Data:
    train, test, classes, validation, note = decoded.pictures
    sha256 = fingerprint(train, test, validation, classes)
    pixels = "official" if decoded.official else f"other: {sha256[:12]}"
    return Data(train, test, pixels, sha256, source, classes, validation, (note,) if note else ())


def _save_cache(path: Path, key: str, decoded: Decoded, sha256: str) -> None:
    """The decoded images with their fingerprint; for the official ones also the batches, identified by checksums."""
    arrays: dict[str, Any] = {name: np.frombuffer(content, np.uint8) for name, content in decoded.official.items()}
    if not arrays:
        pictures = decoded.pictures
        arrays |= {"classes": np.array(json.dumps(pictures.classes)), "note": np.array(pictures.note)}
        for name in ("train", "test", "validation"):
            if (images := getattr(pictures, name)) is not None:
                arrays |= {f"{name}_pixels": images.pixels, f"{name}_labels": images.labels}
    with path.open("wb") as file:
        np.savez(file, key=np.array(key), sha256=np.array(sha256), **arrays)


def _load_cache(path: Path, key: str, source: str) -> Data | None:
    """The images in the cache, or None if the entry is absent, damaged or changed: they are then decoded again.

    An entry is verified: its images must have its fingerprint, and the batches of official ones their checksums.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
            arrays = {name: entry[name] for name in entry.files}
        data = _data(_decoded(path, arrays), source)
        return data if (str(arrays["key"]), str(arrays["sha256"])) == (key, data.sha256) else None
    except Exception:  # numpy's reader of a damaged entry raises any exception
        return None


def _decoded(path: Path, arrays: Mapping[str, np.ndarray]) -> Decoded:
    if "train_pixels" not in arrays:
        batches = official_batches({name: array.tobytes() for name, array in arrays.items() if "batch" in name})
        return Decoded(Pictures(*read_batches(path, batches), CLASSES), batches)
    classes = tuple(map(str, json.loads(str(arrays["classes"])))) if "classes" in arrays else CLASSES
    side = arrays["train_pixels"].shape[-1]
    if not (IMAGE_SIDES[0] <= side <= IMAGE_SIDES[1] and CLASS_COUNTS[0] <= len(classes) <= CLASS_COUNTS[1]):
        raise DataError(f"{path} holds no images")
    sets = {}
    for name in ("train", "test", "validation"):
        if name == "validation" and "validation_pixels" not in arrays:
            continue
        sets[name] = pixels, labels = ImageSet(arrays[f"{name}_pixels"], arrays[f"{name}_labels"])
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3, side, side) or labels.dtype != np.int64:
            raise DataError(f"{path} holds no images")
        if not set(labels.tolist()) == set(range(len(classes))):
            raise DataError(f"{path} lacks a class")
    return Decoded(Pictures(**sets, classes=classes, note=str(arrays.get("note", ""))))


# ---- download --------------------------------------------------------------------------------------------------------


def _download(progress: Progress) -> Decoded:
    """The official archive through torchvision, its md5 checked; it is deleted once it is decoded."""
    import tempfile

    from hw4nets.torchvision_import import torchvision_datasets

    datasets = torchvision_datasets()
    official = datasets.CIFAR10
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache_folder()) as folder:
        try:
            # where torchvision draws its own progress bar, with or without a terminal
            with redirect_stderr(io.StringIO()):
                datasets.utils.download_url(official.url, folder, official.filename, official.tgz_md5)
        except URLError as error:
            raise DataError(_no_download(official.url, f"{error.reason}")) from error
        except (RuntimeError, OSError) as error:  # torchvision raises RuntimeError for a wrong md5
            raise DataError(_no_download(official.url, f"{error}")) from error
        return read(Path(folder) / official.filename, progress)


def _no_download(url: str, why: str) -> str:
    advice = "try again, or give as `source` the path of a folder or archive"
    return f"{url} could not be downloaded whole ({why.rstrip('.')}); {advice}"
