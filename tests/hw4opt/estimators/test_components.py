"""Sums of functions, one gamma per column, and several quantiles in the estimators."""

import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("sklearn", reason="scikit-learn is not installed (the extra sklearn)")

from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from hw4opt import (
    RBF,
    Additive,
    Categorical,
    Component,
    Hw4Error,
    Increasing,
    InputError,
    Logistic,
    Matern52,
    Problem,
    Quantile,
    Ridge,
    TotalVariation,
    fit,
)
from hw4opt.estimators import PenalizedKernelClassifier, PenalizedKernelRegressor, PenalizedLinearRegressor
from hw4opt.selection import select

DRAW = np.random.default_rng(4)
N = 60
DOSE, AGE, SITE = DRAW.uniform(0, 10, N), DRAW.uniform(20, 80, N), DRAW.integers(0, 3, N).astype(float)
TABLE = np.column_stack([DOSE, AGE, SITE])
Y = np.tanh(DOSE - 5) + 0.02 * AGE + 0.5 * (SITE == 1) + 0.1 * DRAW.standard_normal(N)
WORDS = ["dose", "age:linear", "site:categorical"]
GIVEN = {"gamma": 0.1, "ridge": 0.1}
SUM = {"components": WORDS, "constraints": ["dose.increasing"]}


@pytest.fixture
def frame():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    return pandas.DataFrame({"dose": DOSE, "age": AGE, "site": SITE})


# ---- sums ------------------------------------------------------------------------------------------------------------


def test_a_sum_in_words_is_the_problem_of_its_components(frame):
    model = PenalizedKernelRegressor(**SUM, **GIVEN, tv={"dose": 0.2}).fit(frame, Y)
    dose = Component("dose", [0], RBF(0.1), 0.1, [TotalVariation(0.2)], [Increasing()])
    age, site = Component("age", [1], None), Component("site", [2], Categorical(), 0.1)
    result = fit(Problem(TABLE, Y, Additive([dose, age, site])))
    assert model.hyperparameters_ == result.problem.hyperparameters
    assert_array_equal(model.predict(frame), result.predict(TABLE))
    assert_array_equal(model.predict_components(frame), result.predict_components(TABLE))
    assert_allclose(model.predict_components(frame).sum(axis=1) + model.intercept_, model.predict(frame), atol=1e-12)
    assert [part.name for part in model.components_] == ["dose", "age", "site"]
    assert [part.columns for part in model.components_] == [("dose",), ("age",), ("site",)]
    assert (np.diff(model.components_[0].fitted[np.argsort(DOSE)]) >= -1e-9).all()
    _, bound = model.predict(frame, return_bound=True)
    assert_array_equal(bound, result.bound(TABLE))
    assert model.dual_coef_ is None and model.effective_degrees_of_freedom_ == result.effective_degrees_of_freedom


def test_words_of_components_name_columns_and_kernels():
    words = ["a=0,x1:matern52", "site=2:polynomial:degree=2,coef0=1"]
    model = PenalizedKernelRegressor(components=words, gamma={"a": 0.1, "site": 2.0}, ridge={"a": 0.3, "site": 1.0})
    kernel = model.fit(TABLE, Y).result_.problem.kernel
    assert [part.columns for part in kernel.parts] == [(0, 1), (2,)]
    assert kernel.parts[0].kernel == Matern52(0.1) and kernel.parts[1].kernel.degree == 2
    expected = {"a.gamma": 0.1, "a.ridge": 0.3, "site.gamma": 2.0, "site.ridge": 1.0}
    assert model.hyperparameters_ == expected and model.components_[0].columns == ("x0", "x1")


def test_what_is_open_of_a_component_is_chosen_as_select_does(frame):
    model = PenalizedKernelRegressor(**SUM, ridge={"dose": 0.1}, tv={"dose": "auto"}, cv=5, search="random:4")
    dose = Component("dose", [0], RBF(1.0), 0.1, [TotalVariation(1.0)], [Increasing()])
    rest = [Component("age", [1], None), Component("site", [2], Categorical(), 1.0)]
    free = ["dose.gamma", "dose.tv", "site.ridge"]
    chosen = select(Problem(TABLE, Y, Additive([dose, *rest])), free, "kfold:5", "random:4")
    assert model.fit(frame, Y).hyperparameters_ == chosen.problem.hyperparameters
    assert model.loo_score_ == chosen.score and set(model.selection_.table[0]) > set(free)


