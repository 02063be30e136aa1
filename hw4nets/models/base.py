"""The network of PyTorch's tutorial "Training a classifier", with every size an option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hw4nets.layers import (
    WIDTH_LIMITS,
    activation_setting,
    batch_norm_setting,
    check_length,
    check_whitening,
    convolution_block,
    convolved,
    dropout_layers,
    dropout_setting,
    first_convolution,
    fully_connected,
    pool_setting,
    pooled,
    whiten_setting,
)
from hw4nets.network import Net
from hw4nets.settings import setting


@dataclass(frozen=True)
class Base(Net):
    """Two convolutions, each with relu and pool, then three fully connected layers.

    (Assignment 3d; defaults: the tutorial's network.)
    """

    name: ClassVar[str] = "base"
    part: ClassVar[str] = "3d"
    filters: tuple[int, ...] = setting(
        (6, 16),
        "Filters of the two convolutions.",
        limits=WIDTH_LIMITS,
        search=((6, 16), (32, 64), (64, 128), (64, 256), (128, 256)),
    )
    sizes: tuple[int, ...] = setting(
        (5, 5), "Widths of their filters in pixels.", limits=(1, 1000), search=((3, 3), (5, 3), (5, 5), (7, 5))
    )
    padding: tuple[int, ...] = setting((0, 0), "Pixels of zero padding around their inputs.", limits=(0, 16))
    pools: tuple[int, ...] = setting((2, 2), "Widths of the two pools in pixels.", limits=(1, 32))
    units: tuple[int, ...] = setting(
        (120, 84),
        "Units of the two hidden fully connected layers.",
        limits=WIDTH_LIMITS,
        search=((120, 84), (256, 128), (512, 256)),
    )
    activation: str = activation_setting()
    pool: str = pool_setting()
    batch_norm: bool = batch_norm_setting()
    dropout: float = dropout_setting()
    whiten: str = whiten_setting("no")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("filters", "sizes", "padding", "pools", "units"):
            check_length(name, getattr(self, name), 2)
        check_whitening(self.filters[0], self.sizes[0], self.whiten)
        self.side()

    def side(self) -> int:
        """Side of the second pool's output."""
        side = self.image_side
        for size, padding, pool in zip(self.sizes, self.padding, self.pools, strict=True):
            side = pooled(convolved(side, size, padding, what="sizes"), pool, what="pools")
        return side

    def build(self) -> nn.Sequential:
        first = first_convolution(self.filters[0], self.sizes[0], self.whiten, self.padding[0])
        second = nn.Conv2d(self.filters[0], self.filters[1], self.sizes[1], padding=self.padding[1])
        layers: list[nn.Module] = []
        for convolution, pool in zip((first, second), self.pools, strict=True):
            layers += convolution_block(convolution, pool, self.pool, self.activation, self.batch_norm)
        inputs = self.filters[1] * self.side() ** 2
        layers += [nn.Flatten(), *dropout_layers(self.dropout)]
        layers += fully_connected(inputs, self.units, self.class_count, self.activation, self.batch_norm, self.dropout)
        return nn.Sequential(*layers)
