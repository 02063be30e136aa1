"""`hw4nets report`: runs as one HTML file."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hw4cli import json_record
from hw4cli.exit_status import Exit
from hw4cli.nets.options import PLOT, REPORTING, RESULT_FILE, SEED, Writing, options, take
from hw4cli.nets.outputs import PROGRAM, check_outputs, line, percent, recorded, write_json
from hw4cli.nets.plot import about_run, write_runs
from hw4cli.output_paths import Files
from hw4cli.pages.markup import code, paragraph, section, table
from hw4cli.pages.report import Chart, Charts, Series, made_by, png, report_page
from hw4nets.errors import InputError
from hw4nets.files import read_text, write_text
from hw4nets.history import EpochRow
from hw4nets.runs import CONFIG, CONFUSION, SUMMARY, WORST, read_history

PNG_MARK = b"\x89PNG\r\n\x1a\n"
MOST_FIGURE_BYTES = 5_000_000
RUN_FIGURES = {CONFUSION: "Confusions", WORST: "Worst mistakes"}
RUN_COLUMNS = {  # columns of the table of runs, and their entries in a summary
    "network": "net",
    "parameters": "parameters",
    "epochs": "epochs",
    "test": "test_accuracy",
    "flips averaged": "test_accuracy_flip",
    "training": "train_accuracy",
    "seconds": "seconds_train",
    "device": "device",
    "seed": "seed",
    "chosen on": "selected_on",
    "pixels": "pixels",
}


@dataclass(frozen=True)
class ReportedRun:
    """A run; its summary is empty if it is not finished."""

    name: str
    history: tuple[EpochRow, ...]
    summary: dict[str, Any]
    config: str | None
    figures: dict[str, bytes]


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--out", default="report.html", show_default=True, metavar="PATH", help="The file to write.")
@click.option("--open", "opens", is_flag=True, help="Open the report in a browser.")
@options(PLOT, RESULT_FILE, SEED, REPORTING)
def command(runs: tuple[str, ...], out: str, opens: bool, seed: int, **given: Any) -> int:
    """Write a report on runs, finished or not: one self-contained HTML file.

    It has a table of the runs, their curves, and for each run confusions, worst mistakes and settings. --plot and
    --save write the same as those of `hw4nets plot`.
    """
    writing = take(Writing, given)
    check_outputs(writing, {}, Files(f"--out {out}", out), runs=runs)
    for run in runs:
        if not Path(run).is_dir():
            raise InputError(f"no run {run}: give folders that train wrote")
    found = [_read(run) for run in dict.fromkeys(runs)]
    origin = json_record.origin(PROGRAM, seed, None)
    with recorded(writing, seed):
        write_runs(writing, {one.name: one.history for one in found}, {about_run(Path(run))["pixels"] for run in runs})
        write_text(out, runs_report(found, origin))
    if opens:
        webbrowser.open(Path(out).resolve().as_uri())
    record = {one.name: {"epochs": len(one.history), "finished": bool(one.summary)} for one in found}
    message = f"{len(found)} runs are in {out}"
    write_json(writing, seed, None, {"status": "certified", "message": message, "runs": record, "report": out})
    line(writing, message)
    return Exit.CERTIFIED


def runs_report(runs: Sequence[ReportedRun], origin: dict[str, Any]) -> str:
    """The HTML of the report."""
    charts = Charts()
    parts = (
        section("Runs", table(("run", *RUN_COLUMNS), map(_row, runs))),
        section("Curves", *map(charts.place, _curves(runs))),
        *(_details(run) for run in runs),
        section("Made by", made_by(PROGRAM, origin)),
    )
    names = ", ".join(run.name for run in runs)
    return report_page(PROGRAM, names, names, parts, {"charts": charts.records})


def _read(folder: str) -> ReportedRun:
    path = Path(folder)
    figures = {name: _image(path / name) for name in RUN_FIGURES if (path / name).is_file()}
    return ReportedRun(
        folder,
        read_history(path),
        _summary(path / SUMMARY) if (path / SUMMARY).is_file() else {},
        read_text(path / CONFIG) if (path / CONFIG).is_file() else None,
        figures,
    )


def _image(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MOST_FIGURE_BYTES + 1)
    if not content.startswith(PNG_MARK) or len(content) > MOST_FIGURE_BYTES:
        raise InputError(f"{path} is not a PNG of up to {MOST_FIGURE_BYTES:,} bytes; redraw it with train --resume")
    return content


def _summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}; rewrite it with train --resume") from error
    if not isinstance(summary, dict):
        raise InputError(f"{path} is not a summary of a run; rewrite it with train --resume")
    return summary


def _row(run: ReportedRun) -> list[str]:
    known = {"epochs": len(run.history), "test_accuracy": run.history[-1].test_accuracy} | run.summary
    return [run.name, *(_cell(key, known.get(key)) for key in RUN_COLUMNS.values())]


def _cell(key: str, value: Any) -> str:
    if isinstance(value, float) and key.endswith(("accuracy", "accuracy_flip")):
        return percent(value)
    if isinstance(value, float):
        return f"{value:.1f}"
    return "–" if value is None else f"{value:,}" if key == "parameters" and isinstance(value, int) else str(value)


def _curves(runs: Sequence[ReportedRun]) -> list[Chart]:
    accuracy, loss = [], []
    for color, run in enumerate(runs):
        epochs = [row.epoch for row in run.history]
        test = [row.test_accuracy for row in run.history]
        accuracy.append(Series(f"{run.name}, test {percent(test[-1])}", epochs, test, color=color))
        accuracy.append(Series("", epochs, [row.train_accuracy for row in run.history], "dotted", color))
        loss.append(Series(run.name, epochs, [row.train_loss for row in run.history], color=color))
    return [
        Chart("Test (solid) and training (dotted) accuracy", "epoch", "accuracy", accuracy, percent=True),
        Chart("Training loss", "epoch", "loss", loss),
    ]


def _details(run: ReportedRun) -> str:
    labels = {name: f"{RUN_FIGURES[name]} of {run.name}" for name in run.figures}
    images = "".join(f"<div>{png(content, labels[name])}</div>" for name, content in run.figures.items())
    missing = "" if run.figures else paragraph("Not finished: no confusions and mistakes yet.", "soft")
    notes = [paragraph(str(note), "soft") for note in run.summary.get("notes", [])]
    settings = "" if run.config is None else code(run.config, f"Settings: {CONFIG}")
    return section(run.name, *notes, f'<div class="two">{images}</div>' if images else "", missing, settings)
