"""`hw4nets plot`: runs compared."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import click

from hw4cli.exit_status import Exit
from hw4cli.nets.options import PLOT, REPORTING, RESULT_FILE, SEED, Writing, options, take
from hw4cli.nets.outputs import check_outputs, figure_line, percent, recorded, save_plot, show, write_json
from hw4nets.errors import InputError
from hw4nets.files import write_text
from hw4nets.history import EpochRow
from hw4nets.recipes import read_recipe, read_toml
from hw4nets.runs import CONFIG, read_history


def write_runs(writing: Writing, histories: dict[str, tuple[EpochRow, ...]], pixels: set[str]) -> None:
    """Write the curves of --plot, and every epoch of --save."""
    if writing.plot is not None:
        _draw(writing, histories, "pixels " + "; ".join(sorted(pixels)))
    if writing.save is not None:
        write_text(writing.save, _table(histories))


def _draw(writing: Writing, histories: dict[str, tuple[EpochRow, ...]], pixels: str) -> None:
    from hw4nets.plotting import plot_curves, plot_runs

    (run, rows), *others = histories.items()
    save_plot(writing, plot_runs(histories, pixels) if others else plot_curves(rows, f"{Path(run).name}, {pixels}"))


def _table(histories: dict[str, tuple[EpochRow, ...]]) -> str:
    """Every epoch of every run, with the run's folder first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *(item.name for item in fields(EpochRow))])
    writer.writerows([run, *astuple(row)] for run, rows in histories.items() for row in rows)
    return text.getvalue()


def about_run(folder: Path) -> dict[str, Any]:
    """The images that epoch or settings were chosen on, and the pixels trained on, if the folder has them."""
    if not (folder / CONFIG).exists():
        return {"selected_on": "unknown", "pixels": "unknown"}
    pixels = read_toml(folder / CONFIG).get("pixels", "unknown")
    return {"selected_on": read_recipe(folder / CONFIG).config.selected_on, "pixels": str(pixels)}


@click.command("plot")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@options(PLOT, RESULT_FILE, SEED, REPORTING)
def command(runs: tuple[str, ...], seed: int, **given: Any) -> int:
    """A table of runs, finished or not.

    --plot draws their curves over epochs and over time, --save writes all their epochs (CSV).
    """
    writing = take(Writing, given)
    check_outputs(writing, {}, runs=runs)
    for run in runs:
        if not Path(run).is_dir():
            raise InputError(f"no run {run}: give folders that train wrote")
    histories = {run: read_history(Path(run)) for run in runs}
    record = {
        run: {
            "epochs": len(rows),
            "test_accuracy": rows[-1].test_accuracy,
            "seconds_train": sum(row.seconds_train for row in rows),
        }
        | about_run(Path(run))
        for run, rows in histories.items()
    }
    with recorded(writing, seed):
        write_runs(writing, histories, {facts["pixels"] for facts in record.values()})
    write_json(writing, seed, None, {"status": "certified", "message": f"{len(runs)} runs", "runs": record})
    rows = [
        (
            run,
            str(facts["epochs"]),
            percent(facts["test_accuracy"]),
            f"{facts['seconds_train']:.1f}",
            facts["selected_on"],
            facts["pixels"],
        )
        for run, facts in record.items()
    ]
    heads = ("run", "epochs", "test", "seconds of training", "chosen on", "pixels")
    show(writing, "Runs", heads, rows, figure_line(writing, "runs.png"))
    return Exit.CERTIFIED
