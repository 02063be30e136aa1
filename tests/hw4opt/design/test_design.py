"""Base rows, functionals and folds of a design: against dense algebra written here, by hand or by differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dense_rows import divided, uneven
from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Convex,
    Decreasing,
    Huber,
    Increasing,
    InputError,
    Logistic,
    Matern52,
    Problem,
    Quantile,
    RefusedError,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.design import Design
from hw4opt.fit import prove
from hw4opt.form import BoxRows
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify
from hw4opt.solvers import load_solver
from hw4opt.terms import Coefficients, Differences, Slope, Values

# ---- base rows and designs -------------------------------------------------------------------------------------------


def test_base_rows_of_one_column_are_distinct_and_sorted():
    x = np.array([0.5, -1.0, 0.5, 2.0, -1.0, 0.25])
    design = Design(x[:, None], RBF(1.0), False)
    assert_array_equal(design.base_x[:, 0], [-1, 0.25, 0.5, 2])
    assert_array_equal(design.base_x[design.row_of, 0], x)
    assert_allclose(design.rows(Values(), "").take(design.matrix), design.evaluate(x[:, None]), atol=1e-12)


def test_sorted_x_and_several_columns_keep_their_rows():
    x = np.array([[0.0], [0.5], [2.0]])
    assert Design(x, RBF(1.0), False).row_of is None
    twice = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]])
    design = Design(twice, RBF(1.0), False)
    assert design.row_of is None
    assert_array_equal(design.base_x, twice)


def test_the_linear_design_is_x_with_its_coefficients_and_slopes():
    x = np.random.default_rng(12).normal(size=(6, 3))
    design = Design(x, None, True, (1,))
    assert_array_equal(design.rows(Values(), "").take(design.matrix), np.column_stack([x, np.ones(6)]))
    assert_array_equal(design.rows(Slope(1), "increasing").take(design.matrix), np.tile([0, 1, 0, 0], (6, 1)))
    assert_array_equal(design.rows(Coefficients(), "l1").take(design.matrix), np.eye(4)[:3])
    assert_array_equal(design.penalized, [True, True, True, False])
    assert_array_equal(design.evaluate(x[:2]), np.column_stack([x[:2], np.ones(2)]))
    assert_allclose(design.diagonal(x), np.square(x).sum(axis=1))
    assert Design(x, None, False).penalized.all() and design.reduced is None


@pytest.mark.parametrize(
    ("columns", "kernel", "acts", "owner", "error", "sentence"),
    [
        (
            2,
            RBF(1.0),
            Differences(1),
            "tv",
            RefusedError,
            "tv needs an order along one x column and there are 2; give one x column",
        ),
        (
            2,
            RBF(1.0),
            Differences(1),
            "increasing",
            RefusedError,
            "increasing needs an order .* give increasing:column=NAME",
        ),
        (1, RBF(1.0), Coefficients(), "l1", RefusedError, "l1 acts on coefficients and needs a linear design"),
        (2, RBF(1.0), Slope(5), "decreasing", InputError, "decreasing: column 5 does not exist; there are 2 x columns"),
    ],
)
def test_functionals_that_a_design_lacks_are_refused(columns, kernel, acts, owner, error, sentence):
    design = Design(np.random.default_rng(13).normal(size=(8, columns)), kernel, False)
    with pytest.raises(error, match=sentence):
        design.rows(acts, owner)


def test_dual_coef_stands_on_the_first_row_of_each_x():
    design = Design(np.array([0.5, -1.0, 0.5, 2.0])[:, None], RBF(1.0), False)
    assert_allclose(design.dual_coef(np.array([2.0, 4.0, 6.0]), 0.5), [-4, -2, 0, -6])


# ---- folds: a held-out row is not a row of weight 0 ------------------------------------------------------------------

SHAPES = [
    ([TotalVariation(0.3)], []),
    ([Trend(0.05)], []),
    ([Trend(0.02, order=3)], []),
    ([], [Increasing()]),
    ([], [Convex()]),
    ([TotalVariation(0.3)], [Bounds(-0.5, 0.5)]),
    ([], [Decreasing(column=0)]),
]
LAYOUTS = {
    "sorted": np.sort(uneven(13)),
    "unsorted": uneven(13),
    "ties": np.round(uneven(13) * 8) / 8,
}
FOLDS = {
    "one out": [np.array([row]) for row in range(13)],
    "four folds": [np.flatnonzero(np.random.default_rng(18).permutation(13) % 4 == fold) for fold in range(4)],
    "ends and none": [np.array([], dtype=int), np.array([0]), np.array([0, 1, 12]), np.arange(5, 13)],
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_folds = pytest.mark.parametrize("folds", FOLDS)
every_shape = pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: "-".join(str(term) for part in shape for term in part)
)


def _targets(x, seed):
    return np.sin(6 * x) + 0.2 * np.random.default_rng(seed).normal(size=len(x))


def objective_by_hand(problem, f, slope=None):
    """Σ ω loss + penalties but the ridge, and the worst violated row, of a function with values f (and slopes) at the
    problem's rows."""
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    z = f + (0 if problem.offset is None else problem.offset)
    y = problem.y
    rows = (
        problem.loss.pointwise(z, problem.loss.check_targets(y))
        if problem.loss.targets
        else problem.loss.pointwise(z - y)
    )
    total, worst = float(weights @ rows), 0.0
    order = np.unique(problem.x[:, 0], return_index=True)
    for term in problem.terms[1:]:
        match term.acts:
            case Differences(k):
                row = divided(order[0], k) @ f[order[1]]
            case Slope(_):
                row = slope
            case _:
                row = f
        if isinstance(term, TotalVariation | Trend):
            total += term.weight * float(np.abs(row).sum())
        else:
            inside = {"increasing": -row, "convex": -row, "decreasing": row}.get(term.name)
            outside = np.concatenate([row - term.upper, term.lower - row]) if inside is None else inside
            worst = max(worst, float(outside.max(initial=0)))
    return total, worst


