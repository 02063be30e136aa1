"""Folds of smooth losses beside other terms: every one that is called exact against a refit, and races of settings."""

import math

import numpy as np
import pytest

from hw4opt import (
    L1,
    RBF,
    Bounds,
    Decreasing,
    Increasing,
    Logistic,
    Poisson,
    Problem,
    Ridge,
    TotalVariation,
    Trend,
)
from hw4opt.fit import solve_with
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.running.threads import set_threads
from hw4opt.selection import k_fold, leave_one_out, score_settings, select
from hw4opt.selection.fold_fits import EXACT_GAP
from hw4opt.selection.loo.corrections import Corrections, solve_folds
from hw4opt.selection.loo.layout import Layout
from hw4opt.selection.loo.path import FullFits
from own_terms import LogCosh

NEAR = 1e-7  # of y's spread
HANDED_BACK, HANDED_BACK_OF_LARGE = 0.05, 0.25  # share of folds that may be; of those that lose 5 of 40 rows
DRAW = np.random.default_rng(8)
X = np.sort(DRAW.uniform(0, 3, 40))
TIED = np.round(X, 1)
COUNTS = DRAW.poisson(1 + 2 * X).astype(float)
LABELS = np.where(DRAW.uniform(size=40) < 0.5 + 0.4 * np.sin(3 * X), 1.0, -1.0)
CURVE = X + np.sin(3 * X) + 0.3 * DRAW.standard_t(2, 40)
LINE = DRAW.standard_normal((40, 4))


def weights(largest=3.0, zeros=0):
    found = np.random.default_rng(3).uniform(0.5, 2, 40)
    found[7], found[10 : 10 + zeros] = largest, 0
    return found


def curve(loss, y, *others, constraints=(), x=X, ridge=0.02, **words):
    return Problem(x, y, RBF(8), loss, [Ridge(ridge), *others], constraints, **words)


PROBLEMS = {
    "poisson, increasing": curve(Poisson(), COUNTS, constraints=[Increasing()]),
    "poisson, decreasing, against the data": curve(Poisson(), COUNTS, constraints=[Decreasing()]),
    "poisson, increasing, ties": curve(Poisson(), COUNTS, constraints=[Increasing()], x=TIED),
    "poisson, increasing, weights of 0": curve(Poisson(), COUNTS, constraints=[Increasing()], weights=weights(3.0, 5)),
    "poisson, increasing, a large weight": curve(Poisson(), COUNTS, constraints=[Increasing()], weights=weights(1e3)),
    "poisson, increasing, offset": curve(Poisson(), COUNTS, constraints=[Increasing()], offset=0.3 * np.cos(X)),
    "poisson, increasing, intercept": curve(Poisson(), COUNTS, constraints=[Increasing()], intercept=True),
    "truncated poisson, tv": curve(Poisson(truncated=True), COUNTS + 1, TotalVariation(0.3)),
    "truncated poisson, tv, ties": curve(Poisson(truncated=True), COUNTS + 1, TotalVariation(0.3), x=TIED),
    "logistic, tv": curve(Logistic(), LABELS, TotalVariation(0.2)),
    "logistic, tv, weights": curve(Logistic(), LABELS, TotalVariation(0.2), weights=weights(20.0, 3)),
    "logistic, tv, increasing": curve(Logistic(), LABELS, TotalVariation(0.1), constraints=[Increasing()]),
    "logistic, trend": curve(Logistic(), LABELS, Trend(0.02)),
    "log cosh, increasing": curve(LogCosh(), CURVE, constraints=[Increasing()]),
    "log cosh, tv, ties": curve(LogCosh(), CURVE, TotalVariation(0.2), x=TIED),
    "log cosh, bounds": curve(LogCosh(), CURVE, constraints=[Bounds(0.5, 2.5)], ridge=0.1),
    "poisson, l1, linear": Problem(LINE, COUNTS, loss=Poisson(), regularizers=[Ridge(0.1), L1(2.0)], intercept=True),
}


def full_fits(problem, tol=1e-6):
    form = canonicalize(problem)
    answer = solve_with("interior", form, Options(tol=tol))
    return FullFits(form, answer.w, answer.u)


def held_out(problem, held, w):
    """Predictions of every fold's rows from its own w."""
    matrix, rows = problem.design.matrix, problem.design.row_of
    return np.concatenate(
        [matrix[fold if rows is None else rows[fold]] @ one for fold, one in zip(held, w, strict=True)]
    )


def refits(problem, held):
    """The same from refits, whose tolerance is rounding."""
    form = canonicalize([problem] * len(held), held)
    return held_out(problem, held, solve_with("interior", form, Options(tol=1e-15, max_iterations=80)).w)


