"""Images of classes: one PNG or JPEG file per image, one folder per class, or a table of labels.

A file without 8-bit RGB pixels (with transparency, say) is refused by name.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hw4nets.archives import LABELS_FILE, MAX_SOURCE_BYTES
from hw4nets.errors import DataError, ImageSizeError, UnknownNameError
from hw4nets.image_set import CLASS_COUNTS, IMAGE_SIDES, ImageSet

if TYPE_CHECKING:
    from PIL.Image import Image

SUBSETS = ("train", "test", "val")
TEST_SPLIT_SEED = 0  # of the images, held out if test images have no labels
IMAGE_FORMATS = ("PNG", "JPEG")  # for other formats Pillow may start other programs
COLOR_MODES = ("1", "L", "P", "RGB", "CMYK", "YCbCr")  # Pillow's; each has one 8-bit RGB image
MAX_IMAGE_PIXELS = 1 << 27  # of an image that is scaled
ORIENTATION = 0x0112  # tag of the EXIF data: the orientation of the camera
GREY_16_MODES = ("I;16", "I;16B", "I;16L", "I;16N")


class Pictures(NamedTuple):
    """Images of classes, decoded.

    validation   those of val/, if there are also test images
    note         a sentence on images used in place of test images, or ""
    """

    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    validation: ImageSet | None = None
    note: str = ""


def read_folders(path: Path, files: Mapping[str, bytes], progress: Callable[[int, int], None]) -> Pictures:
    """Class folders, whose keys are train/CLASS/NAME and test/… or val/…; classes in the order of their names."""
    subsets = {name: sorted(key for key in files if key.split("/")[0].lower() == name) for name in SUBSETS}
    classes = tuple(sorted({key.split("/")[1] for key in files}))
    _check_classes(path, classes)
    if not subsets["test"] and not subsets["val"]:
        raise DataError(f"{path}: there is neither test/ nor val/ beside train/; give one of them")
    for subset, keys in subsets.items():
        if keys or subset == "train":
            elsewhere = {key.split("/")[1] for other, theirs in subsets.items() if other != subset for key in theirs}
            _check_same(path, subset, {key.split("/")[1] for key in keys}, elsewhere)
    side = _side(subsets["train"][0], files)
    sets = {
        subset: read_images(path, {key: key.split("/")[1] for key in keys}, files, classes, side, progress)
        for subset, keys in subsets.items()
        if keys
    }
    if "test" not in sets:
        return Pictures(sets["train"], sets["val"], classes, note="there is no test/: val/ is used in its place")
    return Pictures(sets["train"], sets["test"], classes, sets.get("val"))


def read_labelled(path: Path, files: Mapping[str, bytes], progress: Callable[[int, int], None]) -> Pictures:
    """Kaggle's train/ID.png with trainLabels.csv: a random tenth of the images is used as test images."""
    labels = _labels(files[LABELS_FILE])
    by_name: dict[str, list[str]] = {}
    for key in (key for key in files if key != LABELS_FILE):
        by_name.setdefault(Path(key).stem, []).append(key)
    missing = sorted(labels.keys() - by_name.keys())
    others = sorted(by_name.keys() - labels.keys()) + sorted(name for name, keys in by_name.items() if len(keys) > 1)
    for names, fault in ((missing, "names images that train/ lacks"), (others, "lacks a unique label for each image")):
        if names:
            raise DataError(f"{path}: {LABELS_FILE} {fault}: {len(names)}, {names[0]} first")
    classes = tuple(sorted(set(labels.values())))
    _check_classes(path, classes)
    keys = {by_name[name][0]: label for name, label in labels.items()}
    whole = read_images(path, keys, files, classes, _side(next(iter(keys)), files), progress)
    train, test = whole.split(len(keys) // 10, TEST_SPLIT_SEED)
    if {*train.labels} != {*test.labels}:
        raise DataError(f"{path}: too few labelled images; every class needs some test images")
    note = f"Kaggle's test images have no labels: {len(test.labels):,} of the training images are used in their place"
    return Pictures(train, test, classes, note=note)


def _labels(content: bytes) -> dict[str, str]:
    """Identifier → class, of the rows of trainLabels.csv."""
    try:
        head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        if [name.strip().lower() for name in head] != ["id", "label"]:
            raise ValueError("its header is not id,label")
        labels = {name: label for name, label in rows if name and label}
        if len(labels) != len(rows) or not rows:
            raise ValueError("its rows are not distinct identifiers with a label each")
    except (ValueError, csv.Error) as error:
        raise DataError(f"{LABELS_FILE} cannot be read: {error}") from error
    return labels


def _check_classes(path: Path, classes: Sequence[str]) -> None:
    low, high = CLASS_COUNTS
    if not low <= len(classes) <= high:
        raise DataError(f"{path} holds images of {len(classes):,} classes; give {low} to {high:,}")


def _check_same(path: Path, subset: str, classes: set[str], elsewhere: set[str]) -> None:
    """Raise `DataError` if a folder lacks a class of the others, `UnknownNameError` for a class not in the others."""
    missing = sorted(elsewhere - classes)
    for name in sorted(classes - elsewhere):
        if difflib.get_close_matches(name, missing, n=1, cutoff=0.5):
            raise UnknownNameError(f"class of the other folders for {subset}/", name, sorted(elsewhere))
    if missing:
        raise DataError(f"{path}: {subset}/ lacks images of {', '.join(missing)}; every class needs some")


def _side(name: str, files: Mapping[str, bytes]) -> int:
    """The side of the first image, which all others must have."""
    width, height = image_size(name, files[name])
    low, high = IMAGE_SIDES
    if width != height or not low <= width <= high:
        wanted = f"images of classes are squares of {low} to {high} pixels a side, all of one size"
        raise ImageSizeError(f"{name} is {width}×{height}; {wanted}")
    return width


def read_images(
    path: Path,
    labels: Mapping[str, str],
    files: Mapping[str, bytes],
    classes: Sequence[str],
    side: int,
    progress: Callable[[int, int], None],
) -> ImageSet:
    """The images of the keys of `labels` (key → class), in their order.

    progress   called as (done, total) images
    """
    keys, place = list(labels), {name: number for number, name in enumerate(classes)}
    if len(keys) * 3 * side**2 > MAX_SOURCE_BYTES:
        most = MAX_SOURCE_BYTES // (3 * side**2)
        raise DataError(f"{path} holds {len(keys):,} images of {side}×{side}; at most {most:,} are read")
    pixels = np.empty((len(keys), 3, side, side), np.uint8)

    def read(index: int) -> None:
        pixels[index] = decode(keys[index], files[keys[index]], side)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without holding the interpreter's lock
        for done, _ in enumerate(pool.map(read, range(len(keys)), chunksize=64), start=1):
            if done % 1000 == 0:
                progress(done, len(keys))
    return ImageSet(pixels, np.array([place[label] for label in labels.values()], np.int64))


def decode(name: str, content: bytes, side: int, resize: bool = False) -> np.ndarray:
    """Pixels uint8 (3, side, side).

    resize   scale an image of another size: its central square, rotated by its EXIF data

    Raises `ImageSizeError` for another size without `resize`, `DataError` for a file that is not an image or has too
    many pixels.
    """
    from PIL import Image, ImageOps

    with _opened(name, content) as image:
        width, height = image.size
        if (width, height) == (side, side):
            return _rgb(name, image).transpose(2, 0, 1)
        if not resize:
            raise ImageSizeError(f"{name} is {width}×{height}; {side}×{side} is wanted")
        if width * height > MAX_IMAGE_PIXELS:
            raise DataError(f"{name} is {width}×{height}: more than {MAX_IMAGE_PIXELS:,} pixels")
        whole = Image.fromarray(_rgb(name, image))
        whole.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
        return np.asarray(ImageOps.fit(ImageOps.exif_transpose(whole), (side, side))).transpose(2, 0, 1)


def image_size(name: str, content: bytes) -> tuple[int, int]:
    """Width and height."""
    with _opened(name, content) as image:
        return image.size


@contextmanager
def _opened(name: str, content: bytes) -> Iterator[Image]:
    """The image; raises `DataError` if it cannot be opened, or not be decoded in the block."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            yield image
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise any exception for a damaged file
        raise DataError(
            f"{name} is not an image that can be decoded, or is cut short; replace it by a PNG or JPEG file"
        ) from error


def _rgb(name: str, image: Image) -> np.ndarray:
    """Pixels (height, width, 3). For 16-bit grey the upper 8 bits, as Pillow does for 16-bit RGB."""
    transparent = " with transparent colors" if "transparency" in image.info else ""
    if transparent or image.mode not in COLOR_MODES + GREY_16_MODES:
        accepted = f"modes {', '.join(COLOR_MODES)} and 16-bit grey are read"
        raise DataError(
            f"{name} has mode {image.mode}{transparent}; save it as 8-bit RGB or grey without transparency ({accepted})"
        )
    if image.mode in GREY_16_MODES:
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))
