"""Counts of at least 1: the law to many digits, existence by its definition, loss and mixture against formulas."""

import dataclasses
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import linprog, minimize

from hw4opt import RBF, Increasing, InputError, Poisson, Problem, Result, Ridge, Status, fit
from hw4opt.form.canonicalize import canonicalize
from hw4opt.mixture import Components, PoissonMixture, Rows
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.likelihood import MixtureParameters, curvature
from hw4opt.mixture.sample import Sample
from hw4opt.proof.existence import settle
from hw4opt.terms.laws import POISSON_LAW, ZERO_TRUNCATED_LAW

TRUNCATED = Poisson(truncated=True)
QUICK = Budget(starts=24, perturbations=60)


def cut(rates, draw):
    """Counts of at least 1, drawn by inversion."""
    none = np.exp(-rates)
    return stats.poisson.ppf(none + draw.uniform(size=len(rates)) * (1 - none) * (1 - 1e-12), rates).clip(1)


def songs(n=300, seed=0, level=0.2):
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, 2))
    return x, cut(np.exp(x @ [0.7, -0.3] + level), draw)


def log_pmf(y, rates):
    """scipy's, given that the count is not 0."""
    return stats.poisson.logpmf(y, rates) - np.log(-np.expm1(-rates))


# ---- the law ---------------------------------------------------------------------------------------------------------


def exactly(z):
    """c, c', c'' of the truncated law in many digits."""
    rate = mp.exp(z)
    mean = rate / -mp.expm1(-rate)
    return mp.log(mp.expm1(rate) / rate), mean - 1, mean * (1 + rate - mean)


@given(st.floats(-300, 690))
def test_cumulant_mean_and_variance_to_all_digits(z):
    with mp.workdps(400):
        for found, expected in zip(ZERO_TRUNCATED_LAW.derivatives(np.array([z])), exactly(mp.mpf(z)), strict=True):
            assert abs(mp.mpf(float(found[0])) / expected - 1) < 1e-15
    assert_allclose(ZERO_TRUNCATED_LAW.inverse(ZERO_TRUNCATED_LAW.rise(np.array([z]))), [z], rtol=1e-15, atol=1e-15)


@given(st.floats(-40, 40), st.floats(-16, 1), st.sampled_from([-1, 1]))
def test_the_divergence_keeps_its_digits_near_and_far(z, power, sign):
    """c(z) + c*(m) - z m for parameters 10^-16 to 10 apart."""
    with mp.workdps(120):
        here = exactly(mp.mpf(z))
        lacking = float(exactly(mp.mpf(z) + sign * mp.mpf(10) ** power)[1] - here[1])
        m = here[1] + lacking
        if lacking == 0 or m <= 0:
            return
        other = mp.findroot(lambda t: mp.log(exactly(t)[1]) - mp.log(m), mp.mpf(z) + sign * mp.mpf(10) ** power)
        expected = here[0] + other * m - exactly(other)[0] - mp.mpf(z) * m
        found = ZERO_TRUNCATED_LAW.divergence(np.array([z]), np.array([float(m)]), np.array([lacking]))[0]
        assert abs(found / expected - 1) < 1e-9


def test_ends_of_the_range():
    z = np.array([-np.inf, -745.0, 800.0])
    assert ZERO_TRUNCATED_LAW.rise(z)[[0, 2]].tolist() == [0, np.inf] and TRUNCATED.mean(z)[0] == 1
    assert (
        ZERO_TRUNCATED_LAW.cumulant(z)[[0, 2]].tolist() == [0, np.inf]
        and ZERO_TRUNCATED_LAW.inverse(np.zeros(1))[0] == -np.inf
    )
    assert ZERO_TRUNCATED_LAW.conjugate(np.zeros(1))[0] == 0
    assert_allclose(
        ZERO_TRUNCATED_LAW.divergence(np.array([1.0]), np.zeros(1), -ZERO_TRUNCATED_LAW.rise(np.array([1.0]))),
        np.log(np.expm1(np.e)) - 1,
    )
    large = np.array([4.0, 20.0, 43.0])  # where 0 is next to impossible, the laws are one
    assert_allclose(ZERO_TRUNCATED_LAW.variance(large), POISSON_LAW.variance(large), rtol=1e-15)
    assert_allclose(TRUNCATED.mean(large), POISSON_LAW.rise(large), rtol=1e-15)


