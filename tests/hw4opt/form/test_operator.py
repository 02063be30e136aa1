"""The row operator against dense matrices, whether its blocks are kept, merged, or made when they are asked for."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hw4opt.form.chunks
import hw4opt.form.operator
from hw4opt.form.chunks import chunks
from hw4opt.form.operator import RowOperator, rows_of_blocks
from hw4opt.terms.row_map import RowMap, difference_coefficients

RANDOM = np.random.default_rng(7)
BASE = RANDOM.normal(size=(30, 4))
X = np.sort(RANDOM.uniform(size=30))
MAPS = {
    "identity": RowMap(30, first=0),
    "differences": RowMap(29, first=0, coef=difference_coefficients(X, 1)),
    "second differences": RowMap(28, first=0, coef=difference_coefficients(X, 2)),
    "some rows": RowMap(12, index=RANDOM.integers(0, 30, size=(12, 1))),
}
KINDS = ["a", "a", "b", "a"]


def dense(row_map):
    """S from its definition, entry by entry."""
    s = np.zeros((row_map.count, 30))
    for j in range(row_map.count):
        width = 1 if row_map.coef is None else row_map.coef.shape[1]
        for c in range(width):
            place = row_map.index[j, c] if row_map.index is not None else row_map.first + j + c
            s[j, place] += 1.0 if row_map.coef is None else row_map.coef[j, c]
    return s


@pytest.fixture(params=["kept", "made when asked for"])
def operator(request, monkeypatch):
    """Over all maps, the first two of one kind."""
    if request.param != "kept":
        monkeypatch.setattr(hw4opt.form.chunks, "MAX_KEPT_ENTRIES", 0)
        monkeypatch.setattr(hw4opt.form.operator, "chunks", partial(chunks, size=8))
    found = RowOperator(list(MAPS.values()), lambda: KINDS, BASE)
    assert len(found.blocks) == (3 if request.param == "kept" else 4 + 4 + 4 + 2)
    return found


def whole():
    return np.concatenate([dense(one) for one in MAPS.values()]) @ BASE


def test_products_are_those_of_the_dense_matrix(operator):
    a = whole()
    w, u, weights = RANDOM.normal(size=(3, 4)), RANDOM.normal(size=(3, len(a))), RANDOM.uniform(size=(3, len(a)))
    assert operator.size == len(a)
    assert_allclose(operator.forward(w), w @ a.T, rtol=1e-12, atol=1e-13)
    assert_allclose(operator.adjoint(u), u @ a, rtol=1e-12, atol=1e-13)
    assert_allclose(operator.gram(weights), np.einsum("mi,bm,mj->bij", a, weights, a), rtol=1e-12, atol=1e-13)


def test_blocks_cover_every_row_once_and_hold_one_kind(operator):
    covered = np.concatenate([np.arange(block.span.start, block.span.stop) for block in operator.blocks])
    assert covered.tolist() == list(range(operator.size))
    for segment, kind in zip(operator.segments, KINDS, strict=True):
        inside = [
            one for one in operator.blocks if one.span.start < segment.span.stop and segment.span.start < one.span.stop
        ]
        assert {one.kind for one in inside} == {kind}
    assert_allclose(np.concatenate([block.matrix for block in operator.blocks]), whole(), rtol=1e-12, atol=1e-14)


def test_lengths_are_those_of_the_rows(operator):
    for row_map, segment in zip(MAPS.values(), operator.segments, strict=True):
        rows = dense(row_map) @ BASE
        assert_allclose(operator.column_squares(row_map), np.square(rows).sum(axis=0))
        assert operator.typical_length(row_map) == pytest.approx(np.sqrt(np.square(rows).sum(axis=1).mean()))
        assert segment.span.stop - segment.span.start == row_map.count


def test_differences_that_are_kept_have_a_length_each():
    operator = RowOperator([MAPS["identity"], MAPS["second differences"]], lambda: ["a", "b"], BASE)
    first, second = operator.blocks
    assert np.ndim(first.length) == 0
    rows = np.linalg.norm(dense(MAPS["second differences"]) @ BASE, axis=1)
    typical = operator.typical_length(MAPS["second differences"])
    assert_allclose(second.length, np.maximum(rows, hw4opt.form.operator.SHORTEST_ROW * typical))


def test_terms_may_share_a_map_and_a_map_may_be_empty():
    empty = RowMap(0, first=0, coef=np.zeros((0, 2)))
    operator = RowOperator([MAPS["identity"], empty, MAPS["identity"]], lambda: ["a", "b", "c"], BASE)
    assert operator.size == 60 and len(operator.blocks) == 2
    assert_allclose(operator.forward(np.ones((1, 4)))[:, :30], operator.forward(np.ones((1, 4)))[:, 30:])


@pytest.mark.parametrize("count", [1, 7, 8, 40])
def test_blocks_are_filled_in_any_number_of_threads(count):
    class Span:
        def __init__(self, low):
            self.span = slice(3 * low, 3 * low + 3)

    found = rows_of_blocks(
        2, 3 * count, [Span(low) for low in range(count)], lambda one: np.full((2, 3), one.span.start)
    )
    assert found.tolist() == np.repeat(3 * np.arange(count), 3)[None].repeat(2, axis=0).tolist()
