"""No hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hw4nets.layers import INPUTS, OUTPUTS
from hw4nets.network import Net


@dataclass(frozen=True)
class Logistic(Net):
    """x ↦ W vec(x) + b;  W (10, 3072), b (10,): 30,730 parameters.   (Assignment 3a.)"""

    name: ClassVar[str] = "logistic"
    part: ClassVar[str] = "3a"

    def build(self) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, OUTPUTS))
