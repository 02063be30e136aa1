"""The form as a quadratic program, for any solver that the library qpsolvers knows. The only file that imports
qpsolvers.

    minimise over w, m, s⁺, s⁻ ≥ 0    ½ wᵀ(diag(penalty) + H)w + bᵀw + Σ_i (½ q_i m_i² + high_i s⁺_i - low_i s⁻_i)
    subject to                        a_iᵀw - shift_i = q_i m_i + s⁺_i - s⁻_i            rows with curvature or two
    bounds: u_i = m_i
                                      a_iᵀw ≥ shift_i at the cost high_i (a_iᵀw - shift_i)   rows with the bound high
                                      alone a_iᵀw ≤ shift_i at the cost low_i (a_iᵀw - shift_i)    rows with the bound
                                      low alone

m_i exists where q_i > 0, s⁺_i where high_i is finite, s⁻_i where low_i is; H and b are those of the rows without
bounds. u_i is the multiplier of the equality, or the finite bound corrected by the multiplier of the inequality.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sparse

from hw4opt.errors import InputError, RefusedError, UnknownNameError
from hw4opt.form import BoxRows, Form
from hw4opt.form.answer import Answer, Options, Start, Status
from hw4opt.running.processes import in_own_process, start_own_process
from hw4opt.solvers._base import Family
from hw4opt.solvers._deadline import Deadline
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
    # it takes rows of small differences for infeasible, and with this option goes on to the nearest feasible point,
    # which is the solution
    "proxqp": {"eps_abs": 1e-11, "eps_rel": 1e-12, "max_iter": 20_000, "primal_infeasibility_solving": True},
    # with its own, smaller, proximal term it calls some feasible programs infeasible
    "daqp": {"primal_tol": 1e-10, "eps_prox": -1e-4, "eta_prox": 1e-12, "iter_limit": 100_000},
    "highs": {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    "clarabel": {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11, "max_iter": 500},
    "osqp": {"eps_abs": 1e-10, "eps_rel": 1e-10, "max_iter": 400_000},
    "ecos": {"abstol": 1e-10, "reltol": 1e-10, "feastol": 1e-10, "max_iters": 500},
    "scs": {"eps_abs": 1e-10, "eps_rel": 1e-10, "max_iters": 100_000},
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
STRICTLY_CONVEX_ONLY = frozenset({"quadprog", "ecos"})  # need curvature of every variable
# those that end soon, at their limit of iterations
QP_WITH_OWN_LIMIT = frozenset({"piqp", "daqp", "quadprog", "clarabel", "osqp", "ecos", "scs"})
MAX_DENSE_ENTRIES = 50_000_000  # entries of P up to which a solver that takes only dense matrices is asked
PREFERRED_DENSE_ENTRIES = 1_000_000  # entries of P up to which one that takes both is given dense ones: more exact
ADDED_CURVATURE = 1e-10  # of P's largest diagonal entry, for variables without curvature (STRICTLY_CONVEX_ONLY)


class Qp(Family):
    """The solvers that qpsolvers finds, on a quadratic program."""

    name = "qp"
    tolerance = 1e-8

    def backends(self) -> list[str]:
        """The solvers that qpsolvers finds installed."""
        return sorted(qpsolvers.available_solvers)

    def backend(self, name: str) -> str:
        """The solver's name as qpsolvers spells it; raises `UnknownNameError`, which lists the installed ones."""
        if not name:
            return QP_DEFAULT if QP_DEFAULT in self.backends() else self.backends()[0]
        if name.lower() not in self.backends():
            raise UnknownNameError("installed qp solver", name.lower(), self.backends())
        return name.lower()

    def refuse(self, form: Form) -> str | None:
        """Takes forms whose every row is piecewise linear-quadratic."""
        smooth = sorted(term.names[0] for term in form.terms if term.smooth is not None)
        return f"a quadratic program holds no {smooth[0]} loss; take newton, interior or cvxpy" if smooth else None

    def solve(self, form: Form, options: Options, start: Start | None = None) -> Answer:
        """Problem by problem; not every backend takes a start, so none is given one."""
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
    rows = _ProgramRows.of(form)
    program = _suited(name, _program(form, rows))
    raw = _answer_of(name, program, options, deadline)
    w, u = raw.x[None, : form.penalty.shape[1]], np.zeros((1, form.size))
    u[:, rows.places] = rows.duals(raw)
    notes = {} if raw.note is None else {0: raw.note}
    return Answer(w, form.complete_dual(u, w), [raw.status], np.array([raw.iterations]), notes=notes)