def test_the_self_concordance_is_the_largest_that_is():
    z = np.linspace(-30, 30, 60_001)
    third = np.gradient(ZERO_TRUNCATED_LAW.variance(z), z)
    ratio = third / ZERO_TRUNCATED_LAW.variance(z)
    assert ratio.min() >= 0 and 1.28 < ratio.max() < ZERO_TRUNCATED_LAW.self_concordance
    slope = ZERO_TRUNCATED_LAW.variance(z) / ZERO_TRUNCATED_LAW.rise(z)
    assert slope.min() >= 1 and slope.max() < 1.2340


def test_the_parts_of_the_likelihood_are_those_of_the_law():
    x, y = songs(60)
    z = x @ [0.5, 0.1]
    assert_allclose(-(TRUNCATED.pointwise(z, y) + TRUNCATED.normalizer(y)), log_pmf(y, np.exp(z)), rtol=1e-12)
    assert_allclose(-(TRUNCATED.excess(z, y) + TRUNCATED.least(y)), log_pmf(y, np.exp(z)), rtol=1e-11)
    distinct, which = np.unique(y, return_inverse=True)
    best = np.array([log_pmf(one, np.exp(np.linspace(-30, 5, 350_001))).max() for one in distinct])[which]
    assert_allclose(TRUNCATED.deviance(z, y), 2 * (best - log_pmf(y, np.exp(z))), atol=1e-7)
    for offset in (-0.5, 2.0):  # what an offset of 0 would have made of it
        without = TRUNCATED.without_offset(y, np.full(60, offset))
        assert_allclose(TRUNCATED.mean(ZERO_TRUNCATED_LAW.inverse(without[y > 1] - 1) + offset), y[y > 1], rtol=1e-12)
        assert_allclose(without[y == 1], 1)


