"""The mixture at its limits: sizes that overflow, saddles, and dozens of components."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hw4opt import InputError, Poisson, Problem, Status, fit
from hw4opt.mixture import ascent, likelihood, runs, search
from hw4opt.mixture.ascent import InformationAxes, ascend
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.em import m_step, one_hot
from hw4opt.mixture.likelihood import MixtureParameters, curvature
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.summarize import FinishedFit, summarize
from hw4opt.mixture.validation import Rows

QUICK = Budget(24, 40)


def listened(seed, n=120, d=2, spread=0.0):
    """Features (n, d) and counts of two components, spread wider than Poisson counts where `spread` is above 0."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, d))
    rates = np.exp(2 + np.where(draw.integers(2, size=n), 0.9, -0.9) * x[:, 0])
    return x, draw.poisson(rates * draw.gamma(1 / spread, spread, n) if spread else rates).astype(float)


def sample_of(x, y, rows=None, ridge=0.0):
    return Sample.of(PoissonMixture(1, ridge=ridge).design(x, y, rows))


# ---- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e160, 1e200, 1e307, 1e-160, 1e-200, 1e-285])
def test_the_size_of_a_column_changes_nothing_however_large_or_small(size):
    x, y = listened(0)
    model = PoissonMixture(2, budget=QUICK)
    plain, sized = model.fit(x, y), model.fit(x * [size, 1], y)
    assert sized.status is Status.CERTIFIED and sized.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-10)
    assert sized.coef * [1, size, 1] == pytest.approx(plain.coef, rel=1e-6)
    assert sized.uncertainty.standard_errors * [1, size, 1] == pytest.approx(
        plain.uncertainty.standard_errors, rel=1e-6
    )
    assert sized.score_errors(x * [size, 1]) == pytest.approx(plain.score_errors(x), rel=1e-6)


def test_standard_errors_of_scores_are_those_of_the_covariance():
    x, y = listened(1)
    found = PoissonMixture(2, budget=QUICK).fit(x, y)
    rows = np.column_stack([np.ones(len(x)), x])
    expected = np.sqrt(np.einsum("mp,kpq,mq->mk", rows, found.uncertainty.covariance, rows))
    assert found.score_errors(x) == pytest.approx(expected, rel=1e-10)
    small = PoissonMixture(2, budget=QUICK).fit(x * 1e-9, y)
    far = small.score_errors([[1.7e308, -1.7e308]])
    assert far.shape == (1, 2) and np.isinf(far).all() and not np.isfinite(small.scores([[1.7e308, -1.7e308]])).any()


@pytest.mark.parametrize("ridge", [1e20, 1e100, 1e308])
def test_a_stiff_ridge_holds_coefficients_at_zero(ridge):
    x, y = listened(2)
    found = PoissonMixture(2, ridge=ridge, budget=QUICK).fit(x, y)
    assert np.isfinite(found.log_likelihood) and np.abs(found.coef[:, 1:]).max() < 1e-15
    tiny = PoissonMixture(2, ridge=ridge, budget=QUICK).fit(x * 1e-250, y)
    assert np.isfinite(tiny.log_likelihood) and np.abs(tiny.coef[:, 1:]).max() < 1e-15


def test_rows_of_weight_0_cannot_spoil_the_others():
    x, y = listened(3)
    wild = np.vstack([x, [[1e308, -1e308], [-1e300, 1e300]]])
    rows = Rows(
        weights=np.r_[np.ones(len(y)), 0, 0], offset=np.r_[0 * y, 1e308, -1e308], groups=np.r_[np.arange(len(y)), 0, 1]
    )
    found = PoissonMixture(2, budget=QUICK).fit(wild, np.r_[y, 1e300, 1e300], rows)
    plain = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-10)
    assert found.responsibilities[:-2] == pytest.approx(plain.responsibilities, abs=1e-6)
    assert np.isfinite(found.responsibilities).all() and found.explained == pytest.approx(plain.explained)


@pytest.mark.parametrize("size", [1e15, 1e16])
def test_huge_counts_are_stationary_to_rounding(size):
    x, y = listened(6, 60)
    found = PoissonMixture(2, budget=QUICK).fit(x, np.minimum(y, 80) * size)
    less = PoissonMixture(2, budget=QUICK).fit(x, np.minimum(y, 80) * 1e9)
    assert found.status is Status.CERTIFIED and found.gradient < 1e-4
    assert found.coef[:, 1:] == pytest.approx(less.coef[:, 1:], abs=1e-6)


def test_a_column_of_zeros_is_not_identified_and_fits_all_the_same():
    x, y = listened(5)
    found = PoissonMixture(2, intercept=False, budget=QUICK).fit(np.column_stack([x, 0 * y]), y)
    assert np.isfinite(found.log_likelihood) and "not identified" in str(found.uncertainty.reason)


