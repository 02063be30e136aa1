"""The answer of a solver, and the statuses, whose values are their advice."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np

from hw4opt.terms.base import Array


class Status(Enum):
    """How a fit ended; `value` is the advice in words, `word` the contract's name."""

    CERTIFIED = "the duality gap proves the answer to tolerance"
    UNCERTIFIED = "the answer carries no proof; see the certificate's reason, or solve with another solver"
    INACCURATE = "the gap is proven but above tolerance; raise `max_iterations`, loosen `tol`, or take another solver"
    ITERATION_LIMIT = "stopped at its limit; raise `max_iterations` or `time_limit`, or take another solver"
    INFEASIBLE = "no function of this design satisfies the constraints; loosen or drop one of them"
    UNBOUNDED = "the objective has no minimum; give the ridge a weight above 0"
    NO_FINITE_MAXIMUM = (
        "the likelihood has no finite maximum; drop the separated rows, or give the ridge a weight above 0"
    )
    INTERRUPTED = "interrupted; what was done is kept"

    @property
    def word(self) -> str:
        """The contract's name of the status."""
        return self.name.lower()


@dataclass(frozen=True)
class Options:
    """The options of every solver.

    tol              the relative gap aimed at
    max_iterations   None: the solver's own limit
    time_limit       seconds; None: no limit. With a limit, infinity included, a backend that ignores Ctrl-C runs in
                     its own process
    """

    tol: float = 1e-9
    max_iterations: int | None = None
    backend: str | None = None  # of `cvxpy` and `qp`: the backend
    time_limit: float | None = None


class Start(NamedTuple):
    """A point that a solver may start from: w (b, r) and u (b, M)."""

    w: Array
    u: Array

    def cut(self, batch: np.ndarray) -> Start:
        """Some of the problems."""
        return Start(self.w[batch], self.u[batch])


@dataclass(frozen=True, eq=False)
class Answer:
    """A batch's points w (b, r) and duals u (b, M) of the form's rows; reached: the rule that ended each problem."""

    w: Array
    u: Array
    reached: list[Status]
    iterations: np.ndarray
    interior: Array | None = None  # strictly feasible points, if the solver has them
    notes: dict[int, str] = field(default_factory=dict)  # by problem: a note on a failure
    rank: int | None = None  # of the columns, if the solver finds it
    seconds: float | None = None  # of the solver alone, if other work such as starting a process was needed