@pytest.mark.parametrize("step", [1e-6, 1.0, 1e6])
def test_prox_solves_its_equation_far_out(step):
    v, y = np.array([-800.0, -5.0, 0.0, 30.0, 1e4, 1e9]), np.array([1.0, 3.0, 1e9, 7.0, 1.0, 1e9])
    z = TRUNCATED.prox(v, step, y)
    assert_allclose(z + step * TRUNCATED.mean(z), v + step * y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", [Poisson(), TRUNCATED], ids=["poisson", "truncated"])
@pytest.mark.parametrize("size", [1.0, 1e3, 1e6, 1e9, 1e12, 1e15, 5e17])
def test_the_log_likelihood_of_large_counts_is_right(loss, size):
    """y log λ - λ - log y! at sizes where each of them holds no digit of their sum."""
    draw = np.random.default_rng(1)
    x = draw.standard_normal((30, 1))
    y = np.round(size * np.exp(0.01 * x[:, 0]) + np.sqrt(size) * draw.standard_normal(30)).clip(1)
    result = fit(Problem(x, y, loss=loss, intercept=True))
    expected = mp.mpf(0)
    with mp.workdps(60):
        for z, count in zip(result.fitted.tolist(), y.tolist(), strict=True):
            rate = mp.exp(mp.mpf(z))
            expected += count * mp.mpf(z) - rate - mp.loggamma(mp.mpf(count) + 1)
            expected -= mp.log(-mp.expm1(-rate)) if loss.truncated else 0
        slope = math.sqrt(size) * math.log1p(size) * 1e-15 * 30  # what the last digit of z changes
        assert abs(result.inference.log_likelihood - float(expected)) <= 1e-9 * abs(float(expected)) + slope
    mixture = PoissonMixture(1, truncated=loss.truncated).fit(x, y)
    assert mixture.log_likelihood == pytest.approx(result.inference.log_likelihood, rel=1e-7)


# ---- the fit ---------------------------------------------------------------------------------------------------------


def test_the_fit_is_the_maximum_of_the_likelihood():
    """Weights and offset in; scipy's minimizer on scipy's log-densities, standard errors by differences of those."""
    x, y = songs()
    draw = np.random.default_rng(5)
    weights, offset = draw.uniform(0.5, 2, 300), draw.uniform(-1, 1, 300)
    y = cut(np.exp(x @ [0.7, -0.3] + 0.2 + offset), draw)
    result = fit(Problem(x, y, loss=TRUNCATED, weights=weights, offset=offset, intercept=True)).raise_for_status()
    a = np.column_stack([np.ones(300), x])

    def lost(w):
        return -(weights * log_pmf(y, np.exp(a @ w + offset))).sum()

    found = np.array([result.intercept, *result.coef])
    best = minimize(lost, found + 0.1, method="BFGS", options={"gtol": 1e-7})
    assert_allclose(found, best.x, atol=1e-5)
    assert lost(found) <= best.fun + 1e-10 and result.inference.log_likelihood == pytest.approx(-lost(found), rel=1e-12)
    h, steps = 1e-4, 1e-4 * np.eye(3)
    hessian = [
        [
            (lost(found + s + t) - lost(found + s - t) - lost(found - s + t) + lost(found - s - t)) / (4 * h * h)
            for t in steps
        ]
        for s in steps
    ]
    assert_allclose(result.inference.standard_errors, np.sqrt(np.diagonal(np.linalg.inv(hessian))), rtol=1e-5)
    rates = np.exp(result.fitted)
    assert_allclose(result.mean, rates / -np.expm1(-rates), rtol=1e-12)
    mean = result.mean
    pearson = (weights * (y - mean) ** 2 / (mean * (1 + rates - mean))).sum() / (weights.sum() - 3)
    assert result.inference.dispersion == pytest.approx(pearson, rel=1e-9)


def test_the_fit_undoes_the_truncation():
    """Of 20,000 counts, those of 0 unseen: the slope is that of all, where the plain law's is far off."""
    x, y = songs(20_000, seed=2)
    result, plain = (
        fit(Problem(x, y, loss=TRUNCATED, intercept=True)),
        fit(Problem(x, y, loss=Poisson(), intercept=True)),
    )
    assert_allclose([result.intercept, *result.coef], [0.2, 0.7, -0.3], atol=4 * result.inference.standard_errors.max())
    assert plain.coef[0] < 0.6 and abs(result.inference.dispersion - 1) < 0.1 and plain.inference.dispersion < 0.8


@pytest.mark.parametrize("level", [-3.0, 8.0, 16.0])
def test_rates_next_to_0_and_large(level):
    x, y = songs(400, level=level)
    y[:2] = [2, 3]
    result = fit(Problem(x, y, loss=TRUNCATED, intercept=True)).raise_for_status()
    if level > 0:
        plain = fit(Problem(x, y, loss=Poisson(), intercept=True))
        assert_allclose(result.fitted, plain.fitted, atol=1e-2 if level < 10 else 1e-9)


def test_a_curve_with_a_shape_goes_through_every_native_solver():
    x, y = songs(60)
    problem = Problem(x[:, 0], y, RBF(1.0), TRUNCATED, [Ridge(0.1)], [Increasing()])
    found = [fit(problem, solver).raise_for_status().objective for solver in ("interior", "admm", "cvxpy:CLARABEL")]
    assert_allclose(found, found[0], rtol=1e-6)


def test_a_model_file_keeps_the_law(tmp_path):
    x, y = songs(80)
    fit(Problem(x, y, loss=TRUNCATED, intercept=True)).save(tmp_path / "m.json")
    result = Result.load(tmp_path / "m.json")
    assert result.problem.loss == TRUNCATED and result.predict_mean(
        -50 * np.ones((1, 2)) * np.sign(result.coef)
    ).tolist() == [1.0]


def test_what_these_counts_cannot_be_is_named():
    x, y = songs(20)
    y[7] = 0
    with pytest.raises(InputError, match="counts of at least 1, being truncated; y holds 0 in row 7"):
        Problem(x, y, loss=TRUNCATED)
    with pytest.raises(InputError, match="y holds 0 in row 7; truncated counts must be 1 or more"):
        PoissonMixture(2, truncated=True).fit(x, y)
    weights = np.ones(20)
    weights[7] = 0
    fit(Problem(x, y, loss=TRUNCATED, weights=weights)).raise_for_status()
    assert Poisson(quasi=True, truncated=True).check_targets(np.array([1.5])) == [1.5]
    with pytest.raises(InputError, match="at least 1"):
        Poisson(quasi=True, truncated=True).check_targets(np.array([0.5]))


# ---- existence -------------------------------------------------------------------------------------------------------


def separated_by_one_program(x, y):
    """Maximise Σ t, 0 ≤ t ≤ 1, x_iᵀv ≤ -t_i where y = 1 (where the loss falls to 0), = 0 where y > 1."""
    one, d = x[y == 1], x.shape[1]
    found = linprog(
        np.concatenate([np.zeros(d), -np.ones(len(one))]),
        A_ub=np.column_stack([one, np.eye(len(one))]),
        b_ub=np.zeros(len(one)),
        A_eq=np.column_stack([x[y > 1], np.zeros((int((y > 1).sum()), len(one)))]) if (y > 1).any() else None,
        b_eq=np.zeros(int((y > 1).sum())) if (y > 1).any() else None,
        bounds=[(None, None)] * d + [(0, 1)] * len(one),
    )
    return np.flatnonzero(y == 1)[found.x[d:] > 0.5]


@given(st.integers(0, 2**32 - 1), st.sampled_from([(12, 2), (15, 4), (25, 6)]))
def test_all_separated_rows_are_found_and_no_others(seed, shape):
    draw = np.random.default_rng(seed)
    x = draw.integers(-1, 3, shape).astype(float)
    y = 1.0 + draw.poisson(np.exp(draw.uniform(-2, 0.5)), shape[0])
    found = settle(canonicalize(Problem(x, y, loss=TRUNCATED)), 0)
    expected = separated_by_one_program(x, y)
    assert list(found.rows) == expected.tolist() and found.finite == (not len(expected))


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_the_likelihood_rises_for_ever_exactly_where_that_is_said(seed):
    """By brute force: 200 directions of a small design, followed far."""
    draw = np.random.default_rng(seed)
    x, y = draw.integers(-1, 2, (6, 2)).astype(float), 1.0 + draw.poisson(0.6, 6)
    finite = settle(canonicalize(Problem(x, y, loss=TRUNCATED)), 0).finite
    angles = np.arange(720) * np.pi / 360
    for v in np.column_stack([np.cos(angles), np.sin(angles)]).round(12):
        at = np.array([TRUNCATED.pointwise(x @ v * t, y).sum() for t in (0.0, 2.0, 4.0, 60.0)])
        endless = np.all(np.diff(at) <= 0) and at[3] < at[0] - 1e-9 and np.abs((x @ v)[y > 1]).max(initial=0) < 1e-9
        assert not (endless and finite), v


def test_all_counts_of_1_have_no_finite_maximum():
    x, _ = songs(30)
    result = fit(Problem(x, np.ones(30), loss=TRUNCATED, intercept=True))
    assert result.status is Status.NO_FINITE_MAXIMUM and result.existence.supremum == 0
    assert "30 rows with y = 1 can approach 1 without reaching it" in result.message
    assert fit(Problem(x, np.ones(30), loss=TRUNCATED, regularizers=[Ridge(0.1)])).status is Status.CERTIFIED
    with pytest.raises(InputError, match="every count in y is 1, so that the likelihood has no finite maximum"):
        PoissonMixture(1, truncated=True).fit(x, np.ones(30))


def test_separated_rows_have_the_mean_1():
    x, y = songs(100)
    x = np.column_stack([x, np.arange(100) % 10 == 0])
    y[::10] = 1
    problem = Problem(x, y, loss=TRUNCATED, intercept=True)
    assert fit(problem).existence.rows == tuple(range(0, 100, 10))
    result = fit(problem, separated="drop").raise_for_status()
    assert (result.mean[::10] == 1).all() and (result.fitted[::10] == -np.inf).all()
    rest = np.arange(100) % 10 > 0
    assert_allclose(
        result.mean[rest], fit(Problem(x[rest, :2], y[rest], loss=TRUNCATED, intercept=True)).mean, rtol=1e-9
    )
    assert result.inference.log_likelihood == pytest.approx(
        log_pmf(y[rest], np.exp(result.fitted[rest])).sum(), rel=1e-12
    )


# ---- mixtures --------------------------------------------------------------------------------------------------------


def components(n=500, seed=0):
    draw = np.random.default_rng(seed)
    x, which = draw.standard_normal((n, 1)), draw.random(n) < 0.6
    offset = draw.uniform(-0.5, 0.5, n)
    rates = np.exp(np.where(which, 0.2 + 0.5 * x[:, 0], 2.5 - 0.5 * x[:, 0]) + offset)
    return x, cut(rates, draw), offset


def test_one_component_is_the_plain_fit():
    x, y, offset = components()
    weights = np.random.default_rng(1).uniform(0.5, 3, len(y))
    one = PoissonMixture(1, truncated=True).fit(x, y, Rows(offset, weights))
    alone = fit(Problem(x, y, loss=TRUNCATED, weights=weights, offset=offset, intercept=True))
    assert one.status is Status.CERTIFIED
    assert_allclose(one.coef[0], [alone.intercept, *alone.coef], rtol=1e-9)
    assert_allclose(one.uncertainty.standard_errors[0], alone.inference.standard_errors, rtol=1e-7)
    assert one.log_likelihood == pytest.approx(alone.inference.log_likelihood, rel=1e-12)
    assert one.dispersion[0] == pytest.approx(alone.inference.dispersion, rel=1e-9)


@pytest.mark.parametrize("groups", [False, True])
def test_the_observed_likelihood_and_its_derivatives_are_right(groups):
    """ℓ by logsumexp of scipy's densities, its gradient and information by differences."""
    x, y, offset = components(60)
    labels = np.arange(60) // 3 if groups else None
    design = PoissonMixture(2, truncated=True).design(x, y, Rows(offset, np.linspace(0.5, 2, 60), labels))
    sample, draw = Sample.of(design), np.random.default_rng(2)
    flat = np.concatenate([draw.normal(0, 0.5, (2, 2)), np.log([[0.3], [0.7]])], axis=1).ravel()

    def point(values):
        rows = values.reshape(2, 3)
        logits = rows[:, 2] - np.logaddexp.reduce(rows[:, 2])
        return MixtureParameters(rows[None, :, :2] * sample.scale, logits[None])

    def value(values):
        rows = values.reshape(2, 3)
        z = np.column_stack([np.ones(60), x]) @ rows[:, :2].T + offset[:, None]
        density, weights = log_pmf(y[:, None], np.exp(z)), design.weights
        if groups:
            density = np.array([(weights[:, None] * density)[labels == one].sum(axis=0) for one in range(20)])
            weights = np.ones(20)
        return (weights * np.logaddexp.reduce(density + rows[:, 2] - np.logaddexp.reduce(rows[:, 2]), axis=1)).sum()

    here = curvature(sample, point(flat))
    assert here.log_likelihood == pytest.approx(value(flat), rel=1e-12)
    h = 1e-4
    steps = h * np.eye(6)
    units = np.array([*sample.scale, 1.0] * 2)
    gradient = [(value(flat + step) - value(flat - step)) / (2 * h) for step in steps]
    assert_allclose(here.gradient * units, gradient, atol=1e-5)
    hessian = np.array(
        [
            [
                (value(flat + s + t) - value(flat + s - t) - value(flat - s + t) + value(flat - s - t)) / (4 * h * h)
                for t in steps
            ]
            for s in steps
        ]
    )
    observed = here.observed * units * units[:, None]
    logits = [2, 5]
    observed[np.ix_(logits, logits)] -= sample.total / 2  # what fixes the direction that changes no proportion
    assert_allclose(observed, -hessian, atol=2e-5 * np.abs(hessian).max())


def test_components_are_found_saved_and_predict_the_truncated_mean(tmp_path):
    x, y, offset = components(1500, seed=3)
    result = PoissonMixture(2, truncated=True, budget=QUICK).fit(x, y, Rows(offset))
    assert result.status is Status.CERTIFIED and result.design.law is ZERO_TRUNCATED_LAW
    order = np.argsort(result.coef[:, 0])
    errors = result.uncertainty.standard_errors[order]
    assert (np.abs(result.coef[order] - [[0.2, 0.5], [2.5, -0.5]]) < 4 * errors).all()
    result.components.save(tmp_path / "m.json")
    kept = Components.load(tmp_path / "m.json")
    rates = np.exp(np.column_stack([np.ones(1500), x]) @ result.coef.T + offset[:, None])
    means = rates / -np.expm1(-rates)
    assert kept.truncated and dataclasses.asdict(kept)["truncated"]
    assert_allclose(kept.means(x, offset), means, rtol=1e-12)
    assert_allclose(kept.predict(x, offset), means @ result.proportions, rtol=1e-12)
    joint = log_pmf(y[:, None], rates) + np.log(result.proportions)
    expected = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    assert_allclose(kept.posterior(x, y, offset), expected, atol=1e-12)
    assert_allclose(kept.posterior(x, y, offset), result.responsibilities, atol=1e-9)
    with pytest.raises(InputError, match="y holds 0 in row 0; counts of this mixture are 1 or more"):
        kept.posterior(x[:1], [0], offset[:1])


def test_the_textbooks_cycles_never_lower_the_likelihood():
    x, y, _ = components(200)
    result = PoissonMixture(2, truncated=True).fit_plain(x, y, np.arange(200) % 2, 40)
    assert np.all(np.diff(result.trace) >= -1e-9 * np.abs(result.trace[:-1])) and len(result.trace) == 40


def test_a_component_of_ones_has_no_finite_maximum():
    y = np.where(np.arange(60) == 30, 1.0, 40.0 + np.arange(60) % 9)
    result = PoissonMixture(2, truncated=True, budget=QUICK).fit(np.empty((60, 0)), y)
    assert result.status is Status.NO_FINITE_MAXIMUM and "counts of 1 go to 0" in result.message


def test_statsmodels_agrees():
    discrete = pytest.importorskip("statsmodels.discrete.truncated_model", reason="statsmodels is not installed")
    x, y = songs()
    offset = np.random.default_rng(6).uniform(-0.5, 0.5, 300)
    columns, result = (
        np.column_stack([np.ones(300), x]),
        fit(Problem(x, y, loss=TRUNCATED, offset=offset, intercept=True)),
    )
    peer = discrete.TruncatedLFPoisson(y, columns, offset=offset).fit(method="newton", disp=0, tol=1e-14, maxiter=200)
    assert_allclose([result.intercept, *result.coef], peer.params, rtol=1e-8)
    assert_allclose(result.inference.standard_errors, peer.bse, rtol=1e-5)
    assert result.inference.log_likelihood == pytest.approx(peer.llf, rel=1e-8)
    assert_allclose(result.mean, peer.predict(offset=offset), rtol=1e-8)


def test_a_slack_is_a_number_however_small_or_large_the_mean():
    """exp(z) is 0 below -746 and infinite above 710: the gap is 0 or infinite there."""
    y = np.array([1.0, 1.0, 3.0, 1.0, 3.0])
    z = np.array([-800.0, -760.0, -800.0, 720.0, 720.0])
    u = np.array([0.0, 0.5, -2.0, 0.0, 0.0])
    found = Poisson(truncated=True).slack(z, u, y)
    assert found[0] == 0 and found[1] > 100 and found[2] == 0 and np.isinf(found[3:]).all()
