"""`hw4nets train`: one network, one folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from hw4cli.exit_status import Exit, say
from hw4cli.nets.options import (
    IMAGES,
    PLOT,
    RECIPE,
    RECIPE_SETTINGS,
    REPORTING,
    RESULT_FILE,
    RecipeSources,
    Writing,
    options,
    settings_given,
    take,
)
from hw4cli.nets.outputs import PROGRAM, check_outputs, percent, recorded, run_files, save_plot, show, write_json
from hw4cli.nets.progress import EpochTable, load_named, named_source, source_path
from hw4cli.progress import Bar
from hw4nets.checkpoint import write_tensors
from hw4nets.data import Data
from hw4nets.distributed import joined_processes
from hw4nets.errors import InputError
from hw4nets.execution import check_machine
from hw4nets.history import Watch
from hw4nets.image_set import CLASSES, IMAGE_SIDE, IMAGE_SIDES
from hw4nets.initial_weights import read_init
from hw4nets.models import NETS, net
from hw4nets.network import build
from hw4nets.process import keep_freed_memory
from hw4nets.recipes import DEFAULT_PRESET, Recipe, preset, read_recipe, read_toml
from hw4nets.runs import CONFIG, Outcome, open_run, run
from hw4nets.tensorboard_log import TensorBoardLog
from hw4nets.training import train as train_part

SUMMARY_SHOWN = (
    "parameters",
    "flops_per_image",
    "best_epoch",
    "selected_on",
    "seconds_train",
    "images_per_second",
    "device",
    "pixels",
)


@click.command("train")
@options(RECIPE, IMAGES)
@click.option("--out", required=True, metavar="RUN", help="The run's folder; made if absent.")
@click.option("--resume", is_flag=True, help="Continue from the run's last checkpoint, with its own settings.")
@click.option("--overwrite", is_flag=True, help="Replace the run that the folder holds.")
@click.option(
    "--log",
    type=click.Choice(["tensorboard"]),
    help="Also write TensorBoard events into RUN/tensorboard. Default: none.",
)
@options(RECIPE_SETTINGS, PLOT, RESULT_FILE, REPORTING)
def command(out: str, data: str | None, resume: bool, overwrite: bool, log: str | None, **given: Any) -> int:
    """Train a network: config, history, summary, figures and checkpoints in one folder.

    Under torchrun (torchrun --nproc-per-node 2 -m hw4cli.nets.app train …) the processes train one network together,
    each on its part of every batch.

    Settings that are not given as options, the images included, are those of --config, else of the preset; the defaults
    below apply if neither has the setting.
    """
    if log is not None:
        import_module("torch.utils.tensorboard")  # without tensorboard nothing is begun
    if resume and overwrite:
        raise InputError("--resume continues and --overwrite starts again; give one of them")
    writing, chosen, changes = take(Writing, given), take(RecipeSources, given), settings_given(given)
    with joined_processes() as group:
        if not group.first:
            writing = Writing(json=None, quiet=True)
        kept = read_toml(Path(out) / CONFIG) if resume and (Path(out) / CONFIG).exists() else {}
        source = kept or ({} if chosen.config is None else read_toml(chosen.config))
        read = {f"--config {chosen.config}": chosen.config, "the data": source_path(named_source(data, source))}
        read |= {"the run's settings": str(Path(out) / CONFIG)} if kept else {}
        read |= {f"--init {changes['init']}": changes["init"]} if changes.get("init") else {}
        check_outputs(writing, read, run_files(f"--out {out}", out, kept=[CONFIG] if kept else []))
        if resume and not kept and chosen.net is None and chosen.config is None:
            raise InputError(f"{out} holds no run to continue; --net NAME starts one")
        largest = largest_side(named_source(data, source))
        recipe = kept_recipe(Path(out), chosen, changes) if kept else chosen_recipe(chosen, changes, largest)
        check_machine(recipe.config)
        if recipe.config.init and not kept:
            read_init(recipe.config.init)
        keep_freed_memory()
        images = group.after_first(lambda: load_named(data, source, writing, recipe.config.seed))
        recipe = recipe_of_images(recipe, images, chosen.config is None and not kept and "chosen_on" not in changes)
        with recorded(writing, recipe.config.seed, images.sha256):
            opened = partial(open_run, out, recipe, images, resume, overwrite)
            folder = group.after_first(opened if group.first else lambda: Path(out))
            if group.first:
                return train(folder, recipe, images, writing, log is not None)
            train_part(build(recipe.shape, recipe.config.seed), images, recipe.config, folder)
            return Exit.CERTIFIED


def train(folder: Path, recipe: Recipe, data: Data, writing: Writing, tensorboard: bool) -> int:
    """The exit status: 0 finished, 130 interrupted."""
    try:
        with Bar(f"training {recipe.shape.name}", writing.quiet) as bar, ExitStack() as logs:
            watch: Watch = EpochTable(bar, writing)
            if tensorboard:
                watch = logs.enter_context(TensorBoardLog(folder, watch))
            outcome = run(folder, recipe, data, watch)
    except KeyboardInterrupt:
        say(
            PROGRAM,
            f"interrupted; hw4nets train --out {folder} --resume continues after the last finished epoch",
        )
        return Exit.INTERRUPTED
    _write(folder, recipe, data, outcome, writing)
    return Exit.CERTIFIED


def largest_side(source: str) -> int:
    """The side of the images, or the largest possible one: sizes that do not fit it are refused at once."""
    return IMAGE_SIDE if source_path(source) is None else IMAGE_SIDES[1]


def recipe_of_images(recipe: Recipe, images: Data, of_preset: bool) -> Recipe:
    """The recipe for these images. Presets were chosen on CIFAR-10, that is on none of other images."""
    fitted = recipe.of_images(images.side, len(images.classes))
    return fitted.changed({"chosen_on": "none"}) if of_preset and images.classes != CLASSES else fitted


def chosen_recipe(chosen: RecipeSources, changes: Mapping[str, Any], side: int) -> Recipe:
    """The recipe of a file or preset, changed by the options, for images of a side."""
    if chosen.config is not None and chosen.preset is not None:
        raise InputError("--config and --preset both give settings; leave one out")
    if chosen.net is not None:
        net(chosen.net)
    if chosen.config is not None:
        recipe = read_recipe(chosen.config)
        if chosen.net not in (None, recipe.shape.name):
            raise InputError(f"--net {chosen.net}, but {chosen.config} is for {recipe.shape.name}; leave --net out")
    elif chosen.net is None:
        *names, last = NETS
        raise InputError(f"which network? give --net {', '.join(names)} or {last}, or --config TOML")
    else:
        recipe = preset(chosen.preset or DEFAULT_PRESET, chosen.net)
    return changed_recipe(recipe.of_images(side, recipe.shape.class_count), changes)


def changed_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with the given settings; refuses those without effect, and another optimizer with the old one's lr."""
    changed, old = recipe.changed(changes), recipe.config
    if changed.config.optimizer != old.optimizer and "lr" not in changes:
        raise InputError(
            f"the learning rate {old.lr:g} of these settings is one for {old.optimizer}; "
            f"with --optimizer {changed.config.optimizer} give --lr"
        )
    for name, needed in changed.config.without_effect.items():
        if name in changes:
            raise InputError(f"--{name.replace('_', '-')} has no effect without {needed}")
    return changed


