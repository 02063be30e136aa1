"""Fair conditions for every question: BLAS on one thread, one core where a figure is said to be one thread's, and the
machine on record."""

from __future__ import annotations

import os

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # before NumPy is loaded; child processes inherit it

import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from dataclasses import asdict  # noqa: E402
from importlib import metadata  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "cli")]  # the bench times this checkout, installed or not

from threadpoolctl import threadpool_info, threadpool_limits  # noqa: E402

from bench.record import Row  # noqa: E402

PACKAGES = (
    *(
        "numpy",
        "scipy",
        "cvxpy",
        "clarabel",
        "osqp",
        "ecos",
        "scs",
        "piqp",
        "daqp",
        "proxsuite",
        "scikit-learn",
        "glum",
        "statsmodels",
    ),
    *("torch", "torchvision"),
    *("click", "rich", "pytest-benchmark"),
)
LOAD_BEFORE = os.getloadavg()


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """For the peers too, and for a BLAS that was loaded before the environment was set."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def one_core() -> Iterator[None]:
    """Every thread of the process on one core, ours and the peers': what "one thread" means in the tables."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


class Timed:
    """Times an act within a budget of seconds, and files the row."""

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark
        self.rounds = 0

    def __call__(
        self, act: Callable[[], Any], budget: float = 1.0, *, warm: Callable[[], Any] | None = None, share: float = 1.0
    ) -> Any:
        """As many rounds as the budget allows, 3 to 200 (1 where a round alone breaks it); the first call only warms
        up.

        warm, share    a cheaper act to warm up with, and its share of the whole
        """
        started = time.perf_counter()
        (warm or act)()
        one = (time.perf_counter() - started) / share
        self.rounds = 1 if one > budget else min(max(3, int(budget / one)), 200)
        return self._benchmark.pedantic(act, rounds=self.rounds)

    def exactly(self, act: Callable[[], Any], rounds: int) -> Any:
        """A given number of rounds, without a warm-up."""
        self.rounds = rounds
        return self._benchmark.pedantic(act, rounds=rounds)

    def file(self, row: Row) -> None:
        self._benchmark.group = f"{row.question}: {row.case}"
        self._benchmark.extra_info.update(asdict(row))


@pytest.fixture
def timed(benchmark: Any) -> Timed:
    return Timed(benchmark)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ours and the peers of one variant follow each other, so that a drift of the machine meets them alike."""
    files = list(dict.fromkeys(item.path for item in items))
    variants = list(dict.fromkeys(_variant(item) for item in items))
    items.sort(key=lambda item: (files.index(item.path), variants.index(_variant(item))))


def _variant(item: pytest.Item) -> object:
    return item.callspec.params.get("variant") if hasattr(item, "callspec") else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info["cpu_count"] = os.cpu_count()
    machine_info["memory_bytes"] = _memory_bytes()
    machine_info["load_average"] = {"before": LOAD_BEFORE, "after": os.getloadavg()}
    machine_info["versions"] = {package: _version(package) for package in PACKAGES}
    machine_info["blas"] = [
        {key: pool.get(key) for key in ("internal_api", "version", "num_threads")}
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]


def pytest_report_header(config: pytest.Config) -> str:
    return f"bench: {os.cpu_count()} CPUs, load average {LOAD_BEFORE[0]:.2f}, BLAS on one thread"
