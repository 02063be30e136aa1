"""The options of `hw4nets`; those of networks and training are taken from their records."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from hw4cli.figures import read_style, styled
from hw4cli.options import JSON, QUIET, options, take, verbose_option, version_option, whole
from hw4nets.config import Config
from hw4nets.errors import InputError
from hw4nets.models import NETS
from hw4nets.recipes import DEFAULT_PRESET, preset_names
from hw4nets.settings import settings_of

__all__ = [
    "IMAGES",
    "PLOT",
    "RECIPE",
    "RECIPE_SETTINGS",
    "REPORTING",
    "RESULT_FILE",
    "SEED",
    "RecipeSources",
    "Writing",
    "options",
    "settings_given",
    "take",
    "whole",
]


@dataclass(frozen=True)
class Writing:
    """The outputs of a command."""

    json: str | None
    quiet: bool
    plot: str | None = None
    save: str | None = None
    style: str | None = None


@dataclass(frozen=True)
class RecipeSources:
    """The sources of a recipe."""

    net: str | None
    preset: str | None
    config: str | None


Option = Callable[[Any], Any]


def _complete(names: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names if name.startswith(start)]

    return complete


def _setting(item: dataclasses.Field[Any], text: str) -> Option:
    """The option of one field; None if it is not given."""
    name = item.name if item.name.isupper() else item.name.replace("_", "-")
    if isinstance(item.default, bool):
        return click.option(f"--{name}/--no-{name}", item.name, default=None, help=text)
    choices = item.metadata["choices"]
    kind = type(item.default)
    kinds = {int: "N", float: "X", tuple: "N,N…"}
    metavar = item.metadata["metavar"] or "|".join(choices) or kinds.get(kind, "WORDS")
    return click.option(
        f"--{name}",
        item.name,
        type=kind if kind in (int, float) else str,
        metavar=metavar,
        help=text,
        shell_complete=_complete(choices) if choices else None,
    )


def _default(item: dataclasses.Field[Any]) -> str:
    """The value as typed."""
    value = item.default
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value}" or "none"


def _network_settings() -> list[Option]:
    """One option per name for all networks that have it; its help lists them, each with its default."""
    owners: dict[str, dict[str, dataclasses.Field[Any]]] = {}
    for net in NETS.values():
        for item in settings_of(net):
            owners.setdefault(item.name, {})[net.name] = item
    return [_setting(next(iter(items.values())), _text_by_network(items)) for items in owners.values()]


def _text_by_network(items: Mapping[str, dataclasses.Field[Any]]) -> str:
    """The meaning of the setting in each network, and its default there."""
    defaults: dict[str, list[str]] = {}
    for net, item in items.items():
        defaults.setdefault(item.metadata["text"].rstrip("."), []).append(f"{net} {_default(item)}")
    return " ".join(f"{text}; default: {', '.join(given)}." for text, given in defaults.items())


RECIPE = (
    click.option(
        "--net", metavar="|".join(NETS), shell_complete=_complete(NETS), help="The network. Default: that of --config."
    ),
    click.option(
        "--preset",
        metavar="|".join(preset_names()),
        shell_complete=_complete(preset_names()),
        help=f"Named settings; default: {DEFAULT_PRESET}.",
    ),
    click.option(
        "--config",
        metavar="TOML",
        help="Settings from a file, such as a run's config.toml or a search's best.toml. Default: none.",
    ),
)
RECIPE_SETTINGS = (
    *_network_settings(),
    *(_setting(item, f"{item.metadata['text']} Default: {_default(item)}.") for item in settings_of(Config)),
)
IMAGES = click.option(
    "--data",
    metavar="official|PATH|synthetic",
    shell_complete=_complete(["official", "synthetic"]),
    help="official: CIFAR-10, downloaded; a folder or archive with its batches, or with train/CLASS/*.jpg of your own "
    "classes; synthetic: built-in images. Default: that of --config or of the run, else official.",
)


def _use_style(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Draw every figure of the command in that style."""
    if path is not None and not context.resilient_parsing:
        context.with_resource(styled(read_style(path)))
    return path


PLOT = (
    click.option("--plot", metavar="PATH", help="Write a figure: .png, .pdf, .svg, .jpg or .webp. Default: none."),
    click.option(
        "--style",
        metavar="PATH",
        callback=_use_style,
        help="A matplotlib style file for it: fonts, background, lines. Default: none.",
    ),
)
SEED = click.option(
    "--seed",
    type=whole(0),
    default=0,
    show_default=True,
    metavar="S",
    help="Recorded in the JSON; this command is not random.",
)
CHECKPOINT = click.option(
    "--checkpoint",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Weights of the last epoch, or of the best.",
)
RESULT_FILE = click.option("--save", metavar="PATH", help="Write the result to a file. Default: none.")
REPORTING = (JSON, QUIET, verbose_option("hw4nets"), version_option("hw4nets"))


def settings_given(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given, lists of numbers read."""
    items = {item.name: item for record in (*NETS.values(), Config) for item in settings_of(record)}
    found = {name: _read(items[name], value) for name, value in given.items() if name in items and value is not None}
    return found | ({"init": os.path.realpath(found["init"])} if found.get("init") else {})


def _read(item: dataclasses.Field[Any], value: Any) -> Any:
    if not isinstance(item.default, tuple):
        return value
    try:
        return tuple(int(word) for word in value.split(","))
    except ValueError as error:
        example = ",".join(map(str, item.default))
        raise InputError(
            f"--{item.name.replace('_', '-')} {value!r}: give whole numbers with commas, as in {example}"
        ) from error
