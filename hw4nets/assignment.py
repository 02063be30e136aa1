"""Part 3 of the assignment: four networks with the chosen settings and with the assignment's own, in one report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw4nets.config import Config
from hw4nets.data import Data
from hw4nets.errors import DivergedError, InputError
from hw4nets.files import locked, make_folder, write_text
from hw4nets.history import Watch
from hw4nets.image_set import CLASSES, IMAGE_SIDE
from hw4nets.plotting import plot_pair
from hw4nets.recipes import Recipe, preset
from hw4nets.runs import clear_run, finished, open_run, read_history, run, save_figure

PRESETS = ("tuned", "assignment")
RUN_SETTINGS = ("seed", "select", "chosen_on", "device", "threads", "precision", "memory_format", "compile", "init")
NOT_USED = "–"  # in a report: a setting without effect


@dataclass(frozen=True)
class AssignmentPart:
    """A part of the assignment's problem 3, by its letter."""

    letter: str
    net: str
    title: str
    formula: str


NETWORK_PARTS = (
    AssignmentPart("3a", "logistic", "no hidden layer", "x_out = W vec(x) + b"),
    AssignmentPart("3b", "hidden", "one hidden layer", "x_out = W2 relu(W1 vec(x) + b1) + b2"),
    AssignmentPart(
        "3c", "conv", "one convolution with max-pool", "x_out = W2 vec(MaxPool(relu(Conv2d(x, W1) + b1))) + b2"
    ),
    AssignmentPart(
        "3d", "base", "the tutorial's network, tuned", "two convolutions with pooling, three fully connected layers"
    ),
)

Progress = Callable[[str], None]


