"""The compiled model for any solver of cvxpy, as an independent check. The only file that imports cvxpy.

    minimise  ridge ‖w‖² + Σ_k Σ_i ω_ki f_k(z_k)_i    subject to  z_k = A_k w + c_k,

every term by its own `model`. u_k is minus the dual value of the k-th equality. The Gram matrix is not used, because
its quadratic form fails cvxpy's check of positive semidefiniteness.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
from cvxpy.error import DCPError, SolverError

from hw4opt.errors import RefusedError, UnknownNameError
from hw4opt.form import Form, TermRows
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.running.processes import WorkerEndedError, in_own_process, start_own_process
from hw4opt.solvers._base import Family, scs_linear_solver
from hw4opt.solvers._deadline import Deadline
from hw4opt.terms import Loss, Term
from hw4opt.terms.base import Array

CVXPY_DEFAULT = "CLARABEL"
CVXPY_SETTINGS: dict[str, dict[str, Any]] = {  # tightened: their defaults leave relative gaps of 1e-4 to 1e-7
    "CLARABEL": {
        "tol_gap_abs": 1e-11,
        "tol_gap_rel": 1e-11,
        "tol_feas": 1e-11,
        "max_iter": 500,
        "accept_unknown": True,
        "static_regularization_constant": 1e-12,
    },
    "OSQP": {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iter": 400_000, "polishing": True},
    "ECOS": {"abstol": 1e-9, "reltol": 1e-9, "feastol": 1e-9, "max_iters": 500},
    "SCS": {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 100_000, **scs_linear_solver()},
    "PIQP": {"eps_abs": 1e-9, "eps_rel": 1e-10, "max_iter": 1000},
    "PROXQP": {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iter": 20_000},
}
STATUS_OF_WORD = {
    "optimal": Status.CERTIFIED,
    "optimal_inaccurate": Status.INACCURATE,
    "infeasible": Status.INFEASIBLE,
    "infeasible_inaccurate": Status.INFEASIBLE,
    "unbounded": Status.UNBOUNDED,
    "unbounded_inaccurate": Status.UNBOUNDED,
    "user_limit": Status.ITERATION_LIMIT,
}
CVXPY_ITERATION_OPTIONS = {"OSQP": "max_iter", "CLARABEL": "max_iter", "PIQP": "max_iter", "PROXQP": "max_iter"}
CVXPY_TIME_OPTIONS = {"CLARABEL": "time_limit", "OSQP": "time_limit", "SCS": "time_limit_secs", "HIGHS": "time_limit"}
CVXPY_WITH_OWN_LIMIT = frozenset({"CLARABEL", "ECOS", "OSQP", "SCS"})  # these end soon, at their limit of iterations


class BackendAnswer(NamedTuple):
    """A backend's answer to one problem: w (r,), the duals of the terms (1, m), its status, iterations, and a note on
    failure."""

    w: Array
    duals: list[Array]
    reached: Status
    iterations: int
    note: str | None


class Cvxpy(Family):
    """The solvers of cvxpy, on the compiled model."""

    name = "cvxpy"
    tolerance = 1e-6

    def backends(self) -> list[str]:
        """The installed solvers of cvxpy."""
        return sorted(cp.installed_solvers())

    def backend(self, name: str) -> str:
        """The solver's name as cvxpy spells it; raises `UnknownNameError`, which lists the installed ones."""
        wanted = name.upper() or CVXPY_DEFAULT
        if wanted not in self.backends():
            raise UnknownNameError("installed cvxpy solver", name.upper(), self.backends())
        return wanted

    def refuse(self, form: Form) -> str | None:
        """None: whether the backend takes the form is known only once the model is compiled."""
        return None

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Solve problem by problem; `start` is ignored, since not every backend takes one."""
        if not _stays_here(form, options):
            start_own_process(_solve_one)
        deadline = Deadline(options.time_limit)
        found = [_limited(form.cut(np.array([i])), options, deadline) for i in range(form.batch)]
        of_terms = [np.concatenate([one.duals[k] for one in found]) for k in range(len(form.terms))]
        return Answer(
            np.stack([one.w for one in found]),
            form.split_duals(of_terms),
            [one.reached for one in found],
            np.array([one.iterations for one in found]),
            notes={i: one.note for i, one in enumerate(found) if one.note is not None},
            seconds=deadline.elapsed,
        )


def _limited(form: Form, options: Options, deadline: Deadline) -> BackendAnswer:
    """The backend's answer: in this process if it keeps the limits by itself, else in one that can be killed."""
    name = options.backend or CVXPY_DEFAULT
    settings = dict(CVXPY_SETTINGS.get(name, {}))
    if options.max_iterations is not None:
        settings[CVXPY_ITERATION_OPTIONS.get(name, "max_iters")] = options.max_iterations
    seconds = deadline.pass_on(settings, CVXPY_TIME_OPTIONS.get(name))
    if _stays_here(form, options):
        found = _solve_one((form, name, settings))
    else:
        try:
            found = in_own_process(
                _solve_one, (replace(form), name, settings), seconds
            )  # a copy without its cached values
        except TimeoutError:
            found = _nothing(form, Status.ITERATION_LIMIT, None)
        except WorkerEndedError:
            found = _nothing(form, Status.UNCERTIFIED, f"cvxpy:{name} failed: its process ended")
    if deadline.passed() and found.reached in (Status.ITERATION_LIMIT, Status.INACCURATE):
        return found._replace(reached=Status.ITERATION_LIMIT, note=deadline.note)
    return found


