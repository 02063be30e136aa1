"""Pivoted Cholesky in the core against its definition: the next pivot has the largest residual beyond the span of the
others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt.core.pivots import greedy_pivots


def gram_of(size, rank, seed=0):
    points = np.random.default_rng(seed).normal(size=(size, rank))
    return points @ points.T


def by_definition(gram, weight, floor, limit):
    """Each Schur complement solved anew."""
    chosen = []
    while len(chosen) < limit:
        known = gram[np.ix_(chosen, chosen)]
        left = weight * (np.diagonal(gram) - np.einsum("ij,ij->j", gram[chosen], np.linalg.solve(known, gram[chosen])))
        left[chosen] = 0.0
        if left.max() <= floor:
            return chosen, True
        chosen.append(int(left.argmax()))
    return chosen, False


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("size", "rank", "limit"), [(1, 1, 1), (7, 7, 7), (30, 12, 30), (30, 12, 5), (67, 40, 67)])
def test_pivots_are_those_of_the_definition(size, rank, limit, weighted):
    gram, weight = gram_of(size, rank), np.random.default_rng(1).uniform(0.1, 10, size) if weighted else np.ones(size)
    floor = 1e-9 * np.diagonal(gram).max()
    found = greedy_pivots(gram, np.diagonal(gram), weight, floor, limit)
    chosen, complete = by_definition(gram, weight, floor, limit)
    assert found.places.tolist() == chosen and found.complete == (complete or limit == size)
    assert_array_equal(found.inverse, np.triu(found.inverse))
    of_pivots = gram[np.ix_(chosen, chosen)]
    assert_allclose(found.inverse.T @ of_pivots @ found.inverse, np.eye(len(chosen)), atol=1e-9)


@pytest.mark.parametrize("limit", [4, 50])
def test_columns_one_at_a_time_give_the_same_as_the_whole_matrix(limit):
    gram = np.exp(-30 * np.square(np.subtract.outer(*(np.linspace(0, 1, 50),) * 2)))
    asked = []

    def column(j):
        asked.append(j)
        return gram[j].copy()

    given = np.diagonal(gram), np.ones(50), 1e-15, limit
    whole, single = greedy_pivots(gram, *given), greedy_pivots(column, *given)
    assert asked == single.places.tolist() == whole.places.tolist()
    assert_array_equal(whole.inverse, single.inverse)
    assert whole.complete == single.complete == (limit == 50)


def test_nothing_above_the_floor_is_no_pivot():
    found = greedy_pivots(np.zeros((3, 3)), np.zeros(3), np.ones(3), 0.0, 3)
    assert found.places.tolist() == [] and found.inverse.shape == (0, 0) and found.complete
