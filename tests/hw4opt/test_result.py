"""What a fit returns: predictions, coefficients, bounds and statuses, against formulas."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fitted_models import NEW, NEW_WIDE, PROBLEMS, WEIGHTS, WIDE, N, X, Y, every_problem, fitted, new_points
from hw4opt import (
    RBF,
    Huber,
    InputError,
    NotCertifiedError,
    Polynomial,
    Precomputed,
    Problem,
    Result,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    fit,
    fit_batch,
)

# ---- predictions and coefficients ------------------------------------------------------------------------------------


@every_problem
def test_fitted_is_the_prediction_at_every_row_with_its_offset(name):
    result, problem = fitted(name), PROBLEMS[name]
    offset = 0 if problem.offset is None else problem.offset
    assert result.fitted.shape == (N,)
    assert_allclose(result.fitted, result.predict(problem.x) + offset, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in ("linear", "matern32")])
def test_dual_coef_reproduces_the_predictions(name):
    """f(x) = Σ α_i k(x_i, x) (+ intercept), α of input length: the assignment's representer theorem."""
    result, problem = fitted(name), PROBLEMS[name]
    assert result.dual_coef.shape == (N,)
    points = new_points(name)
    is_gram = isinstance(problem.kernel, Precomputed)
    gram = points if is_gram else problem.kernel.gram(problem.features(points), problem.features(problem.x))
    assert_allclose(gram @ result.dual_coef + (result.intercept or 0), result.predict(points), rtol=1e-6, atol=1e-6)
    assert not np.any(result.dual_coef[WEIGHTS == 0]) or problem.weights is None


def test_dual_coef_of_kernel_ridge_is_the_closed_form():
    result = fit(Problem(X, Y, RBF(30.0), regularizers=[Ridge(0.2)]))
    gram = RBF(30.0).gram(X[:, None], X[:, None])
    assert_allclose(result.dual_coef, np.linalg.solve(gram + 0.2 * np.eye(N), Y), atol=1e-8)
    assert_allclose(result.fitted, gram @ np.linalg.solve(gram + 0.2 * np.eye(N), Y), atol=1e-9)


def test_dual_coef_of_repeated_x_stands_on_the_first_row():
    x = np.round(X, 1)
    result = fit(Problem(x, Y, RBF(30.0), Huber(0.4), [Ridge(0.1)]))
    later = np.setdiff1d(np.arange(N), np.unique(x, return_index=True)[1])
    assert later.size > 5 and not result.dual_coef[later].any()
    assert_allclose(RBF(30.0).gram(NEW[:, None], x[:, None]) @ result.dual_coef, result.predict(NEW), atol=1e-8)


def test_dual_coef_is_none_where_there_is_none():
    assert fitted("linear").dual_coef is None
    assert fit(Problem(WIDE, Y, Polynomial(0.01, 1))).dual_coef is None


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_a_linear_fit_with_intercept_is_least_squares(standardize, weights):
    result = fit(Problem(WIDE, Y, intercept=True, weights=weights, standardize=standardize))
    root = np.ones(N) if weights is None else np.sqrt(weights)
    expected = np.linalg.lstsq(root[:, None] * np.column_stack([WIDE, np.ones(N)]), root * Y)[0]
    assert result.status is Status.CERTIFIED
    assert_allclose(np.append(result.coef, result.intercept), expected, rtol=1e-8, atol=1e-9)
    assert_allclose(result.predict(NEW_WIDE), NEW_WIDE @ expected[:3] + expected[3], rtol=1e-8, atol=1e-8)


def test_a_linear_fit_without_intercept_is_least_squares():
    result = fit(Problem(WIDE, Y))
    expected = np.linalg.lstsq(WIDE, Y)[0]
    assert result.intercept is None and result.status is Status.CERTIFIED
    assert_allclose(result.coef, expected, rtol=1e-8, atol=1e-10)


def test_linear_ridge_is_the_closed_form():
    result = fit(Problem(WIDE, Y, regularizers=[Ridge(0.7)], weights=WEIGHTS))
    expected = np.linalg.solve(WIDE.T @ (WEIGHTS[:, None] * WIDE) + 0.7 * np.eye(3), WIDE.T @ (WEIGHTS * Y))
    assert_allclose(result.coef, expected, rtol=1e-9)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_coefficients_alone_reproduce_a_linear_prediction(standardize, intercept):
    """In units of the raw x: whoever has coef and intercept has the model."""
    result = fit(
        Problem(WIDE, Y + WIDE[:, 1], None, Squared(), [Ridge(0.1)], intercept=intercept, standardize=standardize)
    )
    assert_allclose(NEW_WIDE @ result.coef + (result.intercept or 0), result.predict(NEW_WIDE), rtol=1e-10)


def test_coef_and_intercept_are_none_where_there_are_none():
    assert fitted("rbf").coef is None and fitted("rbf").intercept is None
    assert fitted("rbf with everything").coef is None and isinstance(fitted("rbf with everything").intercept, float)


def test_mean_is_the_probability_of_a_one():
    result = fitted("logistic")
    assert_allclose(result.mean, 1 / (1 + np.exp(-result.fitted)), rtol=1e-12)
    kept = WEIGHTS > 0
    assert np.mean((result.mean > 0.5)[kept] == (Y > 0)[kept]) > 0.7
    assert fitted("rbf").mean is None


