"""Checks of the cvxpy model and of `in_units` against `value`."""

from __future__ import annotations

from typing import Any

import numpy as np

from hw4opt.terms.conformance._fixed import GRID_POINTS, RANDOM_POINTS, FixedTerm, worst
from hw4opt.validation.arrays import Array

UNIT_SIZES = (2.0**-20, 0.25, 8.0, 2.0**30)  # powers of two, so that breakpoints stay on the grid


def check_model(fixed: FixedTerm) -> None:
    """The cvxpy model equals `value` in each row; a constraint holds exactly where the value is 0."""
    import cvxpy as cp

    points = fixed.points()
    z = cp.Variable(points.size, value=points)
    model = fixed.model(cp, z)
    if isinstance(model, list):
        if not all(constraint.is_dcp() for constraint in model):
            raise fixed.fail("model has a constraint that is not convex by cvxpy's rules")
        _compare_sets(fixed, fixed.model, points, fixed.each(points) == 0, "")
        return
    if model.shape != z.shape or not model.is_convex():
        raise fixed.fail(f"model has shape {model.shape} for {points.size} rows, or is not convex by cvxpy's rules")
    each = fixed.each(points)
    if (bad := worst(model.value, each, 1e-12 * (1 + np.abs(each)))) is not None:
        raise fixed.fail(f"model({points[bad]:g}) is {model.value[bad]:g}, and value {each[bad]:g}")


def check_units(fixed: FixedTerm) -> None:
    """`in_units`: f(size z) = c g(z), for values and cvxpy models."""
    import cvxpy as cp

    for size in UNIT_SIZES:
        scaled = fixed.term.in_units(size)
        if scaled is None:
            return
        factor, same = scaled
        if type(same) is not type(fixed.term) or same.acts != fixed.term.acts:
            raise fixed.fail(f"in_units({size:g}) gives {same!r}, which is of another kind")
        other = FixedTerm(same, fixed.y)
        z = np.concatenate([GRID_POINTS / size, GRID_POINTS, RANDOM_POINTS])
        expected, each = fixed.each(size * z), other.each(z)
        found = np.where(each == 0, 0.0, factor * each)
        if (bad := worst(found, expected, 1e-12 * np.abs(expected))) is not None:
            raise fixed.fail(
                f"in_units({size:g}): f({size * z[bad]:g}) is {expected[bad]:g}, and c g(z) {found[bad]:g}"
            )
        model = other.model(cp, cp.Variable(z.size, value=z))
        if isinstance(model, list):
            _compare_sets(fixed, other.model, z, expected == 0, f"in_units({size:g}): ")
        elif (bad := worst(factor * model.value, expected, 1e-12 * np.abs(expected))) is not None:
            message = f"f({size * z[bad]:g}) is {expected[bad]:g}, and c times the model {factor * model.value[bad]:g}"
            raise fixed.fail(f"in_units({size:g}): {message}")


def _compare_sets(fixed: FixedTerm, model: Any, points: Array, inside: Array, where: str) -> None:
    """The model's constraints hold in a row exactly where `inside` is true."""
    import cvxpy as cp

    row = cp.Variable(1)
    constraints = model(cp, row)
    for point, expected in zip(points, inside, strict=True):
        row.value = np.array([point])
        if all(np.all(one.violation() == 0) for one in constraints) != expected:
            holds = "breaks the constraint" if expected else "keeps to the constraint"
            raise fixed.fail(f"{where}{point:g} {holds} of model, and value is {'0' if expected else 'infinite'} there")
