"""Prediction intervals beside those of MAPIE's cross-conformal regressor: from the same fold predictions, and from
refits of its own."""

import numpy as np
import pytest
from mapie.regression import CrossConformalRegressor
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import LeaveOneOut, PredefinedSplit

from hw4opt import (
    RBF,
    Absolute,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Poisson,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)
from hw4opt.inference import intervals
from hw4opt.selection import select

LEVELS = [0.9, 0.8, 0.5, 0.35]
DRAW = np.random.default_rng(8)
X = np.round(DRAW.uniform(0, 1, 36), 2)  # some x are equal
X[[5, 6]] = X[20]
Y = np.sin(6 * X) + X + 0.3 * DRAW.standard_t(2, 36)
Y[[3, 4]] = Y[30]
NEW = np.linspace(-0.1, 1.1, 25)
COUNTS = np.floor(np.exp(1 + np.clip(Y, -1, 2)))


def curve(loss, *others, constraints=(), y=Y, **more):
    return Problem(X, y, RBF(8.0), loss, [Ridge(0.2), *others], constraints, **more)


CASES = {
    "squared": curve(Squared()),
    "squared, intercept": curve(Squared(), intercept=True),
    "huber": curve(Huber(0.3)),
    "huber, tv": curve(Huber(0.3), TotalVariation(0.1)),
    "absolute": curve(Absolute()),
    "quantile": curve(Quantile(0.7)),
    "epsilon-insensitive": curve(EpsilonInsensitive(0.2)),
    "increasing": curve(Huber(0.3), constraints=[Increasing()]),
    "poisson": curve(Poisson(), y=COUNTS),
}


class KeptFits(RegressorMixin, BaseEstimator):
    """Predicts by the fit that was kept without the rows that are missing in `fit`; the first column is the row."""

    def __init__(self, result=None):
        self.result = result

    def fit(self, x, y):
        fits = self.result.problem.held_out
        missing = np.setdiff1d(np.arange(len(fits.fold_of)), x[:, 0].astype(int))
        self.w_ = self.result.w if not len(missing) else fits.w[fits.fold_of[missing[0]]]
        return self

    def predict(self, x):
        problem = self.result.problem
        z = problem.design.evaluate(problem.features(x[:, 1:])) @ self.w_ + problem.level
        return problem.loss.mean(z) if isinstance(problem.loss, Poisson) else z


class Refits(RegressorMixin, BaseEstimator):
    """A fit of its own of whatever rows it is given."""

    def __init__(self, problem=None):
        self.problem = problem

    def fit(self, x, y):
        self.result_ = fit(self.problem.model.on(self.problem.model.data_of(x, y)), tol=1e-13)
        return self

    def predict(self, x):
        return self.result_.predict_mean(x)


def mapies(estimator, cv, method, x, y, new):
    regressor = CrossConformalRegressor(estimator, confidence_level=LEVELS, method=method, cv=cv)
    return regressor.fit_conformalize(x, y).predict_interval(new, aggregate_point_predictions=None)


def kept(problem, folds, **how):
    return fit(select(problem, [], method=folds, keep_folds=True, **how).problem, tol=1e-13)


FOLDS = {
    "loo": ("loo", {}),
    "loo:x": ("loo:x", {}),
    "kfold:5": ("kfold:5", {}),
    "groups": ("kfold:4", {"groups": np.arange(36) // 3}),
}


@pytest.mark.parametrize("method", intervals.METHODS)
@pytest.mark.parametrize("folds", FOLDS)
@pytest.mark.parametrize("name", ["squared, intercept", "huber, tv", "increasing", "poisson"])
def test_from_the_same_fold_predictions(name, folds, method):
    word, more = FOLDS[folds]
    result = kept(CASES[name], word, **more)
    rows = np.column_stack([np.arange(36), X])
    cv = PredefinedSplit(result.problem.held_out.fold_of)
    points, ends = mapies(KeptFits(result), cv, method, rows, result.problem.y, np.column_stack([0 * NEW, NEW]))
    own_points, own_ends = result.predict_interval(NEW, LEVELS, method)
    assert own_points.shape == points.shape == (25,) and own_ends.shape == ends.shape == (25, 2, 4)
    assert_allclose(own_points, points, rtol=0, atol=1e-10)
    assert_allclose(own_ends, ends, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", intervals.METHODS)
@pytest.mark.parametrize("name", CASES)
def test_from_its_own_refits(name, method):
    problem = CASES[name]
    result = kept(problem, "loo")
    points, ends = mapies(Refits(problem), LeaveOneOut(), method, X[:, None], problem.y, NEW[:, None])
    own_points, own_ends = result.predict_interval(NEW, LEVELS, method)
    near = (1e-8 if isinstance(problem.loss, Squared) else 1e-6) * np.std(problem.y)
    assert_allclose(own_points, points, rtol=0, atol=near)
    assert_allclose(own_ends, ends, rtol=0, atol=near)


def test_weights_are_those_of_the_fits_alone():
    """As MAPIE has it, too: every row counts as one, whatever its weight."""
    weights = 1.0 + np.arange(36) % 3
    result = kept(curve(Huber(0.3), weights=weights), "kfold:5")
    rows, cv = np.column_stack([np.arange(36), X]), PredefinedSplit(result.problem.held_out.fold_of)
    _, ends = mapies(KeptFits(result), cv, "plus", rows, Y, np.column_stack([0 * NEW, NEW]))
    assert_allclose(result.predict_interval(NEW, LEVELS)[1], ends, rtol=0, atol=1e-10)
