"""Terms and kernels in a model file: name and parameters, and for a user's own class its import path."""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
import sys
from typing import Any

import numpy as np

from hw4opt.errors import InputError, ModelFileError, shown
from hw4opt.kernels import Kernel
from hw4opt.terms import Loss, Term, registry
from hw4opt.terms.requirements import class_fault

CLASS_PATH = re.compile(r"(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)")
BASES: dict[str, type] = {"loss": Loss, "regularizer": Term, "constraint": Term, "kernel": Kernel}


def packed(kind: str, thing: Any) -> dict[str, Any]:
    """{"name": …, parameter: value, …}; of a class outside this package, also "class": "package.module:Class".

    Raises `InputError` for an object that cannot be restored from a file.
    """
    stored = {"name": thing.name, **_parameters(thing)}
    if registry.is_registered(kind, thing):
        return stored
    own = type(thing)
    if fault := _not_importable(own):
        raise InputError(f"a model file cannot hold {thing.name}: {fault}")
    values = {name: value for name, value in stored.items() if name != "name"}
    plain = all(isinstance(value, bool | int | float | str) for value in values.values())
    if not plain or own(**values) != thing:
        raise InputError(
            f"a model file cannot hold {thing.name}: {shown(thing)} has parameters that are neither numbers nor text"
        )
    return {"name": thing.name, "class": f"{own.__module__}:{own.__qualname__}", **values}


def check_known(kind: str, stored: dict[str, Any]) -> None:
    """Raise `ModelFileError` for a name that is not of a class of this package, unless another package's is named."""
    if "class" not in stored and stored["name"] not in registry.names(kind):
        raise ModelFileError(f"it names a {kind} {stored['name']!r} that this hw4opt does not have; upgrade hw4opt")


def unpacked(kind: str, stored: dict[str, Any]) -> Any:
    """The term or kernel of `packed`; a class of another package is imported.

    Raises `ModelFileError` where it cannot be.
    """
    values = {name: value for name, value in stored.items() if name not in ("name", "class")}
    if "class" not in stored:
        return registry.find(kind, stored["name"], **values)
    own = _imported(kind, stored["class"])
    if own.name != stored["name"] or not values.keys() <= set(registry.parameters(own)):
        given = ", ".join([stored["name"], *values])
        raise ModelFileError(f"the class {stored['class']} is not the one that the file was written with, {given}")
    return own(**values)


def _parameters(thing: Any) -> dict[str, Any]:
    """The parameters except None, infinite numbers, and a False that is the default."""
    values = {item.name: getattr(thing, item.name) for item in dataclasses.fields(thing)}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    infinite = {name for name, value in plain.items() if isinstance(value, float) and math.isinf(value)}
    off = {item.name for item in dataclasses.fields(thing) if item.default is False and plain[item.name] is False}
    return {name: value for name, value in plain.items() if value is not None and name not in infinite | off}


def _not_importable(own: type) -> str | None:
    """Why another process could not import the class, or None."""
    module = sys.modules.get(own.__module__)
    if own.__module__ == "__main__" or module is None or module.__spec__ is None:
        where = f"in the running script ({own.__module__})"
        return f"its class {own.__name__} is {where}; put it in a module that can be imported"
    found: Any = module
    for part in own.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not own:
        return f"its class {own.__name__} was made inside a function; put it at the top level of a module"
    return None


def _imported(kind: str, path: str) -> type[Any]:
    match = CLASS_PATH.fullmatch(path)
    if match is None:
        raise ModelFileError(f"it is damaged: {shown(path)} is not of the form module:Class")
    try:
        found: Any = importlib.import_module(match[1])
        for part in match[2].split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a foreign module raises when it is imported
        raise ModelFileError(f"it needs the class {path}, which cannot be imported here: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BASES[kind])) or class_fault(found) is not None:
        raise ModelFileError(f"it needs the {kind} {path}, which is not a {kind}")
    return found
