"""The cost of a shape at every x compared with the same shape at the data rows, in time and objective, and the error of
held-out folds that keep the points of the full fit.

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_everywhere

Times are CPU seconds; fits of both kinds take turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hw4opt import RBF, Decreasing, Huber, Increasing, Problem, Ridge, Squared, TotalVariation, fit
from hw4opt.datasets import step_data
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.shapes.fits import with_points
from hw4opt.solvers.interior import Interior

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 15
FOLDS = 12  # rows of each series, evenly spaced


def costs() -> list[dict[str, Any]]:
    """On the assignment's data."""
    data, rows = step_data(50, 0), []
    for loss in (Squared(), Huber(1.0)):
        for tv in (0.0, 0.3):
            terms = [Ridge(0.1), *([TotalVariation(tv)] if tv else [])]

            def solve(everywhere: bool, loss: Any = loss, terms: Any = terms) -> Any:
                shape = Increasing(everywhere=everywhere)
                return fit(Problem(data.x, data.y, RBF(80.0), loss, terms, [shape]))

            seconds: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(REPEATS):
                for everywhere, found in seconds.items():
                    found.append(_seconds(lambda everywhere=everywhere: solve(everywhere)))
            plain, result = solve(False), solve(True)
            (proof,) = result.shapes
            medians = {everywhere: 1e3 * statistics.median(found) for everywhere, found in seconds.items()}
            rows.append(
                {
                    "problem": f"{loss.name}, tv {tv:g}",
                    "data_rows_ms": medians[False],
                    "everywhere_ms": medians[True],
                    "ratio": medians[True] / medians[False],
                    "objective_change": result.objective / plain.objective - 1,
                    "least_change": result.lower_bound / plain.objective - 1,
                    "status": result.status.word,
                    "points": proof.points,
                    "cells": proof.cells,
                    "evaluations": proof.evaluations,
                    "asked": proof.asked,
                    "margin": proof.margin,
                }
            )
    return rows


def folds() -> list[dict[str, Any]]:
    """Held-out predictions with the points of the full fit, compared with those of folds with their own exchange."""
    rows = []
    for name, x, y, kernel, shape in _series():
        problem = Problem(x, y, kernel, Huber("auto"), [Ridge(0.1)], [shape])
        (full,) = with_points([problem])
        spread, kept, own = float(np.ptp(y)), [], []
        held = [np.array([row]) for row in np.unique(np.linspace(1, len(x) - 2, FOLDS).astype(int))]
        for rows_out in held:
            form = canonicalize([full], [rows_out])
            w = Interior().solve(form, Options(1e-11)).w[0]
            kept.append(float(full.design.evaluate(full.features(x[rows_out]))[0] @ w))
            weights = np.ones(len(x))
            weights[rows_out] = 0.0
            low, high = float(x.min()), float(x.max())
            ranged = type(shape)(everywhere=(low, high))
            anew = Problem(x, y, kernel, problem.loss, [Ridge(0.1)], [ranged], weights=weights)
            own.append(float(fit(anew).predict(x[rows_out])[0]))
        targets = np.array([y[one[0]] for one in held])
        apart, (a, b) = np.abs(np.array(kept) - own), (np.abs(targets - one).mean() for one in (kept, own))
        rows.append(
            {
                "series": name,
                "rows": len(x),
                "folds": len(held),
                "points": sum(len(one.points) for one in full.shape_rows),
                "largest_difference": apart.max() / spread,
                "median_difference": float(np.median(apart)) / spread,
                "error_kept": a / spread,
                "error_anew": b / spread,
            }
        )
    return rows


def _series() -> list[tuple[str, Any, Any, RBF, Any]]:
    data = step_data(50, 0)
    motor, urine = (
        np.genfromtxt(ROOT / "tests" / "data" / f"{name}.csv", delimiter=",", skip_header=1)
        for name in ("mcycle", "gagurine")
    )
    late = motor[motor[:, 0] > 20]
    return [
        ("steps, rising", data.x, data.y, RBF(80.0), Increasing(everywhere=True)),
        ("mcycle after 20 ms, rising", late[:, 0], late[:, 1], RBF(0.01), Increasing(everywhere=True)),
        ("gagurine, falling", urine[:, 0], urine[:, 1], RBF(0.1), Decreasing(everywhere=True)),
    ]


def _seconds(act: Callable[[], Any]) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    cells = [[f"{one:.3g}" if isinstance(one, float) else str(one) for one in row.values()] for row in rows]
    lines = [" | ".join(row) for row in [[name.replace("_", " ") for name in rows[0]], ["---"] * len(rows[0]), *cells]]
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "everywhere"))
    out = parser.parse_args().out
    found = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.processor() or platform.machine(),
        "costs": costs(),
        "folds": folds(),
    }
    Path(f"{out}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = f"""# Shapes at every x

`python -m bench.bench_everywhere`, Python {found["python"]}, NumPy {found["numpy"]}.
CPU milliseconds, medians of {REPEATS} alternating runs, each with a new problem.

The assignment's data, gamma 80, ridge 0.1, increasing. `least change`: a lower bound of the increase of the objective
for any curve of the reduced basis that increases at every x.

{table(found["costs"])}

Leave-one-out of {FOLDS} rows each: predictions of folds that keep the points of the full fit, and of folds with their
own exchange; differences and errors in units of the range of y.

{table(found["folds"])}
"""
    Path(f"{out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
