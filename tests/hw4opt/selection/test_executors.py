"""Choices whose settings are scored elsewhere: the same table, predictions and folds."""

import numpy as np
import pytest

import hw4opt.selection.setting_runs as setting_runs
from hw4opt import (
    L1,
    RBF,
    Additive,
    Component,
    Huber,
    Increasing,
    InputError,
    Poisson,
    Precomputed,
    Problem,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)
from hw4opt.running.processes import Workers
from hw4opt.selection import select
from tests.hw4opt.executors import LastFirst

DRAW = np.random.default_rng(0)
X = DRAW.uniform(0, 1, 40)
Y = np.floor(4 * X) + 0.2 * DRAW.standard_normal(40)
TWO = DRAW.normal(size=(40, 2))
WEIGHTS = np.where(np.arange(40) % 7, 1.0 + np.arange(40) % 3, 0.0)
GRAM = RBF(20.0).gram(X[:, None], X[:, None])
EVERYWHERE = Increasing(everywhere=True)
CASES = {
    "tv": (Problem(X, Y, RBF(20.0), Huber(0.5), [Ridge(0.1), TotalVariation(0.3)]), ["gamma", "ridge", "tv"], "loo"),
    "closed form": (Problem(X, Y, RBF(20.0), Squared(), [Ridge(0.1)]), ["gamma", "ridge"], "loo"),
    "folds": (Problem(X, Y, RBF(20.0), Huber("auto"), [Ridge(0.1)], weights=WEIGHTS), ["gamma", "ridge"], "kfold:4"),
    "poisson": (Problem(X, np.round(abs(Y) * 3), RBF(9.0), Poisson(), [Ridge(0.1)]), ["gamma", "ridge"], "loo"),
    "linear": (Problem(TWO, Y, None, Squared(), [L1(0.1)], intercept=True, standardize=True), ["l1"], "kfold:5"),
    "gram": (Problem(GRAM, Y, Precomputed(), Huber(1.0), [Ridge(0.1)]), ["ridge"], "loo"),
    "everywhere": (Problem(X, Y, RBF(20.0), Squared(), [Ridge(0.1)], [EVERYWHERE]), ["ridge"], "kfold:3"),
    "sum": (
        Problem(TWO, Y, Additive([Component("a", [0], RBF(1.0), ridge=0.1), Component("b", [1], RBF(1.0), ridge=0.1)])),
        ["a.gamma", "a.ridge"],
        "kfold:4",
    ),
}


def assert_same(here, there):
    assert there.table == here.table and there.score == here.score and there.notes == here.notes
    assert np.array_equal(there.predictions, here.predictions, equal_nan=True) and there.work == here.work


@pytest.mark.parametrize("name", CASES)
def test_settings_that_are_scored_elsewhere_get_the_same_digits(name, monkeypatch):
    monkeypatch.setattr(setting_runs, "TASK_ENTRIES", 300)  # tasks of a few settings
    problem, free, method = CASES[name]
    executor = LastFirst()
    more = {} if name == "tv" else {"search": "random:12"}
    assert_same(select(problem, free, method, **more), select(problem, free, method, **more, executor=executor))
    assert len(executor.numbers) > 1


def test_kept_folds_are_those_of_the_best_setting(monkeypatch):
    monkeypatch.setattr(setting_runs, "TASK_ENTRIES", 300)
    problem, free, method = CASES["folds"]
    words = {"search": "random:12", "keep_folds": True}
    here, there = (select(problem, free, method, **words, executor=one) for one in (None, LastFirst()))
    assert_same(here, there)
    intervals = [fit(one.problem).predict_interval(np.linspace(0, 1, 9)) for one in (here, there)]
    assert all(np.array_equal(one, other) for one, other in zip(*intervals, strict=True))


def test_two_processes_choose_as_one(monkeypatch):
    monkeypatch.setattr(setting_runs, "TASK_ENTRIES", 20_000)
    problem, free, method = CASES["tv"]
    with Workers(2) as workers:
        assert_same(select(problem, free, method), select(problem, free, method, executor=workers))


def test_what_is_no_executor_is_refused():
    problem, free, method = CASES["tv"]
    with pytest.raises(InputError, match="executor is 2; it must be an Executor or None"):
        select(problem, free, method, executor=2)
