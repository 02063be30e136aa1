"""Reading a CSV of 10⁶ rows and 5 columns of numbers as `hw4opt` does, beside NumPy's own reader, each in a process of
its own:

millions of cells among the objects of another program cost Python's garbage collector many times as much.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.record import OURS, Row, Target

ROOT = Path(__file__).resolve().parent.parent
ROWS, CASE, ROUNDS = 1_000_000, "10⁶ × 5 CSV", 5
NAMES = "abcdy"
OURS_READS = f"""
from hw4opt.tables import read_table
def read(path):
    table = read_table(path)
    return [table.numbers(name) for name in {NAMES!r}][0]
"""
NUMPY_READS = "import numpy as np\ndef read(path):\n    return np.loadtxt(path, delimiter=',', skiprows=1)"
CLOCK = (
    "\nimport sys, time\nt = time.perf_counter()\nrows = len(read(sys.argv[1]))\nprint(rows, time.perf_counter() - t)"
)

variants = pytest.mark.parametrize("variant", (CASE,))
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reading") / "table.csv"
    np.savetxt(
        path,
        np.random.default_rng(0).standard_normal((ROWS, len(NAMES))),
        "%.6f",
        ",",
        header=",".join(NAMES),
        comments="",
    )
    return path


def seconds_of(timed, code: str, path: Path) -> list[float]:
    """What each of ROUNDS processes says of its reading; imports are not in it."""
    found: list[float] = []

    def once() -> None:
        done = subprocess.run(
            [sys.executable, "-c", code + CLOCK, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        rows, seconds = done.stdout.split()
        assert int(rows) == ROWS
        found.append(float(seconds))

    timed.exactly(once, ROUNDS)
    return found


@variants
def test_ours(timed, file: Path, variant: str) -> None:
    note = "every cell checked, the file's digest taken"
    targets = (Target("seconds", at_most=10.0),)
    seconds = seconds_of(timed, OURS_READS, file)
    timed.file(Row("reading", variant, OURS, "hw4opt", n=ROWS, note=note, seconds=seconds, targets=targets))


@variants
def test_numpy(timed, file: Path, variant: str) -> None:
    timed.file(Row("reading", variant, "numpy.loadtxt", "peer", n=ROWS, seconds=seconds_of(timed, NUMPY_READS, file)))
