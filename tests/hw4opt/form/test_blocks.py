"""Terms that share their rows: one block for the solver, and each its own dual again."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import (
    RBF,
    Bounds,
    Decreasing,
    Huber,
    Increasing,
    Nonnegative,
    Poisson,
    Problem,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
    fit_batch,
)
from hw4opt.form import SmoothRows
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify

RANDOM = np.random.default_rng(1)
X = np.sort(RANDOM.uniform(size=20))
Y = 3 * X + np.sin(9 * X) + 0.2 * RANDOM.normal(size=20)
GROUPS = {
    "tv, increasing": ([TotalVariation(0.3)], [Increasing()]),
    "tv, decreasing": ([TotalVariation(0.3)], [Decreasing()]),
    "tv, trend of order 1, increasing": ([TotalVariation(0.3), Trend(0.2, order=1)], [Increasing()]),
    "tv, trend of order 1": ([TotalVariation(0.3), Trend(0.2, order=1)], []),
}


def problem_of(group, loss=None, **more):
    regularizers, constraints = GROUPS[group]
    return Problem(X, Y, RBF(20.0), loss or Squared(), [Ridge(0.1), *regularizers], constraints, **more)


def interval(term):
    (table,) = term.tables
    return table.low, table.high


@pytest.mark.parametrize("group", GROUPS)
def test_terms_on_the_same_rows_are_one_block(group):
    problem = problem_of(group)
    loss, shared = canonicalize(problem).terms
    assert loss.names == ("squared",) and shared.names == tuple(term.name for term in problem.terms[1:])
    (box,) = shared.boxes
    low, high = (sum(ends) for ends in zip(*(interval(term) for term in problem.terms[1:]), strict=True))
    assert (box.low.item(), box.high.item()) == (low, high)


@pytest.mark.parametrize("group", GROUPS)
def test_a_dual_is_split_into_one_of_each_term(group):
    """Each in its own interval, together the sum, and Fenchel-tight wherever the sum is: f_k(z) + f_k*(u_k) = z u_k."""
    problem = problem_of(group)
    block = canonicalize(problem).terms[1]
    low, high = (sum(ends) for ends in zip(*(interval(term) for term in problem.terms[1:]), strict=True))
    low, high = max(low, -40.0), min(high, 40.0)
    u = np.concatenate([RANDOM.uniform(low, high, size=15), [low, high, 0.0, 0.5 * low]])[None]
    found = block.split(u)
    assert list(found) == list(block.names)
    assert_allclose(sum(found.values()), u, rtol=1e-15, atol=1e-15)
    for term in problem.terms[1:]:
        least, most = interval(term)
        assert (found[term.name] >= least).all() and (found[term.name] <= most).all()
    for z, total in ((1.0, high), (-1.0, low), (0.0, 0.3 * low), (0.0, 0.3 * high)):
        if abs(total) == 40.0:
            continue  # z is outside the domain there
        parts = block.split(np.array([[total]]))
        for term in problem.terms[1:]:
            one = parts[term.name][0]
            assert term.value([z]) + term.conjugate(one) == pytest.approx(z * one.item(), abs=1e-14)


def test_problems_of_a_batch_are_split_by_their_own_weights():
    first = problem_of("tv, increasing")
    batch = [
        dataclasses.replace(first, regularizers=[Ridge(0.1), TotalVariation(weight)]) for weight in (0.0, 0.3, 2.0)
    ]
    form = canonicalize(batch)
    block = form.terms[1]
    u = np.tile(np.linspace(-5, 2, 19), (3, 1))
    u = np.minimum(u, [[0.0], [0.3], [2.0]])
    found = block.split(u)
    assert_allclose(np.abs(found["tv"]).max(axis=1), [0.0, 0.3, 2.0])
    assert (found["increasing"] <= 0).all()
    assert_allclose(found["tv"] + found["increasing"], u, atol=1e-15)
    alone = block.cut(np.array([2]))
    assert_allclose(alone.split(u[2:])["tv"], found["tv"][2:])
    for one, other in zip(fit_batch(batch, tol=1e-10), (fit(problem, tol=1e-10) for problem in batch), strict=True):
        assert one.status.word == other.status.word == "certified"
        assert_allclose(one.fitted, other.fitted, atol=1e-5)


def test_what_has_no_end_or_other_rows_stays_apart():
    """Increasing and decreasing add up to f* = 0 everywhere; bounds have a curvature of their own, a trend of order 2
    other rows."""
    both = Problem(X, Y, RBF(20.0), Squared(), [Ridge(0.1)], [Increasing(), Decreasing()])
    assert [term.names for term in canonicalize(both).terms] == [("squared",), ("increasing",), ("decreasing",)]
    values = Problem(
        X, Y, RBF(20.0), Huber(0.3), [Ridge(0.1), TotalVariation(0.1), Trend(0.1)], [Bounds(0, 5), Nonnegative()]
    )
    assert [term.names for term in canonicalize(values).terms] == [
        ("huber",),
        ("tv",),
        ("trend",),
        ("bounds",),
        ("nonnegative",),
    ]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("solver", ["interior", "admm", "cvxpy"])
def test_a_fit_has_a_dual_of_every_term_that_proves_it(group, solver):
    problem = problem_of(group, Huber(0.3))
    result = fit(problem, solver)
    assert result.status.word == "certified", result.message
    assert set(result.duals) == {term.name for term in problem.terms}
    for term in problem.terms[1:]:
        least, most = interval(term)
        assert (result.duals[term.name] >= least - 1e-12).all() and (result.duals[term.name] <= most + 1e-12).all()
    form = canonicalize(problem)
    of_terms = [np.sum([result.duals[name] for name in rows.names], axis=0)[None] for rows in form.terms]
    again = certify(form, result.w[None], form.split_duals(of_terms)).certificates[0]
    assert again.holds(1e-6 if solver == "cvxpy" else 1e-8)
    pull = 2 * 0.1 * result.w + sum(
        rows.map.take(form.matrix).T @ result.duals[name] for rows in form.terms for name in rows.names
    )
    assert np.abs(pull).max() <= 1e-3


def test_a_smooth_row_of_weight_0_counts_nothing_though_its_loss_be_infinite():
    weights = np.array([[1.0, 0.0]])
    rows = SmoothRows(Poisson(), np.array([[2.0, 2.0]]), np.zeros((1, 1)), weights)
    z, u = np.array([[0.5, 1e4]]), np.array([[-0.5, 0.0]])
    for found in (
        rows.value(z),
        rows.gradient(z),
        rows.curvature(z),
        rows.excess(z),
        rows.slack(z, u),
        *rows.derivatives(z),
    ):
        assert np.isfinite(found).all() and found[0, 0] != 0 and found[0, 1] == 0
