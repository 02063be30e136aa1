"""Every public callable with hostile arguments: an answer or one sentence of the package's own, and inputs that stay as
they were."""

import copy
import datetime
import decimal
import fractions
import inspect
import math
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import hw4opt
from foreign_arrays import DRAW, Data, Foreign, N, Sparse, X, Y
from hw4opt import (
    L1,
    RBF,
    Bounds,
    Huber,
    Hw4Error,
    Increasing,
    InputError,
    Precomputed,
    Problem,
    Result,
    Ridge,
    TotalVariation,
    datasets,
    fit,
    fit_batch,
    kernels,
    mixture,
    plotting,
    selection,
    terms,
)
from hw4opt.crosscheck import crosscheck
from hw4opt.validation.arrays import finite_array, group_numbers, real_array

COUNTS = 1.0 * DRAW.poisson(3, N)
PROBLEM = Problem(X, Y, RBF(3.0), Huber(0.5), [Ridge(0.1), TotalVariation(0.1)], [Increasing()], weights=np.ones(N))
LINEAR = Problem(np.column_stack([X, X**2]), Y, regularizers=[L1(0.1)], offset=np.zeros(N), intercept=True)
RESULT, LINEAR_RESULT = fit(PROBLEM), fit(LINEAR)
SUM_RESULT = fit(Problem(X, Y, hw4opt.Additive([hw4opt.Component("c", [0], RBF(3.0), 0.1)])))
KEPT = fit(selection.select(PROBLEM, [], method="loo", keep_folds=True).problem)
BUDGET = mixture.Budget(1, 0)
MIXTURE = mixture.PoissonMixture(1, budget=BUDGET)
MIXED = MIXTURE.fit(X, COUNTS)
TABLE = [
    {"ridge": 0.1, "tv": 1.0, "score": 1.0, "standard_error": 0.1},
    {"ridge": 1.0, "tv": 2.0, "score": 2.0, "standard_error": 0.1},
]


