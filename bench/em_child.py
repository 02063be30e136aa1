"""One cycle of EM over many rows, in a process of its own: seconds of the median cycle and peak memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.child import peak_bytes
from bench.em_peers import LARGE
from hw4opt.mixture.em import cycle, m_step, one_hot
from hw4opt.mixture.likelihood import expect

CYCLES = 5


def run() -> dict[str, Any]:
    """In a child: what it measured."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.em_child"],
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
    )
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    sample, labels = LARGE.sample()
    point = m_step(sample, one_hot(labels, LARGE.k)[None])
    seconds = []
    for _ in range(CYCLES):
        started = time.perf_counter()
        point = cycle(sample, expect(sample, point), point)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": statistics.median(seconds), "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
