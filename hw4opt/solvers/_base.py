"""Base classes of solvers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from hw4opt.form import Form
from hw4opt.form.answer import Answer, Options, Start


class Solver(ABC):
    """An algorithm on forms; it knows no term by name, and its answers are judged by the certificate, not by its own
    status.

    name         by which it is chosen; of the classes in this folder, the name of the file
    tolerance    the relative gap aimed at if none is given
    native       whether it is an algorithm of this package; others are independent checks
    """

    name: ClassVar[str] = ""
    tolerance: ClassVar[float] = 1e-8
    native: ClassVar[bool] = True

    @abstractmethod
    def refuse(self, form: Form) -> str | None:
        """Why it cannot take the form: a sentence with what it needs and what the form has; None if it can."""

    @abstractmethod
    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Points and duals of the whole batch, and the rule that ended each problem; `start` is an optional initial
        point."""

    def scale_free(self, form: Form) -> bool:
        """Whether it is invariant to the scaling of the form; if not, it is given the scaled form."""
        return False


class Family(Solver):
    """A solver that calls the backends of a library, chosen as family:NAME."""

    native: ClassVar[bool] = False

    @abstractmethod
    def backends(self) -> list[str]:
        """The backends that are installed."""

    @abstractmethod
    def backend(self, name: str) -> str:
        """The backend's name in its library, the default one for ""; raises `UnknownNameError`, which lists the
        installed ones."""


def scs_linear_solver() -> dict[str, str]:
    """The setting that keeps SCS from using MKL, which ends the process if it is found but cannot be loaded."""
    import scs

    return {"linear_solver": "qdldl"} if hasattr(scs, "LinearSolver") else {}  # SCS before 3.3 has no choice
