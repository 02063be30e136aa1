"""The difference in objective between cvxpy's model of the same form and ours, on random problems of three kinds.

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_agreement

Sums of components, quantiles of several levels of such sums, and shapes at every x, with the same points for both.
The problems are those of the tests. If Clarabel's answer has a gap above 1e-6, SCS is used.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cvxpy
import numpy as np

from hw4opt import Problem
from hw4opt.errors import RefusedError
from hw4opt.fit import fit_rows
from hw4opt.shapes.fits import with_points

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "hw4opt"), str(ROOT / "tests" / "hw4opt" / "shapes")]
BACKENDS = ("CLARABEL", "SCS")
AGREES = 1e-6  # of the objective, or of 1 where that is smaller


def kinds() -> dict[str, Callable[[int], Problem]]:
    """The random problems of every kind, by seed."""
    from everywhere_cases import random_problem

    from additive_problems import random_levels, random_sum

    return {"sums": random_sum, "levels of sums": random_levels, "shapes at every x": random_problem}


def compared(given: Problem) -> tuple[str, float]:
    """The outcome, and the relative difference of the objectives."""
    (given,) = with_points([given])
    (ours,) = fit_rows([given])
    for name in BACKENDS:
        try:
            (theirs,) = fit_rows([given], f"cvxpy:{name}")
        except RefusedError:
            continue
        if theirs.certificate.solved(AGREES):
            break
    else:
        return "no backend", float("nan")
    apart = abs(ours.objective - theirs.objective) / max(1.0, abs(theirs.objective))
    return "agrees" if apart <= AGREES else "differs", apart


def row(kind: str, make: Callable[[int], Problem], count: int) -> dict[str, Any]:
    """Counts over the seeds from 0, and the largest and the median difference."""
    found = [compared(make(seed)) for seed in range(count)]
    apart = [value for word, value in found if word != "no backend"]
    words = [word for word, _ in found]
    counts = {word.replace(" ", "_"): words.count(word) for word in ("agrees", "differs", "no backend")}
    return {"kind": kind, "problems": count, **counts, "median": float(np.median(apart)), "largest": max(apart)}


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "agreement"))
    parser.add_argument("--problems", type=int, default=200, help="of each kind")
    words = parser.parse_args()
    rows = []
    for kind, make in kinds().items():
        rows.append(row(kind, make, words.problems))
        print(rows[-1], flush=True)
    write(rows, words.out, words.problems)


def write(rows: list[dict[str, Any]], out: str, problems: int) -> None:
    """The JSON, and the table."""
    about = {"python": platform.python_version(), "numpy": np.__version__, "cvxpy": cvxpy.__version__}
    about["machine"] = platform.machine()
    Path(f"{out}.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    lines = [[name.replace("_", " ") for name in rows[0]], ["---"] * len(rows[0])]
    lines += [[f"{one:.2g}" if isinstance(one, float) else f"{one}" for one in found.values()] for found in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    versions = f"Python {about['python']}, NumPy {about['numpy']}, cvxpy {about['cvxpy']}"
    text = f"""# cvxpy's model of the same form

`python -m bench.bench_agreement --problems {problems}`, {versions}. Random problems. *Agrees*: the
objectives are within {AGREES:g} of each other, relative, or absolute where they are below 1. *No backend*: neither
{" nor ".join(BACKENDS)} solved it to a gap of {AGREES:g}. *Median*, *largest*: of the differences.

{table}
"""
    Path(f"{out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
