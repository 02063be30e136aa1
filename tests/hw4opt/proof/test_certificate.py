"""The proof is true: gap and bound against an optimum found elsewhere, and planted faults that it must catch.

`optimum` is the witness: the same problem over the whole kernel (no reduced basis), every term written out by hand as a
cone program and solved by Clarabel directly. It shares no line with the package but the kernels' values, which
test_kernels checks.
"""

import dataclasses
import math
from dataclasses import dataclass

import clarabel
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

import hw4opt.proof.certificate
from hw4opt import (
    L1,
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    EpsilonInsensitive,
    Huber,
    Increasing,
    Laplacian,
    Logistic,
    Matern32,
    Matern52,
    Nonnegative,
    Polynomial,
    Problem,
    Quantile,
    RefusedError,
    Ridge,
    Squared,
    Status,
    TotalVariation,
    Trend,
    fit,
    fit_batch,
)
from hw4opt.crosscheck import crosscheck
from hw4opt.design import Design
from hw4opt.design.basis import build_basis
from hw4opt.fit import prove
from hw4opt.form import BoxRows
from hw4opt.form.answer import Options
from hw4opt.form.canonicalize import canonicalize
from hw4opt.form.dual_projection import Projected
from hw4opt.kernels import VALUE
from hw4opt.proof.certificate import certify
from hw4opt.proof.feasibility import strictly_feasible
from hw4opt.solvers import _first_order as first_order
from hw4opt.solvers import load_solver
from hw4opt.solvers._polish import Polished
from hw4opt.terms import Coefficients, Differences, Slope, Table, Values

