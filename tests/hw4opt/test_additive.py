"""Sums of components: against one kernel, cvxpy's model, refits and differences; what they say, hold and refuse."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from additive_problems import random_sum
from hw4opt import (
    L1,
    RBF,
    Absolute,
    Additive,
    Bounds,
    Categorical,
    Component,
    Huber,
    Increasing,
    InputError,
    Laplacian,
    Logistic,
    Matern52,
    ModelFileError,
    Nonnegative,
    Poisson,
    Precomputed,
    Problem,
    Quantile,
    RefusedError,
    Result,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
    fit_batch,
)
from hw4opt.between import breaks
from hw4opt.plotting import plot_components
from hw4opt.problem import ColumnNames
from hw4opt.selection import select
from hw4opt.selection.ranges import default_range
from hw4opt.views import component_views

NAMES = ColumnNames(x=("dose", "age", "site"), y="response")
LOSSES = [Squared(), Huber(0.5), Absolute(), Quantile(0.3)]
NARROW, HUBER = RBF(1.0), Huber(0.5)


def table(n=60, seed=0):
    """dose with equal values, age, and a site of four levels."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.round(rng.uniform(0, 10, n), 1), rng.normal(size=n), rng.integers(0, 4, n)])
    y = np.log1p(x[:, 0]) + np.sin(2 * x[:, 1]) + np.array([0, 0.5, -0.3, 1])[x[:, 2].astype(int)]
    return x, y + 0.2 * rng.normal(size=n)


def components(ridge=0.05, age=NARROW):
    return [
        Component("dose", kernel=RBF(0.3), ridge=ridge, regularizers=[TotalVariation(0.1)], constraints=[Increasing()]),
        Component("age", kernel=age, ridge=0.02),
        Component("site", kernel=Categorical(), ridge=0.1),
    ]


def problem(loss=HUBER, n=60, weights=None, **given):
    x, y = table(n)
    return Problem(x, y, Additive(components(**given)), loss, weights=weights, names=NAMES)


# ---- one component is the kernel's fit, and every sum cvxpy's model --------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("kernel", [RBF(0.5), Laplacian(0.5), Matern52(0.5), None], ids=str)
def test_one_component_is_the_fit_of_its_kernel_with_an_intercept(kernel, loss):
    x, y = table()
    own = {"regularizers": [TotalVariation(0.2)], "constraints": [Increasing()]}
    one = fit(Problem(x[:, :1], y, Additive([Component("dose", [0], kernel, 0.1, **own)]), loss)).raise_for_status()
    regularizers = [Ridge(0.1), *own["regularizers"]]
    plain = fit(Problem(x[:, :1], y, kernel, loss, regularizers, own["constraints"], intercept=True))
    assert one.objective == pytest.approx(plain.objective, rel=1e-9)
    assert_allclose(one.fitted, plain.fitted, atol=2e-4 if loss.name in ("absolute", "quantile") else 1e-7)


def check_against_cvxpy(seed):
    """Whether the basis leaves out too much to be certified is another question; a backend may fail."""
    given = random_sum(seed)
    ours, answers = fit(given), (fit(given, solver=f"cvxpy:{name}") for name in ("CLARABEL", "SCS"))
    theirs = next(one for one in answers if one.certificate.solved(1e-6))
    assert ours.certificate.solved(1e-8), ours.message
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-6, abs=1e-6)
    assert ours.certificate.dual_objective <= theirs.objective + 1e-6 * (1 + abs(theirs.objective))


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.thinned(2)
def test_the_model_of_cvxpy_has_the_same_optimum(seed):
    check_against_cvxpy(seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(24, 200))
def test_the_model_of_cvxpy_has_the_same_optimum_in_many_more(seed):
    check_against_cvxpy(seed)


@pytest.mark.parametrize("solver", ["interior", "admm"])
def test_every_solver_that_takes_an_intercept_agrees(solver):
    assert fit(problem(), solver=solver).raise_for_status().objective == pytest.approx(fit(problem()).objective)