@pytest.mark.thinned(4)
@every_shape
@every_layout
@every_folds
@pytest.mark.parametrize("loss", [Huber(0.3), Quantile(0.8), Logistic()], ids=lambda loss: loss.name)
def test_a_folds_objective_is_that_of_the_rows_that_remain(shape, layout, folds, loss):
    """The form's objective at random functions, and its violated rows, against the remaining rows' by hand: no solver
    takes part."""
    x, random = LAYOUTS[layout], np.random.default_rng(19)
    y = _targets(x, 20) > 0 if isinstance(loss, Logistic) else _targets(x, 20)
    weights, offset = random.uniform(0.5, 2, size=13), 0.1 * random.normal(size=13)
    problem = Problem(x, y, RBF(60.0), loss, [Ridge(0.1), *shape[0]], shape[1], weights, offset, intercept=True)
    held = FOLDS[folds]
    form = canonicalize([problem] * len(held), held_out=held)
    design = problem.design
    w = random.normal(size=form.penalty.shape)
    values = design.rows(Values(), "").take(design.matrix)
    by_fold = _violated(form, w)
    certificates = certify(form, w, np.zeros((len(held), form.size))).certificates
    for one, out, point, worst in zip(certificates, held, w, by_fold, strict=True):
        rest = np.delete(np.arange(13), out)
        reduced = Problem(
            x[rest], problem.y[rest], RBF(60.0), loss, problem.regularizers, shape[1], weights[rest], offset[rest]
        )
        slope = (
            design.rows(Slope(0), "").take(design.matrix)[_base_rows(design)][rest] @ point if design.slopes else None
        )
        total, outside = objective_by_hand(reduced, values[rest] @ point + problem.level, slope)
        assert one.objective - 0.1 * np.square(point[:-1]).sum() == pytest.approx(total, rel=1e-10)
        assert worst == pytest.approx(outside, rel=1e-9, abs=1e-12)
        assert (one.violation > 0) == (outside > 0)


def _base_rows(design):
    return np.arange(len(design.x)) if design.row_of is None else design.row_of


