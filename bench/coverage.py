"""Coverage of prediction intervals: `nice -n 15 python bench/coverage.py [--draws 500]`.

y = sin(2π x) + noise at n uniform x in [0, 1], RBF kernel with ridge; noise is Gaussian (0.3), heavy-tailed (0.3 times
Student's t of 2 degrees of freedom) or heteroscedastic (Gaussian, 0.1 + 0.5 x). In every draw gamma and ridge are
chosen by leave-one-out on the rows themselves, and once more taken as an independent data set of the same kind gave
them (draw -1: "given", the case of the guarantee). Measured are the share of 200 new targets inside, and the width.

Every draw is one line of --progress, written when it is done: if the script is started again, it continues there, and
the tables are those of the finished draws. One core.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from hw4opt import RBF, Absolute, EpsilonInsensitive, Huber, Problem, Quantile, Ridge, Squared, fit  # noqa: E402
from hw4opt.inference.intervals import METHODS  # noqa: E402
from hw4opt.running.files import write_text  # noqa: E402
from hw4opt.running.threads import set_threads  # noqa: E402
from hw4opt.selection import select  # noqa: E402
from hw4opt.terms import Loss  # noqa: E402

DRAWS = 500
LEVEL = 0.9
NEW_ROWS = 200
SIZES = (50, 200)
LOSSES: dict[str, Loss] = {
    "squared": Squared(),
    "huber, delta auto": Huber("auto"),
    "absolute": Absolute(),
    "quantile 0.75": Quantile(0.75),
    "epsilon-insensitive 0.1": EpsilonInsensitive(0.1),
}
Noise = Callable[[np.random.Generator, np.ndarray], np.ndarray]
NOISES: dict[str, Noise] = {
    "Gaussian": lambda draw, x: 0.3 * draw.standard_normal(len(x)),
    "heavy-tailed": lambda draw, x: 0.3 * draw.standard_t(2, len(x)),
    "heteroscedastic": lambda draw, x: (0.1 + 0.5 * x) * draw.standard_normal(len(x)),
}
Cell = tuple[str, int, str]  # noise, n, loss


def cells() -> Iterator[Cell]:
    """Every noise, size and loss."""
    return ((noise, n, loss) for n in SIZES for noise in NOISES for loss in LOSSES)


def sample(noise: str, n: int, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x and y of n rows and of the new ones; the same for every loss."""
    random = np.random.default_rng([list(NOISES).index(noise), n, draw + 1])
    x = random.uniform(size=n + NEW_ROWS)
    y = np.sin(2 * math.pi * x) + NOISES[noise](random, x)
    return x[:n], y[:n], x[n:], y[n:]


def chosen(x: np.ndarray, y: np.ndarray, loss: str, given: dict[str, float] | None) -> Problem:
    """The problem at the given hyper-parameters, or at those that the rows choose, with its held-out fits."""
    problem = Problem(x, y, RBF(1.0), LOSSES[loss], [Ridge(1.0)])
    free = ["gamma", "ridge"] if given is None else []
    problem = problem if given is None else problem.with_hyperparameters(given)
    return select(problem, free, method="loo", keep_folds=True).problem


def measured(cell: Cell, draw: int, given: dict[str, float]) -> dict[str, Any]:
    """One line: share inside and mean width of every method, with chosen and with given hyper-parameters."""
    noise, n, loss = cell
    x, y, new_x, new_y = sample(noise, n, draw)
    line: dict[str, Any] = {"noise": noise, "n": n, "loss": loss, "draw": draw}
    started = time.process_time()
    for how, values in (("chosen", None), ("given", given)):
        result = fit(chosen(x, y, loss, values))
        for method in METHODS:
            low, high = result.predict_interval(new_x, LEVEL, method)[1][:, :, 0].T
            line[f"{how} {method}"] = [float(np.mean((low <= new_y) & (new_y <= high))), float(np.mean(high - low))]
    return line | {"seconds": round(time.process_time() - started, 3)}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The finished draws; an incomplete last line is dropped."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def run(progress: Path, draws: int) -> None:
    """The draws that are missing, all cells of one draw after the other."""
    done = {(line["noise"], line["n"], line["loss"], line["draw"]) for line in lines_of(progress)}
    given: dict[Cell, dict[str, float]] = {}
    progress.parent.mkdir(parents=True, exist_ok=True)
    if progress.exists():  # without an incomplete line
        write_text(progress, "".join(json.dumps(line) + "\n" for line in lines_of(progress)))
    with progress.open("a", encoding="utf-8") as file:
        for draw in range(draws):
            for cell in cells():
                if (*cell, draw) in done:
                    continue
                if cell not in given:
                    noise, n, loss = cell
                    x, y, _, _ = sample(noise, n, -1)
                    given[cell] = chosen(x, y, loss, None).hyperparameters
                file.write(json.dumps(measured(cell, draw, given[cell])) + "\n")
                file.flush()


