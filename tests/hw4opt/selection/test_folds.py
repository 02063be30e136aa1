"""Folds of several rows, by groups and in orders: each against a refit without its rows."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from held_out_cases import CASES, SMALL, X, Y, agree, loo, refits, tight
from hw4opt import (
    RBF,
    Absolute,
    Convex,
    Huber,
    Increasing,
    InputError,
    Poisson,
    Problem,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)
from hw4opt.selection import k_fold, score_settings, select


@pytest.mark.parametrize("order", ["shuffled", "contiguous"])
@pytest.mark.parametrize("name", ["huber, tv", "increasing", "logistic"])
def test_as_many_folds_as_rows_are_leave_one_out(name, order):
    problem = CASES[name]
    size = len(problem.y) if problem.active is None else len(problem.active)
    folds = k_fold(size, size, order=order)
    assert sorted(fold.tolist() for fold in folds) == [[i] for i in range(size)]
    found, every = score_settings([problem], folds)[0], loo(problem)
    assert_allclose(found.predictions, every.predictions, rtol=0, atol=1e-9)
    assert_allclose([found.score, found.standard_error], [every.score, every.standard_error], rtol=1e-8)


@pytest.mark.parametrize(
    "name", ["squared", "huber, tv, trend 2", "absolute, increasing", "convex", "logistic, tv", "offset"]
)
def test_folds_of_several_rows_are_refits(name):
    problem = CASES[name]
    size = len(problem.y) if problem.active is None else len(problem.active)
    for order in ("shuffled", "contiguous"):
        folds = k_fold(size, 3, order=order, seed=1)
        agree(problem, score_settings([problem], folds)[0].predictions, refits(problem, tight, folds))


def test_shuffled_and_contiguous_folds():
    contiguous = k_fold(23, 5, order="contiguous")
    assert np.array_equal(np.concatenate(contiguous), np.arange(23))
    shuffled, again, other = k_fold(23, 5, seed=3), k_fold(23, 5, seed=3), k_fold(23, 5, seed=4)
    assert np.array_equal(np.sort(np.concatenate(shuffled)), np.arange(23))
    assert not np.array_equal(np.concatenate(shuffled), np.arange(23))
    for folds in (contiguous, shuffled):
        assert {len(fold) for fold in folds} == {4, 5}
    assert all(np.array_equal(a, b) for a, b in zip(shuffled, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(shuffled, other, strict=True))


def test_rows_of_a_group_leave_together():
    labels = np.array(list("abcabcddeeafgb"))
    folds = k_fold(14, 3, groups=labels, seed=2)
    assert np.array_equal(np.sort(np.concatenate(folds)), np.arange(14))
    home = [{labels[row] for row in fold} for fold in folds]
    assert all(home) and sum(map(len, home)) == 7
    problem = CASES["huber, tv"]
    chosen = select(problem, ["ridge"], "kfold:3", "random:2", groups=labels, seed=2)
    agree(problem, chosen.predictions, refits(chosen.problem, tight, folds))


@pytest.mark.parametrize("count", [0, 1, 15])
def test_a_number_of_folds_that_cannot_be_is_refused(count):
    with pytest.raises(InputError, match=rf"^kfold:{count} needs between 2 and 14 folds"):
        k_fold(14, count)
    with pytest.raises(InputError, match=rf"^kfold:{count} needs"):
        select(CASES["squared"], ["ridge"], f"kfold:{count}")


def test_more_folds_than_groups_and_unknown_orders_are_refused():
    with pytest.raises(InputError, match="the 2 groups"):
        k_fold(6, 3, groups=[0, 0, 1, 1, 1, 0])
    with pytest.raises(InputError, match="folds is 'sorted'"):
        k_fold(6, 3, order="sorted")


@pytest.mark.parametrize("count", [18, 30])
def test_groups_are_one_label_a_row(count):
    labels, said = np.arange(count) // 3, rf"^groups has shape \({count},\); it needs one label per row, \(24,\)$"
    with pytest.raises(InputError, match=said):
        k_fold(24, 3, groups=labels)
    for problem in (SMALL, dataclasses.replace(SMALL, weights=np.arange(24) % 2)):
        for method in ("kfold:3", "auto"):
            with pytest.raises(InputError, match=said):
                select(problem, ["ridge"], method, groups=labels)


def test_one_group_alone_is_refused():
    with pytest.raises(InputError, match=r"^there is one group only; .* at least two groups are needed$"):
        k_fold(6, 2, groups=["a"] * 6)
    with pytest.raises(InputError, match="one group only"):
        select(SMALL, ["ridge"], groups=np.zeros(24))


@pytest.mark.parametrize("constraint", [Convex(), Increasing()])
def test_of_two_points_one_remains(constraint):
    """No difference is left: f is the multiple of k(·, x_j) that kernel ridge gives."""
    x, y = np.array([0.0, 0.7]), np.array([2.0, -1.0])
    found = loo(Problem(x, y, RBF(1.5), Squared(), [Ridge(0.2)], [constraint]))
    assert_allclose(found.predictions, np.exp(-1.5 * 0.49) * y[::-1] / 1.2, rtol=1e-9)
    assert found.largest_gap <= 1e-9


@pytest.mark.parametrize("loss", [Squared(), Huber(0.1), Absolute()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("extra", [(), (TotalVariation(0.1),)], ids=["", "tv"])
def test_a_constraint_that_a_fold_makes_vacuous(loss, extra):
    """Three points on which convexity acts; on the two that remain it has no effect."""
    x, y = np.array([0.0, 0.4, 1.0]), np.array([0.0, 2.0, 0.5])
    problem = Problem(x, y, RBF(2), loss, [Ridge(0.05), *extra], [Convex()])
    free = dataclasses.replace(problem, constraints=())
    assert np.abs(fit(problem).fitted - fit(free).fitted).max() > 0.01
    found = loo(problem).predictions
    agree(problem, found, refits(problem, tight))
    agree(problem, found, refits(free, tight))


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize(("loss", "target"), [(Squared(), 0.0), (Huber(0.1), 0.0), (Absolute(), 0.0), (Poisson(), 1.0)])
def test_targets_of_which_nothing_is_left_to_explain(loss, target, count):
    """Every gap and its scale are 0; NumPy's warnings are errors here."""
    x, y = np.arange(float(count)), np.full(count, target)
    problem = Problem(x, y, RBF(2.0), loss, [Ridge(1.0)])
    for folds in (count, 2):
        found = score_settings([problem], k_fold(count, folds))[0]
        assert_allclose(found.predictions, 0.0, rtol=0, atol=1e-12)  # of counts: the logarithm of the rate
        assert found.largest_gap <= 1e-12


def test_folds_keep_the_scale_of_the_full_data():
    """gamma means the same in every fold: leave-one-out of x measured beforehand."""
    scaled = (X - X.mean()) / X.std()
    given, before = (
        Problem(x, Y, RBF(3), Huber(0.3), [Ridge(0.05)], standardize=s) for x, s in ((X, True), (scaled, False))
    )
    assert_allclose(loo(given).predictions, loo(before).predictions, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    ["logistic", "logistic, ridge 1e-3, matern", "logistic, linear, intercept", "poisson", "bounds", "decreasing, tv"],
)
def test_few_folds_need_the_interior_point(name):
    score = loo(CASES[name])
    assert score.work["anew"] <= 2 and sum(score.work.values()) >= 12
