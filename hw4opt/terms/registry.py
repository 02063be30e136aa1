"""The folders are the registry: a term's name is the name of its file, and its one public class is the term."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from functools import cache

from hw4opt.errors import InputError, UnknownNameError
from hw4opt.terms.base import Term
from hw4opt.validation.arguments import check_word, checked

FOLDERS = {"loss": "hw4opt.losses", "regularizer": "hw4opt.regularizers", "constraint": "hw4opt.constraints"}


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of a kind of term ('loss', 'regularizer' or 'constraint'), sorted."""
    check_word("kind", kind, FOLDERS)
    folder = importlib.import_module(FOLDERS[kind])
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_")))


@cache
def load(kind: str, name: str) -> type[Term]:
    """The term class in the file of that name; raises `UnknownNameError`, which lists what exists."""
    if name not in names(kind):
        raise UnknownNameError(kind, name, names(kind))
    module = importlib.import_module(f"{FOLDERS[kind]}.{name}")
    return next(
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Term) and item.__module__ == module.__name__ and not item.__name__.startswith("_")
    )


def parameters(term: type[Term]) -> tuple[str, ...]:
    """The names of a term's parameters."""
    return tuple(field.name for field in dataclasses.fields(term))  # type: ignore[arg-type]


@checked
def find(kind: str, name: str, **given: float | str) -> Term:
    """The term of that name with those parameters; raises `InputError` for a parameter it does not have."""
    term = load(kind, name)
    known = parameters(term)
    for parameter in given:
        if parameter not in known:
            raise UnknownNameError(f"parameter of {name}", parameter, known or ("none",))
    try:
        return term(**given)
    except TypeError as error:
        raise InputError(f"{name} needs {', '.join(known)}: {error}") from error
