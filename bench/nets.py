"""The accuracy table of hw4nets: one run per network and seed; it can be stopped and resumed at any time.

    python -m bench.nets --data PATH --net logistic --net hidden --seeds 0,1,2 [--preset tuned] [--set epochs=4 …]

Runs (with checkpoints) are in runs/bench/, which git ignores; results in bench/results/nets/: summary, history and
curves of each run, and table.md over all of them. A finished run is not done again.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import itertools
import json
import platform
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw4nets.data import Data, load
from hw4nets.files import write_text
from hw4nets.history import EpochRow, Watch
from hw4nets.models import NETS
from hw4nets.process import keep_freed_memory
from hw4nets.recipes import Recipe, preset
from hw4nets.runs import CURVES, HISTORY, SUMMARY, Outcome, finished, open_run, run

ROOT = Path(__file__).resolve().parents[1]
RUNS, RESULTS = ROOT / "runs" / "bench", ROOT / "bench" / "results" / "nets"
RAW = argparse.RawDescriptionHelpFormatter
BESIDE = "fast_tuned-sgd_seed0", "base_tuned-tutorial_seed0"  # on the same machine
FAST = "fast_tuned-sgd"  # 8 epochs of SGD, widths 64, 128, 128; bench/README.md has the settings
CHANGED = ("-without-", "-with-")  # in names of runs of `fast` that lack one of its steps, or have another setting
HEADS = (
    "network",
    "settings",
    "pixels",
    "seeds",
    "test, mean",
    "asked, aim",
    "least … most",
    "flips averaged",
    "training",
    "minutes",
    "images/s",
    "test pass",
    "files",
    "chosen on",
    "machine",
    "ended",
)
ASKED = {  # percent: asked, aim
    "logistic_tuned": (39, 41),
    "hidden_tuned": (57, 62),
    "conv_tuned": (78, 80),
    "base_tuned": (88.5, 89),
    "fast_tuned": (87, None),
}


class Printed(Watch):
    """A line per epoch; and the seconds of an epoch besides training and test: checkpoint, history, this line."""

    def __init__(self) -> None:
        self.last = 0.0
        self.rest: list[float] = []

    def part(self, outcome: Outcome) -> float | None:
        """Of the whole run, what files and figures take; None where no two epochs of it were seen."""
        if not self.rest:
            return None
        files = statistics.median(self.rest) * outcome.summary["epochs"] + outcome.seconds_figures
        return files / (outcome.summary["seconds_train"] + outcome.summary["seconds_eval"] + files)

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """On stdout, flushed for a log. The first epoch has none before it to be timed from."""
        now = time.perf_counter()
        if self.last:
            self.rest.append(now - self.last - row.seconds_train - row.seconds_eval)
        self.last = now
        scores = f"loss {row.train_loss:.4f} train {row.train_accuracy:.4f} test {row.test_accuracy:.4f}"
        costs = f"{row.images_per_second:.0f} images/s {row.seconds_train:.1f} + {row.seconds_eval:.1f} s"
        print(f"  {row.epoch}/{epochs} {scores} {costs}", flush=True)

    def note(self, sentence: str) -> None:
        """On stdout."""
        print(f"  {sentence}", flush=True)


def measure(name: str, recipe: Recipe, data: Data) -> None:
    """One run: trained as far as it is not, and what is kept of it copied beside the others."""
    folder = RUNS / name
    summary, watch, kept = finished(folder, recipe, data), Printed(), RESULTS / f"{name}.json"
    files = json.loads(kept.read_text(encoding="utf-8")).get("part_of_files") if kept.exists() else None
    if summary is None:
        print(name, flush=True)
        outcome = run(open_run(folder, recipe, data, resume=True), recipe, data, watch)
        summary, files = outcome.summary, watch.part(outcome) or files
    RESULTS.mkdir(parents=True, exist_ok=True)
    for file in (HISTORY, CURVES):
        shutil.copyfile(folder / file, RESULTS / f"{name}.{file.rpartition('.')[2]}")
    about = {"part_of_files": files, "machine": machine(), "date": _date(folder), "recipe": recipe.values()}
    write_text(RESULTS / f"{name}.json", json.dumps(summary | about, indent=1) + "\n")
    write_text(RESULTS / "table.md", table())


def machine() -> str:
    """Processor and cores, without the host's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return f"{model}, {sum(line.startswith('processor') for line in lines)} cores"
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table() -> str:
    """Every network and setting that has results: accuracies over its seeds."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        place = one["pixels"], one["device"], str(one["threads"]), _precision(one)
        groups.setdefault((path.stem.rpartition("_seed")[0], *place), []).append(one)
    lines = [
        "# Accuracy of the networks",
        "",
        "On the JPEG copy of CIFAR-10: not comparable with accuracies on the official pixels.",
        "Plain test accuracy at the last epoch; `flips averaged` beside it. "
        "One line per network and setting; other work ran beside.",
        "`test pass`: its seconds over those of training; "
        "`files`: what checkpoints, history and log take of the run, and the figures",
        "too in `logistic` and `tuned-compiled`, which ran after these began to be counted.",
        "",
    ]
    lines += [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    lines += [
        _line(name, ones)
        for (name, *_), ones in groups.items()
        if not name.startswith(tuple(FAST + one for one in CHANGED))
    ]
    lines += _steps(groups)
    return "\n".join([*lines, *_same_time(RESULTS / f"{BESIDE[0]}.csv", RESULTS / f"{BESIDE[1]}.csv")]) + "\n"


def _steps(groups: Mapping[tuple[str, ...], Sequence[Mapping[str, Any]]]) -> list[str]:
    """What each step of `fast` bought: its accuracy without it; and what other shapes and methods reach."""
    named = {name.removeprefix(FAST): ones for (name, *_), ones in groups.items() if name.startswith(FAST)}
    whole, changed = (
        named.pop("", []),
        {name[1:].replace("-", " "): ones[0] for name, ones in named.items() if name.startswith(CHANGED)},
    )
    if not (whole and changed):
        return []
    ours, spread = whole[0], 100 * statistics.stdev(one["test_accuracy"] for one in whole) if len(whole) > 1 else 0.0
    lines = [
        "",
        "`fast` with SGD (`tuned-sgd`) without one of its steps, and with another setting, each with seed 0 "
        f"({len(whole)} seeds of it: ± {spread:.2f}):",
        "",
    ]
    lines += ["| | test | points lost | training minutes | million multiply-adds an image |", "|---|---|---|---|---|"]
    for name, one in [("as it is", ours), *sorted(changed.items(), key=lambda pair: pair[1]["test_accuracy"])]:
        test, lost = one["test_accuracy"], 100 * (ours["test_accuracy"] - one["test_accuracy"])
        lines.append(
            f"| {name} | {test:.2%} | {lost:.2f} | {one['seconds_train'] / 60:.1f} "
            f"| {one['flops_per_image'] / 2e6:.0f} |"
        )
    return lines


def _same_time(fast: Path, other: Path) -> list[str]:
    """`fast` beside the tutorial's network, well trained: its best accuracy in the training time of `fast`."""
    if not (fast.exists() and other.exists()):
        return []
    ours, theirs = (
        [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(path.open())]
        for path in (fast, other)
    )
    seconds = sum(row["seconds_train"] for row in ours)
    reached = list(itertools.accumulate(row["seconds_train"] for row in theirs))
    within = [row["test_accuracy"] for row, time_ in zip(theirs, reached, strict=True) if time_ <= seconds]
    if not within:
        return []
    return [
        "",
        f"In the {seconds / 60:.1f} minutes of training that `fast` takes to {ours[-1]['test_accuracy']:.2%}, "
        "the tutorial's network "
        f"(6 and 16 filters; {theirs[0]['images_per_second']:,.0f} images/s) reaches {max(within):.2%} at best, "
        f"after {reached[len(within) - 1] / 60:.1f} minutes of its own schedule.",
    ]


