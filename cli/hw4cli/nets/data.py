"""`hw4nets data`: download, verify and show the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from hw4cli.exit_status import Exit
from hw4cli.nets.options import IMAGES, PLOT, REPORTING, RESULT_FILE, SEED, Writing, options, take
from hw4cli.nets.outputs import check_outputs, figure_line, recorded, save_plot, show, write_json
from hw4cli.nets.progress import load_shown, source_path
from hw4nets.data import Data
from hw4nets.files import cache_folder, write_with


@click.command("data")
@options(IMAGES, PLOT, RESULT_FILE, SEED, REPORTING)
def command(data: str | None, seed: int, **given: Any) -> int:
    """Have the images ready: downloaded, verified, decoded and cached.

    --plot shows some of each class, --save keeps the arrays (.npz).
    """
    writing = take(Writing, given)
    source = data or "official"
    check_outputs(writing, {"the data": source_path(source)})
    images = load_shown(source, writing, seed)
    with recorded(writing, seed, images.sha256):
        if writing.plot is not None:
            from hw4nets.plotting import plot_images

            save_plot(writing, plot_images(images))
        if writing.save is not None:
            write_with(writing.save, lambda temporary: _save(images, temporary))
    counts = [np.bincount(part.labels, minlength=len(images.classes)) for part in (images.train, images.test)]
    record = {
        "status": "certified",
        "message": "the images are whole",
        "pixels": images.pixels,
        "source": images.source,
    }
    record |= {"classes": images.classes, "train": counts[0], "test": counts[1], "cache": str(cache_folder())}
    write_json(writing, seed, images.sha256, record)
    rows = [(name, str(counts[0][place]), str(counts[1][place])) for place, name in enumerate(images.classes)]
    rows.append(("all", str(counts[0].sum()), str(counts[1].sum())))
    last = [
        f"pixels {images.pixels}; sha256 {images.sha256}",
        f"cache {cache_folder()}",
        *figure_line(writing, "images.png"),
    ]
    show(writing, f"CIFAR-10 from {images.source}", ("class", "training", "test"), rows, last)
    return Exit.CERTIFIED


def _save(images: Data, path: Path) -> None:
    train, test = images.train, images.test
    with path.open("wb") as file:
        np.savez(
            file, train_pixels=train.pixels, train_labels=train.labels, test_pixels=test.pixels, test_labels=test.labels
        )
