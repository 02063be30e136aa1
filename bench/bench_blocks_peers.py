"""Rows in blocks beside other packages: CPU seconds until an objective within 1e-4 of the certified one.

    OPENBLAS_NUM_THREADS=1 python -m bench.bench_blocks_peers --peers PYTHON

`--peers` is a Python that has scikit-learn, glum and dask-ml; what is missing is left out, and the reason is printed.
One thread, a process each (bench/blocks_peers.py), all rows in memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.bench_blocks import ROOT, markdown
from bench.blocks_peers import DELTA, GAMMA, LOSSES, RIDGE, WITHIN, rows_of
from hw4opt import RBF, Huber, Ridge, Squared
from hw4opt.blocks import ArrayRows, fit_blocks
from hw4opt.problem import Model
from hw4opt.running.threads import set_threads

PATIENCE = 100  # seconds of one peer, wall time
COLUMNS = ("loss", "rows", "who", "reached", "cpu_s", "times_ours", "excess", "epochs", "how")


def ours(loss: str, count: int) -> dict[str, Any]:
    """fit_blocks, basis and certificate included."""
    x, y = rows_of(count)
    model = Model(RBF(GAMMA), {"squared": Squared(), "huber": Huber(DELTA)}[loss], [Ridge(RIDGE)])
    began = time.process_time()
    found = fit_blocks(model, ArrayRows.of(x, y)).raise_for_status()
    return {"objective": found.certificate.objective, "seconds": time.process_time() - began}


def peer(python: str, who: str, loss: str, count: int, target: float) -> dict[str, Any]:
    """What a peer prints; `failed` holds a sentence where it did not end well."""
    call = [python, "-m", "bench.blocks_peers", who, loss, str(count), repr(target)]
    try:
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {PATIENCE} s of wall time"}
    if done.returncode:
        return {"failed": (done.stdout + done.stderr).strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--peers", default=sys.executable, help="a Python that has scikit-learn, glum and dask-ml")
    parser.add_argument("--out", default=str(ROOT / "bench" / "results" / "blocks_peers"))
    words = parser.parse_args()
    set_threads(1)
    rows, left = list[dict[str, Any]](), list[str]()
    for count in map(int, words.rows.split(",")):
        for loss in ("squared", "huber"):
            mine = ours(loss, count)
            target, reference = mine["objective"], mine["seconds"]
            found = {"hw4opt, blocks": mine}
            found |= {who: peer(words.peers, who, loss, count, target) for who in LOSSES if loss in LOSSES[who]}
            for who, one in found.items():
                if "failed" in one:
                    left.append(f"{loss}, {count} rows: {who} is left out: {one['failed']}")
                    continue
                excess = one["objective"] / target - 1
                rows.append(
                    {"loss": loss, "rows": count, "who": who, "reached": excess <= WITHIN}
                    | {"cpu_s": round(one["seconds"], 2), "times_ours": round(one["seconds"] / reference, 1)}
                    | {"excess": excess, "epochs": one.get("epochs"), "how": one.get("how")}
                )
                print(rows[-1], flush=True)
    machine = platform.processor() or platform.machine()
    about = {"python": platform.python_version(), "numpy": np.__version__, "machine": machine}
    about["date"] = time.strftime("%Y-%m-%d")
    found = {**about, "rows": rows, "left_out": left}
    Path(f"{words.out}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = f"""# Rows in blocks beside other packages

`python -m bench.bench_blocks_peers --rows {words.rows}`, Python {about["python"]}, NumPy {about["numpy"]}, {machine},
{about["date"]}.
Gaussian kernel (gamma {GAMMA:g}), ridge {RIDGE:g}: CPU seconds, one thread, features included. *Excess*:
of the objective over that of the certified fit, relative; *reached*: at most {WITHIN:g}. Stochastic descent ends there,
or at its time limit, and the best of its step lengths counts.

{markdown(rows, COLUMNS)}

{"".join(f"- {one}" + chr(10) for one in left)}"""
    Path(f"{words.out}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
