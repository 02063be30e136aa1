"""Problems over 14 rows with ties, outliers and weights of 0, and their refits without a row."""

import dataclasses

import numpy as np
from numpy.testing import assert_allclose

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
    Matern52,
    Nonnegative,
    Poisson,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.selection import leave_one_out, score_settings

NEAR = 1e-6  # standard deviations of y between a held-out prediction and the refit's


def rough(n=14, seed=0):
    """Unsorted x with ties (also at both ends), a rising signal with noise, two outliers, weights of which two are
    0."""
    draw = np.random.default_rng(seed)
    x = np.round(draw.uniform(0, 3, n), 1)
    x[1], x[4] = x.min(), x[7]
    y = x + 0.5 * np.sin(2 * x) + 0.2 * draw.standard_normal(n)
    y[[3, n - 2]] += [4, -3]
    weights = draw.uniform(0.2, 2, n)
    weights[[2, 9]] = 0
    return x, y, weights


X, Y, W = rough()
WIDE = np.random.default_rng(5).standard_normal((14, 3))
LINE = WIDE @ [1.0, -2.0, 0.0] + 1 + 0.5 * np.random.default_rng(6).standard_t(2, 14)
COUNTS = np.floor(3 * np.clip(Y, 0, 6))
LABELS = np.where(np.median(Y) < Y, 1.0, -1.0)


def curve(loss, *others, ridge=0.1, constraints=(), kernel=None, y=Y, weights=None):
    return Problem(X, y, RBF(5) if kernel is None else kernel, loss, [Ridge(ridge), *others], constraints, weights)


CASES = {
    "squared": curve(Squared()),
    "squared, ridge 1e-4, weights": curve(Squared(), ridge=1e-4, weights=W),
    "huber": curve(Huber(0.3), weights=W),
    "huber, ridge 1e-4": curve(Huber(0.3), ridge=1e-4),
    "absolute": curve(Absolute()),
    "absolute, weights": curve(Absolute(), ridge=0.01, weights=W),
    "quantile": curve(Quantile(0.8), weights=W),
    "epsilon-insensitive": curve(EpsilonInsensitive(0.2)),
    "epsilon-insensitive, ridge 1e-4": curve(EpsilonInsensitive(0.2), ridge=1e-4, weights=W),
    "logistic": curve(Logistic(), y=LABELS, weights=W),
    "logistic, tv": curve(Logistic(), TotalVariation(0.2), y=LABELS),
    "logistic, increasing": curve(Logistic(), y=LABELS, constraints=[Increasing()]),
    "logistic, ridge 1e-3, matern": curve(Logistic(), y=LABELS, ridge=1e-3, kernel=Matern52(1)),
    "logistic, linear, intercept": Problem(
        WIDE, LABELS, loss=Logistic(), regularizers=[Ridge(0.1)], intercept=True, weights=W
    ),
    "poisson": curve(Poisson(), y=COUNTS, weights=W),
    "truncated": curve(Poisson(truncated=True), y=COUNTS + 1, weights=W),
    "truncated, linear": Problem(
        WIDE, COUNTS + 1, loss=Poisson(truncated=True), regularizers=[Ridge(0.1)], intercept=True
    ),
    "poisson, tv": curve(Poisson(), TotalVariation(0.2), y=COUNTS),
    "poisson, linear, offset": Problem(
        WIDE, COUNTS, loss=Poisson(), regularizers=[Ridge(0.1)], intercept=True, offset=np.log1p(X), weights=W
    ),
    "tv": curve(Squared(), TotalVariation(0.4), weights=W),
    "tv, ridge 1e-4": curve(Squared(), TotalVariation(2), ridge=1e-4),
    "huber, tv": curve(Huber(0.3), TotalVariation(0.4)),
    "absolute, tv": curve(Absolute(), TotalVariation(0.2), weights=W),
    "quantile, tv": curve(Quantile(0.3), TotalVariation(0.1), kernel=Laplacian(1)),
    "trend 2": curve(Squared(), Trend(0.05)),
    "huber, tv, trend 2": curve(Huber(0.3), TotalVariation(0.1), Trend(0.02), weights=W),
    "absolute, trend 2": curve(Absolute(), Trend(0.05)),
    "trend 3": curve(Squared(), Trend(0.02, order=3)),
    "increasing": curve(Squared(), constraints=[Increasing()], weights=W),
    "increasing, ridge 1e-4": curve(Squared(), ridge=1e-4, constraints=[Increasing()]),
    "huber, increasing, bounds": curve(Huber(0.3), constraints=[Increasing(), Bounds(0.2, 2.5)]),
    "absolute, increasing": curve(Absolute(), constraints=[Increasing()]),
    "convex": curve(Squared(), constraints=[Convex()]),
    "huber, convex": curve(Huber(0.3), constraints=[Convex()], weights=W),
    "concave, increasing": curve(Squared(), constraints=[Concave(), Increasing()], kernel=Matern52(1)),
    "decreasing, tv": curve(Squared(), TotalVariation(0.3), constraints=[Decreasing()], y=-Y),
    "bounds": curve(Squared(), constraints=[Bounds(0.5, 2)]),
    "absolute, nonnegative": curve(Absolute(), constraints=[Nonnegative()], y=Y - 1, weights=W),
    "nonnegative": curve(Squared(), constraints=[Nonnegative()], y=Y - 1),
    "kernel, intercept": Problem(X, Y, RBF(2), Huber(0.3), [Ridge(0.1)], intercept=True, weights=W),
    "linear, l1, ridge": Problem(WIDE, LINE, loss=Huber(0.5), regularizers=[L1(2), Ridge(0.1)]),
    "linear, l1, intercept": Problem(WIDE, LINE, loss=Squared(), regularizers=[L1(2)], intercept=True),
    "linear, absolute, ridge": Problem(WIDE, LINE, loss=Absolute(), regularizers=[Ridge(0.1)], weights=W),
    "two columns": Problem(WIDE[:, :2], LINE, RBF(0.5), Squared(), [Ridge(0.1)], [Increasing(0), Decreasing(1)]),
    "offset": Problem(X, Y, RBF(5), Huber(0.3), [Ridge(0.1), TotalVariation(0.2)], [Bounds(upper=1.5)], offset=0.5 * X),
}
ORACLE = ["huber, ridge 1e-4", "epsilon-insensitive", "huber, tv, trend 2", "increasing, ridge 1e-4",
          "absolute, nonnegative", "linear, l1, intercept"]  # fmt: skip


