"""Prediction intervals from the fits without each fold: which fits are kept, and what is made of them."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hw4opt.selection.keep as keeping
import hw4opt.selection.plan as planning
from held_out_cases import CASES, COUNTS, LABELS, SMALL, WIDE, X, Y, tight, without
from hw4opt import (
    RBF,
    Absolute,
    Huber,
    Increasing,
    InputError,
    Logistic,
    Poisson,
    Problem,
    Result,
    Ridge,
    Squared,
    TotalVariation,
    fit,
    fit_batch,
)
from hw4opt.inference import intervals
from hw4opt.problem import HeldOutFits
from hw4opt.selection import k_fold, leave_one_out, score_settings, select
from hw4opt.selection.folds import leave_x_out

CASES = {name: problem for name, problem in CASES.items() if not isinstance(problem.loss, Logistic)}


def kept(problem, method="loo", **how):
    """The fit of a problem at its own hyper-parameters, with its held-out fits."""
    return fit(select(problem, [], method=method, keep_folds=True, **how).problem)


def nth(values, k):
    return sorted(values)[k - 1]


def by_definition(method, k, m, errors, centre):
    """The two ends at one point, from the fold predictions m of every row, by sorting."""
    n = len(errors)
    if method == "base":
        return centre - nth(errors, k), centre + nth(errors, k)
    if method == "minmax":
        return min(m) - nth(errors, k), max(m) + nth(errors, k)
    return nth(m - errors, n + 1 - k), nth(m + errors, k)


# ---- the definition


@pytest.mark.parametrize("method", intervals.METHODS)
def test_ridge_regression_through_the_origin_by_hand(method):
    """Without row i the slope is (Σxy - x_i y_i)/(Σx² - x_i² + ridge)."""
    x, y = WIDE[:, 0], WIDE[:, 0] - 0.3 + WIDE[:, 1]
    result = kept(Problem(x, y, regularizers=[Ridge(0.7)]))
    slopes = (x @ y - x * y) / (x @ x - x * x + 0.7)
    points, ends = result.predict_interval([0.0, 1.5, -2.0], [0.9, 0.5], method)
    slope = x @ y / (x @ x + 0.7)
    assert_allclose(points, slope * np.array([0, 1.5, -2]), rtol=1e-12)
    assert ends.shape == (3, 2, 2)
    for place, new in enumerate((0.0, 1.5, -2.0)):
        for j, k in enumerate((14, 8)):  # ⌈0.9·15⌉, ⌈0.5·15⌉
            wanted = by_definition(method, k, slopes * new, np.abs(y - slopes * x), slope * new)
            assert_allclose(ends[place, :, j], wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["huber, tv", "increasing", "absolute, weights", "offset", "linear, l1, intercept"])
@pytest.mark.parametrize("method", ["loo", "kfold:4", "loo:x"])
def test_intervals_are_those_of_refits(name, method):
    problem = CASES[name]
    result = kept(problem, method)
    x = problem.active_x
    folds = {
        "loo": lambda: leave_one_out(len(x)),
        "kfold:4": lambda: k_fold(len(x), 4),
        "loo:x": lambda: leave_x_out(x),
    }[method]()
    active = np.arange(len(problem.y)) if problem.active is None else problem.active
    new = problem.x[:5] + 0.05
    offset = np.zeros(len(problem.y)) if problem.offset is None else problem.offset
    there = 0.1 * np.arange(5.0) if problem.offset is not None else np.zeros(5)
    m, errors = np.zeros((5, len(active))), np.zeros(len(active))
    for held in folds:
        rows = active[held]
        refit = tight(without(problem, rows))
        m[:, held] = (refit.predict(new) + there)[:, None]
        errors[held] = np.abs(problem.y[rows] - refit.predict(problem.x[rows]) - offset[rows])
    centre = result.predict(new) + there
    k = math.ceil(0.8 * (len(active) + 1))
    for how in intervals.METHODS:
        points, ends = result.predict_interval(new, 0.8, how, None if problem.offset is None else there)
        assert_allclose(points, centre, rtol=1e-12, atol=1e-12)
        wanted = [by_definition(how, k, m[place], errors, centre[place]) for place in range(5)]
        assert_allclose(ends[:, :, 0], wanted, rtol=0, atol=1e-6 * np.std(problem.y))


def test_counts_have_intervals_of_their_mean():
    """Errors and predictions are means, exp(f + offset)."""
    problem = CASES["poisson, linear, offset"]
    result, active = kept(problem), problem.active
    new, there = WIDE[:4] + 0.1, np.array([0.0, 0.5, 1.0, -0.5])
    refits = [tight(without(problem, [row])) for row in active]
    m = np.stack([np.exp(one.predict(new) + there) for one in refits], axis=1)
    pairs = zip(refits, active, strict=True)
    errors = np.array([abs(COUNTS[i] - np.exp(one.predict(WIDE[[i]]) + problem.offset[i])[0]) for one, i in pairs])
    points, ends = result.predict_interval(new, 0.75, offset=there)
    assert_allclose(points, result.predict_mean(new, there), rtol=1e-12)
    k = math.ceil(0.75 * (len(active) + 1))
    wanted = [by_definition("plus", k, row, errors, None) for row in m]
    assert_allclose(ends[:, :, 0], wanted, rtol=1e-6)
    with pytest.raises(InputError, match="the fit had an offset; give offset"):
        result.predict_interval(new)


def test_ranks_are_those_of_the_decimal():
    """0.07·100 is 7.000000000000001 in doubles."""
    assert intervals.rank(0.07, 99) == 7 and intervals.rank(0.9, 9) == 9 and intervals.rank(0.9, 8) == 9
    assert intervals.rank(np.float64(0.57), 99) == 57 and intervals.rank(1e-5, 10) == 1


def test_points_are_taken_by_blocks(monkeypatch):
    result, new = kept(SMALL), np.linspace(-0.1, 1.1, 50)
    for method in ("plus", "minmax"):
        whole = result.predict_interval(new, [0.9, 0.5], method)[1]
        with monkeypatch.context() as patch:
            patch.setattr(intervals, "BLOCK_ENTRIES", 7 * len(SMALL.y))
            assert_allclose(result.predict_interval(new, [0.9, 0.5], method)[1], whole, rtol=1e-13)
    assert result.predict_interval([], 0.9)[1].shape == (0, 2, 1)


def test_minmax_contains_plus():
    result, new = kept(SMALL, "kfold:6"), np.linspace(-0.5, 1.5, 40)
    plus, minmax = (result.predict_interval(new, 0.8, method)[1] for method in ("plus", "minmax"))
    assert (minmax[:, 0] <= plus[:, 0]).all() and (plus[:, 1] <= minmax[:, 1]).all()


def test_targets_are_held_as_often_as_guaranteed():
    """100 data sets of 19 rows, least squares with a given ridge: 1 - 2α = 0.6 by plus, 1 - α = 0.8 by minmax."""
    draw, held = np.random.default_rng(0), {"plus": [], "minmax": []}
    for _ in range(100):
        x = draw.standard_normal((99, 3))
        y = x @ [1.0, -1.0, 0.5] + draw.standard_t(2, 99)
        result = kept(Problem(x[:19], y[:19], regularizers=[Ridge(0.5)]))
        for method, inside in held.items():
            low, high = result.predict_interval(x[19:], 0.8, method)[1][:, :, 0].T
            inside.append(np.mean((low <= y[19:]) & (y[19:] <= high)))
    plus, minmax = np.mean(held["plus"]), np.mean(held["minmax"])
    assert 0.75 < plus < 0.85 and plus <= minmax and 0.8 <= minmax < 0.95


# ---- which fits are kept


@pytest.mark.parametrize("name", CASES)
def test_kept_fits_predict_what_was_scored(name):
    """Every engine: closed form, Newton, paths, interior points, refits."""
    problem = CASES[name]
    result, size = kept(problem), len(problem.active_x)
    (score,) = score_settings([problem], leave_one_out(size))
    fits = result.problem.held_out
    assert fits.folds == size and fits.method == "loo" and not fits.grouped and fits.unproven == 0
    loss, y = problem.loss, problem.y
    y = loss.observed(loss.check_targets(y)) if isinstance(loss, Poisson) else y
    predicted = loss.mean(score.predictions) if isinstance(loss, Poisson) else score.predictions
    used = ~np.isnan(score.predictions)
    errors = np.abs(y - predicted)[used]
    assert_allclose(intervals.errors(result.problem), errors, rtol=1e-9, atol=1e-9 * np.std(problem.y))


@pytest.fixture
def no_second_solve(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the folds of the chosen setting were solved once more")

    monkeypatch.setattr(keeping, "score_settings", refuse)


WAYS = {
    "zoom, racing": {},
    "kfold": {"method": "kfold:5"},
    "groups": {"method": "kfold:3", "groups": np.arange(24) % 8},
    "grid": {"search": "grid", "grid": {"ridge": (0.01, 1, 5)}},
    "random": {"search": "random:9"},
    "absolute metric": {"metric": "absolute"},
    "complete": {"complete": True},
    "loo:x": {"method": "loo:x"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loss", [Huber(0.3), Squared()], ids=lambda loss: loss.name)
def test_the_fits_of_the_search_are_kept_and_the_choice_is_the_same(way, loss, no_second_solve):
    problem = dataclasses.replace(SMALL, loss=loss)
    plain, found = (
        select(problem, ["gamma", "ridge"], **({"method": "loo"} | WAYS[way]), keep_folds=keep)
        for keep in (False, True)
    )
    assert (plain.table, plain.score, plain.fits, plain.work) == (found.table, found.score, found.fits, found.work)
    assert plain.problem.held_out is None
    fits = found.problem.held_out
    assert fits.w.shape == (fits.folds, found.problem.design.matrix.shape[1])
    assert fits.grouped == (way in ("groups", "loo:x")) and fits.method == found.method
    assert_allclose(intervals.errors(found.problem), np.abs(SMALL.y - found.predictions), rtol=1e-12, atol=1e-13)


def test_only_the_fits_of_the_setting_to_choose_are_in_memory(monkeypatch):
    from hw4opt.selection import choose

    states = []
    runs = choose.SettingRuns
    monkeypatch.setattr(choose, "SettingRuns", lambda *given: states.append(runs(*given)) or states[0])
    select(SMALL, ["gamma", "ridge"], method="loo", keep_folds=True)
    (state,) = states
    assert len(state.tried) > 20 and [score.kept is not None for _, score in state.tried].count(True) == 1
    assert state.best()[1].kept is not None


def test_another_setting_than_the_best_is_solved_once_more():
    found = select(SMALL, ["gamma", "ridge"], method="loo", one_se=True, keep_folds=True)
    assert found.problem.hyperparameters != select(SMALL, ["gamma", "ridge"], method="loo").problem.hyperparameters
    assert_allclose(intervals.errors(found.problem), np.abs(SMALL.y - found.predictions), rtol=1e-9, atol=1e-12)


def test_after_a_search_on_a_subset_the_folds_are_ten_of_all_rows(monkeypatch):
    monkeypatch.setattr(planning, "AUTO_SECONDS", 0.0)
    monkeypatch.setattr(planning, "SUBSET_ROWS", 20)
    draw = np.random.default_rng(3)
    x = np.sort(draw.uniform(0, 1, 60))
    problem = Problem(x, np.sin(6 * x) + 0.2 * draw.standard_normal(60), RBF(10), Huber(0.5), [Ridge(0.1)])
    found = select(problem, ["ridge"], keep_folds=True)
    assert np.isnan(found.predictions).sum() == 40
    fits = found.problem.held_out
    assert (fits.folds, fits.method, len(fits.fold_of)) == (10, "kfold:10", 60)
    (score,) = score_settings([found.problem], k_fold(60, 10))
    assert_allclose(intervals.errors(found.problem), np.abs(problem.y - score.predictions), rtol=1e-9, atol=1e-12)


def test_an_interrupted_search_keeps_those_of_its_best(monkeypatch, no_second_solve):
    from hw4opt.selection import setting_runs

    score, calls = setting_runs.score_settings, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(*given)

    monkeypatch.setattr(setting_runs, "score_settings", interrupted)
    monkeypatch.setattr(setting_runs, "TASK_ENTRIES", 10_000)
    found = select(SMALL, ["gamma", "ridge"], method="loo", keep_folds=True)
    assert found.interrupted and found.problem.held_out is not None


def test_problems_made_from_the_chosen_one_do_not_have_its_fits():
    problem = select(SMALL, [], method="loo", keep_folds=True).problem
    assert problem.held_out is not None
    assert problem.with_hyperparameters({"ridge": 1.0}).held_out is None
    assert dataclasses.replace(problem, weights=np.arange(24.0)).held_out is None


def test_a_batch_keeps_fits_over_the_same_basis_and_no_others():
    chosen = [select(replace_y(SMALL, sign), [], method="loo", keep_folds=True).problem for sign in (1, -1)]
    first, second = fit_batch(chosen)
    (_, ends), (_, mirrored) = first.predict_interval([0.3, 0.6]), second.predict_interval([0.3, 0.6])
    assert_allclose(mirrored[:, ::-1], -ends, rtol=1e-9)
    problem = chosen[0]
    basis = problem.design.reduced
    problem.share_design(
        dataclasses.replace(problem.design, basis=dataclasses.replace(basis, points=basis.points + 1e-9))
    )
    assert problem.held_out is None


def replace_y(problem, sign):
    return dataclasses.replace(problem, y=sign * problem.y)


# ---- what is refused, and what is said


def test_labels_have_no_intervals():
    problem = Problem(X, LABELS, RBF(5), Logistic(), [Ridge(0.1)])
    sentence = "an interval holds numbers, and the targets of logistic are labels of two classes"
    with pytest.raises(InputError, match=f"`keep_folds` is for prediction intervals: {sentence}"):
        select(problem, [], keep_folds=True)
    with pytest.raises(InputError, match=sentence):
        fit(problem).predict_interval([0.5])


def test_a_result_without_held_out_fits_says_how_to_get_them():
    with pytest.raises(
        InputError, match=r"no held-out fits; choose with select\(…, keep_folds=True\) and fit its problem"
    ):
        fit(SMALL).predict_interval([0.5])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"level": 0.97}, "level 0.97 needs 33 held-out rows or more, and there are 24; give a lower one"),
        ({"level": 1.0}, "level is 1; it must lie between 0 and 1"),
        ({"level": [0.9, 0.0]}, "level is 0; it must lie between 0 and 1"),
        ({"level": []}, "level holds no number"),
        ({"level": "0.9"}, "level is '0.9'; it must be a number"),
        ({"method": "naive"}, "method is 'naive'; there are base, plus and minmax"),
        ({"offset": [0.1]}, "the fit had no offset; drop offset"),
    ],
)
def test_bad_arguments_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        kept(SMALL).predict_interval([0.5], **given)


@pytest.mark.parametrize(("level", "rows"), [(0.9, 9), (0.5, 2), (0.8, 4), (0.95, 19)])
def test_the_fewest_rows_of_a_level(level, rows):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows + 1, 1))

    def result(count):
        return kept(Problem(x[:count], x[:count, 0] + draw.standard_normal(count), regularizers=[Ridge(1.0)]))

    assert np.isfinite(result(rows + 1).predict_interval(x, level)[1]).all()
    if rows > 2:
        assert np.isfinite(result(rows).predict_interval(x, level)[1]).all()
        with pytest.raises(InputError, match=f"level {level:g} needs {rows} held-out rows or more"):
            result(rows - 1).predict_interval(x, level)


def test_folds_without_a_finite_maximum_keep_nothing_and_say_so():
    x = np.array([0.0, 0, 0, 0, 0, 1, 1])
    found = select(
        Problem(x, [1.0, 2, 1, 3, 2, 0, 4], loss=Poisson(), intercept=True), [], method="loo", keep_folds=True
    )
    assert found.problem.held_out is None
    assert "no held-out fits are kept: some have no finite maximum, and intervals need all of them" in found.notes


def test_what_the_guarantees_ask_for_is_said_where_it_is_missing():
    assert intervals.caveats(kept(SMALL).problem) == []
    weighted = dataclasses.replace(SMALL, weights=1.0 + np.arange(24) % 3)
    assert intervals.caveats(kept(weighted).problem) == [
        "rows of unequal weights count alike in the intervals: no coverage is guaranteed"
    ]
    some = dataclasses.replace(SMALL, weights=np.where(np.arange(24) % 5, 2.0, 0.0))
    assert intervals.caveats(kept(some).problem) == []
    groups = kept(SMALL, "kfold:4", groups=np.arange(24) % 6).problem
    assert intervals.caveats(groups) == [
        "rows were left out together by group or x, which no guarantee of the intervals covers"
    ]
    fits = dataclasses.replace(groups.held_out, unproven=2, grouped=False)
    assert intervals.caveats(fits.attached_to(groups, groups.design)) == [
        "2 of the 4 held-out fits behind the intervals are not proven"
    ]


def test_unproven_folds_are_counted(monkeypatch):
    import hw4opt.selection.fold_results as results

    monkeypatch.setattr(results, "PROVEN_GAP", -1.0)
    assert kept(SMALL, "kfold:4").problem.held_out.unproven == 4


# ---- copies and files


def test_copies_and_files_give_the_same_intervals(tmp_path):
    for problem in (SMALL, CASES["huber"], CASES["two columns"], CASES["linear, l1, intercept"], CASES["poisson"]):
        result, new = kept(problem, "kfold:5"), problem.x[:4] + 0.01
        result.save(tmp_path / "m.json")
        for again in (pickle.loads(pickle.dumps(result)), Result.load(tmp_path / "m.json")):
            fits = again.problem.held_out
            assert isinstance(fits, HeldOutFits) and not fits.w.flags.writeable and not fits.fold_of.flags.writeable
            assert_array_equal(fits.w, result.problem.held_out.w)
            assert_array_equal(fits.fold_of, result.problem.held_out.fold_of)
            assert (fits.method, fits.grouped, fits.unproven) == ("kfold:5", False, 0)
            for one, other in zip(again.predict_interval(new, 0.7), result.predict_interval(new, 0.7), strict=True):
                assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_a_kept_fit_may_be_of_any_terms():
    """Of one setting of three terms, racing against the others."""
    problem = Problem(X, Y, RBF(5), Absolute(), [Ridge(0.1), TotalVariation(0.2)], [Increasing()])
    found = select(problem, ["ridge", "tv"], method="loo", keep_folds=True)
    assert any(row.get("dropped") for row in found.table)
    assert_allclose(intervals.errors(found.problem), np.abs(Y - found.predictions), rtol=1e-9, atol=1e-12)
