"""Problems of the metamorphic suite that are hard for the interior point, its polishing or the certificate."""

import pytest

from hw4opt import fit
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
