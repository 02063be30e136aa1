"""A run folder: config.toml, history.csv, summary.json, figures and checkpoints, each written atomically."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from hw4nets.checkpoint import BEFORE_FILE, BEST_FILE, LAST_FILE, load_checkpoint
from hw4nets.data import Data
from hw4nets.errors import CheckpointError, InputError, out_of_memory
from hw4nets.evaluation import Evaluation, evaluate
from hw4nets.execution import Execution, choose_device, prepare
from hw4nets.files import LOCK_FILE, leftover_files, locked, make_folder, read_text, write_text, write_with
from hw4nets.history import EpochRow, History, Watch, check_row
from hw4nets.image_set import CLASSES
from hw4nets.network import build, flops_per_image, parameter_count
from hw4nets.optimizers import why_no_more_epochs
from hw4nets.plotting import plot_confusion, plot_curves, plot_worst
from hw4nets.process import threads
from hw4nets.recipes import Recipe, read_recipe, read_toml
from hw4nets.run_state import AUTO_SETTINGS, REPORTED_ONLY
from hw4nets.tensorboard_log import clear_events
from hw4nets.training import train

CONFIG, HISTORY, SUMMARY = "config.toml", "history.csv", "summary.json"
CURVES, CONFUSION, WORST = "curves.png", "confusion.png", "worst.png"
SUMMARY_TYPES = {  # of the entries of a summary that reports use
    **dict.fromkeys(("test_accuracy", "train_accuracy", "seconds_train"), (float, int)),
    **dict.fromkeys(("parameters", "epochs"), (int,)),
    "selected_on": (str,),
}
RUN_FILES = (CONFIG, HISTORY, SUMMARY, CURVES, CONFUSION, WORST, LAST_FILE, BEST_FILE, BEFORE_FILE)


@dataclass(frozen=True)
class Outcome:
    """A finished run; `summary` is the content of summary.json, `seconds_figures` the time for drawing figures."""

    summary: dict[str, Any]
    history: History
    evaluation: Evaluation
    model: nn.Module
    seconds_figures: float


def open_run(folder: str | Path, recipe: Recipe, data: Data, resume: bool = False, overwrite: bool = False) -> Path:
    """The run's folder with its config.toml; raises `InputError` for one with files, unless resumed or overwritten."""
    check_images(recipe, data)
    path = make_folder(folder)
    with locked(path):
        leftovers = leftover_files(path, RUN_FILES)
        present = set(path.iterdir()) - {path / LOCK_FILE, *leftovers}
        if present and not resume and not overwrite:
            ways = "`resume=True` to go on, `overwrite=True` to start over, or another `folder`"
            raise InputError(f"{folder} holds files already; give {ways}")
        if present and not _holds_run(path):
            raise InputError(f"{folder} holds files that are not of a run; give another `folder`")
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        if overwrite:
            clear_run(path)
        if resume and (path / CONFIG).exists():
            _check_same(path, recipe, data)
        write_text(path / CONFIG, recipe.toml(**data.about))
    return path


def check_images(recipe: Recipe, data: Data) -> None:
    """Raise `InputError` if the network is for images of another size, or another number of classes."""
    shape = recipe.shape
    if (shape.image_side, shape.class_count) != (data.side, len(data.classes)):
        network = f"the network is for {shape.class_count} classes of {shape.image_side}×{shape.image_side}"
        raise InputError(f"{network}, and {data.title} has {len(data.classes)} of {data.side}×{data.side}")


def _holds_run(path: Path) -> bool:
    """Whether the folder has a config.toml or a checkpoint of hw4nets, since other programs use these names, too."""
    with suppress(InputError):
        if {"net", "data_sha256"} <= read_toml(path / CONFIG).keys():
            return True
    for name in (LAST_FILE, BEST_FILE, BEFORE_FILE):
        with suppress(CheckpointError):
            load_checkpoint(path / name)
            return True
    return False


def clear_run(path: Path) -> None:
    """Remove the files of a run, and no others."""
    for name in RUN_FILES:
        (path / name).unlink(missing_ok=True)
    clear_events(path)


