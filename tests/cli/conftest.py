"""Fixtures of the command line's tests."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw4cli.opt.app import main

CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored in background jobs
GIVEN = ["--gamma", "20", "--reg", "ridge=0.01", "--select", "none"]


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.fixture
def hw4opt(capsys, tmp_path, monkeypatch) -> Callable[..., Done]:
    """Run the command line in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Done:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Done(int(status), *capsys.readouterr())

    return run


@pytest.fixture
def dose(tmp_path) -> Path:
    """A CSV of 40 rows: an identifier, dose, age, weight, group, response."""
    rng = np.random.default_rng(1)
    x = np.arange(40) / 40
    path = tmp_path / "dose.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "dose", "age", "weight", "group", "response"])
        for i in range(40):
            writer.writerow(
                [f"s{i}", x[i], 20 + 7 * i % 60, 1 + i % 2, "abcd"[i % 4], np.sqrt(i) + 0.3 * rng.standard_normal()]
            )
    return path


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start Python code in a process group of its own, with Ctrl-C as on a terminal; killed at the end of the test."""
    running: list[subprocess.Popen[bytes]] = []

    def run(code: str, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        call = [sys.executable, "-c", CTRL_C + code, *words]
        running.append(subprocess.Popen(call, start_new_session=True, **(streams | options)))
        return running[-1]

    yield run
    for process in running:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition holds; fails after 30 seconds."""

    def wait(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait


@pytest.fixture
def children() -> Callable[[int], list[int]]:
    """pid → the living processes that it has started."""

    def living(parent: int) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                state, owner = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(owner) == parent and state != "Z":
                found.append(int(path.name))
        return found

    return living
