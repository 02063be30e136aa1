"""Every fold of six kinds of problem on measured series and on steps against a refit of its own."""

from pathlib import Path

import numpy as np
import pytest

from hw4opt import RBF, Decreasing, Huber, Increasing, Problem, Quantile, Ridge, Squared, TotalVariation
from hw4opt.datasets import step_data
from hw4opt.fit import solve_with
from hw4opt.form.answer import Options, Status
from hw4opt.form.canonicalize import canonicalize
from hw4opt.selection import leave_one_out, score_settings

DATA = Path(__file__).parents[2] / "data"
NEAR = 1e-7  # of y's spread, between a held-out prediction and the refit's
REFIT_TOL = 1e-14  # of the solver, which ends at an exact active set
KINDS = {
    "huber": (Huber("auto"), {}, ()),
    "huber, tv": (Huber("auto"), {"tv": 0.5}, ()),
    "quantile": (Quantile(0.9), {}, ()),
    "increasing": (Squared(), {}, (Increasing(),)),
    "huber, decreasing": (Huber("auto"), {}, (Decreasing(),)),
    "huber, tv, increasing": (Huber("auto"), {"tv": 0.5}, (Increasing(),)),
}


def series(name: str) -> tuple[np.ndarray, np.ndarray]:
    """x in units of its range, y in units of its standard deviation; with ties, but for the steps."""
    if name == "steps":
        data = step_data(50, 0)
        x, y = data.x, data.y
    elif name == "diabetes":
        data = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed").load_diabetes()
        x, y = data.data[:, 2], data.target
    else:
        x, y = np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1, unpack=True)
    return (x - x.min()) / np.ptp(x), y / y.std()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mcycle", "gagurine", "diabetes", "steps"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_fold_is_a_refit(name, kind):
    x, y = series(name)
    loss, weights, constraints = KINDS[kind]
    terms = [Ridge(0.1), *(TotalVariation(weight) for weight in weights.values())]
    problem, folds = Problem(x, y, RBF(100.0), loss, terms, constraints), leave_one_out(len(y))
    found = score_settings([problem], folds)[0]
    assert found.largest_gap <= 1e-12
    matrix, worst = problem.design.matrix, 0.0
    for row, fold in enumerate(folds):
        form = canonicalize(problem, [fold])
        answer = solve_with("interior", form, Options(REFIT_TOL))
        assert answer.reached == [Status.CERTIFIED]
        at = row if problem.design.row_of is None else problem.design.row_of[row]
        worst = max(worst, abs(matrix[at] @ answer.w[0] - found.predictions[row]))
    assert worst <= NEAR * np.ptp(y)
