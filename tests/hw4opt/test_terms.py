"""Conformance of every term found in the folders: each face is judged by brute force on `value`, by cvxpy, or by a formula written here.

A new file is picked up as it is, with its default parameters. Add it to EXAMPLES if it has none, or to try others: quarters put the kinks
on GRID and the ends of the conjugate's domain on exact floats, so that both are hit exactly. Add it to FORMULAS for one more witness.
"""

from functools import partial
from types import SimpleNamespace

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from hw4opt.constraints.increasing import Increasing
from hw4opt.errors import InputError
from hw4opt.losses.absolute import Absolute
from hw4opt.losses.huber import Huber
from hw4opt.losses.logistic import Logistic
from hw4opt.losses.quantile import Quantile
from hw4opt.losses.squared import Squared
from hw4opt.terms import Smooth, find, load, names

WEIGHTS = [{}, {"weight": 0.75}, {"weight": 0}]
EXAMPLES = {
    "huber": [{}, {"delta": 1.5}],
    "quantile": [{}, {"tau": 0.75}],
    "epsilon_insensitive": [{}, {"epsilon": 0.5}, {"epsilon": 0}],
    "poisson": [{}, {"quasi": True}, {"truncated": True}],
    "ridge": WEIGHTS,
    "tv": WEIGHTS,
    "l1": WEIGHTS,
    "trend": [*WEIGHTS, {"weight": 0.25, "order": 1}],
    "bounds": [{"lower": -1}, {"upper": 0.5}, {"lower": -0.25, "upper": 1.5}],
    "coef_bounds": [{"lower": -1}, {"lower": -0.25, "upper": 1.5}],
    "increasing": [{}, {"column": 1}],
    "decreasing": [{}, {"column": 1}],
}


def indicator(inside):
    return np.where(inside, 0.0, np.inf)


FORMULAS = {
    "squared": lambda z: z**2,
    "huber": lambda z, delta=1.0: 2 * special.huber(delta, z),
    "absolute": lambda z: np.abs(z),
    "quantile": lambda z, tau=0.5: np.where(z < 0, -tau * z, (1 - tau) * z),
    "epsilon_insensitive": lambda z, epsilon=0.1: np.where(np.abs(z) > epsilon, np.abs(z) - epsilon, 0),
    "logistic": lambda z, y: -special.log_expit(y * z),
    "poisson": lambda z, y, quasi=False, truncated=False: (np.log(np.expm1(np.exp(z))) if truncated else np.exp(z)) - y * z,
    "ridge": lambda z, weight=1.0: weight * z**2,
    "tv": lambda z, weight=1.0: weight * np.abs(z),
    "l1": lambda z, weight=1.0: weight * np.abs(z),
    "trend": lambda z, weight=1.0, order=2: weight * np.abs(z),
    "increasing": lambda z, column=None: indicator(z >= 0),
    "decreasing": lambda z, column=None: indicator(z <= 0),
    "convex": lambda z: indicator(z >= 0),
    "concave": lambda z: indicator(z <= 0),
    "nonnegative": lambda z: indicator(z >= 0),
    "bounds": lambda z, lower=-np.inf, upper=np.inf: indicator((z >= lower) & (z <= upper)),
    "coef_bounds": lambda z, lower=-np.inf, upper=np.inf: indicator((z >= lower) & (z <= upper)),
    "coef_nonnegative": lambda z: indicator(z >= 0),
}
GRID = np.arange(-12, 13) / 4
RANDOM = np.random.default_rng(4).normal(scale=2, size=20)

TERMS = [
    pytest.param(kind, name, given, id="-".join([kind, name, *(f"{key}={value}" for key, value in given.items())]))
    for kind in ("loss", "regularizer", "constraint")
    for name in names(kind)
    for given in EXAMPLES.get(name, [{}])
]


# ---- looking at a term -----------------------------------------------------------------------------------------------


def faces(term):
    """The term's faces as functions of z alone: one view of it, or one a target value."""
    targets = term.check_targets(_targets(term)) if getattr(term, "targets", False) else []
    return [_view(term, {"y": y}) for y in targets] or [_view(term, {})]


