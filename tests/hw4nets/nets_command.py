"""The command line `hw4nets` in this process, and a finished run: a plugin of the tests of it (PYTEST_DONT_REWRITE)."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hw4cli.nets.app import main
from light_runs import lighten

QUICK = ["train", "--net", "logistic", "--data", "synthetic", "--epochs", "2", "--threads", "1"]
HEADER = "epoch,train_loss,train_accuracy,test_accuracy,images_per_second,seconds_train,seconds_eval"
ORIGIN = {"version", "command", "seed", "platform", "data_sha256"}


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.fixture
def nets_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HW4NETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    lighten(monkeypatch)


@pytest.fixture
def hw4nets(capsys, tmp_path, monkeypatch, nets_cache) -> Callable[..., Done]:
    """Run the command line in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Done:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Done(int(status), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A finished run; tests change copies of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HW4NETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(tmp_path_factory.mktemp("original"))
        lighten(patch)
        assert main([*QUICK, "--out", "run", "--quiet"]) == 0
        return Path("run").resolve()


@pytest.fixture
def trained(hw4nets, finished_run):
    shutil.copytree(finished_run, "run")
    return Path("run")
