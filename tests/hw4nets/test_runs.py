"""A run folder from start to end: what it holds, what it refuses, and that resuming it changes nothing."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from hw4nets.checkpoint import load_checkpoint, save_checkpoint
from hw4nets.config import Config
from hw4nets.errors import CheckpointError, InputError, WriteError
from hw4nets.evaluation import evaluate
from hw4nets.files import LOCK_FILE, write_text
from hw4nets.history import Watch
from hw4nets.models import Conv, Logistic
from hw4nets.recipes import Recipe, read_recipe
from hw4nets.runs import (
    CONFIG,
    CONFUSION,
    CURVES,
    HISTORY,
    RUN_FILES,
    SUMMARY,
    WORST,
    finished,
    load_model,
    open_run,
    read_history,
    run,
)

RECIPE = Recipe(Conv(M=6, N=7), Config(epochs=2, batch_size=20, lr=0.02, memory_format="contiguous", threads=1))
HEADER = "epoch,train_loss,train_accuracy,test_accuracy,images_per_second,seconds_train,seconds_eval"
KEYS = """net parameters seed epochs test_accuracy test_accuracy_flip train_accuracy best_epoch seconds_train
    seconds_eval images_per_second device pixels selected_on flops_per_image"""


@pytest.fixture(scope="session")
def original(tmp_path_factory, small):
    """A finished run: its folder and its outcome; tests change copies of the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HW4NETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = open_run(tmp_path_factory.mktemp("original") / "run", RECIPE, small)
        return folder, run(folder, RECIPE, small)


@pytest.fixture
def done(original, tmp_path):
    folder, outcome = original
    return Path(shutil.copytree(folder, tmp_path / "run")), outcome


def test_a_run_folder_holds_what_the_contract_says(done, small):
    folder, outcome = done
    assert sorted(path.name for path in folder.iterdir()) == sorted(RUN_FILES)
    summary = json.loads((folder / SUMMARY).read_text())
    assert set(KEYS.split()) <= set(summary) and summary == outcome.summary
    assert (folder / HISTORY).read_text().splitlines()[0] == HEADER
    assert read_history(folder) == outcome.history.rows
    rows = list(csv.DictReader((folder / HISTORY).read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[-1]["test_accuracy"]) == summary["test_accuracy"]
    assert (
        summary["net"] == "conv"
        and summary["pixels"] == "synthetic"
        and summary["selected_on"] == "none"
        and summary["best_epoch"] == 2
    )
    assert summary["parameters"] == sum(one.numel() for one in outcome.model.parameters())
    assert summary["images_per_second"] == pytest.approx(400 / summary["seconds_train"])
    for name in (CURVES, CONFUSION, WORST):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert tomllib.loads((folder / CONFIG).read_text())["data_sha256"] == small.sha256


def test_the_checkpoint_is_the_network_that_was_tested(done, small):
    folder, outcome = done
    model, execution = load_model(folder / "last.pt", RECIPE)
    found = evaluate(model, small, execution)
    assert (
        found.accuracy == outcome.summary["test_accuracy"]
        and found.accuracy_flip == outcome.summary["test_accuracy_flip"]
    )
    with pytest.raises(CheckpointError, match="does not fit the network logistic"):
        load_model(folder / "last.pt", Recipe(Logistic(), Config()))


@pytest.mark.parametrize(
    "name, content", [("config.toml", 'net = "of another program"'), ("summary.json", "{}"), ("config.toml", "[")]
)
def test_a_folder_of_another_program_is_not_overwritten(tmp_path, small, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="holds files that are not of a run"):
        open_run(tmp_path, RECIPE, small, overwrite=True)
    assert (tmp_path / name).read_text() == content


def test_checkpoints_of_another_program_are_not_overwritten(tmp_path, small):
    for name in ("last.pt", "best.pt"):
        torch.save({"model": torch.zeros(3)}, tmp_path / name)
    for how in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match="holds files that are not of a run"):
            open_run(tmp_path, RECIPE, small, **how)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "last.pt"]