def _targets(term):
    """0 and 1, or 1 and 2 for counts of at least 1."""
    return np.array([0.0, 1.0]) + float(getattr(term, "truncated", False))


def _view(term, more):
    known = ("value", "pointwise", "prox", "conjugate", "model", "gradient", "curvature", "clip_dual")
    view = SimpleNamespace(more=more, **{face: partial(getattr(term, face), **more) for face in known if hasattr(term, face)})
    view.each = getattr(view, "pointwise", partial(rows, view.value))
    return view


def rows(function, points):
    """`function` of every entry of `points`, each as a vector of one row."""
    return np.array([function(np.array([point])) for point in np.ravel(points)]).reshape(np.shape(points))


def contacts(f):
    """Pairs (z, u) with u in ∂f(z): at every point of GRID the left and right slope and their middle (4 stands for infinity)."""
    h = 2.0**-24
    with np.errstate(invalid="ignore"):
        left, right = (f.each(GRID) - f.each(GRID - h)) / h, (f.each(GRID + h) - f.each(GRID)) / h
        left, right = (np.nan_to_num(slope, nan=np.nan, posinf=4, neginf=-4) for slope in (left, right))
    z, u = np.tile(GRID, 3), np.concatenate([left, (left + right) / 2, right]).round(6) + 0.0
    return z[np.isfinite(u)], u[np.isfinite(u)]


def minimum(objective, count, reach=1e4):
    """Where and how low `count` convex functions are on [-reach, reach], by zooming into grids: `objective` maps a grid (count, k)."""
    line, grid = np.arange(count), np.tile(np.sinh(np.linspace(-1, 1, 401) * np.arcsinh(reach)), (count, 1))
    for _ in range(10):
        with np.errstate(over="ignore"):
            best = objective(grid).argmin(axis=1)
        low, at, high = (grid[line, np.clip(best + shift, 0, grid.shape[1] - 1)][:, None] for shift in (-1, 0, 1))
        grid = np.hstack([low + (at - low) * np.arange(8) / 8, at + (high - at) * np.arange(9) / 8])
    return at[:, 0], objective(at)[:, 0]


# ---- the checks: each takes a term and raises AssertionError ---------------------------------------------------------


def check_value(term):
    """`value` adds up rows; `pointwise` is those rows."""
    for f in faces(term):
        z = np.concatenate([GRID, RANDOM])
        each = rows(f.value, z)
        assert_allclose(f.each(z), each, rtol=1e-14)
        assert_allclose(f.value(z), each.sum(), rtol=1e-13)
        assert_allclose(f.value(z[np.isfinite(each)]), each[np.isfinite(each)].sum(), rtol=1e-13)


def check_prox(term):
    """`prox` minimizes f(z) + (z - v)²/(2 step), at every kink of f and of the prox itself and on both sides of them."""
    for f in faces(term):
        z, u = contacts(f)
        for step in (0.125, 1.0, 6.0):
            v = np.unique(np.concatenate([GRID, z + step * u, 10 * RANDOM]))
            objective = lambda z: f.each(z) + (z - v[:, None]) ** 2 / (2 * step)  # noqa: B023, E731
            best, lowest = minimum(objective, v.size)
            found = f.prox(v, step)
            assert np.all(np.abs(found - best) <= 1e-6 * (1 + np.abs(v))), f"step {step}: prox of {v[np.abs(found - best).argmax()]}"
            assert np.all(objective(found[:, None])[:, 0] <= lowest + 1e-12 * (1 + lowest))
            assert_allclose(f.prox(v[:, None], step), found[:, None], rtol=1e-12, atol=1e-14)


def check_conjugate(term):
    """`conjugate` is the supremum, also at the very ends of its domain, and infinite outside."""
    for f in faces(term):
        slopes = contacts(f)[1]
        with np.errstate(invalid="ignore"):
            ends = np.array([f.each(np.array(-50.0)) - f.each(np.array(-51.0)), f.each(np.array(51.0)) - f.each(np.array(50.0))])
        u = np.unique(np.concatenate([slopes, *(ends + shift for shift in (-1 / 64, 0, 1 / 64)), [0.0], RANDOM]))
        u = u[np.abs(u) < 1e3]
        near, far = (-minimum(lambda z: f.each(z) - u[:, None] * z, u.size, reach)[1] for reach in (1e2, 1e4))  # noqa: B023
        expected = np.where(far > near + 1, np.inf, far)
        assert_allclose(rows(f.conjugate, u), expected, rtol=1e-9, atol=1e-9, err_msg=f"conjugate at {u}")
        inside = np.isfinite(expected)
        assert_allclose(f.conjugate(u[inside]), expected[inside].sum(), rtol=1e-9, atol=1e-8)


