"""Cost and result of choosing many hyper-parameters: zoom search compared with random settings, on a sum of four
components.

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_search

Times are CPU seconds, one run each, in one thread.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from hw4opt import RBF, Additive, Component, Huber, Problem, fit
from hw4opt.selection import select
from hw4opt.terms.base import Array

ROOT = Path(__file__).resolve().parent.parent
ROWS = 500
NEW_ROWS = 5_000  # on which a fit is compared with the function


def function(x: Array) -> Array:
    """What the data are of: a sum of a sine, a faster one, a parabola and a step."""
    a, b, c, d = x.T
    return 2 * np.sin(2 * np.pi * a) + np.sin(12 * b) + 3 * (c - 0.5) ** 2 + 1.5 * (d > 0.5)


def problem() -> Problem:
    """Uniform columns, noise of a t distribution with 3 degrees of freedom, and a gamma and a ridge per component."""
    generator = np.random.default_rng(0)
    x = generator.uniform(size=(ROWS, 4))
    y = function(x) + 0.4 * generator.standard_t(3, ROWS)
    return Problem(x, y, Additive([Component(name, [j], RBF(5.0), 0.1) for j, name in enumerate("abcd")]), Huber(1.0))


def chosen(given: Problem, search: str) -> dict[str, Any]:
    """One search."""
    start = time.process_time()
    found = select(given, list(given.hyperparameters), "loo", search, workers=1)
    seconds = time.process_time() - start
    x = np.random.default_rng(1).uniform(size=(NEW_ROWS, 4))
    error = fit(found.problem).predict(x) - function(x)
    return {
        "search": search,
        "settings": len(found.table),
        "seconds": seconds,
        "score": found.score,
        "standard_error": found.standard_error,
        "distance_from_the_function": float(np.sqrt(np.mean(error**2))),
    }


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "search"))
    parser.add_argument("--settings", type=int, default=2_000, help="of the longer random search")
    words = parser.parse_args()
    given = problem()
    rows = [chosen(given, "zoom")]
    rows += [chosen(given, f"random:{count}") for count in (rows[0]["settings"], words.settings)]
    about = {"python": platform.python_version(), "numpy": np.__version__}
    Path(f"{words.out}.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    names = list(rows[0])
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines += [[f"{one:.4g}" if isinstance(one, float) else str(one) for one in row.values()] for row in rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    versions = f"Python {about['python']}, NumPy {about['numpy']}"
    made = f"`python -m bench.bench_search --settings {words.settings}`, {versions}."
    asked = f"A sum of four components of one column each, n = {ROWS}, Huber loss, exact leave-one-out:"
    count = f"{len(given.hyperparameters)} hyper-parameters (a gamma and a ridge a"
    distance = f"the distance from the function is the root mean square over {NEW_ROWS:,} new rows."
    text = f"""# Choosing many hyper-parameters

{made} CPU seconds, one thread, one run each.

{asked} {count}
component). The score is the mean held-out loss; {distance}

{text}
"""
    Path(f"{words.out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
