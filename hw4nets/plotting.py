"""Figures of runs and images, with matplotlib's object interface: pyplot is not used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from hw4nets.data import Data
from hw4nets.evaluation import Evaluation
from hw4nets.history import EpochRow
from hw4nets.search_plan import Trial

TEST_COLOR, TRAIN_COLOR = "#0b5fa5", "#8a97a6"
RUN_COLORS = ("#0b5fa5", "#d1495b", "#2f8f5b", "#e08e0b", "#7a4fa3", "#4c5a67", "#b0741d", "#11868c")
MISTAKES_SHOWN = 20
CLASSES_SHOWN = 50  # by name, in a figure


def plot_curves(rows: Sequence[EpochRow], title: str) -> Figure:
    """Training, test and (if there is one) validation accuracy over epochs, with the last test accuracy as a number."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    _draw_curves(axes, rows)
    _accuracy_axes(axes, title)
    axes.legend(frameon=False, loc="lower right")
    return figure


def plot_pair(tuned: Sequence[EpochRow], own: Sequence[EpochRow], title: str) -> Figure:
    """Training and test accuracy over epochs, with the chosen settings and with the assignment's own."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    _heading(figure, title)
    for axes, rows, name in zip(
        figure.subplots(1, 2, sharey=True), (tuned, own), ("chosen settings", "the assignment's"), strict=True
    ):
        _draw_curves(axes, rows)
        _accuracy_axes(axes, name)
    figure.axes[1].set_ylabel("")
    figure.axes[0].legend(frameon=False, loc="lower right")
    return figure


def plot_runs(runs: Mapping[str, Sequence[EpochRow]], title: str) -> Figure:
    """Test (solid) and training (dotted) accuracy of several runs: over epochs, and over seconds of training."""
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    _heading(figure, title)
    by_epoch, by_time = figure.subplots(1, 2, sharey=True)
    for place, (name, rows) in enumerate(runs.items()):
        color = RUN_COLORS[place % len(RUN_COLORS)]
        seconds = np.cumsum([row.seconds_train for row in rows])
        for axes, x in ((by_epoch, [row.epoch for row in rows]), (by_time, seconds)):
            axes.plot(
                x, [row.test_accuracy for row in rows], color=color, lw=2, label=f"{name} {rows[-1].test_accuracy:.1%}"
            )
            axes.plot(x, [row.train_accuracy for row in rows], color=color, lw=1, ls=":")
    _accuracy_axes(by_epoch, "test (solid) and training (dotted) accuracy")
    _accuracy_axes(by_time, "")
    by_time.set_xlabel("seconds of training")
    by_time.set_ylabel("")
    by_epoch.legend(frameon=False, loc="lower right")
    return figure


def plot_confusion(evaluation: Evaluation, classes: Sequence[str], title: str) -> Figure:
    """The confusion matrix: rows true classes, columns predicted ones, cells in percent of their row."""
    shares = evaluation.confusion / np.maximum(evaluation.confusion.sum(axis=1, keepdims=True), 1)
    size = min(max(1.0, len(classes) / 20), 2.5)
    figure = Figure(figsize=(7.5 * size, 6.8 * size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)  # the root also shows rare confusions
    for row, column in np.ndindex(*shares.shape) if len(classes) <= CLASSES_SHOWN else ():
        if shares[row, column] >= 0.0005:
            text = (
                f"{100 * shares[row, column]:.0f}"
                if shares[row, column] >= 0.00995
                else f"{100 * shares[row, column]:.1f}"
            )
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=9,
                color="white" if shares[row, column] > 0.36 else "#2b2b2b",
            )
    if len(classes) <= CLASSES_SHOWN:
        axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
        axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{title}\npercent of each true class", loc="left", fontsize=10)
    return figure


def plot_worst(evaluation: Evaluation, data: Data, title: str) -> Figure:
    """The most confident mistakes: the predicted class with its probability, and the true class."""
    worst = evaluation.worst(MISTAKES_SHOWN)
    names = data.classes
    predicted = evaluation.predicted

    def caption(place: int) -> str:
        label = predicted[place]
        probability = evaluation.probabilities[place, label]
        return f"{names[label]} {probability:.0%}\nis {names[evaluation.labels[place]]}"

    mistakes = int((predicted != evaluation.labels).sum())
    heading = f"{title}\n" + (f"the most confident of {mistakes:,} mistakes" if mistakes else "no mistakes")
    return _images(data.test.pixels, worst, caption, heading, columns=5)


def plot_predictions(pixels: Sequence[np.ndarray], ranked: Sequence[tuple[str, float]], title: str) -> Figure:
    """Images uint8 (3, side, side), each with its predicted class and the probability."""
    captions = [f"{name} {probability:.0%}" for name, probability in ranked]
    return _images(np.array(pixels), np.arange(len(pixels)), captions.__getitem__, title, columns=8)


def plot_images(data: Data, columns: int = 8) -> Figure:
    """A grid of training images with their labels: the first of each class, one class per row."""
    places = np.concatenate(
        [np.flatnonzero(data.train.labels == label)[:columns] for label in range(len(data.classes))[:CLASSES_SHOWN]]
    )
    counts = f"{len(data.train.labels):,} training and {len(data.test.labels):,} test images"
    heading = f"{data.title}: {counts}, pixels {data.pixels}"
    return _images(data.train.pixels, places, lambda place: data.classes[data.train.labels[place]], heading, columns)


def plot_study(trials: Sequence[Trial], importances: Mapping[str, float], judged_on: str, title: str) -> Figure:
    """Accuracy of every trial, the best of the finished ones so far, and the importance of each option."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    _heading(figure, title)
    axes, bars = figure.subplots(1, 2, width_ratios=(3, 2))
    seen = [trial for trial in trials if trial.accuracy is not None]
    finished = [trial for trial in seen if trial.ended == "finished"]
    others = [trial for trial in seen if trial.ended != "finished"]
    for group, label, face in (
        (finished, "trial", TRAIN_COLOR),
        (others, "unfinished trial", "none"),
    ):
        if group:
            numbers, accuracies = [trial.number for trial in group], [trial.accuracy for trial in group]
            axes.scatter(numbers, accuracies, edgecolors=TRAIN_COLOR, facecolors=face, s=26, label=label)
    best = np.maximum.accumulate([trial.accuracy or 0.0 for trial in finished])
    numbers = [*(trial.number for trial in finished), max(trial.number for trial in trials)]
    axes.step(numbers, [*best, best[-1]], where="post", color=TEST_COLOR, lw=2, label="best so far")
    _accuracy_axes(axes, f"{judged_on} accuracy (the last seen, of pruned trials)")
    axes.set_xlabel("trial")
    axes.legend(frameon=False, loc="best")
    names = sorted(importances, key=lambda name: importances[name])
    bars.barh(names, [importances[name] for name in names], color=TEST_COLOR, height=0.6)
    bars.set_title("what decides whether a trial is among the best", loc="left", fontsize=11)
    _plain(bars)
    return figure


