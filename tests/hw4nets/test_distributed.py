"""Training with two torchrun processes equals training with one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from hw4nets.checkpoint import load_checkpoint
from hw4nets.distributed import ALONE, Group
from hw4nets.errors import InputError
from hw4nets.runs import read_history

NET = "--net base --filters 4,6 --units 16,12 --no-batch-norm --dropout 0 --optimizer sgd --lr 0.05 --augment none"
TRAINING = f"train {NET} --data synthetic --epochs 2 --batch-size 100 --precision float64 --memory-format contiguous -q"


def start(folder, processes, *words):
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    command += ["hw4cli.nets.app", *TRAINING.split(), "--out", "run", *words]
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_two_processes_give_the_history_of_one(tmp_path):
    """In float64, without normalisation and dropout, only the order of sums differs; flips and crops are alike."""
    for augment in ("none", "flip,crop:2,cutout:4"):
        runs = [tmp_path / f"{augment[:4]}{processes}" for processes in (1, 2)]
        for folder, processes in zip(runs, (1, 2), strict=True):
            done = start(folder, processes, "--augment", augment)
            assert done.returncode == 0, done.stderr
        one, two = (read_history(folder / "run") for folder in runs)
        for name in ("train_loss", "train_accuracy", "test_accuracy"):
            assert np.allclose(*([getattr(row, name) for row in rows] for rows in (one, two)), rtol=1e-6, atol=0), name
        weights = [load_checkpoint(folder / "run" / "last.pt")["weights"] for folder in runs]
        for name, weight in weights[0].items():
            assert weight.dtype is torch.float64 and torch.allclose(weight, weights[1][name], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on(tmp_path):
    flat = ["--schedule", "constant", "--warmup", "0", "--average", "none"]
    assert start(tmp_path / "whole", 2, *flat).returncode == 0
    assert start(tmp_path / "part", 2, *flat, "--epochs", "1").returncode == 0
    assert start(tmp_path / "part", 2, *flat, "--resume").returncode == 0
    whole, part = (read_history(tmp_path / name / "run") for name in ("whole", "part"))
    assert [row.train_loss for row in part] == [row.train_loss for row in whole]
    assert json.loads((tmp_path / "part" / "run" / "summary.json").read_text())["epochs"] == 2


@pytest.mark.slow
def test_a_refusal_ends_all_processes(tmp_path):
    done = start(tmp_path, 2, "--batch-size", "101")
    assert done.returncode != 0 and "--batch-size is 101; it must be a multiple of the 2 processes" in done.stderr


def test_parts_of_a_batch():
    batch = torch.arange(6)
    assert [Group(rank, 3).part(batch).tolist() for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert ALONE.part(batch) is not None and ALONE.of_first(lambda: 3) == 3 and ALONE.after_first(lambda: 4) == 4
    assert ALONE.sum(batch) is batch
    Group(0, 3).check_batch(6)
    with pytest.raises(InputError, match="`batch_size` is 6; it must be a multiple of the 4 processes"):
        Group(0, 4).check_batch(6)
