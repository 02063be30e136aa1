"""Differences, row maps and their products, against dense algebra."""

import math
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hw4opt.design
import hw4opt.form
import hw4opt.form.chunks
import hw4opt.form.operator
from dense_rows import divided, uneven
from hw4opt import (
    RBF,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Logistic,
    Nonnegative,
    Problem,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.design import Design
from hw4opt.fit import prove
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.chunks import Chunk, chunks
from hw4opt.proof.certificate import certify
from hw4opt.running.threads import parallel_map
from hw4opt.solvers import load_solver
from hw4opt.terms import Differences
from hw4opt.terms.row_map import RowMap, difference_coefficients


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
    """Results do not depend on whether A is stored, or computed in chunks."""
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
