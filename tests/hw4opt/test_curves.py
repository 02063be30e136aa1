"""Quantiles of several levels as curves that do not cross: fits, folds, choice, files, figures."""

from itertools import pairwise

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt import (
    L1,
    RBF,
    Bounds,
    Decreasing,
    Increasing,
    InputError,
    Laplacian,
    Matern32,
    Problem,
    Quantile,
    Result,
    Ridge,
    Status,
    TotalVariation,
    Trend,
    fit,
    fit_batch,
)
from hw4opt.between import breaks
from hw4opt.crosscheck import crosscheck
from hw4opt.selection import leave_one_out, score_settings, select
from hw4opt.views import curve_view

LEVELS = (0.05, 0.5, 0.95)


def spreading(n=50, seed=0):
    """x with twins, and targets whose spread grows."""
    draw = np.random.default_rng(seed)
    x = np.round(draw.uniform(0, 1, n), 2)
    return x, np.sin(5 * x) + (0.1 + x) * draw.standard_normal(n)


def random_problem(seed):
    """Random data, levels, kernel and terms, drawn so that every kind of term and design comes."""
    draw = np.random.default_rng([18, seed])
    x, y = spreading(int(draw.integers(12, 45)), seed)
    y *= 10.0 ** draw.integers(-2, 3)
    size = np.ptp(y)
    kernel = [RBF, Laplacian, Matern32][seed % 3](float(np.exp(draw.uniform(0, 5))))
    terms = [Ridge(float(np.exp(draw.uniform(-6, 0)) / size))]
    terms += [TotalVariation(float(draw.uniform(0.05, 0.5)))] if draw.random() < 0.5 else []
    terms += [Trend(float(draw.uniform(0.01, 0.2)), 2)] if draw.random() < 0.25 else []
    shapes = [[], [Increasing()], [Decreasing()], [Bounds(float(y.min()), float(y.max()))]][draw.integers(4)]
    levels = tuple(np.sort(draw.choice(np.arange(1, 20), int(draw.integers(2, 5)), replace=False)) / 20)
    weights = draw.uniform(0.2, 2, len(x)) * (draw.random(len(x)) > 0.1) if draw.random() < 0.5 else None
    offset = 0.1 * size * draw.standard_normal(len(x)) if draw.random() < 0.3 else None
    intercept = bool(draw.random() < 0.4)
    return Problem(x, y, kernel, Quantile(levels), terms, shapes, weights, offset, intercept)


def stacked_model(problem):
    """The least objective by cvxpy, of a model written curve by curve over kernel sections at the distinct x.

    Terms are written out here: nothing of the package but the basis is used.
    """
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    kept = weights > 0
    x, y, weights = problem.x[kept, 0], problem.y[kept], weights[kept]
    offset = np.zeros(len(y)) if problem.offset is None else problem.offset[kept]
    points, row = np.unique(x, return_inverse=True)
    basis = problem.design.reduced.evaluate(points[:, None])
    named = {term.name: term for term in (*problem.regularizers, *problem.constraints)}
    curves, cost, constraints = [], 0, []
    for tau in problem.loss.tau:
        w, level = cp.Variable(basis.shape[1]), cp.Variable() if problem.intercept else 0
        f = basis @ w + level
        residual = f[row] + offset - y
        cost += weights @ cp.maximum(-tau * residual, (1 - tau) * residual)
        cost += named["ridge"].weight * cp.sum_squares(w)
        if "tv" in named:
            cost += named["tv"].weight * cp.norm1(cp.diff(f))
        if "trend" in named:
            cost += named["trend"].weight * cp.norm1(cp.diff(cp.multiply(cp.diff(f), 1 / np.diff(points))))
        constraints += [cp.diff(f) >= 0] if "increasing" in named else []
        constraints += [cp.diff(f) <= 0] if "decreasing" in named else []
        constraints += [f >= named["bounds"].lower, f <= named["bounds"].upper] if "bounds" in named else []
        curves.append(f)
    constraints += [higher >= lower for lower, higher in pairwise(curves)]
    model = cp.Problem(cp.Minimize(cost), constraints)
    model.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10, max_iter=500)
    return model.value


