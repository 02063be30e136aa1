"""One convolution with pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hw4nets.layers import (
    WIDTH_LIMITS,
    activation_setting,
    batch_norm_setting,
    check_whitening,
    convolution_block,
    convolved,
    dropout_layers,
    dropout_setting,
    first_convolution,
    pool_setting,
    pooled,
    whiten_setting,
)
from hw4nets.network import Net
from hw4nets.settings import Range, setting


@dataclass(frozen=True)
class Conv(Net):
    """x ↦ W₂ vec(MaxPool_N(relu(Conv2d(x, W₁) + b₁))) + b₂;  M filters p×p×3, W₂ (classes, M ⌊(side+1-p)/N⌋²).

    For CIFAR-10 W₂ (10, M ⌊(33-p)/N⌋²).

    (Assignment 3c.)
    """

    name: ClassVar[str] = "conv"
    part: ClassVar[str] = "3c"
    M: int = setting(100, "Filters.", limits=WIDTH_LIMITS, search=Range(50, 1000, log=True))
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
        """⌊(side + 1 - p) / N⌋."""
        return pooled(convolved(self.image_side, self.p), self.N)

    def build(self) -> nn.Sequential:
        convolution = first_convolution(self.M, self.p, self.whiten)
        block = convolution_block(convolution, self.N, self.pool, self.activation, self.batch_norm)
        last = nn.Linear(self.M * self.side() ** 2, self.class_count)
        return nn.Sequential(*block, nn.Flatten(), *dropout_layers(self.dropout), last)
