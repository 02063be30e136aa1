"""Leave-one-out predictions: every fold against a refit on a basis rebuilt without its row."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import LeaveOneOut

from held_out_cases import CASES, NEAR, ORACLE, W, X, Y, agree, loo, refits, tight
from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    EpsilonInsensitive,
    Huber,
    Increasing,
    InputError,
    Laplacian,
    Logistic,
    Matern52,
    Nonnegative,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
)
from hw4opt.assignment import REGRESSION_PARTS
from hw4opt.datasets import step_data
from hw4opt.selection import leave_one_out, score_settings


def test_the_data_hold_what_they_should():
    ends = (X.min() == X).sum(), (X.max() == X).sum()
    assert len(np.unique(X)) < len(X) - 1 and max(ends) > 1 and min(ends) == 1
    assert (W == 0).sum() == 2 and W[[0, 13]].min() > 0


@pytest.mark.thinned(2)
@pytest.mark.parametrize("name", CASES)
def test_leave_one_out_is_a_refit_without_the_row(name):
    score = loo(CASES[name])
    agree(CASES[name], score.predictions, refits(CASES[name], tight))
    assert score.largest_gap <= 1e-9


@pytest.mark.parametrize("name", [*ORACLE[::2], *(pytest.param(name, marks=pytest.mark.slow) for name in ORACLE[1::2])])
def test_leave_one_out_is_clarabels_refit(name, oracle):
    agree(CASES[name], loo(CASES[name]).predictions, refits(CASES[name], oracle))


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(8, 14))
    x = rng.uniform(0, 3, n)
    x = np.round(x, 1) if draw(st.booleans()) else x
    y = np.sin(2 * x) + x + 0.3 * rng.standard_normal(n)
    if draw(st.booleans()):
        y[rng.integers(n)] += 5
    weights = None
    if draw(st.booleans()):
        weights = rng.uniform(0.1, 2, n)
        weights[rng.integers(n)] = 0
    loss = draw(
        st.sampled_from([Squared(), Huber(0.3), Absolute(), Quantile(0.7), EpsilonInsensitive(0.2), Logistic()])
    )
    y = np.where(y > np.median(y), 1.0, -1.0) if isinstance(loss, Logistic) else y
    ridge = Ridge(10.0 ** draw(st.floats(-4, 1)))
    weight = 10.0 ** draw(st.floats(-2, 1))
    others = draw(
        st.sampled_from(
            [(), (TotalVariation(weight),), (Trend(weight),), (TotalVariation(weight), Trend(0.1 * weight))]
        )
    )
    shapes = draw(
        st.sampled_from(
            [(), (Increasing(),), (Convex(),), (Bounds(-0.5, 2.5),), (Nonnegative(),), (Increasing(), Concave())]
        )
    )
    kernel = draw(st.sampled_from([RBF(1.0), RBF(20.0), Laplacian(1.0), Matern52(2.0)]))
    return Problem(x, y, kernel, loss, [ridge, *others], shapes, weights)


@pytest.mark.slow
@settings(max_examples=40)
@given(problems())
def test_leave_one_out_is_a_refit_for_any_problem(problem):
    assume(len(np.unique(problem.active_x)) > 3)
    agree(problem, loo(problem).predictions, refits(problem, tight))


@pytest.mark.parametrize("ridge", [1e-4, 0.13, 10])
def test_kernel_ridge_is_the_textbook_formula_and_the_explicit_loop(ridge):
    data = step_data()
    x, y, gamma = data.x[:, None], data.y, 81.42
    found = loo(Problem(x, y, RBF(gamma), Squared(), [Ridge(ridge)]))
    gram = np.exp(-gamma * np.square(x - x.T))
    hat = np.linalg.solve(gram + ridge * np.eye(50), gram)
    residual = (y - hat @ y) / (1 - np.diag(hat))
    atol = NEAR * np.std(y)
    assert_allclose(y - found.predictions, residual, rtol=0, atol=atol)
    peer = KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma)
    loop = [peer.fit(x[kept], y[kept]).predict(x[held])[0] for kept, held in LeaveOneOut().split(x)]
    assert_allclose(found.predictions, loop, rtol=0, atol=atol)
    assert_allclose(found.score, np.mean(np.square(residual)), rtol=1e-6)
    assert_allclose(found.standard_error, np.std(np.square(residual)) / np.sqrt(50), rtol=1e-6)


def test_the_score_is_the_weighted_mean_over_rows():
    problem = CASES["huber"]
    found = {
        metric: score_settings([problem], leave_one_out(12), metric)[0] for metric in ("loss", "squared", "absolute")
    }
    kept = W > 0
    apart = np.abs(found["loss"].predictions - Y)[kept]
    huber = np.where(apart <= 0.3, apart**2, 0.3 * (2 * apart - 0.3))
    for metric, errors in {"loss": huber, "squared": apart**2, "absolute": apart}.items():
        assert_allclose(found[metric].score, np.average(errors, weights=W[kept]), rtol=1e-9)
    with pytest.raises(InputError, match="metric is 'cubic'"):
        score_settings([problem], leave_one_out(12), "cubic")


@pytest.mark.parametrize("part", REGRESSION_PARTS, ids=lambda part: part.name)
def test_every_fold_of_the_assignment_is_exact(part):
    problem = part.problem(step_data()).with_hyperparameters(part.reported or {"gamma": 80.0, "ridge": 0.1})
    score = loo(problem)
    assert score.largest_gap <= 1e-12
    assert score.work["anew"] == 0 and sum(score.work.values()) == 50
    assert (score.work["closed"] == 50) == (part.name == "2a")


@pytest.mark.parametrize("name", ["squared", "huber", "huber, tv", "increasing", "absolute, tv"])
def test_settings_scored_together_are_settings_scored_alone(name):
    """Bases of different rank share their rounds."""
    problem = CASES[name]
    weights = {"tv": 1.0} if "tv" in name else {}
    each = [
        problem.with_hyperparameters({"gamma": gamma, "ridge": ridge, **weights})
        for ridge in (1e-3, 0.1, 5)
        for gamma in (0.01, 0.5, 8)
    ]
    together = score_settings(each, leave_one_out(len(problem.design.x)))
    assert len({one.design.matrix.shape[1] for one in each}) > 1
    for one, score in zip(each, together, strict=True):
        assert score.largest_gap <= 1e-9
        assert_allclose(score.predictions, loo(one).predictions, rtol=0, atol=NEAR * np.std(Y))
