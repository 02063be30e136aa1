"""The term `logistic`."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.terms import Likelihood
from hw4opt.terms.base import Array
from hw4opt.validation.arrays import real_array


@dataclass(frozen=True)
class Logistic(Likelihood):
    """Σ log(1 + exp(-y z)),  z = fitted (the log-odds of y = 1) of shape (n,), labels y in {-1, 1} or {0, 1}.

    Conjugate: p log p + (1 - p) log(1 - p) with p = -y u in [0, 1].   (Maximum likelihood for Bernoulli targets.)
    """

    name: ClassVar[str] = "logistic"
    steepest: ClassVar[float] = 0.25
    expected: ClassVar[str] = "probability of"
    classifies: ClassVar[bool] = True

    def check_targets(self, y: Array) -> Array:
        values = set(np.unique(y).tolist())
        if values <= {0.0, 1.0}:
            return 2 * y - 1
        if values <= {-1.0, 1.0}:
            return y
        raise InputError(
            f"logistic needs labels 0 and 1, or -1 and 1; y holds {min(values - {-1.0, 0.0, 1.0}, default=-1.0):g}"
        )

    def pointwise(self, z: ArrayLike, y: ArrayLike = 1.0) -> Array:
        return np.logaddexp(0, -real_array("y", y) * real_array("z", z))

    def gradient(self, z: Array, y: Array) -> Array:
        return -y * self._miss(z, y)

    def curvature(self, z: Array, y: Array) -> Array:
        miss = self._miss(z, y)
        return miss * (1 - miss)

    def conjugate_pointwise(self, u: Array, y: Array) -> Array:
        p = -y * u
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(p > 0, p * np.log(p), 0) + np.where(p < 1, (1 - p) * np.log1p(-p), 0)
        return np.where((p >= 0) & (p <= 1), value, np.inf)

    def clip_dual(self, u: Array, y: Array) -> Array:
        return -y * np.clip(-y * u, 0, 1)

    def mean(self, z: Array) -> Array:
        return self._miss(z, np.float64(-1.0))

    def observed(self, y: Array) -> Array:
        return (1 + y) / 2

    def model(self, cp: Any, z: Any, y: Array | float = 1.0) -> Any:
        return cp.logistic(cp.multiply(-y, z))

    @staticmethod
    def _miss(z: Array, y: Array | np.float64) -> Array:
        """1/(1 + exp(y z)): the probability given to the wrong label."""
        margin = y * z
        small = np.exp(-np.abs(margin))
        return np.where(margin >= 0, small, 1.0) / (1 + small)
