"""Ten points, and arrays of them as other packages hold them."""

import numpy as np

N = 10
DRAW = np.random.default_rng(0)
X, Y = np.linspace(0, 1, N), np.sin(np.arange(N) / 2.0)


class Foreign:
    """An array of another library whose conversion fails."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("can't convert a device tensor")


class Data:
    """Provides its values like a data frame."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


class Sparse:
    """What tells a sparse matrix apart."""

    def toarray(self):
        return np.zeros((N, 1))