LOSSES = [Squared(), Huber(0.3), Absolute(), Quantile(0.8), EpsilonInsensitive(0.15), Logistic()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


# ---- the witness -----------------------------------------------------------------------------------------------------


def divided(x, order):
    """Rows (order-1)!·(x_{j+order} - x_j)·f[x_j, …, x_{j+order}] as a dense matrix, by the recursion of divided
    differences."""
    table = np.eye(len(x))
    for step in range(1, order + 1):
        table = (table[1:] - table[:-1]) / (x[step:] - x[:-step])[:, None]
    return math.factorial(order - 1) * (x[order:] - x[:-order])[:, None] * table


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


# ---- the bound is true -----------------------------------------------------------------------------------------------


def random_batch(seed, count=40):
    """`count` random problems over one random design: x in one to three dimensions, repeated or not, any kernel, loss
    and shape."""
    random = np.random.default_rng([2026, seed])
    loss = LOSSES[seed % len(LOSSES)]
    columns = 1 if random.random() < 0.7 else int(random.integers(2, 4))
    size = int(random.integers(8, 22))
    x = random.uniform(size=(size, columns))
    if random.random() < 0.3:
        x[1] = x[0]
    gamma = float(10 ** random.uniform(-0.5, 2))
    kernels = [
        RBF(gamma),
        Laplacian(gamma / 5),
        Matern32(gamma),
        Matern52(gamma),
        Polynomial(0.7, int(random.integers(1, 5))),
        None,
    ]
    kernel = kernels[random.integers(len(kernels))]
    shapes = [[], [], [Bounds(-0.5, 0.6)], [Nonnegative()]]
    if columns == 1:
        shapes += [[Increasing()], [Decreasing()], [Convex()], [Concave()], [Increasing(), Nonnegative()]]
    if not isinstance(kernel, Laplacian) and kernel is not None:
        shapes += [[Increasing(column=columns - 1)]]
    shape = shapes[random.integers(len(shapes))] if kernel is not None else []
    tv, trend = (
        columns == 1 and random.random() < 0.5,
        int(random.integers(1, 4)) if columns == 1 and random.random() < 0.3 else 0,
    )
    intercept, weighted = bool(random.random() < 0.25), bool(random.random() < 0.5)
    mask = (
        np.where((np.arange(size) >= 5) & (random.random(size) < 0.2), 0.0, 1.0)
        if random.random() < 0.3
        else np.ones(size)
    )
    problems = []
    for _ in range(count):
        y = np.sin(5 * x.sum(axis=1)) + 0.3 * random.normal(size=size)
        fresh = {
            "huber": lambda: Huber(random.uniform(0.1, 1)),
            "quantile": lambda: Quantile(random.uniform(0.1, 0.9)),
            "epsilon_insensitive": lambda: EpsilonInsensitive(random.uniform(0.05, 0.3)),
        }.get(loss.name, lambda: loss)
        regularizers = [Ridge(float(10 ** random.uniform(-2, 0.5)))]
        regularizers += [TotalVariation(random.uniform(0.05, 1))] if tv else []
        regularizers += [Trend(random.uniform(0.01, 0.3), order=trend)] if trend else []
        regularizers += [L1(random.uniform(0.05, 1))] if kernel is None else []
        weights = mask * (random.uniform(0.3, 2, size=size) if weighted else 1.0)
        offset = 0.2 * random.normal(size=size) if weighted else None
        targets = y > 0 if isinstance(loss, Logistic) else y
        problems.append(Problem(x, targets, kernel, fresh(), regularizers, shape, weights, offset, intercept))
    return problems, random


def stopped_early(seed):
    """Results of a random batch, stopped after a random number of steps by a random solver that takes it."""
    problems, random = random_batch(seed)
    steps = {
        "interior": int(random.integers(1, 9)),
        "admm": int(random.integers(1, 40)),
        "proximal": int(random.integers(1, 40)),
    }
    for solver in random.permutation(list(steps)):
        try:
            return fit_batch(problems, solver, max_iterations=steps[solver]), random
        except RefusedError:
            continue
    raise AssertionError("every solver refuses")


def kernel_part(result, x):
    return result.predict(x) - (result.intercept or 0.0)


def compare_with_bound(results, new):
    """For every result with a bound: its largest |f̂ - f*|/bound (less what the witness may be off), and whether that
    is far below."""
    ratios, sharp = [], []
    for result in results:
        certificate = result.certificate
        if certificate.norm_bound is None:
            assert certificate.reason and result.status is not Status.CERTIFIED
            continue
        x = np.vstack([result.problem.active_x, new])
        truth, bound = optimum(result.problem, new), result.bound(x)
        size = np.sqrt(result.design.diagonal(x))
        ratios.append(
            np.max((np.abs(kernel_part(result, x) - truth.f) - size * truth.error) / np.maximum(bound, 1e-300))
        )
        sharp.append(certificate.norm_bound > 10 * truth.error)
    return np.array(ratios), np.array(sharp)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_the_bound_is_true_for_problems_stopped_early(seed):
    """More than a thousand: 40 batches of 40."""
    results, random = stopped_early(seed)
    new = random.uniform(-0.1, 1.1, size=(4, results[0].problem.x.shape[1]))
    ratios, _ = compare_with_bound(results, new)
    assert ratios.max(initial=0) <= 1
    assert not {result.status for result in results} & {
        Status.INFEASIBLE,
        Status.UNBOUNDED,
    }  # f = 0 satisfies every shape


def test_the_stopped_problems_put_the_bound_to_the_test():
    """Nearly all have one, and for many it lies far above what the witness may be off, yet not far above the error."""
    found = [compare_with_bound(stopped_early(seed)[0], np.zeros((1, 1))) for seed in (6, 8, 15, 22, 33, 34, 35)]
    ratios, sharp = (np.concatenate(part) for part in zip(*found, strict=True))
    assert len(ratios) >= 0.9 * 7 * 40
    assert sharp.sum() >= 0.4 * 7 * 40
    assert ratios[sharp].max() > 0.25


@pytest.mark.parametrize("kernel", [RBF(20.0), Polynomial(1.0, 3), None], ids=str)
def test_the_bound_is_attained(kernel):
    """Targets out of reach: the absolute loss is linear, f* = -Σ u_i k(x_i, ·)/(2 ridge) with u = -sign y, P(f* + δ) =
    P* + ridge ‖δ‖².

    For δ along k(x, ·) the error at x is the bound: nothing smaller is true.
    """
    x, ridge = np.linspace(-1, 1, 9)[:, None], 0.4
    y = 1e3 * (-1.0) ** np.arange(9)
    problem = Problem(x, y, kernel, Absolute(), [Ridge(ridge)])
    form, basis = canonicalize(problem), problem.design.evaluate(x)
    best = basis.T @ np.sign(y) / (2 * ridge)
    for row in (0, 3, 7):
        away = 0.01 * basis[row]
        certificate = certify(form, (best + away)[None], -np.sign(y)[None]).certificates[0]
        size = math.sqrt(problem.design.diagonal(x)[row])
        assert certificate.norm_bound * size == pytest.approx(basis[row] @ away, rel=1e-5)


SLOW = [Laplacian(3.0), Matern32(20.0), Matern52(60.0), RBF(300.0)]


def truncated(problem, limit):
    """The same problem over a basis cut off at a rank: what is left over is large."""
    basis, _ = build_basis(problem.kernel, problem.design.base_x, tuple(problem.design.slopes), limit)
    problem.share_design(Design(problem.design.x, problem.kernel, problem.intercept, problem.design.slopes, basis))
    return problem


def cut_off(kernel, limit, intercept=False):
    random = np.random.default_rng([limit, intercept])
    x = random.uniform(size=30)
    y = np.sin(6 * x) + 0.2 * random.normal(size=30)
    shapes = [[], [Nonnegative()], [Bounds(-0.5, 0.5)]]
    shapes += (
        [[Increasing(column=0)]] if limit >= 20 and not isinstance(kernel, Laplacian) else []
    )  # eight narrow bumps cannot rise
    for loss in LOSSES:
        for regularizers, shape in (([TotalVariation(0.2)], []), *(([], shape) for shape in shapes)):
            targets = y > 0 if isinstance(loss, Logistic) else y
            problem = Problem(x, targets, kernel, loss, [Ridge(0.3), *regularizers], shape, intercept=intercept)
            yield fit(truncated(problem, limit))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", SLOW, ids=str)
@pytest.mark.parametrize("limit", [8, 20])
@pytest.mark.parametrize("intercept", [False, True])
def test_the_bound_holds_for_the_users_kernel_when_the_basis_is_cut_off(kernel, limit, intercept):
    new = np.random.default_rng(7).uniform(size=(10, 1))
    results = list(cut_off(kernel, limit, intercept))
    assert all(result.rank == limit + intercept and result.certificate.norm_bound is not None for result in results)
    ratios, sharp = compare_with_bound(results, new)
    assert ratios.max() <= 1 and sharp.all()


def test_without_the_truncation_the_bound_would_be_false(monkeypatch):
    """The test above can fail: the same answers, were what is left over not counted."""
    monkeypatch.setattr(hw4opt.proof.certificate, "_truncation", lambda form, duals, scale: np.zeros(form.batch))
    ratios, _ = compare_with_bound(cut_off(Laplacian(3.0), 8), np.random.default_rng(7).uniform(size=(10, 1)))
    assert np.all(ratios > 1)


def test_truncation_is_the_norm_of_what_is_left_over(monkeypatch):
    """ridge αᵀ(K - BBᵀ)α; with more functionals than are computed exactly, its bound ridge (Σ |α_j| √d_j)²."""
    result = next(iter(cut_off(Matern32(20.0), 8)))
    kernel, x = result.problem.kernel, result.problem.x
    base = result.design.matrix
    left = kernel.gram(result.design.base_x, result.design.base_x) - base @ base.T
    alpha = result.dual_coef[np.argsort(x[:, 0])]
    certificate = result.certificate
    assert certificate.truncation == pytest.approx(0.3 * alpha @ left @ alpha, rel=1e-9)
    monkeypatch.setattr(hw4opt.proof.certificate, "MAX_EXACT_TRUNCATION_ROWS", 29)
    monkeypatch.setattr(hw4opt.proof.certificate, "MAX_TRUNCATION", 1e9)  # it is plainly enough
    bound = 0.3 * (np.abs(alpha) @ np.sqrt(np.maximum(np.diagonal(left), 0))) ** 2
    assert result.verify().truncation == pytest.approx(bound, rel=1e-6) and bound > 2 * certificate.truncation
    assert certificate.norm_bound == pytest.approx(
        math.sqrt((certificate.gap + certificate.truncation) / 0.3), rel=1e-12
    )
    assert fit(Problem(x, result.problem.y, None, regularizers=[Ridge(0.3)])).certificate.truncation == 0


# ---- gap: an upper bound of P(w) - P*, for any w and u ---------------------------------------------------------------

GAUSSIAN = RBF(20.0)
SETTINGS = {
    "plain": dict(),
    "tv": dict(regularizers=[TotalVariation(0.3)]),
    "trend": dict(regularizers=[Trend(0.05, order=3), TotalVariation(0.1)]),
    "weights": dict(weights=True, offset=True),
    "intercept": dict(intercept=True, regularizers=[TotalVariation(0.3)]),
    "linear": dict(kernel=None, regularizers=[L1(0.4)], intercept=True),
}


def one_problem(
    loss,
    seed=3,
    kernel=GAUSSIAN,
    ridge=0.2,
    regularizers=(),
    constraints=(),
    weights=False,
    offset=False,
    intercept=False,
):
    random = np.random.default_rng(seed)
    x = random.uniform(size=16)
    y = np.sin(6 * x) + 0.3 * random.normal(size=16)
    return Problem(
        x,
        y > 0 if isinstance(loss, Logistic) else y,
        kernel,
        loss,
        [Ridge(ridge), *regularizers] if ridge else regularizers,
        constraints,
        random.integers(0, 4, size=16).astype(float) if weights else None,
        0.3 * random.normal(size=16) if offset else None,
        intercept,
    )


def random_pairs(form, random, scale=1.0):
    """A point and duals for every problem of the batch, of very different sizes."""
    sizes = scale * 10 ** random.uniform(-3, 1, size=(form.batch, 1))
    w = sizes * random.normal(size=form.penalty.shape)
    return w, sizes[::-1] * random.normal(size=(form.batch, form.size))


def dual_by_hand(problem, form, duals, i):
    """D(u) = -Σ_k [f_k*(u_k) - ⟨c_k, u_k⟩] - ‖Aᵀu‖²/(4 ridge), conjugates from the terms, A from dense rows."""
    design, pull, total = problem.design, 0.0, 0.0
    keep = np.arange(len(problem.y)) if problem.active is None else problem.active
    values = design.evaluate(problem.features(problem.active_x))
    x, first = np.unique(problem.active_x[:, 0], return_index=True)
    of_terms = form.duals_by_name(duals)
    for term in problem.terms:
        u = of_terms[term.name][i]
        if term is problem.loss:
            weights = np.ones(len(keep)) if problem.weights is None else problem.weights[keep]
            shift = np.zeros(len(keep)) if problem.offset is None else problem.offset[keep]
            y = problem.y[keep]
            more = [(target,) for target in term.check_targets(y)] if term.targets else [()] * len(y)
            shift = shift if term.targets else shift + problem.level - y
            inner = u / weights * (1 - 4e-16)  # dividing must not push it out of the domain
            total -= (
                sum(one * term.conjugate([part], *given) for one, part, given in zip(weights, inner, more, strict=True))
                - shift @ u
            )
            pull = pull + u @ values
        else:
            total -= term.conjugate(u)
            acts = term.acts
            rows = (
                divided(x, acts.order) @ values[first]
                if isinstance(acts, Differences)
                else np.eye(values.shape[1])[: len(u)]
            )
            pull = pull + u @ rows
    assert np.abs(pull[~design.penalized]).max(initial=0) <= 1e-11 * (1 + np.abs(pull).max())
    return total - np.square(pull[design.penalized]).sum() / (4 * problem.ridge)


@every_loss
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_gap_is_primal_minus_dual_and_never_below_what_is_missing(loss, setting):
    """For 40 random pairs of a point and duals: P and D by hand, P* from the witness."""
    problem = one_problem(loss, **SETTINGS[setting])
    form = canonicalize([problem] * 40)
    w, duals = random_pairs(form, np.random.default_rng(5))
    proof = certify(form, w, duals)
    best = optimum(problem).objective
    for i, certificate in enumerate(proof.certificates):
        objective = objective_by_hand(problem, proof.w[i])
        assert certificate.reason is None and certificate.violation == 0
        assert certificate.objective == pytest.approx(objective, rel=1e-9)
        assert certificate.gap >= 0
        assert certificate.gap >= objective - best - 1e-8 * abs(best)
        dual = dual_by_hand(problem, form, proof.u, i)
        size = abs(objective) + abs(dual)
        assert certificate.dual_objective == pytest.approx(objective - certificate.gap, abs=1e-11 * size)
        if (
            loss.name == "epsilon_insensitive"
        ):  # two sheets: random duals of each add up to a dual that one conjugate prices lower
            assert certificate.gap >= objective - dual - 1e-9 * size
        else:
            assert certificate.gap == pytest.approx(objective - dual, abs=1e-9 * size)


@every_loss
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_gap_closes_at_the_optimum_and_opens_beside_it(loss, setting):
    problem = one_problem(loss, **SETTINGS[setting])
    result = fit(problem)
    assert result.status is Status.CERTIFIED
    assert result.objective == pytest.approx(optimum(problem).objective, rel=1e-8)
    form = canonicalize([problem] * 12)
    random = np.random.default_rng(6)
    away = 10.0 ** -np.arange(12)[:, None]
    w = result.w + away * random.normal(size=form.penalty.shape)
    duals = form.split_duals([np.tile(u, (12, 1)) for u in result.duals.values()])
    gaps = np.array([certificate.gap for certificate in certify(form, w, duals).certificates])
    assert np.all(np.diff(gaps[:4]) < 0) and gaps[0] > 1e-3
    assert gaps[-1] <= 1e-8 * abs(result.objective)


SHAPES = [
    [Increasing()],
    [Decreasing()],
    [Convex()],
    [Concave()],
    [Nonnegative()],
    [Bounds(-0.4, 0.6)],
    [Increasing(), Bounds(upper=0.8)],
]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(term.name for term in shape))


