"""Checks of value, prox and conjugate against brute-force minimisation and the Fenchel-Young inequality."""

from __future__ import annotations

import numpy as np

from hw4opt.terms.conformance._fixed import FARTHEST_BREAKPOINT, RANDOM_POINTS, FixedTerm, minimum, worst
from hw4opt.validation.arrays import Array

PROX_STEPS = (0.125, 1.0, 6.0)  # values of `step`


def check_value(fixed: FixedTerm) -> None:
    """`value` is the sum over rows, and `pointwise` gives its summands."""
    z = np.concatenate([fixed.points(), RANDOM_POINTS])
    each, alone = fixed.each(z), fixed.rows("value", z)
    if (bad := worst(each, alone, 1e-14 * np.abs(alone))) is not None:
        raise fixed.fail(f"pointwise({z[bad]:g}) is {each[bad]:g}, and value of that row alone {alone[bad]:g}")
    inside = np.isfinite(alone)
    total, value = float(alone[inside].sum()), float(fixed.call("value", z[inside]))
    if not abs(value - total) <= 1e-13 * float(np.abs(alone[inside]).sum()):
        raise fixed.fail(f"value of {inside.sum()} rows is {value:g}, and the sum of their values {total:g}")
    if not inside.all() and fixed.call("value", z) != np.inf:
        raise fixed.fail("value is finite where one of its rows is outside the domain")


def check_prox(fixed: FixedTerm) -> None:
    """`prox` minimises f(z) + (z - v)²/(2 step), at every breakpoint of f and of the prox, and on both sides of
    them."""
    z, u = fixed.contacts()
    for step in PROX_STEPS:
        v = np.unique(np.concatenate([fixed.points(), z + step * u, 10 * RANDOM_POINTS]))

        def objective(z: Array, v: Array = v, step: float = step) -> Array:
            return fixed.each(z) + (z - v[:, None]) ** 2 / (2 * step)

        best, lowest = minimum(objective, v.size, 1e4 * fixed.reach())
        found = fixed.call("prox", v, step)
        bad = worst(found, best, 1e-6 * (1 + np.abs(v)))
        if bad is None:
            bad = worst(np.maximum(objective(found[:, None])[:, 0], lowest), lowest, 1e-12 * (1 + np.abs(lowest)))
        if bad is not None:
            goal = f"f(z) + (z - v)²/(2 step) is least at {best[bad]:.9g}"
            raise fixed.fail(f"prox({v[bad]:g}, step = {step:g}) is {found[bad]:.9g}; {goal}")
        if (
            worst(fixed.call("prox", v[:, None], step), found[:, None], 1e-12 * (1 + np.abs(found[:, None])))
            is not None
        ):
            raise fixed.fail("prox of a column differs from that of a vector")


def check_conjugate(fixed: FixedTerm) -> None:
    """`conjugate` is sup_z u z - f(z), also at the bounds of its domain, and infinite outside."""
    ends = fixed.ends()
    ends = ends[np.isfinite(ends)]
    u = np.concatenate([fixed.contacts()[1], *(ends + shift for shift in (-1 / 64, 1 / 64)), [0.0], RANDOM_POINTS])
    for end in ends:
        u = u[np.abs(u - end) > 1e-5 * (1 + abs(end))]  # rounding may move these across the bound
    u = np.unique(np.concatenate([u, ends]))
    u = u[np.abs(u) < FARTHEST_BREAKPOINT]

    def negative(z: Array) -> Array:
        return fixed.each(z) - u[:, None] * z

    near, far = (-minimum(negative, u.size, reach * fixed.reach())[1] for reach in (1e2, 1e4))
    inside = far <= near + 1
    found = fixed.rows("conjugate", u)
    expected = np.where(inside, far, np.inf)
    if (
        bad := worst(found, expected, np.where(inside, 1e-9 * (1 + np.abs(far)) + np.abs(far - near), 0.0))
    ) is not None:
        raise fixed.fail(f"conjugate({u[bad]:g}) is {found[bad]:g}; the supremum of u z - f(z) is {expected[bad]:g}")
    total, value = float(found[inside].sum()), float(fixed.call("conjugate", u[inside]))
    if not abs(value - total) <= 1e-9 * (1 + float(np.abs(found[inside]).sum())):
        raise fixed.fail(f"conjugate of {inside.sum()} rows is {value:g}, and the sum of their conjugates {total:g}")


def check_fenchel_young(fixed: FixedTerm) -> None:
    """f(z) + f*(u) ≥ z u for any pair, with equality at z = prox(v), u = (v - z)/step."""
    duals = np.concatenate([np.unique(fixed.contacts()[1]), RANDOM_POINTS])
    z, u = (side.ravel() for side in np.meshgrid(np.concatenate([fixed.points(), RANDOM_POINTS]), duals))
    conjugates = dict(zip(duals.tolist(), fixed.rows("conjugate", duals).tolist(), strict=True))
    slack = fixed.each(z) + np.array([conjugates[one] for one in u.tolist()]) - z * u
    if (bad := worst(np.minimum(slack, 0.0), np.zeros_like(slack), 1e-9 * (1 + np.abs(z * u)))) is not None:
        raise fixed.fail(f"f(z) + f*(u) is less than z u, by {-slack[bad]:g}, at z = {z[bad]:g}, u = {u[bad]:g}")
    z, u = fixed.contacts()
    for step in PROX_STEPS:
        v = np.concatenate([z + step * u, RANDOM_POINTS])
        p = fixed.call("prox", v, step)
        raw, rounding = (v - p) / step, 1e-12 * (1 + np.abs(v)) / step
        dual = raw - np.clip(
            raw, -rounding, rounding
        )  # towards 0, which is in every domain, so that rounding does not leave it
        slack = fixed.each(p) + fixed.rows("conjugate", dual) - p * dual
        if (bad := worst(slack, np.zeros_like(slack), 1e-9 * (1 + np.abs(p * dual)))) is not None:
            at = f"z = prox({v[bad]:g}, step = {step:g}), u = (v - z)/step"
            raise fixed.fail(f"f(z) + f*(u) - z u is {slack[bad]:g} at {at}; it must be 0")
