"""Random problems with shapes at every x, and checks of their fits."""

import numpy as np

from hw4opt import (
    RBF,
    Absolute,
    Bounds,
    Concave,
    Convex,
    Decreasing,
    Huber,
    Increasing,
    Laplacian,
    Matern32,
    Matern52,
    Nonnegative,
    Polynomial,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
)
from hw4opt.kernels import FUNCTIONAL_OF_ORDER
from hw4opt.terms import own_term

GOLDEN, GOLDEN_STEPS = (5**0.5 - 1) / 2, 30  # which shorten an interval a million times
CHUNK_VALUES = 60_000  # of a kernel, looked at together: what a cache holds
CURVES = (
    lambda t: np.floor(4 * t),
    lambda t: np.sin(6 * t),
    lambda t: t**2,
    lambda t: -t,
    lambda t: np.exp(-5 * t),
)


def random_problem(seed):
    """Rows, kernel, loss, shapes and range drawn by the seed; units of x and y over powers of ten."""
    draw = np.random.default_rng(seed)
    n, unit = int(draw.integers(8, 60)), 10.0 ** draw.uniform(-1, 2)
    t = np.sort(draw.uniform(0, 1, n))
    if draw.random() < 0.3:
        t = np.unique(np.round(t, 2))
    y = CURVES[draw.integers(len(CURVES))](t)
    y = 10.0 ** draw.uniform(-2, 2) * (y + 0.2 * np.ptp(y) * draw.standard_normal(len(t)))
    gamma = 10.0 ** draw.uniform(-0.5, 2) / unit**2
    kernels = [
        RBF(gamma),
        RBF(gamma),
        Polynomial(1 / unit**2, int(draw.integers(2, 7))),
        Laplacian(gamma**0.5),
        Matern32(gamma),
        Matern52(gamma),
    ]
    kernel = kernels[draw.integers(len(kernels))]
    everywhere = True if draw.random() < 0.6 else (-0.2 * unit, 1.3 * unit)
    bounds = Bounds(*np.quantile(y, [0.2, 0.8]).tolist(), everywhere=everywhere)
    slopes = [[Increasing, Decreasing], [Convex, Concave]][int(draw.random() < 0.3)]
    shape = slopes[draw.integers(2)](everywhere=everywhere)
    if kernel.functional_order < shape.derivative or draw.random() < 0.3:
        shape = bounds if draw.random() < 0.7 else Nonnegative(everywhere=everywhere)
    losses = (Squared(), Huber(0.3 * float(np.ptp(y))), Absolute(), Quantile(0.3))
    ridge = [Ridge(10.0 ** draw.uniform(-2, 1))]
    return Problem(
        unit * t,
        y,
        kernel,
        losses[draw.integers(len(losses))],
        [*ridge, TotalVariation(0.1)] if draw.random() < 0.3 else ridge,
        [shape],
        intercept=bool(draw.random() < 0.4),
        standardize=bool(draw.random() < 0.3),
    )


def derivative(result, x, order, component=None):
    """f, f' or f'' of the fit, or of one component of a sum, in raw x, and what rounding may do to it."""
    problem, design, w, column, level = result.problem, result.design, result.w, 0, 0.0
    if component is None:
        level = 0.0 if order else problem.level + (w[-1] if problem.intercept else 0.0)
    else:
        (column,) = problem.kernel.summand(component).places
        design, w = design.parts[component], w[design.columns[component]]
    center, spread = (one[column] for one in problem.scaling)
    basis, z = design.reduced, ((np.asarray(x, dtype=float) - center) / spread)[:, None]
    rank, unit = len(basis.points), spread**order
    coef, sizes = basis.factor @ w[:rank], np.abs(basis.factor) @ np.abs(w[:rank])
    value, rounding = np.full(len(z), level), 1e-15 * abs(level)
    for kind in np.unique(basis.columns).tolist():
        mine = basis.columns == kind
        rows = design.kernel.between(z, FUNCTIONAL_OF_ORDER[order], basis.points[mine], kind)
        value += rows @ coef[mine]
        rounding += 1e-15 * rank * np.abs(rows).max() * sizes[mine].sum()
    return value / unit, rounding / unit


def worst_violation(result, points, starts):
    """The largest violation on a grid and by minimisation from its worst points, beyond rounding."""
    worst = -np.inf
    for constraint, proof in zip(result.problem.constraints, result.shapes, strict=True):
        shape, component = own_term(constraint), getattr(constraint, "component", None)
        x = np.linspace(proof.low, proof.high, points)
        parts = np.array_split(x, max(1, points * len(result.w) // CHUNK_VALUES))
        found = [derivative(result, part, shape.derivative, component) for part in parts]
        values, step = np.concatenate([value for value, _ in found]), x[1] - x[0]
        rounding = np.repeat([unsure for _, unsure in found], [len(part) for part in parts])
        for side, level in shape.sides:
            short = side * (level - values) - rounding
            begin = x[np.argsort(-short)[:starts]]
            ends = np.clip([begin - step, begin + step], proof.low, proof.high)

            def at(x, side=side, level=level, order=shape.derivative, component=component):
                value, unsure = derivative(result, x, order, component)
                return side * (level - value) - unsure

            worst = max(worst, short.max(), highest_between(at, *ends).max())
    return worst


def highest_between(f, low, high):
    """The largest f seen between each low and high, by golden section, all of them together."""
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    values = [f(one) for one in inner]
    best = np.maximum(*values)
    for _ in range(GOLDEN_STEPS):
        left = values[0] > values[1]
        low, high = np.where(left, low, inner[0]), np.where(left, inner[1], high)
        fresh = np.where(left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        value = f(fresh)
        inner = [np.where(left, fresh, inner[1]), np.where(left, inner[0], fresh)]
        values = [np.where(left, value, values[1]), np.where(left, values[0], value)]
        best = np.maximum(best, value)
    return best
