"""The witness of optima: the same problem over the whole kernel (no reduced basis), every term written out by hand as a
cone program and solved by Clarabel directly.

It shares no line with the package but the kernels' values, which test_kernels checks.
"""

import math
from dataclasses import dataclass

import clarabel
import numpy as np
from scipy import sparse

from dense_rows import divided
from hw4opt import (
    L1,
    TotalVariation,
    Trend,
)
from hw4opt.kernels import VALUE
from hw4opt.terms import Coefficients, Differences, Slope, Values


def whole_kernel(problem, x, new):
    """F with f = F w at the rows of x, then of new; and by column the slopes at x: an exact factor of the Gram matrix
    of them all."""
    columns = sorted({term.acts.column for term in problem.terms if isinstance(term.acts, Slope)})
    points = np.vstack([x, new])
    if problem.kernel is None:
        return points, {column: np.tile(np.eye(x.shape[1])[column], (len(x), 1)) for column in columns}
    spots = [(points, VALUE), *((x, column) for column in columns)]
    gram = np.block(
        [[problem.kernel.between(one, first, other, second) for other, second in spots] for one, first in spots]
    )
    values, vectors = np.linalg.eigh(0.5 * (gram + gram.T))
    factor = vectors * np.sqrt(np.maximum(values, 0))
    if problem.ridge == 0:  # directions that are rounding alone would cost nothing
        factor = factor[:, values > 1e-13 * values[-1]]
    edges = np.cumsum([len(points), *(len(x) for _ in columns)])
    return factor[: edges[0]], {column: factor[low : low + len(x)] for column, low in zip(columns, edges, strict=False)}


def pieces_of(term):
    """(slope, level) of the lines whose maximum the term is, row by row."""
    match term.name:
        case "absolute" | "tv" | "trend" | "l1":
            weight = getattr(term, "weight", 1.0)
            return [(weight, 0.0), (-weight, 0.0)]
        case "quantile":
            return [(1 - term.tau, 0.0), (-term.tau, 0.0)]
        case "epsilon_insensitive":
            return [(1.0, -term.epsilon), (-1.0, -term.epsilon), (0.0, 0.0)]


def inequalities_of(term):
    """(sign, level) with sign·z ≥ level of a constraint."""
    match term.name:
        case "increasing" | "convex" | "nonnegative":
            return [(1.0, 0.0)]
        case "decreasing" | "concave":
            return [(-1.0, 0.0)]
        case "bounds":
            both = [(1.0, term.lower), (-1.0, -term.upper)]
            return [(sign, level) for sign, level in both if math.isfinite(level)]


class Program:
    """½ vᵀPv + qᵀv over v, subject to G v ≤ h, zero cones and exponential cones: columns are added as terms need
    them."""

    def __init__(self, width):
        self.width, self.quadratic, self.linear, self.cones = width, [], [], []

    def columns(self, quadratic, linear):
        at = slice(self.width, self.width + len(linear))
        self.width = at.stop
        self.quadratic.append((at, quadratic))
        self.linear.append((at, linear))
        return at

    def less(self, parts, right, cone=clarabel.NonnegativeConeT):
        """Σ matrix·v[columns] ≤ right."""
        self.cones.append((parts, right, [cone(len(right))] if cone is clarabel.NonnegativeConeT else cone))

    def solve(self):
        P, q = sparse.lil_matrix((self.width, self.width)), np.zeros(self.width)
        for at, part in self.quadratic:
            P[at, at] = part
        for at, part in self.linear:
            q[at] = part
        rows = []
        for parts, right, _ in self.cones:
            row = np.zeros((len(right), self.width))
            for at, matrix in parts:
                row[:, at] += matrix
            rows.append(row)
        rows = sparse.csc_matrix(np.vstack(rows) if rows else np.zeros((0, self.width)))
        right = np.concatenate([right for _, right, _ in self.cones]) if self.cones else np.zeros(0)
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.max_iter = False, 200
        settings.tol_gap_abs, settings.tol_gap_rel, settings.tol_feas = 1e-13, 1e-11, 1e-11
        cones = [cone for _, _, group in self.cones for cone in group]
        return clarabel.DefaultSolver(sparse.triu(P).tocsc(), q, rows, right, cones, settings).solve()


@dataclass
class Optimum:
    """f* at the rows and at new points without its intercept, P*, and √((P - D)/ridge): how far off the witness itself
    may be."""

    f: np.ndarray
    objective: float
    error: float


