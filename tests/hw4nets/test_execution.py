"""Device, precision, memory format and compilation: chosen once, recorded, and without effect on what is computed."""

import json
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from child_processes import child, count_page_faults
from hw4nets import execution, run_state
from hw4nets.config import Config
from hw4nets.data import CHANNEL_DEVIATIONS, CHANNEL_MEANS
from hw4nets.errors import InputError
from hw4nets.evaluation import outputs
from hw4nets.execution import Execution, choose_device, prepare
from hw4nets.history import EpochRow
from hw4nets.image_set import ImageSet
from hw4nets.models import Conv, Logistic, build
from hw4nets.training import train

QUICK = Config(epochs=2, batch_size=20, lr=0.02, precision="float32", memory_format="contiguous", threads=1)
SHAPE = Conv(M=8, N=7)
TIMES = ("images_per_second", "seconds_train", "seconds_eval")


def timeless(history):
    return [
        {item.name: getattr(row, item.name) for item in fields(EpochRow) if item.name not in TIMES}
        for row in history.rows
    ]


def run(data, config, shape=SHAPE):
    return train(build(shape, config.seed), data, config)


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    for name, said in (
        ("gpu", "give auto, cpu, cuda or cuda:NUMBER"),
        ("cuda:x", "no device 'cuda:x'"),
        ("cpu:3", "no device 'cpu:3'"),
    ):
        with pytest.raises(InputError, match=said):
            choose_device(name)


def test_cuda_that_is_not_there_is_told():
    with pytest.raises(
        InputError, match=r"device cuda was asked for, but this torch .* finds no CUDA device; take `device='cpu'`"
    ):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


def test_the_memory_format_is_measured_once_and_leaves_the_network_alone(cache, monkeypatch):
    model = build(Conv(M=4, batch_norm=True), 0)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    first = prepare(model, replace(QUICK, memory_format="auto"))
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters()) and (cache / "execution.json").exists()
    monkeypatch.setattr(execution, "_fastest_mode", lambda *words: pytest.fail("measured again"))
    assert prepare(model, replace(QUICK, memory_format="auto")).memory_format == first.memory_format


@pytest.mark.parametrize("content", ["[1]", '{"a": ["contiguous"], "b": [[], {}]}', "\xff", None], ids=str)
def test_a_cache_that_is_damaged_or_cannot_be_written_does_not_stop_a_run(cache, content):
    path = cache / "execution.json"
    path.mkdir() if content is None else path.write_bytes(content.encode("latin-1"))
    model = build(Conv(M=4), 0)
    assert prepare(model, replace(QUICK, memory_format="auto")).format_name in ("contiguous", "channels_last")


def test_values_of_a_cache_that_mean_nothing_are_measured_anew(cache, monkeypatch):
    monkeypatch.setattr(execution, "_fastest_mode", lambda *words: ("float32", "channels_last"))
    prepare(build(Conv(M=4), 0), replace(QUICK, memory_format="auto"))
    path = cache / "execution.json"
    path.write_text(path.read_text().replace('"channels_last"', '"channels_first"'))
    assert prepare(build(Conv(M=4), 0), replace(QUICK, memory_format="auto")).format_name == "channels_last"


@pytest.mark.parametrize("seconds, chosen", [
    ([1, 1, 1, 1, 1, 1, 1, 1], ("float32", "contiguous")), ([9, 9, 9, 9, 8, 8, 6, 5], ("bfloat16", "channels_last")),
    ([9, 9, 5, 6, 6, 6, 4.9, 4.8], ("float32", "channels_last")),
    ([9, 9, 9, 9, 7, 7, 9, 9], ("bfloat16", "contiguous")),
])  # fmt: skip
def test_precision_and_memory_format_are_the_first_that_none_beats_clearly(cache, monkeypatch, seconds, chosen):
    times = iter(seconds)  # two a way, the ways in order
    monkeypatch.setattr(execution, "_seconds", lambda step: next(times))
    monkeypatch.setattr(execution, "_cpu_has_bfloat16", lambda: True)
    found = prepare(build(Conv(M=4), 0), replace(QUICK, precision="auto", memory_format="auto"))
    assert (found.precision_name, found.format_name) == chosen
    assert next(times, None) is None


