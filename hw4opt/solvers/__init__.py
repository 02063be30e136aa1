"""One algorithm a file: `refuse(form) -> str | None` and `solve(form, options) -> Answer`. The file's name is the solver's name."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from hw4opt.errors import UnknownNameError


@cache
def solver_names() -> tuple[str, ...]:
    """The solvers found in this folder, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


@cache
def load_solver(name: str) -> ModuleType:
    """The solver's module; raises `UnknownNameError`, which lists what exists."""
    if name not in solver_names():
        raise UnknownNameError("solver", name, ("auto", *solver_names(), "cvxpy:NAME"))
    return importlib.import_module(f"hw4opt.solvers.{name}")
