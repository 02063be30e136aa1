"""A killed run resumes with identical results; a damaged checkpoint is refused, and the previous one is used."""

import random
import signal
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from child_processes import child, trained
from hw4nets import checkpoint, execution, process
from hw4nets.checkpoint import (
    BEFORE_FILE,
    BEST_FILE,
    LAST_FILE,
    checksum,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from hw4nets.config import Config
from hw4nets.data import fingerprint, synthetic
from hw4nets.errors import CheckpointError, DivergedError, InputError, WriteError
from hw4nets.history import Watch
from hw4nets.image_set import ImageSet
from hw4nets.models import Conv, Logistic, build
from hw4nets.training import train

SHAPE = Conv(M=8, N=7, batch_norm=True, dropout=0.3)
EVERYTHING = Config(
    epochs=6, batch_size=20, augment="alternating_flip,crop:2,cutout:6", average="ema", label_smoothing=0.1,
    select="validation", threads=1, precision="float32", memory_format="channels_last",
)  # fmt: skip
TIMES = {"images_per_second": 0, "seconds_train": 0, "seconds_eval": 0}


def timeless(history):
    return [asdict(row) | TIMES for row in history.rows], history.best_epoch, history.train_accuracy


class Stopped(Watch):
    """Stops a run after an epoch, as Ctrl-C would."""

    def __init__(self, after):
        self.after = after

    def epoch(self, row, epochs):
        if row.epoch == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "change",
    [{}, {"average": "lookahead"}, {"optimizer": "muon"}, {"optimizer": "adamw", "lr": 0.002}, {"schedule": "cosine"}],
    ids=str,
)
def test_a_run_goes_on_exactly(tmp_path, small, change):
    config = replace(EVERYTHING, epochs=3, **change)
    whole = train(model := build(SHAPE, 0), small, config)
    for after in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(build(SHAPE, 0), small, config, tmp_path, Stopped(after))
    other = build(SHAPE, 7)
    resumed = train(other, small, config, tmp_path)
    assert timeless(resumed) == timeless(whole)
    assert all(torch.equal(one, other.state_dict()[name]) for name, one in model.state_dict().items())


def _text(path):
    """The file's content, "" if it does not exist yet."""
    return path.read_text() if path.exists() else ""


@pytest.mark.slow
def test_kill_9_at_random_moments_then_resume_equals_the_uninterrupted_run(tmp_path):
    """The process is killed repeatedly at random times after it has started to work, until it finishes."""
    draw = random.Random(0)
    config, shape = replace(EVERYTHING, epochs=20), replace(SHAPE, M=4)
    kills = 0
    for wait in [*(draw.uniform(0.0, 0.1) for _ in range(3)), None]:
        with child(trained, shape, config, (100, 50), tmp_path / "run", folder=tmp_path) as running:
            while running.process.is_alive() and "batch" not in _text(running.stdout):
                time.sleep(0.002)
            if wait is not None:
                time.sleep(wait)
                running.process.kill()
            kills += running.status() == -signal.SIGKILL and "done" not in running.stdout.read_text()
            ended = running.status()
    assert kills >= 2 and ended == 0, running.stderr.read_text()
    model = build(shape, 0)
    whole = train(model, synthetic(100, 50), config)
    resumed = train(other := build(shape, 0), synthetic(100, 50), config, tmp_path / "run")  # nothing is left to do
    assert timeless(resumed) == timeless(whole)
    assert all(torch.equal(one, other.state_dict()[name]) for name, one in model.state_dict().items())


def test_the_best_checkpoint_is_of_the_best_epoch(tmp_path, small):
    history = train(build(SHAPE, 0), small, EVERYTHING, tmp_path)
    assert len(load_checkpoint(tmp_path / BEST_FILE)["history"]) == history.best_epoch
    assert (
        len(load_checkpoint(tmp_path / LAST_FILE)["history"]) == 6
        and len(load_checkpoint(tmp_path / BEFORE_FILE)["history"]) == 5
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEFORE_FILE, BEST_FILE, LAST_FILE]


@pytest.fixture
def saved(tmp_path):
    for number in (1, 2):
        save_checkpoint(tmp_path, {"number": number, "weights": {"w": torch.arange(100.0) + number}}, best=True)
    return tmp_path


def test_a_checkpoint_is_read_without_code(saved):
    whole = torch.load(saved / LAST_FILE, weights_only=True)
    assert whole["state"]["number"] == 2 and whole["sha256"] == checksum(whole["state"])


