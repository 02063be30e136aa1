"""`hw4nets reproduce`: part 3 of the assignment, every figure and number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hw4cli.endings import Exit, say
from hw4cli.nets.options import DATA, WRITE, Writing, options, take
from hw4cli.nets.outputs import PROGRAM, check_outputs, line, percent, show, write_json
from hw4cli.nets.watching import Told, load_shown
from hw4cli.progress import Bar
from hw4nets.assignment import PRESETS, reproduce
from hw4nets.execution import choose_device, keep_freed_memory


@click.command("reproduce")
@options(DATA)
@click.option("--out", required=True, metavar="DIR", help="The folder for report.md, results.json, figures and runs; made if absent.")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="For a look: so many epochs of every run.")
@click.option(
    "--own-epochs", type=click.IntRange(min=1), metavar="N", help="Epochs of the assignment's own settings (12 and 25 take hours)."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S", help="Seed of every run.")
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; default: torch's choice.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda")
@options(WRITE)
def command(data: str | None, out: str, epochs: int | None, own_epochs: int | None, **given: Any) -> int:
    """Part 3 of the assignment: four networks with the chosen settings, and beside them with the assignment's own.

    Hours on a CPU. The same command again keeps what is finished and goes on with the rest.
    """
    writing = take(Writing, given)
    check_outputs(writing)
    choose_device(given["device"])
    keep_freed_memory()
    images = load_shown(data or "official", writing.quiet)
    changes = {name: given[name] for name in ("seed", "threads", "device")} | ({"epochs": epochs} if epochs else {})
    try:
        with Bar("reproducing", writing.quiet) as bar:
            results = reproduce(Path(out), images, changes, own_epochs, Told(bar, writing), lambda text: line(writing, f"\n{text}"))
    except KeyboardInterrupt:
        say(PROGRAM, "interrupted; the same command goes on from the last epoch that ended")
        return Exit.INTERRUPTED
    write_json(writing, given["seed"], images.sha256, {"status": "certified", "message": f"report in {out}/report.md"} | results)
    rows = [
        (f"{letter} {part['net']}", name, percent(part[name]["summary"]["test_accuracy"]), percent(part[name]["summary"]["train_accuracy"]))
        for letter, part in results["parts"].items()
        for name in PRESETS
    ]
    last = [f"Report and figures: {out}/report.md"]
    show(writing, "Part 3: deep learning architectures", ("part", "settings", "test", "training"), rows, last)
    return Exit.CERTIFIED
