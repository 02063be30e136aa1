"""The search on top of held-out errors: what is tried, what is chosen, and what is said about it."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hw4opt.selection.plan as planning
import hw4opt.selection.setting_runs as setting_runs
from held_out_cases import SMALL, agree, loo, refits, small, tight
from hw4opt import (
    L1,
    RBF,
    Huber,
    InputError,
    Laplacian,
    Matern52,
    Poisson,
    Polynomial,
    Precomputed,
    Problem,
    Ridge,
    Squared,
    Status,
    Trend,
    fit,
)
from hw4opt.datasets import step_data
from hw4opt.selection import k_fold, leave_one_out, score_settings, select
from hw4opt.selection.ranges import default_range


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


@pytest.mark.parametrize(("low", "high", "end", "way"), [(1e3, 1e4, "1000", "lower"), (1e-9, 1e-8, "1e-08", "upper")])
def test_a_best_setting_on_the_edge_is_a_note(low, high, end, way):
    chosen = select(SMALL, [], "loo", "grid", grid={"ridge": (low, high, 3)})
    words = f"ridge = {end} lies on the {way} edge", "`grid={'ridge': (low, high, count)}`"
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
    monkeypatch.setattr(setting_runs, "SHARED_TASK_FITS", 0)
    calls = []

    def progress(done, total, score):
        calls.append((done, total, score))
        if len(calls) == 3:
            raise KeyboardInterrupt

    chosen = select(SMALL, ["gamma", "ridge"], "loo", complete=True, progress=progress)
    assert (
        chosen.interrupted
        and len(chosen.table) == 3 * 7
        and any("interrupted after 21 settings" in note for note in chosen.notes)
    )
    assert chosen.score == best_of(chosen)["score"] == calls[-1][2]
    assert chosen.problem.hyperparameters == {name: best_of(chosen)[name] for name in ("gamma", "ridge")}
    assert [done for done, _, _ in calls] == [7 * 24, 14 * 24, 21 * 24] and calls[0][1] == 49 * 24


def test_an_interruption_keeps_parts_of_a_basis(monkeypatch):
    monkeypatch.setattr(setting_runs, "TASK_ENTRIES", 2 * 24 * 24)
    calls = []

    def progress(done, total, score):
        calls.append(done)
        if len(calls) == 5:
            raise KeyboardInterrupt

    chosen = select(SMALL, ["gamma", "ridge"], "loo", complete=True, progress=progress)
    assert calls == [24 * count for count in (2, 4, 6, 7, 9)] and chosen.interrupted and len(chosen.table) == 9


def test_settings_in_parts_are_settings_together(monkeypatch):
    together = select(SMALL, ["gamma", "ridge"], "loo", "grid")
    monkeypatch.setattr(setting_runs, "TASK_ENTRIES", 0)
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

    monkeypatch.setattr(setting_runs, "score_settings", scored)


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
        InputError, match=r"x spans 9.*e-161, for which gamma is beyond floating point; measure x in another unit"
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
    monkeypatch.setattr(planning, "AUTO_SECONDS", 0.0)
    monkeypatch.setattr(planning, "SUBSET_ROWS", 20)
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