# ---- counts above 0 in few of many rows ------------------------------------------------------------------------------


def rare(seed, n=20_000):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 2))
    return x, draw.poisson(np.exp(-7.5 + 0.3 * x[:, 0])).astype(float)


def six_of_5000(seed=3):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(5_000, 2)), np.zeros(5_000)
    y[draw.permutation(5_000)[:6]] = 1 + draw.integers(3, size=6)
    return x, y


@pytest.mark.parametrize("seed", range(1, 6))
def test_rare_counts_in_many_rows_are_fitted_as_solve_fits_them(seed):
    x, y = rare(seed)
    found, alone = PoissonMixture(1).fit(x, y), fit(Problem(x, y, loss=Poisson(), intercept=True))
    assert found.status is Status.CERTIFIED and found.starts.failed == 0
    assert found.coef[0] == pytest.approx(np.r_[alone.intercept, alone.coef], abs=1e-5)


@pytest.mark.parametrize("groups", [None, np.arange(20_000) // 4])
def test_a_part_holds_the_rare_counts_and_weighs_as_the_sample(groups):
    x, y = rare(0)
    y[:600] = 2
    few, many = sample_of(x, np.r_[np.zeros(600), y[600:]], Rows(groups=groups)), sample_of(x, y, Rows(groups=groups))
    for sample in (few, many):
        units = sample.unit_sums(sample.counts) > 0
        part = sample.subsample(1_000, np.random.default_rng(0))
        held = part.unit_sums(part.counts) > 0
        assert len(part) == 1_000 and held.sum() == min(units.sum(), 500)
        assert part.unit_weights[held].sum() == pytest.approx(units.sum()) and part.total == pytest.approx(sample.total)
    assert many.subsample(20_000, np.random.default_rng(0)) is many


def test_an_ascent_that_overflows_fails_and_is_no_error():
    x, y = rare(1)
    lost = ascend(sample_of(x, y), MixtureParameters(np.array([[[-725.0, 0, 0]]]), np.zeros((1, 1))))
    assert lost.failed and not lost.stationary and not lost.finished


def test_failed_ascents_are_counted_and_left_out(monkeypatch):
    x, y = listened(16)
    plain, number = PoissonMixture(2, budget=QUICK).fit(x, y), itertools.count()

    def failing(*given, **options):
        return replace(ascend(*given, **options), failed=next(number) % 2 == 0)

    monkeypatch.setattr(runs, "ascend", failing)
    found = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.starts.failed > 0 and any(said.endswith("starts failed") for said in found.warnings)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood)
    monkeypatch.setattr(runs, "ascend", lambda *given, **options: replace(ascend(*given, **options), failed=True))
    with pytest.raises(InputError, match="no start led to a finite likelihood"):
        PoissonMixture(2, budget=QUICK).fit(x, y)


# ---- saddles and ridges ----------------------------------------------------------------------------------------------


def test_a_search_of_two_components_does_not_end_in_the_saddle_of_one():
    x, y = six_of_5000()
    one, found = PoissonMixture(1).fit(x, y), PoissonMixture(2, budget=Budget(24, 60)).fit(x, y)
    assert found.status is Status.CERTIFIED and found.message.endswith("; a local maximum")
    assert found.log_likelihood == pytest.approx(-51.1914355, abs=1e-6) and one.log_likelihood == pytest.approx(
        -75.311858, abs=1e-6
    )


def twins(seed=0):
    """Every row twice, with labels that separate the copies: EM's two components stay identical."""
    x, y = listened(seed, 60)
    return np.repeat(x, 2, axis=0), np.repeat(y, 2), np.tile([0, 1], 60)


def test_an_ascent_leaves_a_saddle():
    x, y, _ = twins()
    sample, one = sample_of(x, y), PoissonMixture(1).fit(x, y)
    saddle = MixtureParameters(np.stack([one.coef * sample.scale] * 2, axis=1), np.log([[0.5, 0.5]]))
    stuck = ascent.assessed(sample, saddle, [])
    assert (
        stuck.stationary
        and stuck.saddle
        and not stuck.finished
        and np.linalg.eigvalsh(stuck.curvature.observed)[0] < -1
    )
    done = ascend(sample, saddle)
    assert done.finished and done.stationary and done.log_likelihood > one.log_likelihood + 10
    assert np.linalg.eigvalsh(done.curvature.observed)[0] > 0 and (np.diff(done.trace) >= 0).all()
    assert done.log_likelihood == pytest.approx(PoissonMixture(2, budget=QUICK).fit(x, y).log_likelihood)


def test_a_plain_run_that_ends_in_a_saddle_says_so():
    x, y, labels = twins()
    found = PoissonMixture(2).fit_plain(x, y, labels, 30)
    assert found.status is Status.CERTIFIED and found.message.endswith(
        "; a saddle: ℓ rises in some direction, try other labels"
    )
    assert "a saddle" in str(found.uncertainty.reason) and found.uncertainty.standard_errors is None


def test_a_saddle_is_no_finished_run_of_a_search():
    x, y, labels = twins()
    model = PoissonMixture(2)
    design, sample = model.design(x, y), sample_of(x, y)
    stuck = ascent.assessed(sample, m_step(sample, one_hot(labels, 2)[None]), [])
    found = search.SearchRecord()
    found.add([stuck], 1, 0)
    assert found.ends == [] and found.end is stuck
    said = summarize(FinishedFit(2, design, sample, stuck, found), 0.0)
    assert said.status is Status.ITERATION_LIMIT and said.message.startswith(
        "a saddle: ℓ rises in some direction there"
    )
    found.add([replace(stuck, saddle=False)], 1, 0)
    assert found.ends == [stuck.log_likelihood] and not found.end.saddle


@pytest.mark.parametrize("seed", range(17, 22))
def test_columns_that_say_the_same_are_flat_and_have_no_errors(seed):
    x, y = listened(seed)
    for column in (x[:, 0], 2 * x[:, 0] - 1, x.sum(axis=1)):
        found = PoissonMixture(2, budget=Budget(4, 0)).fit(np.column_stack([x, column]), y)
        assert found.status is Status.CERTIFIED and found.message.endswith(
            "; the likelihood is flat in some direction there"
        )
        assert "singular" in str(found.uncertainty.reason)


@pytest.mark.parametrize("weight", [1.0, 1 / 12_000, 1e-9])
def test_a_component_without_maximum_is_found_whatever_rows_weigh(weight):
    draw = np.random.default_rng(0)
    x = draw.normal(size=12_000)
    y = np.where(draw.uniform(size=12_000) < 0.4, 0, draw.poisson(40, 12_000)).astype(float)
    found = PoissonMixture(2, budget=Budget(4, 0)).fit(x, y, Rows(weights=np.full(12_000, weight)))
    assert found.status is Status.NO_FINITE_MAXIMUM and found.uncertainty.standard_errors is None


# ---- components in dozens --------------------------------------------------------------------------------------------


def test_steps_are_newtons_and_ems():
    """By blocks, against dense solves: C d = g for τ = 1, and O d = g for τ = 0 beside a maximum."""
    x, y = listened(6)
    sample = sample_of(x, y, Rows(weights=np.linspace(0.5, 2, len(y))), ridge=0.2)
    top = ascend(sample, m_step(sample, one_hot(np.arange(len(y)) % 2, 2)[None])).point
    point = MixtureParameters(
        top.coef + 1e-3 * np.random.default_rng(0).normal(size=top.coef.shape), top.log_proportions
    )
    here = curvature(sample, point)
    axes = InformationAxes.of(here)
    assert np.linalg.eigvalsh(here.observed)[0] > 0
    assert axes.step(1.0) == pytest.approx(
        np.linalg.solve(here.complete.times(np.eye(8)), here.gradient), rel=1e-8, abs=1e-12
    )
    assert axes.step(0.0) == pytest.approx(np.linalg.solve(here.observed, here.gradient), rel=1e-8, abs=1e-12)


def test_beyond_the_most_parameters_the_information_is_not_made(monkeypatch):
    x, y = listened(7)
    rows = Rows(groups=np.arange(len(y)) // 2, weights=np.linspace(0.5, 2, len(y)))
    sample = sample_of(x, y, rows)
    point = m_step(sample, one_hot(np.arange(len(sample)) % 2, 2)[None])
    whole, plain = curvature(sample, point), PoissonMixture(2, budget=QUICK).fit(x, y)
    monkeypatch.setattr(likelihood, "MAX_INFORMATION_PARAMETERS", 7)
    monkeypatch.setattr("hw4opt.mixture.summarize.MAX_INFORMATION_PARAMETERS", 7)
    slim = curvature(sample, point)
    assert slim.observed is None and slim.log_likelihood == pytest.approx(whole.log_likelihood)
    assert slim.gradient == pytest.approx(whole.gradient, rel=1e-8, abs=1e-8)
    assert slim.complete.times(np.eye(8)) == pytest.approx(whole.complete.times(np.eye(8)))
    found = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-9)
    assert found.uncertainty.standard_errors is None and "more than 7 parameters" in str(found.uncertainty.reason)
