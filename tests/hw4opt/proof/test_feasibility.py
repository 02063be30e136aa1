"""Points outside the constraints: how far, blended into a feasible one, and what proves nothing."""

import dataclasses
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cone_program import objective_by_hand, optimum
from hw4opt import (
    RBF,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    Huber,
    Increasing,
    Logistic,
    Matern52,
    Nonnegative,
    Polynomial,
    Problem,
    Quantile,
    Ridge,
    Squared,
    Status,
    fit,
)
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify
from hw4opt.proof.feasibility import strictly_feasible
from hw4opt.terms import Slope
from small_problems import every_shape, one_problem, random_pairs


@every_shape
@pytest.mark.parametrize("loss", [Squared(), Quantile(0.8), Logistic()], ids=lambda loss: loss.name)
def test_an_infeasible_point_is_blended_into_a_feasible_one_or_proves_nothing(shape, loss):
    problem = one_problem(loss, constraints=shape)
    form = canonicalize([problem] * 20)
    w, duals = random_pairs(form, np.random.default_rng(8), scale=60.0)
    alone = certify(form, w, duals)
    outside = np.array([certificate.violation > 0 for certificate in alone.certificates])
    assert outside.sum() >= 15
    for certificate in np.array(alone.certificates)[outside]:
        assert (
            certificate.gap is certificate.relative_gap is certificate.dual_objective is certificate.norm_bound is None
        )
        assert "violated" in certificate.reason and certificate.norm_bound_reason == certificate.reason
        assert not certificate.holds(0.999)
    inside = strictly_feasible(form.cut(np.array([0])))
    proof = certify(form, w, duals, np.tile(inside, (20, 1)))
    assert_allclose(proof.w[~outside], w[~outside])
    best = optimum(problem).objective
    for i, certificate in enumerate(proof.certificates):
        assert certificate.reason is None and certificate.violation == 0 and math.isfinite(certificate.gap)
        objective = objective_by_hand(problem, proof.w[i])
        assert certificate.objective == pytest.approx(objective, rel=1e-9)
        assert certificate.gap >= max(0, objective - best - 1e-8 * abs(best))
        share = np.linalg.norm(proof.w[i] - w[i]) / np.linalg.norm(inside - w[i])
        assert_allclose(proof.w[i], w[i] + share * (inside - w[i]), atol=1e-10 * np.abs(w[i]).max())
        if outside[i]:
            assert 0 < share <= 1
            short = w[i] + 0.99 * share * (inside - w[i])
            assert certify(form.cut(np.array([i])), short[None], duals[i : i + 1]).certificates[0].violation > 0


@every_shape
@pytest.mark.parametrize("intercept", [False, True])
def test_a_strictly_feasible_point_is_found_for_every_shape(shape, intercept):
    """Also where w = 0 is one already, where shapes do not see the intercept, and without a warning."""
    form = canonicalize(one_problem(Squared(), constraints=shape, intercept=intercept))
    inside = strictly_feasible(form)
    assert np.abs(inside).max() < 1e3
    for term in form.terms[1:]:
        for box in term.boxes:
            z = term.map.take(form.matrix @ inside)
            room = np.where(np.isinf(box.high), box.shift - z, z - box.shift)
            assert room.min() > 0


