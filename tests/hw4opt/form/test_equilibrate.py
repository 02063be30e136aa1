"""The scaled form that solvers see, and the way back: objective, gap, duals and penalties are those of the form as
given."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Logistic,
    Poisson,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.equilibrate import equilibrate, solve_scaled
from hw4opt.proof.certificate import certify
from hw4opt.solvers import load_solver

LOSSES = [
    Squared(),
    Huber(30.0),
    Absolute(),
    Quantile(0.8),
    EpsilonInsensitive(15.0),
    Logistic(),
    Poisson(),
    Poisson(truncated=True),
]
every_loss = pytest.mark.parametrize(
    "loss", LOSSES, ids=lambda loss: loss.name + " truncated" * getattr(loss, "truncated", False)
)
SETTINGS = {
    "kernel": dict(kernel=RBF(20.0)),
    "kernel, intercept, tv": dict(kernel=RBF(20.0), regularizers=[TotalVariation(0.3)], intercept=True),
    "kernel, slopes": dict(kernel=RBF(20.0), constraints=[Increasing(column=0)]),
    "linear, l1": dict(regularizers=[L1(3.0)], intercept=True),
    "linear, bounds": dict(constraints=[Bounds(-1e6, 1e6)]),
}


def one_problem(loss, seed, kernel=None, regularizers=(), constraints=(), intercept=False):
    """Targets of a size of hundreds; columns, where there are several, of very different sizes."""
    random = np.random.default_rng(7)
    x = random.uniform(size=15)[:, None] if kernel else random.normal(size=(15, 3)) * [1e-3, 1.0, 1e4] + [0.0, 2.0, 3e4]
    y = 100 * np.random.default_rng(seed).normal(size=15)
    y = {"logistic": y > 0, "poisson": np.abs(np.round(y)) + getattr(loss, "truncated", False)}.get(loss.name, y)
    weights = random.uniform(0.5, 2, size=15)
    return Problem(
        x, y, kernel, loss, [Ridge(0.2), *regularizers], constraints, weights, random.normal(size=15), intercept
    )


def batch(loss, setting):
    """Three problems over one x, with ridges and targets of their own."""
    problems = [one_problem(loss, seed, **SETTINGS[setting]) for seed in range(3)]
    rest = SETTINGS[setting].get("regularizers", [])
    return [dataclasses.replace(one, regularizers=[Ridge(0.2 * 10**k), *rest]) for k, one in enumerate(problems)]


def random_pair(scaled):
    """A point and duals of the scaled form; the point holds the wide bounds, and slopes may or may not rise."""
    random = np.random.default_rng(8)
    v = 0.3 * random.normal(size=scaled.form.penalty.shape)
    return v, random.normal(size=(scaled.form.batch, scaled.form.size))


@every_loss
@pytest.mark.parametrize("setting", SETTINGS)
def test_rows_penalties_and_gradients_map_back(loss, setting):
    """z = size z', P(w) = worth P'(v), and the residual of stationarity on the columns: size Tᵀ (P w + Aᵀu) = worth
    (P'v + A'ᵀu')."""
    form = canonicalize(batch(loss, setting))
    scaled = equilibrate(form)
    v, duals = random_pair(scaled)
    w, units = scaled.point(v), scaled.units
    z, scaled_z = form.forward(w), scaled.form.forward(v)
    for span in (span for spans in form.spans for span in spans):
        assert_allclose(z[:, span], units.size * scaled_z[:, span], rtol=1e-11, atol=1e-11 * np.abs(z[:, span]).max())
    if not scaled.centers.any():
        assert_allclose(
            (form.penalty * w * w).sum(axis=1),
            units.worth[:, 0] * (scaled.form.penalty * v * v).sum(axis=1),
            rtol=1e-12,
        )
    u = units.worth / units.size * duals
    residual = form.penalty * w + form.adjoint(u)
    inner = units.size * scaled.columns * residual
    inner = inner - units.size * (residual[:, scaled.form.design.levels] @ scaled.centers)
    expected = units.worth * (scaled.form.penalty * v + scaled.form.adjoint(duals))
    assert_allclose(inner, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


@every_loss
@pytest.mark.parametrize("setting", SETTINGS)
def test_objective_and_gap_are_the_scaled_ones_times_their_worth(loss, setting):
    """certify(form, back(v, u')) = worth · certify(scaled form, v, u'), at random points and at a solver's answer."""
    problems = batch(loss, setting)
    form = canonicalize(problems)
    scaled = equilibrate(form)
    v, duals = random_pair(scaled)
    answer = load_solver("interior").solve(scaled.form, Options(tol=1e-6))
    known = 0
    for point, of_rows, inside in ((v, duals, None), (answer.w, answer.u, answer.interior)):
        inner = certify(scaled.form, point, of_rows, inside)
        outer = certify(form, scaled.point(inner.w), scaled.units.worth / scaled.units.size * inner.u)
        for one, other, worth in zip(outer.certificates, inner.certificates, scaled.units.worth[:, 0], strict=True):
            assert one.objective == pytest.approx(worth * other.objective, rel=1e-9)
            assert (one.gap is None) == (other.gap is None) or "slopes" in setting
            if one.gap is not None and other.gap is not None:
                close = 1e-9 * one.gap + 1e-12 * abs(one.objective) + 2 * one.gap_rounding
                assert one.gap == pytest.approx(worth * other.gap, abs=close)
                assert one.gap_scale == pytest.approx(worth * other.gap_scale, rel=1e-8)
                known += 1
    assert known >= (1 if "slopes" in setting else 6)  # random slopes and early ones may fall


@every_loss
@pytest.mark.parametrize("setting", ["kernel", "kernel, intercept, tv", "linear, l1"])
def test_targets_slopes_and_the_hessians_diagonal_are_of_unit_size(loss, setting):
    """p'_j + Σ_i a'_ij² = 1 on penalised columns and on free ones, of one problem at its own typical curvature."""
    form = canonicalize(batch(loss, setting)[1])
    scaled = equilibrate(form)
    rows = scaled.form.loss.map.take(scaled.form.matrix)
    diagonal = scaled.form.penalty[0] + np.square(rows).sum(axis=0)
    assert_allclose(diagonal, 1.0, rtol=1e-9)
    typical = [np.median(np.abs(box.shift)) for box in scaled.form.loss.boxes]
    assert all(0.3 < one < 3 for one in typical)
    if scaled.form.design.intercept:
        assert_allclose(rows[:, :-1].sum(axis=0), 0.0, atol=1e-9)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.2])
