"""What a benchmark says about itself, kept in pytest-benchmark's JSON: a `Row` of a question's table with its
`Target`s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OURS = "hw4opt"
ASSIGNMENT, FACTORED, COMPILED, PARAMETERS = CVXPY = ("assignment", "factored", "compiled", "parameters")
SPLIT, BOX = DIRECT = ("split", "box")


@dataclass(frozen=True)
class Target:
    """A bound of the issues on a row.

    what    seconds (of `of` problems) | relative_gap | peak_bytes | slope (of log seconds over log n) | times_faster
    than    for times_faster: kinds of peers, of which the fastest certified one counts
    """

    what: str
    at_most: float | None = None
    at_least: float | None = None
    than: Sequence[str] = ()
    aim: bool = False  # hoped for, not asked for


@dataclass(frozen=True)
class Row:
    """One line of a table.

    question, case, who    which table, which problem, which program
    kind                   what a ratio can be taken over: hw4opt | hw4nets; cvxpy's assignment | factored | compiled |
                           parameters; the direct solvers' split | box; floor
    work, of               problems solved in a timed round, and for how many the table says the seconds (a sample is
                           scaled)
    relative_gap           the worst of the answers that were judged, or None if one carries no proof
    certified              whether all of them pass
    n                      rows of the problem
    note                   what a reader has to know
    seconds                measured by a child process, where the round itself would count its start
    inside                 seconds a round spent in the solver's own calls, without forming its QPs
    """

    question: str
    case: str
    who: str
    kind: str
    work: int = 1
    of: int = 1
    relative_gap: float | None = None
    certified: bool | None = None
    n: int = 50
    note: str = ""
    seconds: Sequence[float] = ()
    inside: float | None = None
    peak_bytes: int | None = None
    targets: Sequence[Target] = ()
