"""`hw4nets search`: hyper-parameters chosen on held-out training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice, product
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
    whole,
)
from hw4cli.nets.outputs import PROGRAM, check_outputs, figure_line, percent, recorded, save_plot, show, write_json
from hw4cli.nets.progress import load_named, named_source, source_path
from hw4cli.nets.train import chosen_recipe, largest_side, recipe_of_images
from hw4cli.output_paths import Files, named_files
from hw4cli.progress import Bar
from hw4nets.errors import InputError, UnknownNameError
from hw4nets.execution import check_machine
from hw4nets.files import write_text
from hw4nets.initial_weights import read_init
from hw4nets.process import keep_freed_memory
from hw4nets.recipes import Recipe, read_toml
from hw4nets.search import BEST_RECIPE_FILE, STUDY_FILE, STUDY_FILES, search
from hw4nets.search_plan import SAMPLERS, Findings, Plan, default_space
from hw4nets.settings import Range, checked, settings_of

NOT_VARIED = ("select", "chosen_on")  # these determine how trials are compared
TRIALS_SHOWN = 10
MAX_COMBINATIONS = 200  # draws of other options, tried before a value of --vary counts as impossible


@click.command("search")
@options(RECIPE, IMAGES)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    help="The search's folder: study.sqlite, trials.csv, best.toml; made if absent.",
)
@click.option(
    "--trials",
    type=whole(1),
    default=30,
    show_default=True,
    metavar="N",
    help="Number of trials, those of earlier calls included.",
)
@click.option("--sampler", default="tpe", show_default=True, metavar="|".join(SAMPLERS), help="How settings are drawn.")
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME[=LOW:HIGH|=A|B…]",
    help="Search only these options. Default: all with a range. Repeat for more.",
)
@click.option("--resume", is_flag=True, help="Continue the search in the folder.")
@click.option(
    "--storage",
    metavar="URL",
    help="Database for the study in place of DIR/study.sqlite, as in postgresql://USER@HOST/NAME: the same command on"
    " other machines works on the same trials. Default: that file.",
)
@click.option(
    "--workers", type=whole(1), default=1, show_default=True, metavar="N", help="Processes that train trials here."
)
@options(RECIPE_SETTINGS, PLOT, RESULT_FILE, REPORTING)
def command(
    data: str | None,
    out: str,
    trials: int,
    sampler: str,
    vary: tuple[str, ...],
    resume: bool,
    storage: str | None,
    workers: int,
    **given: Any,
) -> int:
    """Choose hyper-parameters by seeded trials, compared on 5,000 held-out training images; poor ones end early.

    The first trial has the recipe's own values. Each trial trains for the epochs of the recipe, or for --epochs N,
    which best.toml then has, too: give `hw4nets train` more.

    best.toml is for `hw4nets train --config`. The test images are used only with --select test, which best.toml
    records.
    """
    writing, changes, chosen = take(Writing, given), settings_given(given), take(RecipeSources, given)
    settings = {} if chosen.config is None else read_toml(chosen.config)
    read = {f"--config {chosen.config}": chosen.config, "the data": source_path(named_source(data, settings))}
    check_outputs(writing, read, Files(f"--out {out}", out, named_files(STUDY_FILES)))
    largest = largest_side(named_source(data, settings))
    recipe = chosen_recipe(chosen, changes, largest)
    check_machine(recipe.config)
    if recipe.config.init:
        read_init(recipe.config.init)
    keep_freed_memory()
    plan = Plan(recipe, _space(recipe, vary, changes), trials, sampler, recipe.config.seed)
    if (Path(out) / STUDY_FILE).exists() and not resume:
        raise InputError(f"{out} holds a search; give --resume to continue, or another --out")
    images = load_named(data, settings, writing, plan.seed)
    recipe = recipe_of_images(recipe, images, chosen.config is None and "chosen_on" not in changes)
    plan = replace(plan, recipe=recipe, space=_space(recipe, vary, changes))
    with recorded(writing, plan.seed, images.sha256):
        try:
            with Bar(f"searching {recipe.shape.name}", writing.quiet) as bar:
                found = search(
                    plan,
                    images,
                    Path(out),
                    lambda trial, best: bar.update(trial.number, trials, best),
                    storage=storage,
                    workers=workers,
                )
        except KeyboardInterrupt:
            say(PROGRAM, "interrupted; the same command with --resume runs the missing trials")
            return Exit.INTERRUPTED
        _write(plan, found, Path(out), writing, images.pixels)
    record = {"status": "certified", "message": f"best settings in {out}/{BEST_RECIPE_FILE}", "pixels": images.pixels}
    record |= {
        "selected_on": found.best.config.selected_on,
        f"{plan.judged_on}_accuracy": found.accuracy,
        "best": found.best.values(),
        "importances": found.importances,
    }
    write_json(writing, plan.seed, images.sha256, record | {"trials": [vars(trial) for trial in found.trials]})
    go_on, whole = "" if resume else " --resume", chosen_recipe(chosen, {}, largest).config.epochs
    epochs = f" --epochs {whole}" if whole != recipe.config.epochs else ""  # best.toml has those of a trial
    last = [
        f"To train with the best: hw4nets train --config {out}/{BEST_RECIPE_FILE}{epochs} --out RUN",
        *figure_line(writing, "search.png", go_on),
    ]
    _show(writing, plan, found, images.pixels, last)
    return Exit.CERTIFIED


def _space(recipe: Recipe, vary: tuple[str, ...], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options named by --vary, else all that can be searched and were not given."""
    known = default_space(recipe)
    if not vary:
        return {name: where for name, where in known.items() if name not in changes}
    options = {name: value for name, value in recipe.options.items() if name not in NOT_VARIED}
    space = {}
    for words in vary:
        name, given, text = words.partition("=")
        name = name.replace("-", "_")
        if name not in options:
            raise UnknownNameError(f"option of {recipe.shape.name} to vary", name, options)
        if not given and name not in known:
            raise InputError(f"--vary {name} has no range of its own; give {name}=LOW:HIGH or {name}=A|B")
        space[name] = _where(recipe, name, text) if given else known[name]
    _check_runs(recipe, {name: where for name, where in space.items() if where != known.get(name)})
    return space