@pytest.mark.parametrize("solver", ["interior", "admm", "cvxpy"])
def test_columns_of_zeros_and_of_one_value_change_no_fit(intercept, ridge, solver):
    """A column of zeros takes no part; a constant one beside an intercept is 0 around its mean, and needs no size of
    its own."""
    random = np.random.default_rng(9)
    x = random.normal(size=(20, 2))
    y = x @ [1.0, -2.0] + 3 * intercept + 0.3 * random.normal(size=20)
    plain = Problem(x, y, loss=Huber(0.3), regularizers=[Ridge(ridge)], intercept=intercept)
    more = np.column_stack([x, np.zeros(20), *([np.full(20, 1e3)] if intercept else [])])
    padded = dataclasses.replace(plain, x=more)
    scaled = equilibrate(canonicalize(padded))
    assert np.isfinite(scaled.form.matrix).all() and np.abs(scaled.form.matrix[:20]).max() < 1e2
    one, other = fit(plain, "interior", tol=1e-11), fit(padded, solver, tol=1e-8)
    assert other.status.word == "certified", other.message
    assert_allclose(other.fitted, one.fitted, atol=1e-4)
    assert other.objective == pytest.approx(one.objective, rel=1e-6)


def test_problems_of_a_batch_share_the_columns_and_have_units_of_their_own():
    problems = [one_problem(Huber(30.0), 0, kernel=RBF(20.0)), one_problem(Huber(30.0), 0, kernel=RBF(20.0))]
    problems[1] = dataclasses.replace(
        problems[1], x=problems[0].x, y=1e3 * problems[0].y, loss=Huber(3e4), offset=1e3 * problems[0].offset
    )
    form = canonicalize(problems)
    scaled = equilibrate(form)
    assert_allclose(scaled.units.size[1], 1e3 * scaled.units.size[0], rtol=1e-12)
    assert_allclose(scaled.units.worth[1], 1e6 * scaled.units.worth[0], rtol=1e-12)
    assert scaled.form.matrix.shape == form.matrix.shape
    for box in scaled.form.loss.boxes:
        assert_allclose(box.shift[1], box.shift[0], rtol=1e-12)
    found = solve_scaled(load_solver("interior").solve, form, Options(tol=1e-9))
    assert_allclose(found.w[1], 1e3 * found.w[0], rtol=1e-6, atol=1e-6 * np.abs(found.w[1]).max())


@pytest.mark.parametrize("solver", ["interior", "admm", "proximal"])
def test_powers_of_two_in_y_change_the_answer_by_that_power_exactly(solver):
    """The scaled form is the same to the last bit, so that every step is."""
    problem = one_problem(Squared(), 3, kernel=RBF(20.0), regularizers=[TotalVariation(64.0)])
    large = dataclasses.replace(problem, y=2.0**40 * problem.y, offset=2.0**40 * problem.offset)
    large = dataclasses.replace(large, regularizers=[Ridge(0.2), TotalVariation(64.0 * 2.0**40)])
    one, other = (solve_scaled(load_solver(solver).solve, canonicalize(p), Options(tol=1e-6)) for p in (problem, large))
    assert_array_equal(other.w, 2.0**40 * one.w)
    assert one.iterations.tolist() == other.iterations.tolist()
