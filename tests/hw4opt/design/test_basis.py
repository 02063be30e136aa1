"""The reduced basis: it reproduces the kernel, and reports its truncation."""

import math

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dense_rows import KERNELS, SMOOTH, uneven
from hw4opt import (
    RBF,
    InputError,
    Laplacian,
    Matern32,
    Matern52,
    Polynomial,
    Precomputed,
    Problem,
    Ridge,
    fit,
)
from hw4opt.design import Design
from hw4opt.design.basis import DIAGONAL_ROUNDING, build_basis
from hw4opt.kernels import FUNCTIONAL_OF_ORDER, VALUE
from hw4opt.terms import AtPoints, Slope


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_the_basis_reproduces_the_kernel(kernel, columns):
    x = np.random.default_rng(columns).uniform(size=(120, columns))
    basis, values = build_basis(kernel, x)
    gram = kernel.gram(x, x)
    assert basis.complete
    assert len(basis.points) == len(basis.columns) == values.shape[1] <= 120
    assert np.abs(gram - values @ values.T).max() <= 5e-14 * gram.max()
    new = np.random.default_rng(columns + 10).uniform(size=(40, columns))
    assert_allclose(basis.evaluate(x), values, rtol=0, atol=1e-6 * math.sqrt(gram.max()))
    rebuilt = basis.evaluate(new) @ values.T  # k(new, x) is reproduced to √(what is left of x): Cauchy-Schwarz
    assert np.abs(kernel.gram(new, x) - rebuilt).max() <= 5e-7 * gram.max()


@pytest.mark.parametrize(("gamma", "reach"), [(79.0, 1.0), (1e3, 1.0), (4e3, 1.0), (79.0, 3.0), (79.0, 0.5)])
def test_rank_of_a_gaussian_is_four_root_gamma_times_the_range_whatever_n_is(gamma, reach):
    x = reach * np.random.default_rng(3).uniform(size=(3000, 1))
    ranks = [build_basis(RBF(gamma), x[:count])[1].shape[1] for count in (800, 3000)]
    about = 4 * math.sqrt(gamma) * reach
    assert about <= ranks[1] <= 1.3 * about + 6
    assert abs(ranks[1] - ranks[0]) <= 0.15 * ranks[1]


def test_gamma_to_zero_and_infinity():
    x = np.random.default_rng(4).uniform(size=(300, 1))
    assert build_basis(RBF(1e-12), x)[1].shape[1] <= 3
    values = build_basis(RBF(1e15), x)[1]
    assert values.shape[1] == 300 and np.abs(values @ values.T - np.eye(300)).max() <= 1e-15


@pytest.mark.parametrize("limit", [1, 5, 20])
@pytest.mark.parametrize("kernel", [Laplacian(3.0), Matern32(5.0), RBF(500.0)], ids=str)
def test_a_rank_limit_leaves_what_left_over_says(kernel, limit):
    x = np.random.default_rng(5).uniform(size=(60, 1))
    basis, values = build_basis(kernel, x, limit=limit)
    assert values.shape[1] == limit and not basis.complete
    rest = kernel.gram(x, x) - values @ values.T
    assert np.linalg.eigvalsh(rest)[0] >= -1e-14
    design = Design(x, kernel, False, basis=basis)
    order = np.argsort(x[:, 0])
    assert_allclose(design.left_over, np.maximum(np.diagonal(rest)[order], 0), rtol=1e-9, atol=2e-14)
    assert design.left_over.max() > 1e-3 and np.all(design.left_over > 0)


def exact_gram(x, gamma, slopes):
    """The RBF kernel of values, then of slopes, in 50 digits: ∂k/∂x = -2 γ (x - z) k, ∂²k/∂x∂z = (2 γ - 4 γ² (x - z)²)
    k."""
    points = [mpmath.mpf(float(one)) for one in x]
    gamma = mpmath.mpf(gamma)

    def entry(a, first, b, second):
        apart = a - b
        value = mpmath.exp(-gamma * apart**2)
        if first and second:
            return (2 * gamma - 4 * gamma**2 * apart**2) * value
        return value if first == second else (2 if second else -2) * gamma * apart * value

    kinds = [(one, kind) for kind in range(1 + slopes) for one in points]
    return mpmath.matrix([[entry(a, first, b, second) for b, second in kinds] for a, first in kinds])


