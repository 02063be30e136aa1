"""`hw4nets` as a process: its help, completion and colors, and runs that are interrupted or killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from child_processes import Child, child, command, modules_of  # noqa: E402
from hw4cli.nets.app import app, main  # noqa: E402
from hw4nets.config import Config  # noqa: E402
from hw4nets.models import NETS  # noqa: E402
from hw4nets.settings import settings_of  # noqa: E402
from nets_command import QUICK  # noqa: E402

pytest_plugins = ["nets_command"]
RUN = "import sys; from hw4cli.nets.app import main; sys.exit(main(sys.argv[1:]))"


def process(*words: str, program: str = RUN, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120, **options
    )


def test_help_and_version_of_every_command(hw4nets):
    for words in ([], *([name] for name in app.texts)):
        done = hw4nets(*words, "--help")
        assert done.status == 0 and done.err == "" and "Usage: hw4nets" in done.out
        assert hw4nets(*words, "--version").out.startswith("hw4nets 1.")
        own = ("--json", "--quiet", "--seed", "--plot", "--save") if words else ()
        for option in own[:3] if words == ["export"] else own:  # whose one result is its file
            assert option in done.out


def test_every_setting_is_an_option_of_train(hw4nets):
    text = hw4nets("train", "--help").out
    for record in (Config, *NETS.values()):
        for item in settings_of(record):
            assert (f"--{item.name}" if item.name.isupper() else f"--{item.name.replace('_', '-')}") in text
    assert {item.name for item in fields(Config)} == {item.name for item in settings_of(Config)}


def test_help_needs_no_torch_library():
    program = f"{RUN.replace('sys.exit(main(sys.argv[1:]))', 'main(sys.argv[1:])')}; print('MODULES', *sys.modules)"
    done = process("--help", program=program)
    modules = {name.partition(".")[0] for name in done.stdout.rpartition("MODULES ")[2].split()}
    assert not modules & {"torch", "torchvision", "numpy", "matplotlib", "optuna", "rich", "hw4opt", "hw4nets"}


@pytest.mark.slow
def test_lines_come_through_a_pipe_as_epochs_end(tmp_path):
    words = [*QUICK, "--epochs", "100000", "--out", "run"]
    environment = {**os.environ, "HW4NETS_CACHE": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *words], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as running:
        try:
            assert running.stdout is not None
            assert [running.stdout.readline().split()[0] for _ in range(4)] == ["epoch", "1", "2", "3"]
            assert running.poll() is None
        finally:
            running.kill()


@pytest.mark.slow
def test_training_imports_neither_the_other_half_nor_the_search(tmp_path):
    with child(modules_of, ["train", "--help"], folder=tmp_path) as running:
        assert running.status() == 0
        modules = running.stdout.read_text().rpartition("MODULES ")[2].split()
    assert "hw4nets.training" in modules
    assert not {name.partition(".")[0] for name in modules} & {"hw4opt", "cvxpy", "optuna", "torchvision", "sklearn"}


def wait_until(there: Callable[[], bool], running: Child) -> None:
    while not there():
        assert running.process.is_alive(), running.stderr.read_text()
        time.sleep(0.002)


@pytest.mark.slow
def test_kill_9_then_resume_gives_the_history_of_a_run_that_nothing_stopped(tmp_path):
    """The command is killed as soon as it has begun, has its settings, its first checkpoint, and some epochs."""
    words, run = [*QUICK[:5], "--epochs", "12", "--threads", "1", "-q", "--out"], tmp_path / "run"
    begun: list[Callable[[], bool]] = [
        run.exists,
        (run / "config.toml").exists,
        (run / "last.pt").exists,
        lambda: (run / "history.csv").exists() and len((run / "history.csv").read_text().splitlines()) > 4,
    ]
    for there in begun:
        with child(command, [*words, "run", "--resume"], folder=tmp_path) as running:
            wait_until(there, running)
            running.kill()
    for name in ("run", "whole"):
        with child(command, [*words, name, *(["--resume"] if name == "run" else [])], folder=tmp_path) as running:
            assert running.status() == 0
    histories = [
        list(csv.DictReader((tmp_path / name / "history.csv").read_text().splitlines())) for name in ("whole", "run")
    ]
    timeless = [[{name: row[name] for name in row if "second" not in name} for row in rows] for rows in histories]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 12
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )


@pytest.mark.slow
def test_ctrl_c_is_130_and_the_run_goes_on(tmp_path):
    def epochs(running: Child) -> list[str]:
        lines = running.stdout.read_text().splitlines() if running.stdout.exists() else []
        return [line.split()[0] for line in lines]

    words = [*QUICK[:5], "--epochs", "2000", "--threads", "1", "--out", "run"]
    with child(command, words, folder=tmp_path) as running:
        wait_until(lambda: "3" in epochs(running), running)
        os.kill(running.process.pid or 0, signal.SIGINT)
        assert running.status() == 130
        said = running.stderr.read_text()
    assert "Traceback" not in said and "hw4nets train --out run --resume continues" in said
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) >= 4
    with child(command, ["train", "--out", "run", "--resume"], folder=tmp_path) as again:
        wait_until(lambda: len(epochs(again)) > 1, again)
        first = epochs(again)[:2]
        again.kill()
    assert first[0] == "epoch" and int(first[1]) >= 4


@pytest.mark.parametrize(("words", "number", "found"), [
    ("hw4nets s", 1, "search"), ("hw4nets train --net lo", 3, "logistic"), ("hw4nets train --schedule c", 3, "cosine"),
])  # fmt: skip
def test_the_shell_completes(capsys, monkeypatch, words, number, found):
    for name, value in (("_HW4NETS_COMPLETE", "bash_complete"), ("COMP_WORDS", words), ("COMP_CWORD", str(number))):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    assert found in capsys.readouterr().out


def test_no_color_is_respected(hw4nets, monkeypatch):
    words = ["data", "--data", "synthetic"]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[3" in hw4nets(*words).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in hw4nets(*words).out


@pytest.mark.slow
def test_a_whole_run_takes_seconds(hw4nets):
    start = time.monotonic()
    done = hw4nets(
        "train", "--net", "fast", "--widths", "8,16,16", "--data", "synthetic", "--epochs", "5", "--out", "run"
    )
    assert done.status == 0 and time.monotonic() - start < 60
    assert json.loads(Path("run/summary.json").read_text())["test_accuracy"] > 0.3