@pytest.mark.parametrize("seed", [28, 90, 177])
def test_a_shape_that_can_hold_is_not_called_infeasible(seed):
    """x without near ties and kernels that are smooth: an interior point exists, so one must be found."""
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(size=int(random.integers(8, 25))))
    y = np.sin(5 * x) + 0.3 * random.normal(size=len(x))
    gamma = float(10 ** random.uniform(0, 2))
    for kernel in (RBF(gamma), Matern52(gamma)):
        for shape in (Increasing(), Convex()):
            problem = Problem(x, y, kernel, Quantile(0.8), [Ridge(0.1)], [shape])
            assert strictly_feasible(canonicalize(problem)) is not None, f"{kernel} {shape}"
            assert fit(problem, "admm", max_iterations=3).status is not Status.INFEASIBLE


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [
        (RBF(20.0), [Nonnegative(), Bounds(upper=0.0)]),
        (RBF(20.0), [Increasing(), Decreasing()]),
        (RBF(20.0), [Convex(), Concave()]),
        (None, [Increasing(), Decreasing()]),
    ],
)
def test_feasible_without_an_inner_point_is_not_called_infeasible(kernel, shape):
    """f = 0 (or a constant, or a line) satisfies them: "no function of this design satisfies the constraints" would be
    false."""
    problem = one_problem(Squared(), kernel=kernel, constraints=shape, intercept=True)
    assert fit(problem).status is not Status.INFEASIBLE


LINE = np.linspace(-1, 1, 10)
OPPOSED = {
    "a line through 0 above 1 on both sides": (None, [Bounds(lower=1)]),
    "the same in a kernel's words": (Polynomial(1.0, 1, 0.0), [Bounds(lower=1)]),
    "an odd cubic above 1": (Polynomial(1.0, 3, 0.0), [Bounds(lower=1)]),
    "a parabola that rises on both sides": (Polynomial(1.0, 2, 0.0), [Increasing(), Bounds(lower=1e-3)]),
}


@pytest.mark.parametrize("case", OPPOSED)
@pytest.mark.parametrize("solver", ["interior", "admm", "proximal"])
def test_shapes_that_cannot_hold_prove_nothing(case, solver):
    kernel, shape = OPPOSED[case]
    result = fit(Problem(LINE, LINE, kernel, regularizers=[Ridge(0.1)], constraints=shape), solver, max_iterations=200)
    assert (
        result.status is Status.INFEASIBLE
        if "line" in case
        else result.status in (Status.INFEASIBLE, Status.UNCERTIFIED)
    )
    assert (
        result.certificate.gap is None and result.certificate.norm_bound is None and result.certificate.violation > 1e-6
    )
    assert "violated" in result.certificate.reason and result.bound(LINE) is None


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_a_slope_is_judged_in_its_own_unit(scale):
    """What rounding may do to a fitted value says nothing of slopes, whose unit is that of f over that of x."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(25, 2))
    y = -x[:, 0] + x[:, 1] + 0.1 * rng.normal(size=25)
    free = Problem(scale * x, y, kernel=RBF(0.1 / scale**2), regularizers=[Ridge(0.1)])
    bound = dataclasses.replace(free, constraints=(Increasing(column=0),))
    falling = canonicalize(free).design.evaluate(free.x)
    w = np.linalg.lstsq(canonicalize(bound).design.matrix[:25], falling @ fit(free).w, rcond=None)[0]
    form = canonicalize(bound)
    certificate = certify(form, w[None], np.zeros((1, form.size))).certificates[0]
    assert certificate.violation > 0.5 and "violated" in certificate.reason
    result = fit(bound).raise_for_status()
    assert result.objective == pytest.approx(fit(dataclasses.replace(bound, x=x, kernel=RBF(0.1))).objective, rel=1e-7)


def steep(term, w, x=None, y=None, kernel=None):
    """The certificate of f = w·x (or of a kernel's w) under one constraint."""
    x = np.array([0.0, 1.0, 3.0, 4.0, 8.0]) if x is None else x
    y = np.array([2.0, 0.0, 10.0, 4.0, 4.0]) if y is None else y
    form = canonicalize(Problem(x, y, kernel, regularizers=[Ridge(0.1)], constraints=[term]))
    return certify(form, np.atleast_2d(w), np.zeros((1, form.size))).certificates[0]


def test_violation_by_hand():
    """Order rows: slope · x-range (8) over the interquartile range of y (2); bounds: over that range."""
    assert steep(Increasing(), -0.5).violation == pytest.approx(0.5 * 8 / 2, rel=1e-12)
    assert steep(Decreasing(), 0.5).violation == pytest.approx(0.5 * 8 / 2, rel=1e-12)
    assert steep(Increasing(), 0.5).violation == steep(Decreasing(), -0.5).violation == 0
    assert steep(Nonnegative(), -0.5).violation == pytest.approx(0.5 * 8 / 2, rel=1e-12)
    assert steep(Bounds(upper=3), 0.5).violation == pytest.approx((0.5 * 8 - 3) / 2, rel=1e-12)
    assert steep(Bounds(lower=1), 0.5).violation == pytest.approx(1 / 2, rel=1e-12)


def test_violation_of_a_bent_function_by_hand():
    """f = -x²/2: slopes between neighbours -0.5, -2, -3.5, -6, so they change by -1.5, -1.5 and -2.5."""
    x, y = np.array([0.0, 1.0, 3.0, 4.0, 8.0]), np.array([2.0, 0.0, 10.0, 4.0, 4.0])
    kernel = Polynomial(1.0, 2, 1.0)
    basis = Problem(x, y, kernel).design.matrix
    w = np.linalg.lstsq(basis, -0.5 * x**2)[0]
    assert steep(Convex(), w, kernel=kernel).violation == pytest.approx(2.5 * 8 / 2, rel=1e-9)
    assert steep(Concave(), w, kernel=kernel).violation == 0
    assert steep(Increasing(), w, kernel=kernel).violation == pytest.approx(6 * 8 / 2, rel=1e-9)
    assert steep(Increasing(), w, kernel=kernel).largest_drop == pytest.approx(32, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e3, 1e9])
