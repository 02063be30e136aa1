"""The price of a row and of stationarity, which solvers and folds stop by, against the certificate's own and long
doubles."""

from dataclasses import replace

import numpy as np
import pytest

from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.fit import solve_with
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.gap_cost import row_slack, stationarity_cost
from hw4opt.proof.certificate import certify
from hw4opt.proof.feasibility import strictly_feasible
from hw4opt.selection import leave_one_out
from hw4opt.selection.loo import active_set, fold_problems, layout
from hw4opt.solvers._polish import measure

SHEETS = {
    "squared": (0.5, -np.inf, np.inf),
    "huber": (0.5, -2.0, 2.0),
    "kinked": (0.0, -0.3, 0.7),
    "one half of an insensitive loss": (0.0, 0.0, 1.0),
    "curved above, flat below": (2.0, 0.0, np.inf),
}


def fenchel(quadratic, low, high, v, u):
    """f(v) + f*(u) - v u in long doubles, f(v) = max over u in [low, high] of v u - ½ q u²."""
    q, low, high, v, u = (np.asarray(one, dtype=np.longdouble) for one in (quadratic, low, high, v, u))
    best = np.clip(v / q, low, high) if q > 0 else np.where(v > 0, high, low)
    return np.where(v == 0, 0, v * best - q * best * best / 2) + q * u * u / 2 - v * u


@pytest.mark.parametrize("name", SHEETS)
def test_the_price_of_a_row_is_its_fenchel_slack(name):
    quadratic, low, high = SHEETS[name]
    random = np.random.default_rng(1)
    u = np.clip(random.normal(scale=2, size=(5, 400)), low, high)
    v = random.normal(scale=2, size=(5, 400))
    v[:, :40], u[:, 40:80], u[:, 80:120] = 0.0, np.clip(-1e9, low, 1e9), np.clip(1e9, -1e9, high)
    slope = (
        np.clip(v / quadratic, low, high)
        if quadratic
        else np.where(v > 0, high, np.where(v < 0, low, np.clip(0, low, high)))
    )
    found = row_slack(slope, u, v, quadratic, np.ones((5, 1)))
    expected = fenchel(quadratic, low, high, v, u).astype(float)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14 * np.abs(u * v).max())
    assert found.max() > 1 and found.min() >= 0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_violated_row_costs_whatever_its_dual_is(sign):
    """Also where it equals plus or minus the largest |u|, in which case a price relative to that size once came out as
    0."""
    slope = np.array([[sign * np.inf, sign * np.inf, sign * np.inf, 0.0]])
    v, largest = sign * np.array([[0.1, 0.1, 1e-9, 0.0]]), 7.0
    for u in (0.0, largest, -largest, 0.3, -1e-12):
        found = row_slack(slope, np.full((1, 4), u), v, 0.0, np.array([[1e5 * largest]]))
        np.testing.assert_allclose(found[0, :3], 1e5 * largest * np.abs(v[0, :3]), rtol=1e-9)
        assert found[0, 3] == 0


@pytest.mark.parametrize("penalty", [[0.3, 2.0, 1e-6], [0.3, 0.0, 0.0], [0.0, 0.0, 0.0]], ids=str)
def test_stationarity_is_priced_column_by_column(penalty):
    """½ r²/p where the column is penalised, else |r|·max(|w|, w_scale)."""
    random = np.random.default_rng(2)
    penalty = np.tile(penalty, (6, 1))
    residual, w, scale = random.normal(size=(3, 6, 3))
    scale = np.abs(scale)
    found = stationarity_cost(penalty, residual, w, scale)
    for i in range(6):
        expected = 0.0
        for p, r, one, least in zip(penalty[i], residual[i], w[i], scale[i], strict=True):
            expected += 0.5 * r * r / p if p > 0 else abs(r) * max(abs(one), least)
        assert found[i] == pytest.approx(expected, rel=1e-14)


def test_a_huge_residual_of_a_free_column_is_priced_without_a_square():
    found = stationarity_cost(np.array([[1.0, 0.0]]), np.array([[1.0, 1e200]]), np.ones((1, 2)), np.ones((1, 2)))
    assert found[0] == pytest.approx(1e200)


