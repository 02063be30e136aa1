"""The mixture at its limits: sizes that overflow, moods in dozens, seconds that run out, and input that no number can hold."""

import itertools
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hw4opt import InputError, Poisson, Problem, Status, fit
from hw4opt.poisson import ascent, choosing, likelihood, search
from hw4opt.poisson.ascent import Axes, climb
from hw4opt.poisson.check import Rows
from hw4opt.poisson.choosing import choose_k
from hw4opt.poisson.conclude import Run, conclude
from hw4opt.poisson.em import m_step, one_hot
from hw4opt.poisson.likelihood import Point, curvature
from hw4opt.poisson.mixture import PoissonMixture
from hw4opt.poisson.sample import Sample
from hw4opt.poisson.search import Budget

QUICK = Budget(24, 40)


def listened(seed, n=120, d=2, spread=0.0):
    """Features (n, d) and counts of two moods, spread wider than Poisson counts where `spread` is above 0."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, d))
    rates = np.exp(2 + np.where(draw.integers(2, size=n), 0.9, -0.9) * x[:, 0])
    return x, draw.poisson(rates * draw.gamma(1 / spread, spread, n) if spread else rates).astype(float)


def sample_of(x, y, rows=None, ridge=0.0):
    return Sample.of(PoissonMixture(1, ridge=ridge).design(x, y, rows))


def ticking(monkeypatch, *modules):
    """A clock that goes on by a second whenever it is asked."""
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)), perf_counter=time.perf_counter)
    for module in modules:
        monkeypatch.setattr(module, "time", clock)


# ---- sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e160, 1e200, 1e307, 1e-160, 1e-200, 1e-285])
def test_the_size_of_a_column_changes_nothing_however_large_or_small(size):
    x, y = listened(0)
    model = PoissonMixture(2, budget=QUICK)
    plain, sized = model.fit(x, y), model.fit(x * [size, 1], y)
    assert sized.status is Status.CERTIFIED and sized.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-10)
    assert sized.coef * [1, size, 1] == pytest.approx(plain.coef, rel=1e-6)
    assert sized.uncertainty.standard_errors * [1, size, 1] == pytest.approx(plain.uncertainty.standard_errors, rel=1e-6)
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
    rows = Rows(weights=np.r_[np.ones(len(y)), 0, 0], offset=np.r_[0 * y, 1e308, -1e308], groups=np.r_[np.arange(len(y)), 0, 1])
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


# ---- counts above 0 in few of many rows --------------------------------------------------------------------------------


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
        part = sample.part(1_000, np.random.default_rng(0))
        held = part.unit_sums(part.counts) > 0
        assert len(part) == 1_000 and held.sum() == min(units.sum(), 500)
        assert part.unit_weights[held].sum() == pytest.approx(units.sum()) and part.total == pytest.approx(sample.total)
    assert many.part(20_000, np.random.default_rng(0)) is many


def test_an_ascent_that_overflows_fails_and_is_no_error():
    x, y = rare(1)
    lost = climb(sample_of(x, y), Point(np.array([[[-725.0, 0, 0]]]), np.zeros((1, 1))))
    assert lost.failed and not lost.stationary and not lost.finished


def test_failed_ascents_are_counted_and_left_out(monkeypatch):
    x, y = listened(16)
    plain, number = PoissonMixture(2, budget=QUICK).fit(x, y), itertools.count()

    def failing(*given, **options):
        return replace(climb(*given, **options), failed=next(number) % 2 == 0)

    monkeypatch.setattr(search, "climb", failing)
    found = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.starts.failed > 0 and any(said.endswith("starts failed") for said in found.warnings)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood)
    monkeypatch.setattr(search, "climb", lambda *given, **options: replace(climb(*given, **options), failed=True))
    with pytest.raises(InputError, match="no start led to a finite likelihood"):
        PoissonMixture(2, budget=QUICK).fit(x, y)


# ---- saddles and ridges ----------------------------------------------------------------------------------------------------


def test_a_search_of_two_moods_does_not_end_in_the_saddle_of_one():
    x, y = six_of_5000()
    one, found = PoissonMixture(1).fit(x, y), PoissonMixture(2, budget=Budget(24, 60)).fit(x, y)
    assert found.status is Status.CERTIFIED and found.message.endswith("; a local maximum")
    assert found.log_likelihood == pytest.approx(-51.1914355, abs=1e-6) and one.log_likelihood == pytest.approx(-75.311858, abs=1e-6)


def twins(seed=0):
    """Every row twice, labels that tell the two apart: EM's two moods are one and the same for ever."""
    x, y = listened(seed, 60)
    return np.repeat(x, 2, axis=0), np.repeat(y, 2), np.tile([0, 1], 60)


