"""Held-out errors over rows in blocks, against the same folds in memory, which use other code for sums and steps."""

from types import SimpleNamespace

import numpy as np
import pytest

from hw4opt import RBF, Huber, InputError, Logistic, Poisson, Polynomial, Quantile, RefusedError, Ridge, Squared
from hw4opt.blocks import ArrayRows, held_out, reference, rows, select_blocks, survey
from hw4opt.blocks.choose import _sample_problem
from hw4opt.problem import Model
from hw4opt.selection import select
from hw4opt.selection.held_out import score_settings

SIZE = 1_500
LOSSES = {"squared": Squared(), "huber": Huber(0.5), "poisson": Poisson(), "logistic": Logistic()}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Many blocks, and a sample that is a small part of the rows."""
    monkeypatch.setattr(rows, "BLOCK_ROWS", 128)
    monkeypatch.setattr(survey, "SAMPLE_ROWS", 100)


def data_of(name, level=40):
    """x, targets, weights (some 0), and an offset for counts."""
    draw = np.random.default_rng(5)
    x = draw.uniform(0, 1, SIZE)
    y = level + np.sin(8 * x) + 0.3 * draw.standard_normal(SIZE) + 9 * (draw.uniform(size=SIZE) < 0.05)
    if name == "poisson":
        y = draw.poisson(np.exp(0.5 + np.sin(6 * x))).astype(float)
    if name == "logistic":
        y = (draw.uniform(size=SIZE) < 1 / (1 + np.exp(-2 * np.sin(6 * x)))).astype(float)
    weights = draw.uniform(0.5, 2, SIZE)
    weights[::17] = 0
    return (x, y, weights, 0.1 * draw.standard_normal(SIZE)) if name == "poisson" else (x, y, weights)


def scored(name, intercept, metric):
    """Scores of three ridges over blocks, and in memory."""
    models = [Model(RBF(30.0), LOSSES[name], [Ridge(ridge)], intercept=intercept) for ridge in (0.01, 1.0, 30.0)]
    data = data_of(name, 40 if intercept else 0)
    sums = rows.SourceSums(ArrayRows.of(*data))
    seen = survey.survey(models[0], sums)
    trivial = reference.trivial_fit(models[0], seen, sums)
    rule = held_out.FoldRule(5, True, 3, seen)
    found = list(held_out.held_out(models, sums, seen, trivial, rule, metric))
    problems = [model.on(model.data_of(*data)) for model in models]
    folds = [np.flatnonzero(rule.of(problems[0].active) == fold) for fold in range(rule.count)]
    return found, score_settings(problems, folds, metric)


@pytest.mark.parametrize("metric", ["loss", "absolute"])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_scores_are_those_of_the_same_folds_in_memory(name, intercept, metric):
    found, known = scored(name, intercept, metric)
    for ours, theirs in zip(found, known, strict=True):
        assert ours.score == pytest.approx(theirs.score, rel=1e-8)
        assert ours.standard_error == pytest.approx(theirs.standard_error, rel=1e-7)
        assert ours.largest_gap <= 1e-9


def test_where_reads_end_early_the_gap_says_so(monkeypatch):
    """With only the first step the folds' fits are not exact, and their gaps show it."""
    monkeypatch.setattr(held_out, "descents", lambda *given: lambda gradient: np.zeros_like(gradient))
    found, known = scored("poisson", False, "loss")
    assert min(one.largest_gap for one in found) > 1e-9
    assert abs(found[0].score / known[0].score - 1) > 1e-6


