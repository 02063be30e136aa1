"""The certificate's sums over rows against their definition, in long doubles."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt.core import threads as core_threads
from hw4opt.core.row_sums import SUMMED_ROWS, row_sums
from hw4opt.running.threads import threads

KINDS = ((0.5, -1.0, 1.0), (0.5, -np.inf, np.inf), (0.5, 0.0, np.inf), (0.0, -0.9, 0.1), (0.0, 0.0, np.inf),
         (0.0, -np.inf, 0.3), (0.0, 0.0, 0.0))  # fmt: skip


def random_rows(batch, size, seed=0, unsure=0.0):
    """Rows of every kind, points on both sides of breakpoints, duals in their domain; no constraint is violated."""
    random = np.random.default_rng(seed)
    q, low, high = np.array(KINDS)[random.integers(len(KINDS), size=(batch, size))].transpose(2, 0, 1)
    t, v = random.normal(size=(2, batch, size))
    v = np.where((q == 0) & np.isinf(high), -np.abs(v), np.where((q == 0) & np.isinf(low), np.abs(v), v))
    u = np.clip(random.normal(size=(batch, size)), low, high)
    rounding = np.full((2, batch, size), unsure)
    return np.array([q, t, low, high]), t + v, u, rounding, random.random(size) < 0.5


def by_definition(rows, z, u):
    """f(z) = the largest (z - t) u - ½ q u² on the interval, which is at an end or where the slope is 0; and the
    Fenchel-Young slack."""
    q, t, low, high, z, u = (one.astype(np.longdouble) for one in (*rows, z, u))
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [np.where(np.isfinite(end), end, 0.0) for end in (low, high)]
        places = [*ends, np.where(q > 0, np.clip((z - t) / q, low, high), ends[0])]
    f = np.max([(z - t) * place - q * place * place / 2 for place in places], axis=0)
    return f, f + q * u * u / 2 + t * u - z * u


@pytest.mark.parametrize("size", [1, 60, SUMMED_ROWS + 1])
def test_sums_are_those_of_the_definition(size):
    rows, z, u, rounding, differences = random_rows(3, size)
    found = row_sums(rows, z, u, rounding, differences)
    f, slack = by_definition(rows, z, u)
    assert_allclose(found.excess, f.astype(float), rtol=1e-13, atol=1e-14)
    assert_allclose(found.value, f.sum(axis=1).astype(float), rtol=1e-12, atol=1e-12)
    assert_allclose(found.slack, slack.sum(axis=1).astype(float), rtol=1e-12, atol=1e-12)
    assert (found.beyond == 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_no_error_of_z_moves_the_slack_by_more_than_the_rounding(seed):
    rows, z, u, rounding, differences = random_rows(1, 40, seed, unsure=1e-3)
    random = np.random.default_rng(seed)
    z = np.where(random.random(z.shape) < 0.5, rows[1] + random.uniform(-1e-3, 1e-3, z.shape), z)  # next to breakpoints
    found = row_sums(rows, z, u, rounding, differences)
    _, slack = by_definition(rows, z, u)
    for _ in range(20):
        constraint = (rows[0] == 0) & np.isinf(rows[2:]).any(axis=0)  # which such an error may violate
        moved = z + np.where(constraint, 0.0, random.choice([-1e-3, 1e-3], z.shape))
        assert abs(by_definition(rows, moved, u)[1].sum() - slack.sum()) <= found.rounding[0]


@pytest.mark.parametrize(("low", "high", "side"), [(0.0, np.inf, 1.0), (-np.inf, 0.3, -1.0)])
def test_a_violated_constraint_counts_apart(low, high, side):
    rows = np.array([0.0, 2.0, low, high]).reshape(4, 1, 1) * np.ones((1, 3))
    z = 2.0 + side * np.array([[0.5, 1e-9, -0.5]])
    found = row_sums(rows, z, np.zeros((1, 3)), np.full((2, 1, 3), 1e-8), np.zeros(3, dtype=bool))
    assert_allclose(found.beyond, [[0.5 - 1e-8, 0.0, 0.0]])
    assert np.isinf(found.excess[0]).tolist() == [True, False, False]
    assert_allclose(found.value, 0.15 if low else 0.0)


def test_a_difference_beside_its_breakpoint_counts_as_on_it():
    rows = np.array([0.0, 0.0, -1.0, 1.0]).reshape(4, 1, 1) * np.ones((1, 2))
    given = np.full((1, 2), 1e-9), np.full((1, 2), 0.25), np.full((2, 1, 2), 1e-8)
    found = row_sums(rows, *given, np.array([True, False]))
    assert_allclose(found.slack, 0.25e-9 + 0.75e-9)
    assert_allclose(found.excess, [[0.0, 1e-9]])


def test_numbers_that_are_none_stay_so():
    rows, z, u, rounding, differences = random_rows(1, 5)
    z[0, 2] = np.nan
    found = row_sums(rows, z, u, rounding, differences)
    assert np.isnan(found.slack).all() and np.isnan(found.value).all()


def test_threads_change_no_digit(monkeypatch):
    monkeypatch.setattr(core_threads, "DIRECT_WORK", 0.0)
    given = random_rows(2, 5 * SUMMED_ROWS)
    found = []
    for count in (1, 3):
        with threads(count):
            found.append(row_sums(*given))
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)
