"""Settings of `fast` beside each other on held-out training images, one seed each; the test images play no part.

    python -m bench.nets_choice --data PATH

5,000 training images, drawn once, are held out; the networks train on the other 45,000. A setting that
bench/results/nets_choice.json has is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.nets import Printed, machine
from hw4nets.data import HELD_OUT_IMAGES, load
from hw4nets.files import write_text
from hw4nets.process import keep_freed_memory
from hw4nets.recipes import preset
from hw4nets.runs import open_run, run

RESULTS = Path(__file__).resolve().parent / "results" / "nets_choice"
SPLIT_SEED = 12345
WIDE = {"widths": [48, 96, 192]}
SGD = WIDE | {"optimizer": "sgd", "lr": 0.73, "momentum": 0.85, "warmup": 0.23}
MUON = WIDE | {"optimizer": "muon", "momentum": 0.6, "warmup": 0.1, "start_scale": 0.75}
MUON_256 = MUON | {"full_scale": 0.6, "lr": 0.1, "side_lr": 1.5, "widths": [64, 256, 256]}  # towards 90 %
TRIED: tuple[dict[str, Any], ...] = (
    SGD | {"epochs": 11, "start_scale": 0.75, "full_scale": 0.6},
    SGD | {"epochs": 11, "start_scale": 0.625, "full_scale": 0.8},
    MUON | {"epochs": 10, "full_scale": 0.6, "lr": 0.1, "side_lr": 1.5},
    MUON | {"epochs": 10, "full_scale": 0.6, "lr": 0.05, "side_lr": 1.5},
    MUON | {"epochs": 9, "full_scale": 0.6, "lr": 0.2, "side_lr": 1.5},
    MUON | {"epochs": 9, "full_scale": 0.6, "lr": 0.14, "side_lr": 1.5, "batch_size": 1000},
    MUON | {"epochs": 9, "full_scale": 0.7, "lr": 0.1, "side_lr": 0.7},
    MUON | {"epochs": 8, "full_scale": 0.6, "lr": 0.1, "side_lr": 1.5, "widths": [64, 128, 128]},
    MUON_256 | {"epochs": 8},
    MUON_256 | {"epochs": 16, "augment": "alternating_flip,crop:2,cutout:8"},
    MUON_256 | {"epochs": 20, "augment": "alternating_flip,crop:4,cutout:12"},
)


def key(settings: dict[str, Any]) -> str:
    """The settings in one line, as they stand in the table."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def table(done: dict[str, dict[str, Any]]) -> str:
    """The runs in the order in which they were tried."""
    lines = [
        "# Settings of `fast`, on held-out training images",
        "",
        "`python -m bench.nets_choice --data PATH`: one seed each; trained on 45,000 training images of the JPEG copy,",
        "judged on the other 5,000 (standard error of an accuracy: 0.5 points). Other work ran at the same time;",
        "the time is processor time, of both cores together.",
        "",
        "| settings | held-out accuracy | flips averaged | training accuracy | processor minutes | machine |",
        "|---|---|---|---|---|---|",
    ]
    for settings, one in done.items():
        cells = (f"{one[name]:.2%}" for name in ("accuracy", "accuracy_flip", "train_accuracy"))
        lines.append(f"| {settings} | {' | '.join(cells)} | {one['seconds_processor'] / 60:.1f} | {one['machine']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what has not been run, and write the table after each."""
    parser = argparse.ArgumentParser(prog="python -m bench.nets_choice", description=__doc__)
    parser.add_argument("--data", required=True)
    words = parser.parse_args()
    keep_freed_memory()
    whole = load(words.data)
    rest, held = whole.train.split(HELD_OUT_IMAGES, SPLIT_SEED)
    data = replace(whole, train=rest, test=held)
    record = RESULTS.with_suffix(".json")
    done = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for settings in TRIED:
        if key(settings) in done:
            continue
        print(key(settings), flush=True)
        recipe = preset("tuned", "fast").changed(settings)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            summary = run(open_run(Path(folder) / "run", recipe, data), recipe, data, Printed()).summary
        done[key(settings)] = {
            "accuracy": summary["test_accuracy"],
            "accuracy_flip": summary["test_accuracy_flip"],
            "train_accuracy": summary["train_accuracy"],
            "seconds_processor": time.process_time() - began,
            "machine": machine(),
        }
        write_text(record, json.dumps(done, indent=1) + "\n")
        write_text(RESULTS.with_suffix(".md"), table(done))


if __name__ == "__main__":
    main()
