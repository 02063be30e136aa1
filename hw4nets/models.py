"""The networks: image x (B, 3, 32, 32), normalised, ↦ outputs (B, 10). Each is a frozen record of its shape with `build()`.

Adding one is adding a class here and its name to NETS; its fields are then options of the command line and of the search.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hw4nets.errors import InputError, UnknownNameError
from hw4nets.layers import (
    ACTIVATIONS,
    POOLS,
    Scale,
    WhitenedConv2d,
    activation_setting,
    batch_norm_setting,
    check_whitening,
    convolved,
    dirac,
    dropout_setting,
    first_convolution,
    norm_without_weight,
    pool_setting,
    pooled,
    whiten_setting,
)
from hw4nets.settings import Range, Settings, setting

SIDE, INPUTS, OUTPUTS = 32, 3 * 32 * 32, 10
MANY = (1, 1_000_000)
RISING = ("relu", "sigmoid")  # activations that keep the order of their inputs


@dataclass(frozen=True)
class Net(Settings):
    """A network's shape."""

    name: ClassVar[str]

    def build(self) -> nn.Sequential:
        """The module, its weights drawn from torch's global generator."""
        raise NotImplementedError


@dataclass(frozen=True)
class Logistic(Net):
    """x ↦ W vec(x) + b;  W (10, 3072), b (10,): 30,730 parameters.   (Assignment 3a.)"""

    name: ClassVar[str] = "logistic"

    def build(self) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, OUTPUTS))


@dataclass(frozen=True)
class Hidden(Net):
    """x ↦ W₂ relu(W₁ vec(x) + b₁) + b₂;  W₁ (M, 3072), W₂ (10, M).   (Assignment 3b.)"""

    name: ClassVar[str] = "hidden"
    M: int = setting(1000, "Hidden units.", limits=MANY, search=Range(100, 3000, log=True))
    activation: str = activation_setting()
    batch_norm: bool = batch_norm_setting()
    dropout: float = dropout_setting()

    def build(self) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), *_connected(INPUTS, (self.M,), self))


@dataclass(frozen=True)
class Conv(Net):
    """x ↦ W₂ vec(MaxPool_N(relu(Conv2d(x, W₁) + b₁))) + b₂;  M filters p×p×3, W₂ (10, M ⌊(33-p)/N⌋²).   (Assignment 3c.)"""

    name: ClassVar[str] = "conv"
    M: int = setting(100, "Filters.", limits=MANY, search=Range(50, 1000, log=True))
    p: int = setting(5, "Width of a filter in pixels.", limits=(1, 1000), search=Range(3, 9))
    N: int = setting(14, "Width of the pool in pixels.", limits=(1, 1000), search=(4, 5, 7, 9, 14))
    activation: str = activation_setting()
    pool: str = pool_setting()
    batch_norm: bool = batch_norm_setting()
    dropout: float = dropout_setting()
    whiten: str = whiten_setting("no")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whitening(self.M, self.p, self.whiten)
        self.side()

    def side(self) -> int:
        """⌊(33 - p) / N⌋."""
        return pooled(convolved(SIDE, self.p), self.N)

    def build(self) -> nn.Sequential:
        parts = _convolutional(first_convolution(self.M, self.p, self.whiten), self.N, self)
        return nn.Sequential(*parts, nn.Flatten(), *_connected(self.M * self.side() ** 2, (), self))


@dataclass(frozen=True)
class Base(Net):
    """Two convolutions, each with relu and pool, then three fully connected layers.   (Assignment 3d; defaults: the tutorial's network.)"""

    name: ClassVar[str] = "base"
    filters: tuple[int, ...] = setting(
        (6, 16), "Filters of the two convolutions.", limits=MANY, search=((6, 16), (32, 64), (64, 128), (64, 256), (128, 256))
    )
    sizes: tuple[int, ...] = setting(
        (5, 5), "Widths of their filters in pixels.", limits=(1, 1000), search=((3, 3), (5, 3), (5, 5), (7, 5))
    )
    padding: tuple[int, ...] = setting((0, 0), "Pixels of zeros around their inputs.", limits=(0, 16))
    pools: tuple[int, ...] = setting((2, 2), "Widths of the two pools in pixels.", limits=(1, 32))
    units: tuple[int, ...] = setting(
        (120, 84), "Units of the two hidden fully connected layers.", limits=MANY, search=((120, 84), (256, 128), (512, 256))
    )
    activation: str = activation_setting()
    pool: str = pool_setting()
    batch_norm: bool = batch_norm_setting()
    dropout: float = dropout_setting()
    whiten: str = whiten_setting("no")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("filters", "sizes", "padding", "pools", "units"):
            _need(name, getattr(self, name), 2)
        check_whitening(self.filters[0], self.sizes[0], self.whiten)
        self.side()

    def side(self) -> int:
        """Side of what the second pool leaves."""
        side = SIDE
        for size, padding, pool in zip(self.sizes, self.padding, self.pools, strict=True):
            side = pooled(convolved(side, size, padding, what="sizes"), pool, what="pools")
        return side

    def build(self) -> nn.Sequential:
        first = first_convolution(self.filters[0], self.sizes[0], self.whiten, self.padding[0])
        second = nn.Conv2d(self.filters[0], self.filters[1], self.sizes[1], padding=self.padding[1])
        parts: list[nn.Module] = []
        for layer, pool in zip((first, second), self.pools, strict=True):
            parts += _convolutional(layer, pool, self)
        inputs = self.filters[1] * self.side() ** 2
        return nn.Sequential(*parts, nn.Flatten(), *_dropped(self), *_connected(inputs, self.units, self))


