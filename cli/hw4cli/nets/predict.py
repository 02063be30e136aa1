"""`hw4nets predict`: predictions of a trained network for images without labels."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from hw4cli.exit_status import Exit
from hw4cli.nets.options import CHECKPOINT, PLOT, REPORTING, RESULT_FILE, SEED, Writing, options, take
from hw4cli.nets.outputs import check_outputs, figure_line, percent, recorded, save_plot, show, warn, write_json
from hw4cli.output_paths import Files
from hw4cli.progress import Bar
from hw4nets.files import write_text
from hw4nets.prediction import Predictions, predict

COLUMNS = ("file", "class", "probability", "second", "second_probability")
SHOWN = 10  # rows in the table, and unreadable images that are named in warnings


@click.command("predict")
@click.argument("run", metavar="RUN")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES…")
@click.option("--out", metavar="CSV", help=f"Write a row per image: {', '.join(COLUMNS)}. Default: none.")
@click.option("--flip", is_flag=True, help="Average over each image and its mirror image.")
@click.option(
    "--resize", is_flag=True, help="Scale images of another size (their central square) instead of refusing them."
)
@CHECKPOINT
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Device of the computation.")
@options(PLOT, RESULT_FILE, SEED, REPORTING)
def command(run: str, images: tuple[str, ...], out: str | None, seed: int, **given: Any) -> int:
    """Predict the classes of images with a trained network: PNG or JPEG files, folders of them, archives.

    An image that cannot be read gives a row without a class, a warning, and exit status 1. --save writes the
    probability of every class (CSV), --plot draws the first images.
    """
    writing = take(Writing, given)
    read = {f"the images {path}": path for path in images}
    check_outputs(writing, read, *([Files(f"--out {out}", out)] if out is not None else []), runs=[run])
    with recorded(writing, seed), Bar("predicting", writing.quiet) as bar:
        how = {name: given[name] for name in ("flip", "resize", "checkpoint", "device")}
        found = predict(run, images, **how, progress=lambda done: bar.describe(f"predicting · {done:,} images"))
    ranked = {int(row): found.ranked(row)[:2] for row in found.readable}
    title = f"{run}: the class of each image"
    with recorded(writing, seed, found.sha256):
        if writing.plot is not None:
            from hw4nets.plotting import plot_predictions

            save_plot(
                writing,
                plot_predictions([*found.first_pixels.values()], [ranked[row][0] for row in found.first_pixels], title),
            )
        if out is not None:
            write_text(out, _table(COLUMNS, _rows(found, ranked)))
        if writing.save is not None:
            write_text(writing.save, _table(("file", *found.classes), _shares(found)))
    for sentence in [*found.unreadable.values()][:SHOWN]:
        warn(sentence)
    message = f"images that were classified: {len(ranked):,} of {len(found.files):,}"
    if found.unreadable:
        warn(f"images that could not be read: {len(found.unreadable):,} of {len(found.files):,}")
    counts = Counter(pair[0][0] for pair in ranked.values())
    record = {"status": "uncertified" if found.unreadable else "certified", "message": message, "out": out}
    record |= {"classes": found.classes, "counts": [counts[name] for name in found.classes], "resized": found.resized}
    record |= {"flip": given["flip"], "checkpoint": given["checkpoint"], "images": len(found.files)}
    record |= {"unreadable": [{"file": found.files[row], "why": why} for row, why in found.unreadable.items()]}
    record |= {"predictions": [dict(zip(COLUMNS, cells, strict=True)) for cells in _rows(found, ranked)]}
    write_json(writing, seed, found.sha256, record)
    show(
        writing,
        title,
        COLUMNS,
        _shown(found, ranked),
        [*_last(found, given["flip"]), *figure_line(writing, "images.png")],
    )
    return Exit.UNPROVEN if found.unreadable else Exit.CERTIFIED


Ranked = dict[int, list[tuple[str, float]]]


def _rows(found: Predictions, ranked: Ranked) -> list[list[Any]]:
    """Cells of every image; None if it could not be read."""
    empty = [(None, None), (None, None)]
    return [[file, *(cell for pair in ranked.get(row, empty) for cell in pair)] for row, file in enumerate(found.files)]


def _shares(found: Predictions) -> Iterator[list[Any]]:
    """File and probabilities of every image; None if it could not be read."""
    for row, (file, shares) in enumerate(zip(found.files, found.probabilities.tolist(), strict=True)):
        yield [file, *(None if row in found.unreadable else share for share in shares)]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for cells in rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])
    return text.getvalue()


def _shown(found: Predictions, ranked: Ranked) -> list[list[str]]:
    rows = [["–" if cell is None else cell for cell in cells] for cells in _rows(found, ranked)[:SHOWN]]
    return [[percent(cell) if isinstance(cell, float) else cell for cell in cells] for cells in rows]


def _last(found: Predictions, flip: bool) -> list[str]:
    lines = [f"{len(found.files) - SHOWN:,} more images"] if len(found.files) > SHOWN else []
    lines += ["averaged over each image and its mirror image"] if flip else []
    side = next(iter(found.first_pixels.values())).shape[1] if found.resized else 0
    lines += (
        [f"central square scaled to {side}×{side}: {found.resized:,} of {len(found.files):,}"] if found.resized else []
    )
    return lines
