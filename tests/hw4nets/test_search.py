"""Searches are seeded, resume where they stopped, never use test images, and end with a recipe that trains."""

import csv
import json
import os
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from hw4nets import search as module
from hw4nets.config import Config
from hw4nets.errors import InputError, NetsError, WriteError
from hw4nets.files import locked
from hw4nets.models import NETS, Base, Conv, Hidden, Logistic
from hw4nets.recipes import Recipe, preset, read_recipe, read_toml
from hw4nets.search import BEST_RECIPE_FILE, STUDY_FILE, TRIALS_FILE, search
from hw4nets.search_plan import Plan, default_space
from hw4nets.settings import Range
from hw4nets.workers import run_in_processes

RECIPE = Recipe(Logistic(), Config(epochs=2, batch_size=20, threads=1, memory_format="contiguous"))
SPACE = {"lr": Range(1e-4, 1e-1, log=True), "momentum": Range(0.0, 0.9)}


def values(found):
    return [(dict(trial.values), trial.accuracy, trial.ended) for trial in found.trials]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_is_seeded_and_goes_on_where_it_stopped(tmp_path, small, sampler):
    plan = Plan(RECIPE, SPACE, 3, sampler)
    whole = search(plan, small, tmp_path / "whole")
    heard = []

    def stop(trial, best):
        heard.append(trial.number)
        if trial.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(plan, small, tmp_path / "part", stop)
    resumed = search(plan, small, tmp_path / "part", lambda trial, best: heard.append(trial.number))
    assert values(resumed) == values(whole) and heard == [1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == [BEST_RECIPE_FILE, STUDY_FILE, TRIALS_FILE]
    assert values(search(Plan(RECIPE, SPACE, 2, sampler, seed=1), small, tmp_path / "other")) != values(whole)[:2]


def test_the_best_trial_becomes_a_recipe_that_says_where_it_was_chosen(tmp_path, small):
    found = search(Plan(RECIPE, SPACE, 5), small, tmp_path)
    best = max((trial for trial in found.trials if trial.ended == "finished"), key=lambda trial: trial.accuracy or 0)
    recipe = read_recipe(tmp_path / BEST_RECIPE_FILE)
    assert recipe == found.best and recipe.config.lr == best.values["lr"] and recipe.config.selected_on == "validation"
    kept = read_toml(tmp_path / BEST_RECIPE_FILE)
    assert (kept["data"], kept["pixels"], kept["data_sha256"]) == (small.source, small.pixels, small.sha256)
    assert found.accuracy == best.accuracy and set(found.importances) <= set(SPACE)
    rows = list(csv.DictReader((tmp_path / TRIALS_FILE).read_text().splitlines()))
    assert [row["trial"] for row in rows] == list("12345") and float(rows[0]["lr"]) == found.trials[0].values["lr"]


def test_no_trial_sees_a_test_image(tmp_path, small, monkeypatch):
    seen = []
    train = module.train
    monkeypatch.setattr(
        module, "train", lambda model, data, config, watch: seen.append(data) or train(model, data, config, watch=watch)
    )
    search(Plan(RECIPE, SPACE, 1), small, tmp_path)
    rows = {image.tobytes() for part in (seen[0].train, seen[0].test) for image in part.pixels}
    assert rows == {image.tobytes() for image in small.train.pixels} and not rows & {
        image.tobytes() for image in small.test.pixels
    }
    assert np.array_equal(sorted(map(len, (seen[0].train.labels, seen[0].test.labels))), [20, 180])


@pytest.mark.slow
def test_settings_that_cannot_run_are_told_and_passed_over(tmp_path, small):
    recipe = Recipe(Conv(M=4), RECIPE.config)
    found = search(Plan(recipe, {"N": (14, 30), "lr": (0.01, 1e5)}, 6, "random"), small, tmp_path)
    ended = {(trial.values["N"], trial.values["lr"]): trial.ended for trial in found.trials}
    assert {ended[key] for key in ended if key[0] == 30} == {"impossible"}
    assert found.best.shape == Conv(M=4, N=14)
    with pytest.raises(InputError, match="no trial finished"):
        search(Plan(recipe, {"N": (30, 31)}, 2, "random"), small, tmp_path / "none")


@pytest.mark.slow
def test_what_best_toml_was_chosen_on_is_the_worst_of_all_choices(tmp_path, small, monkeypatch):
    """A recipe chosen on the test images stays so; --select test holds nothing out and says it."""
    seen = []
    train = module.train
    monkeypatch.setattr(
        module, "train", lambda model, data, config, watch: seen.append(data) or train(model, data, config, watch=watch)
    )
    inherited = search(Plan(RECIPE.changed({"chosen_on": "test"}), SPACE, 1), small, tmp_path / "inherited")
    asked = search(Plan(RECIPE.changed({"select": "test"}), SPACE, 1), small, tmp_path / "asked")
    assert len(seen[0].train.labels) == 180 and seen[1] is small
    assert (inherited.best.config.chosen_on, asked.best.config.chosen_on, asked.best.config.select) == (
        "test",
        "test",
        "none",
    )
    assert "test accuracy" in (tmp_path / "asked" / BEST_RECIPE_FILE).read_text()


def test_a_search_that_is_stopped_has_its_best_so_far(tmp_path, small):
    with pytest.raises(KeyboardInterrupt):
        search(Plan(RECIPE, SPACE, 3), small, tmp_path, lambda trial, best: (_ for _ in ()).throw(KeyboardInterrupt))
    assert read_recipe(tmp_path / BEST_RECIPE_FILE).config.chosen_on == "validation"


@pytest.mark.slow
def test_a_trial_that_torch_cannot_run_is_impossible(tmp_path, small, monkeypatch):
    """For example, batch normalisation of one value per channel is a ValueError of torch."""
    build = module.build

    def picky(shape, seed):
        if shape.M == 5:
            raise ValueError("Expected more than 1 value per channel when training")
        return build(shape, seed)

    monkeypatch.setattr(module, "build", picky)
    found = search(Plan(Recipe(Hidden(M=4), RECIPE.config), {"M": (4, 5)}, 4, "random", seed=1), small, tmp_path)
    assert {trial.values["M"]: trial.ended for trial in found.trials} == {4: "finished", 5: "impossible"}


@pytest.mark.slow
def test_a_trial_without_enough_memory_is_passed_over_and_every_other_error_is_not(tmp_path, small, monkeypatch):
    """Otherwise the search would draw it again, and fail, after each resume."""
    build = module.build

    def large(shape, seed):
        if shape.M == 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        if shape.M == 6:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return build(shape, seed)

    monkeypatch.setattr(module, "build", large)
    plan = Plan(Recipe(Hidden(M=4), RECIPE.config), {"M": (4, 5)}, 4, "random", seed=1)
    found = search(plan, small, tmp_path / "a")
    assert {trial.values["M"]: trial.ended for trial in found.trials} == {4: "finished", 5: "impossible"}
    with pytest.raises(
        InputError, match=r"none of the settings could run \(DefaultCPUAllocator: can't allocate memory"
    ):
        search(replace(plan, space={"M": (5,)}), small, tmp_path / "b")
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        search(replace(plan, space={"M": (6,)}), small, tmp_path / "c")


@pytest.mark.slow
def test_poor_trials_are_ended_early(tmp_path, small):
    recipe = RECIPE.changed({"epochs": 6})
    found = search(Plan(recipe, {"lr": Range(1e-7, 1e-1, log=True)}, 14, "random"), small, tmp_path)
    pruned = [trial for trial in found.trials if trial.ended == "pruned"]
    assert pruned and all(trial.epochs < 6 for trial in pruned)


def test_another_search_in_the_folder_is_refused(tmp_path, small):
    search(Plan(RECIPE, SPACE, 1), small, tmp_path)
    with pytest.raises(InputError, match="holds a search with other settings or images"):
        search(Plan(RECIPE, {"lr": SPACE["lr"]}, 1), small, tmp_path)


def test_a_study_without_a_newer_setting_goes_on(tmp_path, small):
    search(Plan(RECIPE, SPACE, 1), small, tmp_path)
    with closing(sqlite3.connect(tmp_path / STUDY_FILE)) as base, base:
        (text,) = base.execute("select value_json from study_user_attributes where key = 'about'").fetchone()
        about = json.loads(json.loads(text))
        del about["recipe"]["train"]["init"]
        older = json.dumps(json.dumps(about, sort_keys=True))
        base.execute("update study_user_attributes set value_json = ? where key = 'about'", (older,))
    assert len(search(Plan(RECIPE, SPACE, 1), small, tmp_path).trials) == 1


def test_one_process_at_a_time_searches_in_a_folder(tmp_path, small):
    plan = Plan(RECIPE, SPACE, 1)
    with locked(tmp_path), pytest.raises(InputError, match="another process works in"):
        search(plan, small, tmp_path)
    assert len(search(plan, small, tmp_path).trials) == 1


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_several_processes_do_the_trials_of_one(tmp_path, small, shared):
    """Random values depend only on the number of the trial, not on the process that runs it."""
    plan, told = Plan(RECIPE, SPACE, 5, "random"), []
    one = search(plan, small, tmp_path / "one")
    storage = f"sqlite:///{tmp_path / 'shared.db'}" if shared else None
    many = search(plan, small, tmp_path / "many", lambda trial, best: told.append(trial.number), storage, workers=2)
    assert values(many) == values(one) and sorted(told) == [1, 2, 3, 4, 5]
    assert (tmp_path / "many" / TRIALS_FILE).read_text() == (tmp_path / "one" / TRIALS_FILE).read_text()
    assert (tmp_path / "many" / STUDY_FILE).exists() != shared and (tmp_path / "shared.db").exists() == shared


@pytest.mark.slow
def test_searches_in_one_database_share_their_trials_and_no_others(tmp_path, small):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    first = search(Plan(RECIPE, SPACE, 2), small, tmp_path / "a", storage=storage)
    other = search(Plan(RECIPE, SPACE, 2, seed=1), small, tmp_path / "c", storage=storage)
    again = search(Plan(RECIPE, SPACE, 3), small, tmp_path / "b", storage=storage)
    assert values(again)[:2] == values(first) and len(again.trials) == 3 and values(other)[1:] != values(first)[1:]


def test_two_that_begin_the_last_trial_at_once_run_it_once(tmp_path, small, monkeypatch):
    """The other process's trial is created between the count and this trial's number."""
    plan, held, ran = Plan(RECIPE, SPACE, 1), module.held_trials, []
    monkeypatch.setattr(module, "train", lambda *words, **more: ran.append(1))
    with module.joined_study(plan, small, tmp_path / STUDY_FILE) as study:
        study.ask()
        counts = iter([0])
        monkeypatch.setattr(module, "held_trials", lambda study: held(study)[: next(counts, None)])
        module.run_missing_trials(study, plan, small)
        assert not ran and [trial.state.name for trial in study.get_trials()] == ["RUNNING", "FAIL"]


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("study", "`storage` is not the URL of a database; give one such as postgresql://"),
        ("sqlite:////no/such/folder/a.db", "sqlite:////no/such/folder/a.db cannot be read"),
        ("postgresql+nodriver://me:secret@localhost/x", r"postgresql\+nodriver://me:\*\*\*@localhost/x cannot be read"),
    ],
)
def test_a_database_that_cannot_be_had_is_told_without_its_password(tmp_path, small, storage, told):
    with pytest.raises(InputError, match=told) as caught:
        search(Plan(RECIPE, SPACE, 1), small, tmp_path / "a", storage=storage)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_told_by_the_first(tmp_path, small, monkeypatch):
    recipe = Recipe(Conv(M=4), RECIPE.config)
    with pytest.raises(InputError, match="no trial finished"):
        search(Plan(recipe, {"N": (30, 31)}, 3, "random"), small, tmp_path / "none", workers=2)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run_in_processes(_multiply, 2, lambda: None)
    with pytest.raises(NetsError, match="was killed"):
        run_in_processes(_kill, 2, lambda: None)
    with pytest.raises(InputError, match="workers is 0"):
        search(Plan(RECIPE, SPACE, 1), small, tmp_path / "zero", workers=0)


