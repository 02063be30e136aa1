"""Shapes at every x: proven for what `predict` evaluates, checked by dense grids, interval arithmetic and cones."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from everywhere_cases import derivative, random_problem, worst_violation
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt import (
    RBF,
    Absolute,
    Additive,
    Bounds,
    Component,
    Concave,
    Convex,
    Decreasing,
    Increasing,
    InputError,
    Laplacian,
    Matern32,
    Matern52,
    Nonnegative,
    Polynomial,
    Precomputed,
    Problem,
    Result,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    fit,
    fit_batch,
)
from hw4opt.crosscheck import crosscheck
from hw4opt.datasets import step_data
from hw4opt.form.canonicalize import canonicalize
from hw4opt.kernels import FUNCTIONAL_OF_ORDER
from hw4opt.problem import with_shape_rows
from hw4opt.selection import select
from hw4opt.shapes import exchange
from hw4opt.shapes.branch import search
from hw4opt.shapes.function import KernelSum, RequiredShape, conditions
from hw4opt.shapes.norm_bound import NormBound
from hw4opt.shapes.pieces import Pieces
from hw4opt.shapes.proof import examine, violations
from hw4opt.solvers.newton import Newton
from hw4opt.terms import ShapeRows

STEPS = step_data(50, 0)


def steps(*constraints, kernel=None, tv=0.0, ridge=0.1, **given):
    terms = [Ridge(ridge), TotalVariation(tv)] if tv else [Ridge(ridge)]
    return Problem(STEPS.x, STEPS.y, kernel or RBF(80.0), Squared(), terms, constraints, **given)


# ---- what is proven holds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tv", [0.0, 0.3])
def test_the_assignment_s_steps_rise_at_every_x(tv):
    plain, result = fit(steps(Increasing(), tv=tv)), fit(steps(Increasing(everywhere=True), tv=tv))
    (proof,) = result.raise_for_status().shapes
    assert proof.proven and proof.margin > 0 and proof.cells > 50 and 0 < proof.points < 60
    mean_slope = np.diff(result.predict(np.array([proof.low, proof.high])))[0] / (proof.high - proof.low)
    assert proof.asked <= 1e-6 * mean_slope
    assert worst_violation(result, 20_000, 5) <= 0 < worst_violation_of_plain(plain)
    assert plain.objective < result.lower_bound <= result.objective  # no such curve does without the rise in objective
    assert_allclose(result.lower_bound, result.objective, rtol=1e-5)


def worst_violation_of_plain(result):
    """The largest violation of f' ≥ 0."""
    return -derivative(result, np.linspace(0, 1, 2_000), 1)[0].min()


@pytest.mark.parametrize(
    ("kernel", "shapes"),
    [
        (RBF(20.0), [Decreasing(everywhere=(-0.2, 1.3)), Bounds(upper=30.0, everywhere=(-0.2, 1.3))]),
        (RBF(20.0), [Convex(everywhere=True)]),
        (RBF(20.0), [Concave(everywhere=True), Nonnegative(everywhere=True)]),
        (Laplacian(10.0), [Bounds(0.0, 30.0, everywhere=True)]),
        (Matern32(5.0), [Nonnegative(everywhere=True)]),
        (Matern52(5.0), [Increasing(everywhere=True), Bounds(lower=1.0, everywhere=True)]),
        (Polynomial(1.0, 6), [Increasing(everywhere=(0.0, 1.5)), Convex(everywhere=True)]),
    ],
)
@pytest.mark.parametrize("given", [{}, {"intercept": True}, {"standardize": True}])
def test_every_kernel_and_shape(kernel, shapes, given):
    if given.get("standardize") and not isinstance(kernel, Laplacian):
        kernel = type(kernel)(**{**vars(kernel), "gamma": kernel.gamma / 12})
    result = fit(steps(*shapes, kernel=kernel, **given)).raise_for_status()
    assert [proof.name for proof in result.shapes] == [shape.name for shape in shapes]
    assert all(proof.proven for proof in result.shapes) and worst_violation(result, 4_000, 3) <= 0


@pytest.mark.thinned(6)
@pytest.mark.parametrize("seed", [1, 0, 2, 3, 4, 5])
def test_random_problems_hold_where_they_are_proven(seed):
    result = fit(random_problem(seed))
    assert result.status is Status.CERTIFIED or not all(proof.proven for proof in result.shapes)
    if result.status is Status.CERTIFIED:
        assert worst_violation(result, 20_000, 10) <= 0


