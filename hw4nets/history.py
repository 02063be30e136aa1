"""The record of a run, epoch by epoch, and the callbacks of its progress."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class EpochRow:
    """One epoch.

    Accuracies are fractions; `train_accuracy` is counted while training, before each step; seconds are wall time.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    images_per_second: float
    seconds_train: float
    seconds_eval: float
    validation_accuracy: float | None = None


def check_row(row: EpochRow, place: int) -> None:
    """Raise ValueError for a row that cannot be epoch `place`, counted from 1: another number, or impossible values."""
    values = vars(row).copy()
    if values.pop("epoch") != place:
        raise ValueError(f"epoch {place} is not in its place")
    if values["validation_accuracy"] is None:
        values.pop("validation_accuracy")
    for name, value in values.items():
        if (
            not isinstance(value, int | float)
            or not math.isfinite(value)
            or (name.endswith("accuracy") and not 0 <= value <= 1)
        ):
            raise ValueError(f"epoch {place} has an impossible {name}")


@dataclass(frozen=True)
class History:
    """The epochs of a run, the best of them, and a full pass over the training images at its end.

    best_epoch              1-based; the last one without selection (`Config.select`)
    train_accuracy          of the final weights on all training images, without augmentation
    seconds_compile         not included in training
    memory_format           contiguous | channels_last, in training
    precision               float32 | bfloat16 | float16 | float64, of the matrix products in training
    notes                   sentences on what was not available, and its replacement
    """

    rows: tuple[EpochRow, ...] = ()
    best_epoch: int = 0
    train_accuracy: float | None = None
    seconds_compile: float = 0.0
    memory_format: str = "auto"
    precision: str = "auto"
    notes: tuple[str, ...] = ()

    @property
    def test_accuracy(self) -> float:
        """The test accuracy at the last epoch."""
        return self.rows[-1].test_accuracy

    def extended(self, row: EpochRow, select: str) -> History:
        """This history with one more epoch."""
        rows = (*self.rows, row)
        scores = {
            "none": lambda row: row.epoch,
            "test": lambda row: row.test_accuracy,
            "validation": lambda row: row.validation_accuracy,
        }
        return replace(self, rows=rows, best_epoch=max(rows, key=scores[select]).epoch)  # the first among equals


class Watch:
    """Callbacks of `train`, which do nothing here; override those needed."""

    def start(self, history: History) -> None:
        """The run begins; `history` has the epochs of its checkpoint, if any."""

    def batch(self, epoch: int, done: int, total: int) -> None:
        """`done` of `total` steps of the epoch."""

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """An epoch has ended, and its checkpoint is written."""

    def note(self, sentence: str) -> None:
        """A sentence for the user; the run goes on."""
