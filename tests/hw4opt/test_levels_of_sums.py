"""Quantiles of several levels of a sum of components: a curve per level over the stacked basis."""

import warnings
from dataclasses import replace
from itertools import pairwise

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from additive_problems import random_levels
from hw4opt import (
    RBF,
    Additive,
    Categorical,
    Component,
    Convex,
    Increasing,
    Problem,
    Quantile,
    RefusedError,
    Result,
    Ridge,
    TotalVariation,
    fit,
)
from hw4opt.between import breaks
from hw4opt.form.canonicalize import canonicalize
from hw4opt.inference.degrees_of_freedom import degrees_of_columns
from hw4opt.plotting import plot_components, plot_predictions
from hw4opt.selection import leave_one_out, score_settings, select
from hw4opt.views import component_views

LEVELS = (0.1, 0.5, 0.9)


def table(n=60, seed=0):
    draw = np.random.default_rng(seed)
    x = np.column_stack([np.round(draw.uniform(0, 5, n), 1), draw.normal(size=n), draw.integers(0, 3, n)])
    y = np.sqrt(x[:, 0]) + np.sin(x[:, 1]) + 0.3 * x[:, 2] + (0.2 + 0.2 * x[:, 0]) * draw.normal(size=n)
    return x, y


def problem(weights=None):
    x, y = table()
    dose = Component("dose", [0], RBF(1.0), 0.05, [TotalVariation(0.1)], [Increasing()])
    parts = [dose, Component("age", [1], RBF(1.0), 0.1), Component("site", [2], Categorical(), 0.01)]
    return Problem(x, y, Additive(parts), Quantile(LEVELS), weights=weights)


def stacked_model(problem):
    """The least objective by cvxpy, level by level and component by component, the terms written out here: nothing of
    the package but the bases of the components is used."""
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    kept = weights > 0
    x, y, weights = problem.x[kept], problem.y[kept], weights[kept]
    design, curves, cost, constraints = problem.design, [], 0, []
    for tau in problem.loss.tau:
        f = cp.Variable()
        for basis in design.summand_bases:
            terms = [one.term for one in (*problem.regularizers, *problem.constraints) if one.label != "bounds"
                     and one.component == basis.part.name]  # fmt: skip
            named = {term.name: term for term in terms}
            w = cp.Variable(design.parts[basis.part.name].matrix.shape[1])
            f = f + basis.evaluate(x) @ w
            cost += named["ridge"].weight * cp.sum_squares(w)
            column = basis.part.places[0]
            points, first = np.unique(x[:, column], return_index=True)
            g = basis.evaluate(x[first]) @ w
            slopes = cp.multiply(cp.diff(g), 1 / np.diff(points)) if len(points) > 1 else None
            cost += named["tv"].weight * cp.norm1(cp.diff(g)) if "tv" in named else 0
            cost += named["trend"].weight * cp.norm1(cp.diff(slopes)) if "trend" in named else 0
            constraints += [cp.diff(g) >= 0] if "increasing" in named else []
            constraints += [cp.diff(g) <= 0] if "decreasing" in named else []
            constraints += [cp.diff(slopes) >= 0] if "convex" in named else []
            constraints += [cp.diff(slopes) <= 0] if "concave" in named else []
        residual = f - y
        cost += weights @ cp.maximum(-tau * residual, (1 - tau) * residual)
        constraints += [f >= 0 for one in problem.constraints if one.label == "bounds"]
        curves.append(f)
    constraints += [higher >= lower for lower, higher in pairwise(curves)]
    model = cp.Problem(cp.Minimize(cost), constraints)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Solution may be inaccurate")  # the comparison of objectives decides
        model.solve(solver="CLARABEL", tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9, max_iter=500)
    return model.value


def check_against_cvxpy(seed):
    given = random_levels(seed)
    result = fit(given)
    assert result.certificate.solved(1e-8), result.message
    assert result.objective == pytest.approx(stacked_model(given), rel=1e-6, abs=1e-6)
    assert result.crossings == 0


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.thinned(2)
def test_cvxpy_agrees_on_the_stacked_problem(seed):
    check_against_cvxpy(seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(16, 120))
def test_cvxpy_agrees_on_many_more(seed):
    check_against_cvxpy(seed)


def test_one_component_is_the_fit_of_its_kernel_with_an_intercept():
    x, y = table()
    sum_of = Additive([Component("dose", [0], RBF(1.0), 0.05, constraints=[Increasing(), Convex()])])
    terms = ([Ridge(0.05)], [Increasing(), Convex()])
    one, plain = fit(Problem(x, y, sum_of, Quantile(LEVELS))), fit(
        Problem(x[:, :1], y, RBF(1.0), Quantile(LEVELS), *terms, intercept=True)
    )  # fmt: skip
    assert one.objective == pytest.approx(plain.objective, rel=1e-8)


