"""Small random problems over 16 points, with every loss and shape, for the tests of the certificate."""

import numpy as np
import pytest

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
    Logistic,
    Nonnegative,
    Problem,
    Quantile,
    Ridge,
    Squared,
    TotalVariation,
    Trend,
)

LOSSES = [Squared(), Huber(0.3), Absolute(), Quantile(0.8), EpsilonInsensitive(0.15), Logistic()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


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