def test_each_makes_a_component_of_every_column(frame):
    each = PenalizedKernelRegressor(components="each", **GIVEN).fit(frame, Y)
    listed = PenalizedKernelRegressor(components=["dose", "age", "site"], **GIVEN).fit(frame, Y)
    assert_array_equal(each.predict(frame), listed.predict(frame))
    assert [part.columns for part in each.components_] == [("dose",), ("age",), ("site",)]


def test_objects_keep_what_no_mapping_says():
    parts = [Component("dose", [0], Matern52(0.2), 0.5, constraints=[Increasing()]), "site=2:categorical"]
    model = PenalizedKernelRegressor(components=parts, gamma=3.0, ridge=7.0, tv=0.1)
    expected = {"dose.gamma": 0.2, "dose.ridge": 0.5, "site.ridge": 7.0}
    assert model.fit(TABLE, Y).hyperparameters_ == expected
    model.set_params(gamma={"dose": 0.4}, ridge={"dose": 0.6, "site": 1.0}, tv={"dose": 0.1})
    expected = {"dose.gamma": 0.4, "dose.ridge": 0.6, "site.ridge": 1.0, "dose.tv": 0.1}
    assert model.fit(TABLE, Y).hyperparameters_ == expected
    assert model.result_.problem.kernel.parts[0].kernel == Matern52(0.4)


@pytest.mark.parametrize("classifier", [False, True])
def test_a_level_that_no_fitted_row_has_is_refused(classifier, frame):
    kind, y = (PenalizedKernelClassifier, Y > 0) if classifier else (PenalizedKernelRegressor, Y)
    model = kind(components=WORDS, **GIVEN).fit(frame, y, sample_weight=np.where(SITE == 2, 0.0, 1.0))
    new = frame.iloc[:3].assign(site=[0.0, 1.0, 7.0])
    expected = "column 'site' holds the level 7 in row 2; the levels fitted are 0, 1"
    for refused in (model.predict, model.predict_components):
        assert len(refused(new[:2])) == 2
        with pytest.raises(InputError, match=f"^{expected}$"):
            refused(new)


@pytest.mark.parametrize("given", [{"gamma": 3.0}, {"tv": 2.0}, {"trend": 1.0}])
def test_a_number_that_no_component_takes_is_refused(given):
    words = ["x0:linear", "x2:categorical"]
    ((name, value),) = given.items()
    with pytest.raises(InputError, match=f"^{name} is {value} and no component takes it; drop it$"):
        PenalizedKernelRegressor(components=words, ridge=0.1, **given).fit(TABLE, Y)
    model = PenalizedKernelRegressor(components=words, ridge=0.1).fit(TABLE, Y)
    assert model.hyperparameters_ == {"x0.ridge": 0.0, "x2.ridge": 0.1}


