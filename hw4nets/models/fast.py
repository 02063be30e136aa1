"""A network for short training: whitening, 3×3 convolutions in groups, one linear layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hw4nets.layers import (
    ACTIVATIONS,
    POOLS,
    WIDTH_LIMITS,
    Scale,
    activation_setting,
    check_length,
    check_whitening,
    convolved,
    dirac,
    dropout_layers,
    dropout_setting,
    first_convolution,
    norm_without_weight,
    pool_setting,
    pooled,
    whiten_setting,
)
from hw4nets.network import Net
from hw4nets.settings import setting


@dataclass(frozen=True)
class Fast(Net):
    """A whitening layer, groups of normalised 3×3 convolutions, each group halving the image, and a linear layer.

    Within a group only the first convolution changes the width; pooling comes before normalisation, which then costs
    less. Filters start as the identity on their inputs; normalisation has no factor.

    (After Jordan 2024, airbench.)
    """

    name: ClassVar[str] = "fast"
    widths: tuple[int, ...] = setting(
        (64, 128, 128),
        "Filters of each group.",
        limits=WIDTH_LIMITS,
        search=((32, 64, 64), (48, 96, 192), (64, 128, 128), (64, 256, 256)),
    )
    depths: tuple[int, ...] = setting((2, 2, 2), "Convolutions of each group.", limits=(1, 32))
    pools: tuple[int, ...] = setting((2, 2, 2), "Width of each group's pool; 1 for none.", limits=(1, 32))
    stem_filters: int = setting(24, "Filters of the first layer.", limits=WIDTH_LIMITS)
    stem_size: int = setting(2, "Width of the first filters in pixels.", limits=(1, 32))
    stem_stride: int = setting(1, "Stride of the first layer in pixels.", limits=(1, 32))
    output_scale: float = setting(1 / 9, "Factor by which outputs are multiplied.", limits=(1e-6, 1e6))
    activation: str = activation_setting()
    pool: str = pool_setting()
    dropout: float = dropout_setting()
    whiten: str = whiten_setting("fixed")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("depths", "pools"):
            check_length(name, getattr(self, name), len(self.widths))
        check_whitening(self.stem_filters, self.stem_size, self.whiten)
        self.side()

    def side(self) -> int:
        """Side of the last group's output."""
        side = convolved(self.image_side, self.stem_size, stride=self.stem_stride, what="stem_size")
        for pool in self.pools:
            side = pooled(side, pool, what="pools")
        return side

    def build(self) -> nn.Sequential:
        stem = first_convolution(self.stem_filters, self.stem_size, self.whiten, stride=self.stem_stride)
        layers: list[nn.Module] = [stem, ACTIVATIONS[self.activation]()]
        inputs = self.stem_filters
        for width, depth, pool in zip(self.widths, self.depths, self.pools, strict=True):
            layers += self._group(inputs, width, depth, pool)
            inputs = width
        layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), *dropout_layers(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(inputs, self.class_count, bias=False), Scale(self.output_scale))

    def _group(self, inputs: int, width: int, depth: int, pool: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for place in range(depth):
            layers.append(dirac(nn.Conv2d(width if place else inputs, width, 3, padding=1, bias=False)))
            layers += [POOLS[self.pool](pool)] if place == 0 and pool > 1 else []
            layers += [norm_without_weight(width), ACTIVATIONS[self.activation]()]
        return layers
