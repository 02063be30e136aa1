"""Settings that cannot be the best are abandoned before all their folds are solved; the choice stays the same."""

import math

import numpy as np
import pytest

from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)
from hw4opt.plotting import plot_choice
from hw4opt.selection import leave_one_out, score_settings, select

LOSSES = {
    "huber": Huber(0.2),
    "quantile": Quantile(0.8),
    "absolute": Absolute(),
    "epsilon": EpsilonInsensitive(0.05),
    "squared": Squared(),
}
OTHERS = {
    "ridge": ([], []),
    "tv": ([TotalVariation(0.1)], []),
    "increasing": ([], [Increasing()]),
    "tv+decreasing": ([TotalVariation(0.1)], [Decreasing()]),
    "bounds": ([], [Bounds(-0.5, 0.8)]),
}


def drawn(loss, others, seed, size=22, weighted=False):
    """Steps with noise and ties."""
    rng = np.random.default_rng(seed)
    x = np.sort(np.round(rng.uniform(0, 1, size), 2 if seed % 2 else 1))
    y = np.sin(5 * x) + 0.3 * rng.standard_normal(size) + (rng.uniform(size=size) < 0.1) * 2
    weights = rng.choice([0.0, 0.5, 1.0, 7.0], size) if weighted else None
    regularizers, constraints = OTHERS[others]
    return Problem(x, y, RBF(5.0), LOSSES[loss], [Ridge(0.1), *regularizers], constraints, weights=weights)


def free_of(problem):
    return ["gamma", "ridge"] + ["tv"] * any(term.name == "tv" for term in problem.regularizers)


def assert_the_same(raced, full):
    """Bit by bit, but for folds that are fitted anew: their rows stand among those of the others that are, which decide
    how sums are rounded."""
    anew = raced.work["anew"] + full.work["anew"] > 0
    assert raced.problem.hyperparameters == full.problem.hyperparameters
    assert (raced.score, raced.standard_error) == (full.score, full.standard_error)
    assert np.array_equal(raced.predictions, full.predictions, equal_nan=True)
    assert raced.fits == full.fits == sum(raced.work.values()) == sum(full.work.values())
    assert full.work["spared"] == 0
    for one, other in zip(raced.table, full.table, strict=True):
        if "dropped" in one:
            assert raced.score < one["score"] <= other["score"] * (1 + 1e-12) and math.isnan(one["standard_error"])
            blank = {"score": 0, "standard_error": 0, "dropped": True}
            assert one | blank == other | blank
        else:
            assert one == (pytest.approx(other, rel=1e-12, abs=0) if anew else other)


@pytest.mark.thinned(2)  # each loss with each of the others, in turn with and without weights
@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_the_choice_is_that_without_a_race(loss, others, weighted):
    seed = 5 * list(LOSSES).index(loss) + list(OTHERS).index(others)
    problem = drawn(loss, others, seed, weighted=weighted)
    method = ("loo", "loo:x", "kfold:6")[seed % 3]
    raced, full = (select(problem, free_of(problem), method, complete=flag) for flag in (False, True))
    assert_the_same(raced, full)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(200))
def test_choices_of_random_problems_are_those_without_a_race(seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng.choice(list(LOSSES)), rng.choice(list(OTHERS)), seed, int(rng.integers(8, 40)), seed % 3 == 0)
    method = str(rng.choice(["loo", "loo:x", "kfold:5"]))
    raced, full = (select(problem, free_of(problem), method, complete=flag) for flag in (False, True))
    assert_the_same(raced, full)


@pytest.mark.parametrize(
    ("others", "most"), [("ridge", 0.8), ("tv", 0.6), ("increasing", 0.9), ("tv+decreasing", 0.8)], ids=str
)
def test_a_race_spares_folds(others, most):
    problem = drawn("huber", others, 1, size=60)
    raced = select(problem, free_of(problem), "loo")
    assert raced.work["spared"] > (1 - most) * raced.fits
    assert any("dropped" in row for row in raced.table)


@pytest.mark.parametrize(
    "words",
    [
        {"complete": True},
        {"one_se": True},
        {"search": "grid"},
        {"search": "random:30"},
        {"metric": "squared"},
        {"metric": "absolute"},
        {"method": "kfold:5", "groups": np.arange(22) // 2},
    ],
    ids=str,
)
def test_every_score_is_told_where_all_are_asked(words):
    named = {"gamma": (1, 50, 4), "ridge": (0.001, 10, 4)}
    chosen = select(drawn("huber", "ridge", 3), [], **{"method": "loo", "grid": named, **words})
    assert not any("dropped" in row for row in chosen.table)
    assert np.isfinite([row["standard_error"] for row in chosen.table]).all() and not chosen.work["spared"]


@pytest.mark.parametrize("free", [["ridge"], ["gamma", "ridge"]], ids=" ".join)
def test_dropped_settings_are_drawn_as_bounds(free):
    chosen = select(drawn("huber", "ridge", 1), free, "loo")
    assert any("dropped" in row for row in chosen.table)
    axes = plot_choice(fit(chosen.problem), chosen.table).axes[1]
    words = [text.get_text() for text in axes.get_legend().get_texts()] if len(free) == 1 else []
    assert ("at least (dropped)" in words) == (len(free) == 1)
    assert free[0] == axes.get_xlabel()


def test_a_race_does_not_depend_on_threads():
    problem = drawn("huber", "tv", 4)
    one, two, three = (select(problem, free_of(problem), "loo", workers=workers) for workers in (1, 2, 3))
    assert one.table == three.table == two.table and one.work == three.work == two.work


def test_a_limit_that_nothing_exceeds_changes_nothing():
    problem = drawn("quantile", "ridge", 2)
    settings = [problem.with_hyperparameters({"ridge": ridge}) for ridge in (0.001, 0.1, 10)]
    full = score_settings(settings, leave_one_out(22))
    raced = score_settings(settings, leave_one_out(22), limit=1e6)
    tight = score_settings(settings, leave_one_out(22), limit=min(one.score for one in full))
    assert [one.score for one in raced] == [one.score for one in full] and not any(one.dropped for one in raced)
    assert [one.dropped for one in tight] == [one.score > min(one.score for one in full) for one in full]
