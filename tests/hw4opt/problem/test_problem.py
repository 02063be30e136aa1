"""Problem: its messages for invalid input, immutability, and how it is changed into
another."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Convex,
    EpsilonInsensitive,
    Huber,
    Hw4Error,
    Increasing,
    InputError,
    Logistic,
    Nonnegative,
    Polynomial,
    Precomputed,
    Problem,
    Quantile,
    RefusedError,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
    fit,
    fit_batch,
)
from hw4opt.form.canonicalize import canonicalize

X = np.array([0.1, 0.4, 0.2, 0.9, 0.7])
Y = np.array([1.0, 2.0, 0.5, 3.0, 2.5])
GRAM = RBF(3.0).gram(X[:, None], X[:, None])
ONES = np.ones(5)


def changed(array, row, value):
    out = np.array(array, dtype=float)
    out[row] = value
    return out


# ---- bad input: one sentence that names what is wrong ----------------------------------------------------------------

BAD = {
    "x and y differ": (dict(x=X[:4]), r"x has shape \(4,\) and y \(5,\); give x \(n,\) or \(n, d\) and y \(n,\)"),
    "x has three axes": (dict(x=np.zeros((5, 1, 1))), r"x has shape \(5, 1, 1\) and y"),
    "y is a column": (dict(y=Y[:, None]), r"y \(5, 1\); give x"),
    "y is one number": (dict(y=3.0), r"y \(\); give x"),
    "x is one number": (dict(x=3.0), r"x has shape \(\) and y"),
    "nan in x": (dict(x=changed(X, 2, np.nan)), r"x holds nan in row 2; give finite numbers or drop the row"),
    "nan in a column of x": (dict(x=np.column_stack([X, changed(X, 3, np.nan)])), r"x holds nan in row 3; give finite"),
    "inf in y": (dict(y=changed(Y, 4, -np.inf)), r"y holds -inf in row 4; give finite numbers or drop the row"),
    "nan in weights": (dict(weights=changed(ONES, 1, np.nan)), r"weights holds nan in row 1"),
    "inf in offset": (dict(offset=changed(ONES, 0, np.inf)), r"offset holds inf in row 0"),
    "text in x": (dict(x=["1", "2", "n/a", "4", "5"]), r"x does not hold numbers: .*n/a"),
    "text in y": (dict(y=["1", "2", "3", "4", "five"]), r"y does not hold numbers: .*five"),
    "ragged x": (dict(x=[[1, 2], [3], [4, 5], [6, 7], [8, 9]]), r"x does not hold numbers"),
    "one row": (dict(x=[1.0], y=[2.0]), r"there is one row; a regression needs at least two"),
    "no row": (dict(x=[], y=[]), r"there is no row; a regression needs at least two"),
    "constant x": (dict(x=ONES), r"x is constant; a kernel design needs at least two different x"),
    "constant rows": (dict(x=np.tile([1.0, 2.0], (5, 1))), r"x is constant; a kernel design"),
    "constant where weighted": (
        dict(x=changed(ONES, 0, 2), weights=changed(ONES, 0, 0)),
        r"x is constant; a kernel design",
    ),
    "few weights": (dict(weights=ONES[:4]), r"weights has shape \(4,\); it needs one entry per row, \(5,\)"),
    "few offsets": (dict(offset=ONES[:, None]), r"offset has shape \(5, 1\); it needs one entry per row, \(5,\)"),
    "a negative weight": (
        dict(weights=changed(ONES, 3, -0.5)),
        r"weights holds -0.5 in row 3; weights must be 0 or more",
    ),
    "all weights zero": (dict(weights=0 * ONES), r"the weight of every row is zero"),
    "one weight": (
        dict(weights=changed(0 * ONES, 2, 1)),
        r"fewer than two rows have a weight above 0; a regression needs at least two",
    ),
    "a loss by name": (dict(loss="huber"), r"loss is 'huber'; give one of hw4opt's losses, as in Huber\(delta=1\)"),
    "a loss class": (dict(loss=Huber), r"loss is <class .*; give one of hw4opt's losses"),
    "a regularizer as loss": (dict(loss=Ridge()), r"loss is Ridge\(weight=1.0\); give one of hw4opt's losses"),
    "a loss as regularizer": (
        dict(regularizers=[Huber()]),
        r"Huber\(delta=1.0\) is neither a regularizer nor a constraint",
    ),
    "a kernel by name": (dict(kernel="rbf"), r"kernel is 'rbf'; give one of hw4opt's kernels, as in RBF\(gamma=80\)"),
    "a kernel class": (dict(kernel=RBF), r"kernel is <class .*; give one of hw4opt's kernels"),
    "one regularizer": (
        dict(regularizers=Ridge()),
        r"regularizers is Ridge\(weight=1.0\); give a list of them, as in \[Ridge",
    ),
    "constraints by name": (dict(constraints="increasing"), r"constraints is 'increasing'; give a list of them"),
    "a number as constraint": (dict(constraints=[3]), r"3 is neither a regularizer nor a constraint"),
    "tv twice": (
        dict(regularizers=[TotalVariation(1), TotalVariation(2)]),
        r"tv is given twice; a problem holds each term once",
    ),
    "ridge twice": (dict(regularizers=[Ridge(1), TotalVariation(2), Ridge(2)]), r"ridge is given twice"),
    "bounds twice": (
        dict(constraints=[Bounds(lower=0), Bounds(upper=1)]),
        r"bounds is given twice; .*bounds:lower=0,upper=1 sets both",
    ),
    "conflict": (
        dict(constraints=[Nonnegative(), Increasing(), Bounds(upper=-1)]),
        r"nonnegative asks for f ≥ 0 and bounds for f ≤ -1: the two conflict and no fit exists",
    ),
    "ridge as constraint": (
        dict(constraints=[Ridge(0.1)]),
        r"ridge is not a constraint; give it in regularizers, as in regularizers=\[Ridge\(weight=0.1\)\]",
    ),
    "a shape as regularizer": (
        dict(regularizers=[Ridge(), Increasing()]),
        r"increasing is not a regularizer; give it in constraints, as in",
    ),
    "a gram matrix standardized": (
        dict(x=GRAM, kernel=Precomputed(), standardize=True),
        r"standardize measures columns of x",
    ),
    "labels": (dict(loss=Logistic()), r"logistic needs labels 0 and 1, or -1 and 1; y holds"),
    "no such column": (
        dict(constraints=[Increasing(column=1)]),
        r"increasing: column 1 does not exist; there are 1 x columns, counted",
    ),
    "gram is not square": (
        dict(x=GRAM[:, :3], kernel=Precomputed()),
        r"needs the Gram matrix \(n, n\); x has shape \(5, 3\)",
    ),
    "gram is a vector": (dict(kernel=Precomputed()), r"needs the Gram matrix \(n, n\); x has shape \(5, 1\)"),
    "gram is not square where weighted": (
        dict(x=GRAM[:, :3], kernel=Precomputed(), weights=changed(ONES, 1, 0)),
        r"needs the Gram matrix \(n, n\); x has shape",
    ),
    "gram is not symmetric": (
        dict(x=changed(GRAM, (0, 1), 9), kernel=Precomputed()),
        r"the precomputed Gram matrix is not symmetric",
    ),
    "gram is not positive": (
        dict(x=GRAM - 0.5 * np.eye(5), kernel=Precomputed()),
        r"Gram matrix is not positive semidefinite",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_a_sentence(case):
    given, sentence = BAD[case]
    with pytest.raises(InputError, match=sentence) as caught:
        Problem(**({"x": X, "y": Y, "kernel": RBF(3.0)} | given))
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, Hw4Error)
    assert "\n" not in str(caught.value)


def test_what_looks_odd_and_is_fine():
    """Lists, integers, booleans, repeated and unsorted x, a weight of 0, constant x in a linear design, constraints
    that just touch."""
    Problem([1, 2, 3], [True, False, True], kernel=RBF(1), loss=Logistic())
    Problem([1, 1, 2], [1, 2, 3], kernel=RBF(1), weights=[0, 1, 2])
    Problem(ONES, Y, intercept=True)
    Problem(X, Y, kernel=RBF(3.0), constraints=[Nonnegative(), Bounds(upper=0.5), Convex(), Increasing()])
    Problem(GRAM, Y, kernel=Precomputed(), weights=[1, 0, 1, 1, 1])


def test_terms_that_a_design_cannot_carry_are_refused():
    for problem, sentence in (
        (Problem(X, Y, kernel=RBF(1.0), regularizers=[L1()]), "l1 acts on coefficients and needs a linear design"),
        (
            Problem(np.column_stack([X, Y]), Y, kernel=RBF(1.0), regularizers=[TotalVariation()]),
            "tv needs an order along one x column",
        ),
        (
            Problem(GRAM, Y, kernel=Precomputed(), constraints=[Increasing(column=0)]),
            "precomputed kernel has no derivative",
        ),
    ):
        with pytest.raises(RefusedError, match=sentence):
            fit(problem)


# ---- immutable -------------------------------------------------------------------------------------------------------


def test_the_callers_arrays_are_copied():
    given = {name: array.copy() for name, array in {"x": X, "y": Y, "weights": ONES, "offset": ONES}.items()}
    problem = Problem(kernel=RBF(3.0), **given)
    before = fit(Problem(kernel=RBF(3.0), regularizers=[Ridge(0.1)], **given)).fitted
    for array in given.values():
        array[:] = 7
    assert_array_equal(problem.x[:, 0], X)
    assert_array_equal(problem.y, Y)
    assert_array_equal(problem.weights, ONES)
    assert_array_equal(problem.offset, ONES)
    assert_allclose(fit(dataclasses.replace(problem, regularizers=[Ridge(0.1)])).fitted, before, rtol=1e-14)


def test_arrays_are_read_only_and_fields_are_frozen():
    problem = Problem(X, Y, kernel=RBF(3.0), weights=ONES, offset=ONES)
    for name in ("x", "y", "weights", "offset"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(problem, name)[0] = 1
        with pytest.raises(AttributeError):
            setattr(problem, name, ONES)
    terms = [Ridge(1.0)]
    problem = Problem(X, Y, kernel=RBF(3.0), regularizers=terms)
    terms.append(TotalVariation(1.0))
    assert problem.regularizers == (Ridge(1.0),)


# ---- what a problem says of itself -----------------------------------------------------------------------------------


def test_terms_in_order_without_the_ridge():
    problem = Problem(
        X, Y, kernel=RBF(3.0), loss=Huber(), regularizers=[TotalVariation(2), Ridge(0.5)], constraints=[Convex()]
    )
    assert problem.terms == (Huber(), TotalVariation(2), Convex())
    assert problem.ridge == 0.5 and Problem(X, Y, kernel=RBF(3.0)).ridge == 0.0
    assert problem.hyperparameters == {"gamma": 3.0, "ridge": 0.5, "tv": 2}


def test_hyperparameters_of_other_designs():
    assert Problem(X, Y, kernel=RBF(3.0)).hyperparameters == {"gamma": 3.0, "ridge": 0.0}
    assert Problem(X, Y, regularizers=[L1(2.0)]).hyperparameters == {"l1": 2.0}
    assert Problem(GRAM, Y, kernel=Precomputed(), regularizers=[Ridge(0.2)]).hyperparameters == {"ridge": 0.2}


def test_rows_of_weight_zero_are_removed_before_anything_is_built():
    weights = np.array([1.0, 0.0, 2.0, 1.0, 1.0])
    problem = Problem(X, Y, kernel=RBF(3.0), weights=weights)
    assert_array_equal(problem.active, [0, 2, 3, 4])
    assert_array_equal(problem.active_x[:, 0], X[[0, 2, 3, 4]])
    assert_array_equal(problem.design.base_x[:, 0], np.sort(X[[0, 2, 3, 4]]))
    assert Problem(X, Y, kernel=RBF(3.0), weights=ONES).active is None
    gram = Problem(GRAM, Y, kernel=Precomputed(), weights=weights)
    assert_array_equal(gram.active_x, GRAM[np.ix_([0, 2, 3, 4], [0, 2, 3, 4])])
    assert_array_equal(gram.features(GRAM[:2]), GRAM[:2][:, [0, 2, 3, 4]])


def test_a_row_of_weight_zero_is_no_row_at_all():
    weights = np.array([1.0, 0.0, 2.0, 1.0, 1.0])
    rest = weights > 0
    terms = {
        "loss": Huber(0.3),
        "regularizers": [Ridge(0.1), TotalVariation(0.2), Trend(0.05)],
        "constraints": [Increasing()],
    }
    some = fit(Problem(X, Y, RBF(30.0), weights=weights, offset=0.1 * Y, **terms))
    alone = fit(Problem(X[rest], Y[rest], RBF(30.0), weights=weights[rest], offset=0.1 * Y[rest], **terms))
    assert_allclose(some.predict(X), alone.predict(X), atol=1e-9)


def test_standardize_measures_columns_in_their_spread():
    x = np.column_stack([1e6 * X, 1e-3 * X[::-1], np.full(5, 4.0)])
    problem = Problem(x, Y, kernel=RBF(0.7), regularizers=[Ridge(0.1)], standardize=True, weights=[1, 1, 1, 1, 0])
    kept = x[:4]
    spread = np.where(kept.std(axis=0) > 0, kept.std(axis=0), 1)
    assert_allclose(problem.scaling[0], kept.mean(axis=0))
    assert_allclose(problem.scaling[1], spread)
    assert_allclose(problem.features(x), (x - kept.mean(axis=0)) / spread, atol=1e-12)
    byhand = fit(Problem((kept - kept.mean(axis=0)) / spread, Y[:4], kernel=RBF(0.7), regularizers=[Ridge(0.1)]))
    assert_allclose(fit(problem).predict(kept), byhand.fitted, atol=1e-9)
    assert_array_equal(Problem(x, Y, kernel=RBF(0.7)).scaling, [np.zeros(3), np.ones(3)])


@pytest.mark.parametrize("n", [12, 5000])
@pytest.mark.parametrize("kernel", [RBF(1.0), None], ids=["kernel", "linear"])
def test_a_constant_column_is_not_measured_in_the_rounding_of_its_mean(kernel, n):
    x = np.column_stack([np.linspace(0, 1, n), np.full(n, 0.1)])
    assert x[:, 1].std() > 0  # of rounding alone
    result = fit(
        Problem(x, np.sin(5 * x[:, 0]), kernel=kernel, regularizers=[Ridge(0.01)], intercept=True, standardize=True)
    )
    assert_allclose(result.problem.scaling[1][1], 1)
    assert abs(result.predict([0.5, 0.11])[0] - result.predict([0.5, 0.1])[0]) < 1e-3


def test_a_column_far_from_0_is_measured_in_its_spread():
    x = 1e15 + np.arange(8.0)
    assert_allclose(Problem(x, x - 1e15, kernel=RBF(1.0), standardize=True).scaling[1], np.arange(8.0).std(), rtol=0.1)


@pytest.mark.parametrize("terms", [[], [TotalVariation(0.1)]], ids=["alone", "tv"])
@pytest.mark.parametrize("loss", [Squared(), Huber(), Absolute(), Quantile(0.3)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("width", [0.01, 0.02, 0.0425, 0.1])
def test_weights_that_fall_to_nothing_leave_a_fit(loss, terms, width):
    x = np.linspace(0, 1, 20)
    weights = np.exp(-np.square((x - 0.5) / width))  # 0.1 … 0.01: least 1e-11, 8e-61, 4e-272, 0
    problem = Problem(x, np.sin(5 * x) + 0.1 * np.cos(40 * x), RBF(5.0), loss, [Ridge(0.1), *terms], weights=weights)
    result = fit(problem).raise_for_status()
    kept = weights > 1e-60 * weights.max()
    alone = fit(dataclasses.replace(problem, weights=np.where(kept, weights, 0)))
    assert_array_equal(result.problem.active if not kept.all() else np.arange(20), np.flatnonzero(kept))
    assert_array_equal(result.fitted, alone.fitted)


def test_new_x_must_have_the_columns_of_the_fit():
    wide = Problem(np.column_stack([X, Y]), Y, kernel=RBF(1.0))
    assert wide.features([[1, 2]]).shape == (1, 2) and wide.features([1, 2]).shape == (1, 2)
    assert Problem(X, Y, kernel=RBF(1.0)).features([1, 2, 3]).shape == (3, 1)
    for problem, x in ((wide, [1, 2, 3]), (wide, [[1.0]]), (Problem(X, Y, kernel=RBF(1.0)), [[1, 2]])):
        with pytest.raises(InputError, match=rf"x has \d columns; the fit has {problem.x.shape[1]}"):
            problem.features(x)
    with pytest.raises(InputError, match="x holds nan in row 1"):
        wide.features([[1, 2], [np.nan, 1]])


# ---- another problem from this one -----------------------------------------------------------------------------------


def test_with_hyperparameters_changes_what_is_named_and_nothing_else():
    problem = Problem(
        X, Y, RBF(3.0), Huber(1.0), [TotalVariation(0.2), Ridge(0.5)], [Bounds(0, 9)], ONES, 0 * ONES, True, True
    )
    other = problem.with_hyperparameters(
        {"gamma": 5.0, "ridge": 0.25, "tv": 0.75, "huber.delta": 2.0, "bounds.upper": 4.0}
    )
    assert other.kernel == RBF(5.0) and other.loss == Huber(2.0)
    assert other.regularizers == (TotalVariation(0.75), Ridge(0.25)) and other.constraints == (Bounds(0, 4.0),)
    assert other.intercept and other.standardize
    for name in ("x", "y", "weights", "offset"):
        assert_array_equal(getattr(other, name), getattr(problem, name))
    assert (
        problem.kernel == RBF(3.0)
        and problem.loss == Huber(1.0)
        and problem.regularizers == (TotalVariation(0.2), Ridge(0.5))
    )
    assert problem.with_hyperparameters({}).hyperparameters == problem.hyperparameters


def test_with_hyperparameters_adds_a_ridge_that_was_not_given():
    other = Problem(X, Y, RBF(3.0), regularizers=[TotalVariation(0.2)]).with_hyperparameters({"ridge": 0.25})
    assert set(other.regularizers) == {TotalVariation(0.2), Ridge(0.25)}


def test_with_hyperparameters_keeps_a_kernels_other_parameters():
    other = Problem(X, Y, Polynomial(1.0, 4, 2.0)).with_hyperparameters({"gamma": 3.0})
    assert other.kernel == Polynomial(3.0, 4, 2.0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"tv": 1.0}, r"no hyper-parameter 'tv'; there are gamma, ridge"),
        ({"nonsense": 1.0}, r"no hyper-parameter 'nonsense'; there are gamma, ridge"),
        ({"huber": 1.0}, r"huber"),
        ({"huber.nonsense": 1.0}, r"huber.*nonsense"),
        ({"ridge.nonsense": 1.0}, r"ridge.*nonsense"),
        ({"gamma": -1.0}, r"rbf: gamma is -1.0; it must be a number above 0"),
        ({"ridge": -1.0}, r"ridge: weight is -1.0"),
        ({"ridge": float("nan")}, r"ridge: weight is nan"),
        ({"huber.delta": 0.0}, r"huber: delta is 0.0"),
    ],
)
def test_with_hyperparameters_refuses_in_a_sentence(values, sentence):
    with pytest.raises(InputError, match=sentence):
        Problem(X, Y, RBF(3.0), Huber()).with_hyperparameters(values)


@pytest.mark.parametrize("problem", [Problem(X, Y), Problem(GRAM, Y, Precomputed())], ids=["linear", "precomputed"])
def test_gamma_of_a_design_without_one_is_refused(problem):
    with pytest.raises(InputError, match="no hyper-parameter 'gamma'"):
        problem.with_hyperparameters({"gamma": 1.0})


def test_a_design_is_shared_until_the_kernel_changes():
    problem = Problem(X, Y, RBF(3.0), Huber(), [Ridge(0.5)])
    design = problem.design
    assert problem.with_hyperparameters({"ridge": 0.25, "huber.delta": 2.0}).design is design
    fresh = problem.with_hyperparameters({"gamma": 5.0})
    assert fresh.design is not design and fresh.design.kernel == RBF(5.0)


@pytest.mark.parametrize(
    "second",
    [
        lambda problem: Problem(X, 2 * Y, RBF(3.0), Huber(), [Ridge(0.5)]),
        lambda problem: dataclasses.replace(problem, y=2 * Y),
        lambda problem: problem.with_hyperparameters({"ridge": 0.25}),
    ],
    ids=["anew", "replaced", "with hyper-parameters"],
)
def test_a_batch_shares_one_design(second):
    """The basis is the costly part: a batch builds it once, and its results predict from that one."""
    problem = Problem(X, Y, RBF(3.0), Huber(), [Ridge(0.5)])
    one, other = fit_batch([problem, second(problem)])
    assert other.design is one.design
    assert_allclose(other.predict(X), fit(other.problem).predict(X), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": X + 1}, "problem 1 of the batch differs from the first in x, kernel, intercept or rows of weight 0"),
        ({"kernel": RBF(4.0)}, "problem 1 of the batch differs from the first in x, kernel"),
        ({"intercept": True}, "problem 1 of the batch differs from the first in x, kernel, intercept"),
        ({"weights": [1, 1, 0, 1, 1]}, "problem 1 of the batch differs .* rows of weight 0"),
        ({"loss": Squared()}, "problem 1 of the batch has other terms than the first"),
        ({"regularizers": [Ridge(0.5), Trend(1.0)]}, "problem 1 of the batch has other terms than the first"),
        (
            {"constraints": [Bounds(lower=0)]},
            "problem 1 of the batch has bounds on other sides than the first; a batch shares them",
        ),
        ({"constraints": [Bounds(upper=3)]}, "problem 1 of the batch has bounds on other sides"),
        ({"constraints": [Bounds(lower=-9, upper=4)]}, None),
        ({"regularizers": []}, None),
        ({"weights": [1, 1, 3, 1, 1], "offset": Y, "y": Y + 1, "loss": Huber(3.0)}, None),
    ],
)
def test_a_batch_shares_x_kernel_and_kinds_of_terms(change, sentence):
    problem = Problem(X, Y, RBF(3.0), Huber(), [Ridge(0.5)], [Bounds(lower=-5, upper=5)])
    other = dataclasses.replace(problem, **change)
    if sentence is None:
        assert canonicalize([problem, other]).batch == 2
    else:
        with pytest.raises(InputError, match=sentence):
            canonicalize([problem, other])


def test_an_empty_batch_is_refused():
    with pytest.raises(InputError, match="there is no problem to solve"):
        fit_batch([])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"solver": "nonsense"}, "no solver 'nonsense'.*; there are admm, auto"),
        ({"solver": "interor"}, "did you mean 'interior'"),
        ({"solver": "admm:OSQP"}, "only cvxpy and qp take a name after a colon"),
        ({"tol": 0}, "tol is 0; it must lie between 0 and 1"),
        ({"tol": float("nan")}, "tol is nan"),
        ({"max_iterations": 0}, "max_iterations is 0; it must be 1 or more"),
    ],
)
def test_options_out_of_range_are_named(options, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(Problem(X, Y, RBF(3.0), regularizers=[Ridge(0.1)]), **options)


@pytest.mark.parametrize(
    "loss", [Squared(), Huber(), Absolute(), Quantile(0.3), EpsilonInsensitive(0.1)], ids=lambda loss: loss.name
)
def test_offset_is_added_to_the_fit_in_the_loss_alone(loss):
    """A residual loss sees f + o - y: the same problem as targets y - o."""
    offset = np.array([0.3, -0.2, 0.5, 0.0, 1.0])
    one = fit(Problem(X, Y, RBF(30.0), loss, [Ridge(0.1), TotalVariation(0.2)], offset=offset))
    other = fit(Problem(X, Y - offset, RBF(30.0), loss, [Ridge(0.1), TotalVariation(0.2)]))
    assert one.objective == pytest.approx(other.objective, rel=1e-9)
    assert_allclose(one.predict(X), other.predict(X), atol=1e-6)
    assert_allclose(one.fitted, one.predict(X) + offset, rtol=1e-12)
