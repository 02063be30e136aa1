"""Predictions of a fit without its separated rows: their limit along the directions in which the likelihood rises.

Let K be the rows that were kept and S those that were separated (existence.py). The coefficients go to infinity
along directions v with Kv = 0 and Sv < 0. The predictor of a row x in the span of K does not change. That of another
x goes to -∞ if xᵀv < 0 for every such v, that is, where x less its part in the span is a combination of rows of S with
weights ≥ 0 (Farkas); to ∞ where -x is one; and its limit is undetermined elsewhere. It is undetermined, too, outside
the span of K and S, where columns are collinear in the data and not in x.
"""

from __future__ import annotations

import numpy as np

from hw4opt.proof.existence import SLOPE_ROUNDING, acting, null_space, unit_rows
from hw4opt.terms.base import Array

SPAN_ROUNDING = 1e-9  # of a row's length: its part outside the span of the kept rows that is rounding
DIRECTION_DECIMALS = 9  # of unit rows that are distinguished
GENERATOR_DECIMALS = 12  # of unit rows that span a cone, without their repetitions
MAX_CONE_RESIDUAL = 1e-6  # of a unit row that lies in a cone


def drift(kept: Array, separated: Array, rows: Array) -> Array:
    """The limit of the change of the predictor of each of `rows` (m, r): 0, -inf, inf, or NaN where undetermined."""
    scale = np.sqrt(np.square(kept).sum(axis=0) + np.square(separated).sum(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    span = null_space(unit_rows(np.concatenate([kept / scale, np.zeros((1, len(scale)))])))
    generators = unit_rows(separated / scale) @ span
    directions = acting(generators)
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
    """Whether the row, of unit length, is a combination of the generators with weights ≥ 0."""
    if len(row) == 1:
        return bool((generators[:, 0] * row[0] > SLOPE_ROUNDING).any())
    from scipy.optimize import nnls

    return nnls(np.unique(generators.round(GENERATOR_DECIMALS), axis=0).T, row)[1] <= MAX_CONE_RESIDUAL
