"""What every test of the command line calls."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw4cli.opt.app import main

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
