"""Effective degrees of freedom, against differences of refits and known counts; R² and the deviance explained."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from conftest import BINARY, COUNTS, STEP, TABLE, WAVE
from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Logistic,
    Poisson,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)

CASES = {
    "squared": Problem(*WAVE, RBF(2), Squared(), [Ridge(0.1)], intercept=True),
    "huber, tv": Problem(*WAVE, RBF(2), Huber(0.5), [Ridge(0.1), TotalVariation(0.1)]),
    "quantile, increasing": Problem(*WAVE, RBF(2), Quantile(0.3), [Ridge(0.1)], [Increasing()]),
    "epsilon-insensitive": Problem(*WAVE, RBF(2), EpsilonInsensitive(0.3), [Ridge(0.1)], intercept=True),
    "bounds": Problem(*WAVE, RBF(2), Squared(), [Ridge(0.1)], [Bounds(0.5, 3)]),
    "l1": Problem(*TABLE, loss=Huber(1), regularizers=[L1(9)], intercept=True),
    "weights": Problem(*WAVE, RBF(2), Squared(), [Ridge(0.1)], weights=np.linspace(0, 2, 40)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.thinned(3)
def test_the_sum_of_derivatives(name):
    problem, step, total = CASES[name], 1e-6, 0.0
    for i in range(len(problem.y)) if problem.active is None else problem.active:
        ends = [
            fit(dataclasses.replace(problem, y=problem.y + change * (np.arange(40) == i)), tol=1e-13).fitted[i]
            for change in (-step, step)
        ]
        total += (ends[1] - ends[0]) / (2 * step)
    assert_allclose(fit(problem, tol=1e-12).effective_degrees_of_freedom, total, atol=2e-3)


def test_known_counts():
    x, y = TABLE
    lasso = fit(Problem(x, y, regularizers=[L1(20)], intercept=True))
    assert_allclose(lasso.effective_degrees_of_freedom, 1 + np.count_nonzero(np.abs(lasso.coef) > 1e-9), rtol=1e-9)
    median = fit(Problem(x, y, loss=Absolute(), intercept=True))
    assert_allclose(median.effective_degrees_of_freedom, 4, rtol=1e-9)
    assert_allclose(fit(Problem(x, y, intercept=True)).effective_degrees_of_freedom, 4, rtol=1e-12)
    twice = fit(Problem(np.column_stack([x, x[:, 0]]), y, intercept=True))  # collinear
    assert_allclose(twice.effective_degrees_of_freedom, 4, rtol=1e-9)
    flat = fit(Problem(*STEP, RBF(80), Squared(), [Ridge(0.1), TotalVariation(1e4)], intercept=True))
    assert_allclose(flat.effective_degrees_of_freedom, 1, rtol=1e-9)


@pytest.mark.parametrize(("loss", "y"), [(Poisson(), COUNTS), (Logistic(), BINARY)])
def test_of_a_likelihood_it_is_the_trace_of_its_weighted_hat_matrix(loss, y):
    result = fit(Problem(TABLE[0], y, loss=loss, regularizers=[Ridge(0.5)], intercept=True))
    columns = np.column_stack([TABLE[0], np.ones(40)])
    gram = (columns.T * loss.curvature(result.fitted, loss.check_targets(y))) @ columns
    expected = np.trace(np.linalg.solve(gram + np.diag([1.0, 1, 1, 0]), gram))
    assert_allclose(result.effective_degrees_of_freedom, expected, rtol=1e-9)


def test_r_squared_counts_rows_by_their_weight():
    x, y = TABLE
    weights = np.arange(40) % 3
    result = fit(Problem(x, y, loss=Huber(1), weights=weights, intercept=True))
    rows = np.repeat(np.arange(40), weights)
    mean = y[rows].mean()
    expected = 1 - np.square(y - result.fitted)[rows].sum() / np.square(y[rows] - mean).sum()
    assert_allclose(result.r_squared, expected, rtol=1e-12)
    assert result.deviance_explained is None
    assert fit(Problem(x, np.ones(40), RBF(1), regularizers=[Ridge(0.1)])).r_squared is None


def test_deviance_explained_is_beside_the_best_constant_with_the_offset():
    offset = 0.3 * TABLE[0][:, 1]
    result = fit(Problem(TABLE[0], COUNTS, loss=Poisson(), offset=offset, intercept=True))
    level = np.log(COUNTS.sum() / np.exp(offset).sum())
    none = Poisson().deviance(level + offset, COUNTS).sum()
    assert_allclose(result.deviance_explained, 1 - Poisson().deviance(result.fitted, COUNTS).sum() / none, rtol=1e-12)
    assert result.r_squared is None