def run(folder: Path, recipe: Recipe, data: Data, watch: Watch | None = None) -> Outcome:
    """Train in an opened folder, resuming from its checkpoint if it has one, and write all files of a run.

    Raises `InputError` if another process works in the folder.
    """
    with locked(folder):
        return _run(folder, recipe, data, watch)


def _run(folder: Path, recipe: Recipe, data: Data, watch: Watch | None) -> Outcome:
    model = build(recipe.shape, recipe.config.seed)
    history = train(model, data, recipe.config, folder, _Recording(folder, watch or Watch()))
    _write_history(folder, history.rows)
    with threads(recipe.config.threads):
        trained = {"compile": False, "precision": history.precision, "memory_format": history.memory_format}
        plain = prepare(model, recipe.changed(trained).config, data.side)
        evaluation = evaluate(model, data, plain, recipe.config.input_scale)
    summary = _summary(recipe, data, model, history, evaluation, plain)
    start = time.perf_counter()
    _draw(folder, recipe, data, history, evaluation)
    seconds = time.perf_counter() - start
    write_text(folder / SUMMARY, json.dumps(summary, indent=1) + "\n")
    return Outcome(summary, history, evaluation, model, seconds)


def finished(folder: Path, recipe: Recipe, data: Data) -> dict[str, Any] | None:
    """The summary of a finished run of this recipe on these images, or None."""
    if not (folder / SUMMARY).exists() or not (folder / CONFIG).exists():
        return None
    _check_same(folder, recipe, data)
    try:
        summary = json.loads(read_text(folder / SUMMARY))
        whole = all(type(summary[name]) in kinds for name, kinds in SUMMARY_TYPES.items())
        return summary if whole and summary["epochs"] == recipe.config.epochs else None
    except (ValueError, RecursionError, LookupError, TypeError):
        return None  # damaged: a resumed run writes it again


def read_history(folder: Path) -> tuple[EpochRow, ...]:
    """The rows of history.csv."""
    try:
        lines = csv.DictReader(io.StringIO(read_text(folder / HISTORY), newline=""))
        rows = tuple(_row(line, place) for place, line in enumerate(lines, start=1))
    except FileNotFoundError as error:
        raise InputError(f"{folder} is not a run with a finished epoch: it has no {HISTORY}") from error
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{folder / HISTORY} cannot be read: {error}") from error
    if not rows:
        raise InputError(f"{folder} is not a run with a finished epoch: its {HISTORY} has no row")
    return rows


