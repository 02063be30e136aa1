"""fit: canonicalize, check that the solver takes the problem and that a minimum exists, solve, certify."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hw4opt.errors import InputError, RefusedError
from hw4opt.form import Form
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.equilibrate import solve_scaled
from hw4opt.problem import Problem
from hw4opt.proof.breakpoints import on_breakpoints
from hw4opt.proof.certificate import Certificate, Proof, certify
from hw4opt.proof.existence import Existence, settle, without
from hw4opt.proof.feasibility import infeasible, strictly_feasible
from hw4opt.result import Result
from hw4opt.running.threads import one_blas_thread
from hw4opt.shapes.fits import with_proofs
from hw4opt.solvers import Chosen, Solver, find_solver, load_solver
from hw4opt.solvers._working_set import lasso, solve_over_sets
from hw4opt.terms import Likelihood
from hw4opt.validation.arguments import check_word, checked

UNATTAINED = "the infimum is not attained"
STATIONARY_GAP = 1e-6  # relative gap of a fit whose duals show the active rows


@checked
def fit(
    problem: Problem,
    solver: str | Solver = "auto",
    tol: float | None = None,
    max_iterations: int | None = None,
    separated: str = "refuse",
    time_limit: float | None = None,
) -> Result:
    """Solve one problem and certify the answer.

    solver      auto (newton for smooth losses and for least squares with unpenalised columns, else interior) | interior
                | newton | admm | proximal | cvxpy | cvxpy:NAME | qp | qp:NAME, or a `Solver` object of a user's own
    tol         the relative gap to certify, see `Certificate.holds`; default 1e-9 for interior and newton, 1e-8 for
                admm and qp, 1e-6 for proximal and cvxpy
    separated   refuse | drop, for counts without ridge whose likelihood has no finite maximum. refuse: the result has
                the status NO_FINITE_MAXIMUM, its `existence` names the rows that cause it, and it holds no numbers;
                drop: these rows are left out, if two rows or more remain
    time_limit  seconds that the solver may take, not counting the start of a process that it may need; None: no limit.
                A fit that is stopped has the status ITERATION_LIMIT and a `note` on it. With a limit, `math.inf`
                included, Ctrl-C ends a backend that ignores it

    Raises `RefusedError` if the solver cannot take the problem, `InputError` for a bad option. An answer without proof
    is returned, with its status; `Result.raise_for_status` turns that into an exception.
    """
    return _fit_all([problem], solver, tol, max_iterations, separated, time_limit)[0]


@checked
def fit_batch(
    problems: Sequence[Problem],
    solver: str | Solver = "auto",
    tol: float | None = None,
    max_iterations: int | None = None,
    separated: str = "refuse",
    time_limit: float | None = None,
) -> list[Result]:
    """Solve many problems that share x, kernel, intercept and the kinds of their terms as one batch; as `fit`
    otherwise.

    time_limit applies to the whole batch. `seconds` of each result is its share of the batch's time.
    """
    return _fit_all(list(problems), solver, tol, max_iterations, separated, time_limit)


def _fit_all(problems: list[Problem], *given: Any) -> list[Result]:
    return with_proofs(problems, lambda some: fit_rows(some, *given), time_limit=given[-1])


def fit_rows(
    problems: Sequence[Problem],
    solver: str | Solver = "auto",
    tol: float | None = None,
    max_iterations: int | None = None,
    separated: str = "refuse",
    time_limit: float | None = None,
) -> list[Result]:
    """As `fit_batch`, with the problems' rows as they are: shapes at every x are not checked between the rows."""
    check_word("separated", separated, ("refuse", "drop"))
    with one_blas_thread():
        form = canonicalize(problems)
        for problem in problems[1:]:
            problem.share_design(form.design)
        chosen, options = choose(form, solver, tol, max_iterations, time_limit)
        smooth = form.loss.smooth
        settles = smooth is not None and smooth.settles_existence
        settled = [settle(form, i) if settles else None for i in range(len(problems))]
        endless = [i for i, one in enumerate(settled) if one is not None and not one.finite]
        if not endless:
            return _solve(problems, form, chosen, options, settled)
        results: dict[int, Result] = {}
        if others := [i for i in range(len(problems)) if i not in endless]:
            part = _solve(
                [problems[i] for i in others], form.cut(np.array(others)), chosen, options, [settled[i] for i in others]
            )
            results |= dict(zip(others, part, strict=True))
        for i in endless:
            existence = settled[i]
            assert existence is not None
            found = _endless(problems[i], form.cut(np.array([i])), chosen, options, existence)
            results[i] = found if separated == "refuse" else _dropped(found, solver, tol, max_iterations, time_limit)
        return [results[i] for i in range(len(problems))]


