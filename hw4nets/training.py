"""The training loop: a network, images and a `Config` in, a `History` out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hw4nets.augment import Augmentation
from hw4nets.checkpoint import newest_checkpoint, save_checkpoint
from hw4nets.config import Config
from hw4nets.data import Data, hold_out, normalize
from hw4nets.errors import CheckpointError, DivergedError
from hw4nets.evaluation import accuracy, outputs
from hw4nets.execution import Execution, prepare, threads
from hw4nets.models import whiten
from hw4nets.optimizers import Averaging, factor, make_optimizer, set_rate
from hw4nets.reading import Part

CHECK = 25  # steps between two looks at whether the loss is still finite: each look waits for the device
WHITENED = 5_000  # training images that whitening filters are computed from
TOLD = ("chosen_on",)  # settings that reports tell and that change no step: a run goes on without regard to them
CHOSEN = ("precision", "memory_format")  # settings that `auto` may choose: a run that goes on keeps them
SPLIT_SEED = 0  # every run holds out the same images, so that runs can be compared


@dataclass(frozen=True)
class Row:
    """One epoch. Accuracies are fractions; `train_accuracy` is counted while training, before each step; seconds are wall time."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    images_per_second: float
    seconds_train: float
    seconds_eval: float
    validation_accuracy: float | None = None


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

    rows: tuple[Row, ...] = ()
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

    def extended(self, row: Row, select: str) -> History:
        """With one more epoch."""
        rows = (*self.rows, row)
        scores = {"none": lambda one: one.epoch, "test": lambda one: one.test_accuracy, "validation": lambda one: one.validation_accuracy}
        return replace(self, rows=rows, best_epoch=max(rows, key=scores[select]).epoch)  # the first of equals


class Watch:
    """What a caller may want to hear; this one listens to nothing."""

    def start(self, history: History) -> None:
        """The run begins, after the epochs that its checkpoint holds."""

    def batch(self, epoch: int, done: int, total: int) -> None:
        """`done` of `total` steps of the epoch."""

    def epoch(self, row: Row, epochs: int) -> None:
        """An epoch has ended, and its checkpoint stands."""

    def note(self, sentence: str) -> None:
        """Something to tell, while the run goes on."""


def train(model: nn.Module, data: Data, config: Config, folder: Path | None = None, watch: Watch | None = None) -> History:
    """Train the network in place and give its history; the same seed, machine and thread count give the same history.

    folder   where checkpoints are written each epoch, and from which the run goes on if it holds one; None: nowhere
    Raises `DivergedError` when loss or weights stop being finite; the checkpoint of the epoch before stands.
    """
    watch = watch or Watch()
    with threads(config.threads), _own_generators(config.seed):
        state, notes = _kept(model, data, config, folder)
        run = Run.start(model, data, config, state)
        history = _begun(run, state, [*notes, *run.execution.notes], watch)
        for epoch in range(len(history.rows), config.epochs):
            row = _score(run, _fit(run, epoch, watch))
            history = history.extended(row, config.select)
            if folder is not None:
                save_checkpoint(folder, run.state(history), best=history.best_epoch == row.epoch)
            watch.epoch(row, config.epochs)
        run.averaging.adopt()
        return replace(history, train_accuracy=_tested(run, run.train), seconds_compile=run.execution.seconds)


# ---- one epoch ---------------------------------------------------------------------------------------------------------


def _fit(run: Run, epoch: int, watch: Watch) -> Row:
    """One pass over the training images: loss and accuracy as they were before each step."""
    start = time.perf_counter()
    images, labels = run.train
    order = torch.randperm(len(images), generator=run.generator, device=images.device)
    batches = order[: run.steps * run.batch].view(run.steps, run.batch)
    losses = torch.zeros(run.steps, device=images.device)
    correct = torch.zeros((), dtype=torch.long, device=images.device)
    run.model.train()
    for step, batch in enumerate(batches):
        set_rate(run.optimizer, factor(run.config, epoch * run.steps + step, run.total))
        losses[step], right = _step(run, _augmented(run, images[batch], batch, epoch), labels[batch])
        correct += right
        run.averaging.step(epoch * run.steps + step + 1, run.total)
        if step % CHECK == CHECK - 1 or step == run.steps - 1:
            _check_finite(losses[: step + 1], epoch, run)
            watch.batch(epoch + 1, step + 1, run.steps)
    run.execution.wait()
    seconds = time.perf_counter() - start
    seen = run.steps * run.batch
    return Row(epoch + 1, float(losses.mean()), int(correct) / seen, float("nan"), seen / seconds, seconds, 0.0)


