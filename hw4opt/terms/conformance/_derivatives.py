"""Checks of a smooth loss's derivatives and dual domain, and of a likelihood's deviance and normalizer."""

from __future__ import annotations

import numpy as np

from hw4opt.terms.conformance._fixed import GRID_POINTS, RANDOM_POINTS, FixedTerm, worst
from hw4opt.terms.smooth import Likelihood, Smooth
from hw4opt.validation.arrays import Array

DERIVATIVE_STEP = 1e-5  # of central differences


def check_derivatives(fixed: FixedTerm) -> None:
    """Gradient and curvature agree with differences of `value`, |f'''| ≤ self_concordance f'', and f'' agrees with
    `steepest` and `steepening`."""
    if not isinstance(fixed.term, Smooth):
        return
    z, term = np.linspace(-6, 6, 49), fixed.term
    value, slope, curvature = fixed.each(z), fixed.call("gradient", z), fixed.call("curvature", z)
    h = DERIVATIVE_STEP
    rise = (fixed.each(z + h) - fixed.each(z - h)) / (2 * h)
    second, third = (
        (fixed.call(name, z + h) - fixed.call(name, z - h)) / (2 * h) for name in ("gradient", "curvature")
    )
    _compare(fixed, "gradient", z, slope, rise, 1e-7 * np.abs(rise) + 1e-8 + 1e-10 * np.abs(value))
    _compare(fixed, "curvature", z, curvature, second, 1e-7 * np.abs(second) + 1e-9 + 1e-10 * np.abs(slope))
    most = term.self_concordance * curvature * (1 + 1e-6) + 1e-9
    if (bad := worst(np.maximum(np.abs(third), most), most, 0.0)) is not None:
        message = f"|f'''({z[bad]:g})| is {abs(third[bad]):g}, above self_concordance · f'' = {most[bad]:g}"
        raise fixed.fail(f"{message}; solvers limit Newton steps by it")
    if not curvature.max() <= term.steepest * (1 + 1e-9):
        raise fixed.fail(f"f'' reaches {curvature.max():g}, above steepest = {term.steepest:g}")
    if term.steepening and np.any(np.diff(curvature) < -1e-12 * curvature[1:]):
        raise fixed.fail("steepening is set, but f'' decreases as z increases")
    for name, one, other in zip(
        ("value", "gradient", "curvature"), fixed.call("derivatives", z), (value, slope, curvature), strict=True
    ):
        _compare(fixed, f"the {name} of derivatives", z, one, other, 1e-12 * (1 + np.abs(other) + np.abs(value)))
    if not np.isfinite(fixed.each(term.guess(np.array([fixed.y])))).all():
        raise fixed.fail("the value at guess(y) is not finite")


def check_duals(fixed: FixedTerm) -> None:
    """`clip_dual` is the projection onto the domain of f*, and `slack` is f(z) + f*(u) - z u there."""
    if not isinstance(fixed.term, Smooth):
        return
    u = np.concatenate([GRID_POINTS, RANDOM_POINTS])
    clipped, finite = fixed.call("clip_dual", u), np.isfinite(fixed.rows("conjugate", u))
    if (
        bad := worst(np.where(np.isfinite(fixed.rows("conjugate", clipped)), 0.0, 1.0), np.zeros_like(u), 0.0)
    ) is not None:
        raise fixed.fail(f"clip_dual({u[bad]:g}) is {clipped[bad]:g}, where f* is infinite")
    if finite.any():
        nearest = np.abs(u[:, None] - u[finite]).min(axis=1)
        if (bad := worst(np.maximum(np.abs(u - clipped), nearest), nearest, 1e-12)) is not None:
            raise fixed.fail(f"clip_dual({u[bad]:g}) is {clipped[bad]:g}; there is a nearer u where f* is finite")
    z, dual = (side.ravel() for side in np.meshgrid(GRID_POINTS, clipped))
    value, conjugate = fixed.each(z), fixed.call("conjugate_pointwise", dual)
    found, expected = fixed.call("slack", z, dual), value + conjugate - z * dual
    size = 1 + np.abs(value) + np.abs(conjugate) + np.abs(z * dual)
    if (bad := worst(found, expected, 1e-10 * size)) is not None:
        message = f"slack is {found[bad]:g} and f(z) + f*(u) - z u is {expected[bad]:g}"
        raise fixed.fail(f"{message} at z = {z[bad]:g}, u = {dual[bad]:g}")


def check_likelihood(fixed: FixedTerm) -> None:
    """`deviance` and `least` agree with the log-likelihood -(loss + normalizer) and its maximum over z."""
    if not isinstance(fixed.term, Likelihood) or fixed.y is None:
        return
    term, y = fixed.term, np.array([fixed.y])
    best = -term.conjugate_pointwise(np.zeros(1), y)
    _compare(fixed, "least", y, term.least(y), term.normalizer(y) + best, 1e-9 * (1 + np.abs(term.normalizer(y))))
    deviance, expected = fixed.call("deviance", GRID_POINTS), 2 * (fixed.each(GRID_POINTS) - best)
    _compare(fixed, "deviance", GRID_POINTS, deviance, expected, 1e-9 * (1 + np.abs(expected) + np.abs(best)))
    if not np.isfinite(term.mean(GRID_POINTS)).all() or not np.isfinite(term.observed(y)).all():
        raise fixed.fail("mean or observed is not finite")


def _compare(fixed: FixedTerm, name: str, z: Array, found: Array, expected: Array, tolerance: Array) -> None:
    if (bad := worst(found, expected, tolerance)) is not None:
        raise fixed.fail(f"{name} at {z[bad]:g} is {found[bad]:.9g}; it should be {expected[bad]:.9g}")
