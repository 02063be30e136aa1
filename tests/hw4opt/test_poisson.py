"""Counts: the loss at the ends of its range, Newton against witnesses of more digits, and what the fit reports."""

import math

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special, stats

from hw4opt import (
    L1,
    RBF,
    Increasing,
    InputError,
    Poisson,
    Problem,
    Result,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    fit,
)
from hw4opt.form import SmoothRows
from hw4opt.solvers._smooth_objective import pieces_of
from hw4opt.solvers.newton import minimize
from hw4opt.terms.row_map import RowMap

LONG = np.longdouble
more_digits = pytest.mark.skipif(
    np.finfo(LONG).eps > 1e-18, reason="long double has no more digits than double on this platform"
)
TRUTH = np.array([0.3, -0.2, 0.1, 0.5, 0.05])


def pieces(a):
    return pieces_of(RowMap(len(a), first=0), a)


def songs(n=400, seed=0, scale=1.0, offset=0.0, level=1.0):
    """Features, counts with E y = exp(x @ TRUTH + level + offset), on columns that are then scaled."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, 5))
    return x * scale, draw.poisson(np.exp(x @ TRUTH + level + offset)).astype(float)


def counts(x, y, intercept=True, **more):
    return Problem(x, y, loss=Poisson(), intercept=intercept, **more)


def columns(problem):
    return np.column_stack([problem.x, np.ones(len(problem.y))]) if problem.intercept else problem.x


def coefficients(result):
    return np.append(result.coef, result.intercept) if result.problem.intercept else result.coef


def exact(problem, start):
    """Newton in long double, every sum with 64 bits: the maximizer to about 1e-18 of the condition number."""
    a, y, w = columns(problem).astype(LONG), problem.y.astype(LONG), start.astype(LONG)
    offset = LONG(0) if problem.offset is None else problem.offset.astype(LONG)
    weights = LONG(1) if problem.weights is None else problem.weights.astype(LONG)
    scale = np.sqrt((a**2).sum(axis=0))
    a, v = a / scale, w * scale
    for _ in range(20):
        mean = weights * np.exp(a @ v + offset)
        hessian = ((a * mean[:, None]).T @ a).astype(float)
        v = v - np.linalg.solve(hessian, (a.T @ (mean - weights * y)).astype(float)).astype(LONG)
    return v / scale


# ---- the loss --------------------------------------------------------------------------------------------------------


def test_gradient_and_hessian_are_those_of_the_likelihood():
    """Against central differences of the log-likelihood by scipy.stats, row weights and offset in."""
    draw = np.random.default_rng(0)
    x, y = songs(60)
    offset, weights, h = draw.uniform(-1, 1, 60), draw.uniform(0, 2, 60), 1e-5
    rows = SmoothRows(Poisson(), y[None], offset[None], weights[None])

    def loss(w):
        return -(weights * stats.poisson.logpmf(y, np.exp(x @ w + offset))).sum()

    w = TRUTH + 0.1
    steps = h * np.eye(5)
    gradient = [(loss(w + step) - loss(w - step)) / (2 * h) for step in steps]
    z = (x @ w)[None]
    assert_allclose((rows.gradient(z) @ x)[0], gradient, rtol=1e-7)
    hessian = [
        ((rows.gradient((x @ (w + step))[None]) - rows.gradient((x @ (w - step))[None])) @ x)[0] / (2 * h)
        for step in steps
    ]
    assert_allclose((x.T * rows.curvature(z)) @ x, hessian, rtol=1e-7, atol=1e-7)


@given(st.floats(-700, 25), st.floats(-0.999, 1e3), st.sampled_from([0.0, 1.0, 7.0, 1e9]))
def test_the_slack_does_not_cancel(z, r, y):
    """μ - μ' + μ' log(μ'/μ), μ' = μ(1 + r), for means from 1e-300 to 7e10, counts to 1e9: exact, and never negative."""
    u = math.exp(z) * (1 + r) - y
    found = float(Poisson().slack(np.array([z]), np.array([u]), np.array([y]))[0])
    assert found >= 0
    mean, other = LONG(np.exp(LONG(z))), LONG(u) + LONG(y)
    if other > 0:
        expected = float(mean - other + other * (np.log(other) - LONG(z)))
        rounding = np.finfo(float).eps * (abs(u) + y)  # of u and y themselves
        moved = rounding * (1 + abs(float(np.log(other) - LONG(z)))) + rounding**2 / max(float(mean), 1e-300)
        assert abs(found - expected) <= 1e-9 * expected + 1e-18 * float(mean) + moved


@pytest.mark.parametrize("step", [1e-6, 1.0, 1e6])
def test_prox_solves_its_equation_far_out(step):
    v, y = np.array([-800.0, -5.0, 0.0, 30.0, 1e4, 1e9]), np.array([0.0, 3.0, 1e9, 7.0, 0.0, 1e9])
    z = Poisson().prox(v, step, y)
    assert_allclose(z + step * np.exp(z), v + step * y, rtol=1e-12, atol=1e-12)


def test_the_parts_of_the_likelihood_are_scipys():
    x, y = songs(50)
    z = x @ TRUTH
    loss = Poisson()
    assert_allclose(-(loss.pointwise(z, y) + loss.normalizer(y)), stats.poisson.logpmf(y, np.exp(z)), rtol=1e-12)
    assert_allclose(loss.deviance(z, y), 2 * (special.xlogy(y, y / np.exp(z)) - y + np.exp(z)), rtol=1e-9, atol=1e-12)
    assert_allclose(loss.deviance(np.array([20.7]), np.exp([20.7])), [0], atol=1e-6)


def test_wrong_counts_are_named():
    for y, sentence in (
        ([1, -2], "holds -2 in row 1"),
        ([0.5, 1], "whole counts; y holds 0.5 in row 0"),
        ([1, float("nan")], "nan"),
    ):
        with pytest.raises(InputError, match=sentence):
            Poisson().check_targets(np.array(y, dtype=float))
    assert Poisson(quasi=True).check_targets(np.array([0.5])) == [0.5]
    with pytest.raises(InputError, match="counts"):
        Poisson(quasi=True).check_targets(np.array([-0.5]))


# ---- Newton ----------------------------------------------------------------------------------------------------------


def case(name):
    """(problem, relative error allowed)."""
    draw = np.random.default_rng(3)
    x, y = songs()
    offset = draw.uniform(-5, 12, 400)
    far = x.copy()
    far[0] = [1e4, 0, 0, 0, 0]
    up = x.copy()
    up[0] = [300, 5, 0, 0, 0]
    return {
        "plain": lambda: (counts(x, y), 1e-12),
        "no intercept": lambda: (counts(x, y, intercept=False), 1e-12),
        "scales": lambda: (counts(x * [1e-6, 1e6, 1, 1e3, 1e-3], y), 1e-10),
        "counts to 1e9": lambda: (counts(*songs(level=19.0)), 1e-10),
        "exposures over 1e5": lambda: (counts(*songs(offset=offset), offset=offset), 1e-10),
        "leverage": lambda: (counts(far, y), 1e-10),
        "leverage, no count": lambda: (counts(up, np.where(np.arange(400) == 0, 0, y)), 1e-10),
        "one huge count": lambda: (counts(x, np.where(np.arange(400) == 5, 1e9, y)), 1e-10),
        "rare": lambda: (counts(x, 1.0 * (draw.uniform(size=400) < 0.02)), 1e-10),
        "weights": lambda: (counts(x, y, weights=draw.uniform(size=400) * (draw.uniform(size=400) > 0.3)), 1e-10),
        "years": lambda: (counts(np.column_stack([draw.integers(1990, 2020, 400), x]), y), 1e-9),
        "wide range": lambda: (counts(8 * x, draw.poisson(np.exp(np.clip(8 * x @ TRUTH, -30, 20)))), 1e-9),
    }[name]()


CASES = [
    *("plain", "no intercept", "scales", "counts to 1e9", "exposures over 1e5", "leverage", "leverage, no count"),
    *("one huge count", "rare", "weights", "years", "wide range"),
]


@more_digits
@pytest.mark.parametrize("name", CASES)
def test_coefficients_are_those_of_a_newton_with_more_digits(name):
    problem, allowed = case(name)
    result = fit(problem).raise_for_status()
    assert result.solver == "newton" and result.certificate.relative_gap <= 1e-9
    found = coefficients(result)
    best = exact(problem, found)
    assert np.abs((found - best) / best).max() <= allowed


@pytest.mark.parametrize("reg", [[], [Ridge(2.0)]])
def test_cvxpys_exponential_cone_agrees(reg):
    x, y = songs(200)
    w, b = cp.Variable(5), cp.Variable()
    z = x @ w + b
    penalty = 2.0 * cp.sum_squares(w) if reg else 0
    model = cp.Problem(cp.Minimize(cp.sum(cp.exp(z)) - y @ z + penalty))
    model.solve("CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    result = fit(counts(x, y, regularizers=reg)).raise_for_status()
    assert_allclose(coefficients(result), np.append(w.value, b.value), rtol=1e-7, atol=1e-7)
    assert result.objective == pytest.approx(model.value, rel=1e-7)


@pytest.mark.parametrize(
    "problem",
    [
        lambda x, y: counts(x, y, regularizers=[L1(4)]),
        lambda x, y: Problem(x[:, 0], y, RBF(1), Poisson(), [Ridge(0.1), TotalVariation(0.5)]),
        lambda x, y: Problem(x[:, 0], y, RBF(1), Poisson(), [Ridge(0.1)], [Increasing()], offset=0.1 * x[:, 1]),
    ],
    ids=["l1", "tv curve", "increasing curve"],
)
def test_kinked_terms_on_the_log_rate_agree_with_the_compiled_model(problem):
    x, y = songs(120)
    result, witness = fit(problem(x, y)).raise_for_status(), fit(problem(x, y), "cvxpy:CLARABEL")
    assert result.solver == "interior"
    assert result.objective == pytest.approx(witness.objective, rel=1e-7)
    assert_allclose(result.fitted, witness.fitted, atol=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_a_weight_of_two_is_a_row_twice_and_one_of_zero_no_row(seed):
    draw = np.random.default_rng(seed)
    x, y = songs(40, seed)
    weights = draw.integers(0, 3, 40)
    if np.linalg.matrix_rank(np.column_stack([x, np.ones(40)])[(weights > 0) & (y > 0)]) < 6:
        return
    twice = np.repeat(np.arange(40), weights)
    one, other = fit(counts(x, y, weights=weights)), fit(counts(x[twice], y[twice]))
    assert_allclose(coefficients(one), coefficients(other), rtol=1e-9)
    assert_allclose(one.inference.log_likelihood, other.inference.log_likelihood, rtol=1e-12)
    assert_allclose(one.inference.standard_errors, other.inference.standard_errors, rtol=1e-9)
    assert len(one.mean) == 40


@given(st.integers(0, 2**32 - 1))
def test_order_and_units_do_not_matter(seed):
    draw = np.random.default_rng(seed)
    x, y = songs(60, seed)
    order, scale = draw.permutation(60), 10.0 ** draw.uniform(-6, 6, 5)
    one, other = fit(counts(x, y)), fit(counts(x[order] * scale, y[order]))
    assert one.status is other.status
    if one.status is Status.CERTIFIED:
        assert_allclose(other.coef * scale, one.coef, rtol=1e-8, atol=1e-12)


def test_an_exposure_is_an_offset_of_its_logarithm():
    x, y = songs(100)
    draw = np.random.default_rng(1)
    hours = draw.integers(1, 5, 100)
    whole = fit(counts(x, y * hours, offset=np.log(hours)))
    assert_allclose(coefficients(whole), coefficients(fit(counts(x, y, weights=hours))), rtol=1e-10)


def test_collinear_columns_change_neither_means_nor_proof():
    x, y = songs()
    plain = fit(counts(x, y))
    for more in (
        [x[:, 0] + x[:, 1], 2 * x[:, 2]],
        [1e6 * x[:, 0] - 1e-6 * x[:, 4]],
        [np.zeros(400)],
        [np.full(400, 3.0)],
    ):
        result = fit(counts(np.column_stack([x, *more]), y)).raise_for_status()
        assert result.rank == 6 and len(result.coef) == 5 + len(more)
        assert_allclose(result.mean, plain.mean, rtol=1e-9)
        assert "rank 6 of" in result.inference.reason
        if (
            len(more) == 2 or np.ptp(more[0]) < 10
        ):  # of 1e6 and 1e-6, in doubles no rank but that of the pivots is plain
            _check_identified(np.column_stack([np.ones(400), x, *more]), result, plain)
        assert result.inference.log_likelihood == pytest.approx(plain.inference.log_likelihood, rel=1e-12)


def _check_identified(a, result, plain):
    """Errors of columns without which the rank is lower, equal to those of the fit without the other columns."""
    found = result.inference.standard_errors
    unit = a / (np.linalg.norm(a, axis=0) + 1e-300)
    lone = [np.linalg.matrix_rank(np.delete(unit, j, axis=1)) < 6 for j in range(a.shape[1])]
    if not any(lone):
        assert np.isnan(found).all()
        return
    assert (np.isfinite(found) == lone).all()
    own = [j for j in range(6) if lone[j]]
    assert_allclose(found[own], plain.inference.standard_errors[own], rtol=1e-9)
    names = np.array(["(intercept)", *result.column_names[:-1]])
    assert all(name in result.inference.reason for name in names[~np.array(lone)])


def test_more_columns_than_rows_fit_every_count():
    draw = np.random.default_rng(2)
    y = draw.poisson(3, 20) + 1.0
    result = fit(counts(draw.standard_normal((20, 50)), y)).raise_for_status()
    assert result.rank == 20
    assert_allclose(result.mean, y, rtol=1e-10)


@pytest.mark.parametrize("n", [300, 90_000])
def test_the_core_solves_a_batch_as_it_solves_each(n):
    """Weights, targets, offsets and penalties differ; n = 90,000 starts from a subsample of the rows."""
    draw = np.random.default_rng(5)
    x = np.column_stack([draw.standard_normal((n, 3)), np.ones(n)])
    y = draw.poisson(np.exp(x @ [[0.3, 0.1], [0.2, -0.4], [0.0, 0.1], [1.0, 0.2]])).T.astype(float)
    weights, offset = draw.uniform(size=(2, n)), draw.normal(0, 0.1, (2, n))
    penalty = np.array([[0, 0, 0, 0], [3.0, 3, 3, 0]])
    both = minimize(pieces(x), SmoothRows(Poisson(), y, offset, weights), penalty)
    assert both.converged.all() and both.rank == 4
    for i in range(2):
        one = slice(i, i + 1)
        alone = minimize(pieces(x), SmoothRows(Poisson(), y[one], offset[one], weights[one]), penalty[one])
        assert_allclose(both.w[i], alone.w[0], rtol=1e-11)
        mean = weights[i] * np.exp(x @ both.w[i] + offset[i])
        assert np.abs(x.T @ (mean - weights[i] * y[i]) + penalty[i] * both.w[i]).max() <= 1e-13 * n
    again = minimize(pieces(x), SmoothRows(Poisson(), y, offset, weights), penalty, start=both.w)
    assert again.iterations.tolist() == [1, 1]
    assert_allclose(again.w, both.w, rtol=1e-12)


def test_a_start_far_out_is_brought_back():
    x, y = songs()
    a = np.column_stack([x, np.ones(400)])
    rows = SmoothRows(Poisson(), y[None], np.zeros((1, 1)), np.ones((1, 1)))
    best = minimize(pieces(a), rows, np.zeros((1, 6)))
    for scale in (-50.0, 30.0, 1e3, 1e8):
        found = minimize(pieces(a), rows, np.zeros((1, 6)), start=np.full((1, 6), scale))
        assert found.converged.all()
        assert_allclose(found.w, best.w, rtol=1e-10)


@pytest.mark.parametrize("offset", [20.7, 300.0, 800.0, -800.0])
def test_an_offset_of_any_size_is_taken_up_by_the_intercept(offset):
    """And what a gap is relative to stays what it is without: the loss at w = 0 would be 1e9 to infinite."""
    x, y = songs(100)
    plain, moved = fit(counts(x, y)), fit(counts(x, y, offset=np.full(100, offset))).raise_for_status()
    assert_allclose(moved.coef, plain.coef, rtol=1e-9)
    assert moved.intercept == pytest.approx(plain.intercept - offset, rel=1e-12)
    assert 0 < moved.certificate.gap_scale == pytest.approx(plain.certificate.gap_scale, rel=1e-9)


@pytest.mark.parametrize("level", [1.0, 12.0])
def test_the_interior_point_starts_near_large_counts(level):
    x, y = songs(200, level=level)
    for problem in (
        counts(x, y, regularizers=[L1(2.0)]),
        Problem(x[:, 0], y, RBF(1), Poisson(), [Ridge(0.1), TotalVariation(1)]),
    ):
        result = fit(problem).raise_for_status()
        assert result.iterations <= 30


RATES = {"flat": lambda x, draw: np.full(len(x), 3.0),
         "rising": lambda x, draw: draw.poisson(np.exp(1 + x)).astype(float),
         "falling": lambda x, draw: draw.poisson(np.exp(3 - 3 * x)).astype(float),
         "0 on the left": lambda x, draw: np.where(x < 0.5, 0.0, draw.poisson(3, len(x)))}  # fmt: skip


@pytest.mark.parametrize("gamma", [5, 50])
@pytest.mark.parametrize("ridge", [1e-2, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("name", RATES)
def test_rising_rates_are_proven_at_any_ridge(name, ridge, gamma):
    """Ties in x; with little ridge the smooth rows' residuals do not measure how far the interior point may go."""
    draw = np.random.default_rng(0)
    x = np.round(np.sort(draw.uniform(0, 1, 40)), 2)
    result = fit(Problem(x, RATES[name](x, draw), RBF(gamma), Poisson(), [Ridge(ridge)], [Increasing()]))
    assert result.iterations <= 60
    if (name, ridge) == (
        "falling",
        1e-8,
    ):  # against the data the duals are so large that the basis leaves out up to 2e-5
        certificate = result.certificate
        assert certificate.gap + certificate.gap_rounding <= 1e-9 * certificate.gap_scale
        assert certificate.truncation <= 1e-4 * certificate.gap_scale and (
            result.status is Status.CERTIFIED or "basis leaves out" in result.message
        )
    else:
        assert result.status is Status.CERTIFIED


def test_newton_solves_least_squares_too():
    x, y = songs(50)
    result = fit(Problem(x, y, loss=Squared(), intercept=True)).raise_for_status()
    assert result.solver == "newton"
    best = np.linalg.lstsq(np.column_stack([x, np.ones(50)]), y, rcond=None)[0]
    assert_allclose(coefficients(result), best, rtol=1e-12)


# ---- what the fit reports --------------------------------------------------------------------------------------------


def test_likelihood_deviance_and_errors_by_hand():
    draw = np.random.default_rng(7)
    offset, weights = draw.uniform(-1, 1, 400), draw.uniform(0.5, 2, 400)
    x, y = songs(offset=offset)
    result = fit(counts(x, y, offset=offset, weights=weights))
    a, mean = np.column_stack([np.ones(400), x]), result.mean
    assert_allclose(mean, np.exp(a @ [result.intercept, *result.coef] + offset), rtol=1e-12)
    inference = result.inference
    assert inference.log_likelihood == pytest.approx((weights * stats.poisson.logpmf(y, mean)).sum(), rel=1e-12)
    assert inference.deviance == pytest.approx((2 * weights * (special.xlogy(y, y / mean) - y + mean)).sum(), rel=1e-10)
    assert inference.dispersion == pytest.approx(
        (weights * (y - mean) ** 2 / mean).sum() / (weights.sum() - 6), rel=1e-10
    )
    errors = np.sqrt(np.diagonal(np.linalg.inv((a.T * (weights * mean)) @ a)))
    assert_allclose(inference.standard_errors, errors, rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_standardized_fits_report_in_units_of_the_raw_columns(scale):
    x, y = songs(scale=scale)
    one, other = fit(counts(x + 3 * scale, y)), fit(counts(x + 3 * scale, y, standardize=True))
    assert_allclose(coefficients(one), coefficients(other), rtol=1e-9)
    assert_allclose(one.inference.standard_errors, other.inference.standard_errors, rtol=1e-8)


def test_errors_are_withheld_with_a_reason():
    x, y = songs(60)
    for problem, reason in (
        (counts(x, y, regularizers=[Ridge(1)]), "ridge takes part"),
        (counts(x, y, regularizers=[L1(1)]), "l1 takes part"),
        (Problem(x[:, 0], y, RBF(1), Poisson(), [Ridge(1)]), "no coefficients"),
    ):
        inference = fit(problem).inference
        assert inference.standard_errors is None and reason in inference.reason
    assert fit(Problem(x, y, loss=Squared())).inference is None


def test_a_model_file_keeps_everything_and_asks_for_the_offset(tmp_path):
    draw = np.random.default_rng(8)
    offset = draw.uniform(-1, 1, 400)
    x, y = songs(offset=offset)
    x = np.column_stack([x, x[:, 0] * 2])
    fit(counts(x, y, offset=offset)).save(tmp_path / "model.json")
    result = Result.load(tmp_path / "model.json")
    assert result.status is Status.CERTIFIED and result.rank == 6 and result.existence.finite
    assert result.verify().holds(1e-9)
    assert_allclose(result.predict_mean(x, offset), result.mean, rtol=1e-12)
    with pytest.raises(InputError, match="the fit had an offset; give offset"):
        result.predict_mean(x)
    with pytest.raises(InputError, match="no offset; drop offset"):
        fit(counts(x[:, :5], y)).predict_mean(x[:, :5], offset)
    lone = x.copy()
    lone[:, 5] = y == 0
    fit(counts(lone, y), separated="drop").save(tmp_path / "dropped.json")
    assert not Result.load(tmp_path / "dropped.json").existence.finite


def test_quasi_takes_fractions():
    x, y = songs(100)
    result = fit(Problem(x, y / 2, loss=Poisson(quasi=True), intercept=True)).raise_for_status()
    whole = fit(counts(x, y))
    assert_allclose(result.coef, whole.coef, rtol=1e-10)
    assert_allclose(result.intercept, whole.intercept - math.log(2), rtol=1e-9)
    with pytest.raises(InputError, match="whole counts"):
        counts(x, y / 2)


# ---- peers, where they are right -------------------------------------------------------------------------------------


def test_scikit_learn_agrees():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    x, y = songs()
    weights = np.random.default_rng(1).uniform(0.5, 2, 400)
    peer = linear_model.PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-12).fit(x, y, weights)
    result = fit(counts(x, y, weights=weights))
    assert_allclose(coefficients(result), [*peer.coef_, peer.intercept_], rtol=1e-7)
    ridge = 3.0  # scikit-learn's alpha: of the mean loss, with a factor ½
    peer = linear_model.PoissonRegressor(alpha=2 * ridge / 400, solver="newton-cholesky", tol=1e-12).fit(x, y)
    assert_allclose(fit(counts(x, y, regularizers=[Ridge(ridge)])).coef, peer.coef_, rtol=1e-7)


def test_statsmodels_agrees():
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    draw = np.random.default_rng(2)
    exposure = draw.uniform(0.5, 3, 400)
    x, y = songs(offset=np.log(exposure))
    peer = api.GLM(y, api.add_constant(x), family=api.families.Poisson(), exposure=exposure).fit(tol=1e-12)
    result = fit(counts(x, y, offset=np.log(exposure)))
    assert_allclose([result.intercept, *result.coef], peer.params, rtol=1e-8)
    assert_allclose(result.inference.standard_errors, peer.bse, rtol=1e-6)
    assert result.inference.log_likelihood == pytest.approx(peer.llf, rel=1e-10)
    assert result.inference.deviance == pytest.approx(peer.deviance, rel=1e-9)
