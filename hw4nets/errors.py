"""One tree of exceptions. A message is a sentence that says what the user can do, Python parameters in backticks."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NO_MEMORY_MESSAGES = ("can't allocate memory", "out of memory")  # in torch's RuntimeError, on a CPU and on a GPU


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: numpy raises MemoryError, torch a RuntimeError with such a message."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error) for message in NO_MEMORY_MESSAGES)
    )


class NetsError(Exception):
    """Root of every error this package raises on purpose."""


class InputError(NetsError, ValueError):
    """Data, an option or a parameter is wrong; the message names it and says what is accepted."""


class UnknownNameError(InputError):
    """A network, an option or a choice of that name does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        super().__init__(f"no {kind} {name!r}{hint}; there are {', '.join(known)}")


class DataError(InputError):
    """Images could not be loaded: no network, an incomplete download, a wrong checksum, a missing class, a damaged
    file."""


class ImageSizeError(DataError):
    """An image has another size than required."""


class CheckpointError(NetsError):
    """A checkpoint is damaged, of another program, or does not fit the network."""


class DamagedError(CheckpointError):
    """A checkpoint's file has changed since it was written: the one before may still be whole."""


class WriteError(NetsError):
    """A file of the run could not be written, for example on a full disk. The file that it would replace is
    unchanged."""


class ExportError(NetsError):
    """An exported network gives other outputs than the network itself."""


class DivergedError(NetsError):
    """The loss is no longer finite, at `step` with learning rate `lr`. The checkpoint of the epoch before is kept."""

    def __init__(self, step: int, epoch: int, lr: float) -> None:
        self.step, self.epoch, self.lr = step, epoch, lr
        super().__init__(
            f"the loss stopped being finite at step {step} (epoch {epoch}), learning rate {lr:.4g}; take a smaller `lr`"
        )
