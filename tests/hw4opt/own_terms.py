"""Classes as a user would write them, and problems that hold them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hw4opt import RBF, Problem, Ridge, Squared, fit
from hw4opt.kernels import Kernel
from hw4opt.terms import Differences, Loss, PiecewiseQuadratic, Smooth, Table, check_parameter
from hw4opt.validation.arrays import real_array

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


@dataclass(frozen=True)
class LogCosh(Smooth):
    """Σ log cosh(z_i - y_i): smooth, with |f'''| ≤ 2 f'', and no likelihood."""

    name: ClassVar[str] = "log_cosh"
    steepest: ClassVar[float] = 1.0
    self_concordance: ClassVar[float] = 2.0

    def check_targets(self, y):
        return y

    def pointwise(self, z, y=1.0):
        r = np.abs(real_array("z", z) - y)
        return r + np.log1p(np.exp(-2 * r)) - np.log(2)

    def gradient(self, z, y):
        return np.tanh(z - y)

    def curvature(self, z, y):
        decay = np.exp(-2 * np.abs(z - y))
        return 4 * decay / np.square(1 + decay)

    def conjugate_pointwise(self, u, y):
        inside = np.abs(u) <= 1
        v = np.where(inside, u, 0.0)
        entropy = [np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0) for p in (1 + v, 1 - v)]
        return np.where(inside, 0.5 * (entropy[0] + entropy[1]) + v * y, np.inf)

    def clip_dual(self, u, y):
        return np.clip(u, -1, 1)

    def guess(self, y):
        return y

    def model(self, cp, z, y=1.0):
        return cp.logistic(2 * (z - y)) - (z - y) - np.log(2)


def smooth(**given):
    return Problem(X, Y, **{"kernel": RBF(20.0), "loss": Squared(), "regularizers": [Ridge(0.01)], **given})


def own_result():
    given = {"kernel": RationalQuadratic(20.0), "loss": SquaredExcess(), "regularizers": [Ridge(0.01), Roughness(0.3)]}
    return fit(smooth(**given)).raise_for_status()
