"""Images with their labels, and the ten classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SHAPE = (3, 32, 32)
IMAGE_VALUES = 3 * 32 * 32  # numbers of an image
MAX_FILE_BYTES = 64 << 20  # an official batch has 31 MB


class ImageSet(NamedTuple):
    """The images of training or of test: pixels uint8 (n, 3, 32, 32), labels int64 (n,) in 0 … 9."""

    pixels: np.ndarray
    labels: np.ndarray
