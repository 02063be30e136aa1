"""The cost of each kind of pass over rows in blocks, a prediction for 10⁹ rows on many cores, and a check of it:

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_blocks_cost

Huber loss and ridge over a Gaussian kernel. Passes are timed in one process (CPU seconds, one thread) that
holds its rows, as a worker does, and a task in the process that holds scheduler and client. The check is a fit to
the first of the 10⁹ rows, which two workers make on the fly. Needs the extra `dask`.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.bench_blocks import ROOT, markdown
from hw4opt import RBF, Huber, Ridge
from hw4opt.blocks import DaskRows, DataRows, fit_blocks
from hw4opt.blocks.basis import design_of
from hw4opt.blocks.certificate import certify
from hw4opt.blocks.dask import PARTITION_BLOCKS
from hw4opt.blocks.fit import penalized, sample_fit
from hw4opt.blocks.objective import BlockedRows, BlockForms
from hw4opt.blocks.reference import trivial_fit
from hw4opt.blocks.rows import BLOCK_ROWS, R, in_blocks
from hw4opt.blocks.survey import survey
from hw4opt.problem import Model
from hw4opt.running.threads import one_blas_thread, set_threads, tree_reduce
from hw4opt.solvers.newton import Stop, minimize_objective

MODEL = Model(RBF(70.0), Huber(0.5), [Ridge(0.1)])
LARGE, CORES = 1_000_000_000, (8, 64)
EMPTY_TASKS = 500
VALUE_FLOPS = 23  # operations per kernel value: distance, square, and about 20 for an exponential
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}  # as docs/how-to/cluster.md
KINDS = ("kind", "passes", "nanoseconds_a_row", "rows_a_second", "flops_a_row", "bytes_of_a_sum")
PREDICTED = ("rows", "cores", "tasks", "core_seconds", "task_seconds", "seconds", "gigabytes_held", "gigabytes_moved")
CHECKED = ("rows", "cores", "predicted_core_seconds", "core_seconds", "predicted_seconds", "seconds", "gigabytes_moved")


@dataclass(frozen=True)
class MadeRows:
    """The first `count` rows of an unlimited sequence that is generated on demand, as in bench_blocks.py."""

    count: int

    def row_count(self) -> int:
        return self.count

    def between(self, low: int, high: int) -> Iterator[DataRows]:
        for first in range(low - low % BLOCK_ROWS, high, BLOCK_ROWS):
            draw = np.random.default_rng(first)
            x, noise = draw.uniform(0, 1, BLOCK_ROWS), draw.standard_normal(BLOCK_ROWS)
            y = np.sin(8 * x) + 0.3 * noise + 9 * (draw.uniform(size=BLOCK_ROWS) < 0.05)
            yield DataRows(y, x[:, None]).cut(slice(max(low - first, 0), high - first))

    def parts(self, with_x: bool) -> Iterator[DataRows]:
        return self.between(0, self.count)


@dataclass
class TimedSums:
    """Sums over blocks that this process holds: the seconds of every pass, and the bytes of its sum, by kind."""

    blocks: Sequence[DataRows]
    kind: str = ""
    passes: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)

    def total(self, act: Callable[[DataRows], R], combine: Callable[[R, R], R], with_x: bool = True) -> R | None:
        self.passes += 1
        began = time.process_time()
        found = tree_reduce(combine, map(act, self.blocks))
        seconds, kind = time.process_time() - began, self.kind
        if kind == "newton":  # sums of value, gradient and Hessian, or of the gradient only
            kind = "Hessian" if isinstance(found, tuple) else "gradient"
        self.seconds.setdefault(kind, []).append(seconds)
        self.bytes[kind] = max(self.bytes.get(kind, 0), len(pickle.dumps(found)))
        return found


def passes(rows: int) -> dict[str, Any]:
    """The cost of each kind of pass of `fit_blocks`, of generating a row, and of the work outside passes."""
    began = time.process_time()
    sums = TimedSums(list(in_blocks(MadeRows(rows).between(0, rows))))
    made = time.process_time() - began
    began = time.process_time()
    sums.kind = "survey"
    found = survey(MODEL, sums)
    sums.kind = "basis check"
    design = design_of(MODEL, found, sums)
    sums.kind = "targets"
    trivial = trivial_fit(MODEL, found, sums)
    blocked = BlockedRows(
        BlockForms(MODEL, design, 2 * MODEL.ridge * penalized(design)[None], trivial.level), sums, found
    )
    sums.kind = "newton"
    minimum = minimize_objective(blocked.objective(), sample_fit(blocked), Stop())
    sums.kind = "certificate"
    certify(blocked, minimum.w, trivial)
    whole, r = time.process_time() - began, blocked.penalty.shape[1]
    flops = {
        "basis check": VALUE_FLOPS * r + 2 * r**2 + 2 * r,
        "gradient": VALUE_FLOPS * r + 2 * r**2 + 4 * r,
        "Hessian": VALUE_FLOPS * r + 3 * r**2 + 5 * r,
        "certificate": VALUE_FLOPS * r + 2 * r**2 + 8 * r,
    }
    kinds = [
        {
            "kind": kind,
            "passes": len(seconds),
            "nanoseconds_a_row": round(1e9 * float(np.median(seconds)) / rows, 1),
            "rows_a_second": round(rows / float(np.median(seconds))),
            "flops_a_row": flops.get(kind),
            "bytes_of_a_sum": sums.bytes[kind],
        }
        for kind, seconds in sums.seconds.items()
    ]
    serial = whole - sum(map(sum, sums.seconds.values()))
    return {"columns": r, "kinds": kinds, "nanoseconds_to_make_a_row": 1e9 * made / rows, "serial_seconds": serial}


def predicted(costs: dict[str, Any], rows: int, cores: int) -> dict[str, Any]:
    """What the constants say of a fit: sums on all cores, then for each pass the scheduler's share of every task, and
    what is not spread."""
    tasks, kinds = -(-rows // (PARTITION_BLOCKS * BLOCK_ROWS)), costs["kinds"]
    nanoseconds = costs["nanoseconds_to_make_a_row"] + sum(one["passes"] * one["nanoseconds_a_row"] for one in kinds)
    reads = 1 + sum(one["passes"] for one in kinds)
    of_cores, of_tasks = 1e-9 * rows * nanoseconds, costs["seconds_a_task"] * tasks * reads
    return {
        "rows": rows,
        "cores": cores,
        "tasks": tasks,
        "core_seconds": of_cores,
        "task_seconds": of_tasks,
        "seconds": of_cores / min(cores, tasks) + of_tasks + costs["serial_seconds"],
        "gigabytes_held": 24e-9 * rows,  # x, y and the number of a row
        "gigabytes_moved": 1e-9 * tasks * sum(one["passes"] * one["bytes_of_a_sum"] for one in kinds),
    }


def seconds_a_task(client: Any) -> float:
    """CPU seconds that scheduler and client, both in this process, take for a task that does nothing and
    its share of the tree."""
    began = time.process_time()
    leaves = client.map(lambda one: one, range(EMPTY_TASKS), pure=False)
    total = tree_reduce(lambda one, other: client.submit(max, one, other, pure=False), leaves)
    assert total is not None and total.result() == EMPTY_TASKS - 1
    return (time.process_time() - began) / EMPTY_TASKS


def seconds_of_threads(client: Any) -> float:
    """CPU seconds of the threads that run tasks, one per worker."""
    workers = client.scheduler_info()["workers"]
    return sum(client.gather([client.submit(time.thread_time, workers=[one], pure=False) for one in workers]))


def check(costs: dict[str, Any], client: Any, rows: int) -> dict[str, Any]:
    """A fit by two workers that make their rows, beside the prediction."""
    first = MadeRows((PARTITION_BLOCKS + 1) * BLOCK_ROWS)  # excludes the workers' imports from the timing
    fit_blocks(MODEL, DaskRows(first, client))
    said, source = predicted(costs, rows, 2), DaskRows(MadeRows(rows), client)
    before, began = seconds_of_threads(client), time.perf_counter()
    fit_blocks(MODEL, source).raise_for_status()
    seconds, core_seconds = time.perf_counter() - began, seconds_of_threads(client) - before
    return {
        "rows": rows,
        "cores": 2,
        "predicted_core_seconds": said["core_seconds"],
        "core_seconds": core_seconds,
        "predicted_seconds": said["seconds"],
        "seconds": seconds,
        "gigabytes_moved": 1e-9 * source.usage().bytes_moved,
    }


def main() -> None:
    """Write the results."""
    from distributed import Client, LocalCluster

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of a timed pass")
    parser.add_argument("--check", type=int, default=10_000_000, help="rows of the fit that is predicted")
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "blocks_cost"))
    words = parser.parse_args()
    machine = platform.processor() or platform.machine()
    about = {"python": platform.python_version(), "numpy": np.__version__, "machine": machine}
    about["date"], load = time.strftime("%Y-%m-%d"), os.getloadavg()[0]
    busy = f"\nThe machine was busy (load average {load:.1f}): wall times are not meaningful." if load > 0.5 else ""
    os.environ.update(KEPT_MEMORY)
    set_threads(1)
    with one_blas_thread():
        costs = passes(words.rows)
    workers = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with workers as cluster, Client(cluster) as client:
        costs["seconds_a_task"] = seconds_a_task(client)
        checked = check(costs, client, words.check)
    predictions = [predicted(costs, LARGE, cores) for cores in CORES]
    found = {**about, "timed_rows": words.rows, **costs, "predictions": predictions, "check": [checked]}
    Path(f"{words.out}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = f"""# What a pass over rows in blocks costs

`python -m bench.bench_blocks_cost --rows {words.rows} --check {words.check}`, Python {about["python"]},
NumPy {about["numpy"]}, {machine}, {about["date"]}.{busy}
Huber loss, ridge, Gaussian kernel with {costs["columns"]} columns; CPU seconds on one thread, over
{words.rows:,} rows in memory. Generating a row takes {costs["nanoseconds_to_make_a_row"]:.0f} ns, a task with its share
of the tree {1e3 * costs["seconds_a_task"]:.2f} ms of the scheduler, and serial work {costs["serial_seconds"]:.1f} s.

{markdown(costs["kinds"], KINDS)}

Predictions:

{markdown([_rounded(one) for one in predictions], PREDICTED)}

A fit by two workers that generate their rows, beside its prediction:

{markdown([_rounded(checked)], CHECKED)}
"""
    Path(f"{words.out}.md").write_text(text, encoding="utf-8")
    print(text)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in row.items()}


if __name__ == "__main__":
    main()
