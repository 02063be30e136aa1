"""The state of training, and its form in a checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hw4nets.augment import Augmentation
from hw4nets.checkpoint import newest_checkpoint
from hw4nets.config import Config
from hw4nets.data import Data, hold_out, normalize
from hw4nets.distributed import Group, current_group
from hw4nets.errors import CheckpointError, out_of_memory
from hw4nets.execution import Execution, choose_device, prepare
from hw4nets.history import EpochRow, History, Watch, check_row
from hw4nets.image_set import ImageSet
from hw4nets.initial_weights import take_weights
from hw4nets.network import check_fits, check_start_scale, whiten
from hw4nets.optimizers import Averaging, make_optimizer, why_no_more_epochs
from hw4nets.process import preserved_generators

WHITENING_IMAGES = 5_000  # the largest number of training images that whitening filters are computed from
REPORTED_ONLY = ("chosen_on",)  # settings that do not affect the steps of a run, and may differ when it is resumed
AUTO_SETTINGS = ("precision", "memory_format")  # settings that `auto` may choose: a resumed run keeps them
REQUIRED_TYPES = {  # of the entries of every checkpoint
    **dict.fromkeys(("config", "weights", "trained", "optimizer", "averaging", "scaler"), dict),
    **dict.fromkeys(("generators", "history"), list),
}
OPTIONAL_TYPES = {  # of entries that older checkpoints lack
    "threads": int,
    **dict.fromkeys(("network", "images", "order", "memory_format", "precision", "device"), str),
}
SPLIT_SEED = 0  # every run holds out the same images, so that runs can be compared


class DeviceImages(NamedTuple):
    """An `ImageSet` on the device: pixels uint8 (n, 3, side, side), labels (n,)."""

    pixels: Tensor
    labels: Tensor


@dataclass
class TrainingState:
    """The state of training, and the images, on the device as uint8."""

    model: nn.Module
    config: Config
    execution: Execution
    train: DeviceImages
    test: DeviceImages
    validation: DeviceImages | None
    optimizer: torch.optim.Optimizer
    averaging: Averaging
    scaler: torch.amp.GradScaler
    generator: torch.Generator  # order and augmentation; dropout uses torch's global one
    first_flipped: Tensor
    augmentation: Augmentation
    images: str  # the fingerprint of the data
    order: str  # the hash of the order of its training images
    notes: list[str]  # sentences on the start
    group: Group  # the processes that train together
    forward: Callable[[Tensor], Tensor]  # for training

    @classmethod
    def start(
        cls, model: nn.Module, data: Data, config: Config, checkpoint: Mapping[str, Any] | None = None
    ) -> TrainingState:
        """The state at step 0.

        checkpoint   the checkpoint that will be loaded, if any: its precision and memory format are used
        """
        check_fits(model, data.side, len(data.classes))
        check_start_scale(model, config, data.side)
        augmentation = Augmentation.parse(config.augment, data.side)
        split = hold_out(data, SPLIT_SEED) if config.select == "validation" else None
        training, held_out = (split.train, split.test) if split is not None else (data.train, None)
        group = current_group()
        group.check_batch(min(config.batch_size, len(training.labels)))
        kept = {name: checkpoint[name] for name in AUTO_SETTINGS if checkpoint and name in checkpoint}
        config_here = replace(config, **kept)
        if group.size > 1:
            config_here = group.of_first(lambda: _with_modes(model, config_here, data.side))
        execution = prepare(model, config_here, data.side)
        device = execution.device
        train = _on(training, device)
        if checkpoint is None:
            whiten(model, normalize(_spread(train.pixels, WHITENING_IMAGES), config.input_scale))
        notes = take_weights(model, config.init) if checkpoint is None and config.init else []
        generator = torch.Generator(device).manual_seed(config.seed)
        return cls(
            model=model,
            config=config,
            execution=execution,
            train=train,
            test=_on(data.test, device),
            validation=_on(held_out, device) if held_out is not None else None,
            optimizer=make_optimizer(model, config, execution.precision),
            averaging=Averaging(model, config.average, config.average_decay),
            scaler=torch.amp.GradScaler(device.type, enabled=execution.precision is torch.float16),
            generator=generator,
            first_flipped=torch.rand(len(train.pixels), generator=generator, device=device) < 0.5,
            augmentation=augmentation,
            images=data.sha256,
            order=data.order,
            notes=[*notes, *execution.notes],
            group=group,
            forward=group.forward(model, execution.forward),
        )

    @property
    def batch(self) -> int:
        """The number of images per step."""
        return min(self.config.batch_size, len(self.train.pixels))

    @property
    def steps(self) -> int:
        """The number of steps per epoch."""
        return len(self.train.pixels) // self.batch

    @property
    def total(self) -> int:
        """The number of steps of the run."""
        return self.steps * self.config.epochs

    def checkpoint(self, history: History) -> dict[str, Any]:
        """The content of a checkpoint: `weights` as tested, and all that resuming needs."""
        with self.averaging.applied():
            weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
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
            "order": self.order,
            "memory_format": self.execution.format_name,
            "precision": self.execution.precision_name,
            "threads": torch.get_num_threads(),
            "device": self.execution.device.type,
        }

    def restore(self, state: Mapping[str, Any]) -> History:
        """Restore the state of a checkpoint; returns its history."""
        self.model.load_state_dict(state["trained"] or state["weights"])
        _check_alike(self.optimizer.state_dict()["param_groups"], state["optimizer"]["param_groups"])
        self.optimizer.load_state_dict(state["optimizer"])
        for weight, entries in self.optimizer.state.items():
            _check_optimizer_state(weight, entries)
        self.averaging.load_state_dict(state["averaging"])
        self.scaler.load_state_dict(state["scaler"])
        own, general, *cuda = state["generators"]
        self.generator.set_state(own)
        torch.set_rng_state(general)
        for device_state in cuda:
            torch.cuda.set_rng_state(device_state, self.execution.device)
        history = History()
        for place, values in enumerate(state["history"], start=1):
            check_row(row := EpochRow(**values), place)
            history = history.extended(row, self.config.select)
        return history


def _with_modes(model: nn.Module, config: Config, side: int) -> Config:
    """The settings with the precision and memory format chosen here."""
    execution = prepare(model, replace(config, compile=False), side)
    return replace(config, precision=execution.precision_name, memory_format=execution.format_name)


def matching_checkpoint(
    model: nn.Module, data: Data, config: Config, folder: Path | None
) -> tuple[dict[str, Any] | None, list[str]]:
    """The checkpoint to resume from if there is one, and notes for the user; `CheckpointError` if it is of another run.

    Older checkpoints lack network, images, precision, memory format, threads and device: those are not compared.
    """
    state, notes = newest_checkpoint(folder) if folder is not None else (None, [])
    if state is None:
        return None, notes
    _check_same_run(state, model, data, config, folder)
    before, now = state.get("threads", torch.get_num_threads()), torch.get_num_threads()
    if before != now:
        notes.append(
            f"the run used {before} CPU threads and continues with {now}: rounding differs; "
            f"OMP_NUM_THREADS={before} repeats it"
        )
    return state, notes


def _check_same_run(
    state: Mapping[str, Any], model: nn.Module, data: Data, config: Config, folder: Path | None
) -> None:
    """Raise `CheckpointError` for a checkpoint of other settings, network, images, order or device, or not of a run."""
    types = REQUIRED_TYPES | {name: kind for name, kind in OPTIONAL_TYPES.items() if name in state}
    wrong = [name for name, kind in types.items() if not isinstance(state.get(name), kind)]
    if wrong:
        fault = f"is not of a run: its {wrong[0]} is missing or damaged"
        raise CheckpointError(f"the checkpoint in {folder} {fault}; `overwrite=True` starts over")
    before = Config().values() | state["config"]  # which lacks newer settings
    more = isinstance(before["epochs"], int) and before["epochs"] < config.epochs
    why = why_no_more_epochs(config) if more else ""
    if more and not why:
        before["epochs"] = config.epochs
    compared = {name: value for name, value in config.values().items() if name not in REPORTED_ONLY}
    changed = sorted(name for name, value in compared.items() if before[name] != value)
    if changed:
        what = f"of other settings ({', '.join(changed)}){why and f': {why}'}"
        raise CheckpointError(f"the checkpoint in {folder} is {what}; take the same ones, or give `overwrite=True`")
    for name, now, what in (
        ("network", str(model), "of another network"),
        ("images", data.sha256, "of a run on other images"),
        ("order", data.order, "of a run on these images in another order"),
    ):
        if state.get(name, now) != now:
            raise CheckpointError(f"the checkpoint in {folder} is {what}; take the same, or give `overwrite=True`")
    before, now = state.get("device"), choose_device(config.device).type
    if before not in (None, now):
        raise CheckpointError(
            f"the run in {folder} was on {before} and continues only there: generators of {now} draw other numbers"
        )


def begin(run: TrainingState, state: Mapping[str, Any] | None, notes: list[str], watch: Watch) -> History:
    """Report the notes, restore the run from its checkpoint if there is one, and return the history so far."""
    for sentence in notes:
        watch.note(sentence)
    try:
        history = run.restore(state) if state is not None else History()
    except Exception as error:  # any exception, if it is not such a dict of tensors
        if out_of_memory(error):
            raise
        raise CheckpointError(
            "the checkpoint is of another network, or not of a run; take the same one, or give `overwrite=True`"
        ) from error
    history = replace(
        history, notes=tuple(notes), memory_format=run.execution.format_name, precision=run.execution.precision_name
    )
    watch.start(history)
    return history


def _check_alike(ours: Any, stored: Any) -> None:
    """Raise ValueError for lists and dicts with other keys or other types of values than ours; numbers may differ."""
    if isinstance(ours, dict | list | tuple):
        if type(ours) is not type(stored) or len(ours) != len(stored):
            raise ValueError("other keys")
        if isinstance(ours, dict) and ours.keys() != stored.keys():
            raise ValueError("other keys")
        for name in ours if isinstance(ours, dict) else range(len(ours)):
            _check_alike(ours[name], stored[name])
    elif type(ours) is not type(stored) and not (isinstance(ours, int | float) and isinstance(stored, int | float)):
        raise ValueError("other kinds of values")


def _check_optimizer_state(weight: Tensor, entries: Any) -> None:
    """Raise ValueError unless the optimizer's state of a weight is numbers and tensors of its shape."""
    for value in entries.values():
        shaped = isinstance(value, Tensor) and value.shape in ((), weight.shape)
        if not shaped and not isinstance(value, int | float | None):
            raise ValueError("other kinds of values")


def _spread(images: Tensor, count: int) -> Tensor:
    """At most `count` images, evenly spaced: those of an image folder are sorted by class."""
    places = torch.linspace(0, len(images) - 1, min(count, len(images)), dtype=torch.float64)
    return images[places.round().long().to(images.device)]


def _on(image_set: ImageSet, device: torch.device) -> DeviceImages:
    return DeviceImages(*(torch.from_numpy(array).to(device) for array in image_set))


def _cuda_state(device: torch.device) -> list[Tensor]:
    return [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []


@contextlib.contextmanager
def seeded_generators(config: Config) -> Any:
    """torch's global generators, which dropout uses, seeded for the block and then restored."""
    device = choose_device(config.device)
    with preserved_generators(device):
        seed = config.seed + current_group().rank  # dropout draws other units in each process
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