def test_the_checksum_knows_names_numbers_words_and_tensors():
    state = {"a": 1, "b": [1.5, "x", torch.zeros(3)]}
    others = [
        {"a": 2, "b": [1.5, "x", torch.zeros(3)]},
        {"c": 1, "b": [1.5, "x", torch.zeros(3)]},
        {"a": 1, "b": [1.5, "y", torch.zeros(3)]},
        {"a": 1, "b": [1.5, "x", torch.zeros(3, 1)]},
        {"a": 1, "b": [1.5, "x", torch.tensor([0, 0, 1e-30])]},
        {"a": 1, "b": [1.5, "x"]},
    ]
    assert checksum(state) not in {checksum(one) for one in others}


def changed_byte(path):
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(100.0).add(2).numpy().tobytes()[:64])
    content[place + 5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed_byte, "its checksum does not fit its content"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "is damaged, or not a checkpoint"),
        (lambda path: path.write_bytes(b""), "is damaged, or not a checkpoint"),
        (lambda path: torch.save({"a": 1}, path), "is damaged, or not a checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_used(saved, damage, said):
    damage(saved / LAST_FILE)
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(saved / LAST_FILE)
    state, notes = newest_checkpoint(saved)
    assert state is not None and state["number"] == 1 and len(notes) == 1 and said in notes[0]


def test_the_checkpoint_before_a_damaged_one_is_not_overwritten_by_it(saved):
    (saved / LAST_FILE).write_bytes(b"damaged")
    newest_checkpoint(saved)
    save_checkpoint(saved, {"number": 3}, best=False)
    assert [load_checkpoint(saved / name)["number"] for name in (LAST_FILE, BEFORE_FILE)] == [3, 1]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda folder: [(folder / name).write_bytes(b"damaged") for name in (LAST_FILE, BEFORE_FILE)],
            "before.pt is damaged",
        ),
        (
            lambda folder: [(folder / LAST_FILE).write_bytes(b"damaged"), (folder / BEFORE_FILE).unlink()],
            "there is no other",
        ),
        (lambda folder: torch.save({"version": 99, "state": {}, "sha256": ""}, folder / LAST_FILE), "has format 99"),
        (lambda folder: [(folder / LAST_FILE).unlink(), (folder / LAST_FILE).mkdir()], "cannot be read"),
    ],
)
def test_a_run_whose_checkpoints_cannot_be_used_is_not_silently_started_anew(saved, damage, said):
    damage(saved)
    with pytest.raises(CheckpointError, match=f"{said}.*`overwrite=True` starts over"):
        newest_checkpoint(saved)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")], ids=repr
)
def test_too_little_memory_is_no_damage(saved, monkeypatch, error):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.torch, "load", lambda *words, **options: (_ for _ in ()).throw(error))
        with pytest.raises(MemoryError):
            newest_checkpoint(saved)
    assert load_checkpoint(saved / LAST_FILE)["number"] == 2


@pytest.mark.thinned(3)
@pytest.mark.parametrize("select", ["none", "test"])
@pytest.mark.parametrize("what", ["damaged", "absent"])
def test_a_run_goes_on_from_the_checkpoint_before_the_last(tmp_path, small, what, select):
    config = replace(EVERYTHING, select=select)
    whole = train(build(SHAPE, 0), small, config)
    with pytest.raises(KeyboardInterrupt):
        train(build(SHAPE, 0), small, config, tmp_path, Stopped(3))
    (tmp_path / LAST_FILE).write_bytes(b"damaged") if what == "damaged" else (tmp_path / LAST_FILE).unlink()
    resumed = train(build(SHAPE, 0), small, config, tmp_path)
    assert timeless(resumed) == timeless(whole) and ["damaged" in note for note in resumed.notes] == [True] * (
        what == "damaged"
    )
    assert (tmp_path / BEST_FILE).exists() and len(load_checkpoint(tmp_path / LAST_FILE)["history"]) == 6


