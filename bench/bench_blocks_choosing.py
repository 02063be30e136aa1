"""Choice of ridge over rows in blocks, 10 folds and four values, beside the same in memory, one process each:

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_blocks_choosing --rows 20000,1000000

Rows, times and memory as in bench_blocks.py; the folds differ, so that scores differ by part of a standard error.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.bench_blocks import LOSSES, ROOT, markdown, write_rows
from bench.child import peak_bytes

CASES = (*LOSSES, "quantile", "huber + tv")  # the last two have a dual variable per row: they refit fold by fold
RIDGES = (0.01, 10.0, 4)
COLUMNS = (
    "case",
    "rows",
    "way",
    "ridge",
    "score",
    "standard_error",
    "largest_gap",
    "fits",
    "passes",
    "cpu_s",
    "peak_mb",
)


def one_choice(way: str, case: str, folder: str) -> dict[str, Any]:
    """One search in this process."""
    from hw4opt import RBF, Huber, Logistic, Problem, Quantile, Ridge, Squared, TotalVariation
    from hw4opt.blocks import TableRows, select_blocks
    from hw4opt.problem import Model
    from hw4opt.running.threads import set_threads
    from hw4opt.selection import select
    from hw4opt.tables import TableFiles

    set_threads(1)
    losses = {"squared": Squared(), "logistic": Logistic(), "quantile": Quantile(0.9)}
    kernel, loss, target = RBF(30.0), losses.get(case, Huber(0.5)), "label" if case == "logistic" else "y"
    terms = [Ridge(0.1), TotalVariation(0.3)] if case == "huber + tv" else [Ridge(0.1)]
    files, more = TableFiles.of(folder), {"method": "kfold:10", "search": "grid", "grid": {"ridge": RIDGES}}
    started = time.process_time()
    if way == "blocks":
        found = select_blocks(Model(kernel, loss, terms), TableRows(files, ("x",), target), (), **more)
        chosen, passes = found.model.ridge, found.passes
    else:
        tables = list(files.blocks(["x", target]))
        x, y = (np.concatenate([one.numbers(name) for one in tables]) for name in ("x", target))
        found = select(Problem(x, y, kernel, loss, terms), (), complete=True, **more)
        chosen, passes = found.problem.ridge, None
    return {
        "case": case,
        "way": way,
        "ridge": round(chosen, 6),
        "score": round(found.score, 8),
        "standard_error": found.standard_error,
        "largest_gap": found.largest_fold_gap,
        "fits": found.fits,
        "passes": passes,
        "cpu_s": round(time.process_time() - started, 2),
        "peak_mb": round(peak_bytes() / 1e6),
    }


def measured(rows: int, in_memory: bool) -> list[dict[str, Any]]:
    """Run every case at one size."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), rows)
        for case in CASES:
            for way in ("blocks", "memory") if in_memory else ("blocks",):
                call = [sys.executable, "-m", "bench.bench_blocks_choosing", "--one", way, case, folder]
                done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
                found.append({"rows": rows} | json.loads(done.stdout))
    return found


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="20000,1000000")
    parser.add_argument("--most-in-memory", type=int, default=20_000, help="rows up to which it runs in memory, too")
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "blocks_choosing"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one_choice(*given.one)))
        return
    rows = [row for size in map(int, given.rows.split(",")) for row in measured(size, size <= given.most_in_memory)]
    machine = platform.processor() or platform.machine()
    found = {"python": platform.python_version(), "numpy": np.__version__, "machine": machine, "rows": rows}
    found["date"] = time.strftime("%Y-%m-%d")
    Path(f"{given.out}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    made = f"Python {found['python']}, NumPy {found['numpy']}, {machine}, {found['date']}"
    text = f"""# Choice of hyper-parameters over rows in blocks

`python -m bench.bench_blocks_choosing --rows {given.rows}`, {made}.
10 folds at four ridges from 0.01 to 10, Gaussian kernel (gamma 30), Parquet files: CPU seconds on one
thread, reading included. `passes` is how often all rows were read; `largest gap` is that of a fold's fit of the chosen
ridge, relative. Folds differ between the ways.

{markdown(rows, COLUMNS)}
"""
    Path(f"{given.out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
