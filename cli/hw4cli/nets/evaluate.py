"""`hw4nets evaluate`: accuracy and mistakes of a trained network on the test images."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click

from hw4cli.exit_status import Exit
from hw4cli.nets.options import CHECKPOINT, IMAGES, PLOT, REPORTING, RESULT_FILE, SEED, Writing, options, take
from hw4cli.nets.outputs import check_outputs, figure_line, percent, recorded, save_plot, show, write_json
from hw4cli.nets.progress import load_named, named_source, source_path
from hw4nets.data import Data
from hw4nets.errors import InputError
from hw4nets.evaluation import Evaluation, evaluate
from hw4nets.files import write_text
from hw4nets.runs import check_images, load_model, read_run, run_classes

MISTAKES_IN_JSON = 10


@click.command("evaluate")
@click.argument("run", metavar="RUN")
@CHECKPOINT
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Device of the computation.")
@options(IMAGES, PLOT, RESULT_FILE, SEED, REPORTING)
def command(run: str, checkpoint: str, device: str, seed: int, data: str | None, **given: Any) -> int:
    """Test accuracy, plain and averaged over mirror images, and confusions.

    --plot draws the confusions, --save writes one row of probabilities per image (CSV).
    """
    writing = take(Writing, given)
    folder = Path(run)
    recipe, kept = read_run(folder)
    check_outputs(writing, {"the data": source_path(named_source(data, kept))}, runs=[run])
    with recorded(writing, seed):
        model, execution = load_model(folder / f"{checkpoint}.pt", recipe, device)
    images = load_named(data, kept, writing, seed)
    check_images(recipe, images)
    if (known := run_classes(kept)) != images.classes:
        names = ", ".join(sorted(set(known) ^ set(images.classes)))
        raise InputError(f"{run} and {images.title} have classes of other names: {names}; give other --data")
    with recorded(writing, seed, images.sha256):
        found = evaluate(model, images, execution, recipe.config.input_scale)
        title = f"{recipe.shape.name}, {percent(found.accuracy)} of the test images right, pixels {images.pixels}"
        if writing.plot is not None:
            from hw4nets.plotting import plot_confusion

            save_plot(writing, plot_confusion(found, images.classes, title))
        if writing.save is not None:
            write_text(writing.save, _predictions(found, images))
    selected_on = recipe.config.selected_on
    about = {"net": recipe.shape.name, "checkpoint": checkpoint, "selected_on": selected_on}
    write_json(writing, seed, images.sha256, _record(found, images) | about)
    chosen = f"epoch or settings chosen on: {selected_on}"
    last = [f"flips averaged: {percent(found.accuracy_flip)}", chosen, *figure_line(writing, "confusion.png")]
    show(writing, title, ("class", "right", "most often taken for"), _rows(found, images), last)
    return Exit.CERTIFIED


def _record(found: Evaluation, images: Data) -> dict[str, Any]:
    worst = [
        {
            "image": int(place),
            "true": images.classes[found.labels[place]],
            "predicted": images.classes[found.predicted[place]],
            "probability": float(found.probabilities[place].max()),
        }
        for place in found.worst(MISTAKES_IN_JSON)
    ]
    return {
        "status": "certified",
        "message": "every test image was classified",
        "test_accuracy": found.accuracy,
        "test_accuracy_flip": found.accuracy_flip,
        "classes": images.classes,
        "confusion": found.confusion,
        "worst": worst,
        "pixels": images.pixels,
    }


def _rows(found: Evaluation, images: Data) -> list[tuple[str, str, str]]:
    rows = []
    for label, name in enumerate(images.classes):
        counts = found.confusion[label].copy()
        right, total = counts[label] / max(counts.sum(), 1), max(counts.sum(), 1)
        counts[label] = 0
        other = int(counts.argmax())
        rows.append(
            (
                name,
                percent(right),
                f"{images.classes[other]} {percent(counts[other] / total)}" if counts[other] else "–",
            )
        )
    return rows


def _predictions(found: Evaluation, images: Data) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "true", "predicted", *images.classes])
    for place, (row, label) in enumerate(zip(found.probabilities, found.labels, strict=True)):
        writer.writerow(
            [place, images.classes[label], images.classes[row.argmax()], *(f"{value:.6g}" for value in row)]
        )
    return text.getvalue()
