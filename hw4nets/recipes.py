"""A recipe is a network's shape with its `Config`: read from and written to TOML, or taken from a preset by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import tomli_w
import torch

from hw4nets.augment import Augmentation
from hw4nets.config import Config
from hw4nets.errors import InputError, UnknownNameError
from hw4nets.files import read_text
from hw4nets.models import NETS, Net, build, net
from hw4nets.network import check_start_scale
from hw4nets.optimizers import check_together
from hw4nets.settings import settings_of, shown

DEFAULT_PRESET = "tuned"
TEXT_KEYS, FILE_TABLES = ("net", "data", "pixels", "data_sha256", "note"), ("shape", "train")  # of a recipe's file
FILE_KEYS = (*TEXT_KEYS, "image_side", "classes")


@dataclass(frozen=True)
class Recipe:
    """A network's shape and the settings of its training."""

    shape: Net
    config: Config

    def __post_init__(self) -> None:
        """Raise `InputError` for settings that exclude each other."""
        Augmentation.parse(self.config.augment, self.shape.image_side)
        if self.config.optimizer == "muon" or self.config.batch_size == 1 or self.config.start_scale < 1:
            with torch.device("meta"):  # its shapes without its numbers
                model = build(self.shape, 0)
            check_together(model, self.config)
            check_start_scale(model, self.config, self.shape.image_side)

    def changed(self, options: Mapping[str, Any]) -> Recipe:
        """The recipe with other options, of the network or of the training, by name."""
        ours = {item.name for item in settings_of(Config)}
        training = {name: value for name, value in options.items() if name in ours}
        others = {name: value for name, value in options.items() if name not in ours}
        shape = net(self.shape.name, self.shape.values() | others, **self.shape.images) if others else self.shape
        return Recipe(shape, Config.of("training", self.config.values() | training))

    def of_images(self, side: int, classes: int) -> Recipe:
        """The recipe for images of another side or number of classes; raises `InputError` if its sizes do not fit."""
        return Recipe(replace(self.shape, image_side=side, class_count=classes), self.config)

    @property
    def options(self) -> dict[str, Any]:
        """Every option of the network and of the training by name, tuples as lists."""
        return {**self.shape.values(), **self.config.values()}

    def values(self) -> dict[str, Any]:
        """The content of a TOML file: net, [shape], [train]."""
        return {"net": self.shape.name, "shape": self.shape.values(), "train": self.config.values()}

    def toml(self, **more: Any) -> str:
        """The text of a TOML file, with other tables or words first."""
        return tomli_w.dumps(more | self.values())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The recipe of a TOML file's content; absent settings have their defaults."""
        images = {"image_side": values["image_side"]} if "image_side" in values else {}
        images |= {"class_count": len(values["classes"])} if "classes" in values else {}
        shape = net(values["net"], values.get("shape", {}), **images)
        return cls(shape, Config.of("training", values.get("train", {})))


def read_recipe(path: str | Path) -> Recipe:
    """The recipe of a TOML file, such as a run's config.toml or a search's best.toml."""
    values = read_toml(path)
    if not isinstance(values.get("net"), str):
        raise InputError(f'{path} does not name a network; it needs a line such as net = "conv"')
    for name in values:
        if name not in FILE_TABLES + FILE_KEYS:
            ours = {item.name for item in (*settings_of(Config), *settings_of(NETS.get(values["net"], Net)))}
            hint = "; it belongs into [shape] or [train]" if name in ours else ""
            raise InputError(f"{path} has {name}{hint}; known are {', '.join(FILE_KEYS)}, [shape] and [train]")
    for name in TEXT_KEYS:
        if not isinstance(values.get(name, ""), str):
            raise InputError(f"{path}: {name} is {shown(values[name])}; give text")
    names = values.get("classes", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: classes is {shown(names)}; give a list of names")
    for name in FILE_TABLES:
        if not isinstance(values.get(name, {}), dict):
            raise InputError(f"{path}: [{name}] is not a table")
    try:
        return Recipe.of(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file; raises `InputError`."""
    try:
        return tomllib.loads(read_text(path))
    except FileNotFoundError as error:
        raise InputError(f"no file {path}") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # invalid TOML, numbers too long for Python, thousands of brackets
        raise InputError(f"{path} cannot be read as TOML: {error}") from error


def preset_names() -> list[str]:
    """The files in the folder presets."""
    return sorted(item.name.removesuffix(".toml") for item in _presets().iterdir() if item.name.endswith(".toml"))


def preset_nets(name: str) -> list[str]:
    """The networks that a preset has settings for."""
    if name not in preset_names():
        raise UnknownNameError("preset", name, preset_names())
    return list(_read_preset(name))


def preset(name: str, of: str) -> Recipe:
    """The preset's recipe for a network."""
    known = preset_nets(name)
    net(of)
    if of not in known:
        raise InputError(f"preset {name!r} has no {of}; it has {', '.join(known)}")
    return Recipe.of({"net": of, **_read_preset(name)[of]})


def _presets() -> Any:
    return files("hw4nets") / "presets"


def _read_preset(name: str) -> dict[str, Any]:
    return tomllib.loads((_presets() / f"{name}.toml").read_text(encoding="utf-8"))