def test_counts_and_labels_are_fitted_too():
    x, y = table()
    counts = fit(Problem(x, np.round(np.exp(y - y.min()) + 0.5), Additive(components()), Poisson(), names=NAMES))
    labels = fit(Problem(x, np.where(y > 1, 1.0, -1.0), Additive(components()), Logistic(), names=NAMES))
    for result in (counts, labels):
        assert result.status.word == "certified"
        dose = result.components[0].fitted[np.argsort(x[:, 0], kind="stable")]
        assert np.diff(dose).min() > -1e-9


def test_many_rows_start_from_a_part_of_them():
    """Interior points of many rows begin with a fit of some, whose rows of components are others."""
    given = problem(n=12_000)
    result = fit(given, solver="interior").raise_for_status()
    assert result.objective == pytest.approx(fit(given, solver="admm").objective, rel=1e-7)


# ---- what a fit says -------------------------------------------------------------------------------------------------


def test_components_have_mean_zero_and_add_up_with_the_intercept():
    weights = np.random.default_rng(1).choice([0.0, 1.0, 3.0], 60)
    result = fit(problem(weights=weights))
    parts = np.column_stack([one.fitted for one in result.components])
    assert_allclose(weights @ parts, 0, atol=1e-10)
    assert_allclose(parts.sum(axis=1) + result.intercept, result.fitted, atol=1e-12)
    x = np.array([[2.0, 0.1, 1.0], [11.0, -3.0, 7.0]])  # a level that no row has
    assert_allclose(result.predict_components(x).sum(axis=1) + result.intercept, result.predict(x), atol=1e-12)
    assert [(one.name, one.columns) for one in result.components] == [(name, (name,)) for name in NAMES.x]
    assert result.components[0].hyperparameters == {"gamma": 0.3, "ridge": 0.05, "tv": 0.1}
    assert not fit(Problem(*table(), RBF(1.0), regularizers=[Ridge(1.0)])).components


def test_the_fit_of_levels_is_ridge_regression_on_their_indicators():
    x, y = table()
    result = fit(Problem(x, y, Additive([Component("site", [2], Categorical(), 0.7)])))
    levels = (x[:, 2:] == np.arange(4)).astype(float)
    design = np.column_stack([levels, np.ones(len(y))])
    w = np.linalg.solve(design.T @ design + np.diag([0.7] * 4 + [0]), design.T @ y)
    assert_allclose(result.fitted, design @ w, atol=1e-9)


