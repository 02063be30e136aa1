"""The estimators beside scikit-learn's: a fit that chooses by leave-one-out, predictions at 10⁶ rows; and what they add
to `select` and `fit`."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest

from bench.cases import measured
from bench.record import OURS, Row, Target
from hw4opt import RBF, Huber, Problem, Ridge, Squared, fit
from hw4opt.selection import select

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import BaseEstimator  # noqa: E402
from sklearn.datasets import load_diabetes  # noqa: E402
from sklearn.kernel_ridge import KernelRidge  # noqa: E402
from sklearn.linear_model import RidgeCV  # noqa: E402
from sklearn.model_selection import GridSearchCV, LeaveOneOut  # noqa: E402

from hw4opt.estimators import PenalizedKernelRegressor, PenalizedLinearRegressor  # noqa: E402

QUESTION = "estimators"
NEW_ROWS = 1_000_000
GRID = {"gamma": np.geomspace(0.0005, 5, 10).tolist(), "alpha": np.geomspace(1e-4, 10, 10).tolist()}
ALPHAS = np.geomspace(1e-4, 10, 13)
LOSSES = {"squared": Squared(), "huber": Huber()}

pytestmark = pytest.mark.usefixtures("one_core")


@cache
def series() -> tuple[np.ndarray, np.ndarray]:
    """133 rows of one column."""
    x, y = measured("mcycle")
    return np.asarray(x, dtype=float)[:, None], np.asarray(y, dtype=float)


def file(timed, case: str, who: str, kind: str, n: int, note: str, *targets: Target) -> None:
    timed.file(Row(QUESTION, case, who, kind, certified=True, n=n, note=note, targets=targets))


# ---- a fit that chooses ----------------------------------------------------------------------------------------------

KERNEL, LINEAR = "kernel ridge, gamma and ridge by leave-one-out, mcycle", "linear ridge by leave-one-out, diabetes"


def test_kernel_ours(timed) -> None:
    model = PenalizedKernelRegressor(fit_intercept=False, cv="loo")
    timed(lambda: model.fit(*series()), 5.0)
    note = f"{len(model.selection_.table)} settings; mean squared error held out {model.loo_score_:.1f}"
    file(timed, KERNEL, OURS, "hw4opt", 133, note, Target("times_faster", at_least=1, than=("peer",)))


def test_kernel_grid_search(timed) -> None:
    search = GridSearchCV(KernelRidge(kernel="rbf"), GRID, cv=LeaveOneOut(), scoring="neg_mean_squared_error")
    timed(lambda: search.fit(*series()), 5.0)
    note = f"100 settings; mean squared error held out {-search.best_score_:.1f}"
    file(timed, KERNEL, "GridSearchCV(KernelRidge, cv=LeaveOneOut())", "peer", 133, note)


def test_linear_ours(timed) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = PenalizedLinearRegressor(cv="loo")
    timed(lambda: model.fit(x, y), 5.0)
    note = f"{len(model.selection_.table)} settings; mean squared error held out {model.loo_score_:.1f}"
    file(timed, LINEAR, OURS, "hw4opt", len(y), note, Target("times_faster", at_least=1, than=("peer",), aim=True))


def test_linear_ridge_cv(timed) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = RidgeCV(alphas=ALPHAS, scoring="neg_mean_squared_error")
    timed(lambda: model.fit(x, y), 5.0)
    note = f"{len(ALPHAS)} settings; mean squared error held out {-model.best_score_:.1f}"
    file(timed, LINEAR, "RidgeCV", "peer", len(y), note)


# ---- predictions -----------------------------------------------------------------------------------------------------

PREDICT = "predict at 10⁶ rows, mcycle's kernel fit"


@cache
def predictors() -> dict[str, BaseEstimator]:
    """Both fitted at one gamma and ridge."""
    peer, ours = (
        KernelRidge(alpha=0.1, kernel="rbf", gamma=0.01),
        PenalizedKernelRegressor(ridge=0.1, gamma=0.01, fit_intercept=False),
    )
    return {"hw4opt": ours.fit(*series()), "peer": peer.fit(*series())}


@pytest.mark.parametrize("kind", ["hw4opt", "peer"])
def test_predict(timed, kind: str) -> None:
    rows = np.linspace(2, 58, NEW_ROWS)[:, None]
    found = timed(lambda: predictors()[kind].predict(rows), 20.0)
    apart = float(np.abs(found[::1000] - predictors()["peer"].predict(rows[::1000])).max())
    targets = [Target("times_faster", at_least=1, than=("peer",))] if kind == "hw4opt" else []
    note = f"{apart:.1e} from KernelRidge at most" if kind == "hw4opt" else ""
    file(timed, PREDICT, OURS if kind == "hw4opt" else "KernelRidge", kind, NEW_ROWS, note, *targets)


# ---- what the estimator adds -----------------------------------------------------------------------------------------


PAIRS = 40  # rounds of each, in turns


@cache
def in_turns(variant: str) -> dict[str, list[float]]:
    """CPU seconds by kind, of the estimator's fit and of the same calls, alternating, so that other load on
    the machine affects both equally."""
    model = PenalizedKernelRegressor(loss=LOSSES[variant], cv="loo")

    def direct() -> None:
        problem = Problem(*series(), RBF(1.0), LOSSES[variant], [Ridge(1.0)], intercept=True)
        fit(select(problem, ["gamma", "ridge"], "loo").problem)

    acts = {"hw4opt": lambda: model.fit(*series()), "select": direct}
    found: dict[str, list[float]] = {kind: [] for kind in acts}
    for pair in range(PAIRS + 1):  # the first warms up
        for kind, act in acts.items():
            started = time.process_time()
            act()
            if pair:
                found[kind].append(time.process_time() - started)
    return found


@pytest.mark.parametrize("variant", LOSSES)
@pytest.mark.parametrize(("kind", "who"), [("hw4opt", "PenalizedKernelRegressor"), ("select", "select, fit")])
def test_what_the_estimator_adds(timed, variant: str, kind: str, who: str) -> None:
    seconds = timed.exactly(lambda: in_turns(variant), 1)[kind]
    targets = [Target("times_faster", at_least=1 / 1.05, than=("select",))] if kind == "hw4opt" else []
    case = f"{variant}: select and fit, mcycle"
    timed.file(Row(QUESTION, case, who, kind, certified=True, n=133, seconds=seconds, targets=targets))
