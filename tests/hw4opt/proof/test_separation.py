"""Fits without their separated rows: the limit of predictions, and what is identified beside it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import linprog

from hw4opt import Poisson, Problem, Result, Status, fit
from hw4opt.proof.separation import drift


def by_programs(kept, separated, row):
    """The definition: the signs that rowᵀv takes over v with kept v = 0, separated v ≤ -1, by two linear programs."""
    ends = []
    for sign in (1, -1):
        found = linprog(
            sign * row,
            A_ub=separated,
            b_ub=-np.ones(len(separated)),
            A_eq=kept,
            b_eq=np.zeros(len(kept)),
            bounds=(None, None),
        )
        ends.append(-np.inf if found.status == 3 else found.fun)
    low, high = ends[0], -ends[1]
    if max(abs(low), abs(high)) < 1e-9:
        return 0.0
    if high < -1e-9 or (high <= 1e-9 and low < -1e-9):
        return -np.inf
    return np.inf if low >= -1e-9 else np.nan


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 3), (3, 4), (2, 5)]))
def test_the_drift_is_that_of_linear_programs(seed, shape):
    draw = np.random.default_rng(seed)
    kept = draw.integers(-1, 2, shape).astype(float)
    kept[:, -2:] = 0.0
    separated = draw.integers(-1, 2, (3, shape[1])).astype(float)
    separated[:, -1] = 1 + draw.integers(0, 2, 3)  # v = -(last) separates them all
    rows = draw.integers(-2, 3, (4, shape[1])).astype(float)
    expected = [by_programs(kept, separated, row) for row in rows]
    assert_allclose(drift(kept, separated, rows), expected)
    assert_allclose(drift(1e6 * kept, 1e6 * separated, 1e6 * rows), expected)


@pytest.fixture
def dropped():
    """One dummy column without a count: d2."""
    draw = np.random.default_rng(0)
    kind = draw.integers(0, 3, 200)
    x = np.column_stack([kind == 1, kind == 2]).astype(float)
    y = np.where(kind == 2, 0, draw.poisson(1 + kind)).astype(float)
    return x, y, fit(Problem(x, y, loss=Poisson(), intercept=True), separated="drop").raise_for_status()


def test_predictions_of_separated_rows_are_their_limit(dropped, tmp_path):
    x, y, result = dropped
    new = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [0, -1], [0, 1e-6]])
    dropped[2].save(tmp_path / "m.json")
    for one in (result, Result.load(tmp_path / "m.json")):
        assert_allclose(one.predict(new)[:2], np.log([y[x.sum(axis=1) == 0].mean(), y[x[:, 0] == 1].mean()]), rtol=1e-9)
        assert one.predict(new)[2:].tolist() == [-np.inf, -np.inf, np.inf, -np.inf]
        assert one.predict_mean(new)[2:4].tolist() == [0, 0]
        assert (one.mean[x[:, 1] == 1] == 0).all() and (one.fitted[x[:, 1] == 1] == -np.inf).all()
    for scale in (-10.0, -20.0, -30.0):  # the limit is approached along d2
        coef = np.array([result.intercept, result.coef[0], scale])
        means = np.exp(np.column_stack([np.ones(2), new[2:4]]) @ coef)
        assert (means < 10 * np.exp(scale)).all()


def test_rows_that_the_limit_says_nothing_of_are_no_number():
    """Two dummies without a count: what happens to a row with 1 and -1 depends on how fast either falls."""
    kinds = np.repeat([0, 1, 2], 10)
    x = np.column_stack([kinds == 1, kinds == 2]).astype(float)
    result = fit(
        Problem(x, np.where(kinds == 0, np.arange(30) % 4, 0), loss=Poisson(), intercept=True), separated="drop"
    )
    assert result.status is Status.CERTIFIED
    found = result.predict(np.array(list(itertools.product((0.0, 1.0, -1.0), repeat=2))))
    low, high = -np.inf, np.inf
    assert_allclose(found - result.intercept, [0, low, high, low, low, np.nan, high, np.nan, high])


def test_errors_of_what_is_identified(dropped):
    x, y, result = dropped
    own = x[:, 1] == 0
    rest = fit(Problem(x[own, :1], y[own], loss=Poisson(), intercept=True))
    for errors in ("information", "dispersion", "sandwich"):
        found = result.infer(errors)
        assert_allclose(found.standard_errors[:2], rest.infer(errors).standard_errors)
        assert np.isnan(found.standard_errors[2]) and "column 1" in found.reason and found.errors == errors
    assert rest.inference.reason is None
