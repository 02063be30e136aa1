"""Rows that are held out together: folds by x, standard errors by units, and `auto` for rows of equal x."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hw4opt.selection.plan as planning
from hw4opt import (
    RBF,
    Huber,
    Increasing,
    InputError,
    Matern52,
    Polynomial,
    Precomputed,
    Problem,
    Ridge,
    Squared,
    TotalVariation,
    fit,
)
from hw4opt.selection import k_fold, leave_one_out, score_settings, select
from hw4opt.selection.folds import labels_of, leave_x_out, shared

DRAW = np.random.default_rng(0)
X = np.repeat([0.0, 1, 3, 10, 30, 100], 4)[DRAW.permutation(24)]
Y = 80 * X / (X + 10) + 5 * DRAW.standard_normal(24)
DOSES = Problem(X, Y, RBF(1e-3), Huber(5.0), [Ridge(0.1)], [Increasing()])


def refit(problem, kept):
    """The same fit without some rows."""
    columns = {
        name: None if (column := getattr(problem, name)) is None else column[kept] for name in ("weights", "offset")
    }
    return fit(dataclasses.replace(problem, x=problem.x[kept], y=problem.y[kept], **columns), tol=1e-12)


def by_hand(errors, weights, units):
    """Σ_u (Σ_{i in u} ω_i (e_i - ē))², its root, over Σ ω."""
    mean = np.average(errors, weights=weights)
    sums = [sum(weights[i] * (errors[i] - mean) for i in range(len(units)) if units[i] == unit) for unit in set(units)]
    return np.sqrt(np.square(sums).sum()) / weights.sum()


def test_folds_by_x():
    folds = leave_x_out(X)
    assert len(folds) == 6 and np.array_equal(np.sort(np.concatenate(folds)), np.arange(24))
    assert all(len(set(X[fold])) == 1 for fold in folds)
    two = np.array([[0, 1], [0, 2], [0, 1], [1, 1]])
    assert [fold.tolist() for fold in leave_x_out(two)] == [[0, 2], [1], [3]]
    assert shared(labels_of(two)) == 2 and shared(labels_of(X)) == 24 and shared(labels_of(np.arange(3))) == 0
    with pytest.raises(InputError, match="all rows have the same x"):
        leave_x_out(np.ones(4))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "problem",
    [
        DOSES,
        dataclasses.replace(
            DOSES, loss=Squared(), constraints=[], regularizers=[Ridge(0.1), TotalVariation(1.0)], kernel=Matern52(0.01)
        ),
    ],
    ids=["huber, increasing", "tv"],
)
def test_leaving_equal_x_out_is_a_refit_without_them(problem, weighted):
    weights = np.where(np.arange(24) % 7 == 0, 0.0, 1 + np.arange(24) % 3) if weighted else None
    problem = dataclasses.replace(problem, weights=weights)
    chosen = select(problem, [], "loo:x")
    assert chosen.method == "loo:x" and chosen.fits == 6
    active = np.ones(24, dtype=bool) if weights is None else weights > 0
    assert np.array_equal(np.isnan(chosen.predictions), ~active)
    for value in np.unique(X):
        result = refit(problem, (value != X) & active)
        held = (value == X) & active
        assert_allclose(chosen.predictions[held], result.predict(X[held]), rtol=0, atol=1e-6 * np.std(Y))


def test_leaving_equal_x_out_in_several_columns_asks_for_all_of_them_to_be_equal():
    x = np.column_stack([np.repeat(np.arange(6.0), 4), np.tile([0.0, 0, 1, 1], 6)])
    problem = Problem(x, Y, RBF(0.1), Squared(), [Ridge(0.1)])
    chosen = select(problem, [], "loo:x")
    assert chosen.fits == 12
    result = refit(problem, np.arange(24) > 1)
    assert_allclose(chosen.predictions[:2], result.predict(x[:2]), atol=1e-6 * np.std(Y))


# ---- standard errors


def test_the_standard_error_of_rows_that_leave_together_is_that_of_their_sums():
    weights = 1.0 + np.arange(24) % 3
    problem = dataclasses.replace(DOSES, weights=weights)
    one = score_settings([problem], leave_x_out(X), "squared", X)[0]
    errors = np.square(one.predictions - Y)
    assert_allclose(one.score, np.average(errors, weights=weights), rtol=1e-9)
    assert_allclose(one.standard_error, by_hand(errors, weights, X.tolist()), rtol=1e-9)
    rows = score_settings([problem], leave_x_out(X), "squared")[0]
    assert_allclose(rows.standard_error, by_hand(errors, weights, list(range(24))), rtol=1e-9)
    assert one.standard_error > 1.3 * rows.standard_error  # rows of one x miss alike


@pytest.mark.parametrize("method", ["kfold:3", "auto"])
def test_the_standard_error_respects_groups(method):
    labels = np.array(list("abcdef"))[np.arange(24) // 4]
    weights = np.where(np.arange(24) == 5, 0.0, 1.0)
    problem = dataclasses.replace(DOSES, weights=weights)
    chosen = select(problem, [], method, groups=labels, metric="absolute")
    kept = weights > 0
    errors = np.abs(chosen.predictions - Y)[kept]
    assert_allclose(chosen.standard_error, by_hand(errors, weights[kept], labels[kept].tolist()), rtol=1e-9)


def test_the_standard_error_of_equal_x_is_that_of_their_sums():
    chosen = select(DOSES, [], "loo:x", metric="absolute")
    assert_allclose(chosen.standard_error, by_hand(np.abs(chosen.predictions - Y), np.ones(24), X.tolist()), rtol=1e-9)
    rows = select(DOSES, [], "loo", metric="absolute")
    assert_allclose(rows.standard_error, by_hand(np.abs(rows.predictions - Y), np.ones(24), list(range(24))), rtol=1e-9)


# ---- what auto does


def repeating(distinct, times, single=0, **more):
    x = np.concatenate([np.repeat(np.arange(distinct, dtype=float), times), distinct + np.arange(single, dtype=float)])
    return Problem(
        x, np.sin(x) + 0.1 * np.arange(len(x)) % 0.3, **{"kernel": RBF(0.5), "regularizers": [Ridge(0.1)], **more}
    )


@pytest.mark.parametrize(
    ("problem", "method"),
    [
        (repeating(6, 4), "loo:x"),
        (repeating(5, 2), "loo:x"),
        (repeating(4, 6), "loo"),  # four distinct x
        (repeating(5, 2, 20), "loo"),  # a third of the rows
        (repeating(5, 2, 19), "loo:x"),
        (repeating(6, 4, kernel=None), "loo"),
        (Problem(np.column_stack([X, X]), Y, RBF(1e-3), regularizers=[Ridge(0.1)]), "loo"),
        (Problem(np.arange(24.0), Y, RBF(1e-3), regularizers=[Ridge(0.1)]), "loo"),
    ],
)
def test_auto_leaves_equal_x_out_together_where_many_rows_share_theirs(problem, method):
    chosen = select(problem, [])
    said = [note for note in chosen.notes if "equal x are left out together" in note]
    assert chosen.method == method and len(said) == (method == "loo:x")
    assert chosen.fits == (len(np.unique(problem.x)) if method == "loo:x" else len(problem.y))


def test_rows_of_weight_0_are_no_twins():
    problem = dataclasses.replace(repeating(6, 2), weights=np.tile([1.0, 0.0], 6))
    assert select(problem, []).method == "loo"
    assert select(problem, [], "loo").notes == []


def test_leave_one_out_by_row_says_that_twins_stay():
    for method in ("loo", "kfold:4"):
        (note,) = select(DOSES, [], method).notes
        assert note.startswith("24 of 24 rows share their x") and "select loo:x" in note
    assert select(DOSES, [], "kfold:3", groups=np.arange(24) % 6).notes == []
    assert select(repeating(6, 4, kernel=None), [], "loo").notes == []
    gram = RBF(1e-3).gram(X[:, None], X[:, None])
    assert "share their x" in select(Problem(gram, Y, Precomputed(), regularizers=[Ridge(0.1)]), [], "loo").notes[0]


def test_groups_rule_over_equal_x():
    labels = np.arange(24) % 8
    chosen = select(DOSES, [], groups=labels)
    assert chosen.method == "kfold:8" and chosen.notes == []
    with pytest.raises(InputError, match="at a time, not a group; give select kfold:K"):
        select(DOSES, [], "loo:x", groups=labels)


def test_auto_keeps_equal_x_together_in_ten_folds(monkeypatch):
    monkeypatch.setattr(planning, "_cost", lambda *_: (0.0, 9e9))
    problem = repeating(20, 3)
    chosen = select(problem, [])
    folds = k_fold(60, 10, groups=problem.x[:, 0])
    assert chosen.method == "kfold:10" and len(chosen.notes) == 2
    assert_allclose(chosen.predictions, score_settings([problem], folds)[0].predictions, atol=1e-9)
    monkeypatch.setattr(planning, "SUBSET_ROWS", 30)
    part = select(problem, [])
    assert part.method == "kfold:10" and np.isfinite(part.predictions).sum() == 30


# ---- names of hyper-parameters


@pytest.mark.parametrize(
    ("gamma", "ridge"), [("gamma", "ridge"), ("rbf.gamma", "ridge.weight"), ("rbf.gamma", "ridge")]
)
def test_one_standard_error_knows_every_name(gamma, ridge):
    x = np.linspace(0, 1, 24)
    problem = Problem(x, np.sin(6 * x) + 0.2 * np.cos(50 * x), RBF(10.0), Huber(0.5), [Ridge(0.1)])
    grid = {gamma: (1, 1000, 6), ridge: (1e-4, 10, 6)}
    chosen = select(problem, [], "loo", "grid", grid, one_se=True)
    best = min(chosen.table, key=lambda row: row["score"])
    near = [row for row in chosen.table if row["score"] <= best["score"] + best["standard_error"]]
    smoothest = max(row[ridge] / row[gamma] for row in near)
    assert_allclose(chosen.problem.ridge / chosen.problem.kernel.gamma, smoothest, rtol=1e-9)
    assert smoothest > 3 * best[ridge] / best[gamma]


def test_one_standard_error_has_no_side_for_other_parameters():
    """Among settings of one ridge the better degree is kept: a degree is no weight."""
    x = np.linspace(-1, 1, 30)
    problem = Problem(x, 1 - x**2 + 0.3 * np.sin(40 * x), Polynomial(1.0, 2), Squared(), [Ridge(0.1)])
    chosen = select(problem, [], "loo", "grid", {"polynomial.degree": (2, 6, 5)}, metric="squared", one_se=True)
    assert chosen.problem.kernel.degree == min(chosen.table, key=lambda row: row["score"])["polynomial.degree"]


def test_leave_one_out_by_row_of_distinct_x_is_leave_x_out():
    x = np.linspace(0, 1, 20)
    problem = Problem(x, np.sin(6 * x), RBF(10.0), Huber(0.5), [Ridge(0.1)])
    one, other = (select(problem, [], method) for method in ("loo", "loo:x"))
    assert_allclose(one.predictions, other.predictions, rtol=0, atol=1e-9)
    assert one.standard_error == pytest.approx(other.standard_error)
    assert [fold.tolist() for fold in leave_x_out(x)] == [fold.tolist() for fold in leave_one_out(20)]