@pytest.mark.full
@pytest.mark.parametrize("seed", range(300))
def test_attack(seed):
    """10⁶ points, and minimisation from the worst 100 of them, wherever a shape is proven, whatever the status."""
    result = fit(random_problem(seed))
    proven = all(proof.proven for proof in result.shapes)
    assert proven or result.status is not Status.CERTIFIED
    assert not proven or worst_violation(result, 1_000_000, 100) <= 0


# ---- oracles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 2])
def test_interval_arithmetic_proves_the_proven_cells(order):
    """By balls of 100 digits, from the numbers of the fit: a Taylor form on some cells, halved where it is too wide."""
    flint = pytest.importorskip("flint", reason="python-flint is not installed: pip install python-flint")
    shape = (Bounds(lower=-1.0, everywhere=True), Increasing(everywhere=True), Convex(everywhere=True))[order]
    result = fit(steps(shape, kernel=RBF(10.0))).raise_for_status()
    (condition,) = conditions(RequiredShape(result.problem, shape), result.w, np.float64)
    seen = []

    class Watched(NormBound):
        def third(self, cells):
            seen.append(cells)
            return super().third(cells)

    assert not len(search(Watched(condition)).values)
    cells = np.concatenate([np.stack([one.low, one.high], axis=1) for one in seen])
    cells = cells[np.random.default_rng(0).choice(len(cells), min(25, len(cells)), replace=False)]
    flint.ctx.dps = 100
    basis, gamma, ball = result.design.reduced, flint.arb(10.0), flint.arb
    w = [ball(one) for one in result.w.tolist()]
    coef = [sum((ball(f) * one for f, one in zip(row, w, strict=True)), ball(0)) for row in basis.factor.tolist()]

    def exact(x, m):
        total = ball(0)
        for one, z, column in zip(coef, basis.points[:, 0].tolist(), basis.columns.tolist(), strict=True):
            n, d = FUNCTIONAL_OF_ORDER.index(column), x - ball(z)
            phi = [(-gamma * d * d).exp()]
            for k in range(m + n):
                phi.append(-2 * gamma * (d * phi[k] + (k * phi[k - 1] if k else 0)))
            total += (-1) ** n * one * phi[m + n]
        return total

    def is_positive(low, high, halvings=12):
        middle = 0.5 * (low + high)
        half = ball(max(high - middle, middle - low)) * ball("1.0000001")
        g, slope = exact(ball(middle), order) - ball(condition.level), exact(ball(middle), order + 1)
        bend = exact(ball(ball(middle), half), order + 2)
        if g - abs(slope) * half - abs(bend) * half * half / 2 > 0:
            return True
        return halvings > 0 and is_positive(low, middle, halvings - 1) and is_positive(middle, high, halvings - 1)

    bounds = NormBound(condition)
    for low, high in cells.tolist():
        assert is_positive(low, high)
        g, slope, curvature = bounds.at(np.array([low]), np.zeros(1, dtype=int), 2)
        of_value, of_slope, of_curvature = bounds.rounding(None)
        assert abs(exact(ball(low), order) - ball(condition.level) - ball(float(g[0]))) < of_value
        assert abs(exact(ball(low), order + 1) - ball(float(slope[0]))) < of_slope
        assert abs(exact(ball(low), order + 2) - ball(float(curvature[0]))) < of_curvature
        assert abs(exact(ball(low), order + 3)) < bounds.third(None)


@pytest.mark.parametrize("kernel", [Matern32(30.0), Matern52(30.0), Laplacian(8.0)])
def test_pieces_are_the_function(kernel):
    """Values of the pieces equal those of the kernel sum, and curvatures change by at most the bound."""
    order = min(kernel.functional_order, 1)
    shape = Increasing(everywhere=True) if order else Nonnegative(everywhere=True)
    problem = steps(Increasing() if order else Nonnegative(), kernel=kernel)
    result = fit(problem)
    (condition,) = conditions(RequiredShape(problem, shape), result.w, np.float64)
    pieces, x = Pieces(condition, kernel), np.sort(np.random.default_rng(0).uniform(0, 1, 200))
    function = KernelSum.of(RequiredShape(problem, shape), result.w, np.float64)
    direct = kernel.along(x[:, None] - function.points, order)[order] @ function.coef
    value = pieces.at(x, pieces.piece_of(x), 0)[0]
    assert_allclose(value, direct, atol=1e-11 * np.abs(direct).max())
    cells = pieces.start()
    width, most = cells.high - cells.low, pieces.third(cells)
    curvatures = [pieces.at(cells.low + share * width, cells.piece)[2] for share in np.linspace(0, 1, 11)]
    assert (np.abs(np.diff(curvatures, axis=0)) <= most * width / 10 + 1e-9 * np.abs(curvatures).max(axis=0)).all()
    assert (most * width <= 100 * np.abs(curvatures).max() + 1e-9).all()