def test_an_ascent_leaves_a_saddle():
    x, y, _ = twins()
    sample, one = sample_of(x, y), PoissonMixture(1).fit(x, y)
    saddle = Point(np.stack([one.coef * sample.scale] * 2, axis=1), np.log([[0.5, 0.5]]))
    stuck = ascent.ended(sample, saddle, [])
    assert stuck.stationary and stuck.saddle and not stuck.finished and np.linalg.eigvalsh(stuck.curvature.observed)[0] < -1
    done = climb(sample, saddle)
    assert done.finished and done.stationary and done.log_likelihood > one.log_likelihood + 10
    assert np.linalg.eigvalsh(done.curvature.observed)[0] > 0 and (np.diff(done.trace) >= 0).all()
    assert done.log_likelihood == pytest.approx(PoissonMixture(2, budget=QUICK).fit(x, y).log_likelihood)


def test_a_plain_run_that_ends_in_a_saddle_says_so():
    x, y, labels = twins()
    found = PoissonMixture(2).fit_plain(x, y, labels, 30)
    assert found.status is Status.CERTIFIED and found.message.endswith("; a saddle: ℓ rises in some direction, try other labels")
    assert "a saddle" in str(found.uncertainty.reason) and found.uncertainty.standard_errors is None


def test_a_saddle_is_no_finished_run_of_a_search():
    x, y, labels = twins()
    model = PoissonMixture(2)
    design, sample = model.design(x, y), sample_of(x, y)
    stuck = ascent.ended(sample, m_step(sample, one_hot(labels, 2)[None]), [])
    found = search.Found()
    found.take([stuck], 1, 0)
    assert found.ends == [] and found.end is stuck
    said = conclude(Run(2, design, sample, stuck, found), 0.0)
    assert said.status is Status.ITERATION_LIMIT and said.message.startswith("a saddle: ℓ rises in some direction there")
    found.take([replace(stuck, saddle=False)], 1, 0)
    assert found.ends == [stuck.log_likelihood] and not found.end.saddle


@pytest.mark.parametrize("seed", range(17, 22))
def test_columns_that_say_the_same_are_flat_and_have_no_errors(seed):
    x, y = listened(seed)
    for column in (x[:, 0], 2 * x[:, 0] - 1, x.sum(axis=1)):
        found = PoissonMixture(2, budget=Budget(4, 0)).fit(np.column_stack([x, column]), y)
        assert found.status is Status.CERTIFIED and found.message.endswith("; the likelihood is flat in some direction there")
        assert "singular" in str(found.uncertainty.reason)


@pytest.mark.parametrize("weight", [1.0, 1 / 12_000, 1e-9])
def test_a_mood_without_maximum_is_found_whatever_rows_weigh(weight):
    draw = np.random.default_rng(0)
    x = draw.normal(size=12_000)
    y = np.where(draw.uniform(size=12_000) < 0.4, 0, draw.poisson(40, 12_000)).astype(float)
    found = PoissonMixture(2, budget=Budget(4, 0)).fit(x, y, Rows(weights=np.full(12_000, weight)))
    assert found.status is Status.NO_FINITE_MAXIMUM and found.uncertainty.standard_errors is None


X, Y = np.arange(12.0) % 5, np.arange(12.0)