def _solve(
    problems: Sequence[Problem], form: Form, chosen: Chosen, options: Options, settled: Sequence[Existence | None]
) -> list[Result]:
    started = time.perf_counter()
    answer = solve_with(chosen.solver, form, options)
    seconds = (time.perf_counter() - started if answer.seconds is None else answer.seconds) / len(problems)
    proof, statuses = prove(form, answer, options.tol, _again(chosen.solver, options))
    duals = form.duals_by_name(proof.u)
    return [
        Result(
            problem,
            chosen.label,
            statuses[i],
            proof.certificates[i],
            proof.w[i],
            {name: u[i] for name, u in duals.items()},
            int(answer.iterations[i]),
            seconds,
            answer.notes.get(i) or proof.certificates[i].shortfall(options.tol),
            existence=settled[i],
            columns=answer.rank,
        )
        for i, problem in enumerate(problems)
    ]


def solve_with(solver: str | Solver, form: Form, options: Options, start: Start | None = None) -> Answer:
    """The solver's answer, on the scaled form unless the solver is invariant to scaling."""
    found = load_solver(solver) if isinstance(solver, str) else solver
    if found.native and (whole := lasso(form)) is not None:
        return solve_over_sets(whole, lambda *part: _solve_with(found, *part), options)
    return _solve_with(found, form, options, start)


def _solve_with(solver: Solver, form: Form, options: Options, start: Start | None) -> Answer:
    if solver.scale_free(form):
        return solver.solve(form, options, start)
    return solve_scaled(solver.solve, form, options, start)


def _again(solver: Solver, options: Options) -> Callable[[Form, Options], Answer] | None:
    """The solver with the same time limit, for a tighter solve; None for solvers that are not native."""
    if not solver.native:
        return None
    return lambda form, tighter: solve_with(solver, form, dataclasses.replace(tighter, time_limit=options.time_limit))


def _endless(problem: Problem, form: Form, chosen: Chosen, options: Options, existence: Existence) -> Result:
    """The result of a problem without a finite maximum: the rows that cause it and the supremum, and no numbers that
    could be taken for a fit."""
    started = time.perf_counter()
    loss = form.loss
    rest, lowest, supremum = without(form, existence.rows), 0.0, 0.0
    smooth = rest.loss.smooth
    assert smooth is not None and isinstance(smooth.term, Likelihood)
    if smooth.weights.any():
        w = solve_with(chosen.solver, rest, options).w
        lowest = float(smooth.value(loss.map.take(form.matrix @ w[0])[None]).sum())
        weights = np.broadcast_to(smooth.weights, smooth.targets.shape)
        supremum = -lowest - float((weights * smooth.term.normalizer(smooth.targets[0])).sum())
    rows = existence.rows if problem.active is None else tuple(problem.active[list(existence.rows)].tolist())
    return Result(
        problem,
        chosen.label,
        Status.NO_FINITE_MAXIMUM,
        Certificate(lowest, None, None, None, math.inf, 0.0, None, 0.0, None, UNATTAINED, UNATTAINED),
        np.full(form.matrix.shape[1], np.nan),
        {name: np.full(term.count, np.nan) for term in form.terms for name in term.names},
        0,
        time.perf_counter() - started,
        existence=dataclasses.replace(existence, rows=rows, supremum=supremum),
    )


def _dropped(
    endless: Result, solver: str | Solver, tol: float | None, max_iterations: int | None, time_limit: float | None
) -> Result:
    """The fit without the separated rows, which its `existence` names."""
    problem, existence = endless.problem, endless.existence
    assert existence is not None
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights.copy()
    weights[list(existence.rows)] = 0.0
    if np.count_nonzero(weights) < 2:
        return endless  # nothing is left to fit
    rest = fit(dataclasses.replace(problem, weights=weights), solver, tol, max_iterations, time_limit=time_limit)
    return dataclasses.replace(rest, existence=existence)