@every_shape
@pytest.mark.parametrize("loss", [Squared(), Quantile(0.8), Logistic()], ids=lambda loss: loss.name)
def test_an_infeasible_point_is_blended_into_a_feasible_one_or_proves_nothing(shape, loss):
    problem = one_problem(loss, constraints=shape)
    form = canonicalize([problem] * 20)
    w, duals = random_pairs(form, np.random.default_rng(8), scale=60.0)
    alone = certify(form, w, duals)
    outside = np.array([certificate.violation > 0 for certificate in alone.certificates])
    assert outside.sum() >= 15
    for certificate in np.array(alone.certificates)[outside]:
        assert (
            certificate.gap is certificate.relative_gap is certificate.dual_objective is certificate.norm_bound is None
        )
        assert "violated" in certificate.reason and certificate.norm_bound_reason == certificate.reason
        assert not certificate.holds(0.999)
    inside = strictly_feasible(form.cut(np.array([0])))
    proof = certify(form, w, duals, np.tile(inside, (20, 1)))
    assert_allclose(proof.w[~outside], w[~outside])
    best = optimum(problem).objective
    for i, certificate in enumerate(proof.certificates):
        assert certificate.reason is None and certificate.violation == 0 and math.isfinite(certificate.gap)
        objective = objective_by_hand(problem, proof.w[i])
        assert certificate.objective == pytest.approx(objective, rel=1e-9)
        assert certificate.gap >= max(0, objective - best - 1e-8 * abs(best))
        share = np.linalg.norm(proof.w[i] - w[i]) / np.linalg.norm(inside - w[i])
        assert_allclose(proof.w[i], w[i] + share * (inside - w[i]), atol=1e-10 * np.abs(w[i]).max())
        if outside[i]:
            assert 0 < share <= 1
            short = w[i] + 0.99 * share * (inside - w[i])
            assert certify(form.cut(np.array([i])), short[None], duals[i : i + 1]).certificates[0].violation > 0