@pytest.mark.parametrize("slopes", [0, 1])
@pytest.mark.parametrize("limit", [4, 9, None])
@pytest.mark.parametrize("gamma", [0.5, 40.0])
@pytest.mark.parametrize("intercept", [False, True])
def test_what_is_left_out_is_known_to_the_last_digits(slopes, limit, gamma, intercept):
    """|sᵀ(K - BBᵀ)s| against 50 digits, with B the matrix as it stands: never below it, and above it by rounding of
    long doubles alone.

    Where the basis is complete, the rounding of B is all that is left, of either sign.
    """
    x, random = np.sort(uneven(11)), np.random.default_rng([slopes, limit or 0])
    columns = tuple(range(slopes))
    basis, _ = build_basis(RBF(gamma), x[:, None], columns, limit)
    design = Design(x[:, None], RBF(gamma), intercept, columns, basis)
    s = random.normal(size=(3, 11 * (1 + slopes))) * [[1e-3], [1.0], [1e6]]
    with mpmath.workdps(50):
        kept = mpmath.matrix(design.matrix[:, : len(basis.points)].tolist())
        rest = exact_gram(x, gamma, slopes) - kept * kept.T
        vectors = [mpmath.matrix(row.tolist()) for row in s]
        exact = np.array([float((row.T * rest * row)[0]) for row in vectors])
    largest = max(1.0, 2 * gamma * slopes)
    rounding = float(np.finfo(np.longdouble).eps) * largest * np.square(np.abs(s).sum(axis=1))
    found = design.left_out(s)
    assert (found >= np.abs(exact) * (1 - 1e-14)).all()
    assert (found <= np.abs(exact) * (1 + 1e-12) + 16 * rounding).all()
    assert limit != 4 or (exact > 100 * rounding).all()


def test_what_is_left_out_of_a_precomputed_kernel_is_that_of_its_matrix():
    gram = RBF(3.0).gram(uneven(9)[:, None], uneven(9, 1)[:, None])
    gram = gram @ gram.T
    basis, _ = build_basis(Precomputed(), gram, (), 4)
    design = Design(gram, Precomputed(), False, (), basis)
    s = np.random.default_rng(3).normal(size=(2, 9))
    left = gram - design.matrix @ design.matrix.T
    assert_allclose(design.left_out(s), np.einsum("bi,ij,bj->b", s, left, s), rtol=1e-6, atol=1e-12 * gram.max())


def test_left_over_is_never_below_rounding():
    x = np.linspace(0, 1, 30)[:, None]
    left = Design(x, RBF(1e6), False).left_over
    assert np.all(left >= 4 * np.finfo(float).eps) and np.all(left <= 1e-14)
    assert not Design(x, None, False).left_over.any()


def test_pivots_are_greedy_and_distinct():
    x = np.random.default_rng(6).uniform(size=(200, 1))
    basis, _ = build_basis(RBF(50.0), x)
    assert len(np.unique(basis.points[:, 0])) == len(basis.points)
    gram = RBF(50.0).gram(x, x)
    for rank in (1, 3, 8):
        kept = np.array([np.flatnonzero(x[:, 0] == point)[0] for point in basis.points[:rank, 0]])
        rest = np.diagonal(gram) - np.einsum(
            "ij,ji->i", gram[:, kept], np.linalg.solve(gram[np.ix_(kept, kept)], gram[kept])
        )
        assert rest[x[:, 0] == basis.points[rank, 0]] == pytest.approx(rest.max(), abs=1e-10)


def test_more_than_the_candidates_random():
    x = np.random.default_rng(7).uniform(size=20_000)
    design = Design(x[:, None], RBF(79.0), False)
    assert len(design.base_x) == 20_000 and design.matrix.shape[1] <= 55
    assert design.left_over.max() <= DIAGONAL_ROUNDING


def test_more_than_the_candidates_with_points_that_no_candidate_sees():
    random = np.random.default_rng(8)
    x = random.uniform(size=(6000, 2))
    lonely = np.array([11, 1234, 4097, 5501])
    x[lonely] = [[9, 0], [0, 9], [-9, 0], [9, 9]]
    design = Design(x, RBF(1.0), False)
    assert design.left_over.max() <= DIAGONAL_ROUNDING
    assert_allclose(np.square(design.matrix[lonely]).sum(axis=1), 1, atol=DIAGONAL_ROUNDING)