def choose(
    form: Form, solver: str | Solver, tol: float | None, max_iterations: int | None, time_limit: float | None = None
) -> tuple[Chosen, Options]:
    """The solver and its options; raises `RefusedError` with the reason of a solver that does not take the form."""
    chosen = find_solver(_automatic(form) if isinstance(solver, str) and solver == "auto" else solver)
    if tol is not None and not 0 < tol < 1:
        raise InputError(f"tol is {tol!r}; it must lie between 0 and 1")
    if max_iterations is not None and max_iterations < 1:
        raise InputError(f"max_iterations is {max_iterations!r}; it must be 1 or more")
    if time_limit is not None and not time_limit > 0:
        raise InputError(f"time_limit is {time_limit!r}; it must be above 0")
    if refusal := chosen.solver.refuse(form):
        raise RefusedError(f"{solver if isinstance(solver, str) else chosen.label} refuses this problem: {refusal}")
    return chosen, Options(chosen.solver.tolerance if tol is None else tol, max_iterations, chosen.backend, time_limit)


def _automatic(form: Form) -> str:
    """Newton for smooth losses, and where columns may be collinear, because it finds their rank; else the interior
    point."""
    wanted = form.smooth_count or not form.all_penalized
    return "newton" if wanted and load_solver("newton").refuse(form) is None else "interior"


def prove(
    form: Form, answer: Answer, tol: float, solve: Callable[[Form, Options], Answer] | None = None
) -> tuple[Proof, list[Status]]:
    """Certify; if that fails, certify again from a strictly feasible point and, for native solvers, from a tighter
    solve."""
    proof = certify(form, answer.w, answer.u, answer.interior)
    for i, certificate in enumerate(proof.certificates):
        if certificate.holds(tol) or certificate.solved(tol):
            continue
        one, w, u = form.cut(np.array([i])), answer.w[i : i + 1], answer.u[i : i + 1]
        inside = strictly_feasible(one)
        proof = better_proof(proof, i, one, w, u, None if inside is None else inside[None])
        if solve is not None and answer.reached[i] is Status.CERTIFIED and not proof.certificates[i].holds(tol):
            again = solve(one, Options(tol=1e-3 * tol))
            proof = better_proof(proof, i, one, again.w, again.u, again.interior if inside is None else inside[None])
    proof = _on_breakpoints(form, proof, tol)
    statuses = []
    for i, certificate in enumerate(proof.certificates):
        status = _status(certificate, answer.reached[i], tol)
        if status not in (Status.CERTIFIED, Status.INACCURATE) and infeasible(form.cut(np.array([i]))):
            status = Status.INFEASIBLE
        if unattained(form, proof, i):
            status = Status.UNBOUNDED
        statuses.append(status)
    return proof, statuses


def _on_breakpoints(form: Form, proof: Proof, tol: float) -> Proof:
    """The proof with coefficients set exactly to the breakpoints where their duals hold them, for the problems that
    stay certified."""
    w = on_breakpoints(form, proof.w, proof.u)
    if w is None:
        return proof
    fresh = certify(form, w, proof.u)
    kept = np.array([new.holds(tol) for new in fresh.certificates])
    certificates = [
        new if keep else old for keep, new, old in zip(kept, fresh.certificates, proof.certificates, strict=True)
    ]
    return Proof(
        certificates, *(np.where(kept[:, None], new, old) for new, old in ((fresh.w, proof.w), (fresh.u, proof.u)))
    )


def better_proof(proof: Proof, i: int, one: Form, w: np.ndarray, u: np.ndarray, inside: np.ndarray | None) -> Proof:
    """The proof with problem i's part replaced by a certificate at (w, u), if that proves more."""
    fresh = certify(one, w, u, inside)
    old, new = proof.certificates[i], fresh.certificates[0]
    if new.relative_gap is None or (old.relative_gap is not None and old.relative_gap <= new.relative_gap):
        return proof
    certificates, points, duals = list(proof.certificates), proof.w.copy(), proof.u.copy()
    certificates[i], points[i], duals[i] = new, fresh.w[0], fresh.u[0]
    return Proof(certificates, points, duals)


def _status(certificate: Certificate, reached: Status, tol: float) -> Status:
    if certificate.holds(tol):
        return Status.CERTIFIED
    if certificate.relative_gap is None:
        return reached if reached is Status.UNBOUNDED else Status.UNCERTIFIED
    return reached if reached is Status.ITERATION_LIMIT else Status.INACCURATE


def unattained(form: Form, proof: Proof, i: int) -> bool:
    """Whether a loss that is not checked before the fit, such as the logistic one, has only an infimum in problem i."""
    smooth = form.loss.smooth
    if smooth is None or smooth.settles_existence:
        return False
    return not settle(form, i, proof.w[i] if proof.certificates[i].holds(STATIONARY_GAP) else None).finite
