"""The peers: cvxpy as a user writes it, and QP solvers called directly on the reduced basis. None of it shares code
with hw4opt's solvers.

Every peer takes a `Fold`, the model's data with some rows left out, and gives the point w, f = B w. `judge` proves how
good a point is.

The direct solvers get one of two QPs over dense matrices:
    split   over (w, p, q, s):  ‖Bw - y - p + q‖² + 2δ 1ᵀ(p + q) + ridge ‖w‖² + tv 1ᵀs,   p, q ≥ 0,  -s ≤ DBw ≤ s   (or
            order·DBw ≥ 0)
    box     its dual over u:    ½ (Aᵀu + b)ᵀ H⁻¹ (Aᵀu + b) + ½ q‖u‖² + tᵀu,   l ≤ u ≤ h,    w = -H⁻¹(Aᵀu + b)
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import clarabel
import cvxpy as cp
import daqp
import numpy as np
import osqp
import piqp
import proxsuite
import scipy.sparse as sp

from bench.cases import Model
from hw4opt import Certificate, Problem
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.equilibrate import solve_scaled
from hw4opt.proof.certificate import certify
from hw4opt.solvers.interior import Interior

T = TypeVar("T")

DELTA = 1.0
PASSES = 1e-6  # relative gap and violation at which a peer's answer counts: what hw4opt asks of cvxpy solvers


@dataclass(frozen=True, eq=False)
class Fold:
    """x, y and B without the rows in `held`; what depends on the rows alone is computed once."""

    problem: Problem
    held: tuple[int, ...] = ()

    @cached_property
    def rows(self) -> np.ndarray:
        return np.delete(np.arange(len(self.problem.y)), self.held)

    @cached_property
    def base_rows(self) -> np.ndarray:
        """The design's row, that of its distinct x, of each row."""
        row_of = self.problem.design.row_of
        return self.rows if row_of is None else row_of[self.rows]

    @cached_property
    def B(self) -> np.ndarray:  # noqa: N802
        return self.problem.design.matrix[self.base_rows]

    @cached_property
    def x(self) -> np.ndarray:
        return self.problem.x[self.rows, 0]

    @cached_property
    def y(self) -> np.ndarray:
        return self.problem.y[self.rows]

    @cached_property
    def DB(self) -> np.ndarray:  # noqa: N802
        """Differences between neighbours among the distinct x."""
        return np.diff(self.problem.design.matrix[np.unique(self.base_rows)], axis=0)

    @cached_property
    def BB(self) -> np.ndarray:  # noqa: N802
        return self.B.T @ self.B

    @cached_property
    def By(self) -> np.ndarray:  # noqa: N802
        return self.B.T @ self.y


def judge(problem: Problem, w: np.ndarray, held: tuple[int, ...] = ()) -> Certificate:
    """The certificate of a peer's point, beside a dual point of our own: P(w) - D(u), the most that w can be off.

    An infeasible w is moved into the constraints first, as `fit` does for cvxpy's solvers.
    """
    form = canonicalize([problem], [np.array(held, dtype=int)] if held else None)
    ours = solve_scaled(Interior().solve, form, Options(tol=1e-10))
    return certify(form, w[None], ours.u, ours.interior).certificates[0]


def worst(
    tasks: Sequence[tuple[Problem, tuple[int, ...]]], points: Sequence[np.ndarray], most: int = 24
) -> tuple[float | None, bool]:
    """The largest relative gap over (problem, held rows) and their points, evenly thinned to `most`, and whether all of
    them pass."""
    chosen = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).astype(int))
    proofs = [judge(tasks[i][0], points[i], tasks[i][1]) for i in chosen]
    gaps = [proof.relative_gap for proof in proofs]
    return (None if None in gaps else max(gaps)), all(proof.holds(PASSES) for proof in proofs)


def attempt(act: Callable[[], T]) -> Callable[[], T | str]:
    """The act, or the first line of what it raised: a peer that cannot take a problem is a row that says so."""

    def tried() -> T | str:
        try:
            return act()
        except Exception as error:  # solvers raise whatever they like
            return f"fails: {(str(error) or type(error).__name__).splitlines()[0].partition('. ')[0]}"

    return tried


