"""Dual projection, subsampling, and forms that are cut: what solvers and the certificate take from a form."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import (
    RBF,
    Absolute,
    Huber,
    Increasing,
    Logistic,
    Poisson,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
)
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.dual_projection import project_dual
from hw4opt.form.subsample import subsample
from hw4opt.solvers import load_solver

RANDOM = np.random.default_rng(9)
X = np.sort(RANDOM.uniform(size=60))
Y = np.sin(6 * X) + 0.3 * RANDOM.normal(size=60)
FREE = {
    "absolute": (Absolute(), Y),
    "huber": (Huber(0.3), Y),
    "quantile": (Quantile(0.8), Y),
    "squared": (Squared(), Y),
    "logistic": (Logistic(), np.where(Y > 0, 1.0, -1.0)),
    "poisson": (Poisson(), np.round(2 + 2 * (Y - Y.min()))),
}


def problem(loss, y, ridge=0.1, terms=(), constraints=(), intercept=True):
    return Problem(X, y, RBF(20.0), loss, [Ridge(ridge), *terms], list(constraints), intercept=intercept)


@pytest.mark.parametrize("name", FREE)
def test_a_projected_dual_balances_the_free_columns_inside_its_domain(name):
    loss, y = FREE[name]
    form = canonicalize([problem(loss, y, ridge) for ridge in (0.1, 1.0, 10.0)])
    best = load_solver("interior").solve(form, Options(tol=1e-9))
    u = form.clip_dual(best.u + 0.05 * np.abs(best.u).max() * RANDOM.normal(size=best.u.shape))
    found = project_dual(form, form.forward(best.w), u)
    free = (form.penalty == 0).all(axis=0)
    assert free.sum() == 1 and found.reached.all()
    size = np.abs(form.operator.forward(np.eye(len(free))[free])).sum()
    assert np.abs(form.adjoint(found.u)[:, free]).max() <= 1e-12 * np.abs(found.u).max() * size
    assert_allclose(form.clip_dual(found.u), found.u, rtol=0, atol=1e-15)
    again = project_dual(form, form.forward(best.w), found.u)
    assert_allclose(again.u, found.u, atol=1e-12 * np.abs(found.u).max())  # a projection


def test_without_free_columns_a_dual_is_left_as_it_is():
    form = canonicalize(problem(Huber(0.3), Y, intercept=False))
    u = form.clip_dual(RANDOM.normal(size=(1, form.size)))
    found = project_dual(form, np.zeros((1, form.size)), u)
    assert found.u is u and found.reached.all()


def test_a_dual_that_cannot_be_balanced_is_said_not_to_be():
    """All duals have one sign: u ≥ 0.2 on all rows cannot add up to 0."""
    form = canonicalize(problem(Quantile(0.5), Y))
    rows = form.loss.boxes[0]
    stuck = type(rows)(rows.quadratic, rows.shift, np.full((1, 1), 0.2), rows.high)
    term = type(form.loss)(form.loss.terms, form.loss.map, form.loss.offset, form.loss.weights, (stuck,))
    alone = type(form)(form.design, (term,), form.penalty, form.matrix)
    u = alone.clip_dual(np.zeros((1, alone.size)))
    assert not project_dual(alone, np.zeros((1, alone.size)), u).reached.any()


@pytest.mark.parametrize("repeated", [False, True])
def test_a_subsample_has_nearly_the_same_optimum(repeated):
    x = np.sort(RANDOM.uniform(size=2000))
    x = np.round(x, 3) if repeated else x
    y = np.sin(6 * x) + 0.3 * RANDOM.normal(size=2000)
    form = canonicalize(
        Problem(x, y, RBF(20.0), Huber(0.3), [Ridge(0.1), TotalVariation(0.5)], weights=RANDOM.uniform(0.5, 2, 2000))
    )
    part = subsample(form, 10)
    assert part.loss.count == 200 and part.matrix.shape[1] == form.matrix.shape[1]
    assert_allclose(part.loss.weights.sum(), form.loss.weights.sum(), rtol=0.05)
    few, all_rows = (load_solver("interior").solve(one, Options(tol=1e-8)).w[0] for one in (part, form))
    values = form.matrix[: len(form.design.base_x)]
    assert np.abs(values @ (few - all_rows)).max() < 0.2 * np.ptp(values @ all_rows)


def test_some_problems_of_a_form_are_the_form_of_some_problems():
    problems = [
        problem(Huber(0.3), Y, ridge, [TotalVariation(weight)], [Increasing()])
        for ridge, weight in ((0.1, 0.2), (1.0, 0.0), (3.0, 2.0))
    ]
    form, some = canonicalize(problems), np.array([0, 2])
    assert form.quadratic.h.shape[0] == 3 and form.scales.z.shape == (3, 1)  # known before it is cut
    part, fresh = form.cut(some), canonicalize([problems[0], problems[2]])
    z, u = RANDOM.normal(size=(2, 2, form.size))
    for act in ("value", "gradient"):
        assert_allclose(getattr(part, act)(z), getattr(fresh, act)(z))
    assert_allclose(part.clip_dual(u), fresh.clip_dual(u))
    assert_allclose(part.adjoint(u), fresh.adjoint(u))
    assert_allclose(part.scales.z, fresh.scales.z)
    assert_allclose(part.gap_scale(part.ridge[:, None] * np.ones(form.penalty.shape[1]), np.zeros(2)),
                    fresh.gap_scale(part.ridge[:, None] * np.ones(form.penalty.shape[1]), np.zeros(2)))  # fmt: skip


def test_quadratic_rows_are_in_the_sum_and_no_others():
    form = canonicalize(problem(Squared(), Y, terms=[TotalVariation(0.2)], intercept=False))
    assert [block.kind.is_quadratic for block in form.blocks] == [True, False] and len(form.nonquadratic) == 1
    w = RANDOM.normal(size=form.penalty.shape)
    z = form.forward(w)
    loss = form.value(z)[:, : form.loss.count].sum()
    q = form.quadratic
    assert 0.5 * w[0] @ q.h[0] @ w[0] + q.b[0] @ w[0] + q.c[0] == pytest.approx(loss, rel=1e-12)
    gradient = form.gradient(z)[:, : form.loss.count] @ form.blocks[0].matrix
    assert_allclose(q.h[0] @ w[0] + q.b[0], gradient[0], rtol=1e-10, atol=1e-10)