@pytest.mark.parametrize("term", [Increasing(), Convex(), Increasing(column=0), Bounds(upper=0.2)], ids=str)
def test_violation_does_not_depend_on_the_unit_of_x(term, scale):
    """One function, seen over x in other units."""
    random = np.random.default_rng(12)
    x, y = np.sort(random.uniform(size=12)), random.normal(size=12)
    plain, scaled = (
        Problem(x, y, RBF(20.0), constraints=[term]),
        Problem(scale * x, y, RBF(20.0 / scale**2), constraints=[term]),
    )
    w = random.normal(size=plain.design.matrix.shape[1])
    other = np.linalg.lstsq(scaled.design.matrix[:12], plain.design.matrix[:12] @ w)[0]
    if isinstance(term.acts, Slope):
        rows = [
            np.concatenate([problem.design.matrix[:12], unit * problem.design.matrix[12:]])
            for problem, unit in ((plain, 1), (scaled, scale))
        ]
        other = np.linalg.lstsq(rows[1], rows[0] @ w)[0]
    one, two = (steep(term, point, problem.x, y, problem.kernel) for point, problem in ((w, plain), (other, scaled)))
    assert one.violation > 0.01
    assert two.violation == pytest.approx(one.violation, rel=1e-4)


def test_largest_drop_is_the_fall_below_the_running_maximum():
    """Over the distinct sorted x, in units of y; mirrored for decreasing; None without an order constraint."""
    random = np.random.default_rng(13)
    x, y = random.permutation(np.repeat(np.linspace(0, 1, 8), 2)), random.normal(size=16)
    w = random.normal(size=(1, 8))
    for term, sign in ((Increasing(), 1), (Decreasing(), -1)):
        problem = Problem(x, y, RBF(500.0), constraints=[term])
        f = sign * problem.design.matrix @ w[0]
        expected = max(max(f[: j + 1]) - f[j] for j in range(8))
        assert steep(term, w, x, y, RBF(500.0)).largest_drop == pytest.approx(expected, rel=1e-12)
    assert steep(Bounds(upper=1), 0.5).largest_drop is None and steep(Convex(), 0.5).largest_drop is None
    assert fit(one_problem(Huber(0.3), constraints=[Increasing()])).certificate.largest_drop <= 1e-14
