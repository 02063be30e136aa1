"""Training learns, reports correct figures, and is reproducible; each setting has its effect."""

import re
from dataclasses import fields, replace
from itertools import groupby

import numpy as np
import pytest
import torch
from torch import nn

from hw4nets.augment import training_side
from hw4nets.config import Config
from hw4nets.data import normalize, synthetic
from hw4nets.errors import DivergedError, InputError
from hw4nets.history import EpochRow, Watch
from hw4nets.models import NETS, Base, Conv, Fast, Hidden, Logistic, build, net
from hw4nets.network import check_start_scale
from hw4nets.recipes import preset
from hw4nets.training import train

QUICK = Config(epochs=2, batch_size=20, lr=0.02, precision="float32", memory_format="contiguous", threads=1)
TINY = {
    "logistic": Logistic(),
    "hidden": Hidden(M=20),
    "conv": Conv(M=8, N=7),
    "base": Base(),
    "fast": Fast(widths=(8, 8, 8), depths=(1, 1, 1)),
}
TIMES = ("images_per_second", "seconds_train", "seconds_eval")


def timeless(history):
    return [
        {item.name: getattr(row, item.name) for item in fields(EpochRow) if item.name not in TIMES}
        for row in history.rows
    ]


def run(data, config, shape=TINY["conv"]):
    return train(build(shape, config.seed), data, config)


@pytest.mark.parametrize("name", NETS)
def test_every_network_overfits_a_few_images(name):
    data = synthetic(train=20, test=10)
    rate = 0.2 if name == "fast" else 0.02
    config = replace(QUICK, epochs=60, batch_size=10, lr=rate, weight_decay=0.0)
    history = run(data, config, TINY.get(name) or net(name))
    assert history.train_accuracy == 1.0 and history.rows[-1].train_loss < history.rows[0].train_loss / 2


def test_the_table_is_what_a_plain_loop_counts(small):
    """Loss and accuracy of each batch before its step, averaged; then accuracy on the test images."""
    history = run(
        small,
        replace(QUICK, epochs=1, schedule="constant", warmup=0.0, weight_decay=0.0, momentum=0.0),
        TINY["logistic"],
    )
    model = build(TINY["logistic"], 0)
    x, y = normalize(torch.from_numpy(small.train.pixels)), torch.from_numpy(small.train.labels)
    generator = torch.Generator().manual_seed(0)
    torch.rand(len(x), generator=generator)  # which images are mirrored first
    losses, right = [], 0
    for batch in torch.randperm(len(x), generator=generator).view(-1, 20):
        out = model(x[batch])
        loss = nn.functional.cross_entropy(out, y[batch])
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 0.02 * weight.grad
        losses.append(loss.item())
        right += int((out.argmax(1) == y[batch]).sum())
    test = model(normalize(torch.from_numpy(small.test.pixels))).argmax(1).numpy()
    row = history.rows[0]
    assert row.train_loss == pytest.approx(np.mean(losses), rel=1e-5) and row.train_accuracy == right / 200
    assert row.test_accuracy == history.test_accuracy == pytest.approx((test == small.test.labels).mean())
    full = model(x).argmax(1)
    assert history.train_accuracy == pytest.approx(float((full == y).float().mean()))
    assert row.images_per_second == pytest.approx(200 / row.seconds_train) and row.seconds_eval > 0


def test_the_same_seed_gives_the_same_history_and_another_another(small):
    config = replace(QUICK, augment="flip,crop:2,cutout:6", average="ema")
    shape = Conv(M=8, N=7, dropout=0.3, batch_norm=True)
    one, same, other = run(small, config, shape), run(small, config, shape), run(small, replace(config, seed=1), shape)
    assert timeless(one) == timeless(same) != timeless(other)


def test_training_leaves_torchs_generator_and_threads_alone(small):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    run(small, replace(QUICK, epochs=1, threads=2), Conv(M=4, dropout=0.5))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adamw", "lr": 0.002}, {"optimizer": "muon"}, {"lr": 0.03}, {"momentum": 0.5},
        {"nesterov": False}, {"weight_decay": 0.1},
        {"schedule": "cosine"}, {"warmup": 0.5}, {"final_lr": 0.5}, {"label_smoothing": 0.2},
        {"augment": "flip"}, {"augment": "crop:3"}, {"augment": "alternating_flip"}, {"augment": "cutout:8"},
        {"average": "ema"}, {"average": "lookahead"}, {"input_scale": "half"},
        {"batch_size": 10}, {"seed": 4}, {"select": "validation"}, {"norm_bias_lr": 10.0}, {"precision": "bfloat16"},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_changes_the_run(small, change, plain_run):
    shape = Conv(M=8, N=7, batch_norm=True)
    changed = train(model := build(shape, change.get("seed", 0)), small, replace(QUICK, **change))
    weights = torch.cat([one.detach().reshape(-1) for one in model.parameters()])
    assert len(changed.rows) == 2 and not torch.equal(weights, plain_run)