def test_no_curve_of_tightened_cones_does_better():
    """Second-order-cone tightening (Aubin-Frankowski and Szabó 2020) gives a curve that rises everywhere, too: it is
    not below the lower bound, and the fit is better."""
    cp = pytest.importorskip("cvxpy")
    problem = steps(Increasing(everywhere=True), kernel=RBF(10.0))
    result = fit(problem).raise_for_status()
    design, count = result.design, 100
    middle = (np.arange(count) + 0.5) / count
    rows = design.reduced.evaluate(middle[:, None], 0)
    eta = problem.kernel.derivative_bound(2) * 0.5 / count  # sup |f'(x) - f'(c)|/‖f‖ over a cell
    w = cp.Variable(len(result.w))
    loss = cp.sum_squares(design.matrix[:50] @ w - STEPS.y)
    tight = cp.Problem(cp.Minimize(loss + 0.1 * cp.sum_squares(w)), [rows @ w >= eta * cp.norm(w)])
    tight.solve(solver="CLARABEL")
    assert result.lower_bound < result.objective < tight.value


# ---- everything else goes by the same form ---------------------------------------------------------------------------


def test_all_solvers_agree_under_the_rows_at_points():
    found = crosscheck(
        steps(Increasing(everywhere=True), kernel=RBF(20.0)), ["interior", "admm", "cvxpy:CLARABEL", "qp"]
    )
    assert found.agrees, found.faults


def test_a_model_file_keeps_points_and_proof(tmp_path):
    result = fit(steps(Increasing(everywhere=True), Bounds(lower=-50.0)))
    result.save(tmp_path / "model.json")
    loaded = Result.load(tmp_path / "model.json")
    assert loaded.shapes == result.shapes and loaded.problem.shape_rows == result.problem.shape_rows
    x = np.linspace(-0.1, 1.1, 500)
    assert_allclose(loaded.predict(x), result.predict(x), rtol=0, atol=0)
    assert loaded.verify().holds(1e-9)
    assert examine(RequiredShape(loaded.problem, loaded.problem.constraints[0]), loaded.w).proof == result.shapes[0]
    plain = fit(steps(Increasing()))
    plain.save(tmp_path / "plain.json")
    stored = json.loads((tmp_path / "plain.json").read_text())
    assert stored["format"] == 2 and "everywhere" not in stored["constraints"][0]  # an older hw4opt reads it


@pytest.mark.parametrize("given", [{}, {"standardize": True}])
def test_coefficients_and_shape_points_are_the_fit(given):
    result = fit(steps(Increasing(everywhere=True), kernel=RBF(80.0 if not given else 7.0), **given))
    x, problem, h = np.linspace(0.05, 0.95, 30), result.problem, 1e-5
    assert len(result.dual_coef) == 50

    def kernel(z):
        return problem.kernel.gram(problem.features(x), problem.features(np.atleast_1d(z)))

    f = kernel(problem.x[:, 0]) @ result.dual_coef
    for point in result.shape_points:
        assert point.order == 1
        f += point.coef * ((kernel(point.x + h) - kernel(point.x - h)) / (2 * h))[:, 0]
    assert_allclose(f, result.predict(x), atol=1e-4)


def test_a_batch_shares_its_points():
    results = fit_batch([steps(Increasing(everywhere=True), ridge=ridge) for ridge in (0.05, 0.2)])
    assert all(result.status is Status.CERTIFIED and result.shapes[0].proven for result in results)
    one, other = (result.problem.shape_rows[0].points for result in results)
    assert one == other
    with pytest.raises(InputError, match="another range"):
        fit_batch([steps(Increasing(everywhere=True)), steps(Increasing(everywhere=(0.0, 2.0)))])


def test_points_of_a_large_batch_find_room():
    """Eight problems with a dozen dips each: points over the widths of all would exceed the limit of a problem."""
    draw = np.random.default_rng(0)
    x = np.sort(draw.uniform(0, 1, 60))
    y = np.floor(4 * x) + 0.3 * draw.standard_normal(60)
    ridges = 10.0 ** -np.linspace(0, 3, 8)
    given = [Problem(x, y, RBF(200.0), Squared(), [Ridge(one)], [Increasing(everywhere=True)]) for one in ridges]
    assert {result.status for result in fit_batch(given)} == {Status.CERTIFIED}