def test_a_full_disk_is_a_sentence_and_the_old_checkpoint_stands(saved, monkeypatch):
    before = (saved / LAST_FILE).read_bytes()
    for error in (
        OSError(28, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed"),
    ):
        monkeypatch.setattr(checkpoint.torch, "save", lambda *words, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(WriteError):
            save_checkpoint(saved, {"number": 3}, best=True)
        assert (saved / LAST_FILE).read_bytes() == before and len(list(saved.iterdir())) == 3


def test_checkpoints_are_kept_where_files_have_one_name_only(tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", lambda *words: (_ for _ in ()).throw(OSError("not here")))
    for number in (1, 2):
        save_checkpoint(tmp_path, {"number": number}, best=number == 1)
    assert [load_checkpoint(tmp_path / name)["number"] for name in (LAST_FILE, BEFORE_FILE, BEST_FILE)] == [2, 1, 1]


def test_other_settings_and_another_network_are_refused(tmp_path, small):
    train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), tmp_path)
    with pytest.raises(CheckpointError, match="of other settings \\(epochs\\)"):
        train(build(SHAPE, 0), small, EVERYTHING, tmp_path)
    with pytest.raises(CheckpointError, match="of another network"):
        train(build(Conv(M=9), 0), small, replace(EVERYTHING, epochs=1), tmp_path)


def test_other_images_are_refused_and_an_older_checkpoint_that_does_not_name_them_is_taken(tmp_path, small):
    with pytest.raises(KeyboardInterrupt):
        train(build(SHAPE, 0), small, EVERYTHING, tmp_path, Stopped(1))
    with pytest.raises(CheckpointError, match="of a run on other images; take the same"):
        train(build(SHAPE, 0), replace(small, sha256="0" * 64), EVERYTHING, tmp_path)
    with pytest.raises(CheckpointError, match="of another network"):
        train(build(replace(SHAPE, pool="average"), 0), small, EVERYTHING, tmp_path)
    state = load_checkpoint(tmp_path / LAST_FILE)
    older = {
        name: one
        for name, one in state.items()
        if name not in ("network", "images", "precision", "memory_format", "threads")
    }
    save_checkpoint(tmp_path, older, best=False)
    assert timeless(train(build(SHAPE, 0), small, EVERYTHING, tmp_path)) == timeless(
        train(build(SHAPE, 0), small, EVERYTHING)
    )


def test_a_run_goes_on_when_what_its_settings_were_chosen_on_is_put_right(tmp_path, small):
    train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), tmp_path)
    assert len(train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1, chosen_on="test"), tmp_path).rows) == 1


def test_a_run_goes_on_in_its_precision_and_memory_format_and_says_that_threads_differ(tmp_path, small, monkeypatch):
    config = replace(EVERYTHING, epochs=2, precision="auto", memory_format="auto", threads=0)
    shape = replace(SHAPE, M=2)
    monkeypatch.setattr(execution, "_remembered_mode", lambda *words: ("bfloat16", "channels_last"))
    with pytest.raises(KeyboardInterrupt):
        train(build(shape, 0), small, config, tmp_path, Stopped(1))
    monkeypatch.setattr(execution, "_remembered_mode", lambda *words: pytest.fail("chosen anew"))
    with process.threads(2):
        history = train(build(shape, 0), small, config, tmp_path)
    assert (history.precision, history.memory_format) == ("bfloat16", "channels_last")
    assert "used 1 CPU threads and continues with 2" in history.notes[0]


def test_a_run_of_another_kind_of_device_is_told_as_such(tmp_path, small):
    train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), tmp_path)
    save_checkpoint(tmp_path, load_checkpoint(tmp_path / LAST_FILE) | {"device": "cuda"}, best=False)
    with pytest.raises(CheckpointError, match="was on cuda and continues only there"):
        train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), tmp_path)


def test_the_same_images_in_another_order_are_told(tmp_path, small):
    train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), tmp_path)
    places = np.argsort(small.train.labels, kind="stable")
    sorted_by_class = replace(small, train=ImageSet(small.train.pixels[places], small.train.labels[places]))
    assert fingerprint(sorted_by_class.train, small.test) == small.sha256
    with pytest.raises(CheckpointError, match="of a run on these images in another order"):
        train(build(SHAPE, 0), sorted_by_class, replace(EVERYTHING, epochs=1), tmp_path)


def test_the_best_checkpoint_is_made_up_for_where_a_kill_fell_before_it(tmp_path, small):
    history = train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), tmp_path)
    (tmp_path / BEST_FILE).unlink()
    assert history.best_epoch == 1 and timeless(
        train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), tmp_path)
    ) == timeless(history)
    assert load_checkpoint(tmp_path / BEST_FILE)["history"] == load_checkpoint(tmp_path / LAST_FILE)["history"]


def test_the_folder_is_made_before_the_first_step(tmp_path, small):
    folder = tmp_path / "deep" / "down"
    train(build(SHAPE, 0), small, replace(EVERYTHING, epochs=1), str(folder))
    assert (folder / LAST_FILE).exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; give a folder"):
        train(build(SHAPE, 0), small, EVERYTHING, tmp_path / "file")