def hostile_arrays():
    yield from {
        "masked": np.ma.masked_greater(X, 0.5),
        "list of masked": [np.ma.masked_greater(X, 0.5)] * N,
        "masked constant": [*X[1:], np.ma.masked],
        "complex": X + 1j,
        "complex list": [1j] * N,
        "NaT": np.full(N, np.datetime64("NaT")),
        "dates": np.arange("2020-01-01", "2020-01-11", dtype="datetime64[D]"),
        "times": np.arange(N).astype("timedelta64[s]"),
        "datetime objects": [datetime.datetime(2020, 1, 1)] * N,
        "strings": ["1.0"] * N,
        "string array": np.array(["a"] * N),
        "bytes array": np.array([b"1"] * N),
        "objects": [object()] * N,
        "None in it": [*X[1:], None],
        "None array": np.array([None] * N),
        "nan": np.full(N, np.nan),
        "inf": np.full(N, np.inf),
        "bool": X > 0.5,
        "ragged": [[1.0], [1.0, 2.0]] * (N // 2),
        "nested": [[[1.0]]] * N,
        "3-d": np.zeros((N, 1, 1)),
        "0-d": np.array(1.0),
        "empty": [],
        "empty 2-d": np.zeros((0, 3)),
        "no columns": np.zeros((N, 0)),
        "one": [1.0],
        "too long": np.arange(N + 1.0),
        "huge integers": [10**400] * N,
        "longdouble": np.full(N, np.finfo(np.longdouble).max),
        "decimals": [decimal.Decimal("NaN")] * N,
        "record": np.zeros(N, dtype=[("a", float)]),
        "void": np.zeros(N, dtype="V8"),
        "matrix": X[None].view(np.matrix),
        "set": {1.0, 2.0},
        "dict": {"a": X},
        "generator": (one for one in X),
        "number": 1.0,
        "string": "abc",
        "bytes": b"abc",
        "bool scalar": True,
        "class": RBF,
        "foreign": Foreign(),
        "frame of text": Data(["a"] * N),
        "sparse": Sparse(),
        "itself": (lambda one: one.append(one) or one)([]),
        "far": np.full(N, 1e300),
        "negative": -X - 1,
    }.items()


HOSTILE = {
    "text": "abc",
    "no text": "",
    "NUL": "\0",
    "digits": "kfold:" + "9" * 5000,
    "many": "random:" + "9" * 5000,
    "dots": "huber.delta",
    "None": None,
    "bool": True,
    "numpy bool": np.bool_(False),
    "zero": 0,
    "negative": -1,
    "fraction": 2.5,
    "nan": math.nan,
    "inf": math.inf,
    "minus inf": -math.inf,
    "huge": 10**400,
    "many digits": 10**5000,
    "longdouble": np.finfo(np.longdouble).max,
    "complex": 1j,
    "Fraction": fractions.Fraction(1, 3),
    "Decimal": decimal.Decimal(1),
    "0-d": np.array(0.5),
    "array": np.ones(3),
    "list": [1, 2],
    "nested list": [[]],
    "tuple": (1.0, 2.0, 3.0),
    "dict": {"a": 1},
    "dict by number": {1: 1},
    "dict of text": {"ridge": "a"},
    "set": {1},
    "bytes": b"abc",
    "object": object(),
    "class": RBF,
    "function": len,
    "date": datetime.date(2020, 1, 1),
    "NaT": np.datetime64("NaT"),
    "problem": PROBLEM,
    "result": RESULT,
    "term": Ridge(),
}

LOSSES, REGULARIZERS, CONSTRAINTS = (
    [
        getattr(hw4opt, name)
        for name in hw4opt.__all__
        if getattr(hw4opt, name).__module__.startswith(f"hw4opt.{folder}.")
    ]
    for folder in ("losses", "regularizers", "constraints")
)
KERNELS = list(kernels.KERNELS.values())


def fields_of(kind):
    """The parameters of a term or kernel, at their defaults (bounds need one)."""
    given = {name: one.default for name, one in inspect.signature(kind).parameters.items()}
    return given | ({"upper": 1.0} if "upper" in given else {})


def calls():
    """name → (callable, good arguments)."""
    found = {kind.__name__: (kind, fields_of(kind)) for kind in (*LOSSES, *REGULARIZERS, *CONSTRAINTS, *KERNELS)}
    for kind in (*LOSSES, *REGULARIZERS, *CONSTRAINTS):
        term = kind(**fields_of(kind))
        found[f"{kind.__name__}.value"] = term.value, {"z": Y}
        found[f"{kind.__name__}.prox"] = term.prox, {"v": Y, "step": 1.0}
        found[f"{kind.__name__}.conjugate"] = term.conjugate, {"u": Y}
    problem = dict(x=X, y=Y, kernel=RBF(3.0), loss=Huber(0.5), regularizers=[Ridge(0.1)], constraints=[Increasing()])
    problem |= dict(weights=np.ones(N), offset=np.zeros(N), intercept=False, standardize=False)
    options = dict(solver="auto", tol=1e-9, max_iterations=50, separated="refuse", time_limit=60.0)
    select = dict(
        problem=PROBLEM, free=["ridge"], method="kfold:2", search="random:2", grid={"tv": (0.1, 1.0, 2)}, metric="loss"
    )
    select |= dict(
        folds="shuffled", groups=np.arange(N) % 4, seed=0, one_se=False, keep_folds=False, workers=1, progress=None
    )
    rows = mixture.Rows(offset=np.zeros(N), weights=np.ones(N))
    lists = mixture.make_playlists(MIXED, X, 2)
    return found | {
        "Problem": (Problem, problem),
        "Component": (
            hw4opt.Component,
            dict(name="c", columns=[0], kernel=RBF(3.0), ridge=0.1, regularizers=[], constraints=[Increasing()]),
        ),
        "Additive": (hw4opt.Additive, {"components": [hw4opt.Component("c", [0])]}),
        "Categorical": (hw4opt.Categorical, {"gamma": 1.0}),
        "Result.predict_components": (SUM_RESULT.predict_components, {"x": X}),
        "plot_components": (plotting.plot_components, {"result": SUM_RESULT}),
        "Problem.features": (PROBLEM.features, {"x": X}),
        "Problem.with_hyperparameters": (PROBLEM.with_hyperparameters, {"values": {"ridge": 1.0}}),
        "Problem.settled": (PROBLEM.settled, {"name": "ridge", "value": 1.0}),
        "fit": (fit, {"problem": PROBLEM, **options}),
        "fit_batch": (fit_batch, {"problems": [PROBLEM], **options}),
        "crosscheck": (
            crosscheck,
            {"problem": PROBLEM, "solvers": ["interior", "admm"], "progress": None, "time_limit": 10.0},
        ),
        "Result.predict": (RESULT.predict, {"x": X}),
        "Result.predict of columns": (LINEAR_RESULT.predict, {"x": LINEAR.x}),
        "Result.predict_mean": (LINEAR_RESULT.predict_mean, {"x": LINEAR.x, "offset": np.zeros(N)}),
        "Result.predict_interval": (KEPT.predict_interval, {"x": X, "level": 0.5, "method": "plus", "offset": None}),
        "Result.bound": (RESULT.bound, {"x": X}),
        "Result.save": (RESULT.save, {"path": "/dev/null/model"}),
        "Result.load": (Result.load, {"path": "/dev/null/model"}),
        "Result.plot": (RESULT.plot, {"axes": None, "truth": Y}),
        "check_term": (hw4opt.check_term, {"term": hw4opt.Poisson(), "targets": [0.0, 1.0]}),
        "check_kernel": (hw4opt.check_kernel, {"kernel": RBF(3.0)}),
        "find": (terms.find, {"kind": "loss", "name": "huber"}),
        "find_kernel": (kernels.find_kernel, {"name": "rbf", "gamma": 1.0}),
        "select": (selection.select, select),
        "score_settings": (
            selection.score_settings,
            {"problems": [PROBLEM], "folds": selection.leave_one_out(N), "metric": "loss"},
        ),
        "k_fold": (
            selection.k_fold,
            {"size": N, "count": 2, "order": "shuffled", "groups": np.arange(N) % 3, "seed": 0},
        ),
        "leave_one_out": (selection.leave_one_out, {"size": N}),
        "PoissonMixture": (
            mixture.PoissonMixture,
            dict(k=1, intercept=True, ridge=0.0, quasi=False, budget=BUDGET, seed=0),
        ),
        "PoissonMixture.fit": (MIXTURE.fit, {"x": X, "y": COUNTS, "rows": rows, "progress": None}),
        "PoissonMixture.fit_plain": (
            MIXTURE.fit_plain,
            {"x": X, "y": COUNTS, "labels": np.zeros(N), "cycles": 2, "rows": rows},
        ),
        "Rows": (
            lambda **given: MIXTURE.design(X, COUNTS, mixture.Rows(**given)),
            dict.fromkeys(("offset", "weights", "groups"), COUNTS),
        ),
        "Budget": (mixture.Budget, dict(starts=1, perturbations=0, seconds=1.0)),
        "choose_k": (
            mixture.choose_k,
            dict(model=MIXTURE, x=X, y=COUNTS, ks=[1], rows=rows, criterion="bic", progress=None),
        ),
        "MixtureResult.scores": (MIXED.scores, {"x": X}),
        "MixtureResult.score_errors": (MIXED.score_errors, {"x": X}),
        "MixtureResult.predict": (MIXED.predict, {"x": X, "offset": np.zeros(N)}),
        "Components.save": (MIXED.components.save, {"path": "/dev/null/moods"}),
        "Components.load": (mixture.Components.load, {"path": "/dev/null/moods"}),
        "make_playlists": (mixture.make_playlists, dict(result=MIXED, catalogue=X, top=2)),
        "write_playlists": (mixture.write_playlists, dict(folder="lists", lists=lists, texts={})),
        "simulated_listener": (mixture.simulated_listener, dict(seed=0, n=5)),
        "step_function": (datasets.step_function, {"x": X}),
        "step_data": (datasets.step_data, {"n": 30, "seed": 0}),
        "read_table": (datasets.read_table, {"path": "/dev/null/table.csv"}),
        "plot_fit": (plotting.plot_fit, {"result": RESULT, "axes": None, "truth": Y}),
        "plot_predictions": (plotting.plot_predictions, {"result": RESULT, "x": X, "axes": plotting.plot_fit(RESULT)}),
        "outliers": (plotting.outliers, {"residuals": Y}),
        "plot_scores": (plotting.plot_scores, {"table": TABLE, "name": "ridge", "axes": None}),
        "plot_heatmap": (plotting.plot_heatmap, {"table": TABLE, "across": "ridge", "up": "tv", "axes": None}),
        "plot_choice": (plotting.plot_choice, {"result": RESULT, "table": TABLE, "truth": Y}),
        "plot_path": (
            plotting.plot_path,
            dict(results=[RESULT], name="ridge", values=[0.1], scores=[1.0], errors=[0.1]),
        ),
        "real_array": (lambda values: real_array("x", values), {"values": X}),
        "finite_array": (lambda values: finite_array("x", values), {"values": X}),
        "group_numbers": (lambda labels: group_numbers("groups", labels, N), {"labels": np.arange(N)}),
    }


CALLS = calls()
CALLBACKS = ("progress", "truth")
NO_ARGUMENTS_OF_ITS_OWN = {
    # records
    "Certificate", "Choice", "Components", "MixtureResult", "Playlist", "Result", "Score", "Selection", "SolverRow",
    "Status", "Hw4Error", "InputError", "ModelFileError", "NotCertifiedError", "RefusedError", "UnknownNameError",
    "Coefficients", "Differences", "Interval", "Likelihood", "Loss", "PiecewiseQuadratic", "Slope", "Smooth", "Table",
    "ComponentTerm", "OnComponent", "own_term", "is_everywhere",
    "Acts", "AtPoints", "Shape", "ShapeRows", "Solver", "Term", "Values", "functionals_of",  # bases and tags
    "AUTO", "Truth", "check_solver", "check_parameter", "check_whole", "load", "names", "parameters",
    "figure_of", "plot_check",
}  # fmt: skip


def test_every_public_callable_is_called():
    public = {name for package in (hw4opt, mixture, selection, plotting, terms) for name in package.__all__}
    assert public - NO_ARGUMENTS_OF_ITS_OWN == {name for name in public if name in CALLS}


def attempts():
    for name, (_, good) in CALLS.items():
        for argument in good:
            for label, value in (*hostile_arrays(), *HOSTILE.items()):
                if not (callable(value) and argument in CALLBACKS):  # a function of the right kind is no hostile one
                    yield name, argument, label, value


def same(one, other):
    return (
        isinstance(other, np.ndarray)
        and one.dtype == other.dtype
        and (one.dtype.kind in "OVMm" or np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    )


def attempt(name, argument, value):
    """The outcome of one hostile argument: None, or the fault."""
    call, good = CALLS[name]
    before = value.copy() if isinstance(value, np.ndarray) else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(**{**good, argument: value})
    except Hw4Error as error:
        if "\n" in str(error) or len(str(error)) > 400:
            return f"a sentence of {len(str(error))} characters: {str(error)[:200]}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None if before is None or same(before, value) else "the input was changed"


def faults(step):
    return [
        f"{name}({argument}={label}): {fault}"
        for place, (name, argument, label, value) in enumerate(attempts())
        if place % step == 0 and (fault := attempt(name, argument, value)) is not None
    ]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Some hostile values are paths that can be written."""
    monkeypatch.chdir(tmp_path)


def test_hostile_arguments_get_a_sentence_sampled():
    assert not faults(step=13)


@pytest.mark.slow
def test_hostile_arguments_get_a_sentence():
    assert not faults(step=1)


@pytest.mark.parametrize("flag", ["no", 1, 0.0, None, np.ones(1)])
@pytest.mark.parametrize("name", ["standardize", "intercept"])
def test_a_flag_is_true_or_false(name, flag):
    with pytest.raises(InputError, match=f"^{name} is .*; it must be True or False$"):
        Problem(X, Y, **{name: flag})


def arrays_of(thing):
    names = [
        name for name in dir(type(thing)) if not name.startswith("_") and not callable(getattr(type(thing), name, None))
    ]
    for name in {*names, *vars(thing)} - {"moods"}:  # an old name, which warns
        value = getattr(thing, name)
        values = value.values() if hasattr(value, "values") else value if isinstance(value, tuple) else [value]
        yield from ((name, one) for one in values if isinstance(one, np.ndarray))


@pytest.mark.parametrize(
    "again", [lambda one: one, copy.deepcopy, copy.copy, lambda one: pickle.loads(pickle.dumps(one))]
)
@pytest.mark.parametrize("made", [PROBLEM, LINEAR, RESULT, LINEAR_RESULT, MIXED], ids=lambda made: type(made).__name__)
def test_arrays_are_locked_after_copies_too(made, again):
    for name, array in arrays_of(again(made)):
        if name not in ("coef", "mean", "active_x", "labels", "cluster_sizes"):  # computed when asked for
            assert not array.flags.writeable, name


def test_duals_are_read_only_and_copies_answer_the_same():
    with pytest.raises(TypeError):
        RESULT.duals["huber"] = np.zeros(N)
    copied = pickle.loads(pickle.dumps(RESULT))
    assert set(copied.duals) == {"huber", "tv", "increasing"}
    assert_array_equal(copied.predict(X), RESULT.predict(X))
    assert copied.verify() == RESULT.verify()


def test_a_problem_over_precomputed_rows_is_copied_whole():
    gram = RBF(3.0).gram(X[:, None], X[:, None])
    problem = Problem(gram, Y, Precomputed(), regularizers=[Ridge(0.1)], constraints=[Bounds(upper=2.0)])
    gram[:] = 0
    assert_array_equal(fit(copy.deepcopy(problem)).fitted, fit(problem).fitted)