@dataclass(frozen=True, eq=False)
class Program:
    """minimise ½ xᵀPx + cᵀx subject to Gx ≤ h, Ax = b, x ≥ least; matrices dense or sparse, None where there are no
    rows."""

    p: Any
    c: Array
    g: Any
    h: Array | None
    a: Any
    b: Array | None
    least: Array | None


@dataclass(frozen=True, eq=False)
class Raw:
    """What a backend returned: x, the multipliers y of the equalities and z ≥ 0 of the inequalities; zeros where it
    found none."""

    x: Array
    y: Array
    z: Array
    status: Status
    iterations: int = 0
    note: str | None = None

    @classmethod
    def nothing(cls, program: Program, status: Status, note: str) -> Raw:
        """No answer, for the reason `note`."""
        sizes = [0 if one is None else len(one) for one in (program.b, program.h)]
        return cls(np.zeros(len(program.c)), np.zeros(sizes[0]), np.zeros(sizes[1]), status, note=note)


@dataclass(frozen=True, eq=False)
class _ProgramRows:
    """All nonquadratic rows of a form of one problem, (m,) each, a (m, r), and their places in the table of all
    rows."""

    places: np.ndarray
    a: Array
    quadratic: Array
    shift: Array
    low: Array
    high: Array
    open: np.ndarray

    @classmethod
    def of(cls, form: Form) -> _ProgramRows:
        blocks = form.nonquadratic
        boxes = [block.rows for block in blocks if isinstance(block.rows, BoxRows)]
        sizes = [block.count for block in blocks]

        def joined(arrays: list[Array]) -> Array:
            return np.concatenate(
                [np.zeros(0), *(np.broadcast_to(a[0], m) for a, m in zip(arrays, sizes, strict=True))]
            )

        return cls(
            np.concatenate(
                [np.zeros(0, dtype=int), *(np.arange(block.span.start, block.span.stop) for block in blocks)]
            ),
            np.concatenate([np.zeros((0, form.penalty.shape[1])), *(block.matrix for block in blocks)]),
            joined([box.quadratic for box in boxes]),
            joined([box.shift for box in boxes]),
            joined([box.low for box in boxes]),
            joined([box.high for box in boxes]),
            joined([box.open for box in boxes]) > 0,
        )

    @property
    def one_sided(self) -> np.ndarray:
        """Rows that are a linear cost on one side of shift, and forbidden on the other."""
        return self.open & (self.quadratic == 0) & (np.isinf(self.low) | np.isinf(self.high))

    @property
    def sign(self) -> Array:
        """-1 where a one-sided row must not fall below shift, 1 where it must not rise above."""
        return np.where(np.isinf(self.low), -1.0, 1.0)

    @property
    def bound(self) -> Array:
        """The finite bound of a one-sided row."""
        return np.where(np.isinf(self.low), self.high, self.low)

    def duals(self, raw: Raw) -> Array:
        """u of every row."""
        u, one_sided = np.where(self.open, 0.0, self.low), self.one_sided
        u[one_sided] = (self.bound + self.sign * _scatter(raw.z, one_sided))[one_sided]
        u[self.open & ~one_sided] = raw.y
        return u


def _scatter(values: Array, places: np.ndarray) -> Array:
    whole = np.zeros(len(places))
    whole[places] = values
    return whole


