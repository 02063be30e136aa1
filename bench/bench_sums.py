"""Sums of functions of several columns beside other packages: held-out error, time, and whether the shape holds.

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_sums --peers PYTHON

Data sets come with R (`quakes`, `nlme::MathAchieve`, and `mgcv::gamSim`, which is simulated), and so does mgcv (Debian:
r-base-core and r-cran-mgcv). `--peers` is a Python that has pyGAM and scikit-learn. What is missing is left out, and
the reason is printed. Times are CPU seconds, of choosing and fitting.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.sums_peers import WAYS, Part

ROOT = Path(__file__).resolve().parent.parent
HOLDS = 1e-6  # of f's range: a fall of more breaks the shape
GRID = 10_001  # points along the column whose shape is asked for
THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SECONDS = 600  # of one fit, wall time
COLUMNS = {
    "data": "data",
    "rows": "rows",
    "who": "who",
    "error": "held-out error",
    "seconds": "seconds",
    "largest_fall": "largest fall",
    "holds": "shape holds",
}


def part(name: str, *columns: int, kind: str = "smooth", increasing: bool = False) -> Part:
    return {"name": name, "columns": list(columns), "kind": kind, "increasing": increasing}


@dataclass(frozen=True)
class Data:
    """A data set: its components, and mgcv's formula for them."""

    name: str
    parts: list[Part]
    formula: str


DATA = [
    Data(
        "quakes",
        [part("magnitude", 0, increasing=True), part("deep", 1), part("place", 2, 3)],
        "stations ~ s(mag) + s(depth) + s(lat, long)",
    ),
    Data(
        "pupils",
        [part("own", 0, increasing=True), part("school", 1, increasing=True), part("minor", 2, kind="levels"),
         part("gender", 3, kind="levels")],
        "y ~ s(ses) + s(mean_ses) + minority + sex",
    ),
    Data(
        "simulated",
        [part("a", 0), part("b", 1, increasing=True), part("c", 2), part("d", 3)],
        "y ~ s(x0) + s(x1) + s(x2) + s(x3)",
    ),
]  # fmt: skip


def splits(rows: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Two thirds to fit, one third held out."""
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(rows))
        cut = 2 * len(rows) // 3
        yield rows[order[:cut]], rows[order[cut:]]


def grids(fitted: np.ndarray, data: Data) -> np.ndarray:
    """Rows along each column that f shall increase in, the others at a middle row."""
    found = []
    for one in data.parts:
        if one["increasing"]:
            (column,) = one["columns"]
            grid = np.repeat(fitted[len(fitted) // 2 : len(fitted) // 2 + 1, :-1], GRID, axis=0)
            grid[:, column] = np.linspace(fitted[:, column].min(), fitted[:, column].max(), GRID)
            found.append(grid)
    return np.concatenate(found)


def run(command: list[str]) -> str | None:
    """Why there is no result, else None."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **THREADS}, capture_output=True, text=True, timeout=SECONDS
        )
    except FileNotFoundError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        return f"not done after {SECONDS} s of wall time"
    return None if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines()[-1]


def measured(data: Data, header: str, rows: np.ndarray, who: str, command: list[str], count: int) -> dict[str, Any]:
    """The means over the splits; raises `RuntimeError` with the reason where there is no result."""
    errors, seconds, falls = [], [], []
    for fitted, held in splits(rows, count):
        with tempfile.TemporaryDirectory() as name:
            folder, grid = Path(name), grids(fitted, data)
            (folder / "parts.json").write_text(json.dumps(data.parts))
            (folder / "formula.txt").write_text(data.formula + "\n")
            for name, array in (("fit", fitted), ("new", held[:, :-1]), ("grid", grid)):
                np.save(folder / f"{name}.npy", array)
                np.savetxt(
                    folder / f"{name}.csv",
                    array,
                    "%.17g",
                    ",",
                    header=header if name == "fit" else header.rpartition(",")[0],
                    comments="",
                )
            if (reason := run([*command, str(folder)])) is not None:
                raise RuntimeError(reason)
            errors.append(float(np.sqrt(np.mean(np.square(np.loadtxt(folder / "new.txt") - held[:, -1])))))
            seconds.append(float((folder / "seconds.txt").read_text()))
            along = np.loadtxt(folder / "grid.txt").reshape(-1, GRID)
            falls.append(
                float(((np.maximum.accumulate(along, axis=1) - along).max(axis=1) / np.ptp(along, axis=1)).max())
            )
    return {
        "data": data.name,
        "rows": len(rows),
        "who": who,
        "error": float(np.mean(errors)),
        "seconds": float(np.mean(seconds)),
        "largest_fall": max(falls),
        "holds": max(falls) <= HOLDS,
    }


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "sums"))
    parser.add_argument("--peers", default=sys.executable, help="a Python that has pyGAM and scikit-learn")
    parser.add_argument("--splits", type=int, default=3)
    words = parser.parse_args()
    peer = {name: [words.peers, "-m", "bench.sums_peers", name] for name in WAYS if not name.startswith("hw4opt")}
    ours = {name: [sys.executable, "-m", "bench.sums_peers", name] for name in WAYS if name.startswith("hw4opt")}
    r = ["Rscript", str(ROOT / "bench" / "sums_peers.R")]
    found, left = list[dict[str, Any]](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        if (reason := run([*r, "data", folder])) is not None:
            sys.exit(f"the data sets come with R: {reason}")
        for data in DATA:
            file = Path(folder) / f"{data.name}.csv"
            header = file.read_text().partition("\n")[0].replace('"', "")
            rows = np.loadtxt(file, delimiter=",", skiprows=1)
            for who, command in (ours | peer | {"mgcv": [*r, "fit"]}).items():
                try:
                    found.append(measured(data, header, rows, who, command, words.splits))
                    print(found[-1], flush=True)
                except RuntimeError as error:
                    left.append(f"{data.name}: {who} is left out: {error}")
                    print(left[-1], flush=True)
    write(found, left, words.out, words.splits)


def write(found: list[dict[str, Any]], left: list[str], out: str, count: int) -> None:
    """The JSON, and the table."""
    about = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    Path(f"{out}.json").write_text(
        json.dumps({**about, "rows": found, "left_out": left}, indent=1) + "\n", encoding="utf-8"
    )
    lines = [[*COLUMNS.values()], ["---"] * len(COLUMNS)]
    for row in found:
        cells = [row[name] for name in COLUMNS]
        words = [
            ("yes" if one else "no") if isinstance(one, bool) else f"{one:.4g}" if isinstance(one, float) else f"{one}"
            for one in cells
        ]
        lines.append(words)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    made = f"`python -m bench.bench_sums --splits {count}`, Python {about['python']}, NumPy {about['numpy']}."
    text = f"""# Sums of functions

{made} CPU seconds, one thread, of choosing and fitting;
means of {count} random splits, two thirds to fit and one third held out. *Held-out error*: root mean square. *Largest
fall*: of f along the columns that it shall increase in, over {GRID:,} points, as a share of its range there; *shape
holds*: that is at most {HOLDS:g}.

{table}

{"".join(f"- {one}" + chr(10) for one in left)}"""
    Path(f"{out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
