"""Two checkouts beside each other: `python bench/reshape.py BEFORE [AFTER] --out bench/results/reshape`.

Each case runs in fresh processes of both checkouts in turn (A B B A …), on one BLAS thread; a process gives its own
time of the work, without imports. The ratio is the median of those of neighbours in time. Only public names that both
checkouts have are used.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 9
SETUP = """
import json, sys, time
import numpy as np
from hw4opt import *
random = np.random.default_rng(0)
x = np.sort(random.uniform(size=50)); y = np.sin(6 * x) + 0.3 * random.normal(size=50)

def timed(act, repeat=1):
    act()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeat):
            act()
        times.append((time.perf_counter() - start) / repeat)
    print(json.dumps(min(times)))

def once(act):
    start = time.perf_counter()
    act()
    print(json.dumps(time.perf_counter() - start))
"""
CASES = {
    "fit, n = 50: Huber, tv": (
        "p = Problem(x, y, RBF(20.0), Huber(0.3), [Ridge(0.1), TotalVariation(0.1)]); timed(lambda: fit(p), 30)"
    ),
    "fit, n = 50: squared, increasing": (
        "p = Problem(x, y + 3 * x, RBF(20.0), Squared(), [Ridge(0.1)], [Increasing()]); timed(lambda: fit(p), 20)"
    ),
    "fit, n = 50: logistic": (
        "p = Problem(x, np.sign(y), RBF(20.0), Logistic(), [Ridge(0.1)]); timed(lambda: fit(p), 30)"
    ),
    "batch of 64, n = 50: Huber, tv": (
        "p = [Problem(x, y, RBF(20.0), Huber(0.3), [Ridge(r), TotalVariation(0.1)]) for r in "
        "np.geomspace(1e-3, 10, 64)]; "
        "timed(lambda: fit_batch(p), 1)"
    ),
    "fit, n = 5,000: Huber, tv": (
        "n = 5000; t = np.sort(random.uniform(size=n)); v = np.sin(6 * t) + 0.3 * random.normal(size=n); "
        "p = Problem(t, v, RBF(80.0), Huber(0.3), [Ridge(0.1), TotalVariation(0.1)]); timed(lambda: fit(p), 1)"
    ),
    "leave-one-out of 64 settings, n = 50: Huber, tv": (
        "from hw4opt.selection import select; p = Problem(x, y, RBF(20.0), Huber(0.3), "
        "[Ridge(0.1), TotalVariation(0.1)]); "
        "g = {'gamma': (5.0, 80.0, 4), 'ridge': (0.01, 1.0, 4), 'tv': (0.01, 1.0, 4)}; "
        "once(lambda: select(p, list(g), search='grid', grid=g))"
    ),
    "10⁶ rows: Huber, tv": (
        "n = 1_000_000; t = np.sort(random.uniform(size=n)); v = np.sin(6 * t) + 0.3 * random.normal(size=n); "
        "p = Problem(t, v, RBF(80.0), Huber(0.3), [Ridge(0.1), TotalVariation(0.1)]); once(lambda: fit(p))"
    ),
    "10⁶ rows: Poisson, linear": (
        "n = 1_000_000; t = random.normal(size=(n, 10)); v = random.poisson(np.exp(0.1 * "
        "t.sum(axis=1))).astype(float); "
        "p = Problem(t, v, None, Poisson(), [Ridge(0.1)], intercept=True); once(lambda: fit(p))"
    ),
    "EM, 3 components, n = 500": (
        "m = __import__('importlib').import_module('hw4opt.mixture' if "
        "__import__('importlib').util.find_spec('hw4opt.mixture') else 'hw4opt.poisson'); "
        "t = random.normal(size=(500, 3)); v = random.poisson(np.exp(t[:, 0] * "
        "np.where(random.uniform(size=500) < 0.5, 1, -1))).astype(float); "
        "once(lambda: m.PoissonMixture(3).fit(t, v))"
    ),
}
START_UP = {
    "start-up: import hw4opt": "import hw4opt",
    "start-up: solve --help": "from hw4cli.start import hw4opt; hw4opt()",
}


def environment(root: Path) -> dict[str, str]:
    """The process's surroundings: this checkout, one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": f"{root}{os.pathsep}{root / 'cli'}", "PYTHONDONTWRITEBYTECODE": ""}


def seconds(root: Path, case: str) -> float:
    """Of one process of that checkout, in whose folder it runs: Python looks there first."""
    if case in START_UP:
        code = (
            "import sys, time; t = time.perf_counter(); sys.argv = ['hw4opt', 'solve', "
            f"'--help']\ntry:\n    {START_UP[case]}\nexcept SystemExit:\n    pass\n"
        )
        code += "print('SECONDS', time.perf_counter() - t)"
        out = subprocess.run(
            [sys.executable, "-c", code], cwd=root, env=environment(root), capture_output=True, text=True, check=True
        ).stdout
        return float(out.rpartition("SECONDS")[2])
    code = SETUP + CASES[case]
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment(root), capture_output=True, text=True, check=True
    ).stdout
    return float(json.loads(out.strip().splitlines()[-1]))


def _commit(root: Path) -> str:
    """The short name of the commit that is checked out."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Run all cases, and write what was measured as JSON and as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=lambda given: Path(given).resolve())
    parser.add_argument("after", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    rows = {}
    for case in (name for name in (*CASES, *START_UP) if given.only in name):
        found: dict[str, list[float]] = {"before": [], "after": []}
        rounds = 3 if "10⁶" in case else given.rounds
        for number in range(rounds):
            order = ("before", "after") if number % 2 == 0 else ("after", "before")
            for side in order:
                found[side].append(seconds(getattr(given, side), case))
        medians = {side: statistics.median(times) for side, times in found.items()}
        ratios = [after / before for before, after in zip(found["before"], found["after"], strict=True)]
        rows[case] = medians | {"ratio": statistics.median(ratios), "rounds": rounds}
        print(
            f"{case}: {medians['before']:.4g} s before, {medians['after']:.4g} s after: {rows[case]['ratio']:.3f}",
            flush=True,
        )
    if given.out is None:
        return
    commits = {side: _commit(getattr(given, side)) for side in ("before", "after")}
    machine = {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()}
    given.out.with_suffix(".json").write_text(
        json.dumps({"commits": commits, "machine": machine, "cases": rows}, indent=1) + "\n"
    )
    lines = [
        f"Two commits in turn, medians of seconds: {commits['before']} before, {commits['after']} after; "
        f"{machine['cores']} cores, one BLAS thread.",
        "",
        "| case | before | after | ratio | rounds |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {case} | {row['before']:.4g} | {row['after']:.4g} | {row['ratio']:.2f} | {row['rounds']} |"
        for case, row in rows.items()
    ]
    given.out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