@pytest.mark.parametrize("kernel", SMOOTH, ids=str)
@pytest.mark.parametrize("columns", [1, 2])
def test_values_and_slopes_are_spanned_together(kernel, columns):
    x = np.random.default_rng(9).uniform(size=(25, columns))
    slopes = tuple(range(columns))
    design = Design(np.sort(x, axis=0) if columns == 1 else x, kernel, False, slopes)
    kinds = (VALUE, *slopes)
    gram = np.block([[kernel.between(design.base_x, one, design.base_x, other) for other in kinds] for one in kinds])
    size = np.sqrt(np.diagonal(gram))
    assert np.abs((gram - design.matrix @ design.matrix.T) / np.outer(size, size)).max() <= 2e-13
    assert_allclose(design.left_over, 0, atol=2e-13 * size.max() ** 2)


@pytest.mark.parametrize("kernel", SMOOTH, ids=str)
def test_slope_rows_are_the_derivative_of_the_prediction(kernel):
    random = np.random.default_rng(10)
    x = random.uniform(size=(20, 2))
    design = Design(x, kernel, True, (0, 1))
    w = design.matrix[:20].T @ random.normal(size=20)  # Σ α_j k(x_j, ·): a function that the last pivots hardly carry
    h = 1e-6
    for column in (0, 1):
        step = h * np.eye(2)[column]
        numeric = (design.evaluate(x + step) - design.evaluate(x - step)) @ w / (2 * h)
        row_map = design.rows(Slope(column), "increasing")
        assert_allclose(row_map.take(design.matrix) @ w, numeric, rtol=1e-6, atol=1e-6 * np.abs(numeric).max())


@pytest.mark.parametrize("kernel", [RBF(80.0), Matern52(30.0), Polynomial(1.0, 5)], ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_basis_goes_on_over_functionals_between_the_points(kernel, order):
    """Over two rounds of them: what it had stays, every functional is spanned, and no column is one for the second
    time."""
    x = np.sort(np.random.default_rng(12).uniform(size=8))[:, None]
    points = np.array([*np.linspace(-0.2, 1.2, 15), *(0.5 + 1e-3 * np.arange(-4, 5))])
    design = Design(x, kernel, False)
    for count in (9, len(points), len(points)):
        before, design = design, design.appending([AtPoints(order, tuple(points[:count].tolist()))])
        old, new = before.reduced, design.reduced
        assert_array_equal(new.factor[: len(old.points), : len(old.points)], old.factor)
    assert len(new.points) == len(old.points)
    kinds = [(x, VALUE), (points[:, None], FUNCTIONAL_OF_ORDER[order])]
    gram = np.block([[kernel.between(one, i, other, j) for other, j in kinds] for one, i in kinds])
    size = np.sqrt(np.diagonal(gram))
    assert np.abs((gram - design.matrix @ design.matrix.T) / np.outer(size, size)).max() <= 1e-11


def test_precomputed_is_the_same_basis_from_a_gram_matrix():
    random = np.random.default_rng(11)
    x, new = random.uniform(size=(40, 3)), random.uniform(size=(7, 3))
    kernel = RBF(2.0)
    plain, given = Design(x, kernel, True), Design(kernel.gram(x, x), Precomputed(), True)
    assert_array_equal(plain.matrix.shape, given.matrix.shape)
    assert np.abs(given.matrix[:, :-1] @ given.matrix[:, :-1].T - kernel.gram(x, x)).max() <= 5e-14
    rebuilt = given.evaluate(kernel.gram(new, x))[:, :-1] @ given.matrix[:, :-1].T
    assert_allclose(rebuilt, kernel.gram(new, x), atol=5e-7)
    assert_allclose(given.left_over, plain.left_over, atol=2e-14)
    assert given.row_of is None and len(given.base_x) == 40


def test_a_kernel_that_is_zero_everywhere_is_refused():
    for call in (
        lambda: build_basis(Polynomial(coef0=0), np.zeros((4, 1))),
        lambda: fit(Problem(np.zeros((4, 4)), np.arange(4), kernel=Precomputed(), regularizers=[Ridge()])),
    ):
        with pytest.raises(InputError, match="the kernel is zero at every data point"):
            call()