def reproduce(
    folder: Path,
    data: Data,
    options: Mapping[str, Any],
    own_epochs: int | None = None,
    watch: Watch | None = None,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Train the missing runs, and write report.md, results.json and one figure per network; returns the results.

    options      changes to every recipe, such as {"epochs": 1} for a quick look
    own_epochs   epochs of the assignment's own settings: with batches of 4 they take hours
    progress     called with a line at the start of each run

    Finished runs are kept and stopped ones resumed, so that the same call continues. If the loss of a run stops being
    finite, the report says so, and the other runs continue. Raises `InputError` if another process works in the folder,
    and for images other than of ten classes of 32×32 pixels.
    """
    if (data.side, len(data.classes)) != (IMAGE_SIDE, len(CLASSES)):
        own = f"{len(CLASSES)} classes of {IMAGE_SIDE}×{IMAGE_SIDE} pixels"
        theirs = f"{len(data.classes)} of {data.side}×{data.side}"
        raise InputError(
            f"the assignment's networks have {own}, and {data.title} has {theirs}; train networks on it one by one"
        )
    parts: dict[str, Any] = {}
    results = {"pixels": data.pixels, "data_sha256": data.sha256, "source": data.title, "parts": parts}
    with locked(make_folder(folder)):
        for part in NETWORK_PARTS:
            outcomes = {}
            for name in PRESETS:
                progress(f"{part.letter} {part.net}, {name}")
                changes = {**options, "epochs": own_epochs} if name == "assignment" and own_epochs else options
                own = preset(name, part.net)
                outcomes[name] = _outcome(_run_folder(folder, part, name), own.changed(changes), data, watch)
                outcomes[name]["preset_epochs"] = own.config.epochs
            parts[part.letter] = {"net": part.net, "title": part.title, "formula": part.formula, **outcomes}
            if not diverged(parts[part.letter]):
                _draw(folder, part, data.pixels)
            write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
            write_text(folder / "report.md", _report(results))
    return results


def diverged(part: Mapping[str, Any]) -> dict[str, str]:
    """The settings in a part of the results whose loss stopped being finite, with the message."""
    return {name: part[name]["diverged"] for name in PRESETS if "diverged" in part[name]}


def is_written(name: str) -> bool:
    """Whether `reproduce` writes a file of that name below its folder."""
    return name in (
        "report.md",
        "results.json",
        *(f"{part.letter}_{part.net}.png" for part in NETWORK_PARTS),
    ) or name.startswith("runs/")


def start_over(folder: Path) -> None:
    """Remove the runs in the folder, finished ones too; raises `InputError` if another process works in it."""
    with locked(make_folder(folder)):
        for part in NETWORK_PARTS:
            for name in PRESETS:
                clear_run(_run_folder(folder, part, name))


def _run_folder(folder: Path, part: AssignmentPart, name: str) -> Path:
    return folder / "runs" / f"{part.letter}_{part.net}_{name}"


def _outcome(folder: Path, recipe: Recipe, data: Data, watch: Watch | None) -> dict[str, Any]:
    settings = {"shape": recipe.shape.values(), "train": recipe.config.values(), "folder": folder.name}
    try:
        summary = (
            finished(folder, recipe, data)
            or run(open_run(folder, recipe, data, resume=True), recipe, data, watch).summary
        )
    except DivergedError as error:
        return {"diverged": str(error), **settings}
    return {"summary": summary, **settings}


def _draw(folder: Path, part: AssignmentPart, pixels: str) -> None:
    tuned, own = (read_history(_run_folder(folder, part, name)) for name in PRESETS)
    figure = plot_pair(tuned, own, f"{part.letter}  {part.net}: {part.title}; pixels {pixels}")
    save_figure(folder / f"{part.letter}_{part.net}.png", figure)


# ---- the report ------------------------------------------------------------------------------------------------------


def _report(results: Mapping[str, Any]) -> str:
    lines = [
        "# Problem 3: deep learning architectures",
        "",
        f"Images: {results['source']}, pixels {results['pixels']} (sha256 {results['data_sha256'][:12]}…)."
        + ("" if results["pixels"] == "official" else " Accuracies are not comparable with published ones."),
        "Accuracies are those of the last epoch, without averaging over flips; "
        "training accuracy is a full pass over the training images.",
        "",
        *_table(results["parts"]),
    ]
    for letter, part in results["parts"].items():
        lines += _section(letter, part)
    return "\n".join(lines) + "\n"


def _table(parts: Mapping[str, Any]) -> Sequence[str]:
    heads = ("part", "network", "settings", "test", "training", "parameters", "epochs", "minutes", "chosen on")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for letter, part in parts.items():
        for name in PRESETS:
            if "diverged" in part[name]:
                lines.append(f"| {letter} | {part['net']} | {name} | diverged | – | – | – | – | – |")
                continue
            summary = part[name]["summary"]
            accuracies = f"{summary['test_accuracy']:.1%} | {summary['train_accuracy']:.1%}"
            costs = f"{summary['parameters']:,} | {summary['epochs']} | {summary['seconds_train'] / 60:.1f}"
            lines.append(f"| {letter} | {part['net']} | {name} | {accuracies} | {costs} | {summary['selected_on']} |")
    return lines


def _section(letter: str, part: Mapping[str, Any]) -> Sequence[str]:
    lines = ["", f"## {letter} {part['title']}", "", f"    {part['formula']}", ""]
    lines += ["| | " + " | ".join(PRESETS) + " |", "|---|---|---|"]
    for name in part["tuned"]["shape"]:
        lines.append(
            f"| {name} | " + " | ".join(_text(part[preset_name]["shape"][name]) for preset_name in PRESETS) + " |"
        )
    for name in part["tuned"]["train"]:
        cells = [_setting(part[preset_name], name) for preset_name in PRESETS]
        if name not in RUN_SETTINGS and set(cells) != {NOT_USED}:
            lines.append(f"| {name} | {' | '.join(cells)} |")
    failed = [f"{name}: {sentence}." for name, sentence in diverged(part).items()]
    return [*lines, "", *(failed or [f"![accuracy over epochs]({letter}_{part['net']}.png)"])]


def _setting(outcome: Mapping[str, Any], name: str) -> str:
    """The setting used: a dash if it has no effect, and reduced epochs with those of the preset."""
    train, whole = outcome["train"], outcome["preset_epochs"]
    if name in Config.of("training", train).without_effect:
        return NOT_USED
    return f"{train[name]}, cut from {whole}" if name == "epochs" and train[name] < whole else _text(train[name])


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