def _draw_curves(axes: Axes, rows: Sequence[EpochRow]) -> None:
    epochs = [row.epoch for row in rows]
    lines = [("training (while it is learned)", [row.train_accuracy for row in rows], TRAIN_COLOR)]
    if rows[0].validation_accuracy is not None:
        lines.append(("validation", [row.validation_accuracy or 0.0 for row in rows], RUN_COLORS[3]))
    lines.append(("test", [row.test_accuracy for row in rows], TEST_COLOR))
    for label, values, color in lines:
        axes.plot(
            epochs, values, color=color, lw=2, marker="o", ms=4 if len(rows) < 40 else 0, label=label, clip_on=False
        )
    _mark_last(axes, epochs[-1], rows[-1].test_accuracy, TEST_COLOR)


def _images(
    pixels: np.ndarray, places: np.ndarray, caption: Callable[[int], str], heading: str, columns: int
) -> Figure:
    """All images in one axes, with a caption above each: one axes per image would take ten times as long."""
    count = -(-max(len(places), 1) // columns)
    lines = caption(int(places[0])).count("\n") + 1 if len(places) else 1
    side = pixels.shape[-1] if len(pixels) else 32
    zoom = -(-32 // side)  # of small images, to make room for the captions
    side *= zoom
    cell = (side + 4, side + 1 + 6 * lines)  # of an image with its caption, in pixels
    mosaic = np.full((count * cell[1] + 12, columns * cell[0] + 4, 3), 255, np.uint8)
    figure = Figure(figsize=(mosaic.shape[1] / 27, mosaic.shape[0] / 27))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(3, 6, heading, fontsize=10, va="center", color="#2b2b2b")
    for number, place in enumerate(places):
        left, bottom = 4 + number % columns * cell[0], 12 + (number // columns + 1) * cell[1] - 1
        image = pixels[place].transpose(1, 2, 0).repeat(zoom, axis=0).repeat(zoom, axis=1)
        mosaic[bottom - side : bottom, left : left + side] = image
        axes.text(
            left + side / 2 - 0.5,
            bottom - side - 1.5,
            caption(int(place)),
            fontsize=9,
            ha="center",
            va="bottom",
            color="#2b2b2b",
        )
    axes.imshow(mosaic, interpolation="nearest")
    return figure


def _mark_last(axes: Axes, x: float, y: float, color: str) -> None:
    axes.annotate(
        f"{y:.1%}",
        (x, y),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=color,
        fontsize=10,
        annotation_clip=False,
    )


def _heading(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)


def _accuracy_axes(axes: Axes, title: str) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.03)
    axes.set_title(title, loc="left", fontsize=11)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