@pytest.mark.parametrize(
    ("x", "y", "rows", "intercept", "sentence"),
    [
        (X * 1e-300, Y, Rows(names=["tempo"]), True, "column 'tempo' holds nothing larger than 4e-300"),
        (X, Y * 1e18, Rows(), True, "y holds 2e+18 in row 3; counts are taken up to 1e+18"),
        (X, Y, Rows(weights=Y * 1e300), True, "weights holds 1e+300 in row 2"),
        (X, Y, Rows(offset=100 * Y), True, "offset holds 400 in row 5; it is the log of an exposure"),
        (0 * X, Y, Rows(), False, "every feature is 0 in every row"),
        (X, Y, Rows(groups=0 * X), True, "k is 2 and there is 1 group"),
    ],
)
def test_what_no_number_can_hold_is_a_sentence(x, y, rows, intercept, sentence):
    with pytest.raises(InputError, match=sentence.replace("+", r"\+")):
        PoissonMixture(2, intercept=intercept).fit(x, y, rows)


def test_labels_that_are_none_are_named_with_their_row():
    with pytest.raises(InputError, match="hold 7 in row 3"):
        PoissonMixture(2).fit_plain(X, Y, np.r_[0, 1, 7, X[3:] % 2], 3)


# ---- moods in dozens -----------------------------------------------------------------------------------------------------


def test_steps_are_newtons_and_ems():
    """By blocks, against dense solves: C d = g for τ = 1, and O d = g for τ = 0 beside a maximum."""
    x, y = listened(6)
    sample = sample_of(x, y, Rows(weights=np.linspace(0.5, 2, len(y))), ridge=0.2)
    top = climb(sample, m_step(sample, one_hot(np.arange(len(y)) % 2, 2)[None])).point
    point = Point(top.coef + 1e-3 * np.random.default_rng(0).normal(size=top.coef.shape), top.log_proportions)
    here = curvature(sample, point)
    axes = Axes.of(here)
    assert np.linalg.eigvalsh(here.observed)[0] > 0
    assert axes.step(1.0) == pytest.approx(np.linalg.solve(here.complete.times(np.eye(8)), here.gradient), rel=1e-8, abs=1e-12)
    assert axes.step(0.0) == pytest.approx(np.linalg.solve(here.observed, here.gradient), rel=1e-8, abs=1e-12)


def test_beyond_the_most_parameters_the_information_is_not_made(monkeypatch):
    x, y = listened(7)
    rows = Rows(groups=np.arange(len(y)) // 2, weights=np.linspace(0.5, 2, len(y)))
    sample = sample_of(x, y, rows)
    point = m_step(sample, one_hot(np.arange(len(sample)) % 2, 2)[None])
    whole, plain = curvature(sample, point), PoissonMixture(2, budget=QUICK).fit(x, y)
    monkeypatch.setattr(likelihood, "MOST", 7)
    monkeypatch.setattr("hw4opt.poisson.conclude.MOST", 7)
    slim = curvature(sample, point)
    assert slim.observed is None and slim.log_likelihood == pytest.approx(whole.log_likelihood)
    assert slim.gradient == pytest.approx(whole.gradient, rel=1e-8, abs=1e-8)
    assert slim.complete.times(np.eye(8)) == pytest.approx(whole.complete.times(np.eye(8)))
    found = PoissonMixture(2, budget=QUICK).fit(x, y)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-9)
    assert found.uncertainty.standard_errors is None and "more than 7 parameters" in str(found.uncertainty.reason)


# ---- seconds that run out ------------------------------------------------------------------------------------------------


def test_the_cap_bites_within_a_run_of_sixty_moods():
    x, y = listened(8, 400, 8, spread=2.0)
    started = time.perf_counter()
    found = PoissonMixture(60, budget=Budget(seconds=0.5)).fit(x, y)
    assert time.perf_counter() - started < 60  # minutes without
    assert any("seconds of the search ran out" in said for said in found.warnings)
    if found.status is Status.ITERATION_LIMIT:
        assert "the seconds ran out" in found.message and "the seconds ran out" in str(found.uncertainty.reason)