@pytest.mark.parametrize("seed", range(24))
def test_cvxpy_agrees_on_the_stacked_problem(seed):
    problem = random_problem(seed)
    result = fit(problem).raise_for_status()
    assert result.objective == pytest.approx(stacked_model(problem), rel=1e-6)
    assert result.fitted.shape == (len(problem.y), len(problem.loss.tau)) and result.crossings == 0
    assert result.certificate.violation == 0 and result.verify().holds(1e-9)


@pytest.mark.slow
def test_every_solver_agrees():
    x, y = spreading()
    problem = Problem(x, y, RBF(20), Quantile(LEVELS), [Ridge(0.01), TotalVariation(0.1)])
    found = crosscheck(problem, ["interior", "admm", "proximal", "cvxpy:CLARABEL", "qp"])
    assert not found.faults and all(row.status == "certified" for row in found.rows)


def test_curves_that_do_not_meet_are_those_of_single_levels():
    x, y = spreading(60)
    terms = [Ridge(0.1)]
    together = fit(Problem(x, y, RBF(2), Quantile((0.1, 0.9)), terms, intercept=True)).raise_for_status()
    assert np.diff(together.fitted).min() > 0.01
    for place, tau in enumerate((0.1, 0.9)):
        alone = fit(Problem(x, y, RBF(2), Quantile(tau), terms, intercept=True), tol=1e-12)
        assert_allclose(together.fitted[:, place], alone.fitted, atol=1e-4)
        assert together.intercept[place] == pytest.approx(alone.intercept, abs=1e-3)


def test_single_levels_cross_where_curves_fitted_together_do_not():
    x, y = spreading(30, 3)
    terms, levels = [Ridge(0.05)], (0.4, 0.5, 0.6)
    alone = np.stack([fit(Problem(x, y, RBF(100), Quantile(tau), terms)).fitted for tau in levels], axis=1)
    together = fit(Problem(x, y, RBF(100), Quantile(levels), terms)).raise_for_status()
    assert np.diff(alone, axis=1).min() < -1e-3 and together.crossings == 0


def test_dual_coef_predicts_and_bound_holds():
    x, y = spreading()
    loose = fit(Problem(x, y, RBF(20), Quantile(LEVELS), [Ridge(0.01)]), tol=1e-4).raise_for_status()
    tight = fit(loose.problem, tol=1e-12)
    kernel = RBF(20).gram(x[:, None], x[:, None])
    assert tight.dual_coef.shape == (len(x), 3)
    assert_allclose(kernel @ tight.dual_coef, tight.fitted, atol=1e-7)
    at = np.linspace(-0.2, 1.2, 50)
    apart = np.abs(loose.predict(at) - tight.predict(at))
    assert (apart <= (loose.bound(at) + tight.bound(at))[:, None]).all()


@pytest.mark.parametrize("intercept", [False, True])
def test_a_linear_design_has_coefficients_by_level(intercept):
    draw = np.random.default_rng(4)
    x = draw.standard_normal((60, 3)) * [1, 10, 100] + [0, 0, 1e4]
    y = x @ [1, 0.1, 0.01] + draw.standard_normal(60)
    problem = Problem(x, y, None, Quantile(LEVELS), [Ridge(0.1), L1(0.5)], intercept=intercept, standardize=True)
    result = fit(problem).raise_for_status()
    assert result.coef.shape == (3, 3) and result.crossings == 0
    assert_allclose(x @ result.coef + (result.intercept if intercept else 0), result.fitted, atol=1e-6)
    assert fit(problem, solver="cvxpy").objective == pytest.approx(result.objective, rel=1e-6)
    assert result.coefficient_errors() is None and result.r_squared is None


