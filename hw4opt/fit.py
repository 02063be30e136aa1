"""fit: canonicalize, refuse?, solve, certify."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from hw4opt.answer import Answer, Options, Status
from hw4opt.certificate import Certificate, Proof, certify
from hw4opt.errors import InputError, RefusedError
from hw4opt.feasibility import infeasible, strictly_feasible
from hw4opt.form import Form, canonicalize
from hw4opt.problem import Problem
from hw4opt.result import Result
from hw4opt.solvers import load_solver
from hw4opt.threads import one_blas_thread

TOLERANCES = {"interior": 1e-9, "admm": 1e-8, "proximal": 1e-8, "cvxpy": 1e-6}


def fit(problem: Problem, solver: str = "auto", tol: float | None = None, max_iterations: int | None = None) -> Result:
    """Solve one problem and certify the answer.

    solver    auto (the interior point) | interior | admm | proximal | cvxpy | cvxpy:NAME
    tol       relative gap and violation to certify; default 1e-9 for interior, 1e-8 for admm and proximal, 1e-6 for cvxpy solvers

    Raises `RefusedError` if the solver cannot take the problem, `InputError` for a bad option. An answer without proof is returned, with
    its status; `Result.raise_for_status` turns that into an exception.
    """
    return fit_batch([problem], solver, tol, max_iterations)[0]


def fit_batch(
    problems: Sequence[Problem], solver: str = "auto", tol: float | None = None, max_iterations: int | None = None
) -> list[Result]:
    """Solve many problems that share x, kernel, intercept and the kinds of their terms as one batch; as `fit` otherwise.

    `seconds` of each result is its share of the batch's time.
    """
    problems = list(problems)
    with one_blas_thread():
        form = canonicalize(problems)
        for problem in problems[1:]:
            problem.share_design(form.design)
        name, options = choose(form, solver, tol, max_iterations)
        started = time.perf_counter()
        answer = load_solver(name).solve(form, options)
        seconds = (time.perf_counter() - started) / len(problems)
        proof, statuses = prove(form, answer, options.tol, None if name == "cvxpy" else load_solver(name).solve)
    duals = form.duals_of_blocks(proof.duals)
    label = name if options.backend is None else f"{name}:{options.backend}"
    return [
        Result(
            problem,
            label,
            statuses[i],
            proof.certificates[i],
            proof.w[i],
            {block.name: u[i] for block, u in zip(form.blocks, duals, strict=True)},
            int(answer.iterations[i]),
            seconds,
            answer.notes.get(i),
        )
        for i, problem in enumerate(problems)
    ]


def choose(form: Form, solver: str, tol: float | None, max_iterations: int | None) -> tuple[str, Options]:
    """The solver's name and options; raises `RefusedError` with the sentence of a solver that does not take the form."""
    name, _, backend = solver.partition(":")
    name = "interior" if name == "auto" else name
    module = load_solver(name)
    if backend and name != "cvxpy":
        raise InputError(f"solver {solver!r}: only cvxpy takes a name after a colon, as in cvxpy:CLARABEL")
    if tol is not None and not 0 < tol < 1:
        raise InputError(f"tol is {tol!r}; it must lie between 0 and 1")
    if max_iterations is not None and max_iterations < 1:
        raise InputError(f"max_iterations is {max_iterations!r}; it must be 1 or more")
    options = Options(
        TOLERANCES.get(name, 1e-8) if tol is None else tol, max_iterations, module.backend(backend) if name == "cvxpy" else None
    )
    if refusal := module.refuse(form):
        raise RefusedError(f"{solver} refuses this problem: {refusal}")
    return name, options


def prove(form: Form, answer: Answer, tol: float, solve: Callable[[Form, Options], Answer] | None = None) -> tuple[Proof, list[Status]]:
    """Certify; where that falls short, once more from a strictly feasible point and, for native solvers, from a tighter solve."""
    proof = certify(form, answer.w, answer.duals, answer.interior)
    for i, certificate in enumerate(proof.certificates):
        if certificate.holds(tol):
            continue
        one, w, duals = form.cut(np.array([i])), answer.w[i : i + 1], [u[i : i + 1] for u in answer.duals]
        inside = strictly_feasible(one)
        proof = _better(proof, i, one, w, duals, None if inside is None else inside[None])
        if solve is not None and answer.reached[i] is Status.CERTIFIED and not proof.certificates[i].holds(tol):
            again = solve(one, Options(tol=1e-3 * tol))
            proof = _better(proof, i, one, again.w, again.duals, again.interior if inside is None else inside[None])
    statuses = []
    for i, certificate in enumerate(proof.certificates):
        status = _status(certificate, answer.reached[i], tol)
        if status not in (Status.CERTIFIED, Status.INACCURATE) and infeasible(form.cut(np.array([i]))):
            status = Status.INFEASIBLE
        if form.ridge[i] == 0 and _unattained(form, proof.w, i):
            status = Status.UNBOUNDED
        statuses.append(status)
    return proof, statuses


def _better(proof: Proof, i: int, one: Form, w: np.ndarray, duals: list[np.ndarray], inside: np.ndarray | None) -> Proof:
    """The proof with problem i's part replaced by a certificate at (w, duals), if that proves more."""
    fresh = certify(one, w, duals, inside)
    old, new = proof.certificates[i], fresh.certificates[0]
    if new.relative_gap is None or (old.relative_gap is not None and old.relative_gap <= new.relative_gap):
        return proof
    certificates, points = list(proof.certificates), proof.w.copy()
    certificates[i], points[i] = new, fresh.w[0]
    every = [u.copy() for u in proof.duals]
    for u, part in zip(every, fresh.duals, strict=True):
        u[i] = part[0]
    return Proof(certificates, points, every)


def _status(certificate: Certificate, reached: Status, tol: float) -> Status:
    if certificate.holds(tol):
        return Status.CERTIFIED
    if certificate.relative_gap is None:
        return reached if reached is Status.UNBOUNDED else Status.UNCERTIFIED
    return reached if reached is Status.ITERATION_LIMIT else Status.INACCURATE


def _unattained(form: Form, w: np.ndarray, i: int) -> bool:
    loss, *others = form.blocks
    if loss.smooth is None or others:
        return False
    z = loss.rows.take(form.design.matrix @ w[i]) + loss.smooth.offset[i]
    return loss.smooth.term.unattained(z, loss.smooth.targets[i])