def test_what_another_process_measured_meanwhile_is_kept(cache, monkeypatch):
    path = cache / "execution.json"

    def slow(*words):
        path.write_text(json.dumps({"other": ["float32", "contiguous"]}))
        return "float32", "channels_last"

    monkeypatch.setattr(execution, "_fastest_mode", slow)
    prepare(build(Conv(M=4), 0), replace(QUICK, memory_format="auto"))
    assert sorted(json.loads(path.read_text()).values()) == [["float32", "channels_last"], ["float32", "contiguous"]]


def test_a_cpu_without_bfloat16_is_not_asked_about_it(cache, monkeypatch):
    monkeypatch.setattr(execution, "_cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(execution, "_fastest_mode", lambda *words: pytest.fail("measured"))
    assert prepare(build(Logistic(), 0), replace(QUICK, precision="auto")).precision_name == "float32"


def test_bfloat16_trains_nearly_as_float32_does(small):
    losses = [run(small, replace(QUICK, precision=name)).rows[-1].train_loss for name in ("float32", "bfloat16")]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("shape, images", [
    (Logistic(), 500), (Conv(M=1000, N=7), 50), (Conv(M=100, N=7), 500), (Conv(M=300, N=7), 250),
    (Conv(M=100_000, N=7), 25),
])  # fmt: skip
def test_evaluation_takes_no_more_images_at_once_than_memory_serves_quickly(shape, images):
    with torch.device("meta"):
        model = shape.build()
    assert execution._evaluation_batch_size(model, 32) == images


def test_evaluation_in_parts_gives_every_image_its_output(small):
    model = build(Conv(M=4, N=14), 0)
    images = torch.from_numpy(small.train.pixels)
    ways = [replace(Execution.plain(model), evaluated=count) for count in (7, 25, 500)]
    few, more, all_at_once = (outputs(model, images, way, "standard") for way in ways)
    assert few.shape == (len(images), 10)
    torch.testing.assert_close(few, all_at_once)
    torch.testing.assert_close(more, all_at_once)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_kept_memory_spares_the_page_faults(tmp_path):
    """In a separate process, since the setting affects the whole process."""
    with child(count_page_faults, folder=tmp_path) as counting:
        assert counting.status() == 0, counting.stderr.read_text()
        faults = counting.stdout.read_text().strip()
    if faults == "no mallopt":
        pytest.skip("no mallopt in this C library")
    assert int(faults) < 2000


def test_both_memory_formats_train_alike(small):
    accuracies = [
        run(small, replace(QUICK, memory_format=name)).rows[-1].train_loss for name in ("contiguous", "channels_last")
    ]
    assert accuracies[0] == pytest.approx(accuracies[1], rel=1e-3)


def test_without_a_compiler_training_goes_on_with_a_sentence(small, monkeypatch):
    def broken(model, **options):
        def call(x):
            raise RuntimeError("no working C++ compiler was found")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    history = run(small, replace(QUICK, compile=True))
    assert (
        len(history.rows) == 2
        and "torch.compile did not work here" in history.notes[0]
        and "C++ compiler" in history.notes[0]
    )


def test_a_compiled_network_is_timed_apart(small, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **options: model)
    one, other = run(small, replace(QUICK, compile=True)), run(small, QUICK)
    assert one.seconds_compile > 0 and other.seconds_compile == 0 and timeless(one) == timeless(other)


@pytest.mark.parametrize("count", [10, 64, 200])
def test_whitening_looks_at_images_of_every_class_also_of_a_folder_in_their_order(small, monkeypatch, count):
    places = np.argsort(small.train.labels, kind="stable")
    sorted_by_class = replace(small, train=ImageSet(small.train.pixels[places], small.train.labels[places]))
    whitened = []
    monkeypatch.setattr(run_state, "WHITENING_IMAGES", count)
    monkeypatch.setattr(run_state, "whiten", lambda model, images: whitened.append(images))
    train(build(Conv(M=4, N=14), 0), sorted_by_class, replace(QUICK, epochs=1))
    labels = {
        image.tobytes(): label for image, label in zip(small.train.pixels, small.train.labels.tolist(), strict=True)
    }
    pixels = (
        (whitened[0] * torch.tensor(CHANNEL_DEVIATIONS).view(3, 1, 1) + torch.tensor(CHANNEL_MEANS).view(3, 1, 1))
        .mul(255)
        .round()
        .byte()
        .numpy()
    )
    seen = [labels[image.tobytes()] for image in pixels]
    assert len(seen) == min(count, 200) and sorted(set(seen)) == list(range(10))
