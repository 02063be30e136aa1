"""Paths from the full fit to folds: every one that is called exact against a refit, and starts that are no optimum."""

import ctypes

import numpy as np
import pytest
from numpy.testing import assert_allclose

from held_out_cases import CASES, W, X, Y
from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    Convex,
    Decreasing,
    Huber,
    Increasing,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
)
from hw4opt.core import folds as core_folds
from hw4opt.core import threads
from hw4opt.core.folds import folds
from hw4opt.fit import solve_with
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.selection import k_fold, leave_one_out
from hw4opt.selection.fold_fits import EXACT_GAP
from hw4opt.selection.loo.layout import Layout, Layouts
from hw4opt.selection.loo.path import FullFits, fold_table, solve_folds

NEAR = 1e-7  # of y's spread


def wave(n=40, seed=2, ties=False):
    draw = np.random.default_rng(seed)
    x = np.sort(draw.uniform(0, 3, n))
    x = np.round(x, 1) if ties else x
    y = x + np.sin(3 * x) + 0.3 * draw.standard_normal(n)
    y[[4, n - 6]] += [3, -4]
    return x, y


def smooth(loss, *others, constraints=(), weights=None, intercept=False, ridge=0.01, ties=False):
    return Problem(*wave(ties=ties), RBF(8), loss, [Ridge(ridge), *others], constraints, weights, intercept=intercept)


def heavy(largest, zeros=0):
    weights = np.random.default_rng(3).uniform(0.5, 2, 40)
    weights[7] = largest
    weights[10 : 10 + zeros] = 0
    return weights


TWO = np.random.default_rng(5).uniform(0, 1, (30, 2))
PROBLEMS = {
    "huber": smooth(Huber(0.3)),
    "quantile, ties": smooth(Quantile(0.9), ties=True),
    "increasing": smooth(Squared(), constraints=[Increasing()]),
    "decreasing, against the data": smooth(Squared(), constraints=[Decreasing()]),
    "huber, tv, ties": smooth(Huber(0.3), TotalVariation(0.5), ties=True),
    "huber, tv, decreasing": smooth(Huber(0.3), TotalVariation(0.1), constraints=[Decreasing()]),
    "quantile, tv, increasing, ties": smooth(Quantile(0.7), TotalVariation(0.1), constraints=[Increasing()], ties=True),
    "huge weight": smooth(Huber(0.3), TotalVariation(0.2), weights=heavy(1e6)),
    "weights of 0": smooth(Huber(0.3), constraints=[Increasing()], weights=heavy(1.0, 5)),
    "huber, intercept": smooth(Huber(0.3), TotalVariation(0.2), intercept=True),
    "squared, intercept, increasing": smooth(Squared(), constraints=[Increasing()], intercept=True),
    "trend": smooth(Squared(), Trend(0.02)),
    "huber, trend, convex": smooth(Huber(0.3), Trend(0.02), constraints=[Convex()]),
    "bounds": smooth(Absolute(), constraints=[Bounds(0.5, 2.5)], ridge=0.1),
    "level": smooth(Squared(), constraints=[Increasing(), Decreasing()], intercept=True),
    "slopes": Problem(
        TWO,
        TWO @ [1, -1] + 0.2 * np.sin(9 * TWO[:, 0]),
        RBF(1),
        Squared(),
        [Ridge(0.05)],
        [Increasing(0), Decreasing(1)],
    ),
}
HANDED_BACK = 0.02  # share of folds that may be


def full_fits(problem, tol=1e-9):
    form = canonicalize(problem)
    answer = solve_with("interior", form, Options(tol=tol))
    return FullFits(form, answer.w, answer.u)


def held_out(problem, folds, w):
    """Predictions of every fold's rows from its own w."""
    matrix, rows = problem.design.matrix, problem.design.row_of
    return np.concatenate(
        [matrix[fold if rows is None else rows[fold]] @ one for fold, one in zip(folds, w, strict=True)]
    )


def check(problem, held):
    (found,) = solve_folds([full_fits(problem)], Layout.of(problem, held))
    exact = found.gap[0] <= EXACT_GAP
    assert (~exact).mean() <= HANDED_BACK
    form = canonicalize([problem] * len(held), held)
    expected = solve_with("interior", form, Options(tol=1e-14, max_iterations=80)).w
    apart = held_out(problem, held, found.w[0]) - held_out(problem, held, expected)
    sure = np.repeat(exact, [len(fold) for fold in held])
    assert np.abs(apart[sure]).max(initial=0) <= NEAR * np.ptp(problem.y)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_fold_is_a_refit_without_its_row(name):
    check(PROBLEMS[name], leave_one_out(len(PROBLEMS[name].design.x)))


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_fold_of_many_rows_is_a_refit_without_them(name):
    problem = PROBLEMS[name]
    n = len(problem.design.x)
    check(problem, k_fold(n, 8))
    pairs = [np.arange(low, min(low + 2, n)) for low in range(0, n, 2)]  # neighbours: rows merged over several points
    check(problem, pairs)