@pytest.mark.parametrize(
    ("terms", "shapes", "intercept"),
    [([], [], False), ([TotalVariation(0.1)], [], False), ([TotalVariation(0.05)], [Increasing()], True)],
)
def test_leave_one_out_is_the_refit_without_the_row(terms, shapes, intercept):
    x, y = spreading(36)
    weights = np.random.default_rng(5).uniform(0.5, 2, len(x))
    weights[3] = 0
    terms = [Ridge(0.02), *terms]

    def problem(weights):
        return Problem(x, y, RBF(60), Quantile(LEVELS), terms, shapes, weights, intercept=intercept)

    kept = np.flatnonzero(weights)
    (score,) = score_settings([problem(weights)], leave_one_out(len(kept)))
    assert score.largest_gap < 1e-9 and score.work["one_round"] + score.work["rounds"] > len(kept) / 2
    lost = np.zeros(len(x))
    for row in kept:
        without = weights.copy()
        without[row] = 0
        predicted = fit(problem(without), tol=1e-12).predict(x[row : row + 1])[0]
        assert_allclose(score.predictions[row], predicted, atol=2e-5)
        lost[row] = sum(max(-tau * z, (1 - tau) * z) for tau, z in zip(LEVELS, predicted - y[row], strict=True))
    assert score.score == pytest.approx(weights @ lost / weights.sum(), abs=1e-6)
    assert np.isnan(score.predictions[3]).all()


@pytest.mark.parametrize("method", ["loo", "loo:x", "kfold:4"])
def test_one_choice_serves_all_levels(method):
    x, y = spreading(40)
    problem = Problem(x, y, RBF(1), Quantile(LEVELS), [Ridge(1)])
    chosen = select(problem, ["gamma", "ridge"], method, "grid", {"gamma": (1, 100, 3), "ridge": (1e-3, 1, 3)})
    assert len(chosen.table) == 9 and chosen.predictions.shape == (40, 3)
    lost = Quantile(LEVELS).pointwise((chosen.predictions - y[:, None]).T.ravel()).reshape(3, -1).sum(axis=0)
    assert chosen.score == pytest.approx(lost.mean()) == min(row["score"] for row in chosen.table)
    again = select(problem, ["gamma", "ridge"], method, "grid", {"gamma": (1, 100, 3), "ridge": (1e-3, 1, 3)})
    assert again.table == chosen.table


def test_faces_of_several_levels_are_those_of_each():
    loss, draw = Quantile(LEVELS), np.random.default_rng(6)
    z, u = draw.standard_normal(12), draw.uniform(-0.05, 0.05, 12)
    parts = list(zip(loss.curves, np.split(z, 3), np.split(u, 3), strict=True))
    assert loss.value(z) == pytest.approx(sum(one.value(part) for one, part, _ in parts))
    assert loss.conjugate(u) == pytest.approx(sum(one.conjugate(part) for one, _, part in parts))
    assert_array_equal(loss.prox(z, 0.3), np.concatenate([one.prox(part, 0.3) for one, part, _ in parts]))
    assert_allclose(loss.model(cp, cp.Constant(z)).value, loss.pointwise(z))
    with pytest.raises(InputError, match="10 rows; 3 levels"):
        loss.pointwise(z[:10])


def test_a_batch_shares_the_levels():
    x, y = spreading()
    first, second = (Problem(x, y, RBF(20), Quantile(LEVELS), [Ridge(ridge)]) for ridge in (0.01, 0.1))
    for one, other in zip(fit_batch([first, second]), (first, second), strict=True):
        assert one.objective == pytest.approx(fit(other).objective, rel=1e-8)
    with pytest.raises(InputError, match="other terms"):
        fit_batch([first, Problem(x, y, RBF(20), Quantile((0.1, 0.9)), [Ridge(0.1)])])


