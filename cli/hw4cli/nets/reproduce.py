"""`hw4nets reproduce`: part 3 of the assignment, every figure and number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from hw4cli.exit_status import Exit, say
from hw4cli.json_record import json_text
from hw4cli.nets.options import IMAGES, PLOT, REPORTING, RESULT_FILE, Writing, options, take, whole
from hw4cli.nets.outputs import PROGRAM, check_outputs, line, percent, recorded, save_plot, show, write_json
from hw4cli.nets.progress import EpochTable, load_shown, source_path
from hw4cli.output_paths import Files
from hw4cli.progress import Bar
from hw4nets.assignment import PRESETS, diverged, is_written, reproduce, start_over
from hw4nets.execution import choose_device
from hw4nets.files import write_text
from hw4nets.process import keep_freed_memory
from hw4nets.runs import read_history


@click.command("reproduce")
@options(IMAGES)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    help="The folder for report.md, results.json, figures and runs; made if absent.",
)
@click.option(
    "--epochs",
    type=whole(1),
    metavar="N",
    help="Epochs of every run, for a quick look. Default: those of the settings.",
)
@click.option(
    "--own-epochs",
    type=whole(1),
    metavar="N",
    help="Epochs with the assignment's own settings; default: 12 and 25, which take hours.",
)
@click.option("--seed", type=whole(0), default=0, show_default=True, metavar="S", help="Seed of every run.")
@click.option("--threads", type=whole(0), default=0, metavar="N", help="CPU threads; default: torch's choice.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Device of the computation.")
@click.option("--overwrite", is_flag=True, help="Start all runs in the folder from the beginning.")
@options(PLOT, RESULT_FILE, REPORTING)
def command(
    data: str | None, out: str, epochs: int | None, own_epochs: int | None, overwrite: bool, **given: Any
) -> int:
    """Part 3 of the assignment: four networks, with the chosen settings and with the assignment's own.

    It takes hours on a CPU. The same command again keeps finished runs and continues the others.
    """
    writing = take(Writing, given)
    source = data or "official"
    check_outputs(writing, {"the data": source_path(source)}, Files(f"--out {out}", out, is_written))
    choose_device(given["device"])
    keep_freed_memory()
    images = load_shown(source, writing, given["seed"])
    changes = {name: given[name] for name in ("seed", "threads", "device")} | ({"epochs": epochs} if epochs else {})
    with recorded(writing, given["seed"], images.sha256):
        if overwrite:
            start_over(Path(out))
        try:
            with Bar("reproducing", writing.quiet) as bar:
                table = EpochTable(bar, writing)
                results = reproduce(
                    Path(out), images, changes, own_epochs, table, lambda text: line(writing, f"\n{text}")
                )
        except KeyboardInterrupt:
            say(PROGRAM, "interrupted; the same command continues after the last finished epoch")
            return Exit.INTERRUPTED
        _write(results, Path(out), writing, images.pixels)
    failed = [
        f"{letter} {name}: {why}" for letter, part in results["parts"].items() for name, why in diverged(part).items()
    ]
    for sentence in failed:
        say(PROGRAM, sentence)
    record = {
        "status": "inaccurate" if failed else "certified",
        "message": "; ".join([f"report in {out}/report.md", *failed]),
    }
    write_json(writing, given["seed"], images.sha256, record | results)
    title, heads = (
        f"Part 3: deep learning architectures, pixels {images.pixels}",
        ("part", "settings", "test", "training"),
    )
    show(writing, title, heads, _rows(results["parts"]), [f"Report and figures: {out}/report.md"])
    return Exit.UNPROVEN if failed else Exit.CERTIFIED


def _write(results: Mapping[str, Any], folder: Path, writing: Writing, pixels: str) -> None:
    """--plot: the curves of all runs together; --save: the results (JSON)."""
    if writing.plot is not None:
        from hw4nets.plotting import plot_runs

        trained = [part[name] for part in results["parts"].values() for name in PRESETS if "summary" in part[name]]
        histories = {outcome["folder"]: read_history(folder / "runs" / outcome["folder"]) for outcome in trained}
        save_plot(writing, plot_runs(histories, f"pixels {pixels}"))
    if writing.save is not None:
        write_text(writing.save, json_text(results))


def _rows(parts: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for letter, part in parts.items():
        for name in PRESETS:
            summary = part[name].get("summary", {"test_accuracy": None, "train_accuracy": None})
            yield f"{letter} {part['net']}", name, percent(summary["test_accuracy"]), percent(summary["train_accuracy"])
