"""The estimators in scikit-learn's machinery: searches, pipelines, frames, copies, metadata, warnings."""

import json
import pickle
import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("sklearn", reason="scikit-learn is not installed (the extra sklearn)")

import joblib
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hw4opt import RBF, Huber, Hw4Error, Increasing, InputError, NotCertifiedError, Problem, Ridge, Trend, fit
from hw4opt.estimators import (
    PenalizedKernelClassifier,
    PenalizedKernelRegressor,
    PenalizedLinearRegressor,
    PoissonMixture,
)
from hw4opt.mixture import Budget
from hw4opt.selection import k_fold, select

DRAW = np.random.default_rng(11)
X = np.sort(DRAW.uniform(0, 4, 50))[:, None]
Y = np.floor(X[:, 0]) + 0.2 * DRAW.standard_normal(50)
Y[[5, 30]] += 6
TABLE = DRAW.standard_normal((50, 3))
RESPONSE = TABLE @ [1.0, 0.0, -2.0] + 1 + 0.1 * DRAW.standard_normal(50)
GIVEN = {"gamma": 1.0, "ridge": 0.1}


def frame():
    """A frame of pandas with a column of text."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    city = np.array(["Bern", "Rome", "Oslo"])[np.arange(50) % 3]
    rent = TABLE[:, 0] + 2.0 * (city == "Rome") + 5 + 0.05 * DRAW.standard_normal(50)
    return pandas.DataFrame({"size": TABLE[:, 0], "age": 30 + 10 * TABLE[:, 1], "city": city}), rent


# ---- what a fit is ---------------------------------------------------------------------------------------------------


def test_a_fit_is_that_of_the_problem_that_it_describes():
    model = PenalizedKernelRegressor(loss="huber:delta=0.5", tv=0.2, constraints=["increasing"], **GIVEN).fit(X, Y)
    problem = Problem(X, Y, RBF(1.0), Huber(0.5), model.result_.problem.regularizers, [Increasing()], intercept=True)
    assert model.hyperparameters_ == {"gamma": 1.0, "ridge": 0.1, "tv": 0.2} and model.selection_ is None
    assert_array_equal(model.predict(X), fit(problem).predict(X))
    assert model.loo_score_ is None and model.loo_predictions_ is None
    found = model.dual_coef_ @ np.exp(-((X - X.T) ** 2)) + model.intercept_
    assert_allclose(found, model.predict(X), atol=1e-5)


def test_what_is_open_is_chosen_as_select_does():
    model = PenalizedKernelRegressor(loss="huber:delta=auto", trend="auto", search="random:6", random_state=3)
    model.fit(X, Y)
    start = Problem(X, Y, RBF(1.0), Huber("auto"), [Ridge(1.0), Trend(1.0)], intercept=True)
    chosen = select(start, ["gamma", "ridge", "trend"], search="random:6", seed=3)
    assert model.hyperparameters_ == chosen.problem.hyperparameters | {"huber.delta": start.loss.delta}
    assert model.loo_score_ == chosen.score
    assert_array_equal(model.loo_predictions_, chosen.predictions)


@pytest.mark.slow
def test_defaults_fit_a_column_in_raw_units_and_a_standardised_table():
    """As the docstring promises, without a scale or a number given."""
    x = 1e4 + 3e3 * X
    assert PenalizedKernelRegressor().fit(x, np.sin(X[:, 0]) * 1e-3).score(x, np.sin(X[:, 0]) * 1e-3) > 0.99
    draw = np.random.default_rng(0)
    table = draw.standard_normal((120, 10))
    y = np.sin(table[:, 0]) + 0.5 * table[:, 1] + 0.1 * draw.standard_normal(120)
    model = PenalizedKernelRegressor().fit(table[:90], y[:90])
    assert model.score(table[90:], y[90:]) > 0.8


def test_folds_of_every_kind():
    labels = np.arange(50) % 7
    by_count = PenalizedKernelRegressor(cv=5, search="random:3").fit(X, Y)
    assert by_count.selection_.method == "kfold:5"
    splitter = KFold(5, shuffle=True, random_state=1)
    split = PenalizedKernelRegressor(cv=splitter, search="random:3").fit(X, Y)
    pairs = PenalizedKernelRegressor(cv=list(splitter.split(X)), search="random:3").fit(X, Y)
    assert split.selection_.method == pairs.selection_.method == "folds:5"
    assert split.loo_score_ == pairs.loo_score_ != by_count.loo_score_
    word = PenalizedKernelRegressor(cv="loo", **GIVEN).fit(X, Y)
    assert word.selection_.method == "loo" and len(word.selection_.table) == 1
    grouped = PenalizedKernelRegressor(cv=GroupKFold(7), **GIVEN).fit(X, Y, groups=labels)
    without = PenalizedKernelRegressor(**GIVEN)
    for label in (0, 3):
        rest = clone(without).fit(X[labels != label], Y[labels != label])
        assert_allclose(grouped.loo_predictions_[labels == label], rest.predict(X[labels == label]), atol=1e-6)
    with pytest.raises(InputError, match="row 0 is held out 2 times; each row must be held out once"):
        PenalizedKernelRegressor(cv=[([1], [0]), (list(range(1, 50)), [0]), ([0], list(range(1, 50)))]).fit(X, Y)


def test_select_leaves_rows_of_weight_zero_out_of_given_folds():
    weights = np.where(np.arange(50) < 4, 0.0, 1.0)
    folds = k_fold(50, 10, order="contiguous")  # the first holds out rows 0 to 4
    problem = Problem(X, Y, RBF(1.0), Huber(), [Ridge(0.1)], weights=weights)
    chosen = select(problem, [], folds)
    assert chosen.method == "folds:10" and np.isnan(chosen.predictions[:4]).all()
    rest = fit(Problem(X[5:], Y[5:], RBF(1.0), Huber(), [Ridge(0.1)]))
    assert_allclose(chosen.predictions[4], rest.predict(X[4])[0], atol=1e-7)


# ---- in scikit-learn's machinery -------------------------------------------------------------------------------------


def test_a_grid_over_gamma_ridge_and_loss():
    grid = {"gamma": [0.3, 3.0], "ridge": [0.01, 1.0], "loss": ["squared", "huber:delta=0.5"]}
    folds = KFold(4, shuffle=True, random_state=0)
    search = GridSearchCV(PenalizedKernelRegressor(), grid, cv=folds, scoring="neg_median_absolute_error").fit(X, Y)
    assert len(search.cv_results_["params"]) == 8
    assert search.best_params_["loss"] == "huber:delta=0.5"  # two outliers
    assert search.best_estimator_.result_.status.word == "certified"


def test_a_pipeline_with_categories_on_a_frame():
    table, rent = frame()
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["city"]),
        (StandardScaler(), ["size", "age"]),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = PenalizedKernelRegressor(loss="huber:delta=auto", constraints=["increasing:column=size"], cv=5)
    pipeline = make_pipeline(columns, model).fit(table, rent)
    assert pipeline.score(table, rent) > 0.98
    fitted = pipeline[-1]
    assert fitted.feature_names_in_.tolist() == ["city_Bern", "city_Oslo", "city_Rome", "size", "age"]
    assert fitted.result_.problem.constraints == (Increasing(3),) and fitted.result_.names.x[3] == "size"
    higher = table.assign(size=table["size"] + 1e-3)
    assert (pipeline.predict(higher) >= pipeline.predict(table) - 1e-9).all()


def test_a_shape_in_a_pipeline_on_a_frame_is_searched_and_asked_for_intervals():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame({"dose": X[:, 0]})
    model = PenalizedKernelRegressor(loss="huber", constraints=["increasing"], ridge=0.1, cv=5, keep_folds=True)
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {"penalizedkernelregressor__gamma": [1e-3, 3.0]}
    folds = KFold(3, shuffle=True, random_state=0)
    best = GridSearchCV(pipeline, grid, cv=folds, scoring="neg_median_absolute_error").fit(table, Y).best_estimator_
    points, ends = best[-1].predict_interval(best[:-1].transform(table), confidence_level=0.8)
    assert best[-1].gamma == 3.0 and best[-1].result_.status.word == "certified"
    assert_array_equal(points, best.predict(table))
    assert (np.diff(points) >= -1e-9).all()
    assert 0.7 < np.mean((ends[:, 0, 0] <= Y) & (ends[:, 1, 0] >= Y)) < 1


def test_cross_val_predict_is_a_loop_of_refits():
    model = PenalizedKernelRegressor(**GIVEN)
    found = cross_val_predict(model, X, Y, cv=5)
    assert_allclose(found[:10], clone(model).fit(X[10:], Y[10:]).predict(X[:10]), rtol=1e-12)


def test_a_vote_is_the_mean_of_its_members():
    one, other = PenalizedKernelRegressor(**GIVEN), PenalizedLinearRegressor(ridge=1.0)
    vote = VotingRegressor([("one", one), ("other", other)]).fit(X, Y)
    expected = 0.5 * (clone(one).fit(X, Y).predict(X) + clone(other).fit(X, Y).predict(X))
    assert_allclose(vote.predict(X), expected, rtol=1e-12)


@pytest.mark.slow
def test_partial_dependence_of_a_linear_fit_is_its_line():
    from sklearn.inspection import PartialDependenceDisplay

    model = PenalizedLinearRegressor(ridge=0.1).fit(TABLE, RESPONSE)
    display = PartialDependenceDisplay.from_estimator(model, TABLE, [0], grid_resolution=5)
    (curve,) = display.pd_results
    slopes = np.diff(curve["average"][0]) / np.diff(curve["grid_values"][0])
    assert_allclose(slopes, model.coef_[0], rtol=1e-9)
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_joblib_gives_what_one_process_gives(backend):
    model, grid = PenalizedKernelRegressor(loss="huber"), {"gamma": [0.5, 2.0], "ridge": [0.1, 1.0]}
    alone = GridSearchCV(model, grid, cv=3).fit(X, Y)
    with joblib.parallel_backend(backend, n_jobs=2):
        spread = GridSearchCV(model, grid, cv=3).fit(X, Y)
    assert_allclose(spread.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-12)
    assert spread.best_params_ == alone.best_params_


def test_groups_and_weights_are_routed():
    weights, labels = np.linspace(1, 2, 50), np.arange(50) % 5
    with sklearn.config_context(enable_metadata_routing=True):
        model = PenalizedKernelRegressor(cv=GroupKFold(5), **GIVEN)
        model.set_fit_request(sample_weight=True, groups=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, model).fit(X, Y, sample_weight=weights, groups=labels)
    fitted = pipeline[-1]
    assert_array_equal(fitted.result_.problem.weights, weights)
    assert fitted.selection_.method == "folds:5"
    direct = PenalizedKernelRegressor(cv=GroupKFold(5), **GIVEN)
    scaled = StandardScaler().fit_transform(X)
    assert fitted.loo_score_ == direct.fit(scaled, Y, sample_weight=weights, groups=labels).loo_score_


# ---- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "polars" and module.__version__ >= "2" and sklearn.__version__ < "1.9":
        pytest.skip("scikit-learn before 1.9 does not read the names of frames of polars 2")
    table = module.DataFrame({"a": TABLE[:, 0], "b": TABLE[:, 1], "c": TABLE[:, 2]})
    model = PenalizedLinearRegressor(ridge=0.1).fit(table, module.Series(RESPONSE))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"] and model.n_features_in_ == 3
    assert_array_equal(model.coef_, PenalizedLinearRegressor(ridge=0.1).fit(TABLE, RESPONSE).coef_)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table.rename({"a": "z"}) if library == "polars" else table.rename(columns={"a": "z"}))


def test_sparse_rows_are_refused_in_a_sentence():
    with pytest.raises(TypeError, match="Sparse data was passed"):
        PenalizedLinearRegressor().fit(sparse.csr_matrix(TABLE), RESPONSE)


def test_weights_are_those_of_the_losses():
    weights = np.where(np.abs(Y - np.floor(X[:, 0])) > 3, 0.0, 2.0)
    model = PenalizedKernelRegressor(**GIVEN).fit(X, Y, sample_weight=weights)
    kept = weights > 0
    half = PenalizedKernelRegressor(gamma=1.0, ridge=0.05).fit(X[kept], Y[kept])
    assert_allclose(model.predict(X), half.predict(X), atol=1e-8)
    assert model.score(X, Y, weights) == pytest.approx(half.score(X[kept], Y[kept]), abs=1e-8)
    assert model.result_.r_squared == pytest.approx(model.score(X, Y, weights), abs=1e-9)


# ---- copies ----------------------------------------------------------------------------------------------------------


def test_clone_and_pickle(tmp_path):
    model = PenalizedKernelRegressor(loss=Huber(0.5), regularizers=(Trend(0.1, order=3),), **GIVEN).fit(X, Y)
    again = clone(model)
    assert again.get_params()["loss"] == Huber(0.5) and not hasattr(again, "result_")
    with pytest.raises(NotFittedError):
        again.predict(X)
    joblib.dump(model, tmp_path / "model.joblib")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        assert_array_equal(copy.predict(X), model.predict(X))
        assert copy.certificate_ == model.certificate_ and copy.result_.verify() == model.result_.verify()


@pytest.mark.slow
def test_skops(tmp_path):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    model = PenalizedKernelRegressor(loss="huber:delta=0.5", constraints=["increasing"], cv=3, search="random:2")
    model.fit(X, Y)
    skops.dump(model, tmp_path / "model.skops")
    unknown = skops.get_untrusted_types(file=tmp_path / "model.skops")
    assert all(name.startswith(("hw4opt.", "types.", "pathlib.", "builtins.")) for name in unknown), unknown
    copy = skops.load(tmp_path / "model.skops", trusted=unknown)
    assert_array_equal(copy.predict(X), model.predict(X))
    assert copy.result_.verify() == model.result_.verify()


def test_the_result_is_saved_without_scikit_learn(tmp_path):
    model = PenalizedKernelRegressor(**GIVEN).fit(X, Y)
    model.result_.save(tmp_path / "model.json")
    assert json.loads((tmp_path / "model.json").read_text())["intercept"] is True


def test_the_html_shows_parameters_and_the_fit():
    html = PenalizedKernelRegressor(**GIVEN).fit(X, Y)._repr_html_()
    assert "PenalizedKernelRegressor" in html and "gamma" in html
    if sklearn.__version__ >= "1.9":
        assert re.search(r"certificate_.*Certificate\(gap=", html, re.DOTALL) and "hyperparameters_" in html


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_an_answer_without_proof_warns_or_raises():
    words = {"solver": "admm", "tol": 1e-300}
    with pytest.warns(ConvergenceWarning) as said:
        model = PenalizedKernelRegressor(**GIVEN, **words).fit(X, Y)
    assert str(said[0].message) == model.result_.message and said[0].filename == __file__
    with pytest.raises(NotCertifiedError, match=re.escape(model.result_.message)):
        PenalizedKernelRegressor(on_uncertified="raise", **GIVEN, **words).fit(X, Y)


REFUSED = {
    "terms along one column": (dict(tv=1.0), "^tv needs an order along one x column and there are 3"),
    "before a search": (dict(tv=1.0, gamma="auto"), "^tv needs an order along one x column and there are 3"),
    "no number": (dict(ridge="much"), r"ridge is 'much'; give a number, 'auto' to choose it, or None"),
    "no gamma": (dict(gamma=None), r"gamma is None and the kernel is 'rbf'"),
    "no loss": (dict(loss="hubber"), r"no loss 'hubber' \(did you mean 'huber'\?\)"),
    "no column": (dict(constraints=["increasing:column=dose"]), r"no x column 'dose'; there are 0, 1, 2, x0, x1, x2"),
    "one constraint": (dict(constraints="convex"), r"constraints is 'convex'; give a list of them, as in \['convex'\]"),
    "no scale": (dict(scale="robust"), r"scale is 'robust'; there are none and standard"),
    "twice": (dict(regularizers=[Ridge(1.0)]), r"ridge is given twice"),
    "two gammas": (dict(kernel="rbf:gamma=3"), r"give gamma as an option of its own, `gamma=3`"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_faults_are_told_in_a_sentence(fault):
    given, sentence = REFUSED[fault]
    with pytest.raises(Hw4Error, match=sentence):
        PenalizedKernelRegressor(**{**GIVEN, **given}).fit(TABLE, RESPONSE)


def test_one_class_and_three_are_refused():
    with pytest.raises(ValueError, match=r"Only binary classification is supported.*3 classes"):
        PenalizedKernelClassifier().fit(X, np.arange(50) % 3)
    with pytest.raises(ValueError, match="y holds one class only"):
        PenalizedKernelClassifier().fit(X, np.arange(50) < 10, sample_weight=np.arange(50) >= 10)


def test_bounds_are_those_of_the_result():
    model = PenalizedKernelRegressor(loss="huber", **GIVEN).fit(X, Y)
    estimate, bound = model.predict(X, return_bound=True)
    assert_array_equal(estimate, model.predict(X))
    assert_array_equal(bound, model.result_.bound(X))
    _, none = PenalizedLinearRegressor(ridge=None).fit(TABLE, RESPONSE).predict(TABLE, return_bound=True)
    assert np.isnan(none).all()


@pytest.mark.parametrize("cv", [None, 5], ids=["leave-one-out", "5 folds"])
def test_intervals_are_those_of_the_result(cv):
    model = PenalizedKernelRegressor(loss="huber:delta=0.5", cv=cv, keep_folds=True, **GIVEN).fit(X, Y)
    problem = Problem(X, Y, RBF(1.0), Huber(0.5), [Ridge(0.1)], intercept=True)
    chosen = select(problem, [], "loo" if cv is None else f"kfold:{cv}", keep_folds=True).problem
    for method in ("plus", "minmax", "base"):
        points, ends = model.predict_interval(X[::3], confidence_level=[0.9, 0.5], method=method)
        expected = fit(chosen).predict_interval(X[::3], [0.9, 0.5], method)
        assert_array_equal(points, expected[0])
        assert_array_equal(ends, expected[1])
        assert ends.shape == (17, 2, 2) and (ends[:, 0, 0] < ends[:, 0, 1]).all()
    with pytest.raises(InputError, match=r"^intervals need the fits without each fold; fit with keep_folds=True$"):
        PenalizedKernelRegressor(**GIVEN).fit(X, Y).predict_interval(X)


def test_counts():
    counts = np.random.default_rng(0).poisson(np.exp(np.sin(X[:, 0])))
    model = PenalizedKernelRegressor(loss="poisson", **GIVEN).fit(X, counts)
    assert_allclose(model.predict(X), np.exp(model.result_.fitted))
    assert model.score(X, counts) == pytest.approx(model.result_.deviance_explained, abs=1e-9)
    from sklearn.metrics import d2_tweedie_score

    assert model.score(X, counts) == pytest.approx(d2_tweedie_score(counts, model.predict(X), power=1), abs=1e-9)


@pytest.mark.slow
def test_mixtures_have_scikit_learns_manners():
    draw = np.random.default_rng(0)
    x = draw.standard_normal((300, 1))
    y = draw.poisson(np.exp(np.where(np.arange(300) < 200, 3 + 0.5 * x[:, 0], 1 - 0.5 * x[:, 0])))
    model = clone(PoissonMixture(k=3, budget=Budget(10, 2))).set_params(k=2).fit(x, y)
    assert model.get_params()["k"] == 2
    means = np.exp(np.column_stack([np.ones(300), x]) @ model.coef_.T)
    assert_allclose(model.predict(x), means @ model.proportions_)
    assert_allclose(model.responsibilities(x, y), model.result_.responsibilities, atol=1e-9)
    assert model.score(x, y) * 300 == pytest.approx(model.result_.log_likelihood, rel=1e-12)
    search = GridSearchCV(PoissonMixture(budget=Budget(4, 0)), {"k": [1, 2]}, cv=2).fit(x, y)
    assert search.best_params_ == {"k": 2}


def test_a_certified_fit_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PenalizedKernelClassifier(gamma=1.0, cv=3, search="random:2").fit(X, Y > 2)