PROBLEMS = {
    "huber, tv": dict(loss=Huber(0.3), regularizers=[TotalVariation(0.2)]),
    "quantile": dict(loss=Quantile(0.8)),
    "insensitive": dict(loss=EpsilonInsensitive(0.1)),
    "absolute, intercept": dict(loss=Absolute(), intercept=True),
    "squared, bounds": dict(loss=Squared(), constraints=[Bounds(-9, 9)]),
    "huber, decreasing": dict(loss=Huber(0.3), constraints=[Decreasing()]),
    "squared, tv, increasing": dict(loss=Squared(), regularizers=[TotalVariation(0.2)], constraints=[Increasing()]),
}


def one_problem(loss, regularizers=(), constraints=(), intercept=False):
    random = np.random.default_rng(3)
    x = np.sort(random.uniform(size=14))
    y = np.sin(6 * x) + 0.3 * random.normal(size=14)
    return Problem(
        x, y, RBF(20.0), loss, [Ridge(0.2), *regularizers], constraints, random.uniform(0.5, 2, 14), intercept=intercept
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_solvers_measure_is_the_certificates_gap(name):
    """At random points and duals that hold the constraints; where one is violated, the measure is large and the
    certificate has none."""
    problem = one_problem(**PROBLEMS[name])
    form = canonicalize([problem] * 30)
    random = np.random.default_rng(4)
    w = 0.3 * random.normal(size=form.penalty.shape)
    if "creasing" in name:
        inside = strictly_feasible(form.cut(np.array([0])))
        w = random.uniform(1, 3, size=(30, 1)) * inside + np.where(np.arange(30) % 2, 1.0, 1e-3)[:, None] * w
    first = certify(form, w, form.complete_dual(0.3 * random.normal(size=(30, form.size)), w))
    found = measure(form, w, first.u)
    feasible = np.array([certificate.gap is not None for certificate in first.certificates])
    gaps = np.array([certificate.gap for certificate in first.certificates if certificate.gap is not None])
    np.testing.assert_allclose(found[feasible], gaps, rtol=1e-9)
    if "creasing" in name:
        assert 0 < feasible.sum() < 30
        worst = np.array([certificate.violation for certificate in first.certificates])[~feasible]
        assert (found[~feasible] > 10 * worst).all()
    else:
        assert feasible.all()


def folds_of(problem, held_out):
    """The problems of all folds with what they were solved to: w and u of every row."""
    form = canonicalize(problem)
    answer = solve_with("interior", form, Options(tol=1e-13))
    fits = active_set.FullFits(form, answer.w, answer.u)
    union = layout.Union.of(form, layout.Layout.of(problem, held_out))
    problems = fold_problems.FoldProblems.of(active_set._base(fits, union), union.full, union.have)
    out = fold_problems.Solved.none(problems)
    assert len(active_set.active_set_iterations(problems, out, active_set.first_states(problems))) == 0
    return problems, out.w, fold_problems.duals_of(problems, out, np.arange(len(held_out)))


@pytest.mark.parametrize("stretch", [1.0, 2.0**-30, 2.0**30])
@pytest.mark.parametrize(("order", "weight", "stronger"), [(1, 0.05, 40.0), (2, 1e-3, 40.0)])
def test_the_gap_of_a_fold_is_no_less_than_what_is_missing(order, weight, stronger, stretch):
    """Also where u lies beyond its box at a breakpoint (differences that only a stronger penalty makes 0), whatever the
    units of x."""
    x, y = np.arange(14) / 16, np.array([0.0, 3, 1, 4, 1, 5, 2, 6, 2, 5, 2, 4, 0, 3])
    problems = [
        Problem(
            x * stretch,
            y,
            RBF(30.0 / stretch**2),
            Absolute(),
            [Ridge(0.2), Trend(weight * scale * stretch ** (order - 1), order)],
        )
        for scale in (1.0, stronger)
    ]
    held_out = leave_one_out(14)
    (folds, w, u), (_, other_w, other_u) = (folds_of(problem, held_out) for problem in problems)
    counts = np.ones((14, 14)) - np.eye(14)
    best = [fit(replace(problems[0], weights=row), tol=1e-12) for row in counts]
    assert fold_problems.gap_of(folds, np.arange(14), w, u).max() < 1e-11
    found = fold_problems.gap_of(folds, np.arange(14), other_w, other_u) * folds.base.gap_scale[0]
    for rows, one, optimum, gap in zip(held_out, other_w, best, found, strict=True):
        form = canonicalize([problems[0]], [rows])
        missing = certify(form, one[None], np.zeros((1, form.size))).certificates[0].objective
        assert gap >= missing - optimum.objective > 1e-3
