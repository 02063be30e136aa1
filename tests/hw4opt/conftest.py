"""The library of reference problems that the suites share, the oracle they are judged by, and Hypothesis' profiles."""

import os
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Laplacian,
    Logistic,
    Matern32,
    Matern52,
    Nonnegative,
    Poisson,
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
from hw4opt.solvers import cvxpy as compiled

settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
settings.register_profile("explore", settings.get_profile("ci"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="module")
def client():
    """That of a Dask scheduler with two worker processes."""
    distributed = pytest.importorskip("distributed", reason="Dask needs distributed, an extra")
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    # a check 15 s after one test killed a worker would give it up if another has just killed it again
    patient = {"distributed.deploy.lost-worker-timeout": "10m"}
    with (
        import_module("dask.config").set(patient),
        distributed.LocalCluster(**workers) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


def step_data(n=50, seed=0):
    """contract.md's words: the assignment's x, y and true f."""
    x = np.arange(n) / (n - 1)
    f = 10.0 * sum(x >= k / 5 for k in range(1, 5))
    y = f + np.random.default_rng(seed).standard_normal(n)
    y[24] = 0.0
    return x, y, f


def wave(n=40, seed=1):
    """Unsorted x with a smooth rising signal, noise and two outliers."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(0, 3, n)
    y = x + np.sin(2 * x) / 2 + 0.2 * draw.standard_normal(n)
    y[[3, 17]] += 4
    return x, y


def table(n=40, d=3, seed=2):
    """Several columns with a linear signal, a level and heavy-tailed noise."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, d))
    return x, x @ [1.0, -2.0, 0.0][:d] + 3 + 0.5 * draw.standard_t(3, n)


def surface(n=36, seed=3):
    """Two columns; rises along the first, save for noise."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(-1, 1, (n, 2))
    return x, x[:, 0] - x[:, 1] ** 2 + 0.3 * draw.standard_normal(n)


STEP, WAVE, TABLE, SURFACE = step_data()[:2], wave(), table(), surface()
DRAW = np.random.default_rng(4)
LABELS = np.sign(np.sin(3 * WAVE[0]) + 0.8 * DRAW.standard_normal(40))
BINARY = 1.0 * (TABLE[1] + 2 * DRAW.standard_normal(40) > 3)
WEIGHTS = DRAW.uniform(0.2, 2, 40) * (DRAW.uniform(size=40) > 0.2)
COUNTS = 1.0 * DRAW.poisson(np.exp(TABLE[0] @ [0.5, -0.4, 0.0] + 1))
PLAYS = 1.0 * DRAW.poisson(np.exp(WAVE[0] + np.sin(2 * WAVE[0])))
GRAM = np.exp(-2 * np.abs(WAVE[0][:, None] - WAVE[0]))

ASSIGNMENT = {
    "squared": Problem(*STEP, RBF(81.42), Squared(), [Ridge(0.13)]),
    "huber": Problem(*STEP, RBF(53.73), Huber(1), [Ridge(0.01)]),
    "tv": Problem(*STEP, RBF(79.03), Squared(), [Ridge(0.36), TotalVariation(0.38)]),
    "monotone": Problem(*STEP, RBF(80), Squared(), [Ridge(0.1)], [Increasing()]),
}
REFERENCES = ASSIGNMENT | {
    "huber, tv": Problem(*STEP, RBF(79), Huber(1), [Ridge(0.38), TotalVariation(0.36)]),
    "tv, trend 2": Problem(*WAVE, RBF(5), Squared(), [Ridge(0.1), TotalVariation(0.1), Trend(0.02)]),
    "trend 3": Problem(*WAVE, RBF(5), Huber(0.5), [Ridge(0.1), Trend(0.01, order=3)]),
    "lasso": Problem(*TABLE, loss=Squared(), regularizers=[L1(5)], intercept=True),
    "least squares": Problem(*TABLE, intercept=True),
    "l1, huber, ridge": Problem(*TABLE, loss=Huber(0.5), regularizers=[L1(5), Ridge(0.1)], intercept=True),
    "absolute, linear": Problem(*TABLE, loss=Absolute(), intercept=True),
    "absolute, intercept": Problem(*WAVE, RBF(2), Absolute(), [Ridge(0.1)], intercept=True),
    "quantile, intercept": Problem(*WAVE, RBF(2), Quantile(0.9), [Ridge(0.1)], intercept=True),
    "epsilon-insensitive, intercept": Problem(*WAVE, RBF(2), EpsilonInsensitive(0.3), [Ridge(0.1)], intercept=True),
    "logistic": Problem(WAVE[0], LABELS, RBF(1), Logistic(), [Ridge(0.1)]),
    "logistic, linear": Problem(TABLE[0], BINARY, loss=Logistic(), intercept=True),
    "logistic, tv": Problem(WAVE[0], LABELS, RBF(1), Logistic(), [Ridge(0.3), TotalVariation(0.5)]),
    "counts": Problem(TABLE[0], COUNTS, loss=Poisson(), intercept=True),
    "counts, ridge": Problem(TABLE[0], COUNTS, loss=Poisson(), regularizers=[Ridge(0.5)], intercept=True),
    "counts, offset and weights": Problem(
        TABLE[0], COUNTS, loss=Poisson(), weights=WEIGHTS, offset=0.3 * TABLE[0][:, 1], intercept=True
    ),
    "counts, l1": Problem(TABLE[0], COUNTS, loss=Poisson(), regularizers=[L1(3)], intercept=True),
    "counts, curve": Problem(WAVE[0], PLAYS, RBF(1), Poisson(), [Ridge(0.1)]),
    "counts, tv": Problem(WAVE[0], PLAYS, RBF(1), Poisson(), [Ridge(0.1), TotalVariation(0.5)]),
    "counts, increasing": Problem(WAVE[0], PLAYS, RBF(1), Poisson(), [Ridge(0.1)], [Increasing()]),
    "counts of at least 1": Problem(
        TABLE[0], COUNTS + 1, loss=Poisson(truncated=True), weights=WEIGHTS, offset=0.3 * TABLE[0][:, 1], intercept=True
    ),
    "counts of at least 1, l1": Problem(
        TABLE[0], COUNTS + 1, loss=Poisson(truncated=True), regularizers=[L1(3)], intercept=True
    ),
    "counts of at least 1, increasing": Problem(
        WAVE[0], PLAYS + 1, RBF(1), Poisson(truncated=True), [Ridge(0.1)], [Increasing()]
    ),
    "increasing, bounds": Problem(*WAVE, RBF(2), Huber(0.5), [Ridge(0.1)], [Increasing(), Bounds(0.2, 3)]),
    "decreasing, linear": Problem(
        WAVE[0], -WAVE[1], loss=Absolute(), regularizers=[Ridge(0.1)], constraints=[Decreasing()], intercept=True
    ),
    "convex": Problem(WAVE[0], (WAVE[0] - 1) ** 2 + 0.1 * WAVE[1], RBF(1), Squared(), [Ridge(0.1)], [Convex()]),
    "concave, increasing": Problem(*WAVE, Matern52(1), Squared(), [Ridge(0.1)], [Concave(), Increasing()]),
    "nonnegative": Problem(WAVE[0], WAVE[1] - 0.7, RBF(2), Squared(), [Ridge(0.5)], [Nonnegative()]),
    "slopes along columns": Problem(*SURFACE, RBF(1), Squared(), [Ridge(0.1)], [Increasing(0), Decreasing(1)]),
    "weights, ties": Problem(
        np.round(WAVE[0], 1), WAVE[1], RBF(5), Huber(0.5), [Ridge(0.1), TotalVariation(0.1)], weights=WEIGHTS
    ),
    "matern32": Problem(*WAVE, Matern32(2), Quantile(0.3), [Ridge(0.1), TotalVariation(0.1)]),
    "laplacian": Problem(*SURFACE, Laplacian(1), EpsilonInsensitive(0.2), [Ridge(0.1)]),
    "polynomial, offset": Problem(*SURFACE, Polynomial(0.5, 3, 1), Absolute(), [Ridge(0.1)], offset=SURFACE[0][:, 1]),
    "precomputed": Problem(GRAM, WAVE[1], Precomputed(), Huber(0.5), [Ridge(0.1)], weights=WEIGHTS),
    "upper bound, offset": Problem(
        *WAVE, Polynomial(1, 2, 1), Squared(), [Ridge(0.1)], [Bounds(upper=2.5)], offset=0.3 * WAVE[0]
    ),
}


@pytest.fixture(scope="session")
def references():
    return REFERENCES


@pytest.fixture(params=REFERENCES)
def reference(request):
    """(name, problem) of every reference problem in turn."""
    return request.param, REFERENCES[request.param]


@pytest.fixture(params=ASSIGNMENT)
def variant(request):
    """(name, problem) of the four variants of the assignment's problem 2."""
    return request.param, ASSIGNMENT[request.param]


@pytest.fixture(scope="session")
def oracle():
    """problem → the compiled model's answer by Clarabel at 1e-12, remembered for the problems that stay."""
    known = {}

    def solve(problem):
        if id(problem) not in known:
            tight = {
                name: 1e-12 if name.startswith("tol") else value
                for name, value in compiled.CVXPY_SETTINGS["CLARABEL"].items()
            }
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(compiled.CVXPY_SETTINGS, "CLARABEL", tight)
                known[id(problem)] = problem, fit(problem, "cvxpy:CLARABEL")
        return known[id(problem)][1]

    return solve


def pytest_collection_modifyitems(items):
    """One backend takes half a minute for one problem."""
    for item in items:
        if "[counts of at least 1, increasing-cvxpy:SCS]" in item.name:
            item.add_marker(pytest.mark.slow)
