"""l1 on more columns than rows, beside scikit-learn's Lasso at the same penalty."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bench.record import OURS, Row, Target
from hw4opt import L1, Problem, fit

ROWS = 200
SHARE = 0.1  # of the weight from which on every coefficient is 0

pytestmark = pytest.mark.usefixtures("one_core")
columns = pytest.mark.parametrize("variant", (1_000, 5_000))


@cache
def data(p: int) -> tuple[np.ndarray, np.ndarray, float]:
    """x, y with ten columns that matter, and the weight."""
    draw = np.random.default_rng(p)
    x = draw.standard_normal((ROWS, p))
    y = x[:, :10] @ draw.uniform(1, 3, 10) + draw.standard_normal(ROWS)
    return x, y, SHARE * float(np.abs(2 * y @ x).max())


@columns
def test_ours(timed, variant: int) -> None:
    x, y, weight = data(variant)
    result = timed(lambda: fit(Problem(x, y, None, regularizers=[L1(weight)])), 20.0)
    note = f"{np.count_nonzero(result.coef)} coefficients that are not 0"
    targets = (Target("seconds", at_most=5.0), Target("relative_gap", at_most=1e-9))
    gap, certified = result.certificate.relative_gap, result.status.word == "certified"
    case = f"n = {ROWS}, p = {variant:,}"
    timed.file(
        Row("lasso", case, OURS, "hw4opt", relative_gap=gap, certified=certified, n=ROWS, note=note, targets=targets)
    )


@columns
def test_scikit_learn(timed, variant: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    x, y, weight = data(variant)
    model = linear_model.Lasso(alpha=weight / (2 * ROWS), fit_intercept=False, tol=1e-9, max_iter=1_000_000)
    timed(lambda: model.fit(x, y), 5.0)
    left = float(np.square(x @ model.coef_ - y).sum() + weight * np.abs(model.coef_).sum())
    best = fit(Problem(x, y, None, regularizers=[L1(weight)]))
    gap = max(left - best.objective, 0.0) / best.certificate.gap_scale
    note = f"tol 1e-9; {np.count_nonzero(model.coef_)} coefficients that are not 0"
    case = f"n = {ROWS}, p = {variant:,}"
    timed.file(
        Row("lasso", case, "scikit-learn Lasso", "peer", relative_gap=gap, certified=gap <= 1e-6, n=ROWS, note=note)
    )