def check_fenchel_young(term):
    """f(z) + f*(u) ≥ z u for any pair, with equality at z = prox(v), u = (v - z)/step."""
    for f in faces(term):
        z, u = (side.ravel() for side in np.meshgrid(np.concatenate([GRID, RANDOM]), np.concatenate([np.unique(contacts(f)[1]), RANDOM])))
        slack = f.each(z) + rows(f.conjugate, u) - z * u
        assert np.all(slack >= -1e-9 * (1 + np.abs(z * u))), f"negative slack at z = {z[slack.argmin()]}, u = {u[slack.argmin()]}"
        z, u = contacts(f)
        for step in (0.125, 1.0, 6.0):
            v = np.concatenate([z + step * u, RANDOM])
            p = f.prox(v, step)
            raw, rounding = (v - p) / step, 1e-12 * (1 + np.abs(v)) / step
            dual = raw - np.clip(raw, -rounding, rounding)  # towards 0, which every domain holds: rounding must not push u out of it
            slack = f.each(p) + rows(f.conjugate, dual) - p * dual
            assert np.all(np.abs(slack) <= 1e-9 * (1 + np.abs(p * dual))), f"step {step}: slack {np.abs(slack).max()}"


def check_model(term):
    """The cvxpy face has the value of `value`, row by row; a constraint holds exactly where the value is 0."""
    for f in faces(term):
        z = cp.Variable(GRID.size, value=GRID)
        model = f.model(cp, z)
        if isinstance(model, list):
            row = cp.Variable(1)
            for point in GRID:
                row.value = np.array([point])
                violation = sum(float(np.sum(constraint.violation())) for constraint in f.model(cp, row))
                assert f.value(row.value) == (0 if violation == 0 else np.inf), f"at {point}"
            assert all(constraint.is_dcp() for constraint in model)
            assert f.value(GRID) == (0 if all(np.all(constraint.violation() == 0) for constraint in model) else np.inf)
        else:
            assert model.shape == z.shape and model.is_convex()
            assert_allclose(model.value, f.each(GRID), rtol=1e-12, atol=1e-12)
            assert_allclose(cp.sum(f.model(cp, cp.Constant(RANDOM))).value, f.value(RANDOM), rtol=1e-12)


def check_units(term):
    """`in_units`: f(size z) = c g(z), of the values and of the cvxpy faces; powers of two, so that breakpoints stay on the grid."""
    for size in (2.0**-20, 0.25, 8.0, 2.0**30):
        scaled = term.in_units(size)
        if scaled is None:
            return
        factor, same = scaled
        assert type(same) is type(term) and same.acts == term.acts
        f, g = _view(term, {}), _view(same, {})
        z = np.concatenate([GRID / size, GRID, RANDOM])
        expected = f.each(size * z)
        with np.errstate(invalid="ignore"):
            found = np.where(g.each(z) == 0, 0.0, factor * g.each(z))
        assert_allclose(found, expected, rtol=1e-12)
        face = g.model(cp, cp.Variable(z.size, value=z))
        if isinstance(face, list):
            row = cp.Variable(1)
            for point, value in zip(z, expected, strict=True):
                row.value = np.array([point])
                assert all(np.all(one.violation() == 0) for one in g.model(cp, row)) == (value == 0), f"at {point}"
        else:
            assert_allclose(factor * face.value, f.model(cp, cp.Constant(size * z)).value, rtol=1e-12)


