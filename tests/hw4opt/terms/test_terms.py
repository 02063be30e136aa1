"""Every term found in the folders passes `check_term`, and has the values of a formula written here.

A new file is picked up as it is, with its default parameters. Add it to EXAMPLES if it has none, or to try others:
quarters put the kinks on the grid and the ends of the conjugate's domain on exact floats, so that both are hit exactly.
Add it to FORMULAS for one more witness.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from hw4opt import Absolute, Huber, InputError, Logistic, Quantile, Squared, check_term
from hw4opt.terms import Likelihood, Smooth, find, load, names
from hw4opt.terms.conformance._fixed import GRID_POINTS, RANDOM_POINTS

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
    "poisson": lambda z, y, quasi=False, truncated=False: (
        (np.log(np.expm1(np.exp(z))) if truncated else np.exp(z)) - y * z
    ),
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
TERMS = [
    pytest.param(kind, name, given, id="-".join([kind, name, *(f"{key}={value}" for key, value in given.items())]))
    for kind in ("loss", "regularizer", "constraint")
    for name in names(kind)
    for given in EXAMPLES.get(name, [{}])
]


# ---- every term ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name", "given"), TERMS)
def test_conforms(kind, name, given):
    check_term(find(kind, name, **given))


@pytest.mark.parametrize(
    ("kind", "name", "given"), [term for term in TERMS if issubclass(load(*term.values[:2]), Likelihood)]
)
def test_a_target_that_is_no_number_is_refused(kind, name, given):
    with pytest.raises(InputError):
        find(kind, name, **given).check_targets(np.array([0.0, np.nan]))


@pytest.mark.parametrize(("kind", "name", "given"), [term for term in TERMS if term.values[1] in FORMULAS])
def test_value_is_the_formula(kind, name, given):
    z, term = np.concatenate([GRID_POINTS, RANDOM_POINTS]), find(kind, name, **given)
    for more in [{"y": y} for y in term.check_targets(_targets(term))] if isinstance(term, Smooth) else [{}]:
        expected = FORMULAS[name](z, **given, **more)
        assert_allclose([term.value([one], **more) for one in z], expected, rtol=1e-13)
        if hasattr(term, "pointwise"):
            assert_allclose(term.pointwise(z, **more), expected, rtol=1e-13)


def _targets(term):
    """0 and 1, or 1 and 2 for counts of at least 1."""
    return np.array([0.0, 1.0]) + float(getattr(term, "truncated", False))


def test_all_but_smooth_losses_and_the_ridge_know_their_units():
    known = {
        name
        for kind, name, given in (one.values for one in TERMS)
        if find(kind, name, **given).in_units(2.0) is not None
    }
    assert known >= FORMULAS.keys() - {"logistic", "poisson", "ridge"}


def test_the_tables_name_terms_that_exist():
    assert (EXAMPLES.keys() | FORMULAS.keys()) <= {
        name for kind in ("loss", "regularizer", "constraint") for name in names(kind)
    }


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
        v = np.array(
            [lower, upper, np.nextafter(lower, upper), np.nextafter(upper, lower), random.uniform(lower, upper)]
        )
        term = find("constraint", "bounds", lower=lower, upper=upper)
        assert term.value(term.prox(v, random.uniform(0.01, 10))) == 0, f"lower {lower!r}, upper {upper!r}"


def test_logistic_takes_both_kinds_of_labels_and_no_others():
    assert_allclose(Logistic().check_targets(np.array([0.0, 1.0])), [-1, 1])
    assert_allclose(Logistic().check_targets(np.array([-1.0, 1.0])), [-1, 1])
    assert Logistic().value([4.0], [1.0]) < Logistic().value([-4.0], [1.0])
    for y in ([0.0, 2.0], [-1.0, 0.0, 1.0]):
        with pytest.raises(InputError, match="logistic"):
            Logistic().check_targets(np.array(y))


def test_a_term_without_defaults_or_examples_fails_loudly():
    with pytest.raises(InputError, match="lower"):
        find("constraint", "bounds")
