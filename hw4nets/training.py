"""The training loop: a network, images and a `Config` in, a `History` out."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hw4nets.augment import scaled, training_side
from hw4nets.checkpoint import keep_as_best, save_checkpoint
from hw4nets.config import Config
from hw4nets.data import Data, normalize
from hw4nets.errors import DivergedError
from hw4nets.evaluation import accuracy, outputs
from hw4nets.execution import at_least_float32
from hw4nets.files import make_folder
from hw4nets.history import EpochRow, History, Watch
from hw4nets.optimizers import factor, scale_rates
from hw4nets.process import threads
from hw4nets.run_state import DeviceImages, TrainingState, begin, matching_checkpoint, seeded_generators

FINITE_CHECK_STEPS = 25  # between two checks that the loss is finite: each waits for the device


def train(
    model: nn.Module, data: Data, config: Config, folder: str | Path | None = None, watch: Watch | None = None
) -> History:
    """Train the network in place and return its history.

    On a CPU the same seed, machine and thread count give the same history. Within `joined_processes` the processes of
    torchrun train together, each on its part of every batch: with neither batch normalisation nor dropout, the history
    is that of one process up to rounding. Every process has its own statistics of normalisation, of which those of
    process 0 are kept, and its own draws of dropout. Only process 0 evaluates and writes.

    folder   for a checkpoint each epoch; the run is resumed from its checkpoint, if any; created if absent; None: no
             checkpoints. `hw4nets.runs.open_run(…, overwrite=True)` removes the checkpoints of a run.

    Raises `DivergedError` if loss or weights stop being finite, `CheckpointError` for a checkpoint that is unusable or
    of another run, `WriteError` if none can be written, `InputError` for a device or settings that are not available.
    The last valid checkpoint is kept.
    """
    watch = watch or Watch()
    place = make_folder(folder) if folder is not None else None
    with threads(config.threads), seeded_generators(config):
        state, notes = matching_checkpoint(model, data, config, place)
        run = TrainingState.start(model, data, config, state)
        history = begin(run, state, [*notes, *run.notes], watch)
        if place is not None and run.group.first and history.rows and history.best_epoch == len(history.rows):
            keep_as_best(place)  # a killed process may have written last.pt only
        for epoch in range(len(history.rows), config.epochs):
            fitted = _fit(run, epoch, watch)
            row = run.group.of_first(partial(_score, run, fitted))
            history = history.extended(row, config.select)
            if place is not None and run.group.first:
                save_checkpoint(place, run.checkpoint(history), best=history.best_epoch == row.epoch)
            watch.epoch(row, config.epochs)
        run.averaging.adopt()
        final = run.group.of_first(lambda: _accuracy_on(run, run.train))
        return replace(history, train_accuracy=final, seconds_compile=run.execution.seconds)


# ---- one epoch -------------------------------------------------------------------------------------------------------


def _fit(run: TrainingState, epoch: int, watch: Watch) -> EpochRow:
    """One pass over the training images: loss and accuracy as they were before each step."""
    start = time.perf_counter()
    images, labels = run.train
    order = torch.randperm(len(images), generator=run.generator, device=images.device)
    batches = order[: run.steps * run.batch].view(run.steps, run.batch)
    losses = torch.zeros(run.steps, device=images.device)
    correct = torch.zeros((), dtype=torch.long, device=images.device)
    run.model.train()
    for step, batch in enumerate(batches):
        scale_rates(run.optimizer, factor(run.config, epoch * run.steps + step, run.total))
        drawn = _augmented(run, images[batch], batch, epoch)  # the same in every process
        losses[step], right = _step(run, run.group.part(drawn), run.group.part(labels[batch]))
        correct += right
        run.averaging.step(epoch * run.steps + step + 1, run.total)
        if step % FINITE_CHECK_STEPS == FINITE_CHECK_STEPS - 1 or step == run.steps - 1:
            _check_finite(losses[: step + 1], epoch, run)
            watch.batch(epoch + 1, step + 1, run.steps)
    run.execution.wait()
    seconds = time.perf_counter() - start
    seen = run.steps * run.batch
    loss, right = float(run.group.sum(losses).mean()) / run.group.size, int(run.group.sum(correct))
    return EpochRow(epoch + 1, loss, right / seen, float("nan"), seen / seconds, seconds, 0.0)


def _step(run: TrainingState, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the optimizer; returns the loss, and the number of correct images of the batch."""
    with run.execution.autocast():
        out = run.forward(images)
    loss = F.cross_entropy(at_least_float32(out), labels, label_smoothing=run.config.label_smoothing)
    run.optimizer.zero_grad(set_to_none=True)
    run.scaler.scale(loss).backward()
    run.scaler.step(run.optimizer)
    run.scaler.update()
    return loss.detach(), (out.detach().argmax(1) == labels).sum()


def _augmented(run: TrainingState, images: Tensor, places: Tensor, epoch: int) -> Tensor:
    images = run.augmentation.pixels(images, run.generator, run.first_flipped[places], epoch)
    values = run.augmentation.values(normalize(images, run.config.input_scale), run.generator)
    side = training_side(values.shape[-1], run.config, epoch)
    return run.execution.in_memory_format(scaled(values, side))


def _check_finite(losses: Tensor, epoch: int, run: TrainingState) -> None:
    if not bool(losses[-1].isfinite()):
        raise _diverged(run, epoch * run.steps + int((~losses.isfinite()).nonzero()[0]))


def _check_weights(run: TrainingState, epoch: int, *more: Tensor) -> None:
    """Check weights and outputs, since the loss, computed before each step, misses overflow in an epoch's last step."""
    weights = (tensor for tensor in run.model.state_dict().values() if tensor.is_floating_point())
    if not all(bool(tensor.isfinite().all()) for tensor in (*more, *weights)):
        raise _diverged(run, epoch * run.steps - 1)


def _diverged(run: TrainingState, step: int) -> DivergedError:
    return DivergedError(step + 1, step // run.steps + 1, run.config.lr * factor(run.config, step, run.total))


def _score(run: TrainingState, row: EpochRow) -> EpochRow:
    """The epoch with its test accuracy, and that of the held-out images if there are any."""
    start = time.perf_counter()
    _check_weights(run, row.epoch)  # their average may still be finite
    with run.averaging.applied():
        out = outputs(run.model, run.test.pixels, run.execution, run.config.input_scale)
        _check_weights(run, row.epoch, out)
        test = accuracy(out, run.test.labels)
        validation = _accuracy_on(run, run.validation) if run.validation is not None else None
    return replace(row, test_accuracy=test, validation_accuracy=validation, seconds_eval=time.perf_counter() - start)


def _accuracy_on(run: TrainingState, images: DeviceImages) -> float:
    return accuracy(outputs(run.model, images.pixels, run.execution, run.config.input_scale), images.labels)
