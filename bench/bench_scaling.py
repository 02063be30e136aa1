"""Seconds and memory of one fit() from n = 200 to 10⁶, and 10⁷ where there is memory, a process each, beside cvxpy at
the sizes it can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cases import LARGE
from bench.child import run_child
from bench.record import OURS, Row, Target

cases = pytest.mark.parametrize("variant", LARGE)
ROUNDS = {200: 5, 500: 5, 10_000: 5, 100_000: 3, 1_000_000: 2}
NOTE = "fit(), basis and certificate included; every core, BLAS on one thread"
MEMORY_OF_TEN_MILLION = 12e9
GAP = Target("relative_gap", at_most=1e-8)
SLOPE = Target("slope", at_most=1.1)
ASKED = {
    ("huber_tv", 10_000): (GAP,),
    ("huber_tv", 100_000): (Target("seconds", at_most=2.0), GAP),
    ("huber_tv", 1_000_000): (
        Target("seconds", at_most=3.5),
        Target("seconds", at_most=2.0, aim=True),
        Target("peak_bytes", at_most=4e9),
        SLOPE,
        GAP,
    ),
    ("huber_tv", 10_000_000): (
        Target("seconds", at_most=40.0),
        Target("seconds", at_most=20.0, aim=True),
        Target("peak_bytes", at_most=8e9),
        GAP,
    ),
    ("increasing", 10_000): (GAP,),
    ("increasing", 100_000): (GAP,),
    ("increasing", 1_000_000): (Target("seconds", at_most=30.0), Target("peak_bytes", at_most=4e9), SLOPE, GAP),
}
PEERS = {
    "assignment": ("cvxpy:CLARABEL, assignment's body", "full Gram matrix, psd_wrap"),
    "factored": ("cvxpy:CLARABEL, factored by hand", "over our basis (not counted)"),
    "compiled": ("cvxpy:CLARABEL, compiled", "fit(problem, 'cvxpy:CLARABEL')"),
}


@cases
@pytest.mark.parametrize("n", ROUNDS)
def test_ours(timed, variant: str, n: int) -> None:
    runs = []
    timed.exactly(lambda: runs.append(run_child("ours", variant, n)), ROUNDS[n])
    timed.file(_row(variant, n, OURS, "hw4opt", runs, NOTE))


def test_ten_million(timed) -> None:
    if _available_bytes() < MEMORY_OF_TEN_MILLION:
        pytest.skip(f"less than {MEMORY_OF_TEN_MILLION / 1e9:.0f} GB of memory are free")
    runs, n = [], 10_000_000
    timed.exactly(lambda: runs.append(run_child("ours", "huber_tv", n, timeout=300.0)), 1)
    timed.file(_row("huber_tv", n, OURS, "hw4opt", runs, NOTE))


def _available_bytes() -> float:
    try:
        said = Path("/proc/meminfo").read_text(encoding="ascii")
        return 1024.0 * int(said.partition("MemAvailable:")[2].split()[0])
    except (OSError, IndexError):
        return 0.0


@cases
@pytest.mark.parametrize(
    ("n", "what"), [(200, "assignment"), (500, "assignment"), (10_000, "factored"), (10_000, "compiled")]
)
def test_cvxpy(timed, variant: str, n: int, what: str) -> None:
    runs = []
    timed.exactly(lambda: runs.append(run_child(what, variant, n, timeout=40.0)), 1)
    timed.file(_row(variant, n, PEERS[what][0], what, runs, PEERS[what][1]))


def _row(variant: str, n: int, who: str, kind: str, runs: list[dict], note: str) -> Row:
    case = f"{variant}, n = {n:,}"
    failed = next((run["failed"] for run in runs if "failed" in run), None)
    if failed is not None:
        return Row("scaling", case, who, kind, certified=False, n=n, note=failed)
    gaps = [run["relative_gap"] for run in runs]
    return Row(
        "scaling",
        case,
        who,
        kind,
        relative_gap=None if None in gaps else max(gaps),
        certified=all(run["certified"] for run in runs),
        n=n,
        note=note,
        seconds=[run["seconds"] for run in runs],
        peak_bytes=max(run["peak_bytes"] for run in runs),
        targets=ASKED.get((variant, n), ()) if kind == "hw4opt" else (),
    )