def _check_runs(recipe: Recipe, space: Mapping[str, Any]) -> None:
    """Raise `InputError` for a value that the network refuses with every choice of the other options."""
    values = {
        name: [where.low, where.high] if isinstance(where, Range) else list(where) for name, where in space.items()
    }
    for name, own in values.items():
        others = [
            [(other, value) for value in (recipe.options[other], *values[other])] for other in values if other != name
        ]
        for value in own:
            errors = []
            for choice in islice(product(*others), MAX_COMBINATIONS):
                try:
                    recipe.changed({**dict(choice), name: value})
                    break
                except InputError as error:
                    errors.append(error)
            else:
                raise InputError(f"--vary {name} with {value}: {errors[0]}") from errors[0]


def _where(recipe: Recipe, name: str, text: str) -> Range | tuple[Any, ...]:
    """The range LOW:HIGH, uniform in the logarithm if LOW > 0 and HIGH ≥ 10 LOW, or the values A|B."""
    item = next(
        item for record in (recipe.shape, recipe.config) for item in settings_of(type(record)) if item.name == name
    )
    old = recipe.options[name]
    try:
        if ":" in text and isinstance(old, int | float) and not isinstance(old, bool):
            kind = int if isinstance(old, int) else float
            low, high = (checked(item, kind(word)) for word in text.split(":"))
            if low >= high:
                raise ValueError
            return Range(low, high, log=low > 0 and high >= 10 * low)
        values = [_value(old, word) for word in text.split("|")]
        for value in values:
            checked(item, value)
        return tuple(values)
    except InputError as error:
        raise InputError(f"--vary {name}={text}: {error}") from error
    except ValueError as error:
        raise InputError(
            f"--vary {name}={text}: give {name}=LOW:HIGH with LOW < HIGH, or values as in {name}=A|B"
        ) from error


def _value(old: Any, word: str) -> Any:
    if isinstance(old, bool):
        if word not in ("true", "false"):
            raise ValueError(word)
        return word == "true"
    return [int(number) for number in word.split(",")] if isinstance(old, list) else type(old)(word)


def _write(plan: Plan, found: Findings, folder: Path, writing: Writing, pixels: str) -> None:
    if writing.plot is not None:
        from hw4nets.plotting import plot_study

        title = f"{plan.recipe.shape.name}: {len(found.trials)} trials, pixels {pixels}"
        save_plot(writing, plot_study(found.trials, found.importances, plan.judged_on, title))
    if writing.save is not None:
        write_text(writing.save, (folder / BEST_RECIPE_FILE).read_text(encoding="utf-8"))


def _show(writing: Writing, plan: Plan, found: Findings, pixels: str, last: list[str]) -> None:
    order = sorted(found.trials, key=lambda trial: (trial.ended != "finished", -(trial.accuracy or 0.0)))
    rows = [
        [str(trial.number), percent(trial.accuracy), trial.ended, _settings(trial.values)]
        for trial in order[:TRIALS_SHOWN]
    ]
    judges = "the test images" if plan.judged_on == "test" else "held-out training images"
    title = f"{found.best.shape.name}: the best {len(rows)} of {len(found.trials)} trials, on {judges}, pixels {pixels}"
    show(writing, title, ["trial", plan.judged_on, "ended", "settings"], rows, last)


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {f'{value:.3g}' if isinstance(value, float) else value}" for name, value in values.items()
    )
