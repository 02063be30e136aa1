"""The assignment's problem 2, word for word: full Gram matrix, α the unknown, D as printed. Only the fits come from
hw4opt."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.kernel_ridge import KernelRidge

from hw4opt import RBF, Huber, Laplacian, Polynomial, Problem, Ridge, Squared, TotalVariation, fit
from hw4opt.design import Design
from hw4opt.terms import Differences

N = 50
I = np.arange(1, N + 1)
X = (I - 1) / (N - 1)
F = 10.0 * ((X >= 1 / 5).astype(float) + (X >= 2 / 5) + (X >= 3 / 5) + (X >= 4 / 5))
Y = np.where(I != 25, F + np.random.default_rng(0).standard_normal(N), 0.0)
PARAMETERS = {"squared": (81.42, 0.13), "huber": (53.73, 0.01), "tv": (79.03, 0.36), "monotone": (80.0, 0.1)}
LAMBDA_1 = 0.38
SOLVERS = ["interior", "admm", "proximal", "cvxpy:CLARABEL"]


def gram(gamma):
    return np.array([[np.exp(-gamma * (s - t) ** 2) for t in X] for s in X])


def differences():
    D = np.zeros((N - 1, N))
    for i in range(N - 1):
        for j in range(N):
            D[i, j] = -1 if i == j else 1 if i == j - 1 else 0
    return D


def literal(name):
    """minimise over α, as in the assignment's listing with its faults put right; the optimal value."""
    gamma, ridge = PARAMETERS[name]
    K, D, a = gram(gamma), differences(), cp.Variable(N)
    loss = cp.sum(cp.huber(Y - K @ a)) if name == "huber" else cp.sum_squares(Y - K @ a)
    penalty = ridge * cp.quad_form(a, cp.psd_wrap(K)) + (LAMBDA_1 * cp.norm1(D @ K @ a) if name == "tv" else 0)
    model = cp.Problem(cp.Minimize(loss + penalty), [D @ K @ a >= 0] if name == "monotone" else [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "solution may be inaccurate": K is singular in double precision
        model.solve(solver="CLARABEL")
    assert model.status in ("optimal", "optimal_inaccurate")
    return model.value


def value(name, alpha):
    """The objective at α, in NumPy."""
    gamma, ridge = PARAMETERS[name]
    K = gram(gamma)
    residual = np.abs(K @ alpha - Y)
    loss = np.where(residual <= 1, residual**2, 2 * residual - 1) if name == "huber" else residual**2
    return (
        loss.sum()
        + ridge * alpha @ K @ alpha
        + (LAMBDA_1 * np.abs(differences() @ K @ alpha).sum() if name == "tv" else 0)
    )


def test_the_data_are_the_shared_ones(variant):
    _, problem = variant
    assert np.array_equal(problem.x[:, 0], X) and np.array_equal(problem.y, Y)
    assert Y[24] == 0 and (Y == 0).sum() == 1 and sorted(set(F)) == [0, 10, 20, 30, 40]


def test_the_printed_matrix_is_the_row_map():
    rows = Design(X[:, None], RBF(80), intercept=False).rows(Differences(1), "tv")
    assert np.array_equal(rows.take(np.eye(N)), differences())
    assert_allclose(rows.take(F), differences() @ F)


def test_the_literal_formulation_has_the_same_optimum(variant):
    name, problem = variant
    result = fit(problem)
    assert result.status.word == "certified"
    assert_allclose(result.objective, literal(name), rtol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_alpha_carries_the_whole_fit(variant, solver):
    """|K α - f| is at most the proven bound: both lie within √(gap/ridge) in the RKHS. At the default solver it is far
    smaller."""
    name, problem = variant
    result = fit(problem, solver, tol=1e-8 if solver == "proximal" else None)
    K, alpha, bound = gram(PARAMETERS[name][0]), result.dual_coef, result.certificate.norm_bound
    assert alpha.shape == (N,)
    assert_allclose(K @ alpha, result.fitted, rtol=0, atol=1e-7 if solver == "interior" else bound)
    assert_allclose(value(name, alpha), result.objective, rtol=1e-8 if solver == "interior" else 1e-6)
    x_new = np.linspace(-0.1, 1.1, 77)
    cross = np.exp(-PARAMETERS[name][0] * (x_new[:, None] - X) ** 2)
    assert_allclose(cross @ alpha, result.predict(x_new), rtol=0, atol=1e-6 if solver == "interior" else bound)


def test_every_solver_reaches_the_same_value(variant):
    name, problem = variant
    assert_allclose(
        [fit(problem, solver).objective for solver in SOLVERS], fit(problem).objective, rtol=1e-8, err_msg=name
    )


@pytest.mark.parametrize(
    "kernel", [RBF(81.42), Laplacian(2.0), Polynomial(2.0, degree=3, coef0=1.0)], ids=lambda kernel: kernel.name
)
def test_squared_loss_is_kernel_ridge_regression(kernel):
    ridge = PARAMETERS["squared"][1]
    peer = KernelRidge(alpha=ridge, kernel=kernel.name, gamma=kernel.gamma, degree=3, coef0=1).fit(X[:, None], Y)
    result = fit(Problem(X, Y, kernel, Squared(), [Ridge(ridge)]))
    assert_allclose(result.dual_coef, peer.dual_coef_, rtol=0, atol=1e-8)
    assert_allclose(result.dual_coef, (Y - result.fitted) / ridge, rtol=0, atol=1e-8)
    assert_allclose(result.predict(X), peer.predict(X[:, None]), rtol=0, atol=1e-8)


def test_the_monotone_fit_rises_and_the_plain_one_does_not(references):
    plain, monotone = fit(references["squared"]).fitted, fit(references["monotone"])
    assert np.diff(plain).min() < -1
    assert np.diff(monotone.fitted).min() >= -1e-13 and monotone.certificate.largest_drop <= 1e-13


def test_huber_hardly_sees_the_outlier(references):
    squared, huber = (np.abs(fit(references[name]).fitted - F)[24] for name in ("squared", "huber"))
    assert huber < 0.25 * squared


def test_the_values_of_the_assignments_losses():
    """Fitted values are all 0 where the ridge is huge: the objective is then the loss of y, on the assignment's
    scale."""
    small = 0.5 * np.array([1.0, -1, 3, 4])
    flat = {"kernel": RBF(1), "regularizers": [Ridge(1e12), TotalVariation(1)]}
    assert_allclose(fit(Problem(np.arange(4), small, loss=Squared(), **flat)).objective, (small**2).sum(), rtol=1e-9)
    assert_allclose(fit(Problem(np.arange(4), small, loss=Huber(1), **flat)).objective, 0.25 + 0.25 + 2 + 3, rtol=1e-9)
