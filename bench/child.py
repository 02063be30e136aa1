"""One large fit (or all folds of one) in a process of its own, so that its peak of memory is its own:

    python -m bench.child ours|loo|assignment|factored|compiled CASE N

prints JSON: seconds, fits, relative_gap, certified, peak_bytes. Describing the problem and building its basis are
timed; imports are not.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import LARGE, VARIANTS, Model, step_data
from hw4opt import Problem, fit
from hw4opt.selection import leave_one_out, score_settings

ROOT = Path(__file__).resolve().parent.parent
GAP = 1e-8
PATIENCE = 60.0  # seconds: longer leave-one-out runs are sampled and said to be


def run_child(what: str, case: str, n: int, timeout: float = 120.0) -> dict[str, Any]:
    """What the child prints; `failed` holds a sentence where it did not end well or in time."""
    command = [sys.executable, "-m", "bench.child", what, case, str(n)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {timeout:.0f} s"}
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"failed": f"fails: {said.partition('. ')[0]}"}
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes() -> int:
    """Of this program alone: getrusage's maximum would include the parent's pages at the time of the fork."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def ours(model: Model, problem: Problem) -> dict[str, Any]:
    started = time.perf_counter()
    result = fit(model.problem(problem.x, problem.y))
    seconds = time.perf_counter() - started
    proof = result.certificate
    return {
        "seconds": seconds,
        "fits": 1,
        "relative_gap": proof.relative_gap,
        "certified": proof.holds(GAP),
        "peak_bytes": peak_bytes(),
    }


def loo(model: Model, problem: Problem) -> dict[str, Any]:
    n = len(problem.y)
    folds = leave_one_out(n)
    started = time.perf_counter()
    score_settings([model.problem(problem.x, problem.y)], folds[:: n // 100])
    if (time.perf_counter() - started) * n / 100 > PATIENCE:
        folds = folds[:: n // 500]
    started = time.perf_counter()
    (score,) = score_settings([model.problem(problem.x, problem.y)], folds)
    seconds, gap = time.perf_counter() - started, score.largest_gap
    return {
        "seconds": seconds,
        "fits": len(folds),
        "relative_gap": gap,
        "certified": gap <= 1e-9,
        "peak_bytes": peak_bytes(),
    }


def compiled(model: Model, problem: Problem) -> dict[str, Any]:
    started = time.perf_counter()
    result = fit(model.problem(problem.x, problem.y), "cvxpy:CLARABEL")
    seconds = time.perf_counter() - started
    proof = result.certificate
    return {
        "seconds": seconds,
        "fits": 1,
        "relative_gap": proof.relative_gap,
        "certified": proof.holds(1e-6),
        "peak_bytes": peak_bytes(),
    }


def loop(body: str, model: Model, problem: Problem) -> dict[str, Any]:
    from bench import peers  # here, not above: cvxpy's memory is not ours

    act = {"assignment": peers.assignment_loop, "factored": peers.factored_loop}[body]
    _ = problem.design.matrix
    started = time.perf_counter()
    w = act(peers.Fold(problem), model, "CLARABEL")
    seconds, peak = time.perf_counter() - started, peak_bytes()
    proof = peers.judge(problem, np.asarray(w))
    return {
        "seconds": seconds,
        "fits": 1,
        "relative_gap": proof.relative_gap,
        "certified": proof.holds(peers.PASSES),
        "peak_bytes": peak,
    }


def main() -> None:
    what, case, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    model = {**VARIANTS, **LARGE}[case]
    fit(model.problem(*step_data(60)))  # loads what is loaded late
    problem = model.problem(*step_data(n))
    acts = {"ours": ours, "loo": loo, "compiled": compiled}
    print(json.dumps(acts[what](model, problem) if what in acts else loop(what, model, problem)))


if __name__ == "__main__":
    main()
