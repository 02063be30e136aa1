"""Functionals, reduced basis, row maps and folds: against dense algebra written here, by hand or by differences."""

import math
from functools import partial

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hw4opt.design
import hw4opt.form
import hw4opt.form.chunks
import hw4opt.form.operator
from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Convex,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    InputError,
    Laplacian,
    Logistic,
    Matern32,
    Matern52,
    Nonnegative,
    Polynomial,
    Precomputed,
    Problem,
    Quantile,
    RefusedError,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.design import Design
from hw4opt.design.basis import DIAGONAL_ROUNDING, build_basis
from hw4opt.fit import prove
from hw4opt.form import BoxRows
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.chunks import Chunk, chunks
from hw4opt.kernels import VALUE
from hw4opt.proof.certificate import certify
from hw4opt.running.threads import parallel_map
from hw4opt.solvers import load_solver
from hw4opt.terms import Coefficients, Differences, Slope, Values
from hw4opt.terms.acts import difference_coefficients
from hw4opt.terms.row_map import RowMap

KERNELS = [
    RBF(30.0),
    RBF(1e-6),
    RBF(1e6),
    Laplacian(3.0),
    Matern32(5.0),
    Matern52(5.0),
    Polynomial(1.0),
    Polynomial(2.0, 5, 0.0),
]
SMOOTH = [RBF(8.0), Matern32(5.0), Matern52(5.0), Polynomial(1.0, 4)]


def divided(x, order):
    """Rows (order-1)!·(x_{j+order} - x_j)·f[x_j, …, x_{j+order}] as a dense matrix, by the recursion of divided
    differences."""
    table = np.eye(len(x))
    for step in range(1, order + 1):
        table = (table[1:] - table[:-1]) / (x[step:] - x[:-step])[:, None]
    return math.factorial(order - 1) * (x[order:] - x[:-order])[:, None] * table


def uneven(count, seed=0):
    """Distinct x in random order, without near ties."""
    random = np.random.default_rng([count, seed])
    return random.permutation((np.arange(count) + 0.6 * random.uniform(size=count)) / count)


# ---- the reduced basis -----------------------------------------------------------------------------------------------


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


# ---- base rows and designs -------------------------------------------------------------------------------------------


def test_base_rows_of_one_column_are_distinct_and_sorted():
    x = np.array([0.5, -1.0, 0.5, 2.0, -1.0, 0.25])
    design = Design(x[:, None], RBF(1.0), False)
    assert_array_equal(design.base_x[:, 0], [-1, 0.25, 0.5, 2])
    assert_array_equal(design.base_x[design.row_of, 0], x)
    assert_allclose(design.rows(Values(), "").take(design.matrix), design.evaluate(x[:, None]), atol=1e-12)


def test_sorted_x_and_several_columns_keep_their_rows():
    x = np.array([[0.0], [0.5], [2.0]])
    assert Design(x, RBF(1.0), False).row_of is None
    twice = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]])
    design = Design(twice, RBF(1.0), False)
    assert design.row_of is None
    assert_array_equal(design.base_x, twice)


def test_the_linear_design_is_x_with_its_coefficients_and_slopes():
    x = np.random.default_rng(12).normal(size=(6, 3))
    design = Design(x, None, True, (1,))
    assert_array_equal(design.rows(Values(), "").take(design.matrix), np.column_stack([x, np.ones(6)]))
    assert_array_equal(design.rows(Slope(1), "increasing").take(design.matrix), np.tile([0, 1, 0, 0], (6, 1)))
    assert_array_equal(design.rows(Coefficients(), "l1").take(design.matrix), np.eye(4)[:3])
    assert_array_equal(design.penalized, [True, True, True, False])
    assert_array_equal(design.evaluate(x[:2]), np.column_stack([x[:2], np.ones(2)]))
    assert_allclose(design.diagonal(x), np.square(x).sum(axis=1))
    assert Design(x, None, False).penalized.all() and design.reduced is None


@pytest.mark.parametrize(
    ("columns", "kernel", "acts", "owner", "error", "sentence"),
    [
        (
            2,
            RBF(1.0),
            Differences(1),
            "tv",
            RefusedError,
            "tv needs an order along one x column and there are 2; give one x column",
        ),
        (
            2,
            RBF(1.0),
            Differences(1),
            "increasing",
            RefusedError,
            "increasing needs an order .* give increasing:column=NAME",
        ),
        (1, RBF(1.0), Coefficients(), "l1", RefusedError, "l1 acts on coefficients and needs a linear design"),
        (2, RBF(1.0), Slope(5), "decreasing", InputError, "decreasing: column 5 does not exist; there are 2 x columns"),
    ],
)
def test_functionals_that_a_design_lacks_are_refused(columns, kernel, acts, owner, error, sentence):
    design = Design(np.random.default_rng(13).normal(size=(8, columns)), kernel, False)
    with pytest.raises(error, match=sentence):
        design.rows(acts, owner)


