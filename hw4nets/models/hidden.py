"""One hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hw4nets.layers import (
    WIDTH_LIMITS,
    activation_setting,
    batch_norm_setting,
    dropout_setting,
    fully_connected,
)
from hw4nets.network import Net
from hw4nets.settings import Range, setting


@dataclass(frozen=True)
class Hidden(Net):
    """x ↦ W₂ relu(W₁ vec(x) + b₁) + b₂;  W₁ (M, 3 side²), W₂ (classes, M); for CIFAR-10 (M, 3072), (10, M).

    (Assignment 3b.)
    """

    name: ClassVar[str] = "hidden"
    part: ClassVar[str] = "3b"
    M: int = setting(1000, "Hidden units.", limits=WIDTH_LIMITS, search=Range(100, 3000, log=True))
    activation: str = activation_setting()
    batch_norm: bool = batch_norm_setting()
    dropout: float = dropout_setting()

    def build(self) -> nn.Sequential:
        how = self.activation, self.batch_norm, self.dropout
        return nn.Sequential(nn.Flatten(), *fully_connected(self.inputs, (self.M,), self.class_count, *how))
