"""The options of `hw4nets`: those of networks and training are read from the records that hold them."""

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


def _setting(item: dataclasses.Field[Any], owners: str) -> Option:
    """The option of one field; None where it is not given."""
    name = item.name if item.name.isupper() else item.name.replace("_", "-")
    text = f"{item.metadata['text']} {owners}".rstrip()
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


def _network_settings() -> list[Option]:
    """One option a name for all networks that have it; its help lists them."""
    found: dict[str, tuple[dataclasses.Field[Any], list[str]]] = {}
    for net in NETS.values():
        for item in settings_of(net):
            found.setdefault(item.name, (item, []))[1].append(net.name)
    return [_setting(item, f"({', '.join(owners)})") for item, owners in found.values()]


RECIPE = (
    click.option("--net", metavar="|".join(NETS), shell_complete=_complete(NETS), help="The network."),
    click.option(
        "--preset",
        metavar="|".join(preset_names()),
        shell_complete=_complete(preset_names()),
        help=f"Named settings; default: {DEFAULT_PRESET}.",
    ),
    click.option(
        "--config", metavar="TOML", help="Settings from a file, such as a run's config.toml or a search's best.toml."
    ),
)
RECIPE_SETTINGS = (*_network_settings(), *(_setting(item, "") for item in settings_of(Config)))
IMAGES = click.option(
    "--data",
    metavar="official|PATH|synthetic",
    shell_complete=_complete(["official", "synthetic"]),
    help="CIFAR-10 to download; a folder or archive with its batches, or with train/CLASS/*.jpg of classes of your own;"
    " or built-in images.",
)


def _use_style(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Draw every figure of the command in that style."""
    if path is not None and not context.resilient_parsing:
        context.with_resource(styled(read_style(path)))
    return path


PLOT = (
    click.option("--plot", metavar="PATH", help="Write a figure: .png, .pdf, .svg, .jpg or .webp."),
    click.option(
        "--style", metavar="PATH", callback=_use_style, help="A matplotlib style file for it: fonts, background, lines."
    ),
)
SEED = click.option("--seed", type=whole(0), default=0, metavar="S", help="Noted in the JSON; nothing is drawn here.")
CHECKPOINT = click.option(
    "--checkpoint",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Of the last epoch, or the best.",
)
RESULT_FILE = click.option("--save", metavar="PATH", help="Write the result to a file of its own.")
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
