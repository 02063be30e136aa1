"""Predictions of a trained network for images without labels: files, folders and archives."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from hw4nets.archives import MAX_FOLDER_DEPTH, contents, file_size, is_archive
from hw4nets.errors import DataError, ImageSizeError, InputError
from hw4nets.evaluation import outputs
from hw4nets.image_set import MAX_FILE_BYTES
from hw4nets.images import decode
from hw4nets.runs import load_model, read_run, run_classes

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".heic", ".avif")
MAX_ARCHIVE_IMAGES = 1_000_000
IMAGES_AT_ONCE = 512  # decoded before they are passed to the network
DECODING_THREADS = 4  # each holds one image in its full size
IMAGES_KEPT = 40  # images whose pixels are kept for a figure
Read = Callable[[], bytes]


@dataclass(frozen=True)
class Predictions:
    """The predictions of a network.

    files          one name per image; for a folder or an archive its path and the name in it
    probabilities  float32 (n, classes), rows sum to 1; a row of NaN where an image could not be read
    classes        names of the columns
    unreadable     row → the reason why its image could not be read
    resized        number of images that were scaled
    first_pixels   row → pixels uint8 (3, side, side), of the first IMAGES_KEPT readable images
    sha256         of the pixels of the readable images, in order
    """

    files: tuple[str, ...]
    probabilities: np.ndarray
    classes: tuple[str, ...]
    unreadable: Mapping[int, str]
    resized: int
    first_pixels: Mapping[int, np.ndarray]
    sha256: str

    @property
    def readable(self) -> np.ndarray:
        """Rows of the images that could be read."""
        return np.setdiff1d(np.arange(len(self.files)), list(self.unreadable))

    def ranked(self, row: int) -> list[tuple[str, float]]:
        """Classes and probabilities of an image, the most probable first."""
        order = np.argsort(-self.probabilities[row], kind="stable")
        return [(self.classes[label], float(self.probabilities[row, label])) for label in order]


def predict(
    run: str | Path,
    images: Sequence[str | Path],
    *,
    flip: bool = False,
    resize: bool = False,
    checkpoint: str = "last",
    device: str = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """Classify images by the network of a run folder.

    images      PNG or JPEG files, folders of them, or archives (tar, zip)
    flip        the mean output of each image and its mirror image
    resize      scale images of another size: their central square, rotated by EXIF data
    checkpoint  last | best
    progress    called with the number of images done

    Raises `ImageSizeError` for an image of another size without `resize`, `DataError` for a file or folder that is
    absent, a folder or archive without images, and a damaged archive, `InputError` for a folder that is not a run, and
    `CheckpointError` for an unusable checkpoint.
    """
    folder = Path(run)
    recipe, kept = read_run(folder)
    classes = run_classes(kept)
    entries = [(path, _entries(path)) for path in map(Path, images)]
    if not entries:
        raise InputError("no image is given: give files, folders or archives")
    model, execution = load_model(folder / f"{checkpoint}.pt", recipe, device)
    reader = _Reader(recipe.shape.image_side, resize)
    parts = []
    for batch in _batches(_each(entries)):
        pixels = torch.from_numpy(reader.read(batch)).to(execution.device)
        if len(pixels):
            mean = outputs(model, pixels, execution, recipe.config.input_scale)
            if flip:
                mean = (mean + outputs(model, pixels, execution, recipe.config.input_scale, mirrored=True)) / 2
            parts.append(mean.softmax(1).cpu().numpy())
        progress(len(reader.files))
    return reader.predictions(np.concatenate([*parts, np.empty((0, len(classes)), np.float32)]), classes)


class _Reader:
    """Reads images batch by batch, and collects the fields of the answer."""

    def __init__(self, side: int, resize: bool) -> None:
        self.side, self.resize, self.resized = side, resize, 0
        self.files: list[str] = []
        self.unreadable: dict[int, str] = {}
        self.first: dict[int, np.ndarray] = {}
        self.digest = hashlib.sha256()

    def read(self, batch: Sequence[tuple[str, Read]]) -> np.ndarray:
        """Pixels uint8 (readable, 3, side, side)."""
        found = []
        with ThreadPoolExecutor(DECODING_THREADS) as pool:
            for (name, _), (pixels, scaled) in zip(batch, pool.map(self._read_one, batch), strict=True):
                if isinstance(pixels, str):
                    self.unreadable[len(self.files)] = pixels
                else:
                    found.append(pixels)
                    self.digest.update(pixels.tobytes())
                    self.resized += scaled
                    if len(self.first) < IMAGES_KEPT:
                        self.first[len(self.files)] = pixels
                self.files.append(name)
        return np.stack(found) if found else np.empty((0, 3, self.side, self.side), np.uint8)

    def _read_one(self, entry: tuple[str, Read]) -> tuple[np.ndarray | str, bool]:
        """Pixels, or the reason why there are none; and whether the image was scaled."""
        name, read = entry
        try:
            content = read()
            try:
                return decode(name, content, self.side), False
            except ImageSizeError as error:
                if not self.resize:
                    raise ImageSizeError(f"{error}; give `resize=True` to scale such images") from error
                return decode(name, content, self.side, resize=True), True
        except ImageSizeError:
            raise
        except DataError as error:
            return str(error), False

    def predictions(self, probabilities: np.ndarray, classes: tuple[str, ...]) -> Predictions:
        """The answer, from the probabilities of the readable images."""
        whole = np.full((len(self.files), len(classes)), np.nan, np.float32)
        whole[[row for row in range(len(self.files)) if row not in self.unreadable]] = probabilities
        files = tuple(self.files)
        return Predictions(files, whole, classes, self.unreadable, self.resized, self.first, self.digest.hexdigest())


# ---- files -----------------------------------------------------------------------------------------------------------


def _entries(path: Path) -> Iterable[tuple[str, Read]]:
    """Name and content of a file, or of the images in a folder or an archive; raises `DataError` if it is absent."""
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long; a zero byte
        raise DataError(f"no image {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error
    if not there and not path.is_symlink():
        raise DataError(f"no image {str(path)!r}: give files, folders or archives that exist")
    if path.is_dir():
        return [(_text(file), partial(_content, file)) for file in _folder_images(path)]
    if there and path.is_file() and _readable_archive(path):
        found = contents(path, _image_key, MAX_ARCHIVE_IMAGES)
        return ((_text(path / name), partial(bytes, content)) for name, content in found)
    return [(_text(path), partial(_content, path))]


def _readable_archive(path: Path) -> bool:
    try:
        return is_archive(path)
    except OSError:  # reading it will show whether it does
        return False


def _each(entries: Iterable[tuple[Path, Iterable[tuple[str, Read]]]]) -> Iterator[tuple[str, Read]]:
    for path, found in entries:
        empty = True
        for entry in found:
            empty = False
            yield entry
        if empty:
            raise DataError(f"{path} holds no image: wanted files that end in {', '.join(IMAGE_ENDINGS[:3])}")


def _batches(entries: Iterator[tuple[str, Read]]) -> Iterator[list[tuple[str, Read]]]:
    while batch := list(islice(entries, IMAGES_AT_ONCE)):
        yield batch


def _folder_images(path: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(path):
        inner.sort()
        if len(Path(folder).relative_to(path).parts) >= MAX_FOLDER_DEPTH:
            inner.clear()
        yield from (Path(folder, name) for name in sorted(names) if _image_key(name))


def _image_key(name: str) -> str:
    """The name itself if it is that of an image, else ""; macOS adds files `._name` to archives."""
    image = name.lower().endswith(IMAGE_ENDINGS)
    return name if image and not any(part == "__MACOSX" or part.startswith("._") for part in name.split("/")) else ""


def _content(file: Path) -> bytes:
    """The content of a regular file; raises `DataError` for anything else."""
    if file_size(file) > MAX_FILE_BYTES:
        raise DataError(f"{_text(file)} has more than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{_text(file)} cannot be read: {error.strerror or error}") from error


def _text(path: Path) -> str:
    """The name in characters that UTF-8 can encode."""
    return os.fsencode(path).decode(errors="backslashreplace")