@every_shape
@pytest.mark.parametrize("intercept", [False, True])
def test_a_strictly_feasible_point_is_found_for_every_shape(shape, intercept):
    """Also where w = 0 is one already, where shapes do not see the intercept, and without a warning."""
    form = canonicalize(one_problem(Squared(), constraints=shape, intercept=intercept))
    inside = strictly_feasible(form)
    assert np.abs(inside).max() < 1e3
    for term in form.terms[1:]:
        for box in term.boxes:
            z = term.map.take(form.matrix @ inside)
            room = np.where(np.isinf(box.high), box.shift - z, z - box.shift)
            assert room.min() > 0


@pytest.mark.parametrize("seed", [28, 90, 177])
def test_a_shape_that_can_hold_is_not_called_infeasible(seed):
    """x without near ties and kernels that are smooth: an interior point exists, so one must be found."""
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(size=int(random.integers(8, 25))))
    y = np.sin(5 * x) + 0.3 * random.normal(size=len(x))
    gamma = float(10 ** random.uniform(0, 2))
    for kernel in (RBF(gamma), Matern52(gamma)):
        for shape in (Increasing(), Convex()):
            problem = Problem(x, y, kernel, Quantile(0.8), [Ridge(0.1)], [shape])
            assert strictly_feasible(canonicalize(problem)) is not None, f"{kernel} {shape}"
            assert fit(problem, "admm", max_iterations=3).status is not Status.INFEASIBLE


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [
        (RBF(20.0), [Nonnegative(), Bounds(upper=0.0)]),
        (RBF(20.0), [Increasing(), Decreasing()]),
        (RBF(20.0), [Convex(), Concave()]),
        (None, [Increasing(), Decreasing()]),
    ],
)
def test_feasible_without_an_inner_point_is_not_called_infeasible(kernel, shape):
    """f = 0 (or a constant, or a line) satisfies them: "no function of this design satisfies the constraints" would be
    false."""
    problem = one_problem(Squared(), kernel=kernel, constraints=shape, intercept=True)
    assert fit(problem).status is not Status.INFEASIBLE


LINE = np.linspace(-1, 1, 10)
OPPOSED = {
    "a line through 0 above 1 on both sides": (None, [Bounds(lower=1)]),
    "the same in a kernel's words": (Polynomial(1.0, 1, 0.0), [Bounds(lower=1)]),
    "an odd cubic above 1": (Polynomial(1.0, 3, 0.0), [Bounds(lower=1)]),
    "a parabola that rises on both sides": (Polynomial(1.0, 2, 0.0), [Increasing(), Bounds(lower=1e-3)]),
}


@pytest.mark.parametrize("case", OPPOSED)
@pytest.mark.parametrize("solver", ["interior", "admm", "proximal"])
def test_shapes_that_cannot_hold_prove_nothing(case, solver):
    kernel, shape = OPPOSED[case]
    result = fit(Problem(LINE, LINE, kernel, regularizers=[Ridge(0.1)], constraints=shape), solver, max_iterations=200)
    assert (
        result.status is Status.INFEASIBLE
        if "line" in case
        else result.status in (Status.INFEASIBLE, Status.UNCERTIFIED)
    )
    assert (
        result.certificate.gap is None and result.certificate.norm_bound is None and result.certificate.violation > 1e-6
    )
    assert "violated" in result.certificate.reason and result.bound(LINE) is None


# ---- unpenalised columns ---------------------------------------------------------------------------------------------


