"""One problem solved by several independent solvers, compared in one table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hw4opt.errors import Hw4Error
from hw4opt.fit import fit_rows
from hw4opt.form.answer import Status
from hw4opt.problem import Problem
from hw4opt.result import Result
from hw4opt.shapes.fits import with_points
from hw4opt.solvers import Solver, families, installed, native_solvers
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import checked

COMPARED_BACKENDS = ("cvxpy:CLARABEL", "cvxpy:ECOS", "cvxpy:OSQP", "cvxpy:SCS", "qp:daqp", "qp:piqp", "qp:proxqp")
TIME_LIMIT = 60.0  # seconds a solver
COMPARED_STATUSES = (Status.CERTIFIED, Status.INACCURATE, Status.UNCERTIFIED, Status.ITERATION_LIMIT)
COMPARISON_ROUNDING = 1e-9  # of gap_scale: what objectives may differ by beyond their gaps
OBJECTIVE_APART = 1e-4  # of gap_scale: a larger difference of uncertified objectives is a contradiction
FITTED_APART = 1e-2  # of y's robust spread: a larger difference of uncertified fitted values is a contradiction


@dataclass(frozen=True)
class Row:
    """One solver's answer, or the sentence with which it refused or failed (objective None).

    fitted_difference   max |fitted - fitted of the best certified answer|, relative to y's robust spread
    agrees_with         the solvers whose answers do not contradict this one
    """

    solver: str
    status: str
    objective: float | None
    gap: float | None
    relative_gap: float | None
    seconds: float | None
    message: str
    fitted_difference: float | None = None
    agrees_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Crosscheck:
    """The rows of the check, one per solver.

    largest_difference   the largest one between two certified objectives
    faults               the reasons for which the check fails, in sentences
    odd_one_out          the solver whose answer contradicts all others, where some of those agree
    """

    rows: list[Row]
    largest_difference: float
    faults: list[str]
    odd_one_out: str | None = None

    @property
    def agrees(self) -> bool:
        return not self.faults


def default_solvers() -> list[str]:
    """The native solvers, and those of `COMPARED_BACKENDS` that are installed."""
    backends = [name for family in families() for name in installed(family)]
    return [*native_solvers(), *(name for name in COMPARED_BACKENDS if name in backends)]


def every_solver() -> list[str]:
    """The native solvers, and cvxpy:NAME and qp:NAME for every backend that is installed."""
    return [*native_solvers(), *(name for family in families() for name in installed(family))]


@checked
def crosscheck(
    problem: Problem,
    solvers: Sequence[str | Solver] | None = None,
    progress: Callable[[str], None] | None = None,
    time_limit: float | None = TIME_LIMIT,
) -> Crosscheck:
    """Solve with every solver named; default: the native solvers and the compared backends that are installed.

    Certified objectives must agree within gap_a + gap_b + 1e-9 gap_scale (the smaller of the two answers' scales),
    every native solver must certify what it accepts, and at least two solvers must certify.
    Shapes at every x are imposed at the points that the interior point needs.

    time_limit    seconds per solver; None: no limit
    """
    (problem,) = with_points([problem])
    rows, results, native = [], {}, set(native_solvers())
    for solver in default_solvers() if solvers is None else solvers:
        name = solver if isinstance(solver, str) else solver.name
        if isinstance(solver, Solver) and solver.native:
            native.add(name)
        if progress is not None:
            progress(name)
        row, result = _row(problem, solver, name, time_limit)
        rows.append(row)
        if result is not None:
            results[name] = result
    largest, faults = _disagreements(rows, results, native)
    answers = {solver: result for solver, result in results.items() if _is_answer(result)}
    spread = robust_spread(problem.y if problem.active is None else problem.y[problem.active])
    apart = {(one, other) for one, other in combinations(answers, 2) if _apart(answers[one], answers[other], spread)}
    agreeing = {
        name: tuple(other for other in answers if other != name and not {(name, other), (other, name)} & apart)
        for name in answers
    }
    best = _best(answers, agreeing)
    rows = [_compared(row, answers, best, spread, agreeing.get(row.solver, ())) for row in rows]
    return Crosscheck(rows, largest, faults, _odd_one_out(rows, answers))


def robust_spread(y: Array) -> float:
    """1.4826 times the median distance from the median; where that is 0, the standard deviation; where that is also 0,
    1."""
    y = np.asarray(y, dtype=float)
    spread = 1.4826 * float(np.median(np.abs(y - np.median(y))))
    return spread or float(y.std()) or 1.0


def _row(problem: Problem, solver: str | Solver, name: str, time_limit: float | None) -> tuple[Row, Result | None]:
    try:
        (result,) = fit_rows([problem], solver, time_limit=time_limit)
    except Hw4Error as error:
        return Row(name, "refused", None, None, None, None, str(error)), None
    certificate = result.certificate
    row = Row(
        name,
        result.status.word,
        result.objective,
        certificate.gap,
        certificate.relative_gap,
        result.seconds,
        result.message,
    )
    return row, result


def _disagreements(rows: Sequence[Row], results: dict[str, Result], native: Collection[str]) -> tuple[float, list[str]]:
    """The largest difference of two certified objectives, and the reasons for which the check fails."""
    fine = (Status.CERTIFIED.word, "refused")
    faults = [
        f"{row.solver} accepted the problem and is not certified: {row.message}"
        for row in rows
        if row.solver in native and row.status not in fine
    ]
    certified = {solver: result for solver, result in results.items() if result.status is Status.CERTIFIED}
    if len(certified) < 2:
        faults.append(f"fewer than two solvers are certified ({len(certified)})")
    largest = 0.0
    for one, other in combinations(certified, 2):
        difference, allowed = _differ(certified[one], certified[other])
        largest = max(largest, difference)
        if difference > allowed:
            faults.append(f"{one} and {other} differ by {difference:.2e}, more than their gaps allow")
    return largest, faults


def _scale(one: Result, other: Result) -> float:
    return min(result.certificate.gap_scale or abs(result.objective) for result in (one, other))


def _differ(one: Result, other: Result) -> tuple[float, float]:
    """The difference of two certified objectives, and the largest one allowed."""
    gaps = (one.certificate.gap or 0.0) + (other.certificate.gap or 0.0)
    return abs(one.objective - other.objective), gaps + COMPARISON_ROUNDING * _scale(one, other)


def _is_answer(result: Result) -> bool:
    """Whether the solver returned a point; one that failed or was killed leaves w = 0."""
    finite = np.isfinite(result.objective) and bool(np.isfinite(result.fitted).all())
    return finite and result.status in COMPARED_STATUSES and (result.status is Status.CERTIFIED or bool(result.w.any()))


def _apart(one: Result, other: Result, spread: float) -> bool:
    """Whether two answers contradict each other: certified ones by more than their gaps allow, others by more than a
    fixed tolerance.

    Fitted values are compared where the ridge makes them unique.
    """
    difference, allowed = _differ(one, other)
    if one.status is other.status is Status.CERTIFIED:
        bounds = [result.prediction_error_bound for result in (one, other)]
        proven = sum(np.inf if bound is None or one.problem.intercept else bound for bound in bounds) / spread
        return difference > allowed or _fitted_difference(one, other, spread) > proven + COMPARISON_ROUNDING
    if difference > OBJECTIVE_APART * _scale(one, other):
        return True
    return one.problem.ridge > 0 and _fitted_difference(one, other, spread) > FITTED_APART


def _fitted_difference(one: Result, other: Result, spread: float) -> float:
    return float(np.abs(one.fitted - other.fitted).max()) / spread


def _best(answers: dict[str, Result], agreeing: dict[str, tuple[str, ...]]) -> Result | None:
    """The certified answer that most others agree with; among several, the one of smallest relative gap."""
    certified = [name for name, result in answers.items() if result.status is Status.CERTIFIED]
    first = min(
        certified, key=lambda name: (-len(agreeing[name]), answers[name].certificate.relative_gap or 0.0), default=None
    )
    return None if first is None else answers[first]


def _compared(
    row: Row, answers: dict[str, Result], best: Result | None, spread: float, agrees_with: tuple[str, ...]
) -> Row:
    """The row, compared with the others."""
    if best is None or row.solver not in answers:
        return replace(row, agrees_with=agrees_with)
    return replace(
        row, agrees_with=agrees_with, fitted_difference=_fitted_difference(answers[row.solver], best, spread)
    )


def _odd_one_out(rows: Sequence[Row], answers: Collection[str]) -> str | None:
    """The finished answer that contradicts all others, the farthest off if several do; None if no others agree."""
    alone = [
        row
        for row in rows
        if row.solver in answers and not row.agrees_with and row.status != Status.ITERATION_LIMIT.word
    ]
    if not alone or not any(row.agrees_with for row in rows):
        return None
    return max(alone, key=lambda row: row.fitted_difference or 0.0).solver