def _violated(form, w):
    """The worst violated row of each problem, from the form: rows with a conjugate that is linear and bounded on one
    side."""
    worst, z = np.zeros(form.batch), form.forward(w)
    for block in form.blocks:
        rows = block.rows
        if isinstance(rows, BoxRows) and not rows.quadratic.any():
            sign = np.where(np.isinf(rows.high), 1, np.where(np.isinf(rows.low), -1, 0))
            worst = np.maximum(worst, ((z[:, block.span] - rows.shift) * sign).max(axis=1, initial=0))
    return worst


@pytest.mark.thinned(5)
@every_shape
@every_layout
@pytest.mark.parametrize("folds", ["one out", "four folds"])
def test_a_fold_predicts_as_the_fit_without_its_rows(shape, layout, folds):
    """At every x, held-out ones included: to 1e-7 of y's spread, or to the two proven bounds where these are wider."""
    x, held, kernel = LAYOUTS[layout], FOLDS[folds], Matern52(20.0)  # of full rank here: nothing is left over
    problem = Problem(x, _targets(x, 21), kernel, Huber(0.3), [Ridge(0.1), *shape[0]], shape[1])
    form = canonicalize([problem] * len(held), held_out=held)
    proof, statuses = prove(form, load_solver("interior").solve(form, Options(tol=1e-10)), 1e-9)
    assert set(statuses) == {Status.CERTIFIED}
    found = problem.design.evaluate(x[:, None]) @ proof.w.T
    errors, spread = [], problem.y.std()
    for out, predicted, certificate in zip(held, found.T, proof.certificates, strict=True):
        rest = np.delete(np.arange(13), out)
        alone = fit(Problem(x[rest], problem.y[rest], kernel, problem.loss, problem.regularizers, shape[1]), tol=1e-10)
        errors.append(np.abs(predicted - alone.predict(x)).max() / spread)
        assert errors[-1] <= max(1e-7, (certificate.norm_bound + alone.prediction_error_bound) / spread)
    assert np.median(errors) <= 1e-7


def test_a_linear_designs_fold_is_the_fit_without_its_rows():
    random = np.random.default_rng(22)
    x = random.normal(size=(12, 3))
    y = x @ [1, 0, -2] + 0.3 * random.normal(size=12)
    problem = Problem(x, y, None, Absolute(), [Ridge(0.1), L1(0.5)], [Increasing(column=0)], intercept=True)
    held = [np.array([row]) for row in range(12)]
    form = canonicalize([problem] * 12, held_out=held)
    answer = load_solver("interior").solve(form, Options(tol=1e-11))
    for row, w in enumerate(answer.w):
        rest = np.delete(np.arange(12), row)
        alone = fit(
            Problem(x[rest], y[rest], None, problem.loss, problem.regularizers, problem.constraints, intercept=True),
            tol=1e-11,
        )
        assert_allclose(np.append(x[row], 1) @ w + problem.level, alone.predict(x[row])[0], atol=1e-7 * y.std())


def test_folds_of_several_problems_and_of_rows_of_weight_zero():
    """Folds count the rows of weight above 0, and every problem of the batch has its own."""
    x = uneven(10)
    weights = np.ones(10)
    weights[[2, 7]] = 0
    active = np.flatnonzero(weights)
    problems = [
        Problem(x, _targets(x, seed), RBF(60.0), Squared(), [Ridge(0.1), TotalVariation(0.2)], weights=weights)
        for seed in (1, 2)
    ]
    held = [np.array([0, 3]), np.array([7])]
    form = canonicalize(problems, held_out=held)
    answer = load_solver("interior").solve(form, Options(tol=1e-11))
    for problem, out, w in zip(problems, held, answer.w, strict=True):
        rest = np.delete(active, out)
        alone = fit(Problem(x[rest], problem.y[rest], RBF(60.0), Squared(), problem.regularizers), tol=1e-11)
        assert_allclose(problem.design.evaluate(x[:, None]) @ w, alone.predict(x), atol=1e-7 * problem.y.std())
