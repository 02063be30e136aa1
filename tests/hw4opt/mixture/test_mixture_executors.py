"""Searches whose chains are run elsewhere: what they find, when they end, and what travels."""

import pickle
import time
from dataclasses import replace

import numpy as np
import pytest

from hw4opt import InputError
from hw4opt.mixture import budget, search
from hw4opt.mixture.budget import Budget, Clock
from hw4opt.mixture.chain import Chains
from hw4opt.mixture.model import PoissonMixture
from hw4opt.mixture.sample import Sample
from hw4opt.mixture.selection import choose_k
from hw4opt.mixture.validation import Rows
from hw4opt.running.processes import Workers
from tests.hw4opt.executors import LastFirst


def heard(seed, n=150, k=3, spread=1.0):
    """Features (n, 2) and counts of k components that are wider than Poisson counts: many maxima."""
    draw = np.random.default_rng(seed)
    x, coef = draw.normal(size=(n, 2)), draw.normal(size=(k, 3)) * 0.5 + np.r_[1.5, 0, 0]
    component = draw.integers(k, size=n)
    rates = np.exp(coef[component, 0] + (x * coef[component, 1:]).sum(axis=1))
    return x, draw.poisson(rates * draw.gamma(1 / spread, spread, n)).astype(float)


def assert_same(one, other):
    assert (one.coef == other.coef).all() and (one.trace == other.trace).all() and one.starts == other.starts
    assert (one.responsibilities == other.responsibilities).all() and one.log_likelihood == other.log_likelihood
    assert (one.uncertainty.covariance is None) == (other.uncertainty.covariance is None)


@pytest.mark.parametrize(
    ("seed", "n", "more"),
    [
        (0, 150, {}),
        (1, 150, {"groups": np.arange(150) // 3}),
        (2, 3_000, {"weights": np.arange(3_000) % 3}),  # more units than a subsample has
        (3, 3_300, {"groups": np.arange(3_300) // 2}),
    ],
)
def test_chains_that_are_run_elsewhere_find_the_same(seed, n, more):
    x, y = heard(seed, n)
    model, executor = PoissonMixture(3, budget=Budget(96, 200)), LastFirst()
    here = model.fit(x, y, Rows(**more))
    assert_same(here, model.fit(x, y, Rows(**more), executor=executor))
    assert executor.numbers and here.starts.tried > 24


def test_two_processes_find_what_one_finds():
    x, y = heard(4)
    model = PoissonMixture(4, budget=Budget(72, 120))
    with Workers(2) as workers:
        assert_same(model.fit(x, y), model.fit(x, y, executor=workers))


def test_every_search_of_a_choice_goes_through_the_executor():
    x, y = heard(5, 60, 2)
    model, executor = PoissonMixture(1, budget=Budget(48, 24)), LastFirst()
    here = choose_k(model, x, y, range(1, 3), criterion="held_out")
    there = choose_k(model, x, y, range(1, 3), criterion="held_out", executor=executor)
    assert here.held_out == there.held_out and executor.numbers.count(0) == 2 * (1 + 5)
    assert_same(here.best, there.best)


def test_chains_that_agree_end_the_search():
    x, y = heard(6, 200, 1, 1e-6)
    executor = LastFirst()
    PoissonMixture(1, budget=Budget(24 * 9)).fit(x, y, executor=executor)
    assert executor.numbers == [0]  # every start of one component leads to its one maximum
    calm = np.random.default_rng(0).poisson(np.where(np.arange(300) % 2, 40.0, 2.0)).astype(float)
    executor.numbers.clear()
    PoissonMixture(2, budget=Budget(24 * 9)).fit(np.zeros((300, 0)), calm, executor=executor)
    assert executor.numbers == [0, 1, 2] and search.AGREEING_CHAINS == 3


def test_chains_share_the_perturbations():
    for given in (Budget(), Budget(100, 7), Budget(25), Budget(1, 0), Budget(10**12, 10**13)):
        of_chains = [given.of_chain(number) for number in range(min(given.chains, 50))]
        assert all(0 < one.starts <= budget.STARTS_PER_CHAIN for one in of_chains)
        if given.chains <= 50:
            assert sum(one.starts for one in of_chains) == given.starts
            assert sum(one.perturbations for one in of_chains) == given.most
    assert Budget().of_chain(3) == (24, 24 * budget.PERTURBATIONS_PER_START)


def test_a_copy_of_a_clock_has_the_seconds_that_are_left():
    clock = Clock(0.2)
    kept = pickle.dumps(clock)
    time.sleep(0.25)
    late, copy = pickle.loads(pickle.dumps(clock)), pickle.loads(kept)
    assert clock.time_is_over() and clock.stopped and late.time_is_over()
    assert not copy.time_is_over() and not copy.stopped  # wherever it arrives, whatever the clock says there
    assert not pickle.loads(pickle.dumps(Clock(None))).time_is_over()


def test_without_time_only_the_first_chain_runs():
    x, y = heard(7)
    sample = Sample.of(PoissonMixture(1).design(x, y))
    chains = Chains(sample, sample, 3, Budget(72), 0, Clock(1e-9))
    later = chains(1)
    assert later.timed_out and not later.ends and later.tried == 0
    first = chains(0)
    assert first.timed_out and len(first.ends) == 1 and first.ends[0].stationary
    executor = LastFirst()
    found = PoissonMixture(3, budget=Budget(72, seconds=1e-9)).fit(x, y, executor=executor)
    assert executor.numbers == [0] and found.starts.finished == 1
    assert any("seconds of the search ran out" in said for said in found.warnings)


def test_what_is_no_executor_is_refused():
    x, y = heard(8)
    with pytest.raises(InputError, match="executor is 2; it must be an Executor or None"):
        PoissonMixture(2).fit(x, y, executor=2)


def test_what_is_sent_is_the_rows_and_one_matrix_back():
    """The sample without what is computed from it; of the runs, the observed information of the best alone."""
    x, y = heard(9, 30_000)
    sample = Sample.of(PoissonMixture(1).design(x, y))
    subsample = sample.subsample(search.SUBSAMPLE_UNITS, np.random.default_rng(0))
    chains = Chains(sample, subsample, 5, Budget(24, 120), 0, Clock(None))
    size = len(pickle.dumps(chains))
    end = chains(0)
    informed = [run for run in end.ends if run.curvature.observed is not None]
    assert len(end.ends) > 4 and len({run.log_likelihood for run in informed}) == 1
    assert informed[0].log_likelihood == max(run.log_likelihood for run in end.ends if run.finished)
    assert all(known.run.curvature.observed is None for known in end.continued) and end.continued
    assert len(pickle.dumps(chains)) == size and len(pickle.dumps(end)) < 100_000


def test_maxima_that_are_known_are_not_continued_again():
    x, y = heard(9, 5_000)
    sample = Sample.of(PoissonMixture(1).design(x, y))
    subsample = sample.subsample(search.SUBSAMPLE_UNITS, np.random.default_rng(0))
    chains = Chains(sample, subsample, 3, Budget(48, 120), 0, Clock(None))
    first = chains(0)
    fresh, told = chains(1), replace(chains, continued=first.continued)(1)
    known = [one.height for one in first.continued]
    assert [one.height for one in told.continued][: len(known)] == known
    assert len(told.continued) < len(first.continued) + len(fresh.continued)
    assert max(run.log_likelihood for run in told.ends) == pytest.approx(
        max(run.log_likelihood for run in fresh.ends), rel=1e-9
    )
