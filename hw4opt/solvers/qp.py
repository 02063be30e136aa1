"""Any solver of the library qpsolvers, on the quadratic program of _qp_program.py. The only file that imports
qpsolvers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sparse

from hw4opt.errors import InputError, RefusedError, UnknownNameError
from hw4opt.form import Form
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.running.processes import WorkerEndedError, in_own_process, start_own_process
from hw4opt.solvers._base import Family, scs_linear_solver
from hw4opt.solvers._deadline import Deadline
from hw4opt.solvers._qp_program import Program, ProgramRows, Raw, program_of
from hw4opt.terms.base import Array

try:
    import qpsolvers
except ImportError as error:
    raise InputError("the solver qp needs qpsolvers; it comes with the extra: pip install 'hw4opt[qp]'") from error

QP_DEFAULT = "piqp"
QP_SETTINGS: dict[str, dict[str, Any]] = {  # tightened, as in cvxpy.py
    "piqp": {
        "eps_abs": 1e-10,
        "eps_rel": 1e-11,
        "eps_duality_gap_abs": 1e-10,
        "eps_duality_gap_rel": 1e-11,
        "max_iter": 500,
    },
    # it reports rows of small differences as infeasible, and with this option finds the nearest feasible point,
    # which is the solution
    "proxqp": {"eps_abs": 1e-11, "eps_rel": 1e-12, "max_iter": 20_000, "primal_infeasibility_solving": True},
    # with its default, smaller, proximal term it reports some feasible programs as infeasible
    "daqp": {"primal_tol": 1e-10, "eps_prox": -1e-4, "eta_prox": 1e-12, "iter_limit": 100_000},
    "highs": {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    "clarabel": {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11, "max_iter": 500},
    "osqp": {"eps_abs": 1e-10, "eps_rel": 1e-10, "max_iter": 400_000},
    "ecos": {"abstol": 1e-10, "reltol": 1e-10, "feastol": 1e-10, "max_iters": 500},
    "scs": {"eps_abs": 1e-10, "eps_rel": 1e-10, "max_iters": 100_000, **scs_linear_solver()},
}
QP_ITERATION_OPTIONS = {  # the option that limits iterations
    "piqp": "max_iter",
    "proxqp": "max_iter",
    "daqp": "iter_limit",
    "highs": "qp_iteration_limit",
    "clarabel": "max_iter",
    "osqp": "max_iter",
    "ecos": "max_iters",
    "scs": "max_iters",
}
QP_TIME_OPTIONS = {"highs": "time_limit", "clarabel": "time_limit", "osqp": "time_limit", "scs": "time_limit_secs"}
STRICTLY_CONVEX_ONLY = frozenset({"quadprog", "ecos"})  # these need curvature in every variable
# these end soon, at their limit of iterations
QP_WITH_OWN_LIMIT = frozenset({"piqp", "daqp", "quadprog", "clarabel", "osqp", "ecos", "scs"})
MAX_DENSE_ENTRIES = 50_000_000  # entries of P up to which a solver for dense matrices only is used
PREFERRED_DENSE_ENTRIES = 1_000_000  # entries of P up to which a solver for both is given dense ones: more accurate
ADDED_CURVATURE = 1e-10  # of P's largest diagonal entry, for variables without curvature (STRICTLY_CONVEX_ONLY)


class Qp(Family):
    """The solvers of qpsolvers, on a quadratic program."""

    name = "qp"
    tolerance = 1e-8

    def backends(self) -> list[str]:
        """The installed solvers of qpsolvers."""
        return sorted(qpsolvers.available_solvers)

    def backend(self, name: str) -> str:
        """The solver's name as qpsolvers spells it; raises `UnknownNameError`, which lists the installed ones."""
        if not name:
            return QP_DEFAULT if QP_DEFAULT in self.backends() else self.backends()[0]
        if name.lower() not in self.backends():
            raise UnknownNameError("installed qp solver", name.lower(), self.backends())
        return name.lower()

    def refuse(self, form: Form) -> str | None:
        """The reason for a form with smooth rows, else None."""
        smooth = sorted(term.names[0] for term in form.terms if term.smooth is not None)
        return f"a quadratic program cannot hold {smooth[0]} loss; use newton, interior or cvxpy" if smooth else None

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Solve problem by problem; `start` is ignored, since not every backend takes one."""
        if not _stays_here(options):
            start_own_process(_run)
        deadline = Deadline(options.time_limit)
        found = [_solve_one(form.cut(np.array([i])), options, deadline) for i in range(form.batch)]
        u = np.concatenate([one.u for one in found])
        return Answer(
            np.concatenate([one.w for one in found]),
            u,
            [status for one in found for status in one.reached],
            np.concatenate([one.iterations for one in found]),
            notes={i: note for i, one in enumerate(found) for note in one.notes.values()},
            seconds=deadline.elapsed,
        )


def _solve_one(form: Form, options: Options, deadline: Deadline) -> Answer:
    name = options.backend or QP_DEFAULT
    rows = ProgramRows.of(form)
    program = _suited(name, program_of(form, rows))
    raw = _answer_of(name, program, options, deadline)
    w, u = raw.x[None, : form.penalty.shape[1]], np.zeros((1, form.size))
    u[:, rows.places] = rows.duals(raw)
    notes = {} if raw.note is None else {0: raw.note}
    return Answer(w, form.complete_dual(u, w), [raw.status], np.array([raw.iterations]), notes=notes)


def _suited(name: str, program: Program) -> Program:
    """The program in matrices that the backend takes; raises `RefusedError` if they are dense and too large."""
    size = len(program.c)
    if name in qpsolvers.dense_solvers and size**2 <= PREFERRED_DENSE_ENTRIES:
        return _mapped(program, lambda matrix: matrix.toarray())
    if name in qpsolvers.sparse_solvers:
        return _mapped(program, sparse.csc_matrix)
    if size**2 > MAX_DENSE_ENTRIES:
        raise RefusedError(
            f"qp:{name} takes dense matrices, which are too large for {size} variables; use a "
            "sparse one, such as qp:piqp"
        )
    return _mapped(program, lambda matrix: matrix.toarray())


def _mapped(program: Program, act: Callable[[Any], Any]) -> Program:
    p, g, a = (None if matrix is None else act(matrix) for matrix in (program.p, program.g, program.a))
    return replace(program, p=p, g=g, a=a)


def _answer_of(name: str, program: Program, options: Options, deadline: Deadline) -> Raw:
    """The backend's answer: in this process if it ends by itself and no limit is set, else in one that can be
    killed."""
    settings = dict(QP_SETTINGS.get(name, {}))
    if options.max_iterations is not None:
        if name not in QP_ITERATION_OPTIONS:
            raise InputError(f"qp:{name} has no limit on iterations; leave out max_iterations, or set time_limit")
        settings[QP_ITERATION_OPTIONS[name]] = options.max_iterations
    if _stays_here(options):
        return _run((name, program, settings))
    seconds = deadline.pass_on(settings, QP_TIME_OPTIONS.get(name))
    try:
        return in_own_process(_run, (name, program, settings), seconds)
    except TimeoutError:
        return Raw.nothing(program, Status.ITERATION_LIMIT, deadline.note)
    except WorkerEndedError:
        return Raw.nothing(program, Status.UNCERTIFIED, f"qp:{name} failed: its process ended")


def _stays_here(options: Options) -> bool:
    """Whether the backend needs no process that can be killed: it ends by itself, and no limit is set."""
    return options.time_limit is None and options.backend in QP_WITH_OWN_LIMIT


def _run(task: tuple[str, Program, dict[str, Any]]) -> Raw:
    name, program, settings = task
    p = _strictly_convex(program.p) if name in STRICTLY_CONVEX_ONLY else program.p
    problem = qpsolvers.Problem(p, program.c, program.g, program.h, program.a, program.b, program.least)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the certificate judges the answer
        try:
            found = qpsolvers.solve_problem(problem, name, **settings)
        except Exception as error:  # backends raise any exception
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            return Raw.nothing(program, Status.UNCERTIFIED, f"qp:{name} failed: {said}")
    if found.x is None or not len(found.x) or not np.isfinite(found.x).all():
        return Raw.nothing(program, Status.UNCERTIFIED, f"qp:{name} found no solution")
    y, z = (
        np.zeros(0 if right is None else len(right))
        if right is None or part is None
        else np.nan_to_num(np.asarray(part, dtype=float))
        for part, right in ((found.y, program.b), (found.z, program.h))
    )
    info = found.extras.get("info")
    status, note = (
        (Status.CERTIFIED, None)
        if found.found
        else _unsolved(name, str(getattr(info, "status", "")).rpartition(".")[2])
    )
    return Raw(np.asarray(found.x, dtype=float), y, z, status, int(getattr(info, "iter", 0)), note)


def _unsolved(name: str, said: str) -> tuple[Status, str | None]:
    """The status and note of an answer that its backend does not report as solved."""
    if said.endswith("SOLVED_CLOSEST_PRIMAL_FEASIBLE"):
        return Status.CERTIFIED, None
    if "max" in said.lower() or "limit" in said.lower():
        return Status.ITERATION_LIMIT, None
    return Status.UNCERTIFIED, f"qp:{name} did not reach its tolerance" + (f" ({said})" if said else "")


def _strictly_convex(p: Array) -> Array:
    """p with a small curvature on the variables that have none."""
    diagonal = np.diag(p)
    return p + np.diag(np.where(diagonal > 0, 0.0, ADDED_CURVATURE * diagonal.max(initial=1e-300)))
