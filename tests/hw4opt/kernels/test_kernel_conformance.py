"""`check_kernel` can fail: planted faults in every part of a kernel."""

import numpy as np
import pytest

from hw4opt import RBF, InputError, Laplacian, Polynomial, Precomputed, Ridge, check_kernel
from hw4opt.kernels import Kernel


class NotSymmetric(RBF):
    def gram(self, x, z):
        return super().gram(x, z) * (1 + 1e-6 * x[:, :1])


class NotSemidefinite(Laplacian):
    """Linear in the distance: no kernel in more than one dimension."""

    def gram(self, x, z):
        return 1 - self.gamma * np.abs(x[:, None] - z).sum(axis=2)


class DiagonalOfAnother(RBF):
    def diagonal(self, x):
        return np.full(len(x), 1.001)


class ChangesItsPoints(RBF):
    def gram(self, x, z):
        x += 0.0 * x + 1.0
        return super().gram(x, z + 1.0)


class Transposed(RBF):
    def gram(self, x, z):
        return super().gram(z, x)


class LooksAtTheOthers(RBF):
    def gram(self, x, z):
        return super().gram(x, z) * (1 + 1e-9 * len(x) * len(z))


class SlopeAlongTheOther(RBF):
    def slope(self, x, z, column):
        return -super().slope(x, z, column)


class CrossSlopeOfOneSign(RBF):
    def cross_slope(self, x, z, first, second):
        return np.abs(super().cross_slope(x, z, first, second))


class CrossSlopeJumps(RBF):
    def cross_slope(self, x, z, first, second):
        apart = np.abs(x[:, None] - z).sum(axis=2) > 0
        return np.where(apart, 1.0, 1.5) * super().cross_slope(x, z, first, second)


class NoCrossSlope(Laplacian):
    def slope(self, x, z, column):
        return -self.gamma * np.sign(x[:, column, None] - z[:, column]) * self.gram(x, z)


class AnotherUnit(RBF):
    gamma_power = 1


class AnotherDegree(Polynomial):
    @property
    def polynomial_degree(self):
        return int(self.degree) - 1


class AnyGamma(RBF):
    def __post_init__(self):
        pass


class Raises(RBF):
    def diagonal(self, x):
        return x[:, 99]


PLANTED = [
    (Raises(), "ends with IndexError"),
    (NotSymmetric(), "the transpose of gram"),
    (NotSemidefinite(), "it is not positive semidefinite"),
    (DiagonalOfAnother(), "diagonal"),
    (ChangesItsPoints(), "gram changes the points"),
    (Transposed(), "gram has shape"),
    (LooksAtTheOthers(), "gram of one point is"),
    (SlopeAlongTheOther(), "slope"),
    (CrossSlopeOfOneSign(), "cross_slope"),
    (CrossSlopeJumps(), "at equal points is"),
    (NoCrossSlope(), "has slope and no cross_slope"),
    (AnotherUnit(), "gamma_power"),
    (AnotherDegree(), "polynomial of degree 2"),
    (AnyGamma(), "takes gamma = -1"),
]


@pytest.mark.parametrize(("kernel", "sentence"), PLANTED, ids=lambda item: type(item).__name__)
def test_a_planted_fault_is_caught(kernel, sentence):
    with pytest.raises(InputError, match=f"{kernel.name}.*{sentence}"):
        check_kernel(kernel)


def test_what_is_no_kernel_says_so():
    check_kernel(RBF)
    for wrong, sentence in (
        (Precomputed(), "a precomputed kernel has no formula"),
        (Ridge, "is not a kernel"),
        (Kernel, "the class Kernel lacks diagonal and gram"),
        (type("Nameless", (RBF,), {"name": ""}), "the class Nameless has no name"),
    ):
        with pytest.raises(InputError, match=sentence):
            check_kernel(wrong)