# ---- cvxpy ----------------------------------------------------------------------------------------------------------


def _solve(model: cp.Problem, variable: cp.Variable, name: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "may be inaccurate": judged by the certificate
        model.solve(solver=name)
    if variable.value is None:
        raise RuntimeError(f"{name} gives no point: {model.status}")
    return variable.value


def assignment_loop(fold: Fold, model: Model, name: str) -> np.ndarray:
    """The body of the assignment's loop: the rows' Gram matrix, D, and the model; psd_wrap, or cvxpy refuses K."""
    x, y = fold.x, fold.y
    K = np.exp(-model.gamma * np.square(x[:, None] - x))
    D = np.diff(np.eye(len(x)), axis=0)
    a = cp.Variable(len(x))
    error = cp.sum(cp.huber(y - K @ a, DELTA)) if model.huber else cp.sum_squares(y - K @ a)
    objective = error + model.ridge * cp.quad_form(a, cp.psd_wrap(K))
    if model.tv:
        objective = objective + model.tv * cp.norm1(D @ (K @ a))
    constraints = [model.order * D @ K @ a >= 0] if model.order else []
    return fold.B.T @ _solve(cp.Problem(cp.Minimize(objective), constraints), a, name)


def factored_loop(fold: Fold, model: Model, name: str) -> np.ndarray:
    """The same over the reduced basis, written as an expert would: f = B w, ‖w‖² for αᵀKα."""
    w = cp.Variable(fold.B.shape[1])
    f = fold.B @ w
    error = cp.sum(cp.huber(fold.y - f, DELTA)) if model.huber else cp.sum_squares(fold.y - f)
    objective = error + model.ridge * cp.sum_squares(w)
    if model.tv:
        objective = objective + model.tv * cp.norm1(fold.DB @ w)
    constraints = [model.order * fold.DB @ w >= 0] if model.order else []
    return _solve(cp.Problem(cp.Minimize(objective), constraints), w, name)


class Compiled:
    """The factored model compiled once, y a cvxpy Parameter: what cvxpy offers for many problems of one structure."""

    def __init__(self, fold: Fold, model: Model, name: str) -> None:
        self.name = name
        self.y, self.w, r = cp.Parameter(len(fold.y)), cp.Variable(fold.B.shape[1]), cp.Variable(len(fold.y))
        error = cp.sum(cp.huber(r, DELTA)) if model.huber else cp.sum_squares(r)
        objective = error + model.ridge * cp.sum_squares(self.w)
        constraints = [r == fold.B @ self.w - self.y]
        if model.tv:
            objective = objective + model.tv * cp.norm1(fold.DB @ self.w)
        if model.order:
            constraints.append(model.order * fold.DB @ self.w >= 0)
        self.problem = cp.Problem(cp.Minimize(objective), constraints)

    def __call__(self, y: np.ndarray) -> np.ndarray:
        self.y.value = y
        return _solve(self.problem, self.w, self.name)


# ---- QPs over the reduced basis --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class QP:
    """minimise ½ xᵀPx + cᵀx  subject to  G x ≥ g (G may have no rows),  low ≤ x ≤ high;  `point` gives w of x."""

    P: np.ndarray
    c: np.ndarray
    G: np.ndarray
    g: np.ndarray
    low: np.ndarray
    high: np.ndarray
    point: Callable[[np.ndarray], np.ndarray]


def split_qp(fold: Fold, model: Model) -> QP:
    n, r = fold.B.shape
    p, s = (n if model.huber else 0), (len(fold.DB) if model.tv else 0)
    size = r + 2 * p + s
    P, c = np.zeros((size, size)), np.zeros(size)
    P[:r, :r] = 2 * fold.BB
    P[range(r), range(r)] += 2 * model.ridge
    c[:r] = -2 * fold.By
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    if p:
        for start, sign in ((r, -1.0), (r + p, 1.0)):
            P[:r, start : start + p] = 2 * sign * fold.B.T
            P[start : start + p, :r] = 2 * sign * fold.B
            c[start : start + p] = 2 * DELTA - 2 * sign * fold.y
        diagonal = np.arange(r, r + p)
        P[diagonal, diagonal] = P[diagonal + p, diagonal + p] = 2.0
        P[diagonal, diagonal + p] = P[diagonal + p, diagonal] = -2.0
        low[r : r + 2 * p] = 0.0
    G = np.zeros((0, size))
    if s:
        c[r + 2 * p :] = model.tv
        G = np.zeros((2 * s, size))
        G[:s, :r], G[s:, :r] = fold.DB, -fold.DB
        G[np.arange(2 * s), size - s + np.arange(2 * s) % s] = 1.0
    elif model.order:
        G = model.order * fold.DB
    return QP(P, c, G, np.zeros(len(G)), low, high, lambda x: x[:r])


def box_qp(fold: Fold, model: Model) -> QP:
    n, r = fold.B.shape
    differences = len(fold.DB) if model.tv or model.order else 0
    A = np.concatenate([fold.B[: n if model.huber else 0], (model.order or 1) * fold.DB[:differences]])
    H, b = 2 * model.ridge * np.eye(r), np.zeros(r)
    if not model.huber:
        H, b = H + 2 * fold.BB, -2 * fold.By
    solved = (
        np.linalg.solve(H, np.column_stack([A.T, b]))
        if not model.huber
        else np.column_stack([A.T, b]) / (2 * model.ridge)
    )
    P, c = A @ solved[:, :-1], A @ solved[:, -1]
    P = 0.5 * (P + P.T)
    low, high = np.full(len(c), -model.tv if model.tv else -np.inf), np.full(len(c), model.tv)
    if model.huber:
        P[range(n), range(n)] += 0.5
        c[:n] += fold.y
        low[:n], high[:n] = -2 * DELTA, 2 * DELTA
    return QP(P, c, np.zeros((0, len(c))), np.zeros(0), low, high, lambda u: -(solved[:, :-1] @ u + solved[:, -1]))


FORMS = {"split": split_qp, "box": box_qp}


@dataclass
class Direct:
    """A QP solver that keeps its workspace: the first problem sets it up, later ones of the same size update it.

    `inside` adds up the seconds spent in the solver's own calls, without forming the QPs; `tol` is what the interior
    points and ProxQP are asked for, absolute and relative.
    """

    tol: float = 1e-9
    inside: float = 0.0
    _solver: Any = field(default=None, repr=False)

    def __call__(self, qp: QP) -> np.ndarray:
        started = time.perf_counter()
        x = self._run(qp)
        self.inside += time.perf_counter() - started
        return qp.point(x)

    def _run(self, qp: QP) -> np.ndarray:
        raise NotImplementedError


class Piqp(Direct):
    """Interior point: no warm start, only its workspace is reused."""

    def _run(self, qp: QP) -> np.ndarray:
        rows = {} if not len(qp.g) else {"G": np.asfortranarray(qp.G), "h_l": qp.g, "h_u": np.full(len(qp.g), np.inf)}
        data = {"P": np.asfortranarray(qp.P), "c": qp.c, "x_l": qp.low, "x_u": qp.high, **rows}
        if self._solver is None:
            self._solver = piqp.DenseSolver()
            self._solver.settings.eps_abs = self._solver.settings.eps_duality_gap_abs = self.tol
            self._solver.settings.eps_rel = self._solver.settings.eps_duality_gap_rel = self.tol
            self._solver.setup(**data)
        else:
            self._solver.update(**data)
        self._solver.solve()
        return np.array(self._solver.result.x)


class ProxQP(Direct):
    """Starts at the last result. Without the gap check it calls that solved when only the bounds have moved."""

    def _run(self, qp: QP) -> np.ndarray:
        data = {"H": qp.P, "g": qp.c, "l_box": qp.low, "u_box": qp.high}
        if len(qp.g):
            data |= {"C": qp.G, "l": qp.g, "u": np.full(len(qp.g), np.inf)}
        if self._solver is None:
            dense = proxsuite.proxqp.dense
            self._solver = dense.QP(len(qp.c), 0, len(qp.g), True)
            settings = self._solver.settings
            settings.eps_abs = settings.eps_rel = self.tol
            settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = self.tol
            settings.check_duality_gap = True
            settings.initial_guess = proxsuite.proxqp.InitialGuess.NO_INITIAL_GUESS
            self._solver.init(**data)
        else:
            self._solver.settings.initial_guess = proxsuite.proxqp.InitialGuess.COLD_START_WITH_PREVIOUS_RESULT
            self._solver.update(**data)
        self._solver.solve()
        return np.array(self._solver.results.x)


class Daqp(Direct):
    """Active sets: exact where it ends at the right one, and its own tolerances. No workspace is kept."""

    def _run(self, qp: QP) -> np.ndarray:
        high, low = np.concatenate([qp.high, np.full(len(qp.g), np.inf)]), np.concatenate([qp.low, qp.g])
        x, _, flag, _ = daqp.solve(qp.P, qp.c, qp.G, high, low)
        if flag < 0:
            raise RuntimeError(f"DAQP gives no point: its flag is {flag}")
        return x


class Osqp(Direct):
    """1e-5 and polished: at 1e-9 it needs hundreds of thousands of steps here."""

    def _run(self, qp: QP) -> np.ndarray:
        bounded = np.isfinite(qp.low) | np.isfinite(qp.high)
        rows = np.concatenate([qp.G, np.eye(len(qp.c))[bounded]])
        low, high = (
            np.concatenate([qp.g, qp.low[bounded]]),
            np.concatenate([np.full(len(qp.g), np.inf), qp.high[bounded]]),
        )
        P, A = _full(np.triu(qp.P), np.triu(np.ones_like(qp.P))), _full(rows, rows != 0)
        if self._solver is None or len(A.data) != self._nonzero:
            self._solver, self._nonzero = osqp.OSQP(), len(A.data)
            settings = {
                "eps_abs": 1e-5,
                "eps_rel": 1e-5,
                "polishing": bool(len(rows)),
                "max_iter": 100_000,
                "verbose": False,
            }
            self._solver.setup(P=P, q=qp.c, A=A, l=low, u=high, warm_starting=True, **settings)
        else:
            self._solver.update(Px=P.data, Ax=A.data, q=qp.c, l=low, u=high)
        return np.array(self._solver.solve(raise_error=False).x)


class Clarabel(Direct):
    """No workspace is kept: its Python interface has none for changed matrices of a problem with presolve."""

    def _run(self, qp: QP) -> np.ndarray:
        eye = np.eye(len(qp.c))
        below, above = np.isfinite(qp.low), np.isfinite(qp.high)
        A = np.concatenate([-qp.G, -eye[below], eye[above]])
        b = np.concatenate([-qp.g, -qp.low[below], qp.high[above]])
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        cones = [clarabel.NonnegativeConeT(len(b))] if len(b) else []
        return np.array(
            clarabel.DefaultSolver(sp.csc_matrix(np.triu(qp.P)), qp.c, sp.csc_matrix(A), b, cones, settings).solve().x
        )


def _full(matrix: np.ndarray, pattern: np.ndarray) -> sp.csc_matrix:
    """A sparse matrix that stores every entry of the pattern, zeros too, so that updates keep its structure."""
    columns, rows = np.nonzero(pattern.T)
    return sp.csc_matrix(
        (matrix[rows, columns], rows, np.concatenate([[0], np.cumsum(np.count_nonzero(pattern, axis=0))])), matrix.shape
    )


DIRECT: dict[str, type[Direct]] = {"PIQP": Piqp, "ProxQP": ProxQP, "DAQP": Daqp, "OSQP": Osqp, "Clarabel": Clarabel}