def _line(name: str, ones: Sequence[Mapping[str, Any]]) -> str:
    test = [one["test_accuracy"] for one in ones]
    place = ones[0]["machine"] if ones[0]["device"] == "cpu" else ones[0]["device"]
    threads, precision = ones[0]["threads"], _precision(ones[0])
    spread = f" ± {100 * statistics.stdev(test):.2f}" if len(test) > 1 else ""
    cells = (
        ones[0]["net"],
        name.partition("_")[2],
        ones[0]["pixels"],
        ", ".join(str(one["seed"]) for one in ones),
        f"{100 * statistics.mean(test):.2f}{spread} %",
        ", ".join(f"{one} %" for one in ASKED.get(name, ()) if one) or "–",
        f"{100 * min(test):.2f} … {100 * max(test):.2f}",
        f"{100 * statistics.mean(one['test_accuracy_flip'] for one in ones):.2f} %",
        f"{100 * statistics.mean(one['train_accuracy'] for one in ones):.2f} %",
        f"{statistics.median(one['seconds_train'] for one in ones) / 60:.1f}",
        f"{statistics.median(one['images_per_second'] for one in ones):,.0f}",
        _percent([one["seconds_eval"] / one["seconds_train"] for one in ones]),
        _percent([one["part_of_files"] for one in ones if one.get("part_of_files") is not None]),
        ones[0]["selected_on"],
        f"{place}, {threads} thread{'s' * (threads > 1)}, {precision}, torch {ones[0]['torch']}",
        max(one["date"] for one in ones),
    )
    return f"| {' | '.join(cells)} |"


def _precision(one: Mapping[str, Any]) -> str:
    """Of a run's summary; before it was told, there was but one."""
    return one.get("precision", "float32")


def _percent(parts: Sequence[float]) -> str:
    return f"{statistics.median(parts):.1%}" if parts else "–"


def _date(folder: Path) -> str:
    """The day on which the run ended."""
    return datetime.datetime.fromtimestamp((folder / SUMMARY).stat().st_mtime, datetime.UTC).date().isoformat()


def main() -> None:
    """Read the words, then measure one run after the other."""
    parser = argparse.ArgumentParser(prog="python -m bench.nets", description=__doc__, formatter_class=RAW)
    parser.add_argument("--data", required=True)
    parser.add_argument("--net", action="append", choices=list(NETS), help="repeat for more; default: all")
    parser.add_argument("--preset", default="tuned")
    parser.add_argument("--seeds", default="0")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a change; its value as in JSON"
    )
    parser.add_argument("--label", default="", help="added to the name of changed settings")
    words = parser.parse_args()
    keep_freed_memory()
    data = load(words.data)
    changes = {name: json.loads(value) for name, _, value in (change.partition("=") for change in words.set)}
    for seed in map(int, words.seeds.split(",")):
        for net in words.net or NETS:
            label = "-".join(filter(None, (words.preset, words.label)))
            measure(f"{net}_{label}_seed{seed}", preset(words.preset, net).changed(changes | {"seed": seed}), data)


if __name__ == "__main__":
    main()