def _multiply():
    torch.zeros(2, 3) @ torch.zeros(2, 3)


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def test_trials_csv_is_healed_from_the_study(tmp_path, small):
    plan = Plan(RECIPE, SPACE, 2)
    search(plan, small, tmp_path)
    whole = (tmp_path / TRIALS_FILE).read_text()
    (tmp_path / TRIALS_FILE).write_text(whole[: len(whole) // 2])
    search(plan, small, tmp_path)
    assert (tmp_path / TRIALS_FILE).read_text() == whole


def test_any_name_of_a_folder(tmp_path, small):
    folder = tmp_path / "what? #1 50%20"
    search(Plan(RECIPE, SPACE, 1), small, folder)
    assert (folder / STUDY_FILE).exists() and [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_damaged_study_is_told(tmp_path, small):
    search(Plan(RECIPE, SPACE, 1), small, tmp_path)
    place = tmp_path / STUDY_FILE
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 3])
    with pytest.raises(
        InputError, match=r"study.sqlite cannot be read \(database disk image is malformed\); if it is damaged, move"
    ) as caught:
        search(Plan(RECIPE, SPACE, 2), small, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_study_that_cannot_be_written_is_told(tmp_path, small):
    def damage(trial, best):
        (tmp_path / STUDY_FILE).write_bytes(b"no database" * 1000)

    with pytest.raises(WriteError, match=r"study.sqlite could not be written \(.*database.*\); the same search"):
        search(Plan(RECIPE, SPACE, 3), small, tmp_path, damage)


def test_default_spaces_hold_what_can_be_searched_and_the_tuned_settings():
    for net in NETS:
        recipe = preset("tuned", net)
        space, own = default_space(recipe), recipe.options
        assert {"lr", "momentum", "batch_size", "weight_decay"} <= set(space) and "seed" not in space
        for name, where in space.items():
            if isinstance(where, Range):
                assert where.low <= own[name] <= where.high, (net, name)
            else:
                assert [json.dumps(one) for one in where].count(json.dumps(own[name])) == 1, (net, name)
    assert {"M", "p", "N", "activation", "pool", "batch_norm", "dropout"} <= set(default_space(preset("tuned", "conv")))
    assert {"filters", "sizes", "units", "dropout"} <= set(default_space(preset("tuned", "base")))
    two = preset("tuned", "fast").changed({"widths": [64, 128], "depths": [2, 2], "pools": [2, 2]})
    assert default_space(two)["widths"] == ([64, 128],)
    assert "widths" in default_space(preset("tuned", "fast")) and default_space(preset("tuned", "hidden"))["M"].whole


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("random", marks=pytest.mark.slow)])
def test_the_first_trial_has_the_values_of_the_recipe_as_far_as_the_space_holds_them(tmp_path, small, sampler):
    recipe = Recipe(Base(filters=(2, 3)), RECIPE.config)
    space = {
        "filters": ((1, 2), (2, 3)),
        "lr": Range(1e-3, 1e-1, log=True),
        "momentum": Range(0.1, 0.5),
        "batch_norm": (True,),
    }
    first, second = search(Plan(recipe, space, 2, sampler), small, tmp_path).trials
    assert (
        first.values["filters"] == [2, 3]
        and first.values["lr"] == RECIPE.config.lr
        and second.values["lr"] != first.values["lr"]
    )
    assert 0.1 <= first.values["momentum"] <= 0.5 and first.values["batch_norm"] is True


@pytest.mark.parametrize("after", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_search_that_was_killed_within_a_trial_does_that_trial_again(tmp_path, small, monkeypatch, after):
    """A killed process leaves a trial that stays in the state running."""
    plan = Plan(RECIPE, SPACE, 3)
    whole = search(plan, small, tmp_path / "whole")
    accuracy, calls = module._accuracy, []

    def killed(trial, *words):
        calls.append(trial)
        if len(calls) > after:
            raise SystemExit  # the one exception that Optuna lets through without marking the trial
        return accuracy(trial, *words)

    monkeypatch.setattr(module, "_accuracy", killed)
    with pytest.raises(SystemExit):
        search(plan, small, tmp_path / "part")
    assert calls[-1].study.get_trials()[-1].state.name == "RUNNING"
    monkeypatch.setattr(module, "_accuracy", accuracy)
    assert values(search(plan, small, tmp_path / "part")) == values(whole)


def test_wrong_plans():
    with pytest.raises(InputError, match="no sampler 'tpa'"):
        Plan(RECIPE, SPACE, 3, "tpa")
    with pytest.raises(InputError, match="trials is 0"):
        Plan(RECIPE, SPACE, 0)
