"""Fits with a dual variable per row (tv, increasing, quantile loss) from Parquet files, and in memory, one process
each:

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_blocks_states --rows 1000000,10000000

Rows, kernel and ridge are those of bench_blocks; if --memory is less than the fit needs, the basis, the row table and
the solver's vectors are in files in the folder TMPDIR, which must be on a disk. Times are wall times on all cores and
CPU seconds, without imports; memory is the peak of anonymous memory (RssAnon, sampled every 20 ms), and the peak of the
process with cached pages of files (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from bench.bench_blocks import ROOT, markdown, write_rows
from bench.child import peak_bytes

CASES = ("tv", "increasing", "quantile")
SAMPLE_SECONDS = 0.02
COLUMNS = (
    *("case", "rows", "way", "status", "relative_gap", "rank", "seconds", "cpu_s"),
    *("anonymous_mb", "peak_mb", "apart"),
)


@contextmanager
def anonymous_peak() -> Iterator[list[int]]:
    """Context with a list whose only entry is the peak of this process's anonymous memory so far, in bytes."""
    found, done = [0], Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            text = Path("/proc/self/status").read_text(encoding="ascii")
            found[0] = max(found[0], 1024 * int(text.partition("RssAnon:")[2].split()[0]))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def one_fit(way: str, case: str, folder: str) -> dict[str, Any]:
    """One fit in this process; way: `memory`, or the memory limit of a fit in blocks in bytes."""
    from hw4opt import RBF, Huber, Increasing, Quantile, Ridge, TotalVariation, fit
    from hw4opt.blocks import TableRows, fit_blocks
    from hw4opt.problem import Model
    from hw4opt.tables import TableFiles

    kernel, ridge = RBF(30.0), Ridge(0.1)
    model, target = {
        "tv": (Model(kernel, Huber(0.5), [ridge, TotalVariation(0.3)]), "y"),
        "increasing": (Model(kernel, Huber(0.5), [ridge], [Increasing()]), "rising"),
        "quantile": (Model(kernel, Quantile(0.7), [ridge]), "y"),
    }[case]
    files = TableFiles.of(folder)
    with anonymous_peak() as peak:
        started, cpu = time.perf_counter(), time.process_time()
        if way == "memory":
            tables = list(files.blocks(["x", target]))
            x, y = (np.concatenate([one.numbers(name) for one in tables]) for name in ("x", target))
            del tables
            found = whole = fit(model.on(model.data_of(x, y)))
            rank, count = whole.rank, len(y)
        else:
            found = blocks = fit_blocks(model, TableRows(files, ("x",), target), memory=int(way))
            rank, count = blocks.columns, blocks.count
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "case": case,
        "rows": count,
        "way": "memory" if way == "memory" else f"blocks, {int(way) / 1e9:g} GB",
        "status": found.status.word,
        "relative_gap": found.certificate.relative_gap,
        "rank": rank,
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "anonymous_mb": round(peak[0] / 1e6),
        "peak_mb": round(peak_bytes() / 1e6),
        "at": found.predict(np.linspace(0, 1, 1001)).tolist(),
    }


def measured(rows: int, memory: list[int], in_memory: bool, cases: list[str]) -> list[dict[str, Any]]:
    """Every case at one size in its ways, and how far the fits are apart."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), rows)
        for case in cases:
            pair = []
            for way in (*(str(a_row * rows) for a_row in memory), *(["memory"] if in_memory else [])):
                call = [sys.executable, "-m", "bench.bench_blocks_states", "--one", way, case, folder]
                done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
                pair.append(json.loads(done.stdout))
            at = [np.array(one.pop("at")) for one in pair]
            for one, values in zip(pair, at, strict=True):
                one["apart"] = float(np.abs(values - at[-1]).max()) if in_memory else None
            found += pair
    return found


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000000,10000000")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--memory", default="400,130", help="bytes a row that a fit in blocks may take")
    parser.add_argument("--most-in-memory", type=int, default=1_000_000, help="rows up to which the fit in memory runs")
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "blocks_states"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one_fit(*given.one)))
        return
    sizes, load = [int(size) for size in given.rows.split(",")], os.getloadavg()[0]
    cases, memory = given.cases.split(","), [int(one) for one in given.memory.split(",")]
    rows = [row for size in sizes for row in measured(size, memory, size <= given.most_in_memory, cases)]
    machine = platform.processor() or platform.machine()
    found = {"python": platform.python_version(), "numpy": np.__version__, "machine": machine, "rows": rows}
    found |= {"date": time.strftime("%Y-%m-%d"), "load_before": round(load, 2)}
    Path(f"{given.out}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    made = f"Python {found['python']}, NumPy {found['numpy']}, {machine}, {os.cpu_count()} CPUs, {found['date']}"
    text = f"""# Rows in blocks, with a dual variable per row

`python -m bench.bench_blocks_states --rows {given.rows} --cases {given.cases} --memory {given.memory}`,
{made}.
Load average before: {load:.2f}; above 0.5 the wall times are not meaningful.
Gaussian kernel (gamma 30) and ridge 0.1 over Parquet files of a million rows, with {given.memory} bytes of memory per
row, and in memory without limit: wall time and CPU seconds, including reading, basis and certificate; the peak of
anonymous memory, and of the process with pages of files; `apart`: the largest difference of the fitted curve from that
of the fit in memory. Target: Huber loss with tv at 10,000,000 rows in 60 s and 4 GB.

{markdown(rows, COLUMNS)}
"""
    Path(f"{given.out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
