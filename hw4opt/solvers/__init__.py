"""One solver per file, named as its one public class, a `Solver`, is. Underscored files hold shared code."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import NamedTuple

from hw4opt.errors import InputError, UnknownNameError, shown
from hw4opt.solvers._base import Family, Solver

__all__ = [
    "Chosen",
    "Family",
    "Solver",
    "families",
    "find_solver",
    "installed",
    "load_solver",
    "native_solvers",
    "solver_names",
]


class Chosen(NamedTuple):
    """A solver, and for a family the backend's name in its library."""

    solver: Solver
    backend: str | None

    @property
    def label(self) -> str:
        """The name of both, as in qp:piqp."""
        return self.solver.name if self.backend is None else f"{self.solver.name}:{self.backend}"


@cache
def solver_names() -> tuple[str, ...]:
    """The solvers found in this folder, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


@cache
def load_solver(name: str) -> Solver:
    """The solver of that name; raises `UnknownNameError`, which lists the solvers, and `InputError` if its extra is
    missing."""
    if name not in solver_names():
        raise UnknownNameError("solver", name, ("auto", *solver_names(), *(f"{family}:NAME" for family in families())))
    module = importlib.import_module(f"hw4opt.solvers.{name}")
    classes = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    mine = [item for item in classes if issubclass(item, Solver) and not item.__name__.startswith("_")]
    if len(mine) != 1 or mine[0].name != name:
        raise InputError(f"{module.__file__} must have one public class, a Solver whose name is {name!r}")
    return mine[0]()


def find_solver(solver: str | Solver) -> Chosen:
    """The solver (and backend) of a name such as qp:piqp, or the object itself.

    Raises `UnknownNameError` for a solver or backend that does not exist, and `InputError` for an object that is not a
    solver and for a colon after a solver without backends.
    """
    if isinstance(solver, Solver):
        if not solver.name or ":" in solver.name:
            raise InputError(
                f'the class {type(solver).__name__} of the solver needs a name without colon, as in name = "mine"'
            )
        return Chosen(solver, None)
    if not isinstance(solver, str):
        raise InputError(f"solver is {shown(solver)}; give a name or a Solver object")
    name, _, backend = solver.partition(":")
    found = load_solver(name)
    if isinstance(found, Family):
        return Chosen(found, found.backend(backend))
    if backend:
        raise InputError(
            f"solver {solver!r}: only {' and '.join(families())} take a name after a colon, as in cvxpy:CLARABEL"
        )
    return Chosen(found, None)


def native_solvers() -> list[str]:
    """The solvers of this package, sorted."""
    return [name for name, solver in _loaded().items() if solver.native]


def families() -> list[str]:
    """The solvers that stand for the backends of a library, sorted."""
    return [name for name, solver in _loaded().items() if isinstance(solver, Family)]


def _loaded() -> dict[str, Solver]:
    """Name → solver of all whose extra is installed."""
    found = {}
    for name in solver_names():
        try:
            found[name] = load_solver(name)
        except InputError:
            continue
    return found


def installed(family: str) -> list[str]:
    """family:NAME for every backend that is installed; none if the family's extra is missing."""
    solver = _loaded().get(family)
    return [f"{family}:{name}" for name in solver.backends()] if isinstance(solver, Family) else []
