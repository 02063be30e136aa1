"""Problems of the metamorphic suite that are hard for the interior point, its polishing or the certificate."""

import numpy as np
import pytest

from hw4opt import RBF, Decreasing, Logistic, Problem, Ridge, fit
from hw4opt.form.canonicalize import canonicalize
from hw4opt.proof.certificate import certify
from metamorphic.problems import problems
from metamorphic.relations import RELATIONS


@pytest.mark.parametrize(
    ("name", "relation"),
    [
        # complementarity far below the residuals, which then grow from step to step
        ("rbf, ties: absolute, ridge, trend, tv, decreasing", "Permuted"),
        # differences and slopes that are no larger than their rounding; slopes in another unit of x
        ("polynomial + 1: huber, ridge, tv, decreasing, convex", "Permuted"),
        ("polynomial + 1: logistic, ridge, trend, concave", "ScaleX+30"),
        # an outlier's dual at its bound, which the balance of the intercept must not move
        ("rbf, two columns: quantile, ridge, increasing, bounds", "Outlier+20"),
        ("matern32 + 1: quantile, ridge, tv, concave", "Outlier+20"),
        # a fit that is its level alone, whose rounding violates a constraint after blending
        ("matern32 + 1: absolute, ridge, decreasing", "Doubled"),
    ],
)
def test_it_is_certified(name, relation):
    change = RELATIONS[relation]
    problem = change.change(change.base(problems()[name])).problem
    assert fit(problem, "interior").status.word == "certified"


def test_a_step_that_loses_complementarity_is_made_up_for():
    """Rounding raises the residuals just when complementarity falls a thousandfold: raised at once, it stalls."""
    problem = RELATIONS["Outlier+20"].base(problems()["rbf, ties: absolute, ridge, trend, tv, decreasing"])
    assert fit(problem, "interior").status.word == "certified"


def test_values_that_cancel_to_rounding_violate_no_constraint():
    """A kernel part of 1e-8 and a level of -1e-8: their sum is rounding, in an order that evaluation decides."""
    x, y = np.array([-0.009, -0.009, 0.0, 0.001, 0.003, 0.015]), np.repeat([-1.0, 1.0], 3)
    problem = Problem(x, y, RBF(5_647.0), Logistic(), [Ridge(4e-4)], [Decreasing()], intercept=True)
    form = canonicalize(problem)
    values = form.matrix[: len(np.unique(x)), :-1]
    w = np.append(np.linalg.lstsq(values, np.full(len(values), 1e-8))[0], -1e-8)[None]
    z = form.forward(w)
    assert 0 < np.diff(z[0, [0, 2, 3, 4, 5]]).max() < 1e-22
    certificate = certify(form, w, np.zeros_like(z)).certificates[0]
    assert certificate.reason is None and certificate.violation == 0
