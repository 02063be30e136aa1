"""How long the explorer takes from an event of the mouse to the drawn curve: python -m bench.explore.

A point is dragged 100 moves in headless Chromium, at n = 50 and n = 5,000. Writes bench/results/explore/: latency.json,
with every move's milliseconds, and pictures of the page. Needs the extras `explore` and `browser`, and Chromium.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from hw4cli.opt.explore import command, serve, start_state
from hw4cli.opt.options import ProblemOptions, SelectionOptions, SolverOptions
from hw4cli.options import take

RESULTS = Path(__file__).parent / "results" / "explore"
MOVES = 100
FRAME_SECONDS = 1 / 60  # between moves, as of a mouse
CASES = {"n = 50, huber": ["--n", "50"], "n = 5,000, huber": ["--n", "5000"]}
WORDS = ["--loss", "huber", "--gamma", "80", "--reg", "ridge=0.1"]


def drag(browser: Any, words: list[str], picture: Path) -> list[float]:
    """Milliseconds from each move to the first drawn curve that has it, or a newer one."""
    given = command.make_context("explore", [*WORDS, *words]).params
    start, truth = start_state(take(ProblemOptions, given), take(SolverOptions, given), take(SelectionOptions, given))
    explorer = serve(start, truth, 1_000_000, {"version": "", "command": "", "seed": 0, "platform": ""})
    threading.Thread(target=explorer.run, daemon=True).start()
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(explorer.url)
    while not page.evaluate("Boolean(window.hw4opt && hw4opt.app.beside)"):
        page.wait_for_timeout(50)
    box = page.locator("circle.outlier, circle[tabindex='0']").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(MOVES):
        page.mouse.move(x, y - 60 - 100 * np.sin(2 * np.pi * step / MOVES))
        time.sleep(FRAME_SECONDS)
    page.wait_for_timeout(1000)
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=picture)
    page.mouse.up()
    trace = page.evaluate("hw4opt.app.trace")
    page.close()
    explorer.close()
    return trace


def main() -> None:
    """Measure, and write the results."""
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {"machine": platform.platform(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    found |= {"load before": os.getloadavg(), "cases": {}}
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        found["browser"] = f"Chromium {browser.version}, headless, drawing in software"
        for name, words in CASES.items():
            trace = drag(browser, words, RESULTS / f"{words[1]}.png")
            median, high = np.percentile(trace, [50, 95]).round(1).tolist()
            found["cases"][name] = {
                "events": len(trace),
                "median_ms": median,
                "p95_ms": high,
                "trace_ms": np.round(trace, 1).tolist(),
            }
            print(f"{name}: {len(trace)} events, median {median} ms, 95th percentile {high} ms")
        browser.close()
    (RESULTS / "latency.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
