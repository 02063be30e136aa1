"""Data: the assignment's step data; tables from CSV or Parquet files are `hw4opt.tables`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hw4opt.errors import InputError
from hw4opt.tables import Table, read_table
from hw4opt.terms.base import Array
from hw4opt.validation.arguments import check_seed, checked
from hw4opt.validation.arrays import real_array

__all__ = ["OUTLIER", "StepData", "Table", "read_table", "step_data", "step_function"]

OUTLIER = 24  # the row whose y is 0: i = 25 of the assignment


class StepData(NamedTuple):
    """x and y of the assignment's problem 2, and the true f at x."""

    x: Array
    y: Array
    truth: Array


def step_function(x: ArrayLike) -> Array:
    """f(x) = 10 Σ_k 1{x ≥ k/5}, k = 1..4, shape of x. An x that rounding left just below k/5 counts as k/5."""
    return 10 * np.clip(np.floor(5 * real_array("x", x) + 1e-9), 0, 4)


@checked
def step_data(n: int = 50, seed: int = 0) -> StepData:
    """x_i = (i-1)/(n-1),  y_i = f(x_i) + ε_i,  ε = default_rng(seed).standard_normal(n), and one outlier, y_25 = 0.
    (Assignment 2.)"""
    if n <= OUTLIER:
        raise InputError(
            f"n is {n}; the step data have an outlier at i = {OUTLIER + 1}, so n must be {OUTLIER + 1} or more"
        )
    check_seed(seed)
    x = np.arange(n) / (n - 1)
    truth = step_function(x)
    y = truth + np.random.default_rng(seed).standard_normal(n)
    y[OUTLIER] = 0.0
    return StepData(x, y, truth)