def test_a_linear_component_without_ridge_is_least_squares_wherever_its_column_lies():
    x, y = table()
    x[:, 1] += 1e6
    result = fit(Problem(x, y, Additive([Component("age", [1])]))).raise_for_status()
    slope, level = np.polyfit(x[:, 1] - 1e6, y, 1)
    assert_allclose(result.fitted, slope * (x[:, 1] - 1e6) + level, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_degrees_of_freedom_of_components_add_up(loss):
    result = fit(problem(loss), tol=1e-11)
    degrees = [one.effective_degrees_of_freedom for one in result.components]
    assert sum(degrees) + 1 == pytest.approx(result.effective_degrees_of_freedom, abs=1e-5)


@pytest.mark.parametrize("loss", [Squared(), Huber(0.5)], ids=lambda loss: loss.name)
def test_degrees_of_freedom_of_a_component_are_how_far_it_follows_its_targets(loss):
    """By differences: f_j at row i as y_i moves."""
    given, step = problem(loss), 1e-5
    result = fit(given, tol=1e-12)
    found = np.zeros(3)
    for row in range(len(given.y)):
        values = []
        for side in (-step, step):
            y = given.y.copy()
            y[row] += side
            moved = fit(dataclasses.replace(given, y=y), tol=1e-12)
            values.append([values_of(moved, place)[row] for place in range(3)])
        found += (np.array(values[1]) - values[0]) / (2 * step)
    assert_allclose([one.effective_degrees_of_freedom for one in result.components], found, rtol=2e-3)


def values_of(result, place):
    """A component at the rows as the fit has it, before centering."""
    columns = [*result.design.columns.values()][place]
    return result.design.matrix[: len(result.problem.y), columns] @ result.w[columns]


def test_the_bound_holds_for_what_has_a_ridge():
    """A loose fit is within its bound of a tight one; without the intercept and components of ridge 0."""
    given = problem(Huber(0.5))
    best, loose = fit(given, tol=1e-12), fit(given, solver="admm", tol=3e-4)
    assert loose.certificate.gap > 0
    apart = np.abs(sum(values_of(loose, place) - values_of(best, place) for place in range(3)))
    assert (apart <= loose.bound(given.x)).all() and apart.max() > 0
    expected = np.sqrt(2 * (loose.certificate.gap + loose.certificate.truncation) * (1 / 0.1 + 1 / 0.04 + 1 / 0.2))
    assert loose.prediction_error_bound == pytest.approx(expected)
    assert "intercept" in loose.certificate.norm_bound_reason


def test_the_bound_says_what_it_leaves_out():
    x, y = table()
    given = Problem(x, y, Additive([Component("dose", [0], RBF(0.3), 0.1), Component("age", [1])]))
    result = fit(given).raise_for_status()
    assert "intercept and components" in result.certificate.norm_bound_reason
    assert result.prediction_error_bound is not None
    free = fit(Problem(x, y, Additive([Component("age", [1])])))
    assert free.prediction_error_bound is None


# ---- hyper-parameters ------------------------------------------------------------------------------------------------


def test_hyperparameters_go_by_the_component():
    given = problem()
    assert [*given.hyperparameters] == [
        "dose.gamma", "dose.ridge", "dose.tv", "age.gamma", "age.ridge", "site.ridge",
    ]  # fmt: skip
    other = given.with_hyperparameters({"dose.gamma": 2.0, "dose.tv": 0.5, "site.ridge": 3.0, "huber.delta": 9.0})
    x, y = table()
    wanted = components()
    wanted[0] = Component("dose", None, RBF(2.0), 0.05, [TotalVariation(0.5)], [Increasing()])
    wanted[2] = Component("site", None, Categorical(), 3.0)
    assert other.model == Problem(x, y, Additive(wanted), Huber(9.0), names=NAMES).model
    assert given.with_hyperparameters({"dose.ridge": 1.0}).design is given.design
    assert fit(other).objective == pytest.approx(
        fit(Problem(x, y, Additive(wanted), Huber(9.0), names=NAMES)).objective, rel=1e-9
    )
    for name in ("dose.l1", "wine.gamma", "gamma", "tv", "site.gamma"):
        with pytest.raises(InputError, match="no hyper-parameter"):
            given.with_hyperparameters({name: 1.0})


def test_default_ranges_are_those_of_the_component_alone():
    given = problem()
    x, y = table()
    alone = Problem(x[:, :1], y, RBF(0.3), Huber(0.5), [Ridge(0.05), TotalVariation(0.1)], intercept=True)
    for name in ("gamma", "ridge", "tv"):
        assert default_range(given, f"dose.{name}") == default_range(alone, name)


@pytest.mark.parametrize("loss", [Squared(), Huber(0.5), Absolute()], ids=lambda loss: loss.name)
def test_leave_one_out_is_refitting_without_the_row(loss):
    """Differences of dose run over the values that are left, and a level may leave with its last row."""
    given = problem(loss, n=40)
    chosen = select(given, ["dose.gamma"], method="loo", grid={"dose.gamma": (0.3, 0.3, 1)})
    for row in range(40):
        kept = np.delete(np.arange(40), row)
        rest = Problem(given.x[kept], given.y[kept], Additive(components()), loss, names=NAMES)
        assert chosen.predictions[row] == pytest.approx(fit(rest, tol=1e-12).predict(given.x[row])[0], abs=2e-5)


def test_a_search_goes_over_components():
    free = ["dose.gamma", "dose.ridge", "dose.tv"]
    chosen = select(problem(n=50), free, method="loo", search="random:3", seed=2)
    assert chosen.largest_fold_gap < 1e-6 and {*free} < {*chosen.table[0]}
    assert chosen.problem.hyperparameters["age.ridge"] == 0.02
    assert chosen.score == min(row["score"] for row in chosen.table)


def test_batches_share_the_spaces_of_their_components():
    given = [problem(), problem().with_hyperparameters({"dose.ridge": 1.0, "age.ridge": 0.1})]
    for one, alone in zip(fit_batch(given), map(fit, given), strict=True):
        assert one.objective == pytest.approx(alone.objective, rel=1e-9)
    with pytest.raises(InputError, match="differs"):
        fit_batch([problem(), problem(age=RBF(2.0))])


# ---- views and figures -----------------------------------------------------------------------------------------------


def test_views_hold_curves_partial_residuals_and_what_is_asked_for():
    weights = np.ones(60)
    weights[:5] = 0
    result = fit(problem(weights=weights))
    dose, age, site = component_views(result)
    assert (dose.columns, dose.terms, age.terms) == (("dose",), ("increasing", "tv 0.1"), ())
    assert_array_equal(dose.x, table()[0][5:, 0])
    left = (result.problem.y - result.fitted)[5:]
    for view, part in zip((dose, age, site), result.components, strict=True):
        assert_allclose(view.partial, part.fitted[5:] + left, atol=1e-12)
        places = np.searchsorted(view.curve_x, view.x)
        assert_allclose(view.curve[places], part.fitted[5:], atol=1e-9)
    assert site.levels == ("0", "1", "2", "3") and len(site.curve) == 4
    with pytest.raises(InputError, match="not a sum"):
        component_views(fit(Problem(*table(), RBF(1.0), regularizers=[Ridge(1.0)])))


def test_partial_residuals_of_counts_are_working_residuals():
    x, y = table()
    counts = np.round(np.exp(y - y.min()))
    result = fit(Problem(x, counts, Additive([Component("both", [0, 1], RBF(0.1), 1.0)]), Poisson()))
    (view,) = component_views(result)
    assert view.curve is None
    assert_allclose(view.partial, result.components[0].fitted + counts / result.mean - 1, atol=1e-9)


def test_the_figure_has_a_panel_a_component_with_its_shape():
    figure = plot_components(fit(problem()))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert titles == ["dose: increasing, tv 0.1", "age", "site"]


def test_what_a_shape_does_between_rows_is_that_of_its_component():
    given = problem()
    given = dataclasses.replace(given, loss=Squared()).with_hyperparameters({"dose.gamma": 50.0, "dose.ridge": 1e-4})
    result = fit(given)
    (found,) = breaks(result)
    rows = np.repeat(given.x[:1], 2, axis=0)
    rows[:, 0] = found.start, found.end
    fell = -np.diff(result.predict(rows))[0]
    assert found.size == pytest.approx(fell) and fell > 0
    assert found.sentence(*NAMES.x).startswith(
        "dose.increasing holds at the data rows only: between them the curve falls"
    )


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_model_file_holds_the_components(tmp_path):
    x, y = table()
    parts = [*components(), Component("line", ["age"], ridge=0.1), Component("both", ["dose", "age"], RBF(0.1), 1.0)]
    result = fit(Problem(x, y, Additive(parts), Huber(0.5), constraints=[Bounds(lower=-1)], names=NAMES))
    result.save(tmp_path / "model.json")
    loaded = Result.load(tmp_path / "model.json")
    assert loaded.problem.model == result.problem.model
    assert_array_equal(loaded.predict(x + 0.1), result.predict(x + 0.1))
    assert loaded.verify().relative_gap == pytest.approx(result.certificate.relative_gap, abs=1e-13)
    assert [one.name for one in loaded.components] == ["dose", "age", "site", "line", "both"]


def test_a_damaged_list_of_components_is_refused(tmp_path):
    fit(problem()).save(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"name": "age", "columns": [1]', '"name": "age", "columns": [2]'))
    with pytest.raises(ModelFileError, match="damaged"):
        Result.load(tmp_path / "model.json")


def test_problems_and_results_are_pickled():
    result = fit(problem())
    again = pickle.loads(pickle.dumps(result))
    assert_array_equal(again.predict(table()[0]), result.predict(table()[0]))
    assert again.problem.model == result.problem.model


# ---- what is refused -------------------------------------------------------------------------------------------------

REFUSED = {
    "is given twice; give each": lambda: Additive([Component("a"), Component("a", [1])]),
    "are the same function": lambda: Additive([Component("a", [1]), Component("b", [1])]),
    "at least one component": lambda: Additive([]),
    "is not a component": lambda: Additive([RBF(1.0)]),
    "the component's name 'tv' is that of": lambda: Component("tv"),
    "the component's name 'gamma' is that of": lambda: Component("gamma"),
    "give a word without": lambda: Component("dose.mg"),
    "column 0 is given twice": lambda: Component("a", [0, 0]),
    "columns is 'ab'": lambda: Component("a", "ab"),
    "kernel is 'rbf'": lambda: Component("a", [0], "rbf"),
    "increasing is not a regularizer": lambda: Component("a", [0], RBF(1.0), 1.0, [Increasing()]),
    "Huber(delta=1.0) is neither a regularizer nor a constraint": lambda: Component(
        "a", [0], RBF(1.0), 1.0, [Huber(1.0)]
    ),
    "a.ridge is given twice": lambda: sum_of(Component("a", [0], RBF(1.0), 1.0, [Ridge(1.0)])),
    "kernel is Precomputed": lambda: Component("a", [0], Precomputed()),
    "weight": lambda: Component("a", [0], ridge=-1.0),
    "bounds acts on the sum": lambda: sum_of(Component("a", [0], RBF(1.0), 1.0, constraints=[Bounds(lower=0)])),
    "nonnegative acts on the sum": lambda: sum_of(Component("a", [0], RBF(1.0), 1.0, constraints=[Nonnegative()])),
    "levels have no order": lambda: sum_of(Component("a", [2], Categorical(), 1.0, constraints=[Increasing()])),
    "needs a component of one column": lambda: sum_of(Component("a", [0, 1], RBF(1.0), 1.0, [Trend(1.0)])),
    "needs a linear component": lambda: sum_of(Component("a", [0], RBF(1.0), 1.0, [L1(1.0)])),
    "drop everywhere": lambda: sum_of(Component("a", [0], None, 1.0, constraints=[Increasing(everywhere=True)])),
    "bounds at every x needs one x column": lambda: sum_of(
        Component("a", [0], RBF(1.0), 1.0), constraints=[Bounds(lower=0, everywhere=True)]
    ),
    "low must be below high": lambda: Increasing(everywhere=(3.0, 3.0)),
    "tv acts on one component": lambda: sum_of(Component("a", [0], RBF(1.0), 1.0), regularizers=[TotalVariation(1.0)]),
    "ridge acts on one component": lambda: sum_of(Component("a", [0], RBF(1.0), 1.0), regularizers=[Ridge(1.0)]),
    "increasing acts on one component": lambda: sum_of(Component("a", [0]), constraints=[Increasing()]),
    "component a: column 7 does not exist": lambda: sum_of(Component("a", [7])),
    "no x column 'wine'": lambda: sum_of(Component("a", ["wine"])),
    "component a has one value": lambda: sum_of(Component("a", [0]), x=np.ones((60, 1))),
    "have 61 columns and there are 60 rows": lambda: sum_of(
        Component("a", [0], Categorical()), x=np.arange(60.0)[:, None]
    ),
}


def sum_of(component, x=None, **given):
    rows, y = table()
    names = NAMES if x is None else None
    return fit(Problem(rows if x is None else x, y, Additive([component]), names=names, **given))


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_gets_a_sentence(sentence):
    with pytest.raises((InputError, RefusedError), match=re.escape(sentence)):
        REFUSED[sentence]()


def test_names_of_columns_are_needed_where_components_go_by_them():
    with pytest.raises(InputError, match="have no names"):
        Problem(*table(), Additive([Component("dose")]))