def test_a_run_that_is_cut_says_that_it_is_not_stationary(monkeypatch):
    x, y = listened(9, 200, spread=2.0)
    ticking(monkeypatch, search)
    found = PoissonMixture(8, budget=Budget(seconds=3)).fit(x, y)
    assert found.status is Status.ITERATION_LIMIT and found.message.startswith("not stationary: the seconds ran out")
    assert found.starts.finished == 0 and found.uncertainty.reason == "the point is not stationary: the seconds ran out"


def test_of_a_capped_search_the_best_finished_run_is_given(monkeypatch):
    x, y = listened(10, 150, spread=1.0)
    statuses = set()
    for seconds in (1, 10, 40):
        ticking(monkeypatch, search)
        found = search.search(sample_of(x, y), 5, Budget(48, 200, seconds), np.random.default_rng(0))
        assert found.capped and found.best is not None and found.best.cut == (not found.ends), seconds
        assert not found.ends or found.best.log_likelihood == max(found.ends)
        statuses.add(found.best.stationary)
    assert statuses == {True, False}


def test_without_seconds_no_clock_changes_the_answer(monkeypatch):
    x, y = listened(11)
    one = PoissonMixture(3, budget=QUICK).fit(x, y)
    ticking(monkeypatch, search, choosing)
    other = PoissonMixture(3, budget=QUICK).fit(x, y)
    assert (one.coef == other.coef).all() and (one.trace == other.trace).all() and one.starts == other.starts


def test_large_batches_of_starts_begin_in_parts(monkeypatch):
    x, y = listened(12)
    whole = PoissonMixture(3, budget=QUICK).fit(x, y)
    monkeypatch.setattr(search, "BATCH", 2_000)
    parts = PoissonMixture(3, budget=QUICK).fit(x, y)
    assert parts.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-9) and parts.starts.tried == whole.starts.tried


def test_perturbations_follow_the_starts_where_they_are_not_counted():
    assert Budget(2).most == 2 * search.EACH and Budget(2, 0).most == 0
    x, y = listened(13, spread=1.0)
    assert PoissonMixture(4, budget=Budget(1)).fit(x, y).starts.tried <= 1 + search.EACH
    with pytest.raises(InputError, match="perturbations is -1"):
        Budget(2, -1)


def test_the_seconds_of_a_choice_are_those_of_all_k_together(monkeypatch):
    x, y = listened(14)
    ticking(monkeypatch, search, choosing)
    choice = choose_k(PoissonMixture(1, budget=Budget(24, 40, 30.0)), (x, y, Rows()), range(1, 9))
    assert choice.untried and list(choice.results) + list(choice.untried) == list(range(1, 9))
    assert choice.warnings == (f"the seconds ran out before k = {choice.untried[0]} to 8: they were not tried",)
    assert choose_k(PoissonMixture(1, budget=QUICK), (x, y, Rows()), [1, 2]).warnings == ()


@pytest.mark.parametrize(
    ("ks", "rows", "criterion", "sentence"),
    [
        (range(1, 14), Rows(), "bic", "k is 13 and there are 12 distinct rows; k must be 12 or less"),
        (range(1, 10**12), Rows(), "bic", "k is 999999999999 and there are 12 distinct rows"),
        ([2, 1, 5], Rows(groups=X % 3), "bic", "k is 5 and there are 3 groups; k must be 3 or less"),
        ([1, 2], Rows(groups=X), "held_out", "held-out likelihood takes 5 folds"),
        ([2, 0], Rows(), "bic", "each 1 or more"),
        ([], Rows(), "bic", "at least one k"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_any_search(ks, rows, criterion, sentence):
    told = []
    with pytest.raises(InputError, match=sentence):
        choose_k(PoissonMixture(1), (X, Y, rows), ks, criterion, told.append)
    assert not told


def test_an_ascent_without_time_is_cut_where_it_stands():
    x, y = listened(15)
    sample = sample_of(x, y)
    point = m_step(sample, one_hot(np.arange(len(y)) % 2, 2)[None])
    cut, whole = climb(sample, point, over=lambda: True), climb(sample, point)
    assert cut.cut and not cut.stationary and cut.trace == [] and cut.gradient > ascent.GRADIENT
    assert whole.stationary and not whole.cut and not climb(sample, whole.point, over=lambda: True).cut
