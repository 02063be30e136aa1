"""Kernels, uneven points, and the dense matrix of divided differences."""

import math

import numpy as np

from hw4opt import (
    RBF,
    Laplacian,
    Matern32,
    Matern52,
    Polynomial,
)

KERNELS = [
    RBF(30.0),
    RBF(1e-6),
    RBF(1e6),
    Laplacian(3.0),
    Matern32(5.0),
    Matern52(5.0),
    Polynomial(1.0),
    Polynomial(2.0, 5, 0.0),
]
SMOOTH = [RBF(8.0), Matern32(5.0), Matern52(5.0), Polynomial(1.0, 4)]


def divided(x, order):
    """Rows (order-1)!·(x_{j+order} - x_j)·f[x_j, …, x_{j+order}] as a dense matrix, by the recursion of divided
    differences."""
    table = np.eye(len(x))
    for step in range(1, order + 1):
        table = (table[1:] - table[:-1]) / (x[step:] - x[:-step])[:, None]
    return math.factorial(order - 1) * (x[order:] - x[:-order])[:, None] * table


def uneven(count, seed=0):
    """Distinct x in random order, without near ties."""
    random = np.random.default_rng([count, seed])
    return random.permutation((np.arange(count) + 0.6 * random.uniform(size=count)) / count)
