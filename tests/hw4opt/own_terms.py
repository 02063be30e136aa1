"""Classes as a user would write them, and problems that hold them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt import RBF, Problem, Ridge, Squared, fit
from hw4opt.kernels import Kernel
from hw4opt.terms import Differences, Loss, PiecewiseQuadratic, Table, check_parameter

X = np.linspace(0, 1, 25)
Y = np.sin(5 * X) + 0.1 * np.cos(40 * X)


@dataclass(frozen=True)
class SquaredExcess(PiecewiseQuadratic, Loss):
    """Σ max(z, 0)²."""

    name: ClassVar[str] = "squared_excess"

    @property
    def tables(self):
        return (Table(quadratic=0.5, low=0.0),)

    def model(self, cp, z):
        return cp.square(cp.pos(z))


@dataclass(frozen=True)
class Roughness(PiecewiseQuadratic):
    """weight ‖D² f‖²."""

    name: ClassVar[str] = "roughness"
    weight: float = 1.0

    def __post_init__(self):
        check_parameter(self.name, "weight", self.weight, low=0)

    @property
    def acts(self):
        return Differences(2)

    @property
    def tables(self):
        return (Table(quadratic=0.5).times(self.weight),)

    def model(self, cp, z):
        return self.weight * cp.square(z)


@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    """1/(1 + gamma ‖x - z‖²)."""

    name: ClassVar[str] = "rational_quadratic"

    def gram(self, x, z):
        return 1 / (1 + self.gamma * np.square(x[:, None] - z).sum(axis=2))

    def diagonal(self, x):
        return np.ones(len(x))


def smooth(**given):
    return Problem(X, Y, **{"kernel": RBF(20.0), "loss": Squared(), "regularizers": [Ridge(0.01)], **given})


def own_result():
    given = {"kernel": RationalQuadratic(20.0), "loss": SquaredExcess(), "regularizers": [Ridge(0.01), Roughness(0.3)]}
    return fit(smooth(**given)).raise_for_status()
