"""Two searches share their trials in a PostgreSQL server."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw4nets.config import Config
from hw4nets.models import Logistic
from hw4nets.recipes import Recipe
from hw4nets.search import search
from hw4nets.search_plan import Plan
from hw4nets.settings import Range

pytestmark = pytest.mark.full
BESIDE = """
import sys
from pathlib import Path
from tests.hw4nets.test_shared_database import PLAN
from hw4nets.data import load
from hw4nets.search import search

search(PLAN, load("synthetic"), Path(sys.argv[1]), storage=sys.argv[2])
"""
PLAN = Plan(
    Recipe(Logistic(), Config(epochs=20, batch_size=100, threads=1, memory_format="contiguous")),
    {"lr": Range(1e-4, 1e-1, log=True)},
    8,
    "random",
)


@pytest.fixture
def server(tmp_path):
    """A server's URL; its programs refuse to run as root, and run as the user postgres then."""
    programs = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), *filter(None, [shutil.which("initdb")])]
    if not programs:
        pytest.skip("there is no PostgreSQL server (Debian's package postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("there is no driver for PostgreSQL (pip install 'psycopg[binary]')")
    place, bin_folder = Path(f"/tmp/hw4nets-postgres-{os.getpid()}"), Path(programs[0]).parent
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    words = {"cwd": "/", "check": True, "stdout": subprocess.DEVNULL}

    def run(name, *options):
        subprocess.run([*user, bin_folder / name, *options], **words)

    try:
        run("initdb", "-D", place, "--auth", "trust", "--username", "me")
        run(
            "pg_ctl", "-D", place, "-w", "-l", place / "log", "-o", f"-p 54329 -k {place} -c listen_addresses=", "start"
        )
        yield f"postgresql://me:secret@/postgres?host={place}&port=54329"
    finally:
        subprocess.run([*user, bin_folder / "pg_ctl", "-D", place, "-m", "immediate", "stop"], cwd="/", check=False)
        shutil.rmtree(place, ignore_errors=True)


def test_two_processes_share_a_postgresql_database(tmp_path, server):
    """Random values depend only on the trial's number: they equal those of a single process."""
    from hw4nets.data import load

    data = load("synthetic")
    alone = search(PLAN, data, tmp_path / "alone")
    other = subprocess.Popen([sys.executable, "-c", BESIDE, tmp_path / "b", server])
    deadline, told = time.monotonic() + 120, []
    while not (tmp_path / "b" / "trials.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    here = search(PLAN, data, tmp_path / "a", lambda trial, best: told.append(trial.number), storage=server)
    assert other.wait(120) == 0
    shared = search(PLAN, data, tmp_path / "a", storage=server)
    assert [trial.values for trial in shared.trials] == [trial.values for trial in alone.trials]
    for one, same in zip(shared.trials, alone.trials, strict=True):  # which end early depends on which ended before
        assert one.accuracy == same.accuracy or "pruned" in (one.ended, same.ended)
    assert told and 1 not in told and len(here.trials) <= 8
