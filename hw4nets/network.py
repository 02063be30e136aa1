"""`Net`, the base of every network, and the functions of any network: build, whiten, count.

A network maps images x (B, 3, 32, 32), normalised, to outputs (B, 10).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hw4nets.layers import SIDE, WhitenedConv2d
from hw4nets.settings import Settings


@dataclass(frozen=True)
class Net(Settings):
    """A network's shape: a frozen record of its settings, with `build()`.

    name   that of its file, on the command line and in TOML files
    part   the part of the assignment's problem 3 that it answers, if any; lists of networks begin with these
    """

    name: ClassVar[str]
    part: ClassVar[str] = ""

    def build(self) -> nn.Sequential:
        """The module, its weights drawn from torch's global generator."""
        raise NotImplementedError


def build(shape: Net, seed: int) -> nn.Sequential:
    """The network with weights drawn by seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return shape.build()


def whiten(model: nn.Module, images: Tensor) -> None:
    """Set the whitening layers of a network, if it has any, from normalised images (n, 3, 32, 32)."""
    for layer in model.modules():
        if isinstance(layer, WhitenedConv2d):
            layer.whiten(images)


def parameter_count(model: nn.Module) -> int:
    """How many numbers the network's weights and offsets are, fixed ones included."""
    return sum(weight.numel() for weight in model.parameters())


def flops_per_image(model: nn.Module) -> int:
    """Floating-point operations of the matrix products in a forward pass of one image, a multiply-add counted as 2."""
    counts: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            counts.append(2 * output.numel() * layer.weight[0].numel())

    shadow = copy.deepcopy(model).to("meta").eval()  # shapes without numbers
    for layer in shadow.modules():
        layer.register_forward_hook(count)
    with torch.no_grad():
        shadow(torch.empty(1, 3, SIDE, SIDE, device="meta"))
    return sum(counts)
