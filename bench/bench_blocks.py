r"""Fits to rows in blocks from Parquet files beside the same fits in memory, one process each:

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_blocks --rows 1000000,10000000
    OPENBLAS_NUM_THREADS=1 python -m bench.bench_blocks --rows 10000000,100000000 --losses huber --most-in-memory 0 \
        --limits --out bench/results/blocks_largest

Times are CPU seconds on one thread, without imports; memory is the peak of the process. The rows are generated in a
temporary folder (TMPDIR; 1.6 GB for 10⁸ rows, Huber loss), a million per file: x uniform on [0, 1], y = sin(8x) +
noise, one in 20 an outlier. `--limits` exits with 1 if a fit takes more than MOST_MB, is not certified, or takes more
than MOST_TIMES times as long for ten times the rows.
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
MOST_MB, MOST_TIMES = 2_000, 12.0
COLUMNS = ("loss", "rows", "way", "status", "relative_gap", "rank", "passes", "cpu_s", "rows_per_cpu_s", "peak_mb")


def write_rows(folder: Path, rows: int, targets: Sequence[str] = ("y", "label", "rising")) -> None:
    """Write Parquet files with `rows` rows: x and the targets."""
    import pyarrow as arrow
    from pyarrow.parquet import write_table

    draw = np.random.default_rng(0)
    for number, low in enumerate(range(0, rows, FILE_ROWS)):
        size = min(FILE_ROWS, rows - low)
        x = draw.uniform(0, 1, size)
        y = np.sin(8 * x) + 0.3 * draw.standard_normal(size) + 9 * (draw.uniform(size=size) < 0.05)
        label = (draw.uniform(size=size) < 1 / (1 + np.exp(-2 * np.sin(6 * x)))).astype(float)
        columns = {"x": x, "y": y, "label": label, "rising": y - np.sin(8 * x) + 8 * x}
        wanted = arrow.table({name: columns[name] for name in ("x", *dict.fromkeys(targets))})
        write_table(wanted, folder / f"{number:04d}.parquet", row_group_size=GROUP_ROWS)


def target_of(loss: str) -> str:
    """The column of targets for a loss."""
    return "label" if loss == "logistic" else "y"


def one_fit(way: str, loss: str, folder: str) -> dict[str, Any]:
    """One fit in this process."""
    from hw4opt import RBF, Huber, Logistic, Problem, Ridge, Squared, fit
    from hw4opt.blocks import TableRows, fit_blocks
    from hw4opt.problem import Model
    from hw4opt.running.threads import set_threads
    from hw4opt.tables import TableFiles

    set_threads(1)
    terms = {"squared": Squared(), "huber": Huber(0.5), "logistic": Logistic()}
    kernel, ridge, target = RBF(30.0), [Ridge(0.1)], target_of(loss)
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


def measured(rows: int, losses: Sequence[str], in_memory: bool) -> list[dict[str, Any]]:
    """Every loss in blocks and in memory at one size, and the difference of the fits."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), rows, [target_of(loss) for loss in losses])
        for loss in losses:
            pair = []
            for way in ("blocks", "memory") if in_memory else ("blocks",):
                call = [sys.executable, "-m", "bench.bench_blocks", "--one", way, loss, folder]
                done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
                pair.append(json.loads(done.stdout))
            at = [np.array(one.pop("at")) for one in pair]
            pair[0]["apart"] = float(np.abs(at[0] - at[-1]).max()) if len(pair) > 1 else None
            found += pair
    return found


def misses(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each fit over blocks that exceeds a limit of memory or time, or is not certified."""
    found, seconds = [], {(row["loss"], row["rows"]): row["cpu_s"] for row in rows if row["way"] == "blocks"}
    for row in rows:
        name, tenth = f"{row['loss']}, {row['rows']} rows", seconds.get((row["loss"], row["rows"] // 10))
        if row["way"] != "blocks":
            continue
        if row["status"] != "certified":
            found.append(f"{name}: {row['status']}")
        if row["peak_mb"] > MOST_MB:
            found.append(f"{name}: {row['peak_mb']} MB, where {MOST_MB} are allowed")
        if tenth is not None and row["cpu_s"] > MOST_TIMES * tenth:
            found.append(f"{name}: {row['cpu_s'] / tenth:.1f} times as long as a tenth of the rows, not {MOST_TIMES:g}")
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
    parser.add_argument("--losses", default=",".join(LOSSES))
    parser.add_argument("--limits", action="store_true", help="exit 1 where a limit is passed")
    parser.add_argument("--most-in-memory", type=int, default=1_000_000, help="rows up to which the fit in memory runs")
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "blocks"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one_fit(*given.one)))
        return
    sizes, losses = [int(size) for size in given.rows.split(",")], given.losses.split(",")
    rows = [row for size in sizes for row in measured(size, losses, size <= given.most_in_memory)]
    machine = platform.processor() or platform.machine()
    found = {"python": platform.python_version(), "numpy": np.__version__, "machine": machine, "rows": rows}
    found["date"] = time.strftime("%Y-%m-%d")
    Path(f"{given.out}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    made = f"Python {found['python']}, NumPy {found['numpy']}, {machine}, {found['date']}"
    text = f"""# Rows in blocks

`python -m bench.bench_blocks {" ".join(sys.argv[1:])}`, {made}.
Gaussian kernel (gamma 30) and ridge 0.1 over Parquet files of a million rows: CPU seconds on one thread, including
reading, basis and certificate; `passes`: number of reads of all rows (some of them without x); `apart`: the largest
difference of the fitted curve from that of the fit in memory.

{markdown(rows, [*COLUMNS, "apart"])}
"""
    Path(f"{given.out}.md").write_text(text, encoding="utf-8")
    print(text)
    if given.limits and (missed := misses(rows)):
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
