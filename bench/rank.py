"""Time saved by an earlier truncation of the basis on several columns: `python bench/rank.py [--out
bench/results/rank]`.

scikit-learn's diabetes data (442 × 10, standardised), Huber loss: for every gamma of the default range and every
truncation level of the pivoted Cholesky decomposition, the rank, the median seconds of a fit, and what the certificate
says that the basis leaves out at the smallest and a middling ridge, relative to what it allows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import hw4opt.design.basis as basis
from hw4opt import RBF, Huber, Problem, Ridge, fit
from hw4opt.proof.certificate import MAX_TRUNCATION
from hw4opt.selection.ranges import default_range, log_grid

LEVELS = (1e-15, 1e-13, 1e-11, 1e-9, 1e-7)  # of the largest k(x, x); the first is the package's
RIDGES = (1e-3, 1e-1)
ROUNDS = 5


def data() -> tuple[np.ndarray, np.ndarray]:
    """Standardised columns, and the response."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes()
    return (bunch.data - bunch.data.mean(axis=0)) / bunch.data.std(axis=0), bunch.target


def measure(x: np.ndarray, y: np.ndarray, gamma: float, level: float) -> dict[str, float]:
    """One row of the table."""
    basis.TRUNCATION = level
    row: dict[str, float] = {"gamma": gamma, "level": level}
    seconds = []
    for ridge in RIDGES:
        for _ in range(ROUNDS):
            problem = Problem(x, y, RBF(gamma), Huber(50.0), [Ridge(ridge)])  # anew: a problem keeps its basis
            problem.design  # noqa: B018 (the basis is not timed)
            start = time.perf_counter()
            found = fit(problem)
            seconds.append(time.perf_counter() - start)
        allowed = MAX_TRUNCATION * (found.certificate.gap_scale or 1.0)
        row |= {"rank": len(found.w), f"left out, ridge {ridge:g}": found.certificate.truncation / allowed}
    return row | {"seconds": statistics.median(seconds)}


def main() -> None:
    """Measure, and write JSON and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench/results/rank"))
    given = parser.parse_args()
    x, y = data()
    low, high = default_range(Problem(x, y, RBF(1.0), Huber(50.0), [Ridge(1.0)]), "gamma")
    rows = [measure(x, y, gamma, level) for gamma in log_grid(low, high, 5).tolist() for level in LEVELS]
    given.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    lines = [
        f"Diabetes, 442 × 10, standardised, Huber: medians of {2 * ROUNDS} fits, one thread. What is left out is "
        "relative to what a certified answer may leave out.",
        "",
        "| gamma | level | rank | ms a fit | left out, ridge 0.001 | left out, ridge 0.1 |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        left = " | ".join(f"{row[f'left out, ridge {ridge:g}']:.1e}" for ridge in RIDGES)
        lines.append(
            f"| {row['gamma']:.3g} | {row['level']:.0e} | {row['rank']} | {1e3 * row['seconds']:.0f} | {left} |"
        )
    given.out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