@pytest.mark.parametrize("kernel", [RBF(20), None])
def test_a_model_file_gives_the_curves_back(kernel, tmp_path):
    x, y = spreading()
    result = fit(Problem(x, y, kernel, Quantile(LEVELS), [Ridge(0.01)], [Increasing()], intercept=True))
    result.save(tmp_path / "m.json")
    loaded = Result.load(tmp_path / "m.json")
    assert loaded.problem.model == result.problem.model and '"format": 4' in (tmp_path / "m.json").read_text()
    assert_array_equal(loaded.predict([0.1, 0.7]), result.predict([0.1, 0.7]))
    assert loaded.verify().relative_gap == pytest.approx(result.certificate.relative_gap, abs=1e-12)


def test_order_between_the_rows_is_looked_at():
    x, y = np.array([0.0, 0.1, 1.0, 1.1]), np.array([0.0, 1.0, 0.0, 1.0])
    result = fit(Problem(x, y, RBF(10), Quantile((0.4, 0.6)), [Ridge(1e-6)])).raise_for_status()
    found = [one for one in breaks(result) if one.term.name == "ordered_curves"]
    assert result.crossings == 0
    at = np.linspace(0, 1.1, 2_000)
    least = np.diff(result.predict(at), axis=1).min()
    assert (least < -1e-3) == bool(found)
    for one in found:
        assert one.size == pytest.approx(-least, rel=0.05) and "crosses the next one" in one.sentence("x")


@pytest.mark.parametrize("columns", [1, 2])
def test_a_figure_shows_every_level(columns):
    x, y = spreading()
    x = x if columns == 1 else np.column_stack([x, y[::-1]])
    result = fit(Problem(x, y, RBF(5), Quantile(LEVELS), [Ridge(0.1)]))
    axes = result.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label for label in labels if label.startswith("level")] == ["level 0.95", "level 0.5", "level 0.05"]
    if columns == 2:
        with pytest.raises(InputError, match="2 x columns"):
            curve_view(result)
        return
    view = curve_view(result)
    assert view.levels == LEVELS
    np.testing.assert_array_equal(view.level_curves, result.predict(view.curve_x).T)
    np.testing.assert_array_equal(view.curve, view.level_curves[1])
    np.testing.assert_array_equal(view.fitted, result.fitted[:, 1])


def test_what_several_levels_do_not_go_with():
    x, y = spreading()
    problem = Problem(x, y, RBF(20), Quantile(LEVELS), [Ridge(0.1)])
    for levels in ((0.5,), (0.5, 0.5), (0.9, 0.1), ()):
        with pytest.raises(InputError, match="increasing levels"):
            Quantile(levels)
    with pytest.raises(InputError, match="between 0 and 1"):
        Quantile((0.5, 1.0))
    with pytest.raises(InputError, match="for one curve and quantile has 3"):
        Problem(x, y, RBF(20), Quantile(LEVELS), [Ridge(0.1)], [Increasing(everywhere=True)])
    with pytest.raises(InputError, match="metric absolute compares one curve"):
        select(problem, ["ridge"], metric="absolute")
    with pytest.raises(InputError, match="around one curve"):
        select(problem, ["ridge"], keep_folds=True)
    with pytest.raises(InputError, match="several numbers"):
        problem.with_hyperparameters({"quantile.tau": 0.5})
    with pytest.raises(InputError, match="one table per level"):
        _ = Quantile(LEVELS).tables
    assert fit(problem, max_iterations=1).status is Status.ITERATION_LIMIT


def test_the_bound_of_curves_leaves_out_their_intercepts_alone():
    x = np.linspace(0, 1, 20)
    result = fit(Problem(x, np.sin(5 * x), RBF(9.0), Quantile((0.2, 0.8)), [Ridge(0.1)], intercept=True))
    assert result.certificate.norm_bound_reason == "the bound covers the fit without its unpenalised intercept"
