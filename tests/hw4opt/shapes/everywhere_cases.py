"""Random problems whose shapes are to hold at every x, and what a fit says of them."""

import numpy as np

from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    Huber,
    Increasing,
    Laplacian,
    Matern32,
    Matern52,
    Nonnegative,
    Polynomial,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
)

CURVES = (
    lambda t: np.floor(4 * t),
    lambda t: np.sin(6 * t),
    lambda t: t**2,
    lambda t: -t,
    lambda t: np.exp(-5 * t),
)


def random_problem(seed):
    """Rows, kernel, loss, shapes and range drawn by the seed; units of x and y over powers of ten."""
    draw = np.random.default_rng(seed)
    n, unit = int(draw.integers(8, 60)), 10.0 ** draw.uniform(-1, 2)
    t = np.sort(draw.uniform(0, 1, n))
    if draw.random() < 0.3:
        t = np.unique(np.round(t, 2))
    y = CURVES[draw.integers(len(CURVES))](t)
    y = 10.0 ** draw.uniform(-2, 2) * (y + 0.2 * np.ptp(y) * draw.standard_normal(len(t)))
    gamma = 10.0 ** draw.uniform(-0.5, 2) / unit**2
    kernels = [
        RBF(gamma),
        RBF(gamma),
        Polynomial(1 / unit**2, int(draw.integers(2, 7))),
        Laplacian(gamma**0.5),
        Matern32(gamma),
        Matern52(gamma),
    ]
    kernel = kernels[draw.integers(len(kernels))]
    everywhere = True if draw.random() < 0.6 else (-0.2 * unit, 1.3 * unit)
    bounds = Bounds(*np.quantile(y, [0.2, 0.8]).tolist(), everywhere=everywhere)
    slopes = [[Increasing, Decreasing], [Convex, Concave]][int(draw.random() < 0.3)]
    shape = slopes[draw.integers(2)](everywhere=everywhere)
    if kernel.functional_order < shape.derivative or draw.random() < 0.3:
        shape = bounds if draw.random() < 0.7 else Nonnegative(everywhere=everywhere)
    losses = (Squared(), Huber(0.3 * float(np.ptp(y))), Absolute(), Quantile(0.3))
    ridge = [Ridge(10.0 ** draw.uniform(-2, 1))]
    return Problem(
        unit * t,
        y,
        kernel,
        losses[draw.integers(len(losses))],
        [*ridge, TotalVariation(0.1)] if draw.random() < 0.3 else ridge,
        [shape],
        intercept=bool(draw.random() < 0.4),
        standardize=bool(draw.random() < 0.3),
    )