def test_dual_coef_stands_on_the_first_row_of_each_x():
    design = Design(np.array([0.5, -1.0, 0.5, 2.0])[:, None], RBF(1.0), False)
    assert_allclose(design.dual_coef(np.array([2.0, 4.0, 6.0]), 0.5), [-4, -2, 0, -6])


# ---- differences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_differences_are_scaled_divided_differences(order, scale):
    x = scale * np.sort(uneven(12))
    row_map = Design(x[:, None], RBF(1 / scale**2), False).rows(Differences(order), "trend")
    dense = row_map.take(np.eye(12))
    expected = divided(x, order)
    assert row_map.count == 12 - order
    assert_allclose(dense, expected, rtol=1e-11, atol=1e-11 * np.abs(expected).max())


def test_differences_by_hand():
    x, f = np.array([0.0, 1.0, 3.0, 4.0, 8.0]), np.array([0.0, 2.0, 3.0, 1.0, 1.0])
    rows = Design(x[:, None], RBF(1.0), False).rows
    assert_allclose(rows(Differences(1), "tv").take(f), [2, 1, -2, 0])
    assert_allclose(rows(Differences(2), "trend").take(f), [0.5 - 2, -2 - 0.5, 0 + 2])  # slopes 2, 1/2, -2, 0
    second = np.array([-1.5 / 3, -2.5 / 3, 2 / 5])  # f[a, b, c]
    assert_allclose(rows(Differences(3), "trend").take(f), 2 * np.diff(second))  # 2!·(x_{j+3} - x_j)·f[a, b, c, d]
    assert rows(Differences(4), "trend").count == 1 and rows(Differences(1), "tv").is_difference


@pytest.mark.parametrize("order", [1, 2, 3])
def test_differences_of_lower_powers_vanish(order):
    x = np.sort(uneven(15))
    row_map = Design(x[:, None], RBF(1.0), False).rows(Differences(order), "trend")
    for power in range(order):
        assert_allclose(row_map.take(x**power), 0, atol=1e-10)
    top = math.factorial(order - 1) * (x[order:] - x[:-order])
    assert_allclose(row_map.take(x**order), top, rtol=1e-9, atol=1e-10)


def test_fewer_points_than_the_order_have_no_rows():
    assert Design(np.array([[0.0], [1.0]]), RBF(1.0), False).rows(Differences(3), "trend").count == 0
    result = fit(Problem([0, 1], [0, 1], kernel=RBF(1.0), regularizers=[Ridge(0.1), Trend(1.0, order=3)]))
    alone = fit(Problem([0, 1], [0, 1], kernel=RBF(1.0), regularizers=[Ridge(0.1)]))
    assert_allclose(result.fitted, alone.fitted, rtol=1e-12)


def test_windows_name_the_points_of_a_row():
    x = np.sort(uneven(9))
    windows = np.array([[0, 2, 3], [4, 6, 8]])
    for row, window in zip(difference_coefficients(x, 2, windows), windows, strict=True):
        assert_allclose(row, divided(x[window], 2)[0], rtol=1e-12)


# ---- row maps and their products -------------------------------------------------------------------------------------

ROW_MAPS = {
    "rows": RowMap(5, first=2),
    "picked": RowMap(6, index=np.array([[3], [0], [3], [9], [1], [1]])),
    "difference": RowMap(9, first=0, coef=difference_coefficients(np.arange(10.0), 1)),
    "third": RowMap(7, first=0, coef=difference_coefficients(np.sort(uneven(10)), 3)),
    "windows": RowMap(
        4, index=np.array([[0, 1, 3], [7, 8, 9], [2, 2, 5], [9, 0, 4]]), coef=np.arange(1.0, 13.0).reshape(4, 3)
    ),
}


def dense(row_map, size=10):
    out = np.zeros((row_map.count, size))
    for row in range(row_map.count):
        width = 1 if row_map.coef is None else row_map.coef.shape[1]
        for c in range(width):
            at = row_map.first + row + c if row_map.index is None else row_map.index[row, c]
            out[row, at] += 1.0 if row_map.coef is None else row_map.coef[row, c]
    return out


