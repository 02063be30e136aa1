"""Random sums of components: kernels, linear ones, levels and pairs of columns, with terms of their own."""

import numpy as np

import hw4opt
from hw4opt import RBF, Additive, Categorical, Component, Matern52, Polynomial, Problem, TotalVariation, Trend

SHAPES = [hw4opt.Increasing(), hw4opt.Decreasing(), hw4opt.Convex(), hw4opt.Concave()]
LOSSES = [hw4opt.Squared(), hw4opt.Huber(0.5), hw4opt.Absolute(), hw4opt.Quantile(0.3), hw4opt.Squared()]


def random_component(rng, name, column):
    """One of column 0, 1 or 2, which are numbers, or of column 3, which holds levels."""
    ridge = 10.0 ** rng.uniform(-3, 0)
    if column == 3:
        return Component(name, [3], Categorical(), ridge)
    kind = rng.integers(5)
    if kind == 0:
        return Component(name, [column], None, float(rng.choice([0.0, ridge])))
    if kind == 1:
        return Component(name, [column, (column + 1) % 3], RBF(0.3), ridge)
    kernel = [RBF(10.0 ** rng.uniform(-1, 1)), Matern52(1.0), Polynomial(0.2, degree=3)][rng.integers(3)]
    regularizers = [TotalVariation(10.0 ** rng.uniform(-2, 0))] if rng.random() < 0.4 else []
    regularizers += [Trend(10.0 ** rng.uniform(-2, 0))] if rng.random() < 0.2 else []
    constraints = [SHAPES[rng.integers(4)]] if rng.random() < 0.4 else []
    return Component(name, [column], kernel, ridge, regularizers, constraints)


def random_sum(seed):
    """A problem of one to four components on 12 to 60 rows, some with equal x, some of weight 0."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 60))
    x = np.column_stack([rng.uniform(0, 5, n), rng.normal(size=n), rng.uniform(-1, 1, n), rng.integers(0, 4, n)])
    x[:, 0] = np.round(x[:, 0], 1)
    y = np.sqrt(x[:, 0]) + np.sin(2 * x[:, 1]) - 0.5 * x[:, 2] + 0.4 * x[:, 3] + 0.3 * rng.normal(size=n)
    columns = rng.permutation(4)[: rng.integers(1, 5)]
    sum_of = Additive([random_component(rng, f"c{column}", int(column)) for column in columns])
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], n) if rng.random() < 0.3 else None
    constraints = [hw4opt.Bounds(lower=0.0)] if rng.random() < 0.2 else []
    return Problem(x, y, sum_of, LOSSES[rng.integers(5)], constraints=constraints, weights=weights)


def random_levels(seed):
    """Such a sum with quantiles of two to four levels."""
    given = random_sum(seed)
    draw = np.random.default_rng([23, seed])
    levels = tuple(np.sort(draw.choice(np.arange(1, 20), int(draw.integers(2, 5)), replace=False)) / 20)
    parts = (
        given.x,
        given.y,
        given.kernel,
        hw4opt.Quantile(levels),
        given.regularizers,
        given.constraints,
        given.weights,
    )
    return Problem(*parts)