def test_folds_are_drawn_evenly_or_run_on():
    numbers = np.arange(100_000)
    blocks = SimpleNamespace(first=np.array([0, 6]), before=np.array([0, 4]), count=8)  # rows 1 and 3 have no weight
    for seed in (0, 1):
        counts = np.bincount(held_out.FoldRule(7, True, seed, blocks).of(numbers))
        assert len(counts) == 7 and np.abs(counts - len(numbers) / 7).max() < 5 * np.sqrt(len(numbers) / 7)
    drawn = [held_out.FoldRule(7, True, seed, blocks).of(numbers[:100]) for seed in (0, 1)]
    assert (drawn[0] != drawn[1]).any()
    runs = held_out.FoldRule(3, False, 0, blocks)
    assert runs.of(np.array([0, 2, 4, 5])).tolist() == [0, 0, 0, 1] and runs.of(numbers[6:10]).tolist() == [1, 1, 2, 2]
    sampled = rows.hashed(numbers, survey.SAMPLE_SEED) < 1 << 60
    share = np.bincount(held_out.FoldRule(7, True, survey.SAMPLE_SEED // 2, blocks).of(numbers[sampled]), minlength=7)
    assert share.min() > 0  # no seed of folds draws as the sample is drawn


def test_runs_of_rows_are_of_those_with_a_weight():
    """Half of the rows have weight 0: a fold that held out all others would have no training rows."""
    x, y, weights = data_of("squared", 0)
    weights[: SIZE // 2] = 0
    model = Model(RBF(30.0), Squared(), [Ridge(0.1)])
    found = select_blocks(model, ArrayRows.of(x, y, weights), (), "kfold:2", folds="contiguous")
    problem = model.on(model.data_of(x, y, weights))
    known = select(problem, [], "kfold:2", folds="contiguous")
    assert found.score == pytest.approx(known.score, rel=1e-8)


@pytest.mark.parametrize("loss", [Squared(), Quantile(0.7)])
def test_twins_are_told_as_in_memory_and_of_many_rows_by_the_sample(loss, monkeypatch):
    x, y, _ = data_of("squared", 0)
    model, source = Model(RBF(30.0), loss, [Ridge(0.1)]), ArrayRows.of(np.round(x, 2), y)
    monkeypatch.setattr(survey, "SAMPLE_ROWS", SIZE)
    (note,) = select_blocks(model, source, (), "kfold:3").notes
    known = select(model.on(model.data_of(np.round(x, 2), y)), [], "kfold:3").notes[0]
    assert note.partition(";")[0] == known.partition(";")[0] and "1500 of 1500 rows share their x with another" in note
    monkeypatch.setattr(survey, "SAMPLE_ROWS", 300)
    assert "sampled rows share their x" in select_blocks(model, source, (), "kfold:3").notes[0]
    assert select_blocks(model, ArrayRows.of(x, y), (), "kfold:3").notes == []
    linear = Model(None, loss, [Ridge(0.1)])
    assert select_blocks(linear, source, (), "kfold:3").notes == []


def test_a_fold_without_a_row_is_refused():
    x, y, weights = data_of("squared", 0)
    weights[:] = 0
    weights[:3] = 1
    model = Model(RBF(30.0), Squared(), [Ridge(0.1)])
    with pytest.raises(InputError, match="one of 3 folds holds out no row of positive weight: shuffled folds"):
        for seed in range(10):  # three rows fall into three folds in 2 of 9 draws
            select_blocks(model, ArrayRows.of(x, y, weights), (), "kfold:3", seed=seed)


def test_whole_numbers_are_rounded_and_each_setting_is_read_once():
    x, y, weights = data_of("squared", 0)
    model, grid = Model(Polynomial(2, 1.0), Squared(), [Ridge(0.1)]), {"polynomial.degree": (1, 4, 7)}
    table = select_blocks(model, ArrayRows.of(x, y, weights), (), "kfold:3", "grid", grid).table
    assert sorted(row["polynomial.degree"] for row in table) == [1, 2, 3, 4]


def test_reads_are_shared_by_folds_and_ridges():
    data = data_of("squared", 0)
    model, grid = Model(RBF(30.0), Squared(), [Ridge(1.0)]), {"ridge": (0.01, 1.0, 6)}
    few = select_blocks(model, ArrayRows.of(*data), (), "kfold:2", "grid", {"ridge": (0.01, 1.0, 1)})
    many = select_blocks(model, ArrayRows.of(*data), (), "kfold:10", "grid", grid)
    assert few.passes == many.passes and many.fits == 60
    huber = Model(RBF(30.0), Huber(0.5), [Ridge(1.0)])
    source = rows.SourceSums(ArrayRows.of(*data))
    one = select_blocks(huber, source, (), "kfold:10", "grid", grid)
    assert one.passes == source.passes <= many.passes + 2 + 10  # of the folds two more, and the full fits


@pytest.mark.slow
def test_a_search_finds_the_best_of_memory():
    data = data_of("squared", 0)
    model = Model(RBF(1.0), Squared(), [Ridge(1.0)])
    found = select_blocks(model, ArrayRows.of(*data), ("gamma", "ridge"), "kfold:5")
    again = select_blocks(found.model, ArrayRows.of(*data), (), "kfold:5")
    assert again.score == pytest.approx(found.score, rel=1e-9)
    assert found.score <= min(row["score"] for row in found.table)
    assert found.largest_fold_gap < 1e-9 and found.fits == 5 * len(found.table)
    smooth = select_blocks(model, ArrayRows.of(*data), ("gamma", "ridge"), "kfold:5", "random:6", one_se=True)
    near = [row for row in smooth.table if row["score"] <= min(row["score"] for row in smooth.table) + 1]
    assert smooth.model.ridge in [row["ridge"] for row in near]


def test_auto_chooses_on_a_sample_that_stands_for_all():
    data = data_of("huber", 0)
    model = Model(RBF(30.0), Huber(0.5), [Ridge(1.0)], standardize=True)
    source = rows.SourceSums(ArrayRows.of(*data))
    sample = _sample_problem(model, survey.survey(model, source))
    assert len(sample.y) < SIZE / 4 and sample.weights.sum() == pytest.approx(np.sum(data[2]), rel=0.2)
    found = select_blocks(model, source, (), "auto", "grid", {"ridge": (0.1, 10.0, 3)})
    assert found.model.standardize and found.model.ridge in (0.1, 1.0, 10.0)
    assert f"chosen on {len(sample.y)} of" in found.notes[0] and source.passes == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "loo"}, "there are auto, and kfold:K with K of 2 or more"),
        ({"method": "kfold:1"}, "there are auto, and kfold:K with K of 2 or more"),
        ({"method": "kfold:9999"}, "kfold:9999 needs as many rows as folds"),
        ({"grid": {"huber.delta": (0.1, 1.0, 3)}}, "metric loss would reward a shrinking loss"),
        ({"metric": "cubic"}, "metric"),
        ({"folds": "sorted"}, "folds"),
    ],
)
def test_what_cannot_be_chosen_is_one_sentence(given, said):
    model = Model(RBF(30.0), Huber(0.5), [Ridge(1.0)])
    with pytest.raises(InputError, match=said):
        select_blocks(model, ArrayRows.of(*data_of("huber")), ("ridge",), **{"method": "kfold:5", **given})
    quantiles = Model(RBF(1.0), Quantile((0.3, 0.7)), [Ridge(1.0)])
    with pytest.raises(RefusedError, match="quantile of several levels cannot be fitted"):
        select_blocks(quantiles, ArrayRows.of(*data_of("huber")), ("ridge",))