@dataclass(frozen=True)
class Fast(Net):
    """A whitening layer, then groups of 3×3 convolutions with batch normalisation, each group halving the image; one linear layer.

    Within a group only the first convolution changes the width; pooling comes before normalisation, where there is less to normalise.
    Filters start by passing their inputs on; normalisation has no factor.   (After Jordan 2024, airbench.)
    """

    name: ClassVar[str] = "fast"
    widths: tuple[int, ...] = setting(
        (64, 128, 128), "Filters of each group.", limits=MANY, search=((32, 64, 64), (48, 96, 192), (64, 128, 128), (64, 256, 256))
    )
    depths: tuple[int, ...] = setting((2, 2, 2), "Convolutions of each group.", limits=(1, 32))
    pools: tuple[int, ...] = setting((2, 2, 2), "Width of each group's pool; 1 for none.", limits=(1, 32))
    stem_filters: int = setting(24, "Filters of the first layer.", limits=MANY)
    stem_size: int = setting(2, "Width of the first filters in pixels.", limits=(1, 32))
    stem_stride: int = setting(1, "Step of the first layer in pixels.", limits=(1, 32))
    output_scale: float = setting(1 / 9, "Factor of the outputs.", limits=(1e-6, 1e6))
    activation: str = activation_setting()
    pool: str = pool_setting()
    dropout: float = dropout_setting()
    whiten: str = whiten_setting("fixed")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("depths", "pools"):
            _need(name, getattr(self, name), len(self.widths))
        check_whitening(self.stem_filters, self.stem_size, self.whiten)
        self.side()

    def side(self) -> int:
        """Side of what the last group leaves."""
        side = convolved(SIDE, self.stem_size, stride=self.stem_stride, what="stem_size")
        for pool in self.pools:
            side = pooled(side, pool, what="pools")
        return side

    def build(self) -> nn.Sequential:
        parts = [first_convolution(self.stem_filters, self.stem_size, self.whiten, stride=self.stem_stride), ACTIVATIONS[self.activation]()]
        inputs = self.stem_filters
        for width, depth, pool in zip(self.widths, self.depths, self.pools, strict=True):
            parts += self._group(inputs, width, depth, pool)
            inputs = width
        last = nn.Linear(inputs, OUTPUTS, bias=False)
        return nn.Sequential(*parts, POOLS["max"](self.side()), nn.Flatten(), *_dropped(self), last, Scale(self.output_scale))

    def _group(self, inputs: int, width: int, depth: int, pool: int) -> list[nn.Module]:
        parts: list[nn.Module] = []
        for place in range(depth):
            parts.append(dirac(nn.Conv2d(width if place else inputs, width, 3, padding=1, bias=False)))
            parts += [POOLS[self.pool](pool)] if place == 0 and pool > 1 else []
            parts += [norm_without_weight(width), ACTIVATIONS[self.activation]()]
        return parts


NETS: dict[str, type[Net]] = {net.name: net for net in (Logistic, Hidden, Conv, Base, Fast)}


def net(name: str, given: Mapping[str, Any] | None = None) -> Net:
    """The network's record by name and options; unknown names are errors that list the known ones."""
    if name not in NETS:
        raise UnknownNameError("network", name, NETS)
    return NETS[name].of(name, given or {})


def build(shape: Net, seed: int) -> nn.Sequential:
    """The network with weights drawn by seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return shape.build()


def whiten(model: nn.Module, images: Tensor) -> None:
    """Set the whitening layers of a network from normalised images (n, 3, 32, 32); a network without them stays as it is."""
    for layer in model.modules():
        if isinstance(layer, WhitenedConv2d):
            layer.whiten(images)


def parameter_count(model: nn.Module) -> int:
    """How many numbers the network's weights and offsets are, fixed ones included."""
    return sum(one.numel() for one in model.parameters())


def flops_per_image(model: nn.Module) -> int:
    """Floating-point operations of the matrix products of one forward pass of one image, a multiply-add counted as 2."""
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


def _convolutional(layer: nn.Conv2d, pool: int, shape: Conv | Base) -> list[nn.Module]:
    """A convolution with what follows it: the pool stands first where it may, for there is less to normalise and to bend behind it.

    max(σ(x)) = σ(max(x)) for a rising σ: without batch normalisation that is the same function.  gelu falls below -0.75.
    """
    pooled_by = POOLS[shape.pool](pool)
    bent: list[nn.Module] = [nn.BatchNorm2d(layer.out_channels)] if shape.batch_norm else []
    bent.append(ACTIVATIONS[shape.activation]())
    return [layer, pooled_by, *bent] if shape.pool == "max" and shape.activation in RISING else [layer, *bent, pooled_by]


def _connected(inputs: int, units: Sequence[int], shape: Hidden | Conv | Base) -> list[nn.Module]:
    """Fully connected layers with `units` hidden ones, then the outputs; what the first one sees is the caller's to drop."""
    parts: list[nn.Module] = []
    for count in units:
        parts += _dropped(shape) if parts else []
        parts.append(nn.Linear(inputs, count))
        parts += [nn.BatchNorm1d(count)] if shape.batch_norm else []
        parts.append(ACTIVATIONS[shape.activation]())
        inputs = count
    return [*parts, *_dropped(shape), nn.Linear(inputs, OUTPUTS)]


def _dropped(shape: Hidden | Conv | Base | Fast) -> list[nn.Module]:
    return [nn.Dropout(shape.dropout)] if shape.dropout else []


def _need(name: str, values: Sequence[int], count: int) -> None:
    if len(values) != count:
        raise InputError(f"{name} has {len(values)} numbers ({','.join(map(str, values))}); it must have {count}")
