"""Sums of functions by other packages, each in its own process: python -m bench.sums_peers NAME FOLDER.

FOLDER holds parts.json, and the rows to fit (y last), to predict and of the grid in fit.npy, new.npy and grid.npy.
Predictions are written to new.txt and grid.txt, and the CPU seconds of choice and fit to seconds.txt.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Part = dict[str, Any]  # name, columns, kind (smooth | levels), increasing
Predict = Callable[[np.ndarray], np.ndarray]


def hw4opt_everywhere(x: np.ndarray, y: np.ndarray, parts: Sequence[Part]) -> Predict:
    """Increasing at every x."""
    return _hw4opt(x, y, parts, everywhere=True)


def hw4opt_rows(x: np.ndarray, y: np.ndarray, parts: Sequence[Part]) -> Predict:
    """Increasing at the data rows."""
    return _hw4opt(x, y, parts, everywhere=False)


def _hw4opt(x: np.ndarray, y: np.ndarray, parts: Sequence[Part], everywhere: bool) -> Predict:
    from hw4opt import RBF, Additive, Categorical, Component, Increasing, Problem, fit
    from hw4opt.selection import select

    components = []
    for part in parts:
        kernel = (
            Categorical()
            if part["kind"] == "levels"
            else RBF(1 / float(np.ptp(x[:, part["columns"]], axis=0).max()) ** 2)
        )
        shapes = [Increasing(everywhere=everywhere)] if part["increasing"] else []
        components.append(Component(part["name"], part["columns"], kernel, 1.0, constraints=shapes))
    problem = Problem(x, y, Additive(components))
    chosen = select(problem, list(problem.hyperparameters), workers=1)
    return fit(chosen.problem).raise_for_status().predict


def pygam(x: np.ndarray, y: np.ndarray, parts: Sequence[Part]) -> Predict:
    """One weight for all components, of 11, by generalised cross-validation: its `gridsearch`."""
    from pygam import LinearGAM, f, s, te

    terms = None
    for part in parts:
        columns = part["columns"]
        if part["kind"] == "levels":
            term = f(*columns)
        elif len(columns) > 1:
            term = te(*columns)
        else:
            term = s(*columns, constraints="monotonic_inc" if part["increasing"] else None)
        terms = term if terms is None else terms + term
    return LinearGAM(terms).gridsearch(x, y, progress=False).predict


def splines(x: np.ndarray, y: np.ndarray, parts: Sequence[Part]) -> Predict:
    """SplineTransformer and RidgeCV: knots and ridge by its leave-one-out; a column at a time, no shape."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    model = make_pipeline(SplineTransformer(extrapolation="linear"), RidgeCV(np.geomspace(1e-4, 1e4, 17)))
    return GridSearchCV(model, {"splinetransformer__n_knots": [4, 7, 12, 20]}, cv=3).fit(x, y).predict


def boosting(x: np.ndarray, y: np.ndarray, parts: Sequence[Part]) -> Predict:
    """HistGradientBoostingRegressor with `monotonic_cst`: its learning rate and leaves by 3-fold; interactions."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import GridSearchCV

    shapes = np.zeros(x.shape[1], dtype=int)
    shapes[[column for part in parts if part["increasing"] for column in part["columns"]]] = 1
    levels = [column for part in parts if part["kind"] == "levels" for column in part["columns"]]
    model = HistGradientBoostingRegressor(
        monotonic_cst=shapes, categorical_features=levels or None, early_stopping=True, random_state=0
    )
    tried = {"learning_rate": [0.03, 0.1], "max_leaf_nodes": [4, 15]}
    return GridSearchCV(model, tried, cv=3).fit(x, y).predict


WAYS = {one.__name__: one for one in (hw4opt_everywhere, hw4opt_rows, pygam, splines, boosting)}
NEEDS = {
    "hw4opt_everywhere": "hw4opt",
    "hw4opt_rows": "hw4opt",
    "pygam": "pygam",
    "splines": "sklearn",
    "boosting": "sklearn",
}


def main() -> int:
    name, folder = sys.argv[1], Path(sys.argv[2])
    try:
        importlib.import_module(NEEDS[name])
    except ImportError as error:
        print(error)
        return 3
    rows = np.load(folder / "fit.npy")
    parts = json.loads((folder / "parts.json").read_text())
    x, y = np.ascontiguousarray(rows[:, :-1]), rows[:, -1].copy()
    WAYS[name](x[:60], y[:60], parts)  # what is imported at first use is not timed
    began = time.process_time()
    predict = WAYS[name](x, y, parts)
    (folder / "seconds.txt").write_text(str(time.process_time() - began))
    for one in ("new", "grid"):
        np.savetxt(folder / f"{one}.txt", np.asarray(predict(np.load(folder / f"{one}.npy"))))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