@every_loss
def test_duals_are_moved_onto_zero_sum_for_an_intercept(loss):
    problem = one_problem(loss, intercept=True, regularizers=[TotalVariation(0.3)])
    form = canonicalize([problem] * 30)
    w, duals = random_pairs(form, np.random.default_rng(9))
    proof = certify(form, w, duals)
    best = optimum(problem).objective
    pulls = form.adjoint(proof.u)
    size = np.abs(proof.u).sum(axis=1)
    assert np.all(np.abs(pulls[:, -1]) <= 1e-11 * size)
    assert np.abs(form.adjoint(duals)[:, -1]).min() > 1e-4  # they were not before
    for i, certificate in enumerate(proof.certificates):
        assert certificate.gap >= max(0, objective_by_hand(problem, w[i]) - best - 1e-8 * abs(best))


@every_loss
@pytest.mark.parametrize("side", [-1, 1])
def test_duals_that_all_stand_at_one_end_can_be_balanced(loss, side):
    """Nothing can move by a Newton step there, but u = 0 is in every loss's domain: one column takes a bisection."""
    problem = one_problem(loss, intercept=True)
    form = canonicalize(problem)
    proof = certify(form, np.zeros(form.penalty.shape), np.full((1, form.size), 1e3 * side))
    certificate = proof.certificates[0]
    assert certificate.reason is None
    assert certificate.gap >= objective_by_hand(problem, proof.w[0]) - optimum(problem).objective - 1e-8
    assert abs(form.adjoint(proof.u)[0, -1]) <= 1e-11


@every_loss
@pytest.mark.parametrize("kernel", [None, Polynomial(1.0, 2)], ids=str)
def test_without_ridge_the_gap_is_true_and_the_bound_null_with_its_reason(loss, kernel):
    problem = one_problem(loss, kernel=kernel, ridge=0.0, intercept=kernel is None)
    if isinstance(loss, Logistic):  # overlapping labels, so that the minimum exists
        problem = dataclasses.replace(problem, y=np.where(np.arange(16) % 5 == 0, 1 - problem.y, problem.y))
    result = fit(problem)
    certificate, best = result.certificate, optimum(problem).objective
    assert result.status is Status.CERTIFIED
    assert result.objective == pytest.approx(best, rel=1e-7)
    assert certificate.norm_bound is None and certificate.truncation == 0
    assert certificate.norm_bound_reason == "ridge is 0: the objective is not strongly convex"
    form = canonicalize([problem] * 20)
    w, duals = random_pairs(form, np.random.default_rng(10))
    w += result.w
    for i, one in enumerate(certify(form, w, duals).certificates):
        assert one.reason is None or "balance" in one.reason
        assert one.gap is None or one.gap >= max(0, objective_by_hand(problem, w[i]) - best - 1e-8 * abs(best))


def test_what_cannot_be_balanced_proves_nothing(monkeypatch):
    problem = one_problem(Absolute(), intercept=True)
    form = canonicalize(problem)
    unreached = lambda form, z, u: Projected(u, np.zeros(form.batch, dtype=bool))  # noqa: E731
    monkeypatch.setattr(hw4opt.proof.certificate, "project_dual", unreached)
    certificate = certify(form, np.zeros(form.penalty.shape), np.zeros((1, form.size))).certificates[0]
    assert certificate.gap is None and certificate.norm_bound is None and not certificate.holds(0.999)
    assert (
        certificate.reason
        == "no dual point balances the unpenalised columns; give the ridge a weight above 0, or another solver"
    )


