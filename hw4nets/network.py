"""`Net`, the base of every network, and functions for any network: build, whiten, count.

A network maps normalised images x (B, 3, side, side) to outputs (B, classes); for CIFAR-10 (B, 3, 32, 32) to (B, 10).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hw4nets.augment import first_side
from hw4nets.config import Config
from hw4nets.errors import InputError, out_of_memory
from hw4nets.image_set import CLASS_COUNTS, CLASSES, IMAGE_SIDE, IMAGE_SIDES
from hw4nets.layers import WhitenedConv2d
from hw4nets.settings import Settings, shown


@dataclass(frozen=True)
class Net(Settings):
    """A network's shape: a frozen record of its settings, with `build()`.

    name          of its file, on the command line and in TOML files
    part          its part of the assignment's problem 3, if any; lists of networks begin with these
    image_side    of the images, in pixels; like class_count it is determined by the images, and not a setting
    class_count   the number of outputs
    """

    name: ClassVar[str]
    part: ClassVar[str] = ""
    image_side: int = field(default=IMAGE_SIDE, kw_only=True)
    class_count: int = field(default=len(CLASSES), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, (low, high) in {"image_side": IMAGE_SIDES, "class_count": CLASS_COUNTS}.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"{name} is {shown(value)}; it must be a whole number from {low} to {high}")

    @property
    def inputs(self) -> int:
        """The number of values of an image."""
        return 3 * self.image_side**2

    @property
    def images(self) -> dict[str, int]:
        """The fields that the images determine."""
        return {"image_side": self.image_side, "class_count": self.class_count}

    def build(self) -> nn.Sequential:
        """The module, its weights drawn from torch's global generator."""
        raise NotImplementedError


def build(shape: Net, seed: int) -> nn.Sequential:
    """The network with weights drawn by seed; torch's global generator is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return shape.build()


def whiten(model: nn.Module, images: Tensor) -> None:
    """Set the whitening layers of a network, if it has any, from normalised images (n, 3, side, side)."""
    for layer in model.modules():
        if isinstance(layer, WhitenedConv2d):
            layer.whiten(images)


@torch.no_grad()
def check_fits(model: nn.Module, side: int, classes: int) -> None:
    """Raise `InputError` if a network does not take images of that side, or its outputs are not `classes`."""
    was_training = model.training
    try:
        out = model.eval()(blank_image(model, side))
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        advice = f"build it with image_side={side}"
        raise InputError(f"the network does not take images of {side}×{side}; {advice}") from error
    finally:
        model.train(was_training)
    if out.shape != (1, classes):
        raise InputError(
            f"the network's outputs have the shape {tuple(out.shape)} for one image of {classes} classes; "
            f"build it with class_count={classes}"
        )


def check_start_scale(model: nn.Module, config: Config, side: int) -> None:
    """Raise `InputError` where the network does not take the first epochs' scaled images; side: of the images."""
    start = first_side(side, config)
    if start == side:
        return
    try:
        with torch.no_grad():
            shapes = copy.deepcopy(model).to("meta").eval()
            shapes(blank_image(shapes, start))
    except RuntimeError as error:
        raise InputError(
            f"start_scale is {config.start_scale:g}: this network does not take images that are scaled down so far; "
            "give a larger one, or 1, with which none are scaled"
        ) from error


def blank_image(model: nn.Module, side: int) -> Tensor:
    """A batch (1, 3, side, side) of zeros, of the device and number type of the network's weights."""
    weights = next(model.parameters(), torch.zeros(0))
    return weights.new_zeros(1, 3, side, side)


def parameter_count(model: nn.Module) -> int:
    """The number of weights and offsets, fixed ones included."""
    return sum(weight.numel() for weight in model.parameters())


def flops_per_image(model: nn.Module, side: int = IMAGE_SIDE) -> int:
    """Floating-point operations of the matrix products in a forward pass of one image, a multiply-add counted as 2."""
    counts: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            counts.append(2 * output.numel() * layer.weight[0].numel())

    shadow = copy.deepcopy(model).to("meta").eval()  # shapes without numbers
    for layer in shadow.modules():
        layer.register_forward_hook(count)
    with torch.no_grad():
        shadow(blank_image(shadow, side))
    return sum(counts)
