"""Epochs as TensorBoard events (an extra)."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from nets_command import QUICK  # noqa: E402

pytest_plugins = ["nets_command"]


def test_without_the_package_the_extra_is_named_and_nothing_is_begun(hw4nets, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    done = hw4nets(*QUICK, "--out", "run", "--log", "tensorboard")
    assert done.status == 2 and done.out == "" and not Path("run").exists()
    extra = "pip install 'hw4opt[tensorboard]'"
    assert done.err == f"hw4nets: tensorboard is not installed; it comes with the extra: {extra}\n"


@pytest.mark.slow
def test_epochs_are_written_and_those_after_a_checkpoint_replaced(hw4nets, tmp_path):
    reason = "tensorboard is not installed: the extra `tensorboard` brings it"
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=reason)

    def scalars(run):
        events = accumulator.EventAccumulator(f"{run}/tensorboard")
        events.Reload()
        return {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}

    words = [*QUICK, "--schedule", "constant", "--warmup", "0", "--log", "tensorboard", "-q", "--out", "run"]
    assert hw4nets(*words).status == 0
    assert hw4nets("train", "--out", "run", "--resume", "--epochs", "3", "--log", "tensorboard", "-q").status == 0
    rows = [line.split(",") for line in Path("run/history.csv").read_text().splitlines()[1:]]
    names = ("loss/train", "accuracy/train", "accuracy/test", "images_per_second")
    assert scalars("run") == {
        name: [(int(row[0]), pytest.approx(float(row[place]), rel=1e-5)) for row in rows]
        for place, name in enumerate(names, start=1)
    }
    assert hw4nets(*words, "--overwrite", "--select", "validation").status == 0
    found = scalars("run")
    assert [step for step, _ in found["loss/train"]] == [1, 2] and len(found["accuracy/validation"]) == 2