def check_derivatives(term):
    """Gradient and curvature are those of `value`, |f'''| ≤ c f'', and `clip_dual` goes to the nearest u where f* is finite."""
    h = 1e-5
    for f in faces(term):
        z = np.linspace(-6, 6, 49)
        each, third = rows(f.value, np.array([z + h, z - h])), np.subtract(f.curvature(z + h), f.curvature(z - h)) / (2 * h)
        assert_allclose(f.gradient(z), (each[0] - each[1]) / (2 * h), rtol=1e-7, atol=1e-8)
        assert_allclose(f.curvature(z), np.subtract(f.gradient(z + h), f.gradient(z - h)) / (2 * h), rtol=1e-7, atol=1e-9)
        assert np.all(np.abs(third) <= term.self_concordance * f.curvature(z) * (1 + 1e-6) + 1e-9)
        u = np.concatenate([GRID, RANDOM])
        clipped, domain = f.clip_dual(u), u[np.isfinite(rows(f.conjugate, u))]
        assert np.all(np.isfinite(rows(f.conjugate, clipped)))
        assert np.all(np.abs(u - clipped) <= np.abs(u[:, None] - domain).min(axis=1) + 1e-12)


CHECKS = [check_value, check_prox, check_conjugate, check_fenchel_young, check_model, check_units]


# ---- every term ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name", "given"), TERMS)
@pytest.mark.parametrize("check", CHECKS)
def test_conforms(check, kind, name, given):
    check(find(kind, name, **given))


@pytest.mark.parametrize(("kind", "name", "given"), [term for term in TERMS if issubclass(load(*term.values[:2]), Smooth)])
def test_smooth_conforms(kind, name, given):
    term = find(kind, name, **given)
    check_derivatives(term)
    with pytest.raises(InputError):
        term.check_targets(np.array([0.0, np.nan]))


@pytest.mark.parametrize(("kind", "name", "given"), [term for term in TERMS if term.values[1] in FORMULAS])
def test_value_is_the_formula(kind, name, given):
    z = np.concatenate([GRID, RANDOM])
    for f in faces(find(kind, name, **given)):
        assert_allclose(f.each(z), FORMULAS[name](z, **given, **f.more), rtol=1e-13)
        assert_allclose(rows(f.value, z), FORMULAS[name](z, **given, **f.more), rtol=1e-13)


def test_all_but_smooth_losses_and_the_ridge_know_their_units():
    known = {name for kind, name, given in (one.values for one in TERMS) if find(kind, name, **given).in_units(2.0) is not None}
    assert known >= FORMULAS.keys() - {"logistic", "poisson", "ridge"}


def test_the_tables_name_terms_that_exist():
    assert (EXAMPLES.keys() | FORMULAS.keys()) <= {name for kind in ("loss", "regularizer", "constraint") for name in names(kind)}


# ---- pinned by hand --------------------------------------------------------------------------------------------------


def test_scales_are_the_assignments():
    assert Squared().value([3]) == 9
    assert Huber(delta=2).value([1.5]) == 2.25
    assert Huber(delta=2).value([-3]) == 2 * 2 * 3 - 4
    assert Huber(delta=2).value([3, 1]) == 9
    assert Absolute().value([-3, 1]) == 4
    assert Quantile(tau=0.75).value([-1]) == 0.75
    assert find("regularizer", "ridge", weight=0.5).value([1, 2]) == 2.5
    assert find("regularizer", "tv", weight=0.5).value([1, -2]) == 1.5


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_quantile_leaves_tau_of_the_targets_below(tau):
    y = np.random.default_rng(5).normal(size=1001)
    constant = min(y, key=lambda level: Quantile(tau=tau).value(level - y))
    assert abs(np.mean(y < constant) - tau) <= 1 / y.size


def test_bounds_prox_never_leaves_the_bounds_by_a_rounding():
    random = np.random.default_rng(6)
    for _ in range(300):
        lower, upper = np.sort(random.normal(size=2))
        v = np.array([lower, upper, np.nextafter(lower, upper), np.nextafter(upper, lower), random.uniform(lower, upper)])
        term = find("constraint", "bounds", lower=lower, upper=upper)
        assert term.value(term.prox(v, random.uniform(0.01, 10))) == 0, f"lower {lower!r}, upper {upper!r}"