def test_two_shapes_may_have_points_at_the_same_x(monkeypatch):
    """A point of one shape at the end of the range does not count for the other shape."""
    rising, concave = Increasing(everywhere=True), Concave(everywhere=True)
    (problem,) = with_shape_rows([steps(rising, concave)], [[ShapeRows(rising, (0.0, 1.0), 0.0)]])
    monkeypatch.setattr(exchange, "_points_over_dips", lambda found, most: np.array([1.0]))
    asked = []

    def fits(problems):
        asked.append([(one.constraint, one.points) for one in problems[0].shape_rows])
        w = np.random.default_rng(0).standard_normal(problems[0].design.matrix.shape[1])
        return [SimpleNamespace(problem=problems[0], w=w, duals={})]

    exchange.find_points([problem], fits)
    assert asked == [[(rising, (0.0, 1.0))], [(rising, (0.0, 1.0)), (concave, (1.0,))]]


def test_held_out_folds_keep_the_points_of_the_full_fit():
    grid = {"ridge": (0.05, 1.0, 3)}
    found = select(steps(Increasing(everywhere=True), kernel=RBF(20.0)), ["ridge"], grid=grid, search="grid")
    assert found.largest_fold_gap < 1e-9
    plain = select(steps(Increasing(), kernel=RBF(20.0)), ["ridge"], grid=grid, search="grid")
    assert found.score != plain.score
    assert fit(found.problem).shapes[0].proven


@pytest.mark.parametrize("additive", [False, True])
def test_held_out_fits_are_kept_beside_it(additive, tmp_path):
    """Over the basis of the search, and carried to one that goes on over further points."""
    x, y, shape = np.sort(np.random.default_rng(2).uniform(0, 1, 14)), np.arange(14.0) ** 2, Increasing(everywhere=True)
    y[4::3] -= 20
    if additive:
        problem = Problem(x, y, Additive([Component("x", [0], RBF(200.0), 0.1, constraints=[shape])]))
    else:
        problem = Problem(x, y, RBF(200.0), None, [Ridge(0.1)], [shape], intercept=True)
    chosen = select(problem, [], "loo", keep_folds=True)
    (asked,) = chosen.problem.shape_rows
    further = replace(asked, points=(*asked.points, 1.5, 2.0))
    (longer,) = with_shape_rows([chosen.problem], [[further]])
    result = fit(chosen.problem).raise_for_status()
    assert result.shapes[0].proven and longer.held_out.w.shape[1] == chosen.problem.held_out.w.shape[1] + 2
    for one in (chosen.problem, longer, result.problem):
        predictions = np.vecdot(one.design.evaluate(one.design.x), one.held_out.w) + one.level
        assert_allclose(predictions, chosen.predictions, rtol=1e-9)
    result.save(tmp_path / "model.json")
    grid = np.linspace(0, 1, 7)
    ends = result.predict_interval(grid)[1]
    assert_array_equal(Result.load(tmp_path / "model.json").predict_interval(grid)[1], ends)
    assert (ends[:, 0] < ends[:, 1]).all()


@pytest.mark.parametrize("kernel", [RBF(20.0), Matern52(20.0), Polynomial(1.0, 5)])
@pytest.mark.parametrize("shape", [Increasing(everywhere=True), Concave(everywhere=(-1, 2))])
@pytest.mark.parametrize("loss", [Squared(), Absolute()])
def test_a_constant_has_its_shape_without_points(kernel, shape, loss):
    x = np.linspace(0, 1, 20)
    result = fit(Problem(x, np.full(20, 3.7), kernel, loss, [Ridge(0.1)], [shape], intercept=True)).raise_for_status()
    (proof,) = result.shapes
    assert proof.proven and proof.margin == proof.points == 0
    assert_array_equal(result.predict(x), 3.7)


def test_where_doubles_underflow_nothing_is_proven():
    """f' < 0 on the whole range, with |f'| below the smallest double: a bound of 0 is not a proof."""
    x = np.linspace(0, 1, 15)
    falling = Problem(x, np.exp(-x) + 1, Matern32(5.0), Squared(), [Ridge(0.01)], [Increasing(everywhere=(200, 300))])
    (proof,) = fit(falling).shapes
    assert not proof.proven


