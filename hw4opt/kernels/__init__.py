"""Kernels k(x, z) and their derivatives; one kernel per file, and the file's name is its name on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw4opt.kernels._base import CURVATURE, FUNCTIONAL_OF_ORDER, VALUE, Kernel
from hw4opt.kernels._decaying import Decaying, derivatives_of
from hw4opt.kernels._radial import Radial, square_distance
from hw4opt.terms import registry

if TYPE_CHECKING:  # for type checkers, which do not run what is below
    from hw4opt.kernels.laplacian import Laplacian as Laplacian
    from hw4opt.kernels.matern32 import Matern32 as Matern32
    from hw4opt.kernels.matern52 import Matern52 as Matern52
    from hw4opt.kernels.polynomial import Polynomial as Polynomial
    from hw4opt.kernels.precomputed import Precomputed as Precomputed
    from hw4opt.kernels.rbf import RBF as RBF

KERNELS: dict[str, type[Kernel]] = registry.classes("kernel")
globals().update({kernel.__name__: kernel for kernel in KERNELS.values()})

__all__ = ["CURVATURE", "FUNCTIONAL_OF_ORDER", "KERNELS", "VALUE", "Decaying", "Kernel", "Radial", "derivatives_of"]
__all__ += ["find_kernel", "square_distance"]
__all__ += [kernel.__name__ for kernel in KERNELS.values()]


def find_kernel(name: str, **given: float | tuple[float, ...]) -> Kernel:
    """The kernel of that name; raises `UnknownNameError` for a name or parameter that does not exist."""
    return registry.find("kernel", name, **given)
