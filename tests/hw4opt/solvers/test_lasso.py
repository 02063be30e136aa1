"""l1: exact zeros from every solver, still certified, and many columns in seconds; scikit-learn's Lasso is the other
witness."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Lasso

from hw4opt import L1, Bounds, CoefBounds, CoefNonnegative, Huber, Logistic, Poisson, Problem, Ridge, fit, fit_batch


def sparse_data(n, p, seed=0):
    draw = np.random.default_rng(seed)
    x, coef = draw.standard_normal((n, p)), np.zeros(p)
    coef[:10] = 3 * draw.standard_normal(10)
    return x, x @ coef + draw.standard_normal(n) + 4


def largest(x, y):
    """The weight from which every coefficient is 0."""
    return 2 * np.abs(x.T @ (y - y.mean())).max()


def scikit_learn(x, y, weight):
    """Its Lasso, which minimises ‖y - Xw - b‖²/(2n) + alpha ‖w‖₁, at a duality gap of next to nothing."""
    return Lasso(alpha=weight / (2 * len(y)), tol=1e-13, max_iter=100_000).fit(x, y)


@pytest.mark.parametrize("solver", ["interior", "admm", "proximal", "cvxpy:CLARABEL", "cvxpy:OSQP"])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_zeros_are_exact_whoever_solves(solver, share):
    x, y = sparse_data(60, 30)
    weight = share * largest(x, y)
    result = fit(Problem(x, y, regularizers=[L1(weight)], intercept=True), solver).raise_for_status()
    other = scikit_learn(x, y, weight)
    assert_array_equal(np.flatnonzero(result.coef), np.flatnonzero(other.coef_))
    assert_allclose(result.coef, other.coef_, atol=1e-3 if solver == "cvxpy:OSQP" else 1e-5)
    assert result.verify().relative_gap == pytest.approx(result.certificate.relative_gap, abs=1e-15)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("loss", [Huber(1), Poisson(), Logistic()])
def test_zeros_are_those_of_the_duals(loss, standardize):
    """A coefficient is 0 exactly where its dual lies strictly inside ±weight."""
    x, y = sparse_data(80, 12, seed=1)
    y = np.round(np.exp(0.2 * y)) if isinstance(loss, Poisson) else 1.0 * (y > 4) if isinstance(loss, Logistic) else y
    problem = Problem(
        x * 10.0 ** (np.arange(12) % 4),
        y,
        loss=loss,
        regularizers=[L1(15.0), Ridge(0.01)],
        intercept=True,
        standardize=standardize,
    )
    result = fit(problem).raise_for_status()
    inside = np.abs(result.duals["l1"]) < 15 * (1 - 1e-7)
    assert_array_equal(result.coef == 0, inside)
    assert standardize <= inside.sum() < 12


def test_weight_zero_makes_no_zeros():
    x, y = sparse_data(60, 12)
    assert (fit(Problem(x, y, regularizers=[L1(0.0)], intercept=True)).coef != 0).all()


def test_ends_of_bounds_on_coefficients_are_exact():
    x, y = sparse_data(60, 12)
    result = fit(
        Problem(x, y, constraints=[CoefBounds(-1.0, 2.0)], intercept=True, standardize=True)
    ).raise_for_status()
    assert {-1.0, 2.0} <= set(result.coef.round(15).tolist())
    assert (fit(Problem(x, y, constraints=[CoefNonnegative()])).coef == 0).any()


@pytest.mark.parametrize(("n", "p"), [(60, 400), (400, 120)])
@pytest.mark.parametrize("solver", ["auto", "admm", "proximal"])
def test_many_columns_are_solved_over_few(n, p, solver):
    x, y = sparse_data(n, p)
    weight = 0.1 * largest(x, y)
    result = fit(Problem(x, y, regularizers=[L1(weight)], intercept=True), solver).raise_for_status()
    other = scikit_learn(x, y, weight)
    assert_array_equal(np.flatnonzero(result.coef), np.flatnonzero(other.coef_))
    assert result.objective == pytest.approx(
        np.square(y - other.predict(x)).sum() + weight * np.abs(other.coef_).sum(), rel=1e-6
    )


def test_sets_of_columns_serve_other_terms_batches_and_losses():
    """Beside bounds of the fit, a ridge, weights, and for several weights of l1 at once: what one gets over all
    columns."""
    x, y = sparse_data(50, 130)
    rows = dict(constraints=[Bounds(upper=float(np.quantile(y, 0.8)))], intercept=True, weights=np.linspace(0, 2, 50))
    problems = [
        Problem(x, y, loss=Huber(1), regularizers=[L1(weight), Ridge(0.01)], **rows) for weight in (3.0, 10.0, 30.0)
    ]
    batch = fit_batch(problems)
    for problem, one in zip(problems, batch, strict=True):
        assert one.raise_for_status().objective == pytest.approx(fit(problem, "cvxpy:CLARABEL").objective, rel=1e-6)
    counts = np.random.default_rng(0).poisson(np.exp(0.3 * x[:, 0] + 1))
    result = fit(Problem(x, counts, loss=Poisson(), regularizers=[L1(8.0)], intercept=True)).raise_for_status()
    assert_array_equal(result.coef == 0, np.abs(result.duals["l1"]) < 8 * (1 - 1e-7))
    assert 0 < np.count_nonzero(result.coef) < 50


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_five_thousand_columns_take_seconds(share):
    x, y = sparse_data(200, 5_000)
    weight = share * largest(x, y)
    started = time.perf_counter()
    result = fit(Problem(x, y, regularizers=[L1(weight)], intercept=True)).raise_for_status()
    assert time.perf_counter() - started < 20  # about 2 s on a core of its own
    other = scikit_learn(x, y, weight)
    assert_array_equal(np.flatnonzero(result.coef), np.flatnonzero(other.coef_))
    assert result.objective == pytest.approx(
        np.square(y - other.predict(x)).sum() + weight * np.abs(other.coef_).sum(), rel=1e-9
    )
