"""CIFAR-10 as arrays: loaded from any source, decoded once, cached, and identified by a fingerprint of its pixels."""

from __future__ import annotations

import hashlib
import io
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
from hw4nets.image_set import CLASSES, IMAGE_SHAPE, ImageSet

Progress = Callable[[int, int], None]
HELD_OUT_IMAGES = 5_000  # of 50,000 training images, for validation
# Channel means and deviations of the official training images, on the scale 0 … 1.
CHANNEL_MEANS = (0.4914, 0.4822, 0.4465)
CHANNEL_DEVIATIONS = (0.2470, 0.2435, 0.2616)
INPUT_SCALES = {"standard": (CHANNEL_MEANS, CHANNEL_DEVIATIONS), "half": ((0.5,) * 3, (0.5,) * 3)}


@dataclass(frozen=True)
class Data:
    """Training and test images.

    train, test   pixels uint8 (n, 3, 32, 32), labels int64 (n,) in 0 … 9
    pixels        "official", "synthetic" or "other: HEX", HEX being the start of the fingerprint
    sha256        the fingerprint of all labelled pixels, whatever their order
    source        what `load` gets them from again: official, synthetic, or the path
    """

    train: ImageSet
    test: ImageSet
    pixels: str
    sha256: str
    source: str = ""
    classes: tuple[str, ...] = field(default=CLASSES)

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
            f"{source!r} lies in a folder whose name is no UTF-8, which no settings can name; rename it"
        ) from error
    except (OSError, ValueError) as error:  # a name that is too long; a zero byte
        raise DataError(f"no data {source!r}: {getattr(error, 'strerror', None) or error}") from error
    if not there:
        raise DataError(f"no data {source!r}: give official, synthetic, or the path of a folder or archive that exists")
    return _cached(source_key(path), lambda: read(path, progress), place)


def normalize(pixels: torch.Tensor, scale: str = "standard") -> torch.Tensor:
    """(pixels/255 - mean) / deviation by channel, float32 (n, 3, 32, 32).

    scale   standard: CIFAR-10's own means and deviations; half: ½ and ½, which maps to [-1, 1], as the tutorial does
    """
    mean, deviation = _scale(scale, pixels.device)
    return pixels.to(torch.float32).sub_(mean).div_(deviation)


@cache
def _scale(name: str, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cached on the device: a copy in every step would make each step wait for it."""
    mean, deviation = (torch.tensor(values, device=device).view(3, 1, 1) * 255 for values in INPUT_SCALES[name])
    return mean, deviation


def fingerprint(train: ImageSet, test: ImageSet) -> str:
    """sha256 over every image with its label, sorted within each set: independent of the files and of their order."""
    digest = hashlib.sha256()
    for images in (train, test):
        rows = zip(images.labels.astype(np.uint8), np.ascontiguousarray(images.pixels), strict=True)
        for image_digest in sorted(hashlib.sha256(label.tobytes() + image.tobytes()).digest() for label, image in rows):
            digest.update(image_digest)
        digest.update(b"|")
    return digest.hexdigest()


def hold_out(data: Data, seed: int, count: int | None = None) -> Data:
    """Training images split in two at random: `test` becomes the held_out-out ones, and the true test images are gone.

    count   how many are held_out out; default: a tenth, 5,000 of 50,000
    """
    n = len(data.train.labels)
    count = n * HELD_OUT_IMAGES // 50_000 if count is None else count
    if not 0 < count < n:
        raise InputError(f"{count} of {n} training images cannot be held_out out for validation")
    order = np.random.default_rng(seed).permutation(n)
    held_out, rest = np.sort(order[:count]), np.sort(order[count:])
    return replace(
        data,
        train=ImageSet(data.train.pixels[rest], data.train.labels[rest]),
        test=ImageSet(data.train.pixels[held_out], data.train.labels[held_out]),
    )


def synthetic(train: int = 2_000, test: int = 500, seed: int = 0) -> Data:
    """Ten smooth coloured patterns, shifted and noisy: learnable in seconds, and unlike photographs."""
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
    sha256 = fingerprint(decoded.train, decoded.test)
    return Data(
        decoded.train, decoded.test, "official" if decoded.official else f"other: {sha256[:12]}", sha256, source
    )


def _save_cache(path: Path, key: str, decoded: Decoded, sha256: str) -> None:
    """The decoded images with their fingerprint; of the official ones their batches, whose checksums identify them."""
    arrays: dict[str, Any] = {name: np.frombuffer(content, np.uint8) for name, content in decoded.official.items()}
    if not arrays:
        for name, images in (("train", decoded.train), ("test", decoded.test)):
            arrays |= {f"{name}_pixels": images.pixels, f"{name}_labels": images.labels}
    with path.open("wb") as file:
        np.savez(file, key=np.array(key), sha256=np.array(sha256), **arrays)


def _load_cache(path: Path, key: str, source: str) -> Data | None:
    """The images in the cache, or None where the entry is absent, damaged or changed: they are then decoded again.

    An entry is verified: its images must have its fingerprint, and are official only by their batches' checksums.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
            arrays = {name: entry[name] for name in entry.files}
        data = _data(_decoded(path, arrays), source)
        return data if (str(arrays["key"]), str(arrays["sha256"])) == (key, data.sha256) else None
    except Exception:  # numpy's reader of a damaged entry raises errors of every kind
        return None


def _decoded(path: Path, arrays: Mapping[str, np.ndarray]) -> Decoded:
    if "train_pixels" not in arrays:
        batches = official_batches({name: array.tobytes() for name, array in arrays.items() if "batch" in name})
        return Decoded(*read_batches(path, batches), batches)
    train, test = [ImageSet(arrays[f"{name}_pixels"], arrays[f"{name}_labels"]) for name in ("train", "test")]
    for images in (train, test):
        pixels, labels = images
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), *IMAGE_SHAPE) or labels.dtype != np.int64:
            raise DataError(f"{path} holds no images")
        if not set(labels.tolist()) == set(range(len(CLASSES))):
            raise DataError(f"{path} lacks a class")
    return Decoded(train, test)


# ---- download --------------------------------------------------------------------------------------------------------


def _download(progress: Progress) -> Decoded:
    """The official archive through torchvision, its md5 checked; it is deleted once it is decoded."""
    import tempfile

    from hw4nets.torchvision_import import torchvision_datasets

    datasets = torchvision_datasets()
    official = datasets.CIFAR10
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache_folder()) as folder:
        try:
            with redirect_stderr(io.StringIO()):  # where torchvision draws a bar of its own, terminal or not
                datasets.utils.download_url(official.url, folder, official.filename, official.tgz_md5)
        except URLError as error:
            raise DataError(_no_download(official.url, f"{error.reason}")) from error
        except (RuntimeError, OSError) as error:  # torchvision raises RuntimeError for a wrong md5
            raise DataError(_no_download(official.url, f"{error}")) from error
        return read(Path(folder) / official.filename, progress)


def _no_download(url: str, why: str) -> str:
    advice = "try again, or give as `source` the path of a folder or archive"
    return f"{url} could not be downloaded whole ({why.rstrip('.')}); {advice}"