def test_labels_may_be_written_either_way():
    result = fit(dataclasses.replace(PROBLEMS["logistic"], y=np.where(Y > 0, 1, -1)))
    assert_allclose(result.fitted, fitted("logistic").fitted, atol=1e-9)
    assert_allclose(result.mean, fitted("logistic").mean, atol=1e-9)


def test_objective_is_every_part_added_up():
    result = fitted("rbf")
    f = result.fitted[np.argsort(X)]
    residual = np.abs(result.fitted - Y)
    huber = np.where(residual <= 0.4, residual**2, 0.8 * residual - 0.16).sum()
    gram = RBF(30.0).gram(X[:, None], X[:, None])
    ridge = 0.1 * result.dual_coef @ gram @ result.dual_coef
    assert result.objective == pytest.approx(huber + 0.2 * np.abs(np.diff(f)).sum() + ridge, rel=1e-8)
    assert np.diff(f).min() >= -1e-12


@every_problem
def test_the_wrong_number_of_columns_is_refused(name):
    columns = PROBLEMS[name].x.shape[1]
    for call in (fitted(name).predict, fitted(name).bound):
        with pytest.raises(InputError, match=rf"x has {columns + 1} columns; the fit has {columns}"):
            call(np.zeros((4, columns + 1)))


def test_predictions_need_finite_numbers():
    with pytest.raises(InputError, match="x holds nan in row 1"):
        fitted("rbf").predict([0.0, np.nan])


# ---- bound and status ------------------------------------------------------------------------------------------------


def test_bound_is_the_norm_bound_times_the_root_of_the_kernel():
    for name, diagonal in (("rbf", np.ones(9)), ("polynomial", (0.7 * NEW**2 + 2) ** 5)):
        result = fitted(name)
        assert_allclose(result.bound(new_points(name)), np.sqrt(diagonal) * result.certificate.norm_bound, rtol=1e-12)
    linear = fitted("linear")
    size = np.linalg.norm(linear.problem.features(NEW_WIDE), axis=1)
    assert_allclose(linear.bound(NEW_WIDE), size * linear.certificate.norm_bound, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "precomputed"])
def test_prediction_error_bound_is_the_largest_over_the_rows(name):
    result = fitted(name)
    assert result.prediction_error_bound == pytest.approx(result.bound(PROBLEMS[name].x).max(), rel=1e-12)


def test_a_result_of_a_batch_is_saved_without_the_rows_of_a_term_that_it_lacks(tmp_path):
    """In a batch per term of weight 0 has rows beside those that have weight."""
    x = np.linspace(0, 1, 12)
    problems = [
        Problem(x, np.sin(5 * x), RBF(5.0), regularizers=[Ridge(0.1), TotalVariation(weight)]) for weight in (0.0, 0.3)
    ]
    for result in fit_batch(problems):
        result.save(tmp_path / "m.json")
        again = Result.load(tmp_path / "m.json")
        assert_array_equal(again.fitted, result.fitted)
        assert again.verify().relative_gap == pytest.approx(result.certificate.relative_gap, abs=1e-12)


def test_prediction_error_bound_counts_rows_of_weight_zero():
    """They are rows of the answer, too: `fitted` has them."""
    far = WIDE.copy()
    far[5] *= 100
    weights = np.ones(N)
    weights[5] = 0
    result = fit(Problem(far, Y, None, Huber(0.4), [Ridge(0.1)], weights=weights))
    assert result.prediction_error_bound == pytest.approx(result.bound(far).max(), rel=1e-12)


def test_nothing_is_bounded_where_nothing_is_proven():
    result = fit(Problem(WIDE, Y, None, Huber(0.4)))
    assert result.certificate.norm_bound is None and "ridge is 0" in result.certificate.norm_bound_reason
    assert result.bound(WIDE) is None and result.prediction_error_bound is None


@pytest.mark.parametrize("count", [3, N])
def test_a_precomputed_kernel_bounds_new_points_truly_or_not_at_all(count):
    """New points come as their kernel rows, which do not hold k(x, x): as many rows as training points are no Gram
    matrix."""
    gram = RBF(9.0).gram(X[:, None], X[:, None])
    result = fit(Problem(gram, Y, Precomputed(), Huber(0.4), [Ridge(0.1)]))
    new = np.random.default_rng(5).uniform(size=(count, 1))
    bound = result.bound(RBF(9.0).gram(new, X[:, None]))
    assert bound is None or np.all(bound >= result.certificate.norm_bound * (1 - 1e-12))  # √k(x, x) = 1


def test_raise_for_status():
    result = fitted("rbf")
    assert result.raise_for_status() is result
    early = fit(PROBLEMS["rbf"], max_iterations=1)
    assert early.status is Status.ITERATION_LIMIT
    with pytest.raises(NotCertifiedError, match="stopped at its limit; raise `max_iterations`"):
        early.raise_for_status()


def test_message_is_the_advice_with_the_reason():
    result = fitted("rbf")
    assert result.message == Status.CERTIFIED.value
    certificate = dataclasses.replace(result.certificate, reason="because")
    assert dataclasses.replace(result, status=Status.UNCERTIFIED, certificate=certificate).message.endswith(": because")
    assert dataclasses.replace(result, note="the solver said").message.endswith(": the solver said")