def kept_recipe(folder: Path, chosen: RecipeSources, changes: Mapping[str, Any]) -> Recipe:
    """The run's own recipe with the given settings; opening the run checks that they agree."""
    recipe = read_recipe(folder / CONFIG)
    if chosen.preset is None and chosen.config is None:
        if chosen.net not in (None, recipe.shape.name):
            raise InputError(
                f"{folder} is a run of {recipe.shape.name}, not {chosen.net}; leave --net out, or give another --out"
            )
        return recipe.changed(changes)
    sources = RecipeSources(chosen.net or recipe.shape.name, chosen.preset, chosen.config)
    return chosen_recipe(sources, changes, recipe.shape.image_side)


def _write(folder: Path, recipe: Recipe, data: Data, outcome: Outcome, writing: Writing) -> None:
    summary = outcome.summary
    if writing.plot is not None:
        from hw4nets.plotting import plot_curves

        save_plot(writing, plot_curves(outcome.history.rows, f"{recipe.shape.name}, pixels {data.pixels}"))
    if writing.save is not None:
        write_tensors(writing.save, {name: tensor.cpu() for name, tensor in outcome.model.state_dict().items()})
    write_json(
        writing,
        recipe.config.seed,
        data.sha256,
        {"status": "certified", "message": f"finished; everything is in {folder}"} | summary,
    )
    rows = [
        (
            "test accuracy",
            f"{percent(summary['test_accuracy'])}  (flips averaged: {percent(summary['test_accuracy_flip'])})",
        ),
        ("training accuracy", f"{percent(summary['train_accuracy'])}  (a full pass at the end)"),
        *((name.replace("_", " "), _word(summary[name])) for name in SUMMARY_SHOWN),
    ]
    last = [
        f"Curves, confusions and worst mistakes: {folder}",
        f"To compare: hw4nets plot {folder} OTHER_RUN --plot runs.png",
    ]
    show(writing, f"{recipe.shape.name}: {len(outcome.history.rows)} epochs on {data.title}", ("", ""), rows, last)


def _word(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if isinstance(value, float) else str(value)
