"""Searches whose seconds run out, and budgets in counts, which no clock changes."""

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest

from hw4opt import InputError, Status
from hw4opt.mixture import ascent, budget, runs, search, selection
from hw4opt.mixture.ascent import ascend
from hw4opt.mixture.budget import Budget
from hw4opt.mixture.em import m_step, one_hot
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.selection import choose_k

QUICK = Budget(24, 40)


def listened(seed, n=120, d=2, spread=0.0):
    """Features (n, d) and counts of two components, spread wider than Poisson counts where `spread` is above 0."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, d))
    rates = np.exp(2 + np.where(draw.integers(2, size=n), 0.9, -0.9) * x[:, 0])
    return x, draw.poisson(rates * draw.gamma(1 / spread, spread, n) if spread else rates).astype(float)


def sample_of(x, y, rows=None, ridge=0.0):
    return Sample.of(PoissonMixture(1, ridge=ridge).design(x, y, rows))


def ticking(monkeypatch, *modules):
    """A clock that advances by one second per call."""
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)), perf_counter=time.perf_counter)
    for module in modules:
        monkeypatch.setattr(module, "time", clock)


@pytest.mark.slow
def test_the_seconds_stop_a_run_of_forty_components():
    x, y = listened(8, 300, 6, spread=2.0)
    started = time.perf_counter()
    found = PoissonMixture(40, budget=Budget(seconds=0.2)).fit(x, y)
    assert time.perf_counter() - started < 60  # minutes without
    assert any("seconds of the search ran out" in said for said in found.warnings)
    if found.status is Status.ITERATION_LIMIT:
        assert "the seconds ran out" in found.message and "the seconds ran out" in str(found.uncertainty.reason)


def test_a_run_that_is_cut_says_that_it_is_not_stationary(monkeypatch):
    x, y = listened(9, 200, spread=2.0)
    ticking(monkeypatch, budget)
    found = PoissonMixture(8, budget=Budget(seconds=3)).fit(x, y)
    assert found.status is Status.ITERATION_LIMIT and found.message.startswith("not stationary: the seconds ran out")
    assert found.starts.finished == 0 and found.uncertainty.reason == "the point is not stationary: the seconds ran out"


def test_of_a_capped_search_the_best_finished_run_is_given(monkeypatch):
    x, y = listened(10, 150, spread=1.0)
    statuses = set()
    for seconds in (1, 10, 40):
        ticking(monkeypatch, budget)
        found = search.search(sample_of(x, y), 5, Budget(48, 200, seconds), np.random.default_rng(0))
        assert found.timed_out and found.best is not None and found.best.timed_out == (not found.ends), seconds
        assert not found.ends or found.best.log_likelihood == max(found.ends)
        statuses.add(found.best.stationary)
    assert statuses == {True, False}


def test_without_seconds_no_clock_changes_the_answer(monkeypatch):
    x, y = listened(11)
    one = PoissonMixture(3, budget=QUICK).fit(x, y)
    ticking(monkeypatch, budget, selection)
    other = PoissonMixture(3, budget=QUICK).fit(x, y)
    assert (one.coef == other.coef).all() and (one.trace == other.trace).all() and one.starts == other.starts


def test_large_batches_of_starts_begin_in_parts(monkeypatch):
    x, y = listened(12)
    whole = PoissonMixture(3, budget=QUICK).fit(x, y)
    monkeypatch.setattr(runs, "BATCH_ENTRIES", 2_000)
    parts = PoissonMixture(3, budget=QUICK).fit(x, y)
    assert (
        parts.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-9)
        and parts.starts.tried == whole.starts.tried
    )


def test_perturbations_follow_the_starts_where_they_are_not_counted():
    assert Budget(2).most == 2 * budget.PERTURBATIONS_PER_START and Budget(2, 0).most == 0
    x, y = listened(13, spread=1.0)
    assert PoissonMixture(4, budget=Budget(1)).fit(x, y).starts.tried <= 1 + budget.PERTURBATIONS_PER_START
    with pytest.raises(InputError, match="perturbations is -1"):
        Budget(2, -1)


def test_the_seconds_of_a_choice_are_those_of_all_k_together(monkeypatch):
    x, y = listened(14)
    ticking(monkeypatch, budget, selection)
    choice = choose_k(PoissonMixture(1, budget=Budget(24, 40, 30.0)), x, y, range(1, 9))
    assert choice.untried and list(choice.results) + list(choice.untried) == list(range(1, 9))
    assert choice.warnings == (f"the seconds ran out before k = {choice.untried[0]} to 8: they were not tried",)
    assert choose_k(PoissonMixture(1, budget=QUICK), x, y, [1, 2]).warnings == ()


def test_an_ascent_without_time_is_cut_where_it_stands():
    x, y = listened(15)
    sample = sample_of(x, y)
    point = m_step(sample, one_hot(np.arange(len(y)) % 2, 2)[None])
    cut, whole = ascend(sample, point, time_is_over=lambda: True), ascend(sample, point)
    assert cut.timed_out and not cut.stationary and cut.trace == [] and cut.gradient > ascent.GRADIENT_TOLERANCE
    assert (
        whole.stationary
        and not whole.timed_out
        and not ascend(sample, whole.point, time_is_over=lambda: True).timed_out
    )
