"""Held-out errors: every fold against a refit on a basis rebuilt without its rows, and the search on top of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import LeaveOneOut

import hw4opt.selection.choose as choosing
import hw4opt.selection.plan as planning
from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    InputError,
    Laplacian,
    Logistic,
    Matern52,
    Nonnegative,
    Poisson,
    Polynomial,
    Precomputed,
    Problem,
    Quantile,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    Trend,
    fit,
)
from hw4opt.assignment import PARTS
from hw4opt.datasets import step_data
from hw4opt.selection import exact, k_fold, leave_one_out, score_settings, select
from hw4opt.selection.ranges import default_range

NEAR = 1e-6  # standard deviations of y between a held-out prediction and the refit's


def rough(n=14, seed=0):
    """Unsorted x with ties (also at both ends), a rising signal with noise, two outliers, weights of which two are
    0."""
    draw = np.random.default_rng(seed)
    x = np.round(draw.uniform(0, 3, n), 1)
    x[1], x[4] = x.min(), x[7]
    y = x + 0.5 * np.sin(2 * x) + 0.2 * draw.standard_normal(n)
    y[[3, n - 2]] += [4, -3]
    weights = draw.uniform(0.2, 2, n)
    weights[[2, 9]] = 0
    return x, y, weights


X, Y, W = rough()
WIDE = np.random.default_rng(5).standard_normal((14, 3))
LINE = WIDE @ [1.0, -2.0, 0.0] + 1 + 0.5 * np.random.default_rng(6).standard_t(2, 14)
COUNTS = np.floor(3 * np.clip(Y, 0, 6))
LABELS = np.where(np.median(Y) < Y, 1.0, -1.0)


def curve(loss, *others, ridge=0.1, constraints=(), kernel=None, y=Y, weights=None):
    return Problem(X, y, RBF(5) if kernel is None else kernel, loss, [Ridge(ridge), *others], constraints, weights)


CASES = {
    "squared": curve(Squared()),
    "squared, ridge 1e-4, weights": curve(Squared(), ridge=1e-4, weights=W),
    "huber": curve(Huber(0.3), weights=W),
    "huber, ridge 1e-4": curve(Huber(0.3), ridge=1e-4),
    "absolute": curve(Absolute()),
    "absolute, weights": curve(Absolute(), ridge=0.01, weights=W),
    "quantile": curve(Quantile(0.8), weights=W),
    "epsilon-insensitive": curve(EpsilonInsensitive(0.2)),
    "epsilon-insensitive, ridge 1e-4": curve(EpsilonInsensitive(0.2), ridge=1e-4, weights=W),
    "logistic": curve(Logistic(), y=LABELS, weights=W),
    "logistic, tv": curve(Logistic(), TotalVariation(0.2), y=LABELS),
    "logistic, increasing": curve(Logistic(), y=LABELS, constraints=[Increasing()]),
    "logistic, ridge 1e-3, matern": curve(Logistic(), y=LABELS, ridge=1e-3, kernel=Matern52(1)),
    "logistic, linear, intercept": Problem(
        WIDE, LABELS, loss=Logistic(), regularizers=[Ridge(0.1)], intercept=True, weights=W
    ),
    "poisson": curve(Poisson(), y=COUNTS, weights=W),
    "truncated": curve(Poisson(truncated=True), y=COUNTS + 1, weights=W),
    "truncated, linear": Problem(
        WIDE, COUNTS + 1, loss=Poisson(truncated=True), regularizers=[Ridge(0.1)], intercept=True
    ),
    "poisson, tv": curve(Poisson(), TotalVariation(0.2), y=COUNTS),
    "poisson, linear, offset": Problem(
        WIDE, COUNTS, loss=Poisson(), regularizers=[Ridge(0.1)], intercept=True, offset=np.log1p(X), weights=W
    ),
    "tv": curve(Squared(), TotalVariation(0.4), weights=W),
    "tv, ridge 1e-4": curve(Squared(), TotalVariation(2), ridge=1e-4),
    "huber, tv": curve(Huber(0.3), TotalVariation(0.4)),
    "absolute, tv": curve(Absolute(), TotalVariation(0.2), weights=W),
    "quantile, tv": curve(Quantile(0.3), TotalVariation(0.1), kernel=Laplacian(1)),
    "trend 2": curve(Squared(), Trend(0.05)),
    "huber, tv, trend 2": curve(Huber(0.3), TotalVariation(0.1), Trend(0.02), weights=W),
    "absolute, trend 2": curve(Absolute(), Trend(0.05)),
    "trend 3": curve(Squared(), Trend(0.02, order=3)),
    "increasing": curve(Squared(), constraints=[Increasing()], weights=W),
    "increasing, ridge 1e-4": curve(Squared(), ridge=1e-4, constraints=[Increasing()]),
    "huber, increasing, bounds": curve(Huber(0.3), constraints=[Increasing(), Bounds(0.2, 2.5)]),
    "absolute, increasing": curve(Absolute(), constraints=[Increasing()]),
    "convex": curve(Squared(), constraints=[Convex()]),
    "huber, convex": curve(Huber(0.3), constraints=[Convex()], weights=W),
    "concave, increasing": curve(Squared(), constraints=[Concave(), Increasing()], kernel=Matern52(1)),
    "decreasing, tv": curve(Squared(), TotalVariation(0.3), constraints=[Decreasing()], y=-Y),
    "bounds": curve(Squared(), constraints=[Bounds(0.5, 2)]),
    "absolute, nonnegative": curve(Absolute(), constraints=[Nonnegative()], y=Y - 1, weights=W),
    "nonnegative": curve(Squared(), constraints=[Nonnegative()], y=Y - 1),
    "kernel, intercept": Problem(X, Y, RBF(2), Huber(0.3), [Ridge(0.1)], intercept=True, weights=W),
    "linear, l1, ridge": Problem(WIDE, LINE, loss=Huber(0.5), regularizers=[L1(2), Ridge(0.1)]),
    "linear, l1, intercept": Problem(WIDE, LINE, loss=Squared(), regularizers=[L1(2)], intercept=True),
    "linear, absolute, ridge": Problem(WIDE, LINE, loss=Absolute(), regularizers=[Ridge(0.1)], weights=W),
    "two columns": Problem(WIDE[:, :2], LINE, RBF(0.5), Squared(), [Ridge(0.1)], [Increasing(0), Decreasing(1)]),
    "offset": Problem(X, Y, RBF(5), Huber(0.3), [Ridge(0.1), TotalVariation(0.2)], [Bounds(upper=1.5)], offset=0.5 * X),
}
ORACLE = ["huber, ridge 1e-4", "epsilon-insensitive", "huber, tv, trend 2", "increasing, ridge 1e-4",
          "absolute, nonnegative", "linear, l1, intercept"]  # fmt: skip


def without(problem, rows):
    """The problem of the rows that remain: nothing of the others is left."""
    kept = np.delete(np.arange(len(problem.y)), rows)
    columns = {name: getattr(problem, name) for name in ("weights", "offset")}
    columns = {name: None if column is None else column[kept] for name, column in columns.items()}
    return dataclasses.replace(problem, x=problem.x[kept], y=problem.y[kept], **columns)


def refits(problem, solve, folds=None):
    """Held-out predictions of f + offset, each from a problem of its own; NaN where the weight is 0."""
    active = np.arange(len(problem.y)) if problem.active is None else problem.active
    predicted = np.full(len(problem.y), np.nan)
    for held in active[:, None] if folds is None else [active[fold] for fold in folds]:
        result = solve(without(problem, held))
        predicted[held] = result.predict(problem.x[held]) + (0 if problem.offset is None else problem.offset[held])
    return predicted


def tight(problem):
    result = fit(problem, tol=1e-12)
    assert result.certificate.gap is not None and result.certificate.gap <= 1e-12 * abs(result.objective)
    return result


def loo(problem):
    active = len(problem.y) if problem.active is None else len(problem.active)
    return score_settings([problem], leave_one_out(active))[0]


def agree(problem, found, expected):
    assert np.array_equal(
        np.isnan(found), problem.weights == 0 if problem.weights is not None else np.zeros(len(found), dtype=bool)
    )
    assert_allclose(found, expected, rtol=0, atol=NEAR * np.std(problem.y))


def test_the_data_hold_what_they_should():
    ends = (X.min() == X).sum(), (X.max() == X).sum()
    assert len(np.unique(X)) < len(X) - 1 and max(ends) > 1 and min(ends) == 1
    assert (W == 0).sum() == 2 and W[[0, 13]].min() > 0


@pytest.mark.parametrize("name", CASES)
def test_leave_one_out_is_a_refit_without_the_row(name):
    score = loo(CASES[name])
    agree(CASES[name], score.predictions, refits(CASES[name], tight))
    assert score.largest_gap <= 1e-9


@pytest.mark.parametrize("name", [*ORACLE[::2], *(pytest.param(name, marks=pytest.mark.slow) for name in ORACLE[1::2])])
def test_leave_one_out_is_clarabels_refit(name, oracle):
    agree(CASES[name], loo(CASES[name]).predictions, refits(CASES[name], oracle))


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(8, 14))
    x = rng.uniform(0, 3, n)
    x = np.round(x, 1) if draw(st.booleans()) else x
    y = np.sin(2 * x) + x + 0.3 * rng.standard_normal(n)
    if draw(st.booleans()):
        y[rng.integers(n)] += 5
    weights = None
    if draw(st.booleans()):
        weights = rng.uniform(0.1, 2, n)
        weights[rng.integers(n)] = 0
    loss = draw(
        st.sampled_from([Squared(), Huber(0.3), Absolute(), Quantile(0.7), EpsilonInsensitive(0.2), Logistic()])
    )
    y = np.where(y > np.median(y), 1.0, -1.0) if isinstance(loss, Logistic) else y
    ridge = Ridge(10.0 ** draw(st.floats(-4, 1)))
    weight = 10.0 ** draw(st.floats(-2, 1))
    others = draw(
        st.sampled_from(
            [(), (TotalVariation(weight),), (Trend(weight),), (TotalVariation(weight), Trend(0.1 * weight))]
        )
    )
    shapes = draw(
        st.sampled_from(
            [(), (Increasing(),), (Convex(),), (Bounds(-0.5, 2.5),), (Nonnegative(),), (Increasing(), Concave())]
        )
    )
    kernel = draw(st.sampled_from([RBF(1.0), RBF(20.0), Laplacian(1.0), Matern52(2.0)]))
    return Problem(x, y, kernel, loss, [ridge, *others], shapes, weights)


@pytest.mark.slow
@settings(max_examples=40)
@given(problems())
def test_leave_one_out_is_a_refit_for_any_problem(problem):
    assume(len(np.unique(problem.active_x)) > 3)
    agree(problem, loo(problem).predictions, refits(problem, tight))


@pytest.mark.parametrize("ridge", [1e-4, 0.13, 10])
def test_kernel_ridge_is_the_textbook_formula_and_the_explicit_loop(ridge):
    data = step_data()
    x, y, gamma = data.x[:, None], data.y, 81.42
    found = loo(Problem(x, y, RBF(gamma), Squared(), [Ridge(ridge)]))
    gram = np.exp(-gamma * np.square(x - x.T))
    hat = np.linalg.solve(gram + ridge * np.eye(50), gram)
    residual = (y - hat @ y) / (1 - np.diag(hat))
    atol = NEAR * np.std(y)
    assert_allclose(y - found.predictions, residual, rtol=0, atol=atol)
    peer = KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma)
    loop = [peer.fit(x[kept], y[kept]).predict(x[held])[0] for kept, held in LeaveOneOut().split(x)]
    assert_allclose(found.predictions, loop, rtol=0, atol=atol)
    assert_allclose(found.score, np.mean(np.square(residual)), rtol=1e-6)
    assert_allclose(found.standard_error, np.std(np.square(residual)) / np.sqrt(50), rtol=1e-6)


def test_the_score_is_the_weighted_mean_over_rows():
    problem = CASES["huber"]
    found = {
        metric: score_settings([problem], leave_one_out(12), metric)[0] for metric in ("loss", "squared", "absolute")
    }
    kept = W > 0
    apart = np.abs(found["loss"].predictions - Y)[kept]
    huber = np.where(apart <= 0.3, apart**2, 0.3 * (2 * apart - 0.3))
    for metric, errors in {"loss": huber, "squared": apart**2, "absolute": apart}.items():
        assert_allclose(found[metric].score, np.average(errors, weights=W[kept]), rtol=1e-9)
    with pytest.raises(InputError, match="metric is 'cubic'"):
        score_settings([problem], leave_one_out(12), "cubic")


# ---- folds


@pytest.mark.parametrize("order", ["shuffled", "contiguous"])
@pytest.mark.parametrize("name", ["huber, tv", "increasing", "logistic"])
def test_as_many_folds_as_rows_are_leave_one_out(name, order):
    problem = CASES[name]
    size = len(problem.y) if problem.active is None else len(problem.active)
    folds = k_fold(size, size, order=order)
    assert sorted(fold.tolist() for fold in folds) == [[i] for i in range(size)]
    found, every = score_settings([problem], folds)[0], loo(problem)
    assert_allclose(found.predictions, every.predictions, rtol=0, atol=1e-9)
    assert_allclose([found.score, found.standard_error], [every.score, every.standard_error], rtol=1e-8)


@pytest.mark.parametrize(
    "name", ["squared", "huber, tv, trend 2", "absolute, increasing", "convex", "logistic, tv", "offset"]
)
def test_folds_of_several_rows_are_refits(name):
    problem = CASES[name]
    size = len(problem.y) if problem.active is None else len(problem.active)
    for order in ("shuffled", "contiguous"):
        folds = k_fold(size, 3, order=order, seed=1)
        agree(problem, score_settings([problem], folds)[0].predictions, refits(problem, tight, folds))


def test_shuffled_and_contiguous_folds():
    contiguous = k_fold(23, 5, order="contiguous")
    assert np.array_equal(np.concatenate(contiguous), np.arange(23))
    shuffled, again, other = k_fold(23, 5, seed=3), k_fold(23, 5, seed=3), k_fold(23, 5, seed=4)
    assert np.array_equal(np.sort(np.concatenate(shuffled)), np.arange(23))
    assert not np.array_equal(np.concatenate(shuffled), np.arange(23))
    for folds in (contiguous, shuffled):
        assert {len(fold) for fold in folds} == {4, 5}
    assert all(np.array_equal(a, b) for a, b in zip(shuffled, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(shuffled, other, strict=True))


def test_rows_of_a_group_leave_together():
    labels = np.array(list("abcabcddeeafgb"))
    folds = k_fold(14, 3, groups=labels, seed=2)
    assert np.array_equal(np.sort(np.concatenate(folds)), np.arange(14))
    home = [{labels[row] for row in fold} for fold in folds]
    assert all(home) and sum(map(len, home)) == 7
    problem = CASES["huber, tv"]
    chosen = select(problem, ["ridge"], "kfold:3", "random:2", groups=labels, seed=2)
    agree(problem, chosen.predictions, refits(chosen.problem, tight, folds))


@pytest.mark.parametrize("count", [0, 1, 15])
def test_a_number_of_folds_that_cannot_be_is_refused(count):
    with pytest.raises(InputError, match=rf"^kfold:{count} needs between 2 and 14 folds"):
        k_fold(14, count)
    with pytest.raises(InputError, match=rf"^kfold:{count} needs"):
        select(CASES["squared"], ["ridge"], f"kfold:{count}")


def test_more_folds_than_groups_and_unknown_orders_are_refused():
    with pytest.raises(InputError, match="the 2 groups"):
        k_fold(6, 3, groups=[0, 0, 1, 1, 1, 0])
    with pytest.raises(InputError, match="folds is 'sorted'"):
        k_fold(6, 3, order="sorted")


@pytest.mark.parametrize("count", [18, 30])
def test_groups_are_one_label_a_row(count):
    labels, said = np.arange(count) // 3, rf"^groups has shape \({count},\); it needs one label a row, \(24,\)$"
    with pytest.raises(InputError, match=said):
        k_fold(24, 3, groups=labels)
    for problem in (SMALL, dataclasses.replace(SMALL, weights=np.arange(24) % 2)):
        for method in ("kfold:3", "auto"):
            with pytest.raises(InputError, match=said):
                select(problem, ["ridge"], method, groups=labels)


def test_one_group_alone_is_refused():
    with pytest.raises(InputError, match=r"^there is one group only; .* at least two groups are needed$"):
        k_fold(6, 2, groups=["a"] * 6)
    with pytest.raises(InputError, match="one group only"):
        select(SMALL, ["ridge"], groups=np.zeros(24))


@pytest.mark.parametrize("constraint", [Convex(), Increasing()])
def test_of_two_points_one_remains(constraint):
    """No difference is left: f is the multiple of k(·, x_j) that kernel ridge gives."""
    x, y = np.array([0.0, 0.7]), np.array([2.0, -1.0])
    found = loo(Problem(x, y, RBF(1.5), Squared(), [Ridge(0.2)], [constraint]))
    assert_allclose(found.predictions, np.exp(-1.5 * 0.49) * y[::-1] / 1.2, rtol=1e-9)
    assert found.largest_gap <= 1e-9


@pytest.mark.parametrize("loss", [Squared(), Huber(0.1), Absolute()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("extra", [(), (TotalVariation(0.1),)], ids=["", "tv"])
def test_a_constraint_that_a_fold_makes_vacuous(loss, extra):
    """Three points that convexity binds; of the two that remain it asks nothing."""
    x, y = np.array([0.0, 0.4, 1.0]), np.array([0.0, 2.0, 0.5])
    problem = Problem(x, y, RBF(2), loss, [Ridge(0.05), *extra], [Convex()])
    free = dataclasses.replace(problem, constraints=())
    assert np.abs(fit(problem).fitted - fit(free).fitted).max() > 0.01
    found = loo(problem).predictions
    agree(problem, found, refits(problem, tight))
    agree(problem, found, refits(free, tight))


# ---- exactness on the assignment's data


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_fold_of_the_assignment_is_exact(part):
    problem = part.problem(step_data()).with_hyperparameters(part.reported or {"gamma": 80.0, "ridge": 0.1})
    score = loo(problem)
    assert score.largest_gap <= 1e-12
    assert score.work["anew"] == 0 and sum(score.work.values()) == 50
    assert (score.work["closed"] == 50) == (part.name == "2a")


@pytest.mark.parametrize("name", ["squared", "huber", "huber, tv", "increasing", "absolute, tv"])
def test_settings_scored_together_are_settings_scored_alone(name):
    """Bases of different rank share their rounds."""
    problem = CASES[name]
    weights = {"tv": 1.0} if "tv" in name else {}
    each = [
        problem.with_hyperparameters({"gamma": gamma, "ridge": ridge, **weights})
        for ridge in (1e-3, 0.1, 5)
        for gamma in (0.01, 0.5, 8)
    ]
    together = score_settings(each, leave_one_out(len(problem.design.x)))
    assert len({one.design.matrix.shape[1] for one in each}) > 1
    for one, score in zip(each, together, strict=True):
        assert score.largest_gap <= 1e-9
        assert_allclose(score.predictions, loo(one).predictions, rtol=0, atol=NEAR * np.std(Y))


def test_folds_keep_the_scale_of_the_full_data():
    """gamma means the same in every fold: leave-one-out of x measured beforehand."""
    scaled = (X - X.mean()) / X.std()
    given, before = (
        Problem(x, Y, RBF(3), Huber(0.3), [Ridge(0.05)], standardize=s) for x, s in ((X, True), (scaled, False))
    )
    assert_allclose(loo(given).predictions, loo(before).predictions, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    ["logistic", "logistic, ridge 1e-3, matern", "logistic, linear, intercept", "poisson", "bounds", "decreasing, tv"],
)
def test_few_folds_need_the_interior_point(name):
    score = loo(CASES[name])
    assert score.work["anew"] <= 2 and sum(score.work.values()) >= 12


PATHS = [
    "huber",
    "huber, ridge 1e-4",
    "absolute, tv",
    "huber, tv, trend 2",
    "increasing",
    "huber, convex",
    "epsilon-insensitive",
]


def test_the_path_gives_what_the_rounds_give(monkeypatch):
    """With one round only, every fold whose states change goes along the path."""
    expected = {name: loo(CASES[name]) for name in PATHS}
    lengths, solved, follow = [], [], exact.follow

    def spy(task, out, lines, start):
        follow(task, out, lines, start)
        lengths.append(len(lines))
        solved.append(int((out.rounds[lines] > 0).sum()))

    monkeypatch.setattr(exact, "ROUNDS", 1)
    monkeypatch.setattr(exact, "follow", spy)
    for name in PATHS:
        found = loo(CASES[name])
        assert_allclose(found.predictions, expected[name].predictions, rtol=0, atol=NEAR * np.std(Y), err_msg=name)
        assert found.largest_gap <= 1e-9
    assert len(lengths) >= 5 and sum(solved) >= 0.8 * sum(lengths) > 20


# ---- search


def small(n=24, seed=1):
    draw = np.random.default_rng(seed)
    x = np.sort(draw.uniform(0, 1, n))
    return Problem(x, np.sin(6 * x) + 0.2 * draw.standard_normal(n), RBF(10), Huber(0.5), [Ridge(0.1)])


SMALL = small()


def best_of(chosen):
    return min(chosen.table, key=lambda row: row["score"])


@pytest.mark.parametrize("search", ["zoom", "grid", "random:9"])
def test_a_search_can_be_repeated_and_keeps_its_best(search):
    first, again = (select(SMALL, ["gamma", "ridge"], "loo", search, seed=5) for _ in range(2))
    assert first.table == again.table and np.array_equal(first.predictions, again.predictions)
    best = best_of(first)
    assert first.score == best["score"] and first.problem.hyperparameters == {
        "gamma": best["gamma"],
        "ridge": best["ridge"],
    }
    assert first.fits == 24 * len(first.table) and first.method == "loo" and not first.interrupted
    assert_allclose(first.predictions, loo(first.problem).predictions, rtol=0, atol=1e-9)
    assert first.largest_fold_gap <= 1e-9


def test_searches_differ_as_they_should():
    grid, zoom = (select(SMALL, ["gamma", "ridge"], "loo", search) for search in ("grid", "zoom"))
    named = {"gamma": (1, 2500, 7), "ridge": (1e-4, 10, 7)}
    one, other = (select(SMALL, [], "loo", "random:9", named, seed=seed) for seed in (1, 2))
    assert len(grid.table) == 100 and len(zoom.table) > 49 and len(one.table) == len(other.table) == 9
    assert one.table != other.table
    coarse = min(row["score"] for row in zoom.table[:49])
    assert zoom.score < coarse
    folds = [select(SMALL, ["ridge"], "kfold:4", "grid", seed=seed).predictions for seed in (1, 1, 2)]
    assert np.array_equal(folds[0], folds[1]) and not np.array_equal(folds[0], folds[2])


def test_a_named_grid_is_the_grid_that_is_tried():
    chosen = select(SMALL, ["ridge"], "loo", "grid", grid={"gamma": (1, 100, 3), "ridge": (0.01, 1, 3)})
    assert_allclose(sorted({row["gamma"] for row in chosen.table}), [1, 10, 100])
    assert_allclose(sorted({row["ridge"] for row in chosen.table}), [0.01, 0.1, 1])


@pytest.mark.parametrize(("low", "high", "end"), [(1e3, 1e4, "1000"), (1e-9, 1e-8, "1e-08")])
def test_a_best_setting_on_the_edge_is_a_note(low, high, end):
    chosen = select(SMALL, [], "loo", "grid", grid={"ridge": (low, high, 3)})
    words = f"ridge = {end} lies on the edge", "`grid={'ridge': (low, high, count)}`"
    assert [note for note in chosen.notes if all(word in note for word in words)] == chosen.notes != []
    inside = select(SMALL, [], "loo", "grid", grid={"ridge": (1e-6, 1e4, 11)})
    assert inside.notes == []


@pytest.mark.parametrize("search", ["grid", "zoom", "random:9"])
def test_a_whole_number_is_tried_and_told_as_it_is_fitted_and_once(search):
    x = np.linspace(0, 1, 30)
    problem = Problem(x, np.sin(5 * x), RBF(5.0), regularizers=[Ridge(0.1), Trend(0.1, order=2)])
    found = select(problem, [], "kfold:5", search, {"trend.order": (1, 4, 6)}, metric="squared")
    orders = [row["trend.order"] for row in found.table]
    assert set(orders) <= {1.0, 2.0, 3.0, 4.0} and len(set(orders)) == len(orders) > 1
    assert found.problem.regularizers[1].order in orders and found.fits == 5 * len(orders)


def test_a_subset_of_a_precomputed_kernel_has_its_rows_and_columns(monkeypatch):
    x = np.linspace(0, 1, 40)
    gram = np.exp(-5 * np.square(x[:, None] - x))
    problem = Problem(gram, np.sin(5 * x), Precomputed(), regularizers=[Ridge(0.1)])
    part = planning.subset(problem, np.arange(0, 40, 2))
    assert_allclose(part.x, gram[::2, ::2])
    assert fit(part).status is Status.CERTIFIED and (part.weights == 2).all()


def test_one_standard_error_is_the_smoothest_within_it():
    chosen, best = (select(SMALL, ["gamma", "ridge"], "loo", "grid", one_se=flag) for flag in (True, False))
    limit = best.score + best.standard_error
    assert best.score < chosen.score <= limit

    def smooth(row):
        return row["ridge"] / row["gamma"]

    assert smooth(chosen.problem.hyperparameters) > smooth(best.problem.hyperparameters)
    assert_allclose(
        smooth(chosen.problem.hyperparameters), max(smooth(row) for row in chosen.table if row["score"] <= limit)
    )


def test_a_parameter_of_the_loss_needs_another_metric():
    grid = {"huber.delta": (0.05, 2, 3)}
    with pytest.raises(InputError, match="metric loss would reward a shrinking loss"):
        select(SMALL, ["ridge"], "loo", grid=grid)
    chosen = select(SMALL, [], "loo", "grid", grid=grid, metric="absolute")
    assert len(chosen.table) == 3 and chosen.problem.loss.delta == best_of(chosen)["huber.delta"]
    assert_allclose(chosen.score, np.mean(np.abs(chosen.predictions - SMALL.y)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"metric": "cubic"}, "metric is 'cubic'"),
        ({"search": "random:0"}, "search is 'random:0'"),
        ({"search": "climb"}, "search is 'climb'"),
        ({"search": "random:²"}, "search is 'random:²'"),
        ({"search": "random:20001"}, "random:N has 20,001 settings; a search takes 20,000 at most"),
        ({"method": "kfold:²"}, "select is 'kfold:²'"),
        ({"method": "bootstrap"}, "select is 'bootstrap'"),
        ({"workers": 0}, "workers is 0"),
        ({"grid": {"ridge": (1, 0.1, 3)}, "search": "grid"}, "needs 0 < LOW"),
        ({"grid": {"tv": (0.1, 1, 3)}}, "no hyper-parameter 'tv'"),
        ({"free": ["huber.delta"], "metric": "squared"}, "no range is known for 'huber.delta'"),
    ],
    ids=str,
)
def test_bad_options_are_refused(words, sentence):
    with pytest.raises(InputError, match=sentence):
        select(SMALL, **{"free": ["ridge"], "method": "loo", **words})


def test_an_interrupted_search_keeps_its_best(monkeypatch):
    monkeypatch.setattr(choosing, "TOGETHER", 0)
    calls = []

    def progress(done, total, score):
        calls.append((done, total, score))
        if len(calls) == 3:
            raise KeyboardInterrupt

    chosen = select(SMALL, ["gamma", "ridge"], "loo", progress=progress)
    assert (
        chosen.interrupted
        and len(chosen.table) == 3 * 7
        and any("interrupted after 21 settings" in note for note in chosen.notes)
    )
    assert chosen.score == best_of(chosen)["score"] == calls[-1][2]
    assert chosen.problem.hyperparameters == {name: best_of(chosen)[name] for name in ("gamma", "ridge")}
    assert [done for done, _, _ in calls] == [7 * 24, 14 * 24, 21 * 24] and calls[0][1] == 49 * 24


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_keeps_parts_of_a_basis(monkeypatch, workers):
    monkeypatch.setattr(choosing, "AT_ONCE", 2 * 24 * 24)
    calls = []

    def progress(done, total, score):
        calls.append(done)
        if len(calls) == 5:
            raise KeyboardInterrupt

    chosen = select(SMALL, ["gamma", "ridge"], "loo", progress=progress, workers=workers)
    assert calls == [24 * count for count in (2, 4, 6, 7, 9)] and chosen.interrupted and len(chosen.table) == 9


def test_settings_in_parts_are_settings_together(monkeypatch):
    together = select(SMALL, ["gamma", "ridge"], "loo", "grid")
    monkeypatch.setattr(choosing, "AT_ONCE", 0)
    apart = select(SMALL, ["gamma", "ridge"], "loo", "grid")
    assert [row["ridge"] for row in apart.table] == [row["ridge"] for row in together.table]
    assert_allclose([row["score"] for row in apart.table], [row["score"] for row in together.table], rtol=1e-9)


def doubtful(monkeypatch, worst):
    """Scores as they are, with a largest gap by the ridge."""

    def scored(problems, folds, *how):
        found = score_settings(problems, folds, *how)
        return [
            dataclasses.replace(one, largest_gap=worst(problem.ridge))
            for one, problem in zip(found, problems, strict=True)
        ]

    monkeypatch.setattr(choosing, "score_settings", scored)


@pytest.mark.parametrize(
    ("worst", "said"),
    [
        (lambda ridge: 1e-9, []),
        (
            lambda ridge: 1e-3 if ridge > 500 else 0,
            ["1 of 7 settings tried has a held-out fit without proof; it was not chosen"],
        ),
        (
            lambda ridge: np.nan if ridge < 1e-4 else 0,
            ["2 of 7 settings tried have a held-out fit without proof; they were not chosen"],
        ),
        (
            lambda ridge: 1e-3,
            [
                "the largest relative gap of the chosen setting is 1.0e-03",
                "7 of 7 settings tried have a held-out fit without proof; their scores may",
            ],
        ),
    ],
)
def test_settings_with_an_unproven_fold_are_counted(monkeypatch, worst, said):
    doubtful(monkeypatch, worst)
    chosen = select(SMALL, [], "loo", "grid", grid={"ridge": (1e-6, 1e3, 7)})
    assert len(chosen.notes) == len(said) and all(words in note for words, note in zip(said, chosen.notes, strict=True))


def test_one_setting_without_proof_is_said_once(monkeypatch):
    doubtful(monkeypatch, lambda ridge: np.inf)
    (note,) = select(SMALL, [], "loo").notes
    assert "the largest relative gap of the chosen setting is inf" in note


UNITS = [RBF(1.0), Laplacian(1.0), Matern52(1.0), Polynomial(1.0)]


@pytest.mark.parametrize("kernel", UNITS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("unit", [1e-150, 1e-3, 1e150])
def test_default_ranges_are_in_the_unit_of_x(kernel, unit):
    one, other = (
        select(dataclasses.replace(SMALL, kernel=kernel, x=SMALL.x * u), ["gamma", "ridge"], "kfold:2", "grid")
        for u in (1, unit)
    )
    gammas, ridges = ([[row[name] for row in chosen.table] for chosen in (one, other)] for name in ("gamma", "ridge"))
    expected = np.array(gammas[0]) / unit
    assert_allclose(gammas[1], expected if kernel.name == "laplacian" else expected / unit, rtol=1e-9)
    assert_allclose(ridges[1], ridges[0], rtol=1e-9)
    middle = [{"gamma": np.exp(np.log(gamma[:100]).mean()), "ridge": 0.1} for gamma in gammas]
    both = [
        score_settings([one.problem.with_hyperparameters(setting)], k_fold(24, 2))[0].predictions
        for one, setting in zip((one, other), middle, strict=True)
    ]
    assert_allclose(both[1], both[0], atol=1e-6)


def test_default_ranges_follow_the_weights():
    one, other = (
        select(dataclasses.replace(SMALL, weights=np.full(24, w)), ["ridge"], "kfold:2", "grid") for w in (1.0, 1e6)
    )
    assert_allclose([row["ridge"] for row in other.table], [1e6 * row["ridge"] for row in one.table], rtol=1e-9)
    assert_allclose(other.predictions, one.predictions, atol=1e-6)


def test_the_default_range_of_l1_reaches_the_weight_at_which_all_is_zero():
    """Also of standardised columns, whose sums are 0: there that weight is ‖Xᵀ(y - mean)‖∞."""
    draw = np.random.default_rng(0)
    x = draw.normal(5, 2, (60, 3))
    y = x @ [1.0, -2.0, 0.0] + draw.standard_normal(60)
    problem = Problem(x, y, None, Squared(), [L1(1.0)], intercept=True, standardize=True)
    low, high = default_range(problem, "l1")
    largest = np.abs(problem.design.x.T @ (y - y.mean())).max()
    assert 0.2 * largest < high < 5 * largest and low == pytest.approx(1e-4 * high)


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4])
def test_the_default_ranges_follow_the_size_of_counts(scale):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 3))
    y = draw.poisson(scale * np.exp(x @ [0.5, -0.3, 0.0])).astype(float)
    problem = Problem(x, y, None, Poisson(), [L1(1.0), Ridge(1.0)], intercept=True)
    low, high = default_range(problem, "l1")
    assert np.abs(x.T @ (y - y.mean())).max() == pytest.approx(high, rel=2) and low == pytest.approx(1e-4 * high)
    ridge = np.sqrt(
        np.prod(default_range(problem, "ridge"))
    )  # half the Hessian's diagonal over n and more: it neither rules nor vanishes
    assert 1e-3 < ridge / (scale * 3) < 1e3


def test_an_x_without_a_gamma_is_refused():
    with pytest.raises(
        InputError, match=r"x spans 9.*e-161 and a gamma to match is beyond floating point; measure x in another unit"
    ):
        select(dataclasses.replace(SMALL, x=SMALL.x * 1e-160), ["gamma", "ridge"], "loo")


def test_results_do_not_depend_on_the_workers():
    one, two = (select(SMALL, ["gamma", "ridge"], "loo", "random:4", seed=3, workers=workers) for workers in (1, 2))
    assert one.table == two.table and one.problem.hyperparameters == two.problem.hyperparameters
    assert np.array_equal(one.predictions, two.predictions) and one.score == two.score


def test_auto_is_leave_one_out_for_fifty_rows():
    data = step_data()
    chosen = select(Problem(data.x, data.y, RBF(80), Squared(), [Ridge(0.1)]), ["ridge"])
    assert chosen.method == "loo" and chosen.notes == [] and np.isfinite(chosen.predictions).all()


def test_auto_is_ten_fold_where_leave_one_out_would_take_too_long(monkeypatch):
    monkeypatch.setattr(planning, "_cost", lambda *_: (0.0, 0.3))  # 13 settings: 122 s for 24 folds, 51 s for 10
    chosen = select(SMALL, ["ridge"])
    assert chosen.method == "kfold:10" and "10-fold: exact leave-one-out was predicted to take 122 s" in chosen.notes[0]
    assert np.isfinite(chosen.predictions).all() and chosen.fits == 10 * len(chosen.table)


def test_auto_is_ten_fold_where_no_part_of_the_rows_is_left_to_take(monkeypatch):
    monkeypatch.setattr(planning, "_cost", lambda *_: (0.0, 9.0))
    chosen = select(SMALL, ["ridge"], search="random:2")
    assert chosen.method == "kfold:10" and "10-fold: exact leave-one-out was predicted" in chosen.notes[0]
    assert np.isfinite(chosen.predictions).all()


def test_auto_takes_a_subset_where_ten_fold_would_take_too_long(monkeypatch):
    monkeypatch.setattr(planning, "PATIENCE", 0.0)
    monkeypatch.setattr(planning, "SUBSET", 20)
    large = small(120)
    first, again, other = (select(large, ["ridge"], seed=seed) for seed in (0, 0, 1))
    assert first.method == "kfold:10" and "10-fold on 20 of 120 rows (seed 0)" in first.notes[0]
    assert np.isfinite(first.predictions).sum() == 20 and len(first.problem.y) == 120
    assert first.table == again.table and first.table != other.table
    rows = np.flatnonzero(np.isfinite(first.predictions))
    part = dataclasses.replace(first.problem, x=large.x[rows], y=large.y[rows], weights=np.full(20, 6.0))
    agree(part, first.predictions[rows], refits(part, tight, k_fold(20, 10)))


def test_auto_keeps_groups_together():
    labels = np.arange(24) // 4
    chosen = select(SMALL, ["ridge"], search="random:2", groups=labels)
    assert chosen.method == "kfold:6"
    agree(SMALL, chosen.predictions, refits(chosen.problem, tight, k_fold(24, 6, groups=labels)))


# ---- the choice is as good as a long search


def brute(problem, **values):
    """The lowest leave-one-out score on a grid, of settings whose folds are proven."""
    names = list(values)
    grid = [
        dict(zip(names, one, strict=True))
        for one in np.stack(np.meshgrid(*values.values()), axis=-1).reshape(-1, len(names))
    ]
    scores = score_settings([problem.with_hyperparameters(setting) for setting in grid], leave_one_out(len(problem.y)))
    return min(one.score for one in scores if one.largest_gap <= 1e-9)


def years():
    draw = np.random.default_rng(3)
    year = np.arange(1991.0, 2021)
    return Problem(
        year,
        14 + 0.02 * (year - 1991) + 0.15 * draw.standard_normal(30),
        None,
        Huber(0.2),
        [Ridge(1.0)],
        intercept=True,
    )


def towns():
    """Populations near 1e6 beside ages."""
    draw = np.random.default_rng(0)
    x = np.column_stack([draw.lognormal(13.5, 0.7, 60), draw.uniform(20, 60, 60)])
    y = 15 + 4e-6 * x[:, 0] + 0.3 * x[:, 1] + draw.standard_normal(60)
    return Problem(x, y, None, Huber(1.0), [Ridge(1.0)], intercept=True)


@pytest.mark.parametrize("problem", [years(), towns()], ids=["years", "towns"])
def test_raw_columns_are_chosen_for_as_well_as_by_a_long_search(problem):
    chosen = select(problem, ["ridge"], "loo")
    assert chosen.largest_fold_gap <= 1e-9
    assert chosen.score <= brute(problem, ridge=np.geomspace(1e-2, 1e9, 111)) * (1 + 1e-6)


def test_rows_known_far_better_than_others_are_chosen_for():
    """Weights are inverse variances; the score is all but that of five rows."""
    draw = np.random.default_rng(4)
    x = np.sort(draw.uniform(0, 5, 60))
    weights = np.where(np.arange(60) % 12 == 5, 1e6, 4.0)
    y = np.sin(x) + x + draw.standard_normal(60) / np.sqrt(weights)
    problem = Problem(x, y, RBF(1.0), Squared(), [Ridge(1.0)], weights=weights)
    chosen = select(problem, ["gamma", "ridge"], "loo")
    assert chosen.score <= brute(problem, gamma=np.geomspace(0.02, 20, 61), ridge=np.geomspace(1e-3, 1e2, 61))


def test_a_setting_without_proof_is_marked_and_not_chosen(monkeypatch):
    plain = select(SMALL, [], "loo", "grid", grid={"ridge": (1e-6, 1e3, 7)})
    best = best_of(plain)["ridge"]
    doubtful(monkeypatch, lambda ridge: 1e-3 if ridge == best else 0)
    chosen = select(SMALL, [], "loo", "grid", grid={"ridge": (1e-6, 1e3, 7)})
    assert [row["ridge"] for row in chosen.table if row.get("unproven")] == [best]
    assert chosen.score == sorted(row["score"] for row in chosen.table)[1]