def check(problem, held, handed_back=HANDED_BACK):
    (found,) = solve_folds([full_fits(problem)], Layout.of(problem, held))
    exact = found.gap[0] <= EXACT_GAP
    assert (~exact).mean() <= handed_back
    apart = held_out(problem, held, found.w[0]) - refits(problem, held)
    sure = np.repeat(exact, [len(fold) for fold in held])
    assert np.abs(apart[sure]).max(initial=0) <= NEAR * np.ptp(problem.y)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_fold_is_a_refit_without_its_row(name):
    check(PROBLEMS[name], leave_one_out(len(PROBLEMS[name].design.x)))


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_fold_of_many_rows_is_a_refit_without_them(name):
    n = len(PROBLEMS[name].design.x)
    check(PROBLEMS[name], k_fold(n, 8), HANDED_BACK_OF_LARGE)
    check(PROBLEMS[name], [np.arange(low, min(low + 2, n)) for low in range(0, n, 2)])


@pytest.mark.parametrize("name", PROBLEMS)
def test_scores_are_those_of_refits_and_every_gap_is_told(name):
    problem = PROBLEMS[name]
    held = leave_one_out(len(problem.design.x))
    (score,) = score_settings([problem], held)
    assert score.largest_gap <= EXACT_GAP and sum(score.work.values()) == len(held)
    rows = np.flatnonzero(problem.weights) if problem.weights is not None else np.arange(len(problem.y))
    offset = 0 if problem.offset is None else problem.offset[rows]
    level = problem.level
    assert np.abs(score.predictions[rows] - offset - level - refits(problem, held)).max() <= NEAR * np.ptp(problem.y)


@pytest.mark.parametrize("name", ["poisson, increasing", "logistic, tv", "log cosh, tv, ties"])
def test_a_gap_is_no_less_than_what_a_fold_falls_short(name, monkeypatch):
    """Of folds left after one round: the objective of each at its w, and its z, beside those of its refit."""
    problem, held, stopped = PROBLEMS[name], leave_one_out(40), []

    def once(rounds, w, gap, force):
        going = correct(rounds, w, gap, force)
        stopped.append(rounds)
        return np.zeros_like(going)

    correct = Corrections.correct
    monkeypatch.setattr(Corrections, "correct", once)
    (found,) = solve_folds([full_fits(problem)], Layout.of(problem, held))
    form = canonicalize([problem] * 40, held)
    best = solve_with("interior", form, Options(tol=1e-15, max_iterations=80)).w

    def objective(w):
        value = form.value(form.forward(w))
        return np.where(np.isfinite(value), value, 0).sum(axis=1) + 0.5 * np.vecdot(w, form.penalty * w)

    (rounds,), w = stopped, found.w[0]
    short = objective(w) - objective(best)
    assert short.max() > 1e-9 and (short <= found.gap[0] * rounds.gap_scale + 1e-9).all()
    known = rounds.apart(np.arange(40), w @ rounds.a.T)
    assert np.isfinite(known).any() and (np.abs((w - best) @ rounds.a.T) <= known + 1e-9).all()


def test_what_a_correction_raises_is_raised(monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("here")

    problem = PROBLEMS["logistic, tv"]
    monkeypatch.setattr(Corrections, "correct", fails)
    with pytest.raises(ZeroDivisionError, match="here"):
        solve_folds([full_fits(problem)], Layout.of(problem, leave_one_out(40)))


RACES = {
    "poisson, increasing": ["gamma", "ridge"],
    "logistic, tv": ["ridge", "tv"],
    "log cosh, tv, ties": ["ridge", "tv"],
    "truncated poisson, tv": ["gamma", "tv"],
}


@pytest.mark.thinned(8)
@pytest.mark.parametrize("name", RACES)
@pytest.mark.parametrize("method", ["loo", "kfold:8"])
def test_a_race_spares_folds_and_changes_no_choice(name, method):
    problem = PROBLEMS[name]
    raced, full = (select(problem, RACES[name], method, complete=flag) for flag in (False, True))
    assert raced.problem.hyperparameters == full.problem.hyperparameters
    assert raced.score == pytest.approx(full.score, rel=1e-9) and full.work["spared"] == 0
    assert raced.work["spared"] > 0 and raced.fits == full.fits == sum(raced.work.values())
    for one, other in zip(raced.table, full.table, strict=True):
        if "dropped" in one:
            assert raced.score < one["score"] <= other["score"] + 1e-9 * abs(other["score"])
            assert math.isnan(one["standard_error"])


@pytest.mark.slow
def test_a_choice_does_not_depend_on_threads():
    problem, free = PROBLEMS["logistic, tv"], ["ridge", "tv"]
    try:
        set_threads(1)
        one = select(problem, free, "loo")
        set_threads(3)
        three = select(problem, free, "loo")
    finally:
        set_threads(None)
    assert one.table == three.table and np.array_equal(one.predictions, three.predictions)
