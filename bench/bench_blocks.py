"""Fits to rows in blocks from Parquet files beside the same fits in memory, a process each:

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_blocks --rows 1000000,10000000

Seconds are those of the processor, on one thread (imports are not in them); the peak is that of the process. The rows
are made anew in a temporary folder, a million per file: x uniform on [0, 1], y = sin(8x) + noise, one in 20 an outlier.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.child import peak_bytes

ROOT = Path(__file__).resolve().parent.parent
FILE_ROWS = 1_000_000
GROUP_ROWS = 131_072
LOSSES = ("squared", "huber", "logistic")
COLUMNS = ("loss", "rows", "way", "status", "relative_gap", "rank", "passes", "cpu_s", "rows_per_cpu_s", "peak_mb")


def write_rows(folder: Path, rows: int) -> None:
    """Parquet files of so many rows."""
    import pyarrow as arrow
    from pyarrow.parquet import write_table

    draw = np.random.default_rng(0)
    for number, low in enumerate(range(0, rows, FILE_ROWS)):
        size = min(FILE_ROWS, rows - low)
        x = draw.uniform(0, 1, size)
        y = np.sin(8 * x) + 0.3 * draw.standard_normal(size) + 9 * (draw.uniform(size=size) < 0.05)
        label = (draw.uniform(size=size) < 1 / (1 + np.exp(-2 * np.sin(6 * x)))).astype(float)
        columns = arrow.table({"x": x, "y": y, "label": label, "rising": y - np.sin(8 * x) + 8 * x})
        write_table(columns, folder / f"{number:04d}.parquet", row_group_size=GROUP_ROWS)


def one_fit(way: str, loss: str, folder: str) -> dict[str, Any]:
    """One fit in this process."""
    from hw4opt import RBF, Huber, Logistic, Problem, Ridge, Squared, fit
    from hw4opt.blocks import TableRows, fit_blocks
    from hw4opt.problem import Model
    from hw4opt.running.threads import set_threads
    from hw4opt.tables import TableFiles

    set_threads(1)
    terms = {"squared": Squared(), "huber": Huber(0.5), "logistic": Logistic()}
    kernel, ridge, target = RBF(30.0), [Ridge(0.1)], "label" if loss == "logistic" else "y"
    files = TableFiles.of(folder)
    started = time.process_time()
    if way == "blocks":
        found = fit_blocks(Model(kernel, terms[loss], ridge), TableRows(files, ("x",), target))
        status, passes, rank, count = found.status, found.passes, found.columns, found.count
    else:
        tables = list(files.blocks(["x", target]))
        x, y = (np.concatenate([one.numbers(name) for one in tables]) for name in ("x", target))
        whole = fit(Problem(x, y, kernel, terms[loss], ridge))
        found, status, passes, rank, count = whole, whole.status, None, whole.rank, len(y)
    seconds = time.process_time() - started
    return {
        "loss": loss,
        "rows": count,
        "way": way,
        "status": status.word,
        "relative_gap": found.certificate.relative_gap,
        "rank": rank,
        "passes": passes,
        "cpu_s": round(seconds, 2),
        "rows_per_cpu_s": round(count / seconds),
        "peak_mb": round(peak_bytes() / 1e6),
        "at": found.predict(np.linspace(0, 1, 1001)).tolist(),
    }


def measured(rows: int, in_memory: bool) -> list[dict[str, Any]]:
    """Every loss in both ways at one size, and how far the fits are apart."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), rows)
        for loss in LOSSES:
            pair = []
            for way in ("blocks", "memory") if in_memory else ("blocks",):
                call = [sys.executable, "-m", "bench.bench_blocks", "--one", way, loss, folder]
                done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
                pair.append(json.loads(done.stdout))
            at = [np.array(one.pop("at")) for one in pair]
            pair[0]["apart"] = float(np.abs(at[0] - at[-1]).max()) if len(pair) > 1 else None
            found += pair
    return found


def markdown(rows: list[dict[str, Any]], names: Sequence[str]) -> str:
    """The columns of the rows as a table."""
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    lines = [" | ".join(row) for row in [[name.replace("_", " ") for name in names], ["---"] * len(names), *cells]]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.2g}" if isinstance(value, float) and value < 1e-3 else str(value)


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000000,10000000")
    parser.add_argument("--most-in-memory", type=int, default=1_000_000, help="rows up to which the fit in memory runs")
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "blocks"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one_fit(*given.one)))
        return
    sizes = [int(size) for size in given.rows.split(",")]
    rows = [row for size in sizes for row in measured(size, size <= given.most_in_memory)]
    machine = platform.processor() or platform.machine()
    found = {"python": platform.python_version(), "numpy": np.__version__, "machine": machine, "rows": rows}
    found["date"] = time.strftime("%Y-%m-%d")
    Path(f"{given.out}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    made = f"Python {found['python']}, NumPy {found['numpy']}, {machine}, {found['date']}"
    text = f"""# Rows in blocks

`python -m bench.bench_blocks --rows {given.rows}`, {made}.
Gaussian kernel (gamma 30) and ridge 0.1 over Parquet files of a million rows: seconds of the processor on one thread,
reading, basis and certificate included; `passes` is how often all rows were read (some of them without x), `apart` the
largest difference of the fitted curve from that of the fit in memory.

{markdown(rows, [*COLUMNS, "apart"])}
"""
    Path(f"{given.out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
