"""Checks of value, prox and conjugate against brute force and the Fenchel-Young inequality."""

from __future__ import annotations

import numpy as np

from hw4opt.terms.conformance._faces import FARTHEST_BREAKPOINT, RANDOM_POINTS, Face, minimum, worst
from hw4opt.validation.arrays import Array

PROX_STEPS = (0.125, 1.0, 6.0)  # of prox


def check_value(face: Face) -> None:
    """`value` adds up rows; `pointwise` is those rows."""
    z = np.concatenate([face.points(), RANDOM_POINTS])
    each, alone = face.each(z), face.rows("value", z)
    if (bad := worst(each, alone, 1e-14 * np.abs(alone))) is not None:
        raise face.fail(f"pointwise({z[bad]:g}) is {each[bad]:g}, and value of that row alone {alone[bad]:g}")
    inside = np.isfinite(alone)
    total, value = float(alone[inside].sum()), float(face.call("value", z[inside]))
    if not abs(value - total) <= 1e-13 * float(np.abs(alone[inside]).sum()):
        raise face.fail(f"value of {inside.sum()} rows is {value:g}, and the sum of their values {total:g}")
    if not inside.all() and face.call("value", z) != np.inf:
        raise face.fail("value is finite where one of its rows is outside the domain")


def check_prox(face: Face) -> None:
    """`prox` minimises f(z) + (z - v)²/(2 step), at every kink of f and of the prox itself and on both sides of
    them."""
    z, u = face.contacts()
    for step in PROX_STEPS:
        v = np.unique(np.concatenate([face.points(), z + step * u, 10 * RANDOM_POINTS]))

        def objective(z: Array, v: Array = v, step: float = step) -> Array:
            return face.each(z) + (z - v[:, None]) ** 2 / (2 * step)

        best, lowest = minimum(objective, v.size, 1e4 * face.reach())
        found = face.call("prox", v, step)
        bad = worst(found, best, 1e-6 * (1 + np.abs(v)))
        if bad is None:
            bad = worst(np.maximum(objective(found[:, None])[:, 0], lowest), lowest, 1e-12 * (1 + np.abs(lowest)))
        if bad is not None:
            goal = f"f(z) + (z - v)²/(2 step) is least at {best[bad]:.9g}"
            raise face.fail(f"prox({v[bad]:g}, step = {step:g}) is {found[bad]:.9g}; {goal}")
        if worst(face.call("prox", v[:, None], step), found[:, None], 1e-12 * (1 + np.abs(found[:, None]))) is not None:
            raise face.fail("prox of a column differs from that of a vector")


def check_conjugate(face: Face) -> None:
    """`conjugate` is the supremum, also at the very ends of its domain, and infinite outside."""
    ends = face.ends()
    ends = ends[np.isfinite(ends)]
    u = np.concatenate([face.contacts()[1], *(ends + shift for shift in (-1 / 64, 1 / 64)), [0.0], RANDOM_POINTS])
    for end in ends:
        u = u[np.abs(u - end) > 1e-5 * (1 + abs(end))]  # what rounding may put on the other side
    u = np.unique(np.concatenate([u, ends]))
    u = u[np.abs(u) < FARTHEST_BREAKPOINT]

    def negative(z: Array) -> Array:
        return face.each(z) - u[:, None] * z

    near, far = (-minimum(negative, u.size, reach * face.reach())[1] for reach in (1e2, 1e4))
    inside = far <= near + 1
    found = face.rows("conjugate", u)
    expected = np.where(inside, far, np.inf)
    if (
        bad := worst(found, expected, np.where(inside, 1e-9 * (1 + np.abs(far)) + np.abs(far - near), 0.0))
    ) is not None:
        raise face.fail(f"conjugate({u[bad]:g}) is {found[bad]:g}; the supremum of u z - f(z) is {expected[bad]:g}")
    total, value = float(found[inside].sum()), float(face.call("conjugate", u[inside]))
    if not abs(value - total) <= 1e-9 * (1 + float(np.abs(found[inside]).sum())):
        raise face.fail(f"conjugate of {inside.sum()} rows is {value:g}, and the sum of their conjugates {total:g}")


def check_fenchel_young(face: Face) -> None:
    """f(z) + f*(u) ≥ z u for any pair, with equality at z = prox(v), u = (v - z)/step."""
    duals = np.concatenate([np.unique(face.contacts()[1]), RANDOM_POINTS])
    z, u = (side.ravel() for side in np.meshgrid(np.concatenate([face.points(), RANDOM_POINTS]), duals))
    conjugates = dict(zip(duals.tolist(), face.rows("conjugate", duals).tolist(), strict=True))
    slack = face.each(z) + np.array([conjugates[one] for one in u.tolist()]) - z * u
    if (bad := worst(np.minimum(slack, 0.0), np.zeros_like(slack), 1e-9 * (1 + np.abs(z * u)))) is not None:
        raise face.fail(f"f(z) + f*(u) is less than z u, by {-slack[bad]:g}, at z = {z[bad]:g}, u = {u[bad]:g}")
    z, u = face.contacts()
    for step in PROX_STEPS:
        v = np.concatenate([z + step * u, RANDOM_POINTS])
        p = face.call("prox", v, step)
        raw, rounding = (v - p) / step, 1e-12 * (1 + np.abs(v)) / step
        dual = raw - np.clip(
            raw, -rounding, rounding
        )  # towards 0, which every domain holds: rounding must not leave it
        slack = face.each(p) + face.rows("conjugate", dual) - p * dual
        if (bad := worst(slack, np.zeros_like(slack), 1e-9 * (1 + np.abs(p * dual)))) is not None:
            at = f"z = prox({v[bad]:g}, step = {step:g}), u = (v - z)/step"
            raise face.fail(f"f(z) + f*(u) - z u is {slack[bad]:g} at {at}; it must be 0")
