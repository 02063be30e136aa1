"""The progress of training: a bar within the epoch, a line of a table after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hw4cli.nets.options import Writing
from hw4cli.nets.outputs import line, recorded, warn
from hw4cli.progress import Bar
from hw4nets.data import Data, load
from hw4nets.errors import InputError
from hw4nets.history import EpochRow, Watch
from hw4nets.settings import shown

HEAD = "epoch  train loss   train     test   valid   images/s  train s   eval s"


def load_shown(source: str, writing: Writing, seed: int) -> Data:
    """The images, with a bar while they are decoded."""
    name = source if source_path(source) is None else Path(source).name
    with recorded(writing, seed), Bar(f"reading {name}", writing.quiet) as bar:
        images = load(source, bar.count)
    for sentence in images.notes:
        warn(sentence)
    return images


def named_source(data: str | None, kept: Mapping[str, Any]) -> str:
    """--data, else the images that a file of settings names."""
    source = data or kept.get("data", "official")
    if not isinstance(source, str):
        raise InputError(f"the settings' data is {shown(source)}; give text")
    return source


def source_path(source: str) -> str | None:
    """The folder or archive; None if the images are not a file of the user."""
    return None if source in ("official", "synthetic") else source


def load_named(data: str | None, kept: Mapping[str, Any], writing: Writing, seed: int) -> Data:
    """The images of --data, else those that a file of settings names, with a warning if these have changed."""
    images = load_shown(named_source(data, kept), writing, seed)
    if data is None and kept.get("data_sha256", images.sha256) != images.sha256:
        warn(f"{kept.get('data', 'official')} holds other images now than when its settings were written")
    return images


class EpochTable(Watch):
    """Draws a bar within each epoch, and prints a line of a table after it."""

    def __init__(self, bar: Bar, writing: Writing) -> None:
        self.bar, self.writing, self.headed = bar, writing, False

    def batch(self, epoch: int, done: int, total: int) -> None:
        """Move the bar."""
        self.bar.text = f"{self.bar.text.partition(' · ')[0]} · epoch {epoch}"
        self.bar.count(done, total)

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """Print a line of the table."""
        if not self.headed:
            line(self.writing, HEAD)
            self.headed = True
        held_out = f"{row.validation_accuracy:7.2%}" if row.validation_accuracy is not None else "      –"
        line(
            self.writing,
            f"{row.epoch:5d} {row.train_loss:11.4f} {row.train_accuracy:8.2%} {row.test_accuracy:8.2%} {held_out} "
            f"{row.images_per_second:10,.0f} {row.seconds_train:8.1f} {row.seconds_eval:8.1f}",
        )

    def note(self, sentence: str) -> None:
        """Warn on stderr."""
        warn(sentence)
