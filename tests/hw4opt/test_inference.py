"""Standard errors of three kinds, against explicit sums and statsmodels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from hw4opt import InputError, Logistic, Poisson, Problem, Squared, fit
from hw4opt.mixture import Budget, PoissonMixture, Rows


def sample(n=300, seed=3):
    """Counts spread three times wider than Poisson counts; weights, offset."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, 2)) * [1.0, 100.0] + [0.0, 1e3]
    offset, weights = draw.uniform(-1, 1, n), draw.integers(1, 4, n).astype(float)
    mean = np.exp(0.5 + 0.3 * x[:, 0] - 0.002 * (x[:, 1] - 1e3) + offset)
    return x, 1.0 * draw.poisson(mean * draw.gamma(1.0, 1.0, n)), offset, weights


def by_sums(result, errors):
    """Row by row, without a factorisation of the library's."""
    problem = result.problem
    n = len(problem.y)
    weights = np.ones(n) if problem.weights is None else problem.weights
    slope = result.mean - problem.loss.observed(problem.loss.check_targets(problem.y))
    bend = problem.loss.curvature(result.fitted, problem.loss.check_targets(problem.y))
    information, meat, pearson = np.zeros((3, 3)), np.zeros((3, 3)), 0.0
    for i in range(n):
        row = np.array([1.0, *problem.x[i]])
        information += weights[i] * bend[i] * np.outer(row, row)
        meat += weights[i] * slope[i] ** 2 * np.outer(row, row)
        pearson += weights[i] * slope[i] ** 2 / bend[i]
    inverse = np.linalg.inv(information)
    covariance = {
        "information": inverse,
        "dispersion": inverse * pearson / (weights.sum() - 3),
        "sandwich": inverse @ meat @ inverse,
    }[errors]
    return np.sqrt(np.diagonal(covariance))


@pytest.mark.parametrize("errors", ["information", "dispersion", "sandwich"])
@pytest.mark.parametrize("loss", [Poisson(), Logistic()], ids=["poisson", "logistic"])
@pytest.mark.parametrize("standardize", [False, True])
def test_errors_are_those_of_explicit_sums(errors, loss, standardize):
    x, y, offset, weights = sample()
    y = y if isinstance(loss, Poisson) else y > 1
    result = fit(
        Problem(x, y, loss=loss, weights=weights, offset=offset, intercept=True, standardize=standardize)
    ).raise_for_status()
    assert_allclose(result.infer(errors).standard_errors, by_sums(result, errors), rtol=1e-7)


def test_a_row_of_weight_two_is_a_row_twice_for_every_kind():
    x, y, offset, weights = sample(80)
    twice = np.repeat(np.arange(80), weights.astype(int))
    one = fit(Problem(x, y, loss=Poisson(), weights=weights, offset=offset, intercept=True))
    other = fit(Problem(x[twice], y[twice], loss=Poisson(), offset=offset[twice], intercept=True))
    for errors in ("information", "dispersion", "sandwich"):
        assert_allclose(one.infer(errors).standard_errors, other.infer(errors).standard_errors, rtol=1e-8)


def test_errors_of_no_kind():
    x, y, _, _ = sample(40)
    result = fit(Problem(x, y, loss=Poisson(), intercept=True))
    with pytest.raises(InputError, match="errors is 'robust'; there are information, dispersion, sandwich"):
        result.infer("robust")
    assert fit(Problem(x, y, loss=Squared(), intercept=True)).infer("sandwich") is None
    full = fit(Problem(np.eye(3)[:, :2], [1, 2, 3], loss=Poisson(), intercept=True))
    assert full.infer("dispersion").standard_errors is None and "degrees of freedom" in full.infer("dispersion").reason


def test_statsmodels_agrees():
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    x, y, offset, _ = sample()
    columns, result = api.add_constant(x), fit(Problem(x, y, loss=Poisson(), offset=offset, intercept=True))
    model = api.GLM(y, columns, family=api.families.Poisson(), offset=offset)
    for errors, how in (("information", {}), ("dispersion", {"scale": "X2"}), ("sandwich", {"cov_type": "HC0"})):
        peer = model.fit(tol=1e-13, **how)
        assert_allclose(result.infer(errors).standard_errors, peer.bse, rtol=1e-6)


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("groups", [False, True])
def test_the_sandwich_of_a_mixture_is_that_of_differences(truncated, groups):
    """Scores and information by differences of each unit's log-density, written here; weights in."""
    draw = np.random.default_rng(4)
    x, which = draw.standard_normal((90, 1)), np.arange(90) // 3 % 2 == 0
    y = truncated + draw.poisson(np.exp(np.where(which, 2.5 + 0.4 * x[:, 0], 0.3 - 0.4 * x[:, 0]))).astype(float)
    weights, labels = draw.integers(1, 4, 90).astype(float), np.arange(90) // 3
    rows = Rows(None, weights, labels if groups else None)
    result = PoissonMixture(2, truncated=truncated, errors="sandwich", budget=Budget(24, 20)).fit(x, y, rows)
    at = np.array([*result.coef.ravel(), np.log(result.proportions[0] / result.proportions[1])])

    def densities(values):
        z = np.column_stack([np.ones(90), x]) @ values[:4].reshape(2, 2).T
        each = stats.poisson.logpmf(y[:, None], np.exp(z)) - (np.log(-np.expm1(-np.exp(z))) if truncated else 0.0)
        if groups:
            each = np.array([(weights[:, None] * each)[labels == one].sum(axis=0) for one in range(30)])
        return np.logaddexp.reduce(each + np.array([values[4], 0.0]), axis=1) - np.logaddexp(values[4], 0.0)

    of_units, h, steps = (np.ones(30) if groups else weights), 1e-4, 1e-4 * np.eye(5)
    scores = np.array([(densities(at + step) - densities(at - step)) / (2 * h) for step in steps])
    value = lambda step: of_units @ densities(at + step)  # noqa: E731
    hessian = [
        [(value(s + t) - value(s - t) - value(t - s) + value(-s - t)) / (4 * h * h) for t in steps] for s in steps
    ]
    inverse = np.linalg.inv(hessian)
    expected = np.sqrt(np.diagonal(inverse @ (scores * of_units) @ scores.T @ inverse))[:4].reshape(2, 2)
    assert_allclose(result.uncertainty.standard_errors, expected, rtol=1e-4)


def test_a_mixture_refuses_errors_of_no_kind():
    with pytest.raises(InputError, match="errors is 'robust'; there are information"):
        PoissonMixture(1, errors="robust")