def test_components_of_every_level_add_up():
    given, x = problem(), table()[0]
    result = fit(given).raise_for_status()
    parts = result.predict_components(x)
    assert parts.shape == (60, 3, 3) and result.intercept.shape == (3,)
    assert_allclose(parts.sum(axis=1) + result.intercept, result.fitted, atol=1e-12)
    assert_allclose(parts.mean(axis=0), 0, atol=1e-12)
    assert_array_equal(result.components[0].fitted, parts[:, 0])
    every = degrees_of_columns(canonicalize(given), result.w, result._duals_in(canonicalize(given))[0])
    assert result.effective_degrees_of_freedom == pytest.approx(every.sum(), abs=1e-6)
    total = sum(one.effective_degrees_of_freedom for one in result.components)
    assert total == pytest.approx(np.delete(every, result.design.levels).sum())
    dose = parts[np.argsort(x[:, 0], kind="stable"), 0]
    assert (np.diff(dose, axis=0) > -1e-9).all()
    assert {one.term.label for one in breaks(result)} <= {"dose.increasing", "ordered_curves"}


def test_a_crossing_between_rows_names_its_level_and_the_order():
    x, y = table()
    parts = [Component("dose", [0], RBF(5.0), 1e-3), Component("age", [1], RBF(5.0), 1e-3)]
    given = Problem(x, y, Additive([*parts, Component("site", [2], Categorical(), 1e-3)]), Quantile((0.4, 0.6)))
    names = ["dose", "age", "site"]
    features = [{"name": "site", "levels": ["a", "b", "c"]}]
    result = replace(fit(given), context={"x": names, "features": features})
    (found,) = breaks(result)
    assert_allclose(found.size, -np.diff(result.predict([found.point]))[0, 0])
    assert found.point[2] in (0, 1, 2)  # no value between two levels
    assert found.sentence(*names).startswith("the order of the levels holds at the data rows only: between them the")
    assert found.sentence(*names).endswith(f", site = {'abc'[int(found.point[2])]}")
    assert found.sentence().endswith(f", x3 = {'abc'[int(found.point[2])]}")


def test_solvers_name_the_order_of_levels_in_their_refusals():
    said = "newton needs every term to be smooth; dose.increasing and dose.tv and quantile and the order of the levels"
    with pytest.raises(RefusedError, match=said):
        fit(problem(), "newton")


def test_leave_one_out_is_refitting_without_the_row():
    weights = np.random.default_rng(5).uniform(0.5, 2, 60)
    (score,) = score_settings([problem(weights)], leave_one_out(60))
    assert score.largest_gap < 1e-9
    for row in range(0, 60, 11):
        without = weights.copy()
        without[row] = 0
        predicted = fit(problem(without), tol=1e-12).predict(table()[0][row : row + 1])[0]
        assert_allclose(score.predictions[row], predicted, atol=5e-5)


def test_one_choice_serves_all_levels():
    found = select(problem(), [], "kfold:3", "grid", grid={"age.gamma": (0.3, 3.0, 2)})
    assert found.score == min(row["score"] for row in found.table) and len(found.table) == 2
    assert found.predictions.shape == (60, 3)


def test_a_model_file_gives_the_curves_back(tmp_path):
    result = fit(problem())
    result.save(tmp_path / "levels.hw4")
    again, x = Result.load(tmp_path / "levels.hw4"), table(20, 1)[0]
    assert_array_equal(again.predict(x), result.predict(x))
    assert_array_equal(again.predict_components(x), result.predict_components(x))
    assert again.verify().holds(1e-9)


def test_a_panel_has_a_curve_a_level():
    result = fit(problem())
    dose, _, site = component_views(result)
    assert dose.curve.shape == (len(dose.curve_x), 3) and site.curve.shape == (3, 3)
    middle = result.predict_components(table()[0])[:, 0, 1]
    assert_allclose(dose.partial, middle + table()[1] - result.fitted[:, 1])
    drawn = plot_components(result).axes[0]
    assert [line.get_label() for line in drawn.lines] == ["level 0.9", "level 0.5", "level 0.1"]


def test_a_panel_names_the_level_that_it_shows_and_predictions_are_those_of_the_axis():
    x, y = table()
    parts = [Component("both", [0, 1], RBF(1.0), 0.1), Component("site", [2], Categorical(), 0.1)]
    result = fit(Problem(x, y, Additive(parts), Quantile((0.1, 0.9))))
    both, site = (axes.get_legend_handles_labels()[1] for axes in plot_components(result).axes)
    assert both == ["partial residuals of level 0.9", "level 0.9"]
    assert "partial residuals of level 0.9" in site
    axes = plot_predictions(result, x[:5], result.plot())
    assert_array_equal(axes.collections[-1].get_offsets()[:, 0], result.predict(x[:5])[:, 1])


def test_the_title_of_a_sum_names_components_and_stays_within_the_figure():
    axes = fit(problem()).plot()
    title = axes._left_title
    assert "dose.increasing" in title.get_text()
    axes.figure.draw_without_rendering()
    assert title.get_window_extent().x1 < axes.figure.bbox.x1


def test_the_bound_holds_for_the_components_of_every_level():
    """A loose fit is within its bound of a tight one, without the intercepts."""
    given = problem()
    best, loose = fit(given, tol=1e-12), fit(given, solver="admm", tol=1e-3)
    one = given.design.curve_matrix[:60, :-1]
    apart = np.abs(one @ (given.design.of_curves(loose.w) - given.design.of_curves(best.w))[:-1])
    assert loose.certificate.gap > 0 and apart.max() > 0
    assert (apart <= loose.bound(given.x)[:, None]).all()
