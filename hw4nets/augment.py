"""Augmentation: pure, vectorised functions of a batch of images and a generator, with one draw per image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hw4nets.config import Config
from hw4nets.errors import InputError, UnknownNameError
from hw4nets.image_set import IMAGE_SIDE

AUGMENTATIONS = ("none", "flip", "alternating_flip", "crop", "cutout")
SIDE_STEP = 4  # pixels by which the side of training images grows, so that pools of 2 and 2 divide it


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (n, c, h, w) mirrored left to right with probability ½."""
    return mirror(images, torch.rand(len(images), generator=generator, device=images.device) < 0.5)


def alternating_flip(images: Tensor, first: Tensor, epoch: int) -> Tensor:
    """Mirrored in every other epoch, so that two consecutive epochs show both sides of each image.

    first   (n,) bool: the images mirrored in epoch 0
    (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds".)
    """
    return mirror(images, first if epoch % 2 == 0 else ~first)


def mirror(images: Tensor, which: Tensor) -> Tensor:
    """The images of `which` (n,) bool mirrored left to right."""
    return torch.where(which.view(-1, 1, 1, 1), images.flip(-1), images)


def crop(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image (n, c, h, w) shifted by up to `pixels` in both directions, with its border mirrored into the gap.

    One gather from all windows of the padded batch, which are a strided view.
    """
    n, _, height, width = images.shape
    padded = images[:, :, _reflected(height, pixels, images.device)][:, :, :, _reflected(width, pixels, images.device)]
    # (n, c, 2 pixels + 1, 2 pixels + 1, h, w), nothing copied
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down, right = torch.randint(2 * pixels + 1, (2, n), generator=generator, device=images.device)
    return windows[torch.arange(n, device=images.device), :, down, right]


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A square of `size` pixels of each image (n, c, h, w) set to 0, its centre anywhere.  (DeVries, Taylor 2017.)"""
    n, _, height, width = images.shape
    inside = [_near(length, size, n, generator, images.device) for length in (height, width)]
    return images.masked_fill(inside[0].view(n, 1, height, 1) & inside[1].view(n, 1, 1, width), 0)


def _near(length: int, size: int, n: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """(n, length) bool: `size` positions around a random one for each image."""
    start = torch.randint(length, (n, 1), generator=generator, device=device) - size // 2
    places = torch.arange(length, device=device)
    return (places >= start) & (places < start + size)


def _reflected(length: int, pixels: int, device: torch.device) -> Tensor:
    """Positions -pixels … length + pixels - 1, those outside reflected at the border."""
    places = torch.arange(-pixels, length + pixels, device=device).abs()
    return torch.where(places >= length, 2 * (length - 1) - places, places)


def training_side(side: int, config: Config, epoch: int) -> int:
    """Side in pixels of the images of an epoch, counted from 0: it grows from `first_side` to their own side in steps
    of `SIDE_STEP` pixels, which it reaches at the fraction `full_scale` of the run, at the latest in the last epoch.

    Convolutions of an image of side s cost s² (progressive resizing: Howard, fast.ai at DAWNBench 2018).
    """
    if epoch >= config.epochs - 1:
        return side
    sides = [*range(first_side(side, config), side, SIDE_STEP), side]
    part = epoch / (config.full_scale * config.epochs)
    return sides[min(int(part * (len(sides) - 1)), len(sides) - 1)]


def first_side(side: int, config: Config) -> int:
    """Side in pixels of the first epoch's images: `start_scale` × side, rounded up to a multiple of `SIDE_STEP`."""
    return min(side, math.ceil(round(config.start_scale * side / SIDE_STEP, 9)) * SIDE_STEP)


def scaled(images: Tensor, side: int) -> Tensor:
    """Float images (n, c, h, w) scaled to side × side: bilinear, averaged over the area of a pixel."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of a training batch: `Augmentation.parse("alternating_flip,crop:2,cutout:8")`.

    flip     none | flip | alternating_flip
    crop     largest shift in pixels, less than the images' side
    cutout   side of the square in pixels, at most the images' side
    """

    flip: str = "none"
    crop: int = 0
    cutout: int = 0

    @classmethod
    def parse(cls, words: str, side: int = IMAGE_SIDE) -> Augmentation:
        """From comma-separated words: none, flip, alternating_flip, crop:PIXELS, cutout:PIXELS.

        side   of the images, in pixels
        """
        flip_name = ""
        pixels: dict[str, int] = {}
        for word in filter(None, (word.strip() for word in words.split(","))):
            name, colon, number = word.partition(":")
            if name not in AUGMENTATIONS:
                raise UnknownNameError("augmentation", name, AUGMENTATIONS)
            if colon and name not in ("crop", "cutout"):
                raise InputError(f"augment {word!r}: {name} takes no number; only crop and cutout do")
            kind = name if name in ("crop", "cutout") else "flip"
            if kind in pixels or (kind == "flip" and flip_name):
                raise InputError(f"augment {words!r} has {kind} twice; give it once")
            if kind == "flip":
                flip_name = name
            else:
                pixels[kind] = _pixels(word, number, side - (kind == "crop"))
        return cls(flip_name or "none", **pixels)

    def pixels(self, images: Tensor, generator: torch.Generator, first: Tensor, epoch: int) -> Tensor:
        """Augmentations that move pixels, on uint8 or float images (n, c, h, w); `first` as in `alternating_flip`."""
        if self.flip == "flip":
            images = flip(images, generator)
        if self.flip == "alternating_flip":
            images = alternating_flip(images, first, epoch)
        return crop(images, self.crop, generator) if self.crop else images

    def values(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augmentations that need 0 to be an average pixel: on normalised images."""
        return cutout(images, self.cutout, generator) if self.cutout else images


def _pixels(word: str, number: str, most: int) -> int:
    if not number.isdecimal() or not 0 < int(number) <= most:
        raise InputError(
            f"augment {word!r}: give a whole number of pixels from 1 to {most}, as in {word.partition(':')[0]}:4"
        )
    return int(number)
