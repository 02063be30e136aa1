"""The folders are the registry: a file's name is the name of its one public class, a loss, regularizer, constraint or
kernel."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from typing import Any

from hw4opt.errors import InputError, UnknownNameError
from hw4opt.terms.requirements import class_fault
from hw4opt.validation.arguments import check_word, checked

FOLDERS = {
    "loss": "hw4opt.losses",
    "regularizer": "hw4opt.regularizers",
    "constraint": "hw4opt.constraints",
    "kernel": "hw4opt.kernels",
}


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of a kind ('loss', 'regularizer', 'constraint' or 'kernel'), sorted."""
    check_word("kind", kind, FOLDERS)
    folder = importlib.import_module(FOLDERS[kind])
    files = (module.name for module in pkgutil.iter_modules(folder.__path__))
    return tuple(sorted(name for name in files if not name.startswith("_")))


@cache
def load(kind: str, name: str) -> type[Any]:
    """The class in the file of that name; raises `UnknownNameError`, which lists what exists."""
    if name not in names(kind):
        raise UnknownNameError(kind, name, names(kind))
    module = importlib.import_module(f"{FOLDERS[kind]}.{name}")
    classes = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    public = [item for item in classes if not item.__name__.startswith("_")]
    if len(public) != 1:
        raise InputError(f"{module.__file__} has {len(public)} public classes; a file of this folder has one")
    if fault := class_fault(public[0]):
        raise InputError(f"{module.__file__}: {fault}")
    if getattr(public[0], "name", "") != name:
        raise InputError(f"{module.__file__}: the name of its class must be {name!r}, that of the file")
    return public[0]


def classes(kind: str) -> dict[str, type[Any]]:
    """name → class of a kind, sorted by name."""
    return {name: load(kind, name) for name in names(kind)}


def public_classes() -> dict[str, type[Any]]:
    """Name of the class → class, of every file in the folders."""
    return {item.__name__: item for kind in FOLDERS for item in classes(kind).values()}


def is_registered(kind: str, thing: object) -> bool:
    """Whether the object's class is the one in the file of its name."""
    name = getattr(thing, "name", None)
    return name in names(kind) and type(thing) is load(kind, name)


def usage(item: type[Any], without: tuple[str, ...] = ()) -> str:
    """What a help text shows of a class: its name, with the defaults of its parameters but those named in `without`."""
    if item.usage:
        return item.usage
    shown = [
        f"{field.name}={field.default:g}"
        for field in dataclasses.fields(item)
        if field.name not in without and isinstance(field.default, int | float) and not isinstance(field.default, bool)
    ]
    return f"{item.name}:{','.join(shown)}" if shown else item.name


def parameters(item: type[Any]) -> tuple[str, ...]:
    """The names of the parameters of a term or kernel."""
    return tuple(field.name for field in dataclasses.fields(item))


@checked
def find(kind: str, name: str, **given: float | str | bool | Sequence[float]) -> Any:
    """The term or kernel of that name with those parameters; raises `InputError` for a parameter it does not have."""
    item = load(kind, name)
    known = parameters(item)
    for parameter in given:
        if parameter not in known:
            raise UnknownNameError(f"parameter of {name}", parameter, known or ("none",))
    try:
        return item(**given)
    except TypeError as error:
        raise InputError(f"{name} needs {', '.join(known)}: {error}") from error