@pytest.fixture(scope="module")
def plain_run(small):
    train(model := build(Conv(M=8, N=7, batch_norm=True), 0), small, QUICK)
    return torch.cat([one.detach().reshape(-1) for one in model.parameters()])


def test_side_lr_and_average_decay_change_what_uses_them(small):
    for first, second in (
        ({"optimizer": "muon", "side_lr": 0.01}, {"optimizer": "muon", "side_lr": 0.1}),
        ({"average": "ema", "average_decay": 0.0}, {"average": "ema", "average_decay": 0.99}),
    ):
        weights = []
        for change in (first, second):
            train(model := build(TINY["conv"], 0), small, replace(QUICK, **change))
            weights.append(torch.cat([one.detach().reshape(-1) for one in model.parameters()]))
        assert not torch.equal(*weights)


def test_the_first_epochs_see_smaller_images(small):
    sides = []
    model = build(TINY["fast"], 0)
    model.register_forward_pre_hook(lambda module, given: sides.append(given[0].shape[-1] * module.training))
    train(model, small, replace(QUICK, epochs=4, batch_size=100, start_scale=0.75))
    assert [side for side, _ in groupby(filter(None, sides))] == [24, 28, 32]


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        (
            "conv",
            0.75,
            "start_scale is 0.75: this network does not take images that are scaled down so far; give a larger",
        ),
        (
            "fast",
            0.25,
            "start_scale is 0.25: this network does not take images that are scaled down so far; give a larger",
        ),
    ],
)
def test_a_side_that_the_network_does_not_take_is_refused(small, name, given, sentence):
    for act in (
        lambda: preset("tuned", name).changed({"start_scale": given}),
        lambda: train(build(net(name), 0), small, replace(QUICK, start_scale=given)),
    ):
        with pytest.raises(InputError, match=re.escape(sentence)):
            act()


def test_the_scale_of_a_preset_can_be_turned_off(small):
    recipe = preset("tuned", "fast").changed({"start_scale": 1.0})
    assert recipe.config.full_scale != Config.full_scale
    check_start_scale(build(recipe.shape, 0), recipe.config, 32)
    assert training_side(32, recipe.config, 0) == 32


def test_a_network_in_float64_takes_smaller_images_too():
    model = build(TINY["fast"], 0).double()
    check_start_scale(model, Config(start_scale=0.6), 32)
    assert next(model.parameters()).dtype is torch.float64 and next(model.parameters()).device.type == "cpu"


def test_what_selects_decides_the_best_epoch(small):
    history = run(small, replace(QUICK, epochs=4, select="validation"))
    scores = [row.validation_accuracy for row in history.rows]
    assert history.best_epoch == 1 + scores.index(max(scores))
    history = run(small, replace(QUICK, epochs=4, select="test"))
    scores = [row.test_accuracy for row in history.rows]
    assert history.best_epoch == 1 + scores.index(max(scores)) and history.rows[0].validation_accuracy is None
    assert run(small, replace(QUICK, epochs=3)).best_epoch == 3
    assert Config(select="test", chosen_on="validation").selected_on == "test"
    assert Config(chosen_on="validation").selected_on == "validation"
    assert Config(select="validation", chosen_on="test").selected_on == "test"


def test_a_loss_that_is_no_number_stops_with_step_and_rate(small):
    config = replace(QUICK, lr=1e6, momentum=0.0, schedule="constant", warmup=0.0)
    with pytest.raises(
        DivergedError, match=r"at step \d+ \(epoch 1\), learning rate 1e\+06; take a smaller `lr`"
    ) as caught:
        run(small, config, Hidden(M=20))
    assert 1 < caught.value.step <= 10


def test_a_batch_larger_than_the_images_is_all_of_them(small):
    assert len(run(small, replace(QUICK, batch_size=500)).rows) == 2


def test_the_watch_hears_batches_and_epochs(small):
    heard = []

    class Ear(Watch):
        def batch(self, epoch, done, total):
            heard.append((epoch, done, total))

        def epoch(self, row, epochs):
            heard.append((row.epoch, epochs))

    train(build(TINY["logistic"], 0), small, QUICK, watch=Ear())
    assert heard == [(1, 10, 10), (1, 2), (2, 10, 10), (2, 2)]