def test_orders_in_both_directions_are_one_row():
    problem = PROBLEMS["level"]
    table = fold_table(full_fits(problem), Layout.of(problem, leave_one_out(40)))
    assert table.rows == 40 + 39 and np.isinf(table.low[:, 40:]).all() and np.isinf(table.high[:, 40:]).all()


@pytest.mark.parametrize("name", ["huber, tv, ties", "increasing", "quantile, ties", "huber, tv, decreasing"])
@pytest.mark.parametrize("noise", [1e-9, 1e-5, 1e-3])
def test_a_full_fit_that_is_none_is_repaired(name, noise):
    problem = PROBLEMS[name]
    fits, layout = full_fits(problem), Layout.of(problem, leave_one_out(40))
    draw = np.random.default_rng(1)
    w, u = (one * (1 + noise * draw.standard_normal(one.shape)) for one in (fits.w, fits.u))
    (good,), (found,) = (solve_folds([one], layout) for one in (fits, FullFits(fits.form, w, u)))
    both = (good.gap <= EXACT_GAP) & (found.gap <= EXACT_GAP)
    assert both.mean() >= (0.95 if noise < 1e-3 else 0.5)
    matrix = problem.design.matrix
    assert_allclose((found.w @ matrix.T)[both], (good.w @ matrix.T)[both], rtol=0, atol=NEAR * np.ptp(problem.y))


@pytest.mark.parametrize("name", ["huber, tv, ties", "quantile, ties", "bounds", "huber, intercept"])
def test_whatever_the_start_a_gap_is_honest(name):
    problem = PROBLEMS[name]
    fits, layout = full_fits(problem), Layout.of(problem, leave_one_out(40))
    (good,) = solve_folds([fits], layout)
    draw = np.random.default_rng(2)
    matrix = problem.design.matrix
    for size in (0.0, 1.0, 1e8):
        w, u = (size * draw.standard_normal(one.shape) for one in (fits.w, fits.u))
        (found,) = solve_folds([FullFits(fits.form, w, u)], layout)
        both = (good.gap <= EXACT_GAP) & (found.gap <= EXACT_GAP)
        assert_allclose((found.w @ matrix.T)[both], (good.w @ matrix.T)[both], rtol=0, atol=NEAR * np.ptp(problem.y))


@pytest.mark.parametrize("name", ["huber, tv", "increasing"])
def test_threads_change_no_digit(name, monkeypatch):
    """Settings of several bases, on one thread and on three."""
    weights = {"tv": 0.4} if "tv" in name else {}
    problems = [
        [CASES[name].with_hyperparameters({"gamma": gamma, "ridge": ridge, **weights}) for ridge in (1e-3, 0.1, 5)]
        for gamma in (0.5, 8.0)
    ]
    layout = Layout.of(problems[0][0], leave_one_out(len(problems[0][0].design.x)))
    tables = [fold_table(full_fits(each), layout) for each in problems]
    alone = folds(tables, duals=True)
    monkeypatch.setattr(threads, "DIRECT_WORK", 0.0)
    monkeypatch.setattr(threads, "PIECE_WORK", 1.0)
    monkeypatch.setattr(threads, "threads_to_use", lambda: 3)
    for one, other in zip(alone, folds(tables, duals=True), strict=True):
        for first, second in zip(one, other, strict=True):
            assert np.array_equal(first, second)


def test_a_flag_stops_the_folds():
    problem = PROBLEMS["huber"]
    table = fold_table(full_fits(problem), Layout.of(problem, leave_one_out(40)))
    task = core_folds._Task.of(table)
    found = task.answer(False)
    assert core_folds._functions().folds(task, 0, 1, ctypes.c_int(1)) == threads.STOPPED
    assert not found.w.any()


def test_rows_without_weight_take_no_part():
    """Rows of weight 0 have no effect."""
    problem = Problem(X, Y, RBF(5), Huber(0.3), [Ridge(0.1), TotalVariation(0.2)], weights=W)
    kept = W > 0
    other = Problem(X[kept], Y[kept], RBF(5), Huber(0.3), [Ridge(0.1), TotalVariation(0.2)], weights=W[kept])
    held = leave_one_out(int(kept.sum()))
    fits = [solve_folds([full_fits(one)], Layout.of(one, held))[0] for one in (problem, other)]
    first, second = (held_out(one, held, fit.w[0]) for one, fit in zip((problem, other), fits, strict=True))
    assert_allclose(first, second, rtol=0, atol=NEAR * np.ptp(Y))


def test_layouts_are_kept_for_the_next_setting_as_long_as_there_is_room(monkeypatch):
    x, y = wave()
    places = [np.array([place]) for place in range(len(x))]
    problems = [Problem(x, y, RBF(20.0), Squared(), [Ridge(0.1), term]) for term in (TotalVariation(1), Trend(1))]
    made = []
    monkeypatch.setattr("hw4opt.selection.loo.layout.KEPT_ENTRIES", int(2.5 * len(x) ** 2 * 1.5))
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, problem, gone: made.append(problem) or Layout({})))
    layouts = Layouts(places)
    for problem in problems * 3:
        assert [span for span, _ in layouts.of(problem)] == layouts.spans(problem) == [slice(0, len(x))]
    assert made.count(problems[0]) == 1 and made.count(problems[1]) == 3
