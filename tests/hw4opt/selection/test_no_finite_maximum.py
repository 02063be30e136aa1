"""Held-out fits without a finite maximum: found in every fold where a refit finds it, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw4opt import RBF, Increasing, InputError, Logistic, Poisson, Problem, Ridge, Status, fit
from hw4opt.form.canonicalize import canonicalize
from hw4opt.selection import k_fold, leave_one_out, score_settings, select
from hw4opt.selection.no_finite_maximum import folds_without_maximum


def counts(x, y, **rest):
    return Problem(np.asarray(x, dtype=float), y, loss=Poisson(), regularizers=[Ridge(0.0)], intercept=True, **rest)


def refitted(x, y, folds, weights):
    """Whether a fit to the rows that stay has no finite maximum, fold by fold."""
    found = []
    for held in folds:
        left = np.setdiff1d(np.arange(len(y)), held)
        found.append(
            fit(counts(np.asarray(x, dtype=float)[left], y[left], weights=weights[left])).status
            is Status.NO_FINITE_MAXIMUM
        )
    return found


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_endless_folds_are_those_whose_refit_has_no_maximum(data):
    n, d = data.draw(st.integers(5, 12)), data.draw(st.integers(1, 3))
    x = np.array(data.draw(st.lists(st.lists(st.integers(-1, 1), min_size=d, max_size=d), min_size=n, max_size=n)))
    y = np.array(data.draw(st.lists(st.sampled_from([0, 0, 1, 3]), min_size=n, max_size=n)), dtype=float)
    weights = np.array(data.draw(st.lists(st.sampled_from([1.0, 0.5]), min_size=n, max_size=n)))
    if np.count_nonzero(y) < 4 or (x == x[0]).all():
        return
    folds = data.draw(st.sampled_from([leave_one_out(n), k_fold(n, 3)]))
    problem = counts(x, y, weights=weights)
    found = folds_without_maximum([problem], canonicalize([problem]), folds)[0]
    assert found.tolist() == refitted(x, y, folds, weights)


X, Y = [1, 1, *[0] * 10], np.array([3.0, 0, 3, 4, 5, 2, 1, 4, 4, 6, 2, 3])


def test_the_loss_of_such_a_fold_is_infinite_and_the_others_stay():
    (score,) = score_settings([counts(X, Y)], leave_one_out(12))
    assert score.score == np.inf and score.standard_error == np.inf
    assert score.work["endless"] == 1 and np.isnan(score.predictions[0])
    left = np.arange(12) != 5
    refit = fit(counts(np.array(X)[left], Y[left]))
    assert score.predictions[5] == pytest.approx(float(refit.predict(np.zeros(1))[0]), abs=1e-7)
    assert score.largest_gap < 1e-9


def test_a_ridge_gives_every_fold_its_maximum():
    problems = [
        Problem(np.array(X, dtype=float), Y, loss=Poisson(), regularizers=[Ridge(w)], intercept=True)
        for w in (0.0, 0.1)
    ]
    endless_one, finite_one = score_settings(problems, leave_one_out(12))
    assert endless_one.work["endless"] == 1 and finite_one.work["endless"] == 0
    assert np.isfinite(finite_one.score)


def test_folds_of_several_rows():
    folds = [np.array([0, 4]), np.arange(5, 12), np.array([1, 2, 3])]
    (score,) = score_settings([counts(X, Y)], folds)
    assert (
        score.work["endless"] == 1
        and np.isnan(score.predictions[[0, 4]]).all()
        and np.isfinite(score.predictions[1:4]).all()
    )


def test_a_kernel_with_a_shape_is_settled_too():
    x = np.linspace(0, 1, 8)
    y = np.array([0.0, 0, 0, 1, 0, 2, 3, 2])
    problem = Problem(x, y, RBF(3), Poisson(), [Ridge(0.0)], [Increasing()])
    found = folds_without_maximum([problem], canonicalize([problem]), leave_one_out(8))[0]
    weights = np.ones((8, 8)) - np.eye(8)
    alone = [fit(Problem(x, y, RBF(3), Poisson(), [Ridge(0.0)], [Increasing()], one)).status for one in weights]
    assert found.tolist() == [status is Status.NO_FINITE_MAXIMUM for status in alone]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_folds_of_labels_without_a_maximum_are_those_of_refits(data):
    n = data.draw(st.integers(6, 10))
    x = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)), dtype=float)
    labels = np.array(data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=n, max_size=n)))
    if (x == x[0]).all() or abs(labels.sum()) > n - 3:
        return
    (score,) = score_settings(
        [Problem(x, labels, loss=Logistic(), regularizers=[Ridge(0.0)], intercept=True)], leave_one_out(n)
    )
    alone = []
    for i in range(n):
        left, right = (np.delete(x, i)[np.delete(labels, i) == side] for side in (-1, 1))
        alone.append(bool(np.ptp(np.delete(x, i)) > 0 and (left.max() <= right.min() or right.max() <= left.min())))
    assert np.isnan(score.predictions).tolist() == alone


def test_a_fold_of_labels_that_separates():
    x, labels = np.array([0.0, 1, 2, 3, 4, 1.5]), np.array([-1.0, -1, -1, 1, 1, 1])  # only the last row mixes the two
    problem = Problem(x, labels, loss=Logistic(), regularizers=[Ridge(0.0)], intercept=True)
    (score,) = score_settings([problem], leave_one_out(6))
    assert score.work["endless"] >= 1 and np.isnan(score.predictions[5]) and score.score == np.inf


@pytest.mark.parametrize(
    ("x", "status"),
    [([0, 1, 2, 3, 4, 5], "unbounded"), ([0, 1, 2, 2, 3, 4], "unbounded"), ([0, 1, 3, 2, 4, 5], "certified")],
)
def test_labels_that_a_line_separates_have_no_finite_maximum(x, status):
    """Wholly; but for a tie at 2; not."""
    labels = np.array([-1.0, -1, -1, 1, 1, 1])
    result = fit(Problem(np.array(x, dtype=float), labels, loss=Logistic(), regularizers=[Ridge(0.0)], intercept=True))
    assert result.status.word == status


def test_the_search_says_it():
    chosen = select(counts(X, Y), [], "loo")
    assert any("1 of 12 held-out fits of the chosen setting has no finite maximum" in note for note in chosen.notes)


def test_an_interruption_before_any_finite_score_is_an_interruption_and_else_nothing_is_chosen():
    y = np.zeros(12)
    y[3] = 2.0
    problem = Problem(np.random.default_rng(0).normal(size=(12, 2)), y, None, Poisson(), [Ridge(1.0)], intercept=True)

    def stop(done, total, best):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select(problem, ["ridge"], "loo", progress=stop)
    with pytest.raises(InputError, match=r"none of the .* settings tried has a finite held-out error"):
        select(problem, ["ridge"], "loo")
