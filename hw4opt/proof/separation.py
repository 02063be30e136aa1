"""The limit of predictions along the directions of recession of a likelihood without finite maximum.

Let K be the kept and S the separated rows (existence.py). The coefficients tend to infinity along directions v with
Kv = 0 and Sv < 0. The predictor xᵀw of a row x in the row space of K does not change. That of another x tends to -∞ if
xᵀv < 0 for every such v, that is, if x without its part in the row space of K is a nonnegative combination of rows of
S (Farkas); to ∞ if -x is one; otherwise its limit is undetermined. It is also undetermined for x outside the row space
of K and S, if columns that are collinear in the data are not in x.
"""

from __future__ import annotations

import numpy as np

from hw4opt.proof.existence import SLOPE_ROUNDING, null_space, row_space, unit_rows
from hw4opt.terms.base import Array

SPAN_ROUNDING = 1e-9  # distance of a unit row from a subspace up to which it counts as inside
DIRECTION_DECIMALS = 9  # decimals by which unit rows are distinguished
GENERATOR_DECIMALS = 12  # decimals by which generators of a cone are distinguished
MAX_CONE_RESIDUAL = 1e-6  # distance of a unit row from a cone up to which it counts as inside


def drift(kept: Array, separated: Array, rows: Array) -> Array:
    """The limit (m,) of the change of the predictor of `rows` (m, r): 0, -inf, inf, or NaN if undetermined; `kept` and
    `separated` (·, r)."""
    scale = np.sqrt(np.square(kept).sum(axis=0) + np.square(separated).sum(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    span = null_space(unit_rows(np.concatenate([kept / scale, np.zeros((1, len(scale)))])))
    generators = unit_rows(separated / scale) @ span
    directions = row_space(generators)
    if directions is None:
        return np.zeros(len(rows))
    beyond = unit_rows(rows / scale) @ span
    inside = beyond @ directions
    inside[np.linalg.norm(beyond, axis=1) <= SPAN_ROUNDING] = 0.0
    distinct, place = np.unique(unit_rows(inside).round(DIRECTION_DECIMALS), axis=0, return_inverse=True)
    found = np.array([_drift(generators @ directions, one) for one in distinct])[place.ravel()]
    return np.where(np.linalg.norm(beyond - beyond @ directions @ directions.T, axis=1) <= SPAN_ROUNDING, found, np.nan)


def _drift(generators: Array, row: Array) -> float:
    if not row.any():
        return 0.0
    for sign in (1.0, -1.0):
        if _in_cone(unit_rows(generators), sign * row):
            return -sign * np.inf
    return np.nan


def _in_cone(generators: Array, row: Array) -> bool:
    """Whether the row of unit length is a nonnegative combination of the generators."""
    if len(row) == 1:
        return bool((generators[:, 0] * row[0] > SLOPE_ROUNDING).any())
    from scipy.optimize import nnls

    return nnls(np.unique(generators.round(GENERATOR_DECIMALS), axis=0).T, row)[1] <= MAX_CONE_RESIDUAL
