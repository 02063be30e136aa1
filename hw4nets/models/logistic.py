"""No hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hw4nets.network import Net


@dataclass(frozen=True)
class Logistic(Net):
    """x ↦ W vec(x) + b;  W (classes, 3 side²), b (classes,); for CIFAR-10 W (10, 3072): 30,730 parameters.

    (Assignment 3a.)
    """

    name: ClassVar[str] = "logistic"
    part: ClassVar[str] = "3a"

    def build(self) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(self.inputs, self.class_count))
