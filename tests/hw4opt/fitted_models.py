"""Fits of every kind of design, and new points for them."""

import numpy as np
import pytest

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Laplacian,
    Logistic,
    Matern32,
    Matern52,
    Polynomial,
    Precomputed,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)

N = 24
RANDOM = np.random.default_rng(1)
X = RANDOM.uniform(size=N)
WIDE = RANDOM.normal(size=(N, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
Y = np.sin(6 * X) + 0.2 * RANDOM.normal(size=N)
WEIGHTS = RANDOM.integers(0, 3, size=N).astype(float)
OFFSET = 0.3 * RANDOM.normal(size=N)
NEW = RANDOM.uniform(-0.2, 1.2, size=9)
NEW_WIDE = RANDOM.normal(size=(9, 3))

PROBLEMS = {
    "rbf": Problem(X, Y, RBF(30.0), Huber(0.4), [Ridge(0.1), TotalVariation(0.2)], [Increasing()]),
    "rbf with everything": Problem(
        X, Y, RBF(30.0), Quantile(0.3), [Ridge(0.1), Trend(0.1, order=3)], [Bounds(-1, 2)], WEIGHTS, OFFSET, True
    ),
    "a bound on one side": Problem(X, Y, RBF(3.0), Absolute(), [Ridge(0.1)], [Bounds(upper=0.5)], standardize=True),
    "laplacian": Problem(
        WIDE, Y, Laplacian(0.3), EpsilonInsensitive(0.05), [Ridge(0.1)], standardize=True, intercept=True
    ),
    "matern32": Problem(X, Y, Matern32(5.0), Absolute(), [Ridge(0.1)], [Increasing(column=0)]),
    "matern52": Problem(WIDE, Y, Matern52(0.2), Squared(), [Ridge(0.1)], weights=WEIGHTS, standardize=True),
    "polynomial": Problem(X, Y, Polynomial(0.7, 5, 2.0), Squared(), [Ridge(0.01)]),
    "precomputed": Problem(
        RBF(9.0).gram(X[:, None], X[:, None]), Y, Precomputed(), Huber(0.4), [Ridge(0.1)], weights=WEIGHTS
    ),
    "logistic": Problem(
        X, Y > 0, RBF(30.0), Logistic(), [Ridge(0.1), TotalVariation(0.1)], weights=WEIGHTS, offset=OFFSET
    ),
    "linear": Problem(
        WIDE, Y, None, Huber(0.4), [Ridge(0.1), L1(0.2)], [Increasing(column=1)], WEIGHTS, OFFSET, True, True
    ),
}
FITS = {}


def fitted(name):
    """One fit per problem, shared by the tests of this module."""
    if name not in FITS:
        FITS[name] = fit(PROBLEMS[name])
    return FITS[name]


def new_points(name):
    if name == "precomputed":
        return RBF(9.0).gram(NEW[:, None], X[:, None])
    return NEW_WIDE if PROBLEMS[name].x.shape[1] == 3 else NEW


every_problem = pytest.mark.parametrize("name", PROBLEMS)