def read_run(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a run folder, and the content of its config.toml; raises `InputError` if it is not a run."""
    if not (folder / CONFIG).exists():
        raise InputError(f"{folder} is not a run: it has no {CONFIG}; give the folder that train wrote")
    return read_recipe(folder / CONFIG), read_toml(folder / CONFIG)


def run_classes(kept: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes of a run, from the content of its config.toml; older ones are of CIFAR-10."""
    return tuple(kept.get("classes", CLASSES))


def load_model(path: Path, recipe: Recipe, device: str = "auto") -> tuple[nn.Module, Execution]:
    """The network of a checkpoint with the weights that were tested, in the precision of its training, uncompiled.

    A network that was trained in float16 on a GPU runs in float32 on a CPU.
    """
    state, model = load_checkpoint(path), build(recipe.shape, 0)
    try:
        model.load_state_dict(state["weights"])
    except Exception as error:  # any exception, if it is not a dict of tensors of these shapes
        if out_of_memory(error):
            raise
        raise CheckpointError(f"{path} does not fit the network {recipe.shape.name} of {CONFIG}") from error
    trained = {name: state[name] for name in AUTO_SETTINGS if name in state}
    if choose_device(device).type == "cpu" and trained.get("precision") == "float16":
        trained["precision"] = "float32"
    config = recipe.changed(trained | {"compile": False, "device": device}).config
    return model, prepare(model, config, recipe.shape.image_side)


def _check_same(folder: Path, recipe: Recipe, data: Data) -> None:
    stored = read_recipe(folder / CONFIG)
    if stored.shape.name != recipe.shape.name:
        names = f"{stored.shape.name}, not {recipe.shape.name}"
        raise InputError(f"{folder} is a run of {names}; give another `folder`, or `overwrite=True`")
    old, new = stored.options, recipe.options
    more = old["epochs"] < new["epochs"]
    why = why_no_more_epochs(recipe.config) if more else ""
    if more and not why:
        old["epochs"] = new["epochs"]
    changed = [
        f"{name} {old[name]}, not {new[name]}" for name in new if old[name] != new[name] and name not in REPORTED_ONLY
    ]
    if changed:
        advice = "leave them out to go on, or give `overwrite=True`"
        told = f"({'; '.join(changed)}){why and f': {why}'}"
        raise InputError(f"{folder} is a run with other settings {told}; {advice}")
    if read_toml(folder / CONFIG).get("data_sha256") != data.sha256:
        raise InputError(
            f"{folder} is a run on other images than {data.source}; give the same `source`, or `overwrite=True`"
        )


class _Recording(Watch):
    """Writes history.csv after each epoch, and forwards every call."""

    def __init__(self, folder: Path, inner: Watch) -> None:
        self.folder, self.inner = folder, inner
        self.rows: tuple[EpochRow, ...] = ()
        self.batch, self.note = inner.batch, inner.note

    def start(self, history: History) -> None:
        """Write the epochs of the checkpoint: a killed process may have left others."""
        self.rows = history.rows
        if self.rows:
            _write_history(self.folder, self.rows)
        self.inner.start(history)

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """Append one line."""
        self.rows = (*self.rows, row)
        _write_history(self.folder, self.rows)
        self.inner.epoch(row, epochs)


def _write_history(folder: Path, rows: Sequence[EpochRow]) -> None:
    held_out = any(row.validation_accuracy is not None for row in rows)
    names = [item.name for item in fields(EpochRow) if held_out or item.name != "validation_accuracy"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    write_text(folder / HISTORY, text.getvalue())


def _row(line: dict[str, str], place: int) -> EpochRow:
    row = EpochRow(int(line.pop("epoch")), **{name: float(value) for name, value in line.items()})
    check_row(row, place)
    return row


def _summary(
    recipe: Recipe, data: Data, model: nn.Module, history: History, evaluation: Evaluation, execution: Execution
) -> dict[str, Any]:
    train_seconds = sum(row.seconds_train for row in history.rows)
    images = sum(row.images_per_second * row.seconds_train for row in history.rows)
    cuda = execution.device.type == "cuda"
    return {
        "net": recipe.shape.name,
        "parameters": parameter_count(model),
        "seed": recipe.config.seed,
        "epochs": len(history.rows),
        "test_accuracy": history.test_accuracy,
        "test_accuracy_flip": evaluation.accuracy_flip,
        "train_accuracy": history.train_accuracy,
        "best_epoch": history.best_epoch,
        "seconds_train": train_seconds,
        "seconds_eval": sum(row.seconds_eval for row in history.rows),
        "seconds_compile": history.seconds_compile,
        "images_per_second": images / train_seconds,
        "device": torch.cuda.get_device_name(execution.device) if cuda else "cpu",
        "threads": recipe.config.threads or torch.get_num_threads(),
        "precision": execution.precision_name,
        "memory_format": execution.format_name,
        "torch": torch.__version__,
        "pixels": data.pixels,
        "data_sha256": data.sha256,
        "selected_on": recipe.config.selected_on,
        "image_side": data.side,
        "classes": len(data.classes),
        "flops_per_image": flops_per_image(model, data.side),
        "notes": [*data.notes, *history.notes],
    }


def _draw(folder: Path, recipe: Recipe, data: Data, history: History, evaluation: Evaluation) -> None:
    title = f"{recipe.shape.name}, {evaluation.accuracy:.1%} of the test images right, pixels {data.pixels}"
    figures = {
        CURVES: plot_curves(history.rows, f"{recipe.shape.name}, pixels {data.pixels}"),
        CONFUSION: plot_confusion(evaluation, data.classes, title),
        WORST: plot_worst(evaluation, data, title),
    }
    for name, figure in figures.items():
        save_figure(folder / name, figure)


def save_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure atomically, in the format of the name's ending."""
    kind = Path(path).suffix.lower().lstrip(".")
    write_with(path, lambda temporary: figure.savefig(temporary, format=kind, dpi=150))
