"""Kernel regression over many rows by other packages, each in its own process:

    python -m bench.blocks_peers WHO LOSS ROWS TARGET

prints JSON: the objective reached, CPU seconds, and epochs. The objective is hw4opt's,
Σ loss(f(x_i) - y_i) + ridge ‖w‖², with f = wᵀφ over the features of `Nystroem` or `RBFSampler`. Stochastic descent ends
where that is within WITHIN of TARGET, or after SECONDS; it is not timed while the objective is looked at, and the best
of several step lengths counts.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

GAMMA, RIDGE, DELTA = 30.0, 0.1, 0.5
COMPONENTS = 60  # of Nystroem: twice the numerical rank of the kernel; RBFSampler gets twice as many
WITHIN = 1e-4  # of the objective
SECONDS = 10.0  # of one step length
STEPS = (0.01, 0.1, 1.0)  # eta0
PART_ROWS = 16_384  # of a call of partial_fit

Array = np.ndarray
Rows = tuple[Array, Array]


def rows_of(count: int) -> Rows:
    """Those of bench_blocks.py."""
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 1, count)
    return x[:, None], np.sin(8 * x) + 0.3 * draw.standard_normal(count) + 9 * (draw.uniform(size=count) < 0.05)


def objective(loss: str, residual: Array, w: Array) -> float:
    """In hw4opt's scale: r², or r² inside of delta and 2 delta |r| - delta² outside."""
    square = np.square(residual)
    if loss == "huber":
        size = np.abs(residual)
        square = np.where(size <= DELTA, square, DELTA * (2 * size - DELTA))
    return float(square.sum() + RIDGE * np.square(w).sum())


def nystroem(x: Array) -> Array:
    from sklearn.kernel_approximation import Nystroem

    return Nystroem(gamma=GAMMA, n_components=COMPONENTS, random_state=0).fit(x[::10]).transform(x)


def fourier(x: Array) -> Array:
    from sklearn.kernel_approximation import RBFSampler

    return RBFSampler(gamma=GAMMA, n_components=2 * COMPONENTS, random_state=0).fit(x).transform(x)


def descend(features: Callable[[Array], Array], loss: str, rows: Rows, target: float) -> dict[str, Any]:
    """SGDRegressor.partial_fit, epoch after epoch; its objective is ours over 2 n."""
    from sklearn.linear_model import SGDRegressor

    x, y = rows
    began = time.process_time()
    phi = features(x)
    made = time.process_time() - began
    tries = []
    for step in STEPS:
        losses = {"squared": "squared_error", "huber": "huber"}
        model = SGDRegressor(
            losses[loss], alpha=RIDGE / len(y), epsilon=DELTA, fit_intercept=False, eta0=step, average=True
        )
        best, seconds, epochs = np.inf, made, 0
        while best > (1 + WITHIN) * target and seconds < SECONDS + made:
            began = time.process_time()
            for low in range(0, len(y), PART_ROWS):
                model.partial_fit(phi[low : low + PART_ROWS], y[low : low + PART_ROWS])
            seconds, epochs = seconds + time.process_time() - began, epochs + 1
            if not np.isfinite(model.coef_).all():
                break
            best = min(best, objective(loss, phi @ model.coef_ - y, model.coef_))
        tries.append((best > (1 + WITHIN) * target, seconds if best <= (1 + WITHIN) * target else best, step, best))
        tries[-1] += (seconds, epochs)
    _, _, step, best, seconds, epochs = min(tries)
    return {"objective": best, "seconds": seconds, "epochs": epochs, "how": f"eta0 {step:g}"}


def sgd_nystroem(loss: str, rows: Rows, target: float) -> dict[str, Any]:
    return descend(nystroem, loss, rows, target)


def sgd_fourier(loss: str, rows: Rows, target: float) -> dict[str, Any]:
    return descend(fourier, loss, rows, target)


def glum(loss: str, rows: Rows, target: float) -> dict[str, Any]:
    """GeneralizedLinearRegressor over Nystroem's features: squared loss alone."""
    from glum import GeneralizedLinearRegressor

    x, y = rows
    began = time.process_time()
    phi = nystroem(x)
    model = GeneralizedLinearRegressor(
        family="normal", alpha=RIDGE / len(y), l1_ratio=0, fit_intercept=False, gradient_tol=1e-10
    )
    model.fit(phi, y)
    seconds = time.process_time() - began
    return {"objective": objective(loss, phi @ model.coef_ - y, model.coef_), "seconds": seconds, "epochs": None}


def dask_ml(loss: str, rows: Rows, target: float) -> dict[str, Any]:
    """LinearRegression by L-BFGS over Nystroem's features in a Dask array, on this thread: squared loss alone."""
    import dask
    import dask.array
    from dask_ml.linear_model import LinearRegression

    x, y = rows
    began = time.process_time()
    phi = nystroem(x)
    with dask.config.set(scheduler="synchronous"):
        model = LinearRegression(
            penalty="l2", C=0.5 / RIDGE, solver="lbfgs", fit_intercept=False, max_iter=1000, tol=1e-9
        )
        of_rows = (PART_ROWS, phi.shape[1])
        model.fit(dask.array.from_array(phi, chunks=of_rows), dask.array.from_array(y, chunks=PART_ROWS))
    seconds, w = time.process_time() - began, np.asarray(model.coef_)
    return {"objective": objective(loss, phi @ w - y, w), "seconds": seconds, "epochs": None}


WAYS: dict[str, Callable[[str, Rows, float], dict[str, Any]]] = {
    "SGDRegressor, Nystroem": sgd_nystroem,
    "SGDRegressor, RBFSampler": sgd_fourier,
    "glum, Nystroem": glum,
    "dask-ml, Nystroem": dask_ml,
}
NEEDS = {"SGDRegressor": "sklearn", "glum": "glum", "dask-ml": "dask_ml.linear_model"}
LOSSES = {name: ("squared",) if name.startswith(("glum", "dask-ml")) else ("squared", "huber") for name in WAYS}


def main() -> int:
    who, loss, count, target = sys.argv[1:]
    try:
        importlib.import_module(NEEDS[who.partition(",")[0]])
    except ImportError as error:
        print(error)
        return 3
    print(json.dumps(WAYS[who](loss, rows_of(int(count)), float(target))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