@pytest.mark.parametrize("name", ROW_MAPS)
def test_take_and_spread_are_the_matrix_and_its_transpose(name):
    row_map, random = ROW_MAPS[name], np.random.default_rng(14)
    base, u = random.normal(size=(10, 3)), random.normal(size=(4, row_map.count))
    assert_allclose(row_map.take(base), dense(row_map) @ base, rtol=1e-12, atol=1e-13)
    assert_allclose(row_map.take(base[:, 0]), dense(row_map) @ base[:, 0], rtol=1e-12, atol=1e-13)
    assert_allclose(row_map.take(base, 1, 3), (dense(row_map) @ base)[1:3], rtol=1e-12, atol=1e-13)
    assert_allclose(row_map.spread(u, 10), u @ dense(row_map), rtol=1e-12, atol=1e-13)
    assert_allclose(
        np.sum(row_map.spread(u, 10) * base.T[[0, 1, 2, 0]]),
        np.sum(u * row_map.take(base.T[[0, 1, 2, 0]].T).T),
        rtol=1e-11,
    )


@pytest.mark.parametrize("name", ROW_MAPS)
def test_chunks_are_the_rows_in_order(name, monkeypatch):
    row_map, basis = ROW_MAPS[name], np.random.default_rng(15).normal(size=(10, 4))
    (whole,) = chunks(row_map, basis)
    assert whole.kept and len(whole) == row_map.count
    assert_allclose(whole.matrix, dense(row_map) @ basis, rtol=1e-12, atol=1e-13)
    monkeypatch.setattr(hw4opt.form.chunks, "MAX_KEPT_ENTRIES", 0)
    parts = list(chunks(row_map, basis, size=2))
    assert len(parts) == math.ceil(row_map.count / 2) and not any(part.kept for part in parts)
    assert_allclose(np.concatenate([part.matrix for part in parts]), whole.matrix, rtol=1e-14)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("batch", [1, 3, 8, 20])
@pytest.mark.parametrize("outer", [4_000_000, 30])
def test_gram_is_the_weighted_product_for_every_batch(batch, keep, outer, monkeypatch):
    monkeypatch.setattr(hw4opt.form.chunks, "MAX_PRODUCT_ENTRIES", outer)
    random = np.random.default_rng(16)
    a, weights = random.normal(size=(11, 3)), random.uniform(size=(batch, 11))
    weights[:, 4] = 0
    chunk = Chunk(RowMap(11, first=0), a, 0, 11, keep)
    for _ in range(2):  # the second call uses what the first has kept
        assert_allclose(chunk.gram(a, weights), np.einsum("bm,mi,mj->bij", weights, a, a), rtol=1e-12, atol=1e-14)


def test_each_keeps_the_order_on_threads():
    for count in (0, 3, 200):
        assert parallel_map(lambda item: item * item, range(count)) == [item * item for item in range(count)]


@pytest.mark.parametrize(
    "terms",
    [
        (Squared(), [TotalVariation(0.3)], [Nonnegative()]),
        (Huber(0.3), [Trend(0.05)], [Increasing()]),
        (EpsilonInsensitive(0.1), [TotalVariation(0.3)], [Bounds(-0.5, 0.9)]),
        (Logistic(), [TotalVariation(0.3)], []),
    ],
    ids=lambda terms: "-".join(term.name for part in terms[1:] for term in part),
)
def test_large_forms_in_chunks_are_small_forms(terms, monkeypatch):
    """Nothing a solver or the certificate sees depends on whether A is kept, or made a chunk at a time."""
    random = np.random.default_rng(17)
    x = random.uniform(size=40)
    y = np.sin(6 * x) + 0.2 * random.normal(size=40)
    problem = Problem(
        x, y > 0 if isinstance(terms[0], Logistic) else y, RBF(20.0), terms[0], [Ridge(0.1), *terms[1]], terms[2]
    )
    small = canonicalize(problem)
    assert len(small.blocks) <= 5  # they are made when first asked for: now, before the limits change
    monkeypatch.setattr(hw4opt.form.chunks, "MAX_KEPT_ENTRIES", 0)
    monkeypatch.setattr(hw4opt.form.operator, "chunks", partial(chunks, size=4))
    large = canonicalize(problem)
    assert len(large.blocks) >= 20
    w = random.normal(size=small.penalty.shape)
    u = [random.normal(size=(1, term.count)) for term in small.terms]
    halves = [form.split_duals(u) for form in (small, large)]
    assert_allclose(large.adjoint(halves[1]), small.adjoint(halves[0]), rtol=1e-11, atol=1e-12)
    assert_allclose(large.spread(halves[1]), small.spread(halves[0]), rtol=1e-12, atol=1e-13)
    assert_allclose(large.quadratic.h, small.quadratic.h, rtol=1e-12, atol=1e-13)
    assert_allclose(large.scales, small.scales, rtol=1e-12)
    one, other = (certify(form, w, duals).certificates[0] for form, duals in zip((small, large), halves, strict=True))
    assert other.objective == pytest.approx(one.objective, rel=1e-12)
    assert other.violation == pytest.approx(one.violation, rel=1e-12)
    assert (other.gap is None) == (one.gap is None) and (
        one.gap is None or other.gap == pytest.approx(one.gap, rel=1e-11)
    )
    answers = [load_solver("interior").solve(form, Options(tol=1e-9)) for form in (small, large)]
    certificates = [
        prove(form, answer, 1e-8)[0].certificates[0] for form, answer in zip((small, large), answers, strict=True)
    ]
    assert all(certificate.holds(1e-8) for certificate in certificates)
    assert certificates[1].objective == pytest.approx(certificates[0].objective, rel=2e-8)