# ---- planted faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [RBF(20.0), Matern52(20.0), Polynomial(1.0, 5)])
def test_a_dip_is_found(kernel):
    """A fit that is increasing only at the data is not proven, and neither is a proven fit after a small change."""
    shape, plain = Increasing(everywhere=True), fit(steps(Increasing(), kernel=kernel, ridge=1e-3))
    if worst_violation_of_plain(plain) > 0:
        assert not examine(RequiredShape(plain.problem, shape), plain.w).proven
    result = fit(steps(shape, kernel=kernel)).raise_for_status()
    assert examine(RequiredShape(result.problem, shape), result.w).proven
    slope = result.design.reduced.evaluate(np.array([[0.5]]), 0)[0]
    moved = result.w - 1.01 * (slope @ result.w) / (slope @ slope) * slope
    assert (slope @ moved) < 0 and not examine(RequiredShape(result.problem, shape), moved).proven


@pytest.mark.parametrize("kernel", [RBF(20.0), Matern32(20.0), Matern52(20.0)])
@pytest.mark.parametrize("shape", [Increasing(everywhere=True), Bounds(0.5, 1.5, everywhere=True)])
def test_a_quick_look_sees_the_lowest_points(kernel, shape):
    """The fast search finds the lowest points of the range, and no violation if the shape holds."""
    plain = fit(steps(kernel=kernel, ridge=1e-3))
    seen = violations(RequiredShape(plain.problem, shape), plain.w)
    assert not seen.proven and not seen.holds
    assert seen.worst >= 0.999 * examine(RequiredShape(plain.problem, shape), plain.w).worst
    dense = np.linspace(STEPS.x.min(), STEPS.x.max(), 20_001)
    for curve, _ in seen.sides:
        assert curve.at(dense, curve.piece_of(dense), 0)[0].min() >= -1.0001 * seen.worst
    result = fit(steps(shape, kernel=kernel))
    assert violations(RequiredShape(result.problem, shape), result.w).holds or not result.shapes[0].proven


def test_an_unproven_shape_is_said(monkeypatch):
    monkeypatch.setattr("hw4opt.shapes.exchange.MAX_ROUNDS", 1)
    result = fit(steps(Increasing(everywhere=True)))
    assert result.status is Status.UNCERTIFIED and not result.shapes[0].proven
    assert "not proven between x = " in result.message and result.shapes[0].worst > 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Increasing(everywhere=(3, 1)), "low must be below high"),
        (lambda: Bounds(0, 1, everywhere=(0, 1, 2)), "give True, or"),
        (
            lambda: steps(Increasing(everywhere=True), kernel=Laplacian(1.0)),
            "cannot be proven for the laplacian kernel",
        ),
        (lambda: steps(Convex(everywhere=True), kernel=Matern32(1.0)), "it can for matern52, polynomial, rbf"),
        (lambda: Problem(STEPS.x, STEPS.y, None, constraints=[Increasing(everywhere=True)]), "for kernel designs"),
        (
            lambda: Problem(np.eye(50), STEPS.y, Precomputed(), constraints=[Bounds(0, 1, everywhere=True)]),
            "precomputed",
        ),
        (
            lambda: Problem(
                np.stack([STEPS.x, STEPS.y], axis=1), STEPS.y, RBF(1.0), constraints=[Nonnegative(everywhere=True)]
            ),
            "needs one x column and there are 2; drop everywhere",
        ),
        (
            lambda: Problem(np.eye(50, 2), STEPS.y, RBF(1.0), constraints=[Increasing(column=0, everywhere=True)]),
            "there are 2; give it to one component of a sum, or drop everywhere",
        ),
    ],
)
def test_what_cannot_be_asked_for(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_a_shape_with_rows_between_the_data_is_named_once_in_a_refusal():
    result = fit(steps(Increasing(everywhere=True), kernel=RBF(10.0)))
    assert result.shapes[0].points > 0
    said = Newton().refuse(canonicalize(result.problem))
    assert said == "newton needs every term to be smooth; increasing is not"


@pytest.mark.parametrize("everywhere", [True, (0.1, 0.7)])
def test_a_shape_runs_between_the_ends_of_the_raw_x(everywhere):
    result = fit(steps(Increasing(everywhere=everywhere), kernel=RBF(7.0), standardize=True))
    expected = (STEPS.x.min(), STEPS.x.max()) if everywhere is True else everywhere
    assert (result.shapes[0].low, result.shapes[0].high) == expected