def test_the_bound_of_a_fit_with_intercept_says_what_it_covers():
    certificate = fit(one_problem(Huber(0.3), intercept=True)).certificate
    assert certificate.norm_bound is not None
    assert certificate.norm_bound_reason == "the bound covers the fit without its unpenalised intercept"
    assert fit(one_problem(Huber(0.3))).certificate.norm_bound_reason is None


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_a_slope_is_judged_in_its_own_unit(scale):
    """What rounding may do to a fitted value says nothing of slopes, whose unit is that of f over that of x."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(25, 2))
    y = -x[:, 0] + x[:, 1] + 0.1 * rng.normal(size=25)
    free = Problem(scale * x, y, kernel=RBF(0.1 / scale**2), regularizers=[Ridge(0.1)])
    bound = dataclasses.replace(free, constraints=(Increasing(column=0),))
    falling = canonicalize(free).design.evaluate(free.x)
    w = np.linalg.lstsq(canonicalize(bound).design.matrix[:25], falling @ fit(free).w, rcond=None)[0]
    form = canonicalize(bound)
    certificate = certify(form, w[None], np.zeros((1, form.size))).certificates[0]
    assert certificate.violation > 0.5 and "violated" in certificate.reason
    result = fit(bound).raise_for_status()
    assert result.objective == pytest.approx(fit(dataclasses.replace(bound, x=x, kernel=RBF(0.1))).objective, rel=1e-7)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
@pytest.mark.parametrize("loss", [Squared(), Huber(0.3), Absolute()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("intercept", [False, True])
def test_the_proof_does_not_depend_on_the_unit_of_y(scale, loss, intercept):
    """Without a warning, too."""
    plain = one_problem(loss, intercept=intercept)
    power = 1 if loss.name == "absolute" else 2
    scaled_loss = Huber(0.3 * scale) if loss.name == "huber" else loss
    ridge = Ridge(0.2 * scale ** (power - 2))
    scaled = dataclasses.replace(plain, y=scale * plain.y, loss=scaled_loss, regularizers=[ridge])
    one, other = fit(plain), fit(scaled)
    assert one.status is other.status is Status.CERTIFIED
    assert other.objective == pytest.approx(one.objective * scale**power, rel=2e-9)


# ---- the other numbers -----------------------------------------------------------------------------------------------


@every_loss
def test_the_relative_gap_is_relative_to_what_the_fit_explains(loss):
    """max(min(P̂, E), 1e-4 L), from every row's loss at f and at f = 0; test_gap_scale.py has weights and levels."""
    problem = one_problem(loss, regularizers=[TotalVariation(0.3)], offset=True)
    form = canonicalize([problem] * 20)
    y = loss.check_targets(problem.y) if loss.targets else problem.y
    rows = lambda f: loss.pointwise(f + problem.offset, y) if loss.targets else loss.pointwise(f + problem.offset - y)  # noqa: E731
    proof = certify(form, *random_pairs(form, np.random.default_rng(11)))
    for certificate, w in zip(proof.certificates, proof.w, strict=True):
        lost, left = rows(np.zeros(16)), rows(problem.design.evaluate(problem.x) @ w)
        positive = np.sort(lost[lost > 0])
        median = positive[(len(positive) - 1) // 2]
        penalties = certificate.objective - left.sum()
        remains, explained = (np.minimum(each, np.sort(each)[-2]).sum() for each in (left, lost - left))
        remains, explained = remains + penalties, explained - penalties + certificate.gap
        spread = np.subtract(*np.sort(problem.y - problem.offset)[[-1 - 15 // 4, 15 // 4]]) if not loss.targets else 1.0
        charged = problem.ridge * spread**2
        size = max(min(remains, max(explained, charged)), 1e-4 * len(positive) * median)
        assert certificate.gap_scale == pytest.approx(size, rel=1e-9)
        assert certificate.relative_gap == pytest.approx(certificate.gap / size, rel=1e-9)


def test_an_objective_near_zero_is_measured_against_what_there_is_to_explain():
    """Interpolation: P* is far below 1e-4 of the loss of f = 0, its rows counted as the median one; y is 0 in one of
    eight rows."""
    x = np.linspace(0, 1, 8)
    y = np.sin(6 * x)
    problem = Problem(x, y, RBF(60.0), regularizers=[Ridge(1e-12)])
    result, form = fit(problem), canonicalize(problem)
    assert result.objective < 1e-9 * np.square(y).sum()
    assert result.status is Status.CERTIFIED
    near = certify(form, 1.0001 * result.w[None], form.split_duals([result.duals["squared"][None]])).certificates[0]
    assert near.gap > 1e-9 * np.square(y).sum()
    assert near.relative_gap == pytest.approx(near.gap / (1e-4 * 7 * np.sort(np.square(y[1:]))[3]), rel=1e-9)


@pytest.mark.parametrize("constraints", [[], [Increasing()], [Bounds(-1, 1)]], ids=str)
@pytest.mark.parametrize(
    "case", [(0.0, Squared()), (0.0, Huber()), (0.0, Absolute()), (0.5, EpsilonInsensitive(1.0))], ids=str
)
def test_nothing_to_fit_is_certified(case, constraints):
    """The loss is 0 at w = 0 already: P = P* = 0."""
    level, loss = case
    result = fit(Problem(np.linspace(0, 1, 12), np.full(12, level), RBF(20.0), loss, [Ridge(0.1)], constraints))
    assert result.status is Status.CERTIFIED
    assert abs(result.objective) <= 1e-30


@every_loss
@pytest.mark.parametrize("setting", ["plain", "intercept", "linear", "no ridge"])
def test_stationarity_is_small_at_a_certified_answer_and_not_away_from_it(loss, setting):
    """‖2 ridge w + Aᵀu‖ relative to the terms' pulls: also where one term's rows must cancel among themselves."""
    problem = one_problem(
        loss, **(dict(kernel=None, ridge=0.0, intercept=True) if setting == "no ridge" else SETTINGS[setting])
    )
    if isinstance(loss, Logistic):
        problem = dataclasses.replace(problem, y=np.where(np.arange(16) % 5 == 0, 1 - problem.y, problem.y))
    result = fit(problem)
    assert result.status is Status.CERTIFIED
    assert result.certificate.stationarity <= 1e-4
    form = canonicalize(problem)
    duals = form.split_duals([u[None] for u in result.duals.values()])
    if problem.ridge:
        pulls = [rows.map.take(problem.design.matrix).T @ result.duals[rows.names[0]] for rows in form.terms]
        residual = 2 * problem.ridge * np.where(problem.design.penalized, 1.5 * result.w, 0) + sum(pulls)
        largest = max(np.abs(pull).max() for pull in pulls)
        away = certify(form, 1.5 * result.w[None], duals).certificates[0]
        assert away.stationarity == pytest.approx(np.abs(residual).max() / largest, rel=1e-6)


def steep(term, w, x=None, y=None, kernel=None):
    """The certificate of f = w·x (or of a kernel's w) under one constraint."""
    x = np.array([0.0, 1.0, 3.0, 4.0, 8.0]) if x is None else x
    y = np.array([2.0, 0.0, 10.0, 4.0, 4.0]) if y is None else y
    form = canonicalize(Problem(x, y, kernel, regularizers=[Ridge(0.1)], constraints=[term]))
    return certify(form, np.atleast_2d(w), np.zeros((1, form.size))).certificates[0]


def test_violation_by_hand():
    """Order rows: slope · x-range (8) over the interquartile range of y (2); bounds: over that range."""
    assert steep(Increasing(), -0.5).violation == pytest.approx(0.5 * 8 / 2, rel=1e-12)
    assert steep(Decreasing(), 0.5).violation == pytest.approx(0.5 * 8 / 2, rel=1e-12)
    assert steep(Increasing(), 0.5).violation == steep(Decreasing(), -0.5).violation == 0
    assert steep(Nonnegative(), -0.5).violation == pytest.approx(0.5 * 8 / 2, rel=1e-12)
    assert steep(Bounds(upper=3), 0.5).violation == pytest.approx((0.5 * 8 - 3) / 2, rel=1e-12)
    assert steep(Bounds(lower=1), 0.5).violation == pytest.approx(1 / 2, rel=1e-12)


def test_violation_of_a_bent_function_by_hand():
    """f = -x²/2: slopes between neighbours -0.5, -2, -3.5, -6, so they change by -1.5, -1.5 and -2.5."""
    x, y = np.array([0.0, 1.0, 3.0, 4.0, 8.0]), np.array([2.0, 0.0, 10.0, 4.0, 4.0])
    kernel = Polynomial(1.0, 2, 1.0)
    basis = Problem(x, y, kernel).design.matrix
    w = np.linalg.lstsq(basis, -0.5 * x**2)[0]
    assert steep(Convex(), w, kernel=kernel).violation == pytest.approx(2.5 * 8 / 2, rel=1e-9)
    assert steep(Concave(), w, kernel=kernel).violation == 0
    assert steep(Increasing(), w, kernel=kernel).violation == pytest.approx(6 * 8 / 2, rel=1e-9)
    assert steep(Increasing(), w, kernel=kernel).largest_drop == pytest.approx(32, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e3, 1e9])
@pytest.mark.parametrize("term", [Increasing(), Convex(), Increasing(column=0), Bounds(upper=0.2)], ids=str)
def test_violation_does_not_depend_on_the_unit_of_x(term, scale):
    """One function, seen over x in other units."""
    random = np.random.default_rng(12)
    x, y = np.sort(random.uniform(size=12)), random.normal(size=12)
    plain, scaled = (
        Problem(x, y, RBF(20.0), constraints=[term]),
        Problem(scale * x, y, RBF(20.0 / scale**2), constraints=[term]),
    )
    w = random.normal(size=plain.design.matrix.shape[1])
    other = np.linalg.lstsq(scaled.design.matrix[:12], plain.design.matrix[:12] @ w)[0]
    if isinstance(term.acts, Slope):
        rows = [
            np.concatenate([problem.design.matrix[:12], unit * problem.design.matrix[12:]])
            for problem, unit in ((plain, 1), (scaled, scale))
        ]
        other = np.linalg.lstsq(rows[1], rows[0] @ w)[0]
    one, two = (steep(term, point, problem.x, y, problem.kernel) for point, problem in ((w, plain), (other, scaled)))
    assert one.violation > 0.01
    assert two.violation == pytest.approx(one.violation, rel=1e-4)


def test_largest_drop_is_the_fall_below_the_running_maximum():
    """Over the distinct sorted x, in units of y; mirrored for decreasing; None without an order constraint."""
    random = np.random.default_rng(13)
    x, y = random.permutation(np.repeat(np.linspace(0, 1, 8), 2)), random.normal(size=16)
    w = random.normal(size=(1, 8))
    for term, sign in ((Increasing(), 1), (Decreasing(), -1)):
        problem = Problem(x, y, RBF(500.0), constraints=[term])
        f = sign * problem.design.matrix @ w[0]
        expected = max(max(f[: j + 1]) - f[j] for j in range(8))
        assert steep(term, w, x, y, RBF(500.0)).largest_drop == pytest.approx(expected, rel=1e-12)
    assert steep(Bounds(upper=1), 0.5).largest_drop is None and steep(Convex(), 0.5).largest_drop is None
    assert fit(one_problem(Huber(0.3), constraints=[Increasing()])).certificate.largest_drop <= 1e-14


def test_holds_needs_gap_with_its_rounding_violation_and_truncation():
    certificate = fit(one_problem(Huber(0.3))).certificate
    given = partial_certificate(
        dataclasses.replace(certificate, gap=0.0, gap_scale=2.0, gap_rounding=0.0, violation=0.0, truncation=0.0)
    )
    assert (
        given(gap=1.9e-9).holds(1e-9)
        and given(violation=1e-9).holds(1e-9)
        and given(gap=1e-9, gap_rounding=0.9e-9).holds(1e-9)
    )
    assert given(truncation=1.9e-6).holds(1e-9) and not given(truncation=2.1e-6).holds(
        1e-9
    )  # 1e-6 of the scale at least
    assert given(truncation=1.9e-3).holds(1e-3) and not given(truncation=2.1e-3).holds(1e-3)
    nothing = partial_certificate(given(gap_scale=0.0))
    assert nothing(gap=1e-15, gap_rounding=1e-15).holds(1e-9) and not nothing(gap=2e-15, gap_rounding=1e-15).holds(1e-9)
    for wrong in (
        dict(gap=2.1e-9),
        dict(violation=2e-9),
        dict(gap=None),
        dict(gap_scale=None),
        dict(gap_rounding=2.1e-9),
    ):
        assert not given(**wrong).holds(1e-9)
    assert not given(gap=1.5e-9, gap_rounding=0.6e-9).holds(1e-9)
    for nan in (dict(gap=math.nan), dict(violation=math.nan), dict(gap_rounding=math.nan), dict(truncation=math.nan)):
        assert not given(**nan).holds(1e-9)


def partial_certificate(certificate):
    return lambda **changes: dataclasses.replace(certificate, **changes)


def test_as_dict_holds_every_number():
    certificate = fit(one_problem(Huber(0.3))).certificate
    assert certificate.as_dict() == {name: getattr(certificate, name) for name in certificate.__dataclass_fields__}


def test_rounding_alone_does_not_take_the_proof_away():
    """20,000 rows: neighbours differ by less than evaluating them is off, yet the increasing fit is certified."""
    random = np.random.default_rng(14)
    x = random.uniform(size=20_000)
    y = 10 * np.floor(5 * x) + random.normal(size=20_000)
    for loss in (Squared(), Huber(1.0)):
        result = fit(Problem(x, y, RBF(80.0), loss, [Ridge(0.1)], [Increasing()]))
        assert result.status is Status.CERTIFIED, result.message
        assert result.certificate.violation == 0
        assert result.certificate.largest_drop <= 1e-12 * np.ptp(y)


# ---- planted faults --------------------------------------------------------------------------------------------------


def believe(form, w, u, gap, aim, rounds):
    """Polishing that changes nothing and claims that all is well."""
    return Polished(w, u, np.zeros(form.batch))


@pytest.fixture
def first_order_methods_alone(monkeypatch):
    """They are not polished, and believed after 4,000 steps."""
    monkeypatch.setattr(first_order, "polish", believe)
    monkeypatch.setattr(first_order, "FIRST_POLISH", 4000)


@pytest.mark.parametrize("loss", [Huber(0.3), Absolute(), Quantile(0.8)], ids=lambda loss: loss.name)
def test_a_wrong_prox_is_caught(loss, monkeypatch, first_order_methods_alone):
    """A box that is 5 % too wide: the solver converges, and says so; the certificate, which has not its prox, does not
    believe it."""
    problem = one_problem(loss, regularizers=[TotalVariation(0.3)])
    assert fit(problem, "admm", tol=1e-5).status is Status.CERTIFIED  # without the fault these steps are enough
    right = BoxRows.prox_dual
    wide = lambda rows: BoxRows(rows.quadratic, rows.shift, 1.05 * rows.low, 1.05 * rows.high)  # noqa: E731
    monkeypatch.setattr(BoxRows, "prox_dual", lambda rows, *at: right(wide(rows), *at))
    result = fit(problem, "admm", tol=1e-5)
    assert result.status in (Status.INACCURATE, Status.ITERATION_LIMIT)
    missing = result.objective - optimum(problem).objective
    assert result.certificate.gap >= missing > 1e-5 * result.objective


def test_a_wrong_prox_of_the_dual_is_caught(monkeypatch, first_order_methods_alone):
    problem = one_problem(Huber(0.3), regularizers=[TotalVariation(0.3)])
    assert fit(problem, "proximal", tol=1e-5).status is Status.CERTIFIED
    right = BoxRows.prox_dual
    monkeypatch.setattr(BoxRows, "prox_dual", lambda rows, z, center, step: right(rows, 0.98 * z, 0.98 * center, step))
    result = fit(problem, "proximal", tol=1e-5)
    assert result.status is not Status.CERTIFIED
    assert result.certificate.gap >= result.objective - optimum(problem).objective > 0


class WrongTable(Huber):
    """Huber whose conjugate's box is 10 % too wide: native solvers minimise another function than the model."""

    @property
    def tables(self):
        return (Table(quadratic=0.5, low=-2.2 * self.delta, high=2.2 * self.delta),)


class WrongCurve(Huber):
    """Huber whose conjugate is u²/3.6 instead of u²/4."""

    @property
    def tables(self):
        return (Table(quadratic=2 / 3.6, low=-2 * self.delta, high=2 * self.delta),)


class TurnedTable(Quantile):
    """The quantile's mirror image."""

    @property
    def tables(self):
        return (Table(low=self.tau - 1, high=self.tau),)


@pytest.mark.parametrize(
    "loss", [WrongTable(0.3), WrongCurve(0.3), TurnedTable(0.8)], ids=lambda loss: type(loss).__name__
)
def test_a_wrong_conjugate_is_caught(loss):
    """The model, written apart from the table, leads to a point and duals that the table's certificate does not
    accept."""
    problem = one_problem(loss, regularizers=[TotalVariation(0.1)])
    right = one_problem(type(loss).__mro__[1](*vars(loss).values()), regularizers=[TotalVariation(0.1)])
    assert fit(right, "cvxpy").status is Status.CERTIFIED
    result = fit(problem, "cvxpy")
    assert result.status is Status.INACCURATE
    assert result.certificate.relative_gap > 1e-4
    checked = crosscheck(problem, ["interior", "cvxpy:CLARABEL"])
    assert not checked.agrees and checked.faults == ["fewer than two solvers are certified (1)"]


class DearConjugate(Logistic):
    def conjugate_pointwise(self, u, y):
        return super().conjugate_pointwise(u, y) + 1e-3


class CheapConjugate(Logistic):
    def conjugate_pointwise(self, u, y):
        return super().conjugate_pointwise(u, y) - 1e-3


class HalfConjugate(Logistic):
    def conjugate_pointwise(self, u, y):
        return 0.5 * super().conjugate_pointwise(u, y)


class WrongGradient(Logistic):
    def gradient(self, z, y):
        return 0.99 * super().gradient(z, y)


@pytest.mark.parametrize(
    "loss", [DearConjugate(), CheapConjugate(), HalfConjugate(), WrongGradient()], ids=lambda loss: type(loss).__name__
)
@pytest.mark.parametrize("solver", ["interior", "admm"])
def test_a_wrong_smooth_conjugate_or_gradient_is_caught(loss, solver):
    """Too dear opens the gap; too cheap breaks f(z) + f*(u) ≥ ⟨z, u⟩, which proves nothing either."""
    assert fit(one_problem(Logistic()), solver, max_iterations=200).status is Status.CERTIFIED
    result = fit(one_problem(loss), solver, max_iterations=200)
    assert result.status is not Status.CERTIFIED
    assert result.certificate.gap is None or result.certificate.relative_gap > 1e-9


def test_a_dual_outside_its_domain_is_brought_into_it_before_it_counts():
    """Duals twice too large would give a dual value above P*: clipped, the gap stays true."""
    problem = one_problem(Absolute(), regularizers=[TotalVariation(0.3)])
    result = fit(problem)
    form = canonicalize(problem)
    duals = 2 * form.split_duals([u[None] for u in result.duals.values()])
    proof = certify(form, result.w[None], duals)
    assert proof.certificates[0].dual_objective <= optimum(problem).objective * (1 + 1e-9)
    assert all(np.abs(u).max() <= bound for u, bound in zip(form.of_terms(proof.u), (1.0, 0.3), strict=True))


def test_a_solvers_word_is_not_believed():
    """An answer that says certified, with a point that is off."""
    problem = one_problem(Huber(0.3))
    form = canonicalize(problem)
    answer = load_solver("interior").solve(form, Options(tol=1e-9))
    assert answer.reached == [Status.CERTIFIED]
    off = dataclasses.replace(answer, w=1.001 * answer.w)
    proof, statuses = prove(form, off, 1e-9)
    assert statuses == [Status.INACCURATE] and proof.certificates[0].gap > 0
    nowhere = dataclasses.replace(answer, w=np.full_like(answer.w, np.nan))
    assert prove(form, nowhere, 1e-9)[1][0] is not Status.CERTIFIED
