"""Epochs as events of TensorBoard, in the folder of the run. Needs the extra `hw4opt[tensorboard]`."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from hw4nets.errors import WriteError
from hw4nets.history import EpochRow, History, Watch

EVENTS_FOLDER = "tensorboard"  # in a run folder


def clear_events(run: Path) -> None:
    """Remove the events of a run."""
    for path in (run / EVENTS_FOLDER).glob("events.out.tfevents.*"):
        path.unlink(missing_ok=True)


class TensorBoardLog(Watch):
    """Writes each epoch at its end, and forwards every call: `with TensorBoardLog(folder, watch) as log: …`.

    Scalars over epochs: loss/train, accuracy/train, accuracy/test, accuracy/validation, images_per_second. A resumed
    run hides events written after its checkpoint.
    """

    def __init__(self, run: Path, inner: Watch) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.inner, self.open_writer = run / EVENTS_FOLDER, inner, SummaryWriter
        self.batch, self.note = inner.batch, inner.note
        self.writer: SummaryWriter | None = None

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()

    def start(self, history: History) -> None:
        """Open the file, for the epochs after those of the checkpoint."""
        try:
            self.writer = self.open_writer(str(self.folder), purge_step=len(history.rows) + 1)
        except OSError as error:
            raise WriteError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        self.inner.start(history)

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """Write the epoch."""
        values = {
            "loss/train": row.train_loss,
            "accuracy/train": row.train_accuracy,
            "accuracy/test": row.test_accuracy,
            "accuracy/validation": row.validation_accuracy,
            "images_per_second": row.images_per_second,
        }
        if self.writer is not None:
            for name, value in values.items():
                if value is not None:
                    self.writer.add_scalar(name, value, row.epoch)
            self.writer.flush()
        self.inner.epoch(row, epochs)