def _step(run: Run, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the optimizer; the loss, and how many of the batch were right."""
    with run.execution.autocast():
        out = run.execution.forward(images)
    loss = F.cross_entropy(out.float(), labels, label_smoothing=run.config.label_smoothing)
    run.optimizer.zero_grad(set_to_none=True)
    run.scaler.scale(loss).backward()
    run.scaler.step(run.optimizer)
    run.scaler.update()
    return loss.detach(), (out.detach().argmax(1) == labels).sum()


def _augmented(run: Run, images: Tensor, places: Tensor, epoch: int) -> Tensor:
    images = run.augmentation.pixels(images, run.generator, run.first_flipped[places], epoch)
    values = run.augmentation.values(normalize(images, run.config.input_scale), run.generator)
    return run.execution.laid_out(values)


def _check_finite(losses: Tensor, epoch: int, run: Run) -> None:
    if not bool(losses[-1].isfinite()):
        raise _diverged(run, epoch * run.steps + int((~losses.isfinite()).nonzero()[0]))


def _check_tested(run: Run, epoch: int, out: Tensor) -> None:
    """The loss is seen before each step: what the last step of an epoch broke shows in weights and outputs alone."""
    weights = (one for one in run.model.state_dict().values() if one.is_floating_point())
    if not all(bool(one.isfinite().all()) for one in (out, *weights)):
        raise _diverged(run, epoch * run.steps - 1)


def _diverged(run: Run, step: int) -> DivergedError:
    return DivergedError(step + 1, step // run.steps + 1, run.config.lr * factor(run.config, step, run.total))


def _score(run: Run, row: Row) -> Row:
    """The epoch with its test accuracy, and that of the held-out images if there are any."""
    start = time.perf_counter()
    with run.averaging.applied():
        out = outputs(run.model, run.test[0], run.execution, run.config.input_scale)
        _check_tested(run, row.epoch, out)
        test = accuracy(out, run.test[1])
        validation = _tested(run, run.validation) if run.validation is not None else None
    return replace(row, test_accuracy=test, validation_accuracy=validation, seconds_eval=time.perf_counter() - start)


def _tested(run: Run, part: tuple[Tensor, Tensor]) -> float:
    return accuracy(outputs(run.model, part[0], run.execution, run.config.input_scale), part[1])


# ---- what a run holds --------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """Everything that moves while training; images lie on the device as uint8."""

    model: nn.Module
    config: Config
    execution: Execution
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor] | None
    optimizer: torch.optim.Optimizer
    averaging: Averaging
    scaler: torch.amp.GradScaler  # type: ignore[name-defined]
    generator: torch.Generator  # order and augmentation; dropout draws from torch's own
    first_flipped: Tensor
    augmentation: Augmentation
    images: str  # the fingerprint of the data

    @classmethod
    def start(cls, model: nn.Module, data: Data, config: Config, kept: Mapping[str, Any] | None = None) -> Run:
        """At step 0; `kept` is the checkpoint that will be loaded, whose precision and memory format are taken."""
        augmentation = Augmentation.parse(config.augment)
        split = hold_out(data, SPLIT_SEED) if config.select == "validation" else None
        train_part, held = (split.train, split.test) if split is not None else (data.train, None)
        execution = prepare(model, replace(config, **{name: kept[name] for name in CHOSEN if kept and name in kept}))
        device = execution.device
        train = _on(train_part, device)
        if kept is None:
            whiten(model, normalize(train[0][:WHITENED], config.input_scale))
        generator = torch.Generator(device).manual_seed(config.seed)
        return cls(
            model,
            config,
            execution,
            train,
            _on(data.test, device),
            _on(held, device) if held is not None else None,
            make_optimizer(model, config),
            Averaging(model, config.average, config.average_decay),
            torch.amp.GradScaler(device.type, enabled=execution.precision is torch.float16),  # type: ignore[attr-defined]
            generator,
            torch.rand(len(train[0]), generator=generator, device=device) < 0.5,
            augmentation,
            data.sha256,
        )

    @property
    def batch(self) -> int:
        """Images of a step."""
        return min(self.config.batch_size, len(self.train[0]))

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.train[0]) // self.batch

    @property
    def total(self) -> int:
        """Steps of the run."""
        return self.steps * self.config.epochs

    def state(self, history: History) -> dict[str, Any]:
        """What a checkpoint holds: `weights` as tested, and everything that going on needs."""
        with self.averaging.applied():
            weights = {name: one.detach().clone() for name, one in self.model.state_dict().items()}
        return {
            "config": self.config.values(),
            "weights": weights,
            "trained": self.model.state_dict() if self.averaging.kind == "ema" else {},
            "optimizer": self.optimizer.state_dict(),
            "averaging": self.averaging.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generators": [self.generator.get_state(), torch.get_rng_state(), *_cuda_state(self.execution.device)],
            "history": [asdict(row) for row in history.rows],
            "network": str(self.model),
            "images": self.images,
            "memory_format": self.execution.format_name,
            "precision": self.execution.precision_name,
            "threads": torch.get_num_threads(),
        }

    def load(self, state: Mapping[str, Any]) -> History:
        """Go on from there."""
        self.model.load_state_dict(state["trained"] or state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaging.load_state_dict(state["averaging"])
        self.scaler.load_state_dict(state["scaler"])
        own, general, *cuda = state["generators"]
        self.generator.set_state(own)
        torch.set_rng_state(general)
        for one in cuda:
            torch.cuda.set_rng_state(one, self.execution.device)
        history = History()
        for row in state["history"]:
            history = history.extended(Row(**row), self.config.select)
        return history


def _kept(model: nn.Module, data: Data, config: Config, folder: Path | None) -> tuple[dict[str, Any] | None, list[str]]:
    """The checkpoint to go on from if there is one, and sentences on it; `CheckpointError` if it is of another run.

    Older checkpoints do not say network, images, precision, memory format and threads; those are taken on trust.
    """
    state, notes = newest_checkpoint(folder) if folder is not None else (None, [])
    if state is None:
        return None, notes
    changed = sorted(name for name, value in config.values().items() if name not in TOLD and state["config"].get(name) != value)
    if changed:
        raise CheckpointError(f"the checkpoint in {folder} is of other settings ({', '.join(changed)}); take the same ones, or --overwrite")
    for name, now, what in (("network", str(model), "of another network"), ("images", data.sha256, "of a run on other images")):
        if state.get(name, now) != now:
            raise CheckpointError(f"the checkpoint in {folder} is {what}; take the same, or --overwrite")
    before, now = state.get("threads", torch.get_num_threads()), torch.get_num_threads()
    if before != now:
        notes.append(f"the run used {before} CPU threads and goes on with {now}: rounding differs; OMP_NUM_THREADS={before} repeats it")
    return state, notes


def _begun(run: Run, state: Mapping[str, Any] | None, notes: list[str], watch: Watch) -> History:
    """The history so far, and the run where it stopped; sentences on the way."""
    for sentence in notes:
        watch.note(sentence)
    try:
        history = run.load(state) if state is not None else History()
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError("the checkpoint is of another network; take the same one, or --overwrite") from error
    history = replace(history, notes=tuple(notes), memory_format=run.execution.format_name, precision=run.execution.precision_name)
    watch.start(history)
    return history


def _on(part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(part.pixels).to(device), torch.from_numpy(part.labels).to(device)


def _cuda_state(device: torch.device) -> list[Tensor]:
    return [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []


@contextlib.contextmanager
def _own_generators(seed: int) -> Any:
    """torch's global generators, which dropout uses, seeded for the run and given back as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
