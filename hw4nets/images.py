"""Image folders: a PNG or JPEG file an image, a folder a class.

A file with no 8-bit RGB of its own (transparency, say) is refused by name.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw4nets.errors import DataError, ImageSizeError, UnknownNameError
from hw4nets.image_set import CLASSES, IMAGE_SHAPE, ImageSet

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_FORMATS = ("PNG", "JPEG")  # for other formats Pillow may start other programs
COLOR_MODES = ("1", "L", "P", "RGB", "CMYK", "YCbCr")  # Pillow's; each has one 8-bit RGB image
MAX_IMAGE_PIXELS = 1 << 27  # of an image that is scaled
ORIENTATION = 0x0112  # tag of the EXIF data: how the camera was held
GREY_16_MODES = ("I;16", "I;16B", "I;16L", "I;16N")


def read_images(path: Path, subset: str, files: Mapping[str, bytes], progress: Callable[[int, int], None]) -> ImageSet:
    """The images of train or test, whose keys are train/CLASS/NAME, in the order of the keys.

    progress   called as (done, total) images
    """
    keys = sorted(key for key in files if key.split("/")[0].lower() == subset)
    classes = {key.split("/")[1] for key in keys}
    for name in sorted(classes - set(CLASSES)):
        raise UnknownNameError(f"class of CIFAR-10 for the folder {subset}/", name, CLASSES)
    missing = [name for name in CLASSES if name not in classes]
    if missing:
        raise DataError(f"{path}: {subset}/ lacks images of {', '.join(missing)}; every class needs some")
    pixels = np.empty((len(keys), *IMAGE_SHAPE), np.uint8)

    def read(index: int) -> None:
        pixels[index] = decode(keys[index], files[keys[index]], IMAGE_SHAPE[1])

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without holding the interpreter's lock
        for done, _ in enumerate(pool.map(read, range(len(keys)), chunksize=64), start=1):
            if done % 1000 == 0:
                progress(done, len(keys))
    return ImageSet(pixels, np.array([CLASSES.index(key.split("/")[1]) for key in keys], np.int64))


def decode(name: str, content: bytes, side: int, resize: bool = False) -> np.ndarray:
    """Pixels uint8 (3, side, side).

    resize   scale an image of another size: the square in its middle, the right way up as its EXIF data say

    Raises `ImageSizeError` for another size without `resize`, `DataError` for what is no image or has too many pixels.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
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
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a damaged file raises whatever Pillow's decoders run into
        raise DataError(
            f"{name} is no image that can be decoded, or is cut short; replace it by a PNG or JPEG file"
        ) from error


def _rgb(name: str, image: Image) -> np.ndarray:
    """Pixels (height, width, 3). Of 16-bit grey the upper 8 bits, as Pillow takes them of 16-bit RGB."""
    transparent = " with transparent colors" if "transparency" in image.info else ""
    if transparent or image.mode not in COLOR_MODES + GREY_16_MODES:
        accepted = f"modes {', '.join(COLOR_MODES)} and 16-bit grey are read"
        raise DataError(
            f"{name} has mode {image.mode}{transparent}; save it as 8-bit RGB or grey without transparency ({accepted})"
        )
    if image.mode in GREY_16_MODES:
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))