def optimum(problem, new=None):
    keep = np.arange(len(problem.y)) if problem.weights is None else np.flatnonzero(problem.weights)
    x, y = problem.x[keep], problem.y[keep]
    weights = np.ones(len(y)) if problem.weights is None else problem.weights[keep]
    offset = np.zeros(len(y)) if problem.offset is None else problem.offset[keep]
    new = x[:0] if new is None else new
    factor, slopes = whole_kernel(problem, x, new)
    span, penalized = slice(0, factor.shape[1] + problem.intercept), factor.shape[1]
    values = np.column_stack([factor, np.ones(len(factor))])[: len(y), span]
    ridge = np.zeros(span.stop)
    ridge[:penalized] = 2 * problem.ridge
    program, distinct = Program(0), np.unique(x[:, 0], return_index=True)
    program.columns(np.diag(ridge), np.zeros(span.stop))
    for term in problem.terms:
        match term.acts:
            case Values():
                rows = values
            case Differences(order):
                rows = divided(distinct[0], order) @ values[distinct[1]]
            case Slope(column):
                rows = np.column_stack([slopes[column], np.zeros(len(y))])[:, span]
            case Coefficients():
                rows = np.eye(span.stop)[:penalized]
        is_loss = term is problem.loss
        add_term(program, term, span, rows, weights if is_loss else np.ones(len(rows)), offset, y, is_loss)
    solution = program.solve()
    w = np.array(solution.x)[:penalized]
    constant = float(weights @ (offset - y) ** 2) if problem.loss.name == "squared" else 0.0
    off = max(solution.obj_val - solution.obj_val_dual, 1e-13 * abs(solution.obj_val + constant))
    error = math.sqrt(off / problem.ridge) if problem.ridge else math.inf
    return Optimum(factor @ w, solution.obj_val + constant, error)


def add_term(program, term, span, rows, weights, offset, y, is_loss):
    count, eye = len(rows), np.eye(len(rows))
    shift = offset - y if is_loss and term.name != "logistic" else np.zeros(count)
    if sides := inequalities_of(term):
        for sign, level in sides:
            program.less([(span, -sign * rows)], np.full(count, -level))
    elif term.name == "squared":  # ω (z + shift)², but its constant
        program.quadratic.append((span, program.quadratic[0][1] + 2 * rows.T @ (weights[:, None] * rows)))
        program.linear.append((span, 2 * rows.T @ (weights * shift)))
    elif term.name == "huber":  # min over a of a² + 2 δ |z - a|
        a = program.columns(np.diag(2 * weights), np.zeros(count))
        t = program.columns(np.zeros((count, count)), 2 * term.delta * weights)
        for sign in (1, -1):
            program.less([(span, sign * rows), (a, -sign * eye), (t, -eye)], -sign * shift)
    elif term.name == "logistic":  # e^(-t) + e^(-y z - t) ≤ 1
        t = program.columns(np.zeros((count, count)), weights)
        signs = np.where(y > 0, 1.0, -1.0)
        for margin in (0 * signs, signs):
            u = program.columns(np.zeros((count, count)), np.zeros(count))
            flat = np.zeros((3 * count, count))
            top, bottom, right = flat.copy(), flat.copy(), np.zeros(3 * count)
            top[0::3], bottom[2::3] = eye, -eye
            right[0::3], right[1::3] = -margin * offset, 1
            wide = np.zeros((3 * count, rows.shape[1]))
            wide[0::3] = margin[:, None] * rows
            program.less([(span, wide), (t, top), (u, bottom)], right, [clarabel.ExponentialConeT()] * count)
        first, second = (
            slice(program.width - 2 * count, program.width - count),
            slice(program.width - count, program.width),
        )
        program.less([(first, eye), (second, eye)], np.ones(count))
    else:
        t = program.columns(np.zeros((count, count)), weights)
        for slope, level in pieces_of(term):
            program.less([(span, slope * rows), (t, -eye)], -level - slope * shift)


def objective_by_hand(problem, w):
    """P at w: every term of its own rows, made from the design's values and dense differences."""
    design, keep = problem.design, slice(None) if problem.active is None else problem.active
    f = design.evaluate(problem.features(problem.active_x)) @ w + problem.level
    y, x = problem.y[keep], problem.active_x
    z = f + (0 if problem.offset is None else problem.offset[keep])
    weights = np.ones(len(y)) if problem.weights is None else problem.weights[keep]
    rows = (
        problem.loss.pointwise(z, problem.loss.check_targets(y))
        if problem.loss.targets
        else problem.loss.pointwise(z - y)
    )
    distinct = np.unique(x[:, 0], return_index=True)
    total = float(weights @ rows) + problem.ridge * float(np.square(w[design.penalized]).sum())
    for term in problem.terms[1:]:
        if isinstance(term, TotalVariation | Trend):
            total += term.weight * float(np.abs(divided(distinct[0], term.acts.order) @ f[distinct[1]]).sum())
        elif isinstance(term, L1):
            total += term.weight * float(np.abs(w[design.penalized]).sum())
    return total
