"""Images with their labels, the ten classes of CIFAR-10, and the limits of other classes and sizes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SIDE = 32  # of CIFAR-10, in pixels
IMAGE_SHAPE = (3, IMAGE_SIDE, IMAGE_SIDE)
IMAGE_VALUES = 3 * IMAGE_SIDE**2  # numbers of an image
IMAGE_SIDES = (16, 96)  # smallest and largest side of images of other classes
CLASS_COUNTS = (2, 1000)
MAX_FILE_BYTES = 64 << 20  # an official batch has 31 MB


class ImageSet(NamedTuple):
    """The images of training, validation or test: pixels uint8 (n, 3, side, side), labels int64 (n,) from 0."""

    pixels: np.ndarray
    labels: np.ndarray

    def split(self, count: int, seed: int) -> tuple[ImageSet, ImageSet]:
        """The images split at random into `count` images and the rest, both in their original order."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        drawn, rest = np.sort(order[:count]), np.sort(order[count:])
        return ImageSet(self.pixels[rest], self.labels[rest]), ImageSet(self.pixels[drawn], self.labels[drawn])