def test_whitening_is_not_done_again_on_going_on(tmp_path, small, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        train(build(SHAPE, 0), small, EVERYTHING, tmp_path, Stopped(2))
    monkeypatch.setattr("hw4nets.run_state.whiten", lambda *words: pytest.fail("whitened anew"))
    assert len(train(build(SHAPE, 0), small, EVERYTHING, tmp_path).rows) == 6


@pytest.mark.parametrize("average", ["none", "ema", "lookahead"])
def test_weights_that_overflow_in_the_last_step_of_an_epoch_are_not_kept(tmp_path, small, average):
    """The loss is computed before each step, so the last step is not in it, nor in an average not yet updated."""
    config = Config(
        epochs=12, batch_size=200, lr=1e6, momentum=0.0, weight_decay=10.0, schedule="constant", warmup=0.0, threads=1
    )
    with pytest.raises(DivergedError, match="take a smaller `lr`") as caught:
        train(build(Logistic(), 0), small, replace(config, average=average), tmp_path)
    state = load_checkpoint(tmp_path / LAST_FILE)
    assert len(state["history"]) == caught.value.epoch - 1 > 0
    assert all(one.isfinite().all() for kind in ("weights", "trained") for one in state[kind].values())


def test_a_diverged_run_keeps_its_last_good_checkpoint(tmp_path, small):
    config = replace(EVERYTHING, average="none")

    class Poison(Watch):
        def epoch(self, row, epochs):
            if row.epoch == 2:
                with torch.no_grad():
                    next(model.parameters()).fill_(float("nan"))

    model = build(SHAPE, 0)
    with pytest.raises(DivergedError, match="epoch 3"):
        train(model, small, config, tmp_path, Poison())
    state = load_checkpoint(tmp_path / LAST_FILE)
    assert len(state["history"]) == 2 and all(one.isfinite().all() for one in state["weights"].values())


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_a_run_goes_on_to_more_epochs_as_if_it_had_them_from_the_start(tmp_path, small, optimizer):
    config = replace(EVERYTHING, schedule="constant", warmup=0.0, average="none", optimizer=optimizer, epochs=2)
    whole = train(build(SHAPE, 0), small, replace(config, epochs=4))
    train(build(SHAPE, 0), small, config, tmp_path)
    assert timeless(train(build(SHAPE, 0), small, replace(config, epochs=4), tmp_path)) == timeless(whole)
    with pytest.raises(CheckpointError, match=r"of other settings \(epochs\)"):
        train(build(SHAPE, 0), small, replace(config, epochs=3), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": "cosine", "warmup": 0.0}, "with the schedule cosine the steps depend on the number of epochs"),
        ({"schedule": "constant"}, "with a warm-up the steps"),
        ({"schedule": "constant", "warmup": 0.0, "average": "lookahead"}, "with lookahead the steps"),
    ],
    ids=str,
)
def test_a_run_whose_steps_depend_on_its_length_goes_on_to_no_more(tmp_path, small, change, said):
    config = replace(EVERYTHING, epochs=1, **change)
    train(build(SHAPE, 0), small, config, tmp_path)
    with pytest.raises(CheckpointError, match=said):
        train(build(SHAPE, 0), small, replace(config, epochs=2), tmp_path)


def test_a_checkpoint_without_a_newer_setting_goes_on(tmp_path, small):
    config = replace(EVERYTHING, epochs=2)
    whole = train(build(SHAPE, 0), small, config, tmp_path)
    state = load_checkpoint(tmp_path / LAST_FILE)
    del state["config"]["init"]
    save_checkpoint(tmp_path, state, best=False)
    assert timeless(train(build(SHAPE, 0), small, config, tmp_path)) == timeless(whole)


def test_weights_of_another_run_are_taken_and_what_does_not_fit_is_named(tmp_path, small):
    config = replace(EVERYTHING, epochs=1, average="none", select="none")
    train(build(SHAPE, 0), small, config, tmp_path / "old")
    weights = load_checkpoint(tmp_path / "old" / LAST_FILE)["weights"]
    still = replace(config, lr=1e-12, weight_decay=0.0, init=str(tmp_path / "old"), seed=3)
    same = build(SHAPE, 3)
    assert train(same, small, still).notes == ()
    assert all(torch.allclose(same.get_parameter(name), weights[name]) for name, _ in same.named_parameters())
    other = build(replace(SHAPE, N=14), 3)  # a last layer with fewer inputs
    fresh = build(replace(SHAPE, N=14), 3).state_dict()
    (note,) = train(other, small, still).notes
    assert note.endswith("are initialised: Linear 6 (weight 10×32, there 10×128)"), note
    for name, weight in other.named_parameters():
        assert torch.allclose(weight, fresh[name] if name.startswith("6.") else weights[name]), name


def test_a_run_whose_weights_cannot_be_taken_is_refused(tmp_path, small):
    with pytest.raises(InputError, match=r"`init` .*: there is no checkpoint .*; give the folder of a run"):
        train(build(SHAPE, 0), small, replace(EVERYTHING, init=str(tmp_path)))
    train(build(Logistic(), 0), small, replace(EVERYTHING, epochs=1), tmp_path / "other")
    with pytest.raises(InputError, match="no layer of the network fits the weights of"):
        train(build(replace(SHAPE, M=7), 0), small, replace(EVERYTHING, init=str(tmp_path / "other")))
    save_checkpoint(tmp_path / "other", {"weights": {"0.weight": 3}}, best=False)
    with pytest.raises(InputError, match=r"last\.pt holds no weights"):
        train(build(SHAPE, 0), small, replace(EVERYTHING, init=str(tmp_path / "other")))