# ---- folds: a held-out row is not a row of weight 0 ------------------------------------------------------------------

SHAPES = [
    ([TotalVariation(0.3)], []),
    ([Trend(0.05)], []),
    ([Trend(0.02, order=3)], []),
    ([], [Increasing()]),
    ([], [Convex()]),
    ([TotalVariation(0.3)], [Bounds(-0.5, 0.5)]),
    ([], [Decreasing(column=0)]),
]
LAYOUTS = {
    "sorted": np.sort(uneven(13)),
    "unsorted": uneven(13),
    "ties": np.round(uneven(13) * 8) / 8,
}
FOLDS = {
    "one out": [np.array([row]) for row in range(13)],
    "four folds": [np.flatnonzero(np.random.default_rng(18).permutation(13) % 4 == fold) for fold in range(4)],
    "ends and none": [np.array([], dtype=int), np.array([0]), np.array([0, 1, 12]), np.arange(5, 13)],
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_folds = pytest.mark.parametrize("folds", FOLDS)
every_shape = pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: "-".join(str(term) for part in shape for term in part)
)


def _targets(x, seed):
    return np.sin(6 * x) + 0.2 * np.random.default_rng(seed).normal(size=len(x))


def objective_by_hand(problem, f, slope=None):
    """Σ ω loss + penalties but the ridge, and the worst violated row, of a function with values f (and slopes) at the
    problem's rows."""
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    z = f + (0 if problem.offset is None else problem.offset)
    y = problem.y
    rows = (
        problem.loss.pointwise(z, problem.loss.check_targets(y))
        if problem.loss.targets
        else problem.loss.pointwise(z - y)
    )
    total, worst = float(weights @ rows), 0.0
    order = np.unique(problem.x[:, 0], return_index=True)
    for term in problem.terms[1:]:
        match term.acts:
            case Differences(k):
                row = divided(order[0], k) @ f[order[1]]
            case Slope(_):
                row = slope
            case _:
                row = f
        if isinstance(term, TotalVariation | Trend):
            total += term.weight * float(np.abs(row).sum())
        else:
            inside = {"increasing": -row, "convex": -row, "decreasing": row}.get(term.name)
            outside = np.concatenate([row - term.upper, term.lower - row]) if inside is None else inside
            worst = max(worst, float(outside.max(initial=0)))
    return total, worst


@every_shape
@every_layout
@every_folds
@pytest.mark.parametrize("loss", [Huber(0.3), Quantile(0.8), Logistic()], ids=lambda loss: loss.name)
def test_a_folds_objective_is_that_of_the_rows_that_remain(shape, layout, folds, loss):
    """The form's objective at random functions, and its violated rows, against the remaining rows' by hand: no solver
    takes part."""
    x, random = LAYOUTS[layout], np.random.default_rng(19)
    y = _targets(x, 20) > 0 if isinstance(loss, Logistic) else _targets(x, 20)
    weights, offset = random.uniform(0.5, 2, size=13), 0.1 * random.normal(size=13)
    problem = Problem(x, y, RBF(60.0), loss, [Ridge(0.1), *shape[0]], shape[1], weights, offset, intercept=True)
    held = FOLDS[folds]
    form = canonicalize([problem] * len(held), held_out=held)
    design = problem.design
    w = random.normal(size=form.penalty.shape)
    values = design.rows(Values(), "").take(design.matrix)
    by_fold = _violated(form, w)
    certificates = certify(form, w, np.zeros((len(held), form.size))).certificates
    for one, out, point, worst in zip(certificates, held, w, by_fold, strict=True):
        rest = np.delete(np.arange(13), out)
        reduced = Problem(
            x[rest], problem.y[rest], RBF(60.0), loss, problem.regularizers, shape[1], weights[rest], offset[rest]
        )
        slope = (
            design.rows(Slope(0), "").take(design.matrix)[_base_rows(design)][rest] @ point if design.slopes else None
        )
        total, outside = objective_by_hand(reduced, values[rest] @ point + problem.level, slope)
        assert one.objective - 0.1 * np.square(point[:-1]).sum() == pytest.approx(total, rel=1e-10)
        assert worst == pytest.approx(outside, rel=1e-9, abs=1e-12)
        assert (one.violation > 0) == (outside > 0)


