"""Every kernel found in the folder: formulas written here and in scikit-learn, derivatives, and what a parameter may
be.

A new file is picked up as it is, with its default parameters. Add it to EXAMPLES to try others, and to `plain` for one
more witness.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw4opt import Increasing, Problem, Ridge, check_kernel, fit
from hw4opt.errors import InputError, RefusedError, UnknownNameError
from hw4opt.kernels import (
    KERNELS,
    RBF,
    VALUE,
    Laplacian,
    Matern32,
    Matern52,
    Polynomial,
    Precomputed,
    find_kernel,
)
from hw4opt.terms import names

EXAMPLES = {
    "rbf": [RBF(3.0)],
    "laplacian": [Laplacian(2.5)],
    "matern32": [Matern32(1.5)],
    "matern52": [Matern52(0.75)],
    "polynomial": [Polynomial(0.5), Polynomial(1.25, degree=1, coef0=0), Polynomial(0.8, 4, 2)],
}
FOUND = [name for name in names("kernel") if name != "precomputed"]
KINDS = [kernel for name in FOUND for kernel in EXAMPLES.get(name, [find_kernel(name)])]


def plain(kernel, x, z):
    """k(x, z) of two points, by the formula of the contract."""
    gamma, apart = kernel.gamma, np.linalg.norm(x - z)
    t = apart * np.sqrt(2 * gamma)  # distance over length = 1/sqrt(2 gamma)
    match kernel.name:
        case "rbf":
            return np.exp(-gamma * apart**2)
        case "laplacian":
            return np.exp(-gamma * np.abs(x - z).sum())
        case "matern32":
            return (1 + np.sqrt(3) * t) * np.exp(-np.sqrt(3) * t)
        case "matern52":
            return (1 + np.sqrt(5) * t + 5 * t**2 / 3) * np.exp(-np.sqrt(5) * t)
        case "polynomial":
            return (gamma * np.dot(x, z) + kernel.coef0) ** kernel.degree
    return None


def sklearn_gram(kernel, x, z):
    """The same from scikit-learn."""
    gaussian = pytest.importorskip("sklearn.gaussian_process.kernels")
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    length = 1 / np.sqrt(2 * kernel.gamma)
    match kernel.name:
        case "rbf":
            return pairwise.rbf_kernel(x, z, gamma=kernel.gamma)
        case "laplacian":
            return pairwise.laplacian_kernel(x, z, gamma=kernel.gamma)
        case "matern32":
            return gaussian.Matern(length_scale=length, nu=1.5)(x, z)
        case "matern52":
            return gaussian.Matern(length_scale=length, nu=2.5)(x, z)
        case "polynomial":
            return pairwise.polynomial_kernel(x, z, degree=kernel.degree, gamma=kernel.gamma, coef0=kernel.coef0)
    return None


def points(columns, seed=0):
    """Two clouds of different size that share a point, with every pair of coordinates apart otherwise."""
    random = np.random.default_rng([columns, seed])
    x, z = random.normal(size=(7, columns)), random.normal(size=(5, columns))
    z[0] = x[0]
    return x, z


every_kernel = pytest.mark.parametrize("kernel", KINDS, ids=str)
with_formula = pytest.mark.parametrize("kernel", [one for one in KINDS if one.name in EXAMPLES], ids=str)
every_width = pytest.mark.parametrize("columns", [1, 2, 4])


def test_the_examples_are_those_of_kernels_that_exist():
    assert EXAMPLES.keys() <= set(FOUND) and all(one.name == name for name in EXAMPLES for one in EXAMPLES[name])


@with_formula
@every_width
def test_gram_is_the_formula(kernel, columns):
    x, z = points(columns)
    expected = [[plain(kernel, one, other) for other in z] for one in x]
    assert_allclose(kernel.gram(x, z), expected, rtol=1e-13)
    assert_allclose(kernel.between(x, VALUE, z, VALUE), expected, rtol=1e-13)
    assert_allclose(kernel.diagonal(x), [plain(kernel, one, one) for one in x], rtol=1e-14)


@with_formula
@every_width
def test_gram_is_scikit_learns(kernel, columns):
    x, z = points(columns)
    assert_allclose(kernel.gram(x, z), sklearn_gram(kernel, x, z), rtol=1e-12)


@every_kernel
def test_conforms(kernel):
    check_kernel(kernel)


def test_matern32_has_the_variance_of_its_slope_at_the_same_point():
    """The limit of ∂²k/∂x∂z for x → z from either side: 3/length² = 6 gamma (one column: differences see the kink)."""
    x = np.array([[0.3], [2.0]])
    assert_allclose(np.diagonal(Matern32(1.5).cross_slope(x, x, 0, 0)), 9.0, rtol=1e-14)
    assert_allclose(Matern32(1.5).cross_slope(x, x + 1e-9, 0, 0)[0, 0], 9.0, rtol=1e-7)


def test_a_polynomial_of_degree_one_has_no_second_power():
    x, z = points(2)
    assert_allclose(Polynomial(2.0, degree=1, coef0=3).cross_slope(x, z, 0, 0), 2.0, rtol=1e-14)
    assert_allclose(Polynomial(2.0, degree=1, coef0=3).cross_slope(x, z, 0, 1), 0.0, atol=0)


def test_precomputed_knows_its_diagonal_and_nothing_else():
    gram = np.array([[2.0, 1.0], [1.0, 3.0]])
    assert_allclose(Precomputed().diagonal(gram), [2, 3])
    for call in (lambda: Precomputed().gram(gram, gram), lambda: Precomputed().diagonal(gram[:1])):
        with pytest.raises(RefusedError, match="precomputed"):
            call()


@pytest.mark.parametrize("kernel", [Laplacian(1.0), Precomputed()], ids=str)
def test_a_kernel_without_derivative_says_which_have_one(kernel):
    x, z = points(1)
    for call in (
        lambda: kernel.slope(x, z, 0),
        lambda: kernel.cross_slope(x, z, 0, 0),
        lambda: kernel.between(x, 0, z, VALUE),
    ):
        with pytest.raises(RefusedError, match=f"the {kernel.name} kernel has no derivative") as caught:
            call()
        said = str(caught.value).rpartition(" needs ")[2].replace(" or ", ", ").split(", ")
        assert said == sorted({one.name for one in KINDS if one.is_differentiable})


@pytest.mark.parametrize("name", sorted(KERNELS))
@pytest.mark.parametrize("gamma", [0, -1, float("nan"), float("inf"), "text", None, True])
def test_gamma_out_of_range_is_named(name, gamma):
    with pytest.raises(InputError, match=rf"{name}: gamma is {gamma!r}; it must be a number above 0"):
        find_kernel(name, gamma=gamma)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"degree": 0}, "polynomial: degree is 0; it must be a whole number between 1 and 50"),
        ({"degree": 1.5}, "polynomial: degree is 1.5; it must be a whole number"),
        ({"degree": float("nan")}, "polynomial: degree is nan"),
        ({"degree": "text"}, "polynomial: degree is 'text'"),
        ({"coef0": -0.5}, "polynomial: coef0 is -0.5; it must be a number at least 0"),
        ({"coef0": float("nan")}, "polynomial: coef0 is nan"),
    ],
)
def test_other_parameters_out_of_range_are_named(given, sentence):
    with pytest.raises(InputError, match=sentence):
        find_kernel("polynomial", **given)


def test_a_whole_degree_may_be_written_as_a_float():
    x, z = points(2)
    assert_allclose(Polynomial(0.5, degree=3.0).gram(x, z), Polynomial(0.5, degree=3).gram(x, z), rtol=1e-15)


def test_unknown_names_list_what_exists_and_suggest_the_nearest():
    assert set(KERNELS) >= {"rbf", "laplacian", "matern32", "matern52", "polynomial", "precomputed"}
    with pytest.raises(
        UnknownNameError, match=r"no kernel 'rbff' \(did you mean 'rbf'\?\); there are laplacian, matern32, matern52"
    ):
        find_kernel("rbff")
    with pytest.raises(UnknownNameError, match=r"parameter of rbf 'gama' \(did you mean 'gamma'\?\)"):
        find_kernel("rbf", gama=1)


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_find_kernel_finds_by_name_and_kernels_are_frozen_values(name):
    kernel = find_kernel(name, gamma=2.0)
    assert kernel.name == name and type(kernel) is KERNELS[name] and kernel.gamma == 2.0
    assert kernel == find_kernel(name, gamma=2.0) and hash(kernel) == hash(find_kernel(name, gamma=2.0))
    assert kernel != find_kernel(name, gamma=3.0)
    with pytest.raises(AttributeError):
        kernel.gamma = 1.0


@pytest.mark.parametrize("kernel", [RBF(3.0), Matern32(1.5), Matern52(0.75)], ids=str)
@pytest.mark.parametrize("unit", [2.0**-450, 2.0**450])
def test_the_unit_of_x_cancels_where_its_square_is_0_or_infinite(kernel, unit):
    x, z = points(2)
    other = type(kernel)(kernel.gamma / unit / unit)
    assert np.array_equal(other.gram(unit * x, unit * z), kernel.gram(x, z))
    assert np.array_equal(other.slope(unit * x, unit * z, 1) * unit, kernel.slope(x, z, 1))
    assert np.array_equal(other.cross_slope(unit * x, unit * z, 0, 1) * unit * unit, kernel.cross_slope(x, z, 0, 1))


@pytest.mark.parametrize("kernel", [RBF(1e-300), Matern32(1e300), Matern52(1e-300)], ids=str)
def test_points_too_far_apart_to_be_squared_are_unrelated_or_the_same(kernel):
    x = np.array([[0.0], [1e-170], [1e140]])
    gram = kernel.gram(x, x)
    assert np.isfinite(gram).all() and gram[0, 0] == 1 and gram[0, 1] == pytest.approx(1)
    assert gram[0, 2] == (0 if kernel.gamma > 1 else pytest.approx(1))


@pytest.mark.parametrize("slopes", [[], [Increasing(0)]])
@pytest.mark.parametrize(
    ("kernel", "size"),
    [(Polynomial(1.0, 50, 1.0), 1e9), (Polynomial(1.0, 3, 1.0), 1e60), (Polynomial(1.0, 2, 1e200), 1.0)],
)
def test_a_kernel_that_overflows_is_refused_by_name_and_parameters(kernel, size, slopes):
    x = size * np.linspace(0, 1, 8)
    said = (
        rf"the polynomial kernel with gamma = 1, degree = {kernel.degree}, coef0 = .* at a data "
        r"point, where 1e\+150 is the most"
    )
    with pytest.raises(InputError, match=said):
        fit(Problem(x, x, kernel, regularizers=[Ridge(1.0)], constraints=slopes))


def test_the_length_is_where_a_kernel_has_fallen():
    assert RBF(2.0).length == 0.5 and Laplacian(2.0).length == 0.5 and Polynomial(2.0).length == np.inf
    for kernel in (one for one in KINDS if np.isfinite(one.length)):
        near, far = (
            kernel.gram(np.zeros((1, 1)), np.full((1, 1), share * kernel.length))[0, 0] for share in (0.1, 3.0)
        )
        assert near > 0.9 and far < 0.25


def test_the_degree_is_that_of_polynomials_alone():
    assert [kernel.polynomial_degree for kernel in EXAMPLES["polynomial"]] == [3, 1, 4]
    assert {kernel.polynomial_degree for kernel in KINDS if kernel.name != "polynomial"} == {None}
