"""How terms and kernels move with the units of y and x, found by trying, so that a new one needs no entry here."""

import itertools
from dataclasses import fields, replace

import numpy as np

from hw4opt import CoefBounds, Decreasing, Increasing
from hw4opt.errors import InputError
from hw4opt.terms import Coefficients, Differences, Interval, PiecewiseQuadratic, Slope, Smooth

Z = np.array([-37.5, -3.25, -0.8, -0.3, -0.02, 0.0, 0.07, 0.4, 0.9, 2.75, 41.0])


def of_loss(loss, s):
    """(ℓ_{s θ}, p) with ℓ_{s θ}(s z) = s^p ℓ_θ(z), θ some of the parameters of a loss of f - y; None where there is no
    such."""
    if isinstance(loss, Smooth):
        return None
    numbers = [field.name for field in fields(loss) if isinstance(getattr(loss, field.name), float)]
    for p, count in itertools.product((1, 2), range(len(numbers) + 1)):
        for names in itertools.combinations(numbers, count):
            if all(_agrees(loss, names, t, p) for t in (0.5, 4.0)):
                return replace(loss, **{name: s * getattr(loss, name) for name in names}), p
    return None


def _agrees(loss, names, s, p):
    try:
        other = replace(loss, **{name: s * getattr(loss, name) for name in names})
    except InputError:  # tau is no length
        return False
    return np.allclose(other.pointwise(s * Z), s**p * loss.pointwise(Z), rtol=1e-12)


def end_slope(loss):
    """-ℓ'(-∞), the price of a unit that y lies above the fit, of a loss of f - y that ends in a straight line there,
    else None."""
    if isinstance(loss, Smooth):
        return None
    far = -np.ldexp(1.0, [12, 13, 14, 40, 41])
    value = np.asarray(loss.pointwise(far))
    slopes = np.diff(value)[[0, 1, 3]] / -np.diff(far)[[0, 1, 3]]
    return float(slopes[0]) if np.ptp(slopes) <= 1e-12 * slopes[0] else None


def degree(term):
    """q with f(2 z) = 2^q f(z)."""
    z = np.array([0.5, -1.25, 2.0])
    return round(np.log2(term.value(2 * z) / term.value(z)))


def times(term, s):
    """The constraint on s z that says the same as `term` of z."""
    return replace(term, lower=term.lower * s, upper=term.upper * s) if isinstance(term, Interval) else term


def is_cone(term):
    """Whether z satisfies the constraint exactly if s z does."""
    return all(
        term.value(np.array([s * z])) == term.value(np.array([z]))
        for z in (-1.0, 0.0, 1.0)
        for s in (2.0**-40, 2.0**40)
    )


def has_minimum(loss, y):
    """Whether every row of the loss is least at a finite z."""
    if not isinstance(loss, Smooth):
        return True
    y = loss.check_targets(y)
    y = np.array([y.max()])
    z = np.linspace(-40, 40, 801)
    return 0 < int(np.argmin(loss.pointwise(z, np.broadcast_to(y, z.shape)))) < 800


def _points():
    return np.array([[0.25, -1.0], [1.5, 0.5], [-0.75, 2.0]]), np.array([[1.0, 1.25], [-0.5, 0.75]])


def power_of_gamma(kernel):
    """a with k(s x, s z; gamma/s^a) = k(x, z)."""
    x, z = _points()
    for power in (1, 2):
        if np.allclose(
            replace(kernel, gamma=kernel.gamma / 4.0**power).gram(4 * x, 4 * z), kernel.gram(x, z), rtol=1e-12
        ):
            return power
    raise AssertionError(f"gamma of {kernel.name} follows neither 1/x nor 1/x²")


def is_stationary(kernel):
    """Whether the kernel sees x - z alone."""
    if kernel.name == "precomputed":
        return False
    x, z = _points()
    return np.allclose(kernel.gram(x + 8, z + 8), kernel.gram(x, z), rtol=1e-12)


def mirrored(term):
    """The constraint on f(-x) that says the same as `term` of f(x)."""
    if isinstance(term, Increasing | Decreasing):
        return (Decreasing if isinstance(term, Increasing) else Increasing)(term.column)
    if isinstance(term.acts, Coefficients):
        lower, upper = (getattr(term, name, default) for name, default in (("lower", 0.0), ("upper", np.inf)))
        return CoefBounds(-upper, -lower)
    odd = isinstance(term.acts, Slope) or (isinstance(term.acts, Differences) and term.acts.order % 2 == 1)
    symmetric = isinstance(term, PiecewiseQuadratic) and term.value(Z) == term.value(-Z)
    assert symmetric or not odd, f"{term.name}: say here what it becomes when x is reflected"
    return term