def _base_rows(design):
    return np.arange(len(design.x)) if design.row_of is None else design.row_of


def _violated(form, w):
    """The worst violated row of each problem, from the form: rows with a conjugate that is linear and bounded on one
    side."""
    worst, z = np.zeros(form.batch), form.forward(w)
    for block in form.blocks:
        rows = block.rows
        if isinstance(rows, BoxRows) and not rows.quadratic.any():
            sign = np.where(np.isinf(rows.high), 1, np.where(np.isinf(rows.low), -1, 0))
            worst = np.maximum(worst, ((z[:, block.span] - rows.shift) * sign).max(axis=1, initial=0))
    return worst


@every_shape
@every_layout
@pytest.mark.parametrize("folds", ["one out", "four folds"])
def test_a_fold_predicts_as_the_fit_without_its_rows(shape, layout, folds):
    """At every x, held-out ones included: to 1e-7 of y's spread, or to the two proven bounds where these are wider."""
    x, held, kernel = LAYOUTS[layout], FOLDS[folds], Matern52(20.0)  # of full rank here: nothing is left over
    problem = Problem(x, _targets(x, 21), kernel, Huber(0.3), [Ridge(0.1), *shape[0]], shape[1])
    form = canonicalize([problem] * len(held), held_out=held)
    proof, statuses = prove(form, load_solver("interior").solve(form, Options(tol=1e-10)), 1e-9)
    assert set(statuses) == {Status.CERTIFIED}
    found = problem.design.evaluate(x[:, None]) @ proof.w.T
    errors, spread = [], problem.y.std()
    for out, predicted, certificate in zip(held, found.T, proof.certificates, strict=True):
        rest = np.delete(np.arange(13), out)
        alone = fit(Problem(x[rest], problem.y[rest], kernel, problem.loss, problem.regularizers, shape[1]), tol=1e-10)
        errors.append(np.abs(predicted - alone.predict(x)).max() / spread)
        assert errors[-1] <= max(1e-7, (certificate.norm_bound + alone.prediction_error_bound) / spread)
    assert np.median(errors) <= 1e-7


def test_a_linear_designs_fold_is_the_fit_without_its_rows():
    random = np.random.default_rng(22)
    x = random.normal(size=(12, 3))
    y = x @ [1, 0, -2] + 0.3 * random.normal(size=12)
    problem = Problem(x, y, None, Absolute(), [Ridge(0.1), L1(0.5)], [Increasing(column=0)], intercept=True)
    held = [np.array([row]) for row in range(12)]
    form = canonicalize([problem] * 12, held_out=held)
    answer = load_solver("interior").solve(form, Options(tol=1e-11))
    for row, w in enumerate(answer.w):
        rest = np.delete(np.arange(12), row)
        alone = fit(
            Problem(x[rest], y[rest], None, problem.loss, problem.regularizers, problem.constraints, intercept=True),
            tol=1e-11,
        )
        assert_allclose(np.append(x[row], 1) @ w + problem.level, alone.predict(x[row])[0], atol=1e-7 * y.std())


def test_folds_of_several_problems_and_of_rows_of_weight_zero():
    """Folds count the rows of weight above 0, and every problem of the batch has its own."""
    x = uneven(10)
    weights = np.ones(10)
    weights[[2, 7]] = 0
    active = np.flatnonzero(weights)
    problems = [
        Problem(x, _targets(x, seed), RBF(60.0), Squared(), [Ridge(0.1), TotalVariation(0.2)], weights=weights)
        for seed in (1, 2)
    ]
    held = [np.array([0, 3]), np.array([7])]
    form = canonicalize(problems, held_out=held)
    answer = load_solver("interior").solve(form, Options(tol=1e-11))
    for problem, out, w in zip(problems, held, answer.w, strict=True):
        rest = np.delete(active, out)
        alone = fit(Problem(x[rest], problem.y[rest], RBF(60.0), Squared(), problem.regularizers), tol=1e-11)
        assert_allclose(problem.design.evaluate(x[:, None]) @ w, alone.predict(x), atol=1e-7 * problem.y.std())
