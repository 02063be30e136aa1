"""Check of a solver, used by the tests and for users' own solvers."""

from __future__ import annotations

import numpy as np

from hw4opt.constraints.bounds import Bounds
from hw4opt.constraints.increasing import Increasing
from hw4opt.errors import InputError, RefusedError
from hw4opt.fit import prove, solve_with
from hw4opt.form import Form
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.kernels import RBF, Kernel
from hw4opt.losses.absolute import Absolute
from hw4opt.losses.huber import Huber
from hw4opt.losses.logistic import Logistic
from hw4opt.losses.poisson import Poisson
from hw4opt.losses.squared import Squared
from hw4opt.problem import Problem
from hw4opt.regularizers.l1 import L1
from hw4opt.regularizers.ridge import Ridge
from hw4opt.regularizers.tv import TotalVariation
from hw4opt.running.threads import one_blas_thread
from hw4opt.solvers import Chosen, Solver, find_solver
from hw4opt.terms import Loss, Term

RIDGES = (0.1, 1.0)  # of the two problems of each batch
PROBLEM_ROWS = 30  # of each problem


def check_solver(solver: str | Solver) -> None:
    """Raise `InputError` with a sentence on the first fault of a solver, a name or an object of a user's own class.

    Checked on small batches of kernel and linear problems that it does not refuse: `refuse` gives a sentence or None;
    points and duals have the form's shapes; problems reported as solved are certified to the solver's tolerance, also
    from a warm start; with max_iterations = 1 it still returns; the form is not changed.
    """
    chosen = find_solver(solver)
    taken = 0
    with one_blas_thread():
        for name, form in _forms().items():
            refusal = chosen.solver.refuse(form)
            if refusal is None:
                taken += _check_form(chosen, name, form)
            elif not isinstance(refusal, str) or not refusal.strip():
                raise InputError(f"{chosen.label}: refuse gives {refusal!r} for {name}; it must be a sentence, or None")
    if not taken:
        raise InputError(f"{chosen.label} refuses every problem that it was tried on")


def _check_form(chosen: Chosen, name: str, form: Form) -> bool:
    """Whether the solver takes the form."""
    options = Options(tol=chosen.solver.tolerance, backend=chosen.backend)
    before = form.penalty.copy(), form.matrix.copy()
    try:
        answer = _solved(chosen, name, form, options, None)
    except RefusedError:
        return False
    if not (np.array_equal(before[0], form.penalty) and np.array_equal(before[1], form.matrix)):
        raise InputError(f"{chosen.label} changes the form of {name}; penalty and matrix belong to the caller")
    if not all(_check_claims(chosen, name, form, answer)):
        raise InputError(f"{chosen.label} takes {name} and does not solve it: {[one.word for one in answer.reached]}")
    _check_claims(
        chosen, f"{name} from a warm start", form, _solved(chosen, name, form, options, Start(answer.w, answer.u))
    )
    if chosen.solver.native:
        limited = Options(tol=options.tol, max_iterations=1)
        _check_claims(chosen, f"{name} with max_iterations = 1", form, _solved(chosen, name, form, limited, None))
    return True


def _solved(chosen: Chosen, name: str, form: Form, options: Options, start: Start | None) -> Answer:
    """The solver's answer, its parts checked."""
    answer = solve_with(chosen.solver, form, options, start)
    if not isinstance(answer, Answer):
        raise InputError(f"{chosen.label}: solve gives {type(answer).__name__} for {name}; it must be an Answer")
    b = form.batch
    for what, array, shape in (("w", answer.w, form.penalty.shape), ("u", answer.u, (b, form.size))):
        if np.shape(array) != shape or not np.isfinite(array).all():
            raise InputError(
                f"{chosen.label}: {what} of {name} has shape {np.shape(array)}; it must be finite, of shape {shape}"
            )
    if (
        len(answer.reached) != b
        or not all(isinstance(one, Status) for one in answer.reached)
        or np.shape(answer.iterations) != (b,)
    ):
        raise InputError(
            f"{chosen.label}: reached and iterations of {name} must have one entry for each of the {b} problems"
        )
    return answer


def _check_claims(chosen: Chosen, name: str, form: Form, answer: Answer) -> list[bool]:
    """Which problems are certified; those that the solver reports as solved must be."""
    tolerance = chosen.solver.tolerance
    proof, statuses = prove(form, answer, tolerance)
    for i, certificate in enumerate(proof.certificates):
        if answer.reached[i] is Status.CERTIFIED and statuses[i] is not Status.CERTIFIED:
            said = certificate.reason or certificate.shortfall(tolerance)
            raise InputError(f"{chosen.label} reports problem {i} of {name} as solved, which it is not: {said}")
    return [status is Status.CERTIFIED for status in statuses]


def _forms() -> dict[str, Form]:
    x = np.linspace(0, 1, PROBLEM_ROWS)
    wave = np.sin(6 * x) + 0.2 * np.cos(71 * x)
    columns = np.column_stack([x, np.cos(9 * x), np.sin(23 * x)])
    labels, counts = np.where(wave > 0, 1.0, -1.0), np.round(3 + 2 * wave)
    rbf = RBF(20.0)
    return {
        "squared": _form(x, wave, rbf, Squared()),
        "squared, linear, intercept": _form(columns, wave, None, Squared(), intercept=True),
        "squared, l1": _form(columns, wave, None, Squared(), L1(0.5)),
        "huber, tv": _form(x, wave, rbf, Huber(0.3), TotalVariation(0.1)),
        "absolute, intercept": _form(x, wave, rbf, Absolute(), intercept=True),
        "huber, increasing": _form(x, wave + 3 * x, rbf, Huber(0.3), constraint=Increasing()),
        "squared, bounds": _form(x, wave, rbf, Squared(), constraint=Bounds(-0.5, 0.5)),
        "logistic": _form(x, labels, rbf, Logistic()),
        "poisson, linear, intercept": _form(columns, counts, None, Poisson(), intercept=True),
    }


def _form(
    x: np.ndarray,
    y: np.ndarray,
    kernel: Kernel | None,
    loss: Loss,
    regularizer: Term | None = None,
    constraint: Term | None = None,
    intercept: bool = False,
) -> Form:
    more = [] if regularizer is None else [regularizer]
    constraints = [] if constraint is None else [constraint]
    problems = [
        Problem(x, y, kernel, loss, [Ridge(ridge), *more], constraints, intercept=intercept) for ridge in RIDGES
    ]
    return canonicalize(problems)
