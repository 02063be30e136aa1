"""`hw4opt reproduce`: part 2 of the assignment, every figure and number."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hw4cli.json_record import json_text
from hw4cli.opt.exit_status import Exit
from hw4cli.opt.options import OUTPUT, OutputOptions
from hw4cli.opt.outputs import check_outputs, draw, provenance, write_json
from hw4cli.opt.report import show
from hw4cli.options import options, take, whole
from hw4cli.output_paths import Files
from hw4cli.progress import Bar
from hw4opt import InputError, Result, Status
from hw4opt.running.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


OUTPUT_FILES = re.compile(r"report\.md|results\.json|2[a-d]_(fit|heatmap|variety)\.png|2[a-d]_model\.json")


@click.command("reproduce")
@click.option("--out", required=True, metavar="DIR", help="Folder of report, figures and models; made if absent.")
@click.option(
    "--draws",
    type=whole(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Draws of the noise that show how results vary.",
)
@click.option(
    "--workers", type=whole(1), metavar="N", help="Processes for these draws; default: the number of processors."
)
@click.option("--save", metavar="PATH", help="Write the results to another JSON file, too. Default: none.")
@options(OUTPUT)
def command(out: str, draws: int, workers: int | None, **given: Any) -> int:
    """Part 2 of the assignment: hyper-parameters by exact leave-one-out, figures, heat maps and a report."""
    return reproduce(out, draws, workers, take(OutputOptions, given))


def reproduce(out: str, draws: int, workers: int | None, output_options: OutputOptions) -> int:
    """The exit status: 0 if every fit is certified, 1 if not."""
    check_outputs(output_options, {}, Files(f"--out {out}", out, lambda name: OUTPUT_FILES.fullmatch(name) is not None))
    from hw4opt.assignment import reproduce as run

    with Bar("reproducing", output_options.quiet) as bar, filled_folder(Path(out)) as folder:
        results = run(folder, output_options.seed, draws, workers, bar.describe)
    outcomes = [
        part[label] for part in results["parts"].values() for label in ("chosen", "reported") if part[label] is not None
    ]
    certified = all(outcome["status"] == Status.CERTIFIED.word for outcome in outcomes)
    word = Status.CERTIFIED if certified else Status.INACCURATE
    write_json(
        provenance(output_options.seed, None)
        | {"status": word.word, "message": f"report in {out}/report.md"}
        | results,
        output_options.json,
    )
    rows = [
        _row(name, label, part)
        for name, part in results["parts"].items()
        for label in ("chosen", "reported")
        if part[label] is not None
    ]
    draw(output_options, lambda: _figure(results["parts"], Path(out)))
    if output_options.save is not None:
        write_text(output_options.save, json_text(results))
    columns = ("part", "setting", "gamma", "ridge", "tv", "LOO loss", "RMSE")
    show(
        output_options,
        "Part 2: regression with side information",
        columns,
        rows,
        ["LOO: leave-one-out; RMSE: to the true f", f"Report and figures: {out}/report.md"],
    )
    return Exit.CERTIFIED if certified else Exit.UNPROVEN


@contextmanager
def filled_folder(out: Path) -> Iterator[Path]:
    """A temporary folder whose files move to `out` (made if absent) if the block succeeds. Raises `InputError`."""
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise InputError(f"{existing} is a file; give a folder")
    temporary = existing / f".hw4opt-{os.urandom(4).hex()}"
    try:
        with _errors_named(out):
            temporary.mkdir(mode=0o700)
        yield temporary
        with _errors_named(out):
            out.mkdir(parents=True, exist_ok=True)
            for file in sorted(temporary.iterdir()):
                file.replace(out / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _errors_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write into the folder {folder}: {error.strerror}") from error


def _figure(parts: Mapping[str, Any], folder: Path) -> Figure:
    """The selected fit of every part."""
    from matplotlib.figure import Figure

    from hw4opt.datasets import step_function
    from hw4opt.plotting import plot_fit

    figure = Figure(figsize=(14, 9), layout="constrained")
    for axes, (name, part) in zip(figure.subplots(2, 2).flat, parts.items(), strict=True):
        plot_fit(Result.load(folder / f"{name}_model.json"), axes, step_function)
        axes.set_xlabel(f"x   ({name}: {part['title']})")
    return figure


def _row(name: str, label: str, part: dict[str, Any]) -> tuple[str, ...]:
    outcome = part[label]
    values = tuple(
        f"{outcome['setting'][key]:.3g}" if key in outcome["setting"] else "" for key in ("gamma", "ridge", "tv")
    )
    return (
        name,
        label,
        *values,
        f"{outcome['score']:.3f} ± {outcome['standard_error']:.2f}",
        f"{outcome['rmse']:.3f}",
    )