def _nothing(form: Form, reached: Status, note: str | None) -> BackendAnswer:
    duals = [np.zeros((1, term.count)) for term in form.terms]
    return BackendAnswer(np.zeros(form.penalty.shape[1]), duals, reached, 0, note)


def _stays_here(form: Form, options: Options) -> bool:
    """Whether the backend needs no process that can be killed: it ends by itself, and no limit is set.

    Terms that are not of this package cannot go to another process.
    """
    own = all(
        type(term).__module__.startswith("hw4opt.") for rows in form.terms for terms in rows.terms for term in terms
    )
    return not own or (options.time_limit is None and (options.backend or CVXPY_DEFAULT) in CVXPY_WITH_OWN_LIMIT)


def _solve_one(task: tuple[Form, str, dict[str, Any]]) -> BackendAnswer:
    form, name, settings = task
    w = cp.Variable(form.penalty.shape[1])
    parts = [_compile(form, rows, w) for rows in form.terms]
    model = cp.Problem(
        cp.Minimize(sum((part.cost for part in parts), _quadratic(form, w))),
        [constraint for part in parts for constraint in part.constraints],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "solution may be inaccurate": the certificate says by how much
        try:
            model.get_problem_data(name)
        except (SolverError, DCPError, ValueError) as error:
            raise RefusedError(f"cvxpy:{name} cannot take this kind of problem") from error
        note = None
        try:
            model.solve(solver=name, **settings)
        except Exception as error:  # backends raise any exception
            note = f"cvxpy:{name} failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    reached = STATUS_OF_WORD.get(model.status, Status.UNCERTIFIED)
    steps = model.solver_stats.num_iters if model.solver_stats is not None else None
    duals = [_dual(part, rows.count) for part, rows in zip(parts, form.terms, strict=True)]
    point = np.zeros(w.shape) if w.value is None else np.nan_to_num(np.asarray(w.value, dtype=float))
    return BackendAnswer(point, duals, reached, int(steps or 0), note)


def _quadratic(form: Form, w: Any) -> Any:
    """½ wᵀ diag(penalty) w."""
    penalised = np.flatnonzero(form.penalty[0])
    return cp.sum_squares(cp.multiply(np.sqrt(0.5 * form.penalty[0, penalised]), w[penalised])) if len(penalised) else 0


class _CompiledTerm(NamedTuple):
    """One term's linking equality z = A w + c on its rows, its cost and constraints, and the unit of each row."""

    link: Any
    cost: Any
    constraints: list[Any]
    rows: np.ndarray
    lengths: Array


def _compile(form: Form, term_rows: TermRows, w: Any) -> _CompiledTerm:
    weights = np.broadcast_to(term_rows.weights, (1, term_rows.count))[0]
    rows = np.flatnonzero(weights > 0)
    a, offset = term_rows.map.take(form.matrix)[rows], np.broadcast_to(term_rows.offset, (1, term_rows.count))[0, rows]
    lengths = np.ones(len(rows)) if term_rows.acts.of_data_rows else _row_lengths(a, form.loss_length)
    z = cp.Variable(len(rows))
    link = z == (a / lengths[:, None]) @ w + offset / lengths
    cost, constraints = 0, [link]
    smooth = term_rows.smooth
    targets = () if smooth is None else (smooth.targets[0, rows],)
    for (term,) in term_rows.terms:
        scale, face = _face(form, term, z, lengths, targets)
        if isinstance(face, list):
            constraints += face
            continue
        scale = scale * weights[rows] if isinstance(term, Loss) else scale
        cost = cost + (scale[0] * cp.sum(face) if np.all(scale == scale[0]) else cp.sum(cp.multiply(scale, face)))
    return _CompiledTerm(link, cost, constraints, rows, lengths)


def _row_lengths(a: Array, unit: float) -> Array:
    """The length of each row relative to a typical row of the loss, since differences of near points are short and
    slopes have other units; 1 for a row of zeros.
    """
    length = np.linalg.norm(a, axis=1) / unit
    return np.where(length > 0, length, 1.0)


def _face(form: Form, term: Term, z: Any, lengths: Array, targets: tuple[Array, ...]) -> tuple[Array, Any]:
    """The term's own model in the units of form and rows, and each row's factor; of a constraint, the list of its
    constraints.

    A cone does not depend on the unit, and in a term of degree 1 it is a factor: neither needs the lengths in its
    model.
    """
    size, worth = (
        (1.0, 1.0) if form.units is None else (float(one[0, 0]) for one in (form.units.size, form.units.worth))
    )
    ones, scaled = np.ones(len(lengths)), None if targets else term.in_units(size)
    if scaled is None:
        return ones / worth, term.model(cp, cp.multiply(size * lengths, z), *targets)
    doubled = term.in_units(2.0)
    if doubled == (1.0, term):
        return ones, term.model(cp, z)
    if doubled == (2.0, term):
        return size * lengths / worth, term.model(cp, z)
    factor, same = scaled
    return np.full(len(lengths), factor / worth), same.model(cp, z if np.all(lengths == 1) else cp.multiply(lengths, z))


def _dual(part: _CompiledTerm, count: int) -> Array:
    u = np.zeros((1, count))
    value = part.link.dual_value
    if value is not None:
        u[0, part.rows] = -np.nan_to_num(np.asarray(value, dtype=float)) / part.lengths
    return u
