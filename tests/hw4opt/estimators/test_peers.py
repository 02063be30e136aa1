"""The estimators against scikit-learn's and statsmodels', where the definitions agree; n is the number of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

pytest.importorskip("sklearn", reason="scikit-learn is not installed (the extra sklearn)")

from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    HuberRegressor,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
)

from hw4opt import Huber
from hw4opt.estimators import PenalizedKernelClassifier, PenalizedKernelRegressor, PenalizedLinearRegressor

# what scikit-learn 1.6 and 1.7 pass to SciPy 1.17
pytestmark = pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp` and `iprint`:DeprecationWarning")

N = 70
DRAW = np.random.default_rng(5)
X = DRAW.standard_normal((N, 4)) * [1.0, 2.0, 0.5, 1.0] + [0.0, 3.0, 0.0, -1.0]
Y = X @ [1.0, -0.5, 0.0, 2.0] + 3 + DRAW.standard_t(3, N)
COUNTS = DRAW.poisson(np.exp(0.3 * X[:, 0] + 0.2 * X[:, 3] + 1))
LABELS = np.where(Y + DRAW.standard_normal(N) > 0, "yes", "no")
WEIGHTS = DRAW.integers(1, 4, N).astype(float)
NEW = DRAW.standard_normal((20, 4))


def test_kernel_ridge():
    peer = KernelRidge(alpha=0.3, kernel="rbf", gamma=0.1).fit(X, Y, WEIGHTS)
    ours = PenalizedKernelRegressor(ridge=0.3, gamma=0.1, fit_intercept=False).fit(X, Y, WEIGHTS)
    assert_allclose(ours.predict(NEW), peer.predict(NEW), rtol=0, atol=1e-8 * np.ptp(Y))
    assert_allclose(ours.dual_coef_, peer.dual_coef_, rtol=0, atol=1e-8 * np.ptp(peer.dual_coef_))


def test_kernel_ridge_with_a_precomputed_gram_matrix():
    gram, new = np.exp(-0.1 * np.abs(X[:, :1] - X[:, :1].T)), np.exp(-0.1 * np.abs(NEW[:, :1] - X[:, :1].T))
    peer = KernelRidge(alpha=0.3, kernel="precomputed").fit(gram, Y)
    ours = PenalizedKernelRegressor(ridge=0.3, kernel="precomputed", fit_intercept=False).fit(gram, Y)
    assert_allclose(ours.predict(new), peer.predict(new), rtol=0, atol=1e-8 * np.ptp(Y))


PEERS = {
    "Ridge": (Ridge(alpha=2.0), {"ridge": 2.0}),
    "Ridge, no intercept": (Ridge(alpha=2.0, fit_intercept=False), {"ridge": 2.0, "fit_intercept": False}),
    "Lasso": (Lasso(alpha=0.2, tol=1e-13), {"ridge": None, "l1": 2 * N * 0.2}),
    "QuantileRegressor": (
        QuantileRegressor(quantile=0.7, alpha=0.05),
        {"loss": "quantile:tau=0.7", "ridge": None, "l1": N * 0.05},
    ),
    "PoissonRegressor": (PoissonRegressor(alpha=0.1, tol=1e-10, max_iter=1000), {"loss": "poisson", "ridge": N * 0.05}),
}


@pytest.mark.parametrize("name", PEERS)
def test_linear_peers(name):
    peer, given = PEERS[name]
    y = COUNTS if name == "PoissonRegressor" else Y
    peer.fit(X, y)
    ours = PenalizedLinearRegressor(**given).fit(X, y)
    assert_allclose(ours.predict(X), peer.predict(X), rtol=0, atol=1e-6 * np.ptp(peer.predict(X)))
    assert_allclose(ours.score(X, y), peer.score(X, y), atol=1e-6)


def test_huber_regressor_at_its_fitted_scale():
    peer = HuberRegressor(epsilon=1.5, alpha=0.2, tol=1e-9, max_iter=10_000).fit(X, Y)
    delta, ridge = peer.epsilon * peer.scale_, peer.alpha * peer.scale_
    ours = PenalizedLinearRegressor(loss=Huber(delta), ridge=ridge).fit(X, Y)
    assert_allclose(ours.predict(X), peer.predict(X), rtol=0, atol=1e-6 * np.ptp(Y))


def test_logistic_regression():
    peer = LogisticRegression(C=0.7, tol=1e-12, max_iter=10_000).fit(X, LABELS)
    ours = PenalizedKernelClassifier(kernel="polynomial:degree=1,coef0=0", gamma=1.0, ridge=1 / (2 * 0.7))
    ours.fit(X, LABELS)
    assert_allclose(ours.decision_function(NEW), peer.decision_function(NEW), rtol=0, atol=1e-5)
    assert_allclose(ours.predict_proba(NEW), peer.predict_proba(NEW), rtol=0, atol=1e-6)
    assert ours.classes_.tolist() == peer.classes_.tolist() and (ours.predict(NEW) == peer.predict(NEW)).all()


def test_isotonic_regression_is_the_limit_of_a_large_gamma():
    x = np.linspace(0, 1, 40)
    y = x + 0.3 * DRAW.standard_normal(40)
    ours = PenalizedKernelRegressor(ridge=0.25, gamma=1e6, constraints=["increasing"], fit_intercept=False)
    expected = IsotonicRegression().fit_transform(x, y) / 1.25
    assert_allclose(ours.fit(x[:, None], y).predict(x[:, None]), expected, rtol=0, atol=1e-6)


def plain(loss):
    return PenalizedLinearRegressor(loss=loss, ridge=None).fit(X, Y)


def test_least_squares_of_statsmodels():
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    peer, ours = api.OLS(Y, api.add_constant(X)).fit(), plain("squared")
    assert_allclose([ours.intercept_, *ours.coef_], peer.params, rtol=1e-9)
    assert_allclose(ours.result_.coefficient_errors().standard_errors, peer.bse, rtol=1e-9)
    assert_allclose(ours.result_.coefficient_errors("sandwich").standard_errors, peer.HC0_se, rtol=1e-9)
    assert_allclose(ours.result_.r_squared, peer.rsquared, rtol=1e-9)


def test_weights_count_as_repetitions_in_standard_errors():
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    rows = np.repeat(np.arange(N), WEIGHTS.astype(int))
    peer = api.OLS(Y[rows], api.add_constant(X[rows])).fit()
    result = PenalizedLinearRegressor(ridge=None).fit(X, Y, WEIGHTS).result_
    assert_allclose(result.coefficient_errors().standard_errors, peer.bse, rtol=1e-9)
    assert_allclose(result.coefficient_errors("sandwich").standard_errors, peer.HC0_se, rtol=1e-9)


def test_robust_linear_model_at_its_first_scale():
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    model = api.RLM(Y, api.add_constant(X), M=api.robust.norms.HuberT(1.345))
    peer = model.fit(update_scale=False, tol=1e-12, maxiter=1000)
    ours = plain(Huber(1.345 * peer.scale))
    assert_allclose([ours.intercept_, *ours.coef_], peer.params, rtol=1e-6)
    assert_allclose(ours.result_.coefficient_errors().standard_errors, peer.bse, rtol=1e-6)


@pytest.mark.parametrize("tau", [0.5, 0.3])
def test_quantile_regression_of_statsmodels(tau):
    """statsmodels stops near the optimum, ours is exact: residuals of 0 differ in sign, which has no effect at tau =
    0.5."""
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    peer = api.QuantReg(Y, api.add_constant(X)).fit(q=tau, max_iter=10_000, p_tol=1e-10)
    ours = plain(f"quantile:tau={tau}")
    assert_allclose([ours.intercept_, *ours.coef_], peer.params, rtol=1e-4, atol=1e-6)
    errors = ours.result_.coefficient_errors().standard_errors
    assert_allclose(errors, peer.bse, rtol=1e-4 if tau == 0.5 else 0.1)
