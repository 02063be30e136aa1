"""When a maximum of the likelihood of counts exists: against its definition as a linear program, and in fits."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import linprog

from hw4opt import L1, RBF, InputError, Poisson, Problem, Ridge, Status, fit, fit_batch
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.existence import settle

TRUTH = np.array([0.3, -0.2, 0.1, 0.5, 0.05])


def songs(n=400, seed=0):
    """Features, and counts with E y = exp(x @ TRUTH + 1)."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, 5))
    return x, draw.poisson(np.exp(x @ TRUTH + 1)).astype(float)


def counts(x, y, intercept=True, **more):
    return Problem(x, y, loss=Poisson(), intercept=intercept, **more)


def separated_by_one_program(x, y):
    """A linear program: maximise Σ t_i, 0 ≤ t ≤ 1, x_iᵀv ≤ -t_i where y = 0, x_iᵀv = 0 where y > 0."""
    zero, d = x[y == 0], x.shape[1]
    found = linprog(
        np.concatenate([np.zeros(d), -np.ones(len(zero))]),
        A_ub=np.column_stack([zero, np.eye(len(zero))]),
        b_ub=np.zeros(len(zero)),
        A_eq=np.column_stack([x[y > 0], np.zeros((int((y > 0).sum()), len(zero)))]) if (y > 0).any() else None,
        b_eq=np.zeros(int((y > 0).sum())) if (y > 0).any() else None,
        bounds=[(None, None)] * d + [(0, 1)] * len(zero),
    )
    return np.flatnonzero(y == 0)[found.x[d:] > 0.5]


@given(st.integers(0, 2**32 - 1), st.sampled_from([(12, 2), (15, 4), (25, 6), (30, 3)]))
def test_all_separated_rows_are_found_and_no_others(seed, shape):
    """Small whole-number designs, where separation is common; then the same on columns and rows of other scales."""
    draw = np.random.default_rng(seed)
    x = draw.integers(-1, 3, shape).astype(float)
    y = draw.poisson(np.exp(draw.uniform(-2, 0.5)), shape[0]).astype(float)
    expected = separated_by_one_program(x, y)
    for scale in (np.ones(shape[1]), 10.0 ** draw.uniform(-6, 6, shape[1])):
        found = settle(canonicalize(counts(x * scale, y, intercept=False)), 0)
        assert list(found.rows) == expected.tolist() and found.finite == (not len(expected))


def test_rows_that_no_single_column_separates():
    """Only v = (1, 1) keeps the rows with counts at 0; by hand, it lowers rows 4 and 5 and leaves row 3."""
    x = np.array([[1, -1], [-2, 2], [0, 0], [1, -1], [-1, 0], [2, -3.0]])
    found = fit(counts(x, [1, 2, 3, 0, 0, 0.0])).existence
    assert found.rows == (4, 5) and found.columns == (0, 1)


def test_no_finite_maximum_is_said_with_rows_columns_and_supremum():
    x, y = songs()
    lone = np.arange(400) % 10 == 0
    y[lone] = 0
    problem = counts(np.column_stack([x, 1e-4 * lone]), y)
    result = fit(problem)
    assert result.status is Status.NO_FINITE_MAXIMUM and not result.status.value.startswith("the duality")
    rest = fit(counts(x[~lone], y[~lone]))
    assert list(result.existence.rows) == np.flatnonzero(lone).tolist()
    assert [result.column_names[c] for c in result.existence.columns] == ["column 5"]
    assert result.existence.supremum == pytest.approx(rest.inference.log_likelihood, rel=1e-12)
    assert "column 5" in result.message and f"{result.existence.supremum:.10g}" in result.message
    assert np.isnan(result.coef).all() and np.isnan(result.mean).all() and result.inference is None
    assert result.certificate.gap is None and not result.certificate.holds(0.99)

    dropped = fit(problem, separated="drop").raise_for_status()
    assert dropped.existence == result.existence
    assert dropped.rank == 6 and len(dropped.fitted) == 400
    assert_allclose(dropped.mean[~lone], rest.mean, rtol=1e-10)
    with pytest.raises(InputError, match="separated is 'keep'; there are refuse and drop"):
        fit(problem, separated="keep")


def test_the_supremum_is_approached_and_not_reached():
    """Along the direction that was found, by hand."""
    x = np.array([[1.0, 0], [1, 0], [1, 1], [1, 2]])
    y = np.array([2.0, 1, 0, 0])
    result = fit(counts(x, y, intercept=False))
    assert result.existence.rows == (2, 3) and result.existence.columns == (1,)
    climb = [stats.poisson.logpmf(y, np.exp(x @ [math.log(1.5), -t])).sum() for t in (0, 5, 10, 30)]
    assert np.all(np.diff(climb) > 0) and climb[-1] <= result.existence.supremum
    assert climb[-1] == pytest.approx(result.existence.supremum, rel=1e-9)


def test_all_zero_counts():
    x, _ = songs(50)
    result = fit(counts(x, np.zeros(50)))
    assert result.status is Status.NO_FINITE_MAXIMUM and result.existence.supremum == 0
    assert result.existence.rows == tuple(range(50)) and result.existence.columns == (5,)  # the intercept alone
    dropped = fit(counts(x, np.zeros(50)), separated="drop")  # of which nothing is left
    assert dropped.status is Status.NO_FINITE_MAXIMUM and dropped.existence == result.existence
    balanced = fit(counts(np.vstack([x, -x]), np.zeros(100), intercept=False))  # no direction lowers all the means
    assert balanced.status is Status.CERTIFIED
    assert_allclose(balanced.mean, 1, rtol=1e-9)


def test_penalties_make_a_maximum_exist_and_an_intercept_beside_them_may_not():
    x, y = songs(60)
    x[:, 4] = np.arange(60) % 10 == 0
    y[x[:, 4] == 1] = 0
    assert fit(counts(x, y)).status is Status.NO_FINITE_MAXIMUM
    for reg in (Ridge(0.1), L1(0.5)):
        result = fit(counts(x, y, regularizers=[reg])).raise_for_status()
        assert result.existence.finite
        assert fit(counts(x, 0 * y, regularizers=[reg])).existence.columns == (5,)
    curve = Problem(x[:, 0], 0 * y, RBF(1), Poisson(), [Ridge(0.1)], intercept=True)
    assert fit(curve).status is Status.NO_FINITE_MAXIMUM
    assert fit(dataclasses.replace(curve, intercept=False)).status is Status.CERTIFIED


def test_every_solver_says_it_alike_and_a_batch_says_it_for_its_own():
    x, y = songs(40)
    for solver in ("newton", "interior", "admm", "cvxpy:CLARABEL"):
        assert fit(counts(x, 0 * y), solver).status is Status.NO_FINITE_MAXIMUM
    good, bad, other = fit_batch([counts(x, y), counts(x, 0 * y), counts(x, y + 1)])
    assert good.status is other.status is Status.CERTIFIED and bad.status is Status.NO_FINITE_MAXIMUM
    assert_allclose(good.coef, fit(counts(x, y)).coef, rtol=1e-10)
    assert_allclose(other.coef, fit(counts(x, y + 1)).coef, rtol=1e-10)
