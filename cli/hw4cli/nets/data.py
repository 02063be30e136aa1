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
from hw4nets.image_set import CLASSES


@click.command("data")
@options(IMAGES, PLOT, RESULT_FILE, SEED, REPORTING)
def command(data: str | None, seed: int, **given: Any) -> int:
    """Download, verify, decode and cache the images.

    --plot draws some of each class, --save writes the arrays (.npz).
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
    sets = {"training": images.train, "validation": images.validation, "test": images.test}
    counts = {
        name: np.bincount(part.labels, minlength=len(images.classes)) for name, part in sets.items() if part is not None
    }
    record = {
        "status": "certified",
        "message": "the images are complete",
        "pixels": images.pixels,
        "source": images.source,
    }
    record |= {"classes": images.classes, "train": counts["training"], "test": counts["test"]}
    record |= {"validation": counts.get("validation"), "image_side": images.side, "notes": images.notes}
    record |= {"cache": str(cache_folder())}
    write_json(writing, seed, images.sha256, record)
    rows = [(name, *(str(each[place]) for each in counts.values())) for place, name in enumerate(images.classes)]
    rows.append(("all", *(str(each.sum()) for each in counts.values())))
    last = [
        f"pixels {images.pixels}; sha256 {images.sha256}",
        f"cache {cache_folder()}",
        *figure_line(writing, "images.png"),
    ]
    what = "CIFAR-10" if images.classes == CLASSES else f"{len(images.classes)} classes"
    show(writing, f"{what} from {images.source}, {images.side}×{images.side}", ("class", *counts), rows, last)
    return Exit.CERTIFIED


def _save(images: Data, path: Path) -> None:
    sets = {"train": images.train, "test": images.test}
    sets |= {"validation": images.validation} if images.validation is not None else {}
    with path.open("wb") as file:
        arrays = {f"{name}_{kind}": getattr(part, kind) for name, part in sets.items() for kind in ("pixels", "labels")}
        np.savez(file, **arrays)