def test_a_grid_over_components_and_their_numbers(frame):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = frame.assign(site=pandas.Series(SITE).map({0: "Bern", 1: "Rome", 2: "Oslo"}))
    columns = make_column_transformer(
        (OrdinalEncoder(), ["site"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    pipeline = make_pipeline(columns, PenalizedKernelRegressor(**GIVEN, constraints=["dose.increasing"]))
    name = "penalizedkernelregressor__"
    grid = {f"{name}components": [["dose"], WORDS], f"{name}ridge": [0.1, {"dose": 1e4}]}
    search = GridSearchCV(pipeline, grid, cv=KFold(4, shuffle=True, random_state=0)).fit(table, Y)
    assert search.best_params_ == {f"{name}components": WORDS, f"{name}ridge": 0.1}
    assert search.best_estimator_.score(table, Y) > 0.9
    assert [part.name for part in search.best_estimator_[-1].components_] == ["dose", "age", "site"]


def test_sums_are_cloned_and_pickled(frame):
    parts = [Component("dose", ["dose"], RBF(0.1), 0.1), "age:linear"]
    model = PenalizedKernelRegressor(components=parts, ridge={"dose": 0.2}).fit(frame, Y)
    again = clone(model)
    assert again.get_params()["components"] == parts and again.get_params()["ridge"] == {"dose": 0.2}
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict_components(frame), model.predict_components(frame))
    assert copy.components_[0].hyperparameters == {"gamma": 0.1, "ridge": 0.2}


def test_intervals_of_a_sum(frame):
    model = PenalizedKernelRegressor(**SUM, **GIVEN, cv=5, keep_folds=True).fit(frame, Y)
    _, ends = model.predict_interval(frame, [0.9, 0.5])
    points, found = model.result_.predict_interval(TABLE, [0.9, 0.5])
    assert_array_equal(ends, found)
    assert_array_equal(points, model.predict(frame))
    assert 0.8 < np.mean((ends[:, 0, 0] <= Y) & (ends[:, 1, 0] >= Y)) <= 1


def test_a_classifier_of_a_sum(frame):
    labels = np.where(np.median(Y) < Y, "high", "low")
    model = PenalizedKernelClassifier(components=WORDS, **GIVEN, constraints=["dose.decreasing"]).fit(frame, labels)
    dose = Component("dose", [0], RBF(0.1), 0.1, constraints=[Increasing()])
    rest = [Component("age", [1], None), Component("site", [2], Categorical(), 0.1)]
    other = fit(Problem(TABLE, (labels == "high").astype(float), Additive([dose, *rest]), Logistic()))
    assert_allclose(model.decision_function(frame), -other.predict(TABLE), atol=1e-5)
    assert [part.name for part in model.components_] == ["dose", "age", "site"]


# ---- one gamma per column --------------------------------------------------------------------------------------------


def test_a_gamma_a_column(frame):
    given = PenalizedKernelRegressor(gamma={"dose": 0.1, "age": 0.001, "site": 1.0}, ridge=0.1).fit(frame, Y)
    problem = Problem(TABLE, Y, RBF((0.1, 0.001, 1.0)), regularizers=[Ridge(0.1)], intercept=True)
    assert_array_equal(given.predict(frame), fit(problem).predict(TABLE))
    assert given.hyperparameters_ == {"gamma.dose": 0.1, "gamma.age": 0.001, "gamma.site": 1.0, "ridge": 0.1}
    by_place = PenalizedKernelRegressor(gamma={0: 0.1, 1: 0.001, 2: 1.0}, ridge=0.1).fit(TABLE, Y)
    assert_array_equal(by_place.predict(TABLE), given.predict(frame))


@pytest.mark.parametrize(
    ("gamma", "free"), [("each", ["dose", "age", "site"]), ({"dose": 0.1, "age": "auto"}, ["age", "site"])]
)
def test_a_gamma_a_column_is_chosen(frame, gamma, free):
    model = PenalizedKernelRegressor(gamma=gamma, ridge=0.2, cv=4, search="random:4").fit(frame, Y)
    assert set(model.selection_.table[0]) == {f"gamma.{name}" for name in free} | {"score", "standard_error"}
    assert len(set(model.hyperparameters_.values())) == 4
    one = PenalizedKernelRegressor(gamma="each", ridge=0.1, cv=4, search="random:4").fit(frame[["dose"]], Y)
    assert list(one.hyperparameters_) == ["gamma", "ridge"]


# ---- several quantiles -----------------------------------------------------------------------------------------------

LEVELS = (0.1, 0.5, 0.9)


@pytest.mark.parametrize("loss", [Quantile(LEVELS), "quantile:tau=0.1;0.5;0.9"])
def test_several_quantiles_are_predicted_together(loss):
    model = PenalizedKernelRegressor(loss=loss, **GIVEN).fit(TABLE[:, :1], Y)
    result = fit(Problem(DOSE, Y, RBF(0.1), Quantile(LEVELS), [Ridge(0.1)], intercept=True))
    assert_array_equal(model.predict(DOSE[:7, None]), result.predict(DOSE[:7]))
    assert model.predict(DOSE[:7, None]).shape == (7, 3) and model.dual_coef_.shape == (N, 3)
    assert model.intercept_.shape == (3,) and model.predict(DOSE[:7, None], return_bound=True)[1].shape == (7,)
    assert (np.diff(model.predict(TABLE[:, :1]), axis=1) >= -1e-9).all()
    copy = pickle.loads(pickle.dumps(clone(model).fit(TABLE[:, :1], Y)))
    assert_array_equal(copy.predict(DOSE[:7, None]), model.predict(DOSE[:7, None]))


def test_the_score_of_several_quantiles_is_that_of_their_losses():
    model = PenalizedLinearRegressor(loss=Quantile(LEVELS), ridge=None).fit(TABLE, Y)
    assert model.coef_.shape == (3, 3) and model.intercept_.shape == (3,)
    shares = [
        1
        - mean_pinball_loss(Y, f, alpha=tau) / mean_pinball_loss(Y, np.full(N, np.percentile(Y, 100 * tau)), alpha=tau)
        for tau, f in zip(LEVELS, model.predict(TABLE).T, strict=True)
    ]
    assert model.score(TABLE, Y) == pytest.approx(np.mean(shares), rel=1e-12)
    assert model.score(TABLE, Y, np.where(SITE == 1, 1.0, 0.0)) != model.score(TABLE, Y)


def test_a_sum_has_a_curve_a_level_of_every_component(frame):
    model = PenalizedKernelRegressor(loss=Quantile(LEVELS), **SUM, **GIVEN).fit(frame, Y)
    parts = model.predict_components(frame)
    assert model.predict(frame).shape == (N, 3) and parts.shape == (N, 3, 3)
    assert_allclose(parts.sum(axis=1) + model.intercept_, model.predict(frame), atol=1e-9)
    by_dose = parts[np.argsort(DOSE), 0]
    assert (np.diff(by_dose, axis=0) >= -1e-9).all() and (np.diff(model.predict(frame), axis=1) >= -1e-9).all()


def test_searches_over_several_quantiles():
    model = PenalizedKernelRegressor(loss=Quantile(LEVELS), **GIVEN)
    assert cross_val_predict(model, TABLE[:, :1], Y, cv=3).shape == (N, 3)
    grid = GridSearchCV(model, {"ridge": [0.1, 1e6]}, cv=KFold(3, shuffle=True, random_state=0)).fit(TABLE[:, :1], Y)
    assert grid.best_params_ == {"ridge": 0.1}
    chosen = clone(model).set_params(ridge="auto", cv=3, search="random:2").fit(TABLE[:, :1], Y)
    assert chosen.loo_predictions_.shape == (N, 3)


# ---- faults ----------------------------------------------------------------------------------------------------------

REFUSED = {
    "no list": (dict(components="dose"), r"components is 'dose'; give a list of them, as in \['dose'\]"),
    "no component": (dict(components=[3]), "components holds 3; give words, as in 'age:linear', or Component objects"),
    "no column": (dict(components=["wine"]), "no x column 'wine'"),
    "half a word": (dict(components=["dose="]), r"components dose=: give NAME=COL"),
    "twice": (dict(components=["dose", "dose=age"]), "component dose is given twice"),
    "a strength of none": (dict(SUM, ridge={"wine": 1.0}), "no component 'wine' .*; there are age, dose, site"),
    "a shape of none": (dict(SUM, constraints=["wine.convex"]), "no component 'wine'"),
    "a shape of all": (dict(SUM, constraints=["convex"]), "convex acts on one component of a sum; name one of"),
    "no strength": (dict(SUM, ridge={"dose": "much"}), "dose.ridge is 'much'; give a number, 'auto' to choose it"),
    "gamma of a line": (dict(SUM, gamma={"age": 1.0}), "gamma of component age: it has no kernel with a gamma"),
    "no intercept": (dict(SUM, fit_intercept=False), "the intercept of a sum of components is free; leave it True"),
    "gamma of no column": (dict(gamma={"wine": 1.0}), "no x column 'wine'"),
    "no gamma of a column": (dict(gamma={"dose": None}), "gamma is None for some columns; give a number for each"),
    "gammas of a polynomial": (dict(gamma="each", kernel="polynomial"), "the polynomial kernel takes one gamma"),
    "a mapping of columns": (dict(ridge={"dose": 1.0}), re.escape("ridge is {'dose': 1.0}; give a number")),
    "intervals of several": (dict(loss=Quantile((0.1, 0.9)), keep_folds=True), "an interval is around one curve"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_faults_are_told_in_a_sentence(frame, fault):
    given, sentence = REFUSED[fault]
    with pytest.raises(Hw4Error, match=sentence):
        PenalizedKernelRegressor(**{**GIVEN, **given}).fit(frame, Y)
