"""Wall time of whole processes of the command line, files cached and bytecode compiled, beside what Python and its
imports cost alone."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.record import OURS, Row, Target

ROOT = Path(__file__).resolve().parent.parent
GIVEN = "solve --gamma 79 --loss huber --reg ridge=0.38 --reg tv=0.36 --select none"
CHOSEN = "solve --loss huber --reg tv"
ASKED = {
    "--help": (Target("seconds", at_most=0.1),),
    GIVEN: (Target("seconds", at_most=0.35),),
    CHOSEN: (Target("seconds", at_most=0.9), Target("seconds", at_most=0.6, aim=True)),
}
FLOORS = {"nothing": "pass", "numpy": "import numpy", "cvxpy": "import cvxpy"}


def program() -> list[str]:
    """The console script beside this Python, else on PATH, else the module."""
    script = shutil.which("hw4opt", path=str(Path(sys.executable).parent)) or shutil.which("hw4opt")
    return [script] if script else [sys.executable, "-m", "hw4cli.opt.app"]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), str(ROOT / "cli"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")
    }  # as a user starts it
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.mark.parametrize("words", ASKED)
def test_ours(timed, words: str) -> None:
    if importlib.util.find_spec("hw4cli.opt.app") is None and len(program()) > 1:
        pytest.skip("there is no command line: hw4cli.opt.app does not exist")
    command = [*program(), *words.split()]
    done = timed(lambda: run(command), 8.0)
    assert done.returncode == 0, f"hw4opt {words} ended with {done.returncode}: {done.stderr.strip()[-300:]}"
    gap, certified = _proof(command) if words.startswith("solve") else (None, None)
    note = "the console script" if len(program()) == 1 else "python -m hw4cli.opt.app"
    targets = (*ASKED[words], *([Target("relative_gap", at_most=1e-9)] if gap is not None else []))
    timed.file(
        Row(
            "startup",
            f"hw4opt {words}",
            OURS,
            "hw4opt",
            relative_gap=gap,
            certified=certified,
            note=note,
            targets=targets,
        )
    )


def _proof(command: list[str]) -> tuple[float | None, bool]:
    """From an untimed run with --json."""
    report = json.loads(run([*command, "--json", "-"]).stdout)
    return report["relative_gap"], report["status"] == "certified"


@pytest.mark.parametrize("floor", FLOORS)
def test_floor(timed, floor: str) -> None:
    timed(lambda: run([sys.executable, "-c", FLOORS[floor]]), 2.0)
    timed.file(Row("startup", "Python itself", f"python -c '{FLOORS[floor]}'", "floor"))
