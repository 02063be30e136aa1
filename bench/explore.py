"""How long the explorer takes from an event of the mouse to the drawn curve: python -m bench.explore.

A point is dragged 100 moves in headless Chromium, at n = 50 and n = 5,000. Writes bench/results/explore/: latency.json,
with every move's milliseconds and the processor time that a drawn fit took, and pictures of the page. `--pictures`
writes the pictures alone. Needs the extras `explore` and `browser`, and Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import numpy as np

from hw4cli.opt.app import main as main_of_hw4opt
from hw4cli.opt.explore import command, serve, start_state
from hw4cli.opt.options import ProblemOptions, SolverOptions
from hw4cli.opt.selection_options import SelectionOptions
from hw4cli.options import take

RESULTS = Path(__file__).parent / "results" / "explore"
MOVES = 100
FRAME_SECONDS = 1 / 60  # between moves, as of a mouse
COMPONENTS = ["--component", "depth=depth", "--component", "age=age", "--component", "site=site:categorical"]
PICTURES = {  # words, width and height of the window, and its scheme
    "light": (["--n", "50"], (1280, 720), "light"),
    "dark": (["--n", "50"], (1280, 720), "dark"),
    "wide": (["--n", "50"], (1920, 1080), "light"),
    "narrow": (["--n", "50"], (390, 844), "light"),
    "levels": (["--n", "50", "--loss", "quantile:tau=0.1;0.5;0.9"], (1280, 720), "light"),
    "everywhere": (["--n", "50", "--constraint", "increasing:everywhere"], (1280, 720), "dark"),
    "sum": (["sites.csv", *COMPONENTS], (1280, 720), "light"),
}
CASES = {"n = 50, huber": ["--n", "50"], "n = 5,000, huber": ["--n", "5000"]}
WORDS = ["--loss", "huber", "--gamma", "80", "--reg", "ridge=0.1"]


def serving(words: list[str]) -> Any:
    """A running server of `hw4opt explore` with these words."""
    given = command.make_context("explore", words).params
    start, truth = start_state(take(ProblemOptions, given), take(SolverOptions, given), take(SelectionOptions, given))
    explorer = serve(start, truth, 1_000_000, {"version": "", "command": "", "seed": 0, "platform": ""})
    threading.Thread(target=explorer.run, daemon=True).start()
    return explorer


def opened(browser: Any, explorer: Any, **options: Any) -> Any:
    """A page that has drawn its fit and been told its held-out error."""
    page = browser.new_page(**options)
    page.goto(explorer.url)
    while not page.evaluate("Boolean(window.hw4opt && hw4opt.app.beside)"):
        page.wait_for_timeout(50)
    return page


def take_picture(browser: Any, name: str) -> None:
    """A picture of the page as it opens."""
    words, (width, height), scheme = PICTURES[name]
    with chdir(RESULTS):  # the page tells the path of its data as it was given
        explorer = serving([*(WORDS if name != "sum" else ["--reg", "depth.tv=0.3"]), *words])
    page = opened(browser, explorer, viewport={"width": width, "height": height}, color_scheme=scheme)
    page.screenshot(path=RESULTS / f"{name}.png")
    page.close()
    explorer.close()


def take_print(browser: Any) -> None:
    """A picture of the report on a plain fit as it is printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        with chdir(folder):
            main_of_hw4opt(["report", "--loss", "huber", "--out", path.name, "--quiet"])
        page = browser.new_page(viewport={"width": 794, "height": 1123})
        page.emulate_media(media="print")
        page.goto(path.as_uri())
        page.wait_for_timeout(500)
        page.screenshot(path=RESULTS / "print.png", full_page=True)
        page.close()


def write_sites() -> None:
    """Data of the picture of a sum: depth, age and site."""
    rng = np.random.default_rng(0)
    depth, age, site = rng.uniform(0, 10, 80), rng.uniform(20, 60, 80), rng.choice(["north", "south", "west"], 80)
    y = 5 * np.log1p(depth) - 2 * ((age - 40) / 20) ** 2 + 2 * (site == "south") + rng.normal(0, 0.5, 80)
    rows = (f"{a:.4g},{b:.4g},{c},{d:.4g}" for a, b, c, d in zip(depth, age, site, y, strict=True))
    (RESULTS / "sites.csv").write_text("\n".join(["depth,age,site,y", *rows, ""]))


def processor_milliseconds() -> dict[str, float]:
    """Of this process, which serves, and of the browser's renderer and its drawing, which are below it (Linux)."""
    parents, spent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            spent[int(stat.parent.name)] = 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found = {"server": 1000 * time.process_time(), "renderer": 0.0, "gpu-process": 0.0}
    for process in spent:
        above = process
        while above in parents and above != os.getpid():
            above = parents[above]
        if above != os.getpid() or process == above:
            continue
        with suppress(OSError):
            words = Path(f"/proc/{process}/cmdline").read_text()
            for kind in ("renderer", "gpu-process"):
                found[kind] += spent[process] if f"--type={kind}" in words else 0.0
    return found


def drag(browser: Any, words: list[str], picture: Path) -> tuple[list[float], dict[str, float]]:
    """Milliseconds from each move to the first drawn curve that has it, or a newer one, and those of the processor a
    drawn fit (the server's with what drives the browser)."""
    explorer = serving([*WORDS, *words])
    page = opened(browser, explorer, viewport={"width": 1280, "height": 720})
    box = page.locator("circle.outlier, circle[tabindex='0']").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    before, first = processor_milliseconds(), page.evaluate("hw4opt.app.asked")
    for step in range(MOVES):
        page.mouse.move(x, y - 60 - 100 * np.sin(2 * np.pi * step / MOVES))
        time.sleep(FRAME_SECONDS)
    page.wait_for_timeout(1000)
    fits = page.evaluate("hw4opt.app.asked") - first
    spent = {kind: round((now - before[kind]) / fits, 1) for kind, now in processor_milliseconds().items()}
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=picture)
    page.mouse.up()
    trace = page.evaluate("hw4opt.app.trace")
    page.close()
    explorer.close()
    return trace, spent


def report_size() -> int:
    """Bytes of the file that `hw4opt report` writes of 1,000 rows."""
    words = ["report", "--n", "1000", "--loss", "huber", "--gamma", "80", "--reg", "ridge=0.1", "--select", "none"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        subprocess.run([sys.executable, "-m", "hw4cli.opt.app", *words, "--out", path, "--quiet"], check=True)
        return path.stat().st_size


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", action="store_true", help="write the pictures alone")
    only_pictures = parser.parse_args().pictures
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {"machine": platform.platform(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    found |= {"load before": os.getloadavg(), "cases": {}}
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        found["browser"] = f"Chromium {browser.version}, headless, drawing in software"
        write_sites()
        for name in PICTURES:
            take_picture(browser, name)
        take_print(browser)
        for name, words in () if only_pictures else CASES.items():
            trace, spent = drag(browser, words, RESULTS / f"{words[1]}.png")
            median, high = np.percentile(trace, [50, 95]).round(1).tolist()
            found["cases"][name] = {
                "events": len(trace),
                "median_ms": median,
                "p95_ms": high,
                "processor_ms_a_fit": spent,
                "trace_ms": np.round(trace, 1).tolist(),
            }
            print(f"{name}: {len(trace)} events, median {median} ms, 95th percentile {high} ms")
        browser.close()
    if not only_pictures:
        found["report_bytes_at_1000_rows"] = report_size()
        (RESULTS / "latency.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
