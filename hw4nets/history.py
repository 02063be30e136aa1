"""What a run was, epoch by epoch, and who listens to it while it goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class EpochRow:
    """One epoch. Accuracies are fractions; `train_accuracy` is counted while training, before each step; seconds are wall time."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    images_per_second: float
    seconds_train: float
    seconds_eval: float
    validation_accuracy: float | None = None


def check_row(row: EpochRow, place: int) -> None:
    """Raise ValueError for what no epoch of that place, counted from 1, can have been."""
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
            raise ValueError(f"epoch {place} has no {name} that can be")


@dataclass(frozen=True)
class History:
    """What a run was: its epochs, the best of them, and a full pass over the training images at its end.

    best_epoch              1-based; the last where nothing selects (`Config.select`)
    train_accuracy          of the final weights on all training images, unaugmented
    seconds_compile         apart from training
    memory_format           contiguous | channels_last, the one trained in
    precision               float32 | bfloat16 | float16, that of the matrix products in training
    notes                   sentences on what could not be had
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
        """At the last epoch."""
        return self.rows[-1].test_accuracy

    def extended(self, row: EpochRow, select: str) -> History:
        """With one more epoch."""
        rows = (*self.rows, row)
        scores = {
            "none": lambda one: one.epoch,
            "test": lambda one: one.test_accuracy,
            "validation": lambda one: one.validation_accuracy,
        }
        return replace(self, rows=rows, best_epoch=max(rows, key=scores[select]).epoch)  # the first of equals


class Watch:
    """What a caller may want to hear; this one listens to nothing."""

    def start(self, history: History) -> None:
        """The run begins, after the epochs that its checkpoint holds."""

    def batch(self, epoch: int, done: int, total: int) -> None:
        """`done` of `total` steps of the epoch."""

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """An epoch has ended, and its checkpoint stands."""

    def note(self, sentence: str) -> None:
        """Something to tell, while the run goes on."""