def test_a_checkpoint_of_ours_is_a_run_without_its_config(done, small):
    folder, outcome = done
    (folder / CONFIG).unlink()
    assert run(open_run(folder, RECIPE, small, resume=True), RECIPE, small).history.rows == outcome.history.rows


def test_one_process_at_a_time_works_in_a_folder(done, small):
    folder, _ = done
    lines = f"""
import sys
from pathlib import Path
from hw4nets.files import locked
with locked(Path({str(folder)!r})):
    print("in", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "in\n"
            for act in (lambda: open_run(folder, RECIPE, small, overwrite=True), lambda: run(folder, RECIPE, small)):
                with pytest.raises(
                    InputError, match=r"another process works in .*; wait until it ends, or give another `folder`"
                ):
                    act()
        finally:
            other.kill()
    assert run(open_run(folder, RECIPE, small, resume=True), RECIPE, small).summary["epochs"] == 2
    assert not (folder / LOCK_FILE).exists()


def test_a_word_that_changes_no_step_does_not_stop_a_run_from_going_on(done, small):
    folder, outcome = done
    told = RECIPE.changed({"chosen_on": "test"})
    assert finished(folder, told, small) == outcome.summary
    assert run(open_run(folder, told, small, resume=True), told, small).summary["selected_on"] == "test"
    assert read_recipe(folder / CONFIG).config.chosen_on == "test"


@pytest.mark.parametrize("trained, here", [("bfloat16", "bfloat16"), ("float16", "float32")])
def test_a_network_is_evaluated_in_the_precision_of_its_training_where_that_can_be(done, trained, here):
    folder, _ = done
    save_checkpoint(folder, load_checkpoint(folder / "last.pt") | {"precision": trained}, best=False)
    recipe = RECIPE.changed({"precision": trained})
    assert load_model(folder / "last.pt", recipe, "cpu")[1].precision_name == here


def test_a_validation_split_adds_a_column(tmp_path, small):
    recipe = RECIPE.changed({"select": "validation"})
    folder = open_run(tmp_path / "run", recipe, small)
    assert run(folder, recipe, small).summary["selected_on"] == "validation"
    assert (folder / HISTORY).read_text().splitlines()[0] == HEADER + ",validation_accuracy"
    assert read_history(folder)[0].validation_accuracy is not None


def test_files_in_the_way_are_refused(done, tmp_path, small):
    folder, _ = done
    with pytest.raises(InputError, match="holds files already; give `resume=True` to go on, `overwrite=True`"):
        open_run(folder, RECIPE, small)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("mine")
    for how in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match="not of a run"):
            open_run(other, RECIPE, small, **how)
    (folder / "notes.txt").write_text("mine")
    (folder / ".last.abcd1234.pt").write_text("left by a killed process")
    open_run(folder, RECIPE, small, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, "notes.txt"]
    with pytest.raises(InputError, match="is a file; give a folder"):
        open_run(folder / "notes.txt", RECIPE, small)


def test_a_process_killed_at_its_first_write_leaves_nothing_in_the_way(tmp_path, small):
    for number, how in enumerate(({}, {"resume": True}, {"overwrite": True})):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".config.abcd1234.toml").write_text('net = "con')
        open_run(folder, RECIPE, small, **how)
        assert [path.name for path in folder.iterdir()] == [CONFIG]
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in (".config.mine.toml", ".lock"):
        (mine / name).write_text("of somebody")
    with pytest.raises(InputError, match="not of a run"):
        open_run(mine, RECIPE, small, overwrite=True)
    assert sorted(path.name for path in mine.iterdir()) == [".config.mine.toml", ".lock"]


def test_a_stopped_run_goes_on_to_the_same_end(tmp_path, small):
    class Stop(Watch):
        def epoch(self, row, epochs):
            raise KeyboardInterrupt

    whole = run(open_run(tmp_path / "whole", RECIPE, small), RECIPE, small)
    folder = open_run(tmp_path / "run", RECIPE, small)
    with pytest.raises(KeyboardInterrupt):
        run(folder, RECIPE, small, Stop())
    assert len(read_history(folder)) == 1 and finished(folder, RECIPE, small) is None
    (folder / ".last.abcd1234.pt").write_text("left by a killed process")
    outcome = run(open_run(folder, RECIPE, small, resume=True), RECIPE, small)
    assert not (folder / ".last.abcd1234.pt").exists()
    assert [(row.train_loss, row.test_accuracy) for row in outcome.history.rows] == [
        (row.train_loss, row.test_accuracy) for row in whole.history.rows
    ]
    assert finished(folder, RECIPE, small) == outcome.summary
    again = run(open_run(folder, RECIPE, small, resume=True), RECIPE, small)
    assert again.summary == outcome.summary


@pytest.mark.slow
@pytest.mark.parametrize(
    "left",
    ["", "epoch,train_loss\n1,x\n", HEADER + "\n1,0,0,0,0,0,0\n2,0,0,0,0,0,0\n3,0,0,0,0,0,0\n"],
    ids=["empty", "damaged", "other"],
)
def test_the_history_is_healed_from_the_checkpoint(done, small, left):
    folder, outcome = done
    (folder / HISTORY).write_text(left)
    heard = []

    class Ear(Watch):
        def start(self, history):
            heard.append(read_history(folder))

    run(open_run(folder, RECIPE, small, resume=True), RECIPE, small, Ear())
    assert heard == [outcome.history.rows]


def test_a_damaged_summary_is_written_again(done, small):
    folder, outcome = done
    (folder / SUMMARY).write_text("{")
    assert finished(folder, RECIPE, small) is None
    run(open_run(folder, RECIPE, small, resume=True), RECIPE, small)
    assert finished(folder, RECIPE, small) == outcome.summary


def test_resuming_with_other_settings_or_images_is_refused(done, parts, small):
    folder, _ = done
    with pytest.raises(InputError, match=r"other settings \(M 6, not 7; lr 0.02, not 0.3\)"):
        open_run(folder, RECIPE.changed({"M": 7, "lr": 0.3}), small, resume=True)
    with pytest.raises(InputError, match="is a run of conv, not logistic"):
        open_run(folder, Recipe(Logistic(), RECIPE.config), small, resume=True)
    with pytest.raises(InputError, match="on other images"):
        open_run(folder, RECIPE, type(small)(*parts, "synthetic", "0" * 64, "other"), resume=True)


def test_a_full_disk_while_training_is_a_sentence(tmp_path, small, monkeypatch):
    folder = open_run(tmp_path / "run", RECIPE, small)
    monkeypatch.setattr(torch, "save", lambda *words: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WriteError, match=r"cannot write .*last.pt: No space left on device"):
        run(folder, RECIPE, small)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG]


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    acts = []
    fsync, replaced = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda handle: acts.append(os.fstat(handle).st_size) or fsync(handle))
    monkeypatch.setattr("os.replace", lambda *names: acts.append("renamed") or replaced(*names))
    write_text(tmp_path / "a.txt", "four")
    assert acts == [4, "renamed"]


def test_a_history_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="not a run with a finished epoch"):
        read_history(tmp_path)
    for left in (HEADER + "\n", ""):
        (tmp_path / HISTORY).write_text(left)
        with pytest.raises(InputError, match="has no row"):
            read_history(tmp_path)
    for left in (HEADER + "\n1,x\n", HEADER + "\n1,0,0,0,0,0,0,7\n", HEADER + "\n1,0\n", "\0", "epoch,epochs\n1,2\n"):
        (tmp_path / HISTORY).write_text(left)
        with pytest.raises(InputError, match=r"cannot be read|no row"):
            read_history(tmp_path)