def without(problem, rows):
    """The problem of the rows that remain: nothing of the others is left."""
    kept = np.delete(np.arange(len(problem.y)), rows)
    columns = {name: getattr(problem, name) for name in ("weights", "offset")}
    columns = {name: None if column is None else column[kept] for name, column in columns.items()}
    return dataclasses.replace(problem, x=problem.x[kept], y=problem.y[kept], **columns)


def refits(problem, solve, folds=None):
    """Held-out predictions of f + offset, each from a problem of its own; NaN where the weight is 0."""
    active = np.arange(len(problem.y)) if problem.active is None else problem.active
    predicted = np.full(len(problem.y), np.nan)
    for held in active[:, None] if folds is None else [active[fold] for fold in folds]:
        result = solve(without(problem, held))
        predicted[held] = result.predict(problem.x[held]) + (0 if problem.offset is None else problem.offset[held])
    return predicted


def tight(problem):
    result = fit(problem, tol=1e-12)
    assert result.certificate.gap is not None and result.certificate.gap <= 1e-12 * abs(result.objective)
    return result


def loo(problem):
    active = len(problem.y) if problem.active is None else len(problem.active)
    return score_settings([problem], leave_one_out(active))[0]


def agree(problem, found, expected):
    assert np.array_equal(
        np.isnan(found), problem.weights == 0 if problem.weights is not None else np.zeros(len(found), dtype=bool)
    )
    assert_allclose(found, expected, rtol=0, atol=NEAR * np.std(problem.y))


def small(n=24, seed=1):
    draw = np.random.default_rng(seed)
    x = np.sort(draw.uniform(0, 1, n))
    return Problem(x, np.sin(6 * x) + 0.2 * draw.standard_normal(n), RBF(10), Huber(0.5), [Ridge(0.1)])


SMALL = small()