def row(cell: Cell, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the draws of a cell: coverage with its standard error, and the median width."""
    noise, n, loss = cell
    found: dict[str, Any] = {"noise": noise, "n": n, "loss": loss, "draws": len(lines)}
    for name in (f"{how} {method}" for how in ("chosen", "given") for method in METHODS):
        shares = [line[name][0] for line in lines]
        found[name] = {
            "coverage": statistics.fmean(shares),
            "standard_error": statistics.stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else None,
            "width": statistics.median(line[name][1] for line in lines),
        }
    return found


def report(lines: list[dict[str, Any]], out: Path) -> None:
    """JSON and a table."""
    of_cell: dict[Cell, list[dict[str, Any]]] = {cell: [] for cell in cells()}
    for line in lines:
        of_cell[line["noise"], line["n"], line["loss"]].append(line)
    rows = [row(cell, some) for cell, some in of_cell.items() if some]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    draws = sorted({one["draws"] for one in rows})
    about = {
        "level": LEVEL,
        "new_rows": NEW_ROWS,
        "draws": draws,
        "cpu_seconds": round(sum(line["seconds"] for line in lines)),
        "commit": commit.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
    write_text(out.with_suffix(".json"), json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    names = [f"{how} {method}" for how in ("chosen", "given") for method in METHODS]
    done = " to ".join(dict.fromkeys((str(draws[0]), str(draws[-1]))))
    text = [
        "# Coverage of prediction intervals of level 0.9, leave-one-out",
        "",
        f"`python bench/coverage.py`, {done} of {DRAWS} draws a row, "
        f"{NEW_ROWS} new targets each; {about['cpu_seconds']:,} CPU seconds, commit {about['commit']}, "
        f"{about['date']}, Python {about['python']}, NumPy {about['numpy']}, {about['machine']}.",
        "",
        "In percent: new targets inside, with the standard error over draws; in brackets the median width. *Chosen*: "
        "gamma and ridge (and delta) from the same rows by leave-one-out: nothing is guaranteed. *Given*: those of an "
        "independent data set (delta=auto still of the same rows): guaranteed are 80 (plus) and 90 (minmax) at least.",
        "",
        f"| noise | n | loss | {' | '.join(names)} |",
        f"|---|---|---|{'---|' * len(names)}",
    ]
    for one in rows:
        parts = []
        for name in names:
            error = one[name]["standard_error"]
            share = f"{100 * one[name]['coverage']:.1f}" + ("" if error is None else f" ± {100 * error:.1f}")
            parts.append(f"{share} ({one[name]['width']:.2f})")
        text.append(f"| {one['noise']} | {one['n']} | {one['loss']} | {' | '.join(parts)} |")
    write_text(out.with_suffix(".md"), "\n".join(text) + "\n")


def main() -> None:
    """Go on where the progress file ends, and write JSON and a table of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS, help="0: only write the tables of what is done")
    parser.add_argument("--progress", type=Path, default=ROOT / "runs" / "coverage.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "coverage")
    given = parser.parse_args()
    set_threads(1)
    try:
        run(given.progress, given.draws)
    finally:
        if lines := lines_of(given.progress):
            report(lines, given.out)


if __name__ == "__main__":
    main()
