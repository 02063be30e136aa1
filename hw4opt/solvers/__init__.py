"""One algorithm a file: `refuse(form) -> str | None` and `solve(form, options) -> Answer`. The file's name is the solver's name."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from hw4opt.errors import InputError, UnknownNameError

FAMILIES = ("cvxpy", "qp")  # solvers that stand for the backends of a library: NAME follows a colon


@cache
def solver_names() -> tuple[str, ...]:
    """The solvers found in this folder, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


@cache
def load_solver(name: str) -> ModuleType:
    """The solver's module; raises `UnknownNameError`, which lists what exists, and `InputError` where its extra is missing."""
    if name not in solver_names():
        raise UnknownNameError("solver", name, ("auto", *solver_names(), *(f"{family}:NAME" for family in FAMILIES)))
    return importlib.import_module(f"hw4opt.solvers.{name}")


def split_name(solver: str) -> tuple[str, str | None]:
    """The solver and its backend as their library spells it (None for a native solver), of a name such as qp:piqp.

    Raises `UnknownNameError` for what does not exist, and `InputError` for a colon after a native solver.
    """
    name, _, backend = solver.partition(":")
    module = load_solver(name)
    if name in FAMILIES:
        return name, module.backend(backend)
    if backend:
        raise InputError(f"solver {solver!r}: only {' and '.join(FAMILIES)} take a name after a colon, as in cvxpy:CLARABEL")
    return name, None


def native_solvers() -> list[str]:
    """The solvers of this package, sorted."""
    return [name for name in solver_names() if name not in FAMILIES]


def installed(family: str) -> list[str]:
    """family:NAME for every backend that is installed; none where the family's extra is missing."""
    try:
        return [f"{family}:{name}" for name in load_solver(family).backends()]
    except InputError:
        return []
