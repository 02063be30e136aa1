"""Checks of a smooth loss's derivatives, of its domain of duals, and of what a likelihood says besides."""

from __future__ import annotations

import numpy as np

from hw4opt.terms.conformance._faces import GRID_POINTS, RANDOM_POINTS, Face, worst
from hw4opt.terms.smooth import Likelihood, Smooth
from hw4opt.validation.arrays import Array

DERIVATIVE_STEP = 1e-5  # of differences


def check_derivatives(face: Face) -> None:
    """Gradient and curvature are those of `value`, |f'''| ≤ self_concordance f'', and what is said of f'' holds."""
    if not isinstance(face.term, Smooth):
        return
    z, term = np.linspace(-6, 6, 49), face.term
    value, slope, bend = face.each(z), face.call("gradient", z), face.call("curvature", z)
    h = DERIVATIVE_STEP
    rise = (face.each(z + h) - face.each(z - h)) / (2 * h)
    second, third = ((face.call(name, z + h) - face.call(name, z - h)) / (2 * h) for name in ("gradient", "curvature"))
    _compare(face, "gradient", z, slope, rise, 1e-7 * np.abs(rise) + 1e-8 + 1e-10 * np.abs(value))
    _compare(face, "curvature", z, bend, second, 1e-7 * np.abs(second) + 1e-9 + 1e-10 * np.abs(slope))
    most = term.self_concordance * bend * (1 + 1e-6) + 1e-9
    if (bad := worst(np.maximum(np.abs(third), most), most, 0.0)) is not None:
        said = f"|f'''({z[bad]:g})| is {abs(third[bad]):g}, above self_concordance · f'' = {most[bad]:g}"
        raise face.fail(f"{said}; it is how solvers know how far a Newton step may go")
    if not bend.max() <= term.steepest * (1 + 1e-9):
        raise face.fail(f"f'' reaches {bend.max():g}, above steepest = {term.steepest:g}")
    if term.steepening and np.any(np.diff(bend) < -1e-12 * bend[1:]):
        raise face.fail("steepening says that f'' never falls as z rises, and it does")
    for name, one, other in zip(
        ("value", "gradient", "curvature"), face.call("derivatives", z), (value, slope, bend), strict=True
    ):
        _compare(face, f"the {name} of derivatives", z, one, other, 1e-12 * (1 + np.abs(other) + np.abs(value)))
    if not np.isfinite(face.each(term.guess(np.array([face.y])))).all():
        raise face.fail("the value at guess(y) is not finite")


def check_duals(face: Face) -> None:
    """`clip_dual` goes to the nearest u where f* is finite, and `slack` is f(z) + f*(u) - z u there."""
    if not isinstance(face.term, Smooth):
        return
    u = np.concatenate([GRID_POINTS, RANDOM_POINTS])
    clipped, finite = face.call("clip_dual", u), np.isfinite(face.rows("conjugate", u))
    if (
        bad := worst(np.where(np.isfinite(face.rows("conjugate", clipped)), 0.0, 1.0), np.zeros_like(u), 0.0)
    ) is not None:
        raise face.fail(f"clip_dual({u[bad]:g}) is {clipped[bad]:g}, where f* is infinite")
    if finite.any():
        nearest = np.abs(u[:, None] - u[finite]).min(axis=1)
        if (bad := worst(np.maximum(np.abs(u - clipped), nearest), nearest, 1e-12)) is not None:
            raise face.fail(f"clip_dual({u[bad]:g}) is {clipped[bad]:g}; there is a nearer u where f* is finite")
    z, dual = (side.ravel() for side in np.meshgrid(GRID_POINTS, clipped))
    value, conjugate = face.each(z), face.call("conjugate_pointwise", dual)
    found, expected = face.call("slack", z, dual), value + conjugate - z * dual
    size = 1 + np.abs(value) + np.abs(conjugate) + np.abs(z * dual)
    if (bad := worst(found, expected, 1e-10 * size)) is not None:
        said = f"slack is {found[bad]:g} and f(z) + f*(u) - z u is {expected[bad]:g}"
        raise face.fail(f"{said} at z = {z[bad]:g}, u = {dual[bad]:g}")


def check_likelihood(face: Face) -> None:
    """`deviance` and `least` are those of the log-likelihood -(loss + normalizer), whose largest value is at the least
    loss."""
    if not isinstance(face.term, Likelihood) or face.y is None:
        return
    term, y = face.term, np.array([face.y])
    best = -term.conjugate_pointwise(np.zeros(1), y)
    _compare(face, "least", y, term.least(y), term.normalizer(y) + best, 1e-9 * (1 + np.abs(term.normalizer(y))))
    deviance, expected = face.call("deviance", GRID_POINTS), 2 * (face.each(GRID_POINTS) - best)
    _compare(face, "deviance", GRID_POINTS, deviance, expected, 1e-9 * (1 + np.abs(expected) + np.abs(best)))
    if not np.isfinite(term.mean(GRID_POINTS)).all() or not np.isfinite(term.observed(y)).all():
        raise face.fail("mean or observed is not finite")


def _compare(face: Face, name: str, z: Array, found: Array, expected: Array, tolerance: Array) -> None:
    if (bad := worst(found, expected, tolerance)) is not None:
        raise face.fail(f"{name} at {z[bad]:g} is {found[bad]:.9g}; it should be {expected[bad]:.9g}")
