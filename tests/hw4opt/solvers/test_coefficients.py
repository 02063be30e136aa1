"""Constraints on the coefficients of a linear design, against scipy, cvxpy and refits without a row."""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import lsq_linear, nnls

from hw4opt import L1, RBF, CoefBounds, CoefNonnegative, Huber, InputError, Problem, RefusedError, Result, Ridge, fit
from hw4opt.selection import leave_one_out, score_settings

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((60, 5)) * [1, 100, 1e-3, 1, 5] + [0, 50, 0, 3, 0]
Y = X @ [1, -0.02, 300, 0.5, -0.1] + DRAW.standard_normal(60)
LOW, HIGH = -0.01, 0.4
SOLVERS = ["auto", "admm", "proximal", "cvxpy:CLARABEL"]


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_coef_nonnegative_is_nnls(solver, standardize):
    result = fit(Problem(X, Y, constraints=[CoefNonnegative()], standardize=standardize), solver).raise_for_status()
    expected, norm = nnls(X, Y)
    assert abs(result.objective - norm**2) <= result.certificate.gap + 1e-9 * norm**2
    assert_allclose(result.coef * X.std(axis=0), expected * X.std(axis=0), atol=1e-6)
    assert result.coef.min() >= 0 and result.coef[1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(
    "solver", [pytest.param(one, marks=pytest.mark.slow) if one == "proximal" else one for one in SOLVERS]
)
def test_coef_bounds_are_of_the_raw_columns(solver, standardize):
    result = fit(Problem(X, Y, constraints=[CoefBounds(LOW, HIGH)], standardize=standardize), solver).raise_for_status()
    expected = lsq_linear(X, Y, (LOW, HIGH), tol=1e-14)
    assert abs(result.objective - 2 * expected.cost) <= result.certificate.gap + 1e-9 * expected.cost
    assert_allclose(
        result.coef * X.std(axis=0), expected.x * X.std(axis=0), atol=2e-4 if solver == "proximal" else 1e-6
    )
    assert result.coef.min() >= LOW - 1e-12 and result.coef.max() <= HIGH + 1e-12


def test_with_an_intercept_a_loss_and_l1_it_is_cvxpys():
    """The intercept is not bounded; l1 and ridge stay in units of the standardised columns."""
    terms = [Ridge(0.3), L1(2.0)]
    problem = Problem(
        X,
        Y - 9,
        loss=Huber(1),
        regularizers=terms,
        constraints=[CoefBounds(upper=HIGH)],
        intercept=True,
        standardize=True,
    )
    result = fit(problem).raise_for_status()
    z, w, b = (X - X.mean(axis=0)) / X.std(axis=0), cp.Variable(5), cp.Variable()
    cost = cp.sum(cp.huber(z @ w + b - Y + 9, 1)) + 0.3 * cp.sum_squares(w) + 2 * cp.norm1(w)
    model = cp.Problem(cp.Minimize(cost), [w <= HIGH * X.std(axis=0)])
    model.solve(solver=cp.CLARABEL, tol_gap_rel=1e-12, tol_gap_abs=1e-12, tol_feas=1e-12)
    assert result.objective == pytest.approx(model.value, rel=1e-9)
    assert_allclose(result.coef * X.std(axis=0), w.value, atol=1e-5)
    assert result.intercept < 0


def test_held_out_fits_are_refits_without_the_row():
    problem = Problem(X[:20], Y[:20], regularizers=[Ridge(0.1)], constraints=[CoefNonnegative()], intercept=True)
    score = score_settings([problem], leave_one_out(20))[0]
    for row in (0, 7, 19):
        kept = np.delete(np.arange(20), row)
        alone = fit(
            Problem(X[kept], Y[kept], regularizers=[Ridge(0.1)], constraints=[CoefNonnegative()], intercept=True)
        )
        assert score.predictions[row] == pytest.approx(alone.predict(X[row : row + 1])[0], abs=1e-6)


def test_a_model_file_keeps_them(tmp_path):
    result = fit(Problem(X, Y, constraints=[CoefBounds(lower=LOW), CoefNonnegative()], standardize=True))
    result.save(tmp_path / "m.json")
    loaded = Result.load(tmp_path / "m.json")
    assert loaded.verify().relative_gap == pytest.approx(result.certificate.relative_gap, rel=1e-3)
    assert set(loaded.duals) == {"squared", "coef_bounds", "coef_nonnegative"}
    assert_allclose(loaded.coef, result.coef)


def test_they_are_refused_where_they_mean_nothing():
    with pytest.raises(RefusedError, match="coef_nonnegative acts on coefficients and needs a linear design"):
        fit(Problem(X[:, 0], Y, RBF(1.0), regularizers=[Ridge()], constraints=[CoefNonnegative()]))
    with pytest.raises(
        InputError, match="coef_nonnegative asks for every coefficient ≥ 0 and coef_bounds for every coefficient ≤ -1"
    ):
        Problem(X, Y, constraints=[CoefNonnegative(), CoefBounds(upper=-1)])
