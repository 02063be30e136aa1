"""A model apart from data, the data with names of their columns, and names of hyper-parameters taken apart."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt import (
    RBF,
    Bounds,
    Huber,
    Increasing,
    InputError,
    Logistic,
    ModelFileError,
    Nonnegative,
    Poisson,
    Polynomial,
    Precomputed,
    Problem,
    Result,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.problem import ColumnNames, Data, HyperparameterKey, Model
from hw4opt.selection import select
from hw4opt.selection.plan import subset

X = np.array([0.1, 0.4, 0.2, 0.9, 0.7, 0.55])
Y = np.array([1.0, 2.0, 0.5, 3.0, 2.5, 2.2])
WEIGHTS = np.array([1.0, 2.0, 0.0, 1.0, 1.0, 3.0])
GRAM = RBF(3.0).gram(X[:, None], X[:, None])
TERMS = {"regularizers": [Ridge(0.1), TotalVariation(0.2)], "constraints": [Increasing()]}


# ---- model and data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("kernel", [RBF(30.0), None], ids=["kernel", "linear"])
@pytest.mark.parametrize("standardize", [False, True])
def test_a_problem_is_its_model_on_its_data(kernel, weights, standardize):
    terms = TERMS if kernel is not None else {"regularizers": [Ridge(0.1)]}
    problem = Problem(X, Y, kernel, Huber(0.3), weights=weights, intercept=True, standardize=standardize, **terms)
    model = Model(kernel, Huber(0.3), intercept=True, standardize=standardize, **terms)
    again = model.on(Data(X, Y, weights))
    assert problem.model == model == again.model
    assert_array_equal(fit(again).fitted, fit(problem).fitted)
    for field in dataclasses.fields(problem):
        if field.init:
            half = problem.model if hasattr(problem.model, field.name) else problem.data
            assert getattr(half, field.name) is getattr(problem, field.name)


def test_a_model_goes_on_other_data():
    model = Model(RBF(30.0), Huber(0.3), **TERMS)
    one, other = (fit(model.on(Data(X, y))) for y in (Y, 2 * Y))
    assert_allclose(other.fitted, fit(Problem(X, 2 * Y, RBF(30.0), Huber(0.3), **TERMS)).fitted, rtol=1e-12)
    assert np.abs(other.fitted - one.fitted).max() > 0.1


def test_an_automatic_parameter_is_settled_when_data_arrive():
    model = Model(RBF(3.0), Huber("auto"))
    assert not model.is_settled and model.loss.delta == "auto"
    small, large = (model.on(Data(X, size * Y)) for size in (1.0, 10.0))
    assert small.model.is_settled and small.loss == small.model.loss == Problem(X, Y, RBF(3.0), Huber("auto")).loss
    assert large.loss.delta == pytest.approx(10 * small.loss.delta)
    assert model.loss.delta == "auto"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"loss": "huber"}, "loss is 'huber'; give one of hw4opt's losses"),
        ({"kernel": RBF}, "kernel is <class .*; give one of hw4opt's kernels"),
        ({"regularizers": Ridge()}, "regularizers is Ridge.*; give a list of them"),
        ({"regularizers": [Ridge(1), Ridge(2)]}, "ridge is given twice"),
        ({"constraints": [Ridge(1)]}, "ridge is not a constraint"),
        ({"constraints": [Nonnegative(), Bounds(upper=-1)]}, "the two conflict and no fit exists"),
        ({"kernel": Precomputed(), "standardize": True}, "standardize measures columns of x"),
        ({"intercept": 1}, "intercept is 1; it must be True or False"),
    ],
)
def test_a_model_refuses_terms_without_data(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Model(**given)


@pytest.mark.parametrize(
    ("model", "data", "sentence"),
    [
        (Model(loss=Logistic()), {}, "logistic needs labels 0 and 1"),
        (Model(loss=Poisson()), {"y": -Y}, "counts"),
        (Model(RBF(1.0)), {"x": np.ones(6)}, "x is constant"),
        (Model(Precomputed()), {}, "needs the Gram matrix"),
        (Model(RBF(1.0), constraints=[Increasing(column=1)]), {}, "column 1 does not exist; there are 1 x columns"),
    ],
)
def test_a_model_refuses_data_that_it_cannot_be_fitted_to(model, data, sentence):
    with pytest.raises(InputError, match=sentence):
        model.on(Data(**({"x": X, "y": Y} | data)))
    with pytest.raises(InputError, match=r"data is .*; it must be a Data"):
        model.on(X)


def test_data_are_checked_and_locked_once():
    data = Data(X, Y, WEIGHTS, 0 * Y)
    assert data.x.shape == (6, 1)
    assert_array_equal(data.active, [0, 1, 3, 4, 5])
    for changed in (data, copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        for name in ("x", "y", "weights", "offset", "active"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(changed, name)[0] = 1
    for given, sentence in (
        ({"y": Y[:3]}, "x has shape"),
        ({"weights": -WEIGHTS}, "weights must be 0 or more"),
        ({"x": [np.nan] * 6}, "x holds nan in row 0"),
    ):
        with pytest.raises(InputError, match=sentence):
            Data(**({"x": X, "y": Y} | given))


def test_problems_of_other_hyperparameters_share_their_data(monkeypatch):
    """Nothing of the size of the data is checked or computed a second time."""
    problem = Problem(GRAM, Y, Precomputed(), regularizers=[Ridge(0.1)], intercept=True)
    rows = Problem(X, Y, RBF(3.0), Huber(0.3), standardize=True, intercept=True, **TERMS)
    for one in (problem, rows):
        _ = one.design, one.level, one.noise
    for name in ("check_gram", "check_design", "check_targets"):
        monkeypatch.setattr(f"hw4opt.problem.checks.{name}", None)
    for name in ("noise.noise_size", "measured.noise_size", "data.finite_array"):
        monkeypatch.setattr(f"hw4opt.problem.{name}", None)
    assert problem.with_hyperparameters({"ridge": 1.0}).data is problem.data
    for values in ({"gamma": 9.0}, {"ridge": 1.0, "tv": 2.0, "huber.delta": 0.1}):
        other = rows.with_hyperparameters(values)
        assert other.data is rows.data and other.scaling is rows.scaling and other.noise == rows.noise
        assert other.design.x is rows.design.x and other.level == rows.level
        assert (other.design is rows.design) == ("gamma" not in values)


def test_a_model_takes_hyperparameters_as_its_problem_does():
    model = Model(RBF(3.0), Huber(1.0), [TotalVariation(0.2)])
    values = {"gamma": 5.0, "ridge": 0.25, "huber.delta": 2.0}
    assert model.with_hyperparameters(values) == model.on(Data(X, Y)).with_hyperparameters(values).model
    assert model.with_hyperparameters(values) == Model(RBF(5.0), Huber(2.0), [Ridge(0.25), TotalVariation(0.2)])
    assert model.hyperparameters == {"gamma": 3.0, "ridge": 0.0, "tv": 0.2}
    with pytest.raises(InputError, match="conflict"):
        Model(constraints=[Nonnegative(), Bounds(upper=9)]).with_hyperparameters({"bounds.upper": -1.0})


# ---- names of hyper-parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "owner", "parameter", "of"),
    [
        ("gamma", None, "gamma", RBF(1.0)),
        ("rbf.gamma", "rbf", "gamma", RBF(1.0)),
        ("rbf", "rbf", "gamma", RBF(1.0)),
        ("polynomial.degree", "polynomial", "degree", Polynomial(1.0)),
        ("tv", "tv", "weight", TotalVariation()),
        ("trend.order", "trend", "order", Trend()),
        ("huber.delta", "huber", "delta", Huber()),
        ("increasing:column=0.column", "increasing:column=0", "column", Increasing(column=0)),
    ],
)
def test_a_name_says_its_owner_and_parameter(name, owner, parameter, of):
    key = HyperparameterKey.parse(name)
    assert (key.text, key.owner, key.parameter_of(of)) == (name, owner, parameter)
    assert key.belongs_to(of) and not key.belongs_to(Squared())
    assert key.is_gamma_of(RBF(1.0)) == (parameter == "gamma") and not key.is_gamma_of(None)
    assert key.is_weight_of(TotalVariation()) == (owner == "tv")


def test_whole_numbers_are_rounded_by_any_name():
    model = Model(Polynomial(1.0, 3), regularizers=[Trend(0.1)])
    assert model.settled("polynomial.degree", 4.4) == 4.0 and model.settled("trend.order", 1.6) == 2.0
    assert model.settled("gamma", 4.4) == 4.4 and model.settled("trend", 1.6) == 1.6
    assert model.settled("nothing", 1.6) == 1.6


@pytest.mark.parametrize("name", ["ridge", "ridge.weight"])
def test_one_standard_error_takes_a_weight_by_any_name(name):
    x = np.linspace(0, 1, 30)
    noise = 0.3 * np.random.default_rng(1).normal(size=30)
    problem = Problem(x, np.sin(6 * x) + noise, RBF(30.0), regularizers=[Ridge(0.1)])
    grid = {name: (1e-3, 10.0, 25)}
    best, smooth = (select(problem, [], "loo", "grid", grid, one_se=one_se).problem.ridge for one_se in (False, True))
    assert smooth > best


# ---- names of columns ------------------------------------------------------------------------------------------------


def test_names_of_columns_come_with_the_data_and_the_model_file(tmp_path):
    model = Model(None, Poisson(), intercept=True)
    x, counts = np.column_stack([X, X**2]), np.array([1, 3, 0, 6, 4, 2])
    names = ColumnNames(x=("dose", "dose2"), y="sick", exposure="persons")
    result = fit(model.on(Data(x, counts, offset=np.log(Y), names=names)))
    assert result.names == names and result.column_names == ["dose", "dose2", "(intercept)"]
    result.save(tmp_path / "model.json")
    again = Result.load(tmp_path / "model.json")
    assert again.names == names and again.problem.data.names == names
    assert again.context == {"x": ["dose", "dose2"], "y": "sick", "exposure": "persons"}
    data = Data(X, counts, offset=np.log(Y), names=dataclasses.replace(names, x=("dose",)))
    axes = fit(Model(RBF(3.0), Poisson(), [Ridge(0.1)]).on(data)).plot()
    assert axes.get_xlabel() == "dose" and axes.get_ylabel().endswith("sick per persons")


def test_a_problem_with_one_part_replaced_keeps_the_names():
    names = ColumnNames(x=("dose",), y="sick")
    problem = Problem(X, Y, RBF(3.0), names=names)
    other = dataclasses.replace(problem, weights=WEIGHTS)
    assert problem.data.names == names == other.data.names and other.weights is not None
    with pytest.raises(InputError, match="names of the 2 x columns"):
        dataclasses.replace(problem, x=np.column_stack([X, X**2]))


def test_the_rows_that_have_a_maximum_keep_the_names():
    """With `separated="drop"` the rest is fitted as a problem of its own."""
    x = np.column_stack([np.ones(6), [1.0, 0, 0, 0, 0, 0]])
    names = ColumnNames(x=("dose", "first"), y="sick")
    result = fit(Problem(x, [0.0, 3, 2, 6, 4, 2], None, Poisson(), names=names), separated="drop")
    assert result.existence is not None and result.names == names


def test_names_in_the_context_stand_before_those_of_the_data():
    result = fit(Model().on(Data(X, Y, names=ColumnNames(x=("a",), y="b"))))
    renamed = dataclasses.replace(result, context={"x": ["c"], "seed": 3})
    assert renamed.names == ColumnNames(x=("c",), y="b") and renamed.column_names == ["c"]
    assert result.names == result.problem.data.names


@pytest.mark.parametrize("context", [{"x": ["a", "b"]}, {"x": "a"}, {"x": [1]}, {"y": 3}, {"exposure": []}])
def test_names_that_do_not_fit_the_columns_are_refused(context, tmp_path):
    with pytest.raises(InputError, match="name"):
        Data(X, Y, names=ColumnNames().updated(context))
    dataclasses.replace(fit(Problem(X, Y)), context=context).save(tmp_path / "model.json")
    with pytest.raises(ModelFileError, match="damaged"):
        Result.load(tmp_path / "model.json")


def test_a_subset_for_the_search_keeps_the_names():
    problem = Model(RBF(3.0)).on(Data(X, Y, WEIGHTS, names=ColumnNames(y="b")))
    part = subset(problem, np.array([0, 1, 3]))
    assert part.data.names.y == "b" and part.model == problem.model
    assert_allclose(part.weights, WEIGHTS[[0, 1, 3]] * 5 / 3)


@dataclasses.dataclass(frozen=True)
class Noted(Huber):
    """Huber's loss with a field that has no hash."""

    name = "noted"
    notes: list[str] = dataclasses.field(default_factory=list)


def test_equal_models_are_refused_each_time_and_parts_without_a_hash_are_checked_too():
    assert Model(RBF(), Noted()) == Model(RBF(), Noted())
    for given in (Huber(), ["ridge"], Noted()):
        for _ in range(2):
            with pytest.raises(InputError, match="is neither a regularizer nor a constraint"):
                Model(RBF(), Noted() if given == Huber() else Huber(), [given])