def test_logistic_takes_both_kinds_of_labels_and_no_others():
    assert_allclose(Logistic().check_targets(np.array([0.0, 1.0])), [-1, 1])
    assert_allclose(Logistic().check_targets(np.array([-1.0, 1.0])), [-1, 1])
    assert Logistic().value([4.0], [1.0]) < Logistic().value([-4.0], [1.0])
    for y in ([0.0, 2.0], [-1.0, 0.0, 1.0]):
        with pytest.raises(InputError, match="logistic"):
            Logistic().check_targets(np.array(y))


# ---- planted faults: the checks above can fail -----------------------------------------------------------------------


class ProxKinkAtDelta(Huber):
    def prox(self, v, step):
        return np.where(np.abs(v) <= self.delta, v / (1 + 2 * step), v - 2 * step * self.delta * np.sign(v))


class ProxShiftedNearItsKink(Huber):
    def prox(self, v, step):
        return super().prox(v, step) + 1e-4 * (np.abs(np.abs(v) - self.delta * (1 + 2 * step)) < 1e-3)


class ProxShiftedNearAJump(Absolute):
    def prox(self, v, step):
        return super().prox(v, step) + 1e-4 * (np.abs(np.abs(v) - step) < 1e-3)


class ConjugateOfHalf(Huber):
    def conjugate(self, u):
        return 2 * super().conjugate(u)


class ConjugateOpen(Absolute):
    def conjugate(self, u):
        return 0.0 if np.all(np.abs(u) < 1) else np.inf


class ConjugateWithoutDomain(Absolute):
    def conjugate(self, u):
        return 0.0


class MeanInsteadOfSum(Squared):
    def value(self, z):
        return super().value(z) / np.size(z)


class HalfModel(Squared):
    def model(self, cp, z):
        return 0.5 * cp.square(z)


class TurnedModel(Quantile):
    def model(self, cp, z):
        return super().model(cp, -z)


class TurnedConstraint(Increasing):
    def model(self, cp, z):
        return [z <= 0]


class WrongGradient(Logistic):
    def gradient(self, z, y):
        return super().gradient(z, y) * (1 + 1e-5)


class WrongCurvature(Logistic):
    def curvature(self, z, y):
        return super().curvature(z, y) * (1 + 1e-5)


class ClippedTooFar(Logistic):
    def clip_dual(self, u, y):
        return 0.5 * super().clip_dual(u, y)


class SameUnits(Huber):
    def in_units(self, size):
        return size * size, self


class UnitsOfTheFactor(Absolute):
    def in_units(self, size):
        return size * size, self


class UnitsOfTheModel(Quantile):
    def in_units(self, size):
        return size, type(self)(1 - self.tau)


PLANTED = [
    (check_units, SameUnits()),
    (check_units, UnitsOfTheFactor()),
    (check_units, UnitsOfTheModel(0.75)),
    (check_value, MeanInsteadOfSum()),
    (check_prox, ProxKinkAtDelta()),
    (check_prox, ProxShiftedNearItsKink()),
    (check_prox, ProxShiftedNearAJump()),
    (check_fenchel_young, ProxKinkAtDelta()),
    (check_fenchel_young, ProxShiftedNearItsKink()),
    (check_fenchel_young, ProxShiftedNearAJump()),
    (check_fenchel_young, ConjugateOfHalf()),
    (check_fenchel_young, ConjugateWithoutDomain()),
    (check_conjugate, ConjugateOfHalf()),
    (check_conjugate, ConjugateOpen()),
    (check_conjugate, ConjugateWithoutDomain()),
    (check_model, HalfModel()),
    (check_model, TurnedModel(tau=0.75)),
    (check_model, TurnedConstraint()),
    (check_derivatives, WrongGradient()),
    (check_derivatives, WrongCurvature()),
    (check_derivatives, ClippedTooFar()),
]


@pytest.mark.parametrize(("check", "term"), PLANTED, ids=lambda item: getattr(item, "__name__", type(item).__name__))
def test_a_planted_fault_is_caught(check, term):
    with pytest.raises(AssertionError):
        check(term)


def test_a_term_without_defaults_or_examples_fails_loudly():
    with pytest.raises(InputError, match="lower"):
        find("constraint", "bounds")
