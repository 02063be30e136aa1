"""One problem through every solver that takes it: independent witnesses in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hw4opt.answer import Status
from hw4opt.errors import Hw4Error
from hw4opt.fit import fit
from hw4opt.problem import Problem
from hw4opt.solvers import load_solver, solver_names

NATIVE = ("interior", "newton", "admm", "proximal")


@dataclass(frozen=True)
class Row:
    """One solver's answer, or the sentence with which it refused or failed (objective None)."""

    solver: str
    status: str
    objective: float | None
    gap: float | None
    relative_gap: float | None
    seconds: float | None
    message: str


@dataclass(frozen=True)
class Crosscheck:
    """largest_difference: between two certified objectives. `faults` are the reasons for which the check fails, in sentences."""

    rows: list[Row]
    largest_difference: float
    faults: list[str]

    @property
    def agrees(self) -> bool:
        return not self.faults


def every_solver() -> list[str]:
    """The native solvers, and cvxpy:NAME for every solver that cvxpy finds installed."""
    backends = load_solver("cvxpy").backends()
    return [name for name in solver_names() if name != "cvxpy"] + [f"cvxpy:{name}" for name in backends]


def crosscheck(problem: Problem, solvers: Sequence[str] | None = None, progress: Callable[[str], None] | None = None) -> Crosscheck:
    """Solve with every solver; certified objectives must agree within gap_a + gap_b + 1e-9 |P|, and every native solver must certify."""
    rows = []
    for solver in solvers or every_solver():
        if progress is not None:
            progress(solver)
        rows.append(_row(problem, solver))
    certified = [row for row in rows if row.status == Status.CERTIFIED.word]
    faults = [f"{row.solver} accepted the problem and is not certified: {row.message}" for row in rows if _failed(row)]
    if len(certified) < 2:
        faults.append(f"fewer than two solvers are certified ({len(certified)})")
    largest = 0.0
    for place, one in enumerate(certified):
        for other in certified[place + 1 :]:
            assert one.objective is not None and other.objective is not None and one.gap is not None and other.gap is not None
            difference = abs(one.objective - other.objective)
            largest = max(largest, difference)
            if difference > one.gap + other.gap + 1e-9 * max(abs(one.objective), abs(other.objective)):
                faults.append(f"{one.solver} and {other.solver} differ by {difference:.2e}, more than their gaps allow")
    return Crosscheck(rows, largest, faults)


def _failed(row: Row) -> bool:
    return row.solver in NATIVE and row.status not in (Status.CERTIFIED.word, "refused")


def _row(problem: Problem, solver: str) -> Row:
    try:
        result = fit(problem, solver)
    except Hw4Error as error:
        return Row(solver, "refused", None, None, None, None, str(error))
    certificate = result.certificate
    return Row(solver, result.status.word, result.objective, certificate.gap, certificate.relative_gap, result.seconds, result.message)