def _program(form: Form, rows: _ProgramRows) -> Program:
    """The program in sparse matrices."""
    one_sided, r = rows.one_sided, form.penalty.shape[1]
    split = rows.open & ~one_sided
    q, low, high = rows.quadratic[split], rows.low[split], rows.high[split]
    curved, over, under = (np.flatnonzero(one) for one in (q > 0, np.isfinite(high), np.isfinite(low)))
    slack, ones = len(over) + len(under), np.ones(len(q))
    h = form.quadratic.h[0] + np.diag(form.penalty[0])
    linear = rows.bound[one_sided] @ rows.a[one_sided] + rows.low[~rows.open] @ rows.a[~rows.open]
    a = [
        sparse.csc_array(rows.a[split]),
        *(_columns(len(q), *one) for one in ((curved, -q), (over, -ones), (under, ones))),
    ]
    g = sparse.csc_array(rows.sign[one_sided, None] * rows.a[one_sided])
    return Program(
        p=sparse.block_diag(
            [0.5 * (h + h.T), sparse.diags_array(q[curved]), sparse.csc_array((slack, slack))], format="csc"
        ),
        c=np.concatenate([form.quadratic.b[0] + linear, np.zeros(len(curved)), high[over], -low[under]]),
        g=sparse.hstack([g, sparse.csc_array((int(one_sided.sum()), len(curved) + slack))], format="csc")
        if one_sided.any()
        else None,
        h=(rows.sign * rows.shift)[one_sided] if one_sided.any() else None,
        a=sparse.hstack(a, format="csc") if split.any() else None,
        b=rows.shift[split] if split.any() else None,
        least=np.concatenate([np.full(r + len(curved), -np.inf), np.zeros(slack)]) if slack else None,
    )


def _columns(size: int, places: np.ndarray, values: Array) -> sparse.csc_array:
    """The columns `places` of diag(values), values of shape (size,)."""
    return sparse.csc_array((values[places], (places, np.arange(len(places)))), shape=(size, len(places)))


def _suited(name: str, program: Program) -> Program:
    """The program in the matrices that the backend takes; raises `RefusedError` where they are dense and too large."""
    size = len(program.c)
    if name in qpsolvers.dense_solvers and size**2 <= PREFERRED_DENSE_ENTRIES:
        return _mapped(program, lambda matrix: matrix.toarray())
    if name in qpsolvers.sparse_solvers:
        return _mapped(program, sparse.csc_matrix)
    if size**2 > MAX_DENSE_ENTRIES:
        raise RefusedError(
            f"qp:{name} takes dense matrices, which are too large for {size} variables; take a "
            "sparse one, such as qp:piqp"
        )
    return _mapped(program, lambda matrix: matrix.toarray())


def _mapped(program: Program, act: Callable[[Any], Any]) -> Program:
    p, g, a = (None if matrix is None else act(matrix) for matrix in (program.p, program.g, program.a))
    return replace(program, p=p, g=g, a=a)


def _answer_of(name: str, program: Program, options: Options, deadline: Deadline) -> Raw:
    """The backend's answer: here where it ends by itself and no limit is set, else in a process that can be killed."""
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


def _stays_here(options: Options) -> bool:
    """Whether the backend needs no process that can be killed: it ends by itself, and no limit is set."""
    return options.time_limit is None and options.backend in QP_WITH_OWN_LIMIT


def _run(task: tuple[str, Program, dict[str, Any]]) -> Raw:
    name, program, settings = task
    p = _strictly_convex(program.p) if name in STRICTLY_CONVEX_ONLY else program.p
    problem = qpsolvers.Problem(p, program.c, program.g, program.h, program.a, program.b, program.least)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the certificate says what an answer is worth
        try:
            found = qpsolvers.solve_problem(problem, name, **settings)
        except Exception as error:  # solvers raise whatever they like
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
    """The status and note of an answer that its backend does not call solved."""
    if said.endswith("SOLVED_CLOSEST_PRIMAL_FEASIBLE"):
        return Status.CERTIFIED, None
    if "max" in said.lower() or "limit" in said.lower():
        return Status.ITERATION_LIMIT, None
    return Status.UNCERTIFIED, f"qp:{name} did not reach its tolerance" + (f" ({said})" if said else "")


def _strictly_convex(p: Array) -> Array:
    """p with a little curvature on the variables that have none."""
    diagonal = np.diag(p)
    return p + np.diag(np.where(diagonal > 0, 0.0, ADDED_CURVATURE * diagonal.max(initial=1e-300)))
