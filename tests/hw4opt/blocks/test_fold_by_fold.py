"""Held-out errors of models with a dual variable per row, over rows in blocks, against the same folds in memory."""

import _thread
import pickle

import numpy as np
import pytest

from hw4opt import InputError, RefusedError
from hw4opt.blocks import choose, fold_by_fold, rows, select_blocks, survey
from hw4opt.blocks.held_out import FoldRule
from hw4opt.running import array_files
from hw4opt.selection import refits
from hw4opt.selection.held_out import score_settings
from tests.hw4opt.blocks.test_all_rows import Parts, cases
from tests.hw4opt.executors import LastFirst

GRID = {"grid": {"ridge": (0.01, 1.0, 3)}, "search": "grid"}


def in_memory(model, columns, folds, metric):
    """The score of the folds that the rule for rows in blocks gives."""
    seen = survey.survey(model, rows.SourceSums(Parts(*columns)))
    problem = model.on(model.data_of(*columns))
    numbers = np.arange(len(problem.y)) if problem.active is None else problem.active
    labels = FoldRule(4, folds == "shuffled", 7, seen).of(numbers)
    (score,) = score_settings([problem], [np.flatnonzero(labels == fold) for fold in range(4)], metric)
    return score


@pytest.mark.parametrize(("folds", "metric"), [("shuffled", "loss"), ("contiguous", "absolute")])
@pytest.mark.parametrize("name", cases())
def test_scores_are_those_of_the_same_folds_in_memory(name, folds, metric, monkeypatch):
    """With all large arrays in files."""
    monkeypatch.setattr(array_files, "SMALLEST_FILE", 0)
    monkeypatch.setattr(rows, "BLOCK_ROWS", 128)
    model, columns = cases()[name]
    memory = fold_by_fold.fold_bytes_per_row(model, columns[0].ndim) * len(columns[1])
    given = Parts(*columns), (), "kfold:4"
    found = select_blocks(model, *given, metric=metric, folds=folds, seed=7, memory=memory)
    known = in_memory(model, columns, folds, metric)
    assert found.score == pytest.approx(known.score, rel=1e-6)
    assert found.standard_error == pytest.approx(known.standard_error, rel=1e-6)
    assert found.largest_fold_gap <= 1e-9 and found.fits == 4 and found.passes == 2


@pytest.mark.thinned(3)
@pytest.mark.parametrize("name", cases())
def test_fits_that_are_sent_elsewhere_give_the_same_digits(name, monkeypatch):
    """On copies of the columns, the last fold first, with large arrays in files."""
    model, columns = cases()[name]
    given = Parts(*columns), ("ridge",), "kfold:4"
    here = select_blocks(model, *given, **GRID)
    memory = fold_by_fold.fold_bytes_per_row(model, columns[0].ndim) * len(columns[1])
    monkeypatch.setattr(array_files, "SMALLEST_FILE", 0)
    executor, said = LastFirst(), []
    monkeypatch.setattr(rows.SourceSums, "executor", executor)
    there = select_blocks(model, *given, **GRID, memory=memory, cost=lambda *told: said.append(told))
    assert there.table == here.table and executor.numbers == 3 * [0, 1, 2, 3] and len(said) == 1


def test_columns_are_all_that_is_sent(monkeypatch):
    sent, executor = [], LastFirst()
    monkeypatch.setattr(
        executor, "spread", lambda act, tasks: sent.append(pickle.dumps(act)) or LastFirst().spread(act, tasks)
    )
    monkeypatch.setattr(rows.SourceSums, "executor", executor)
    model, columns = cases()["tv"]
    select_blocks(model, Parts(*columns), ("ridge",), "kfold:4", **GRID)
    assert len(sent) == 3 and max(map(len, sent)) < 40 * len(columns[1]) + 10_000


def test_the_cost_is_told_behind_the_first_fit_and_before_the_others(monkeypatch):
    said, solves, prove = [], [], refits.prove
    monkeypatch.setattr(refits, "prove", lambda *given: solves.append(given) or prove(*given))
    model, columns = cases()["tv"]
    tell = lambda fits, count, seconds: said.append((fits, count, seconds > 0, len(solves)))  # noqa: E731
    found = select_blocks(model, Parts(*columns), ("ridge",), "kfold:4", **GRID, cost=tell)
    assert said == [(12, 900, True, 1)] and found.fits == len(solves) == 12
    select_blocks(model.with_hyperparameters({"tv": 0.1}), Parts(*columns), ("ridge",), "auto", **GRID, cost=tell)
    assert len(said) == 1


def test_an_interruption_keeps_the_best_so_far(ctrl_c):
    model, columns = cases()["quantile"]
    whole = select_blocks(model, Parts(*columns), ("ridge",), "kfold:4", **GRID)

    def stop(done, total, best):
        if done == 8:
            _thread.interrupt_main()

    found = select_blocks(model, Parts(*columns), ("ridge",), "kfold:4", **GRID, progress=stop)
    assert found.interrupted and 2 <= len(found.table) <= 3 and found.table == whole.table[: len(found.table)]
    assert "the best so far is used" in found.notes[0]
    with pytest.raises(KeyboardInterrupt):  # there is no best so far
        select_blocks(model, Parts(*columns), ("ridge",), "kfold:4", **GRID, cost=lambda *_: _thread.interrupt_main())


def test_too_little_memory_is_refused_before_a_fit():
    model, columns = cases()["tv"]
    few = fold_by_fold.fold_bytes_per_row(model, 1) * len(columns[1]) - 1
    with pytest.raises(RefusedError, match=r"tv over rows in blocks needs \d+ bytes of memory per row, .* 900 rows"):
        select_blocks(model, Parts(*columns), (), "kfold:3", memory=few)


def test_a_fold_without_a_row_is_refused():
    model, (x, y, weights, _) = cases()["quantile"]
    weights = np.where(np.arange(len(y)) < 3, 1.0, 0.0)
    with pytest.raises(InputError, match="one of 3 folds holds out no row"):
        for seed in range(10):  # three rows fall into three folds in 2 of 9 draws
            select_blocks(model, Parts(x, y, weights), (), "kfold:3", seed=seed)


def test_an_unproven_fold_is_told(monkeypatch):
    monkeypatch.setattr(choose, "PROVEN_GAP", -1.0)
    model, columns = cases()["quantile"]
    found = select_blocks(model, Parts(*columns), (), "kfold:3")
    assert found.table[0]["unproven"]
