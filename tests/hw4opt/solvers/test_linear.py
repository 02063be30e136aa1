"""The linear system of every native solver, against a solution in 60 digits."""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt.solvers._normal_equations import MIN_SYSTEMS_ACROSS_BATCH, factor, largest_eigenvalue


def exact(rows, penalty, right):
    """(RᵀR + diag p)⁻¹ b."""
    with mpmath.workdps(60):
        a, p = mpmath.matrix(rows.tolist()), mpmath.diag([mpmath.mpf(one) for one in penalty])
        solution = mpmath.lu_solve(a.T * a + p, mpmath.matrix(right.tolist()))
        return np.array([float(one) for one in solution])


def steep_rows(seed, span, heavy=3):
    """√W A of 30 rows in 6 columns, where W of a few rows is 10^span and of the others about 1."""
    random = np.random.default_rng(seed)
    a = random.normal(size=(30, 6))
    weight = random.uniform(0.5, 2, size=30)
    weight[random.permutation(30)[:heavy]] *= 10.0**span
    return np.sqrt(weight)[:, None] * a


def error(found, best):
    return np.abs(found - best).max() / np.abs(best).max()


def system(problems, penalty):
    return np.stack([rows.T @ rows for rows in problems]), np.tile(penalty, (len(problems), 1))


@pytest.mark.parametrize("span", [0, 8, 16, 20])
@pytest.mark.parametrize("penalty", [0.0, 1e-6, 1.0])
def test_steep_systems_are_solved_on_their_rows(span, penalty):
    """Two of three problems by QR, where the sum RᵀR has lost the light rows; the third by LU, as without `rows`."""
    problems = [steep_rows(seed, power) for seed, power in ((0, span), (1, 2), (2, span))]
    gram, p = system(problems, np.full(6, penalty))
    right = np.random.default_rng(3).normal(size=(3, 6))
    plain = factor(gram.copy(), p)(right)
    found = factor(gram.copy(), p, lambda i: problems[i], [0, 2])(right)
    for i in range(3):
        assert error(found[i], exact(problems[i], p[i], right[i])) <= 1e-11
    assert_allclose(found[1], plain[1], rtol=1e-15)
    if span == 20:
        assert error(plain[0], exact(problems[0], p[0], right[0])) > 1e-3  # what the rows are for


def test_every_problem_may_be_steep_and_a_column_of_zeros_takes_no_part():
    problems = [steep_rows(seed, 14) for seed in (4, 5)]
    for rows in problems:
        rows[:, 2] = 0.0
    gram, p = system(problems, np.array([0.1, 0.1, 0.0, 0.1, 0.1, 0.1]))
    right = np.random.default_rng(6).normal(size=(2, 6))
    right[:, 2] = 0.0
    found = factor(gram, p, lambda i: problems[i], [0, 1])(right)
    rest = [0, 1, 3, 4, 5]
    for i in range(2):
        assert error(found[i, rest], exact(problems[i][:, rest], p[i, rest], right[i, rest])) <= 1e-10
    assert np.isfinite(found).all() and not found[:, 2].any()


@pytest.mark.parametrize("size", [1, 5, MIN_SYSTEMS_ACROSS_BATCH])
def test_systems_of_any_number_and_of_columns_of_any_size(size):
    scales = np.array([1e-9, 1.0, 1e9, 1e3, 1e-3, 1.0])
    problems = [steep_rows(seed, 0) * scales for seed in range(size)]
    gram, p = system(problems, 0.1 * np.square(scales))
    right = np.random.default_rng(7).normal(size=(size, 6)) * scales
    found = factor(gram, p)(right)
    for i in range(0, size, 19):
        assert_allclose(found[i], exact(problems[i], p[i], right[i]), rtol=1e-10)


def test_a_singular_system_of_many_is_solved_one_by_one():
    """Cholesky refuses it, LU with its shift does not: the equation holds where it can."""
    problems = [steep_rows(seed, 0) for seed in range(MIN_SYSTEMS_ACROSS_BATCH)]
    problems[5][:, 3] = problems[5][:, 2]
    gram, p = system(problems, np.zeros(6))
    right = np.stack([rows.sum(axis=0) for rows in problems])
    found = factor(gram.copy(), p)(right)
    assert_allclose(np.matvec(gram, found), right, rtol=1e-6, atol=1e-6)


def test_the_largest_eigenvalue_bounds_a_step():
    matrices = np.stack([rows.T @ rows for rows in (steep_rows(8, 0), steep_rows(9, 8))])
    found = largest_eigenvalue(matrices)
    for one, matrix in zip(found, matrices, strict=True):
        with mpmath.workdps(40):
            best = float(max(mpmath.eigsy(mpmath.matrix(matrix.tolist()), eigvals_only=True)))
        assert best <= one <= best * (1 + 1e-9)
    assert largest_eigenvalue(np.zeros((1, 3, 3)))[0] > 0
