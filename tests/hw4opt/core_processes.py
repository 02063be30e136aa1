"""A Python of its own that imports from a folder: a checkout, or a copy of it whose core is not yet built."""

import os
import subprocess
import sys
from pathlib import Path

from hw4opt.core import build

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = build.SUFFIXES[build.machine().partition("-")[0]]


def start_in(folder, words, **environment):
    """The process, under way, without the caller's choice of a library or compiler."""
    kept = {name: value for name, value in os.environ.items() if name not in ("HW4OPT_CORE", "CC")}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_in(folder, words, **environment):
    """Exit status and what it printed."""
    process = start_in(folder, words, **environment)
    said = process.communicate(timeout=120)[0]
    return process.returncode, said
