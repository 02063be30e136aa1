"""Check of a kernel and its derivatives, used by the tests and for users' own kernels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from hw4opt.errors import InputError, RefusedError, shown
from hw4opt.kernels._base import VALUE, Kernel
from hw4opt.terms.base import Array
from hw4opt.terms.conformance import check_dataclass
from hw4opt.terms.requirements import class_fault

COLUMN_COUNTS = (1, 2, 4)  # columns of x
X_SPREADS = (0.1, 1.0, 10.0)  # spreads of x, in lengths of the kernel
KERNEL_DIFFERENCE_STEP = 1e-6  # of differences, in lengths of the kernel
DIFFERENCE_ERROR = 1e-6  # of the largest entry: the allowed error of a difference of two values


def check_kernel(kernel: Kernel | type[Kernel]) -> None:
    """Raise `InputError` with a sentence on the first fault of a kernel: a part that is missing, or two that disagree.

    kernel    the kernel with its parameters, or its class, which is then taken with its defaults

    Checked on random points: shapes, symmetry, the diagonal, positive semidefinite Gram matrices, the unit of gamma,
    and, for a kernel with derivatives, `slope` and `cross_slope` against differences, and the Gram matrix of values
    and slopes.
    """
    made = _made(kernel)
    check_dataclass(made)
    for check in KERNEL_CHECKS:
        try:
            with np.errstate(all="ignore"):
                check(made)
        except InputError:
            raise
        except Exception as error:  # any exception of a user's code
            raise InputError(f"{made.name}: {check.__name__} ends with {type(error).__name__}: {error}") from error


def _made(kernel: Kernel | type[Kernel]) -> Kernel:
    kind = kernel if isinstance(kernel, type) else type(kernel)
    if not issubclass(kind, Kernel):
        raise InputError(f"{shown(kernel)} is not a kernel; its class must derive from hw4opt.kernels.Kernel")
    if fault := class_fault(kind):
        raise InputError(fault)
    if kind.name == "precomputed":
        raise InputError("a precomputed kernel has no formula that could be checked")
    try:
        return kernel() if isinstance(kernel, type) else kernel
    except TypeError as error:
        raise InputError(
            f"{kind.name} has parameters without defaults ({error}); give the kernel, not its class"
        ) from error


def check_parameters(kernel: Kernel) -> None:
    """gamma is above 0, and in the unit that `gamma_power` says."""
    try:
        dataclasses.replace(kernel, gamma=-1.0)
    except InputError:
        pass
    else:
        raise InputError(f"{kernel.name} takes gamma = -1; a __post_init__ of its own calls super().__post_init__()")
    if not kernel.length > 0:
        raise InputError(f"{kernel.name}: length is {kernel.length:g}; it must be above 0")
    other = dataclasses.replace(kernel, gamma=kernel.rate / 8.0**kernel.gamma_power)
    for x, z in _clouds(kernel):
        unit = f"of x in another unit, with gamma in units of 1/x^{kernel.gamma_power} (gamma_power),"
        _compare(kernel, f"gram {unit}", other.gram(8 * x, 8 * z), kernel.gram(x, z), 1e-9)


def check_values(kernel: Kernel) -> None:
    """`gram` is a symmetric function of two points, independent of the arrays' other points; `diagonal` is its value at
    equal points."""
    for x, z in _clouds(kernel):
        before = x.copy()
        gram = kernel.gram(x, z)
        if gram.shape != (len(x), len(z)) or not np.isfinite(gram).all():
            raise InputError(
                f"{kernel.name}: gram has shape {gram.shape} or is not finite; it should be {(len(x), len(z))}"
            )
        if not np.array_equal(x, before):
            raise InputError(f"{kernel.name}: gram changes the points that it is given")
        _compare(kernel, "gram(x, z)", gram, kernel.gram(z, x).T, 1e-12, "the transpose of gram(z, x)")
        _compare(kernel, "gram of one point", kernel.gram(x[:1], z), gram[:1], 1e-12)
        wide = kernel.gram(x.astype(np.longdouble), z.astype(np.longdouble)).astype(float)
        _compare(kernel, "gram of long doubles", wide, gram, 1e-12)
        diagonal, square = kernel.diagonal(x), kernel.gram(x, x)
        if diagonal.shape != (len(x),):
            raise InputError(f"{kernel.name}: diagonal has shape {diagonal.shape}; it should be {(len(x),)}")
        _compare(kernel, "diagonal(x)", diagonal, np.diagonal(square), 1e-12, "that of gram(x, x)")
        _check_semidefinite(kernel, square, "the Gram matrix")


def check_derivatives(kernel: Kernel) -> None:
    """`slope` and `cross_slope` are the derivatives, except at equal points where the second may have a kink."""
    if not kernel.is_differentiable:
        return
    h = KERNEL_DIFFERENCE_STEP * _unit(kernel)
    for x, z in _clouds(kernel):
        apart = np.abs(x[:, None] - z).sum(axis=2) > 0
        columns = range(x.shape[1])
        for column in columns:
            step = h * np.eye(len(columns))[column]
            numeric = (kernel.gram(x + step, z) - kernel.gram(x - step, z)) / (2 * h)
            _compare(
                kernel,
                f"slope(x, z, {column})",
                kernel.slope(x, z, column),
                numeric,
                DIFFERENCE_ERROR,
                "the difference of gram",
            )
        for first, second in ((one, other) for one in columns for other in columns):
            step, name = h * np.eye(len(columns))[second], f"cross_slope(x, z, {first}, {second})"
            found = _cross_slope(kernel, x, z, first, second)
            numeric = (kernel.slope(x, z + step, first) - kernel.slope(x, z - step, first)) / (2 * h)
            size = max(float(np.abs(found).max()), float(kernel.cross_slope(x[:1], x[:1], first, first)[0, 0]))
            _compare(kernel, name, found[apart], numeric[apart], DIFFERENCE_ERROR, "the difference of slope", size)
            near = kernel.cross_slope(x, z + 1e-3 * h, first, second)
            _compare(kernel, f"{name} at equal points", found, near, DIFFERENCE_ERROR, "its limit there", size)
        kinds = (VALUE, *columns)
        joint = np.block([[kernel.between(x, one, x, other) for other in kinds] for one in kinds])
        root = np.sqrt(np.abs(np.diagonal(joint)))
        root = np.where(root > 0, root, 1.0)
        _check_semidefinite(kernel, joint / np.outer(root, root), "the Gram matrix of values and slopes")


def check_degree(kernel: Kernel) -> None:
    """If `polynomial_degree` is a number, k(·, z) is a polynomial of that degree."""
    degree = kernel.polynomial_degree
    if degree is None:
        return
    x = np.cos(np.linspace(0, np.pi, 3 * degree + 3))[:, None]
    values = kernel.gram(_unit(kernel) * x, np.full((1, 1), 0.7 * _unit(kernel)))[:, 0]
    basis = np.polynomial.chebyshev.chebvander(x[:, 0], degree)
    fitted = basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    _compare(kernel, f"k(·, z), a polynomial of degree {degree} (polynomial_degree),", values, fitted, 1e-9)


KERNEL_CHECKS = (check_values, check_parameters, check_derivatives, check_degree)


def _unit(kernel: Kernel) -> float:
    return kernel.length if math.isfinite(kernel.length) else kernel.rate ** (-1.0 / kernel.gamma_power)


def _clouds(kernel: Kernel) -> Iterator[tuple[Array, Array]]:
    """Pairs of point clouds of several widths and spreads that share a point."""
    for width in COLUMN_COUNTS:
        for scale in X_SPREADS:
            draw = np.random.default_rng([width, round(10 * scale)])
            x, z = (_unit(kernel) * scale * draw.standard_normal((count, width)) for count in (12, 5))
            z[0] = x[0]
            yield x, z


def _cross_slope(kernel: Kernel, x: Array, z: Array, first: int, second: int) -> Array:
    try:
        return kernel.cross_slope(x, z, first, second)
    except RefusedError as error:
        raise InputError(f"{kernel.name} has slope and no cross_slope, which a slope constraint needs, too") from error


def _compare(
    kernel: Kernel, name: str, found: Array, expected: Array, share: float, what: str = "it", size: float | None = None
) -> None:
    """Raise `InputError` where two arrays differ by more than a share of the largest entry."""
    largest = float(np.abs(expected).max(initial=0.0)) if size is None else size
    apart = np.abs(found - expected)
    if not np.all(apart <= share * largest):
        place = int(np.nanargmax(np.where(np.isnan(apart), np.inf, apart)))
        one, other = np.ravel(found)[place], np.ravel(expected)[place]
        verb = "should be" if what == "it" else "is"
        raise InputError(f"{kernel.name}: {name} is {one:.9g}; {what} {verb} {other:.9g}")


def _check_semidefinite(kernel: Kernel, gram: Array, name: str) -> None:
    values = np.linalg.eigvalsh(0.5 * (gram + gram.T))
    if not values[0] >= -1e-12 * len(gram) * max(float(np.abs(values).max()), 1e-300):
        raise InputError(f"{kernel.name}: {name} has the eigenvalue {values[0]:.3g}; it is not positive semidefinite")
